//! Sizes, paces and counts.

use std::time::Duration;

use bus::BusError;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use crate::backend::{hello, script, silence};
use crate::client::{CHAT, chat};
use crate::node::Node;

/// What a node answers to these bytes until it closes the connection.
async fn raw(node: &Node, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(&node.address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_however_it_comes() {
    let node = Node::start_with(hello(), |config| config.limits.max_body_bytes = 10_000).await;
    // More than sockets hold, so that its sender hears nothing unless all of it is taken.
    let body = serde_json::to_vec(&chat(json!({"user": "x".repeat(30_000_000)}))).unwrap();
    let request = || node.client.post(node.url(CHAT)).header("content-type", "application/json");
    let chunks: Vec<Result<Vec<u8>, std::io::Error>> =
        body.chunks(100_000).map(|part| Ok(part.to_vec())).collect();
    let chunked = reqwest::Body::wrap_stream(futures_util::stream::iter(chunks));
    for response in
        [request().body(body).send().await.unwrap(), request().body(chunked).send().await.unwrap()]
    {
        assert_eq!(response.status(), 413);
        let answer: Value = response.json().await.unwrap();
        assert_eq!(answer["error"]["code"], "body_too_large");
    }
}

#[tokio::test]
async fn a_body_that_never_comes_is_not_waited_for() {
    let node =
        Node::start_with(hello(), |config| config.timeouts.body_read = Duration::from_millis(50)).await;
    let head = format!(
        "POST {CHAT} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{{"
    );
    let answer = raw(&node, head.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(answer.contains("body_timeout"), "{answer}");
}

#[tokio::test]
async fn headers_that_never_end_close_the_connection() {
    let node =
        Node::start_with(hello(), |config| config.timeouts.header_read = Duration::from_millis(50)).await;
    assert_eq!(raw(&node, b"GET /health HTTP/1.1\r\nhost:").await, "");
}

#[tokio::test]
async fn junk_before_http_is_a_bad_request() {
    let node = Node::start(hello()).await;
    for bytes in [&b"\x16\x03\x01 hello\r\n\r\n"[..], b"GET\r\n\r\n", b"GET / HTTP/1.1\r\n\x00bad: x\r\n\r\n"]
    {
        let answer = raw(&node, bytes).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    }
}

#[tokio::test]
async fn the_old_protocol_is_spoken() {
    let node = Node::start(hello()).await;
    let answer = raw(&node, b"GET /health HTTP/1.0\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.0 200 "), "{answer}");
    let body = chat(json!({"stream": true})).to_string();
    let head = format!(
        "POST {CHAT} HTTP/1.0\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let answer = raw(&node, head.as_bytes()).await;
    assert!(answer.ends_with("data: [DONE]\n\n"), "{answer}");
}

#[tokio::test]
async fn a_full_node_says_when_to_come_back() {
    let node = Node::start_with(silence(), |config| config.limits.max_num_inflight_requests = 2).await;
    let held = || async { node.post(CHAT, &chat(json!({"stream": true}))).await };
    let full = async {
        loop {
            let metrics = node.get("/metrics").await.text().await.unwrap();
            if metrics.contains("jetmill:num_inferences_in_flight 2") {
                break node.post(CHAT, &chat(json!({}))).await;
            }
        }
    };
    let response = tokio::select! {
        response = full => response,
        _ = async { tokio::join!(held(), held()) } => panic!("nobody answers these"),
    };
    assert_eq!(response.status(), 429);
    let wait: u64 = response.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=60).contains(&wait));
    let answer: Value = response.json().await.unwrap();
    assert_eq!(answer["error"]["type"], "rate_limit_error");
}

#[tokio::test]
async fn a_request_s_own_timeout_ends_it() {
    let (sender, mut reasons) = mpsc::unbounded_channel();
    let waiting = script(move |asked| {
        let sender = sender.clone();
        async move { sender.send(asked.cancel_reason().await).unwrap() }
    });
    let node = Node::start(waiting).await;
    let response = node.post(CHAT, &chat(json!({"timeout": 0.05}))).await;
    assert_eq!(response.status(), 408);
    assert_eq!(response.json::<Value>().await.unwrap()["error"]["code"], "request_timeout");
    assert_eq!(reasons.recv().await.unwrap(), "timeout");
    let response = node.post(CHAT, &chat(json!({"timeout": 99_999}))).await;
    assert_eq!(response.status(), 400);
}

#[tokio::test]
async fn a_log_that_takes_nothing_is_a_503() {
    let node = Node::start(hello()).await;
    for error in [BusError::Full("INFERENCE".into()), BusError::Unreachable("gone".into())] {
        node.log.set_faults(|faults| faults.refuse_appends = Some(error));
        let response = node.post(CHAT, &chat(json!({}))).await;
        assert_eq!(response.status(), 503);
        assert!(response.headers().contains_key("retry-after"));
    }
    node.log.set_faults(|faults| faults.refuse_appends = None);
    assert_eq!(node.post(CHAT, &chat(json!({}))).await.status(), 200);
}
