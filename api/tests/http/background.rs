//! Inferences that nobody waits for, and those who are told of their end.

use std::time::Duration;

use api::ApiConfig;
use bus::{EventLog, MemoryLog, ReadFrom, StreamName, subjects};
use futures_util::StreamExt;
use ring::hmac;
use schemas::{FactKind, IngressId, TenantId};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use crate::backend::{hello, script, silence};
use crate::client::{CHAT, chat, parse_events, text_of};
use crate::node::{Node, announce_for};
use crate::resumption::{pair, step_by_step};

const PATH: &str = "/v1/inferences";
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn background(body: Value, more: Value) -> Value {
    let mut outer = json!({"endpoint": CHAT, "body": body, "background": true});
    outer.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    outer
}

async fn accepted(node: &Node, body: &Value) -> String {
    let response = node.post(PATH, body).await;
    let status = response.status();
    let document: Value = response.json().await.unwrap();
    assert_eq!(status, 202, "{document}");
    document["id"].as_str().unwrap().to_owned()
}

async fn document(node: &Node, id: &str) -> Value {
    let response = node.get(&format!("{PATH}/{id}")).await;
    assert_eq!(response.status(), 200);
    response.json().await.unwrap()
}

/// Asks until the inference has ended.
async fn ended(node: &Node, id: &str) -> Value {
    loop {
        let document = document(node, id).await;
        if !document["ended_at"].is_null() {
            return document;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_background_inference_is_accepted_watched_and_answered_by_any_node() {
    let (script, permits, _) = step_by_step();
    let (first, second) = pair(MemoryLog::new(), script).await;
    let id = accepted(&first, &background(chat(json!({"stream": true})), json!({}))).await;
    let waiting = document(&second, &id).await;
    assert_eq!((&waiting["status"], &waiting["background"]), (&json!("queued"), &json!(true)));
    assert_eq!(waiting["response"], Value::Null);
    let path = format!("{PATH}/{id}/stream");
    let streaming = second.get(&path);
    let (stream, ()) = tokio::join!(streaming, async { permits.add_permits(40) });
    assert_eq!(text_of(&parse_events(&stream.text().await.unwrap()), 0), "Hello, wörld!");
    let done = ended(&second, &id).await;
    assert_eq!(done["status"], "completed");
    assert_eq!(done["response"]["choices"][0]["message"]["content"], "Hello, wörld!");
    assert_eq!(done["response"]["object"], "chat.completion");
    assert_eq!(done["usage"]["completion_tokens"], 3);
}

#[tokio::test]
async fn a_client_that_leaves_a_background_stream_cancels_nothing() {
    let (script, permits, _) = step_by_step();
    let (first, _second) = pair(MemoryLog::new(), script).await;
    let id = accepted(&first, &background(chat(json!({"stream": true})), json!({}))).await;
    permits.add_permits(1);
    drop(first.get(&format!("{PATH}/{id}/stream")).await);
    permits.add_permits(40);
    assert_eq!(ended(&first, &id).await["status"], "completed");
    let pattern = subjects::all_of(FactKind::CancelRequested);
    let mut cancels =
        first.log.read(StreamName::Inference, vec![pattern], ReadFrom::Start, false).await.unwrap();
    assert!(cancels.next().await.is_none());
}

#[tokio::test]
async fn vectors_are_computed_in_the_background_too() {
    let log = MemoryLog::new();
    announce_for(&log, "bert", false, &["embed"]).await;
    let (first, second) =
        pair(log, script(|asked| async move { asked.end_pooled(vec![vec![0.6, 0.8]]).await })).await;
    let body = json!({"endpoint": "/v1/embeddings", "body": {"model": "bert", "input": "a", "encoding_format": "base64"}});
    let id = accepted(&first, &body).await;
    let done = ended(&second, &id).await;
    assert!(done["response"]["data"][0]["embedding"].is_string(), "{done}");
    assert_eq!(second.get(&format!("{PATH}/{id}/stream")).await.status(), 400);
}

#[tokio::test]
async fn a_retry_under_its_key_is_accepted_once() {
    let (first, second) = pair(MemoryLog::new(), hello()).await;
    let post = |node: &Node, body: &Value| {
        node.client.post(node.url(PATH)).header("idempotency-key", "k").json(body).send()
    };
    let body = background(chat(json!({})), json!({}));
    let one: Value = post(&first, &body).await.unwrap().json().await.unwrap();
    let again: Value = post(&second, &body).await.unwrap().json().await.unwrap();
    assert_eq!(one["id"], again["id"]);
    let other = background(chat(json!({"seed": 1})), json!({}));
    assert_eq!(post(&second, &other).await.unwrap().status(), 422);
}

#[tokio::test]
async fn a_cancelled_inference_says_so_and_an_ended_one_is_not_cancelled() {
    let (first, second) = pair(MemoryLog::new(), silence()).await;
    let id = accepted(&first, &background(chat(json!({})), json!({}))).await;
    let cancel = |node: &Node, id: &str| node.client.post(node.url(&format!("{PATH}/{id}/cancel"))).send();
    let cancelled: Value = cancel(&second, &id).await.unwrap().json().await.unwrap();
    assert_eq!(
        (&cancelled["status"], &cancelled["cancel_reason"]),
        (&json!("cancelled"), &json!("requested"))
    );
    let again = cancel(&first, &id).await.unwrap();
    assert_eq!(again.status(), 409);
    assert_eq!(again.json::<Value>().await.unwrap()["error"]["code"], "inference_ended");
    assert_eq!(cancel(&first, "0198c6f0a1b27c3d8e4f5061728394a5").await.unwrap().status(), 404);
    let foreign = Node::start_bare(first.log.clone(), |config| config.tenant = TenantId::slug("other")).await;
    foreign.wait_until_ready().await;
    assert_eq!(cancel(&foreign, &id).await.unwrap().status(), 404);
    assert_eq!(foreign.get(&format!("{PATH}/{id}")).await.status(), 404);
}

#[tokio::test]
async fn what_cannot_be_done_in_the_background_is_refused_by_its_field() {
    let node = Node::start(hello()).await;
    let check = async |body: Value, expected: &str| {
        let response = node.post(PATH, &body).await;
        assert_eq!(response.status(), 400, "{body}");
        assert_eq!(response.json::<Value>().await.unwrap()["error"]["param"], expected, "{body}");
    };
    check(background(chat(json!({})), json!({"background": false})), "background").await;
    check(json!({"endpoint": "/v1/score", "body": {}}), "endpoint").await;
    check(json!({"endpoint": CHAT}), "body").await;
    check(
        json!({"endpoint": "/v1/completions", "body": {"model": "smol", "prompt": ["a", "b"]}}),
        "body.prompt",
    )
    .await;
    let hook = |url: &str, secret: Value| {
        background(chat(json!({})), json!({"webhook": {"url": url, "secret": secret}}))
    };
    check(hook("https://example.org/", Value::Null), "webhook.secret").await;
    check(hook("https://example.org/", json!("short")), "webhook.secret").await;
    check(hook("http://example.org/", json!(SECRET)), "webhook.url").await;
    check(hook("https://169.254.169.254/latest", json!(SECRET)), "webhook.url").await;
}

/// Hears deliveries and answers them by these statuses, the last one again and again.
async fn receiver(statuses: &'static [u16]) -> (String, mpsc::UnboundedReceiver<(String, String)>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook?x=1", listener.local_addr().unwrap());
    let (sender, heard) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        for number in 0.. {
            let (mut stream, _) = listener.accept().await.unwrap();
            let request = read_request(&mut stream).await;
            let status = statuses[number.min(statuses.len() - 1)];
            let answer = format!("HTTP/1.1 {status} x\r\ncontent-length: 0\r\n\r\n");
            stream.write_all(answer.as_bytes()).await.unwrap();
            if sender.send(request).is_err() {
                return;
            }
        }
    });
    (url, heard)
}

/// Head and body of one request.
async fn read_request(stream: &mut TcpStream) -> (String, String) {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let head = head.to_ascii_lowercase();
            let length = head.split_once("content-length: ").unwrap().1.lines().next().unwrap();
            if body.len() >= length.parse().unwrap() {
                return (head, body.to_owned());
            }
        }
        let mut part = [0; 4096];
        let num_read = stream.read(&mut part).await.unwrap();
        assert!(num_read > 0, "the request broke off");
        bytes.extend_from_slice(&part[..num_read]);
    }
}

fn header<'a>(head: &'a str, name: &str) -> &'a str {
    head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).unwrap()
}

fn vouch_for_localhost(config: &mut ApiConfig) {
    config.webhooks.allowed_hosts = vec!["127.0.0.1".to_owned()];
    config.webhooks.first_retry = Duration::from_millis(10);
    config.webhooks.longest_retry = Duration::from_millis(10);
}

#[tokio::test]
async fn a_receiver_is_told_until_it_takes_it_and_can_check_the_signature() {
    let node = Node::start_with(hello(), vouch_for_localhost).await;
    let (url, mut heard) = receiver(&[500, 429, 200]).await;
    let webhook = json!({"webhook": {"url": url, "secret": SECRET}});
    let id = accepted(&node, &background(chat(json!({})), webhook)).await;
    let mut deliveries = Vec::new();
    for _ in 0..3 {
        deliveries.push(heard.recv().await.unwrap());
    }
    let (head, body) = &deliveries[2];
    assert!(head.starts_with("post /hook?x=1 http/1.1"), "{head}");
    assert_eq!(body, &deliveries[0].1, "every attempt says the same");
    assert_eq!(header(head, "webhook-id"), header(&deliveries[0].0, "webhook-id"));
    let event: Value = serde_json::from_str(body).unwrap();
    assert_eq!((&event["type"], &event["data"]["id"]), (&json!("inference.completed"), &json!(id)));
    assert_eq!(header(head, "webhook-id"), event["id"]);
    let key = base64_of(SECRET.strip_prefix("whsec_").unwrap());
    let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
    let signed = format!("{}.{}.{body}", header(head, "webhook-id"), header(head, "webhook-timestamp"));
    // Header values were put into lower case with the rest, so the tag is compared like that.
    let tag = hmac::sign(&key, signed.as_bytes());
    let expected = format!("v1,{}", text_of_bytes(tag.as_ref())).to_ascii_lowercase();
    assert_eq!(header(head, "webhook-signature"), expected);
}

fn base64_of(text: &str) -> Vec<u8> {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.decode(text).unwrap()
}

fn text_of_bytes(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

#[tokio::test]
async fn a_webhook_outlives_the_node_that_took_it() {
    let (script, permits, _) = step_by_step();
    let log = MemoryLog::new();
    let change = |config: &mut ApiConfig| {
        vouch_for_localhost(config);
        config.webhooks.secret = Some(SECRET.to_owned());
    };
    crate::node::announce(&log, "smol", true).await;
    crate::backend::start(log.clone(), script).await;
    let first = Node::start_bare(log.clone(), change).await;
    first.wait_until_ready().await;
    let (url, mut heard) = receiver(&[200]).await;
    let id = accepted(&first, &background(chat(json!({})), json!({"webhook": {"url": url}}))).await;
    first.shutdown.cancel();
    first.served.await.unwrap();
    let second = Node::start_bare(log, |config| {
        change(config);
        config.ingress = IngressId::slug("api-2");
    })
    .await;
    permits.add_permits(40);
    let event: Value = serde_json::from_str(&heard.recv().await.unwrap().1).unwrap();
    assert_eq!(event["data"]["id"], id);
    drop(second);
}
