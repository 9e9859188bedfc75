//! Content that its owner erases.

use std::sync::Arc;

use bus::{EventLog, MemoryLog, ReadFrom, SealedLog, StreamName, subjects};
use futures_util::StreamExt;
use schemas::{FactKind, IngressId};
use serde_json::{Value, json};

use crate::backend::{self, hello, silence};
use crate::client::{CHAT, chat};
use crate::node::{Node, announce};

async fn sealed_node(script: backend::Script) -> Node {
    let log = MemoryLog::new();
    announce(&log, "smol", true).await;
    backend::start(log.clone(), script).await;
    let sealed: Arc<dyn EventLog> = Arc::new(SealedLog::open(Arc::new(log.clone()), None).await.unwrap());
    let node = Node::start_over(log, sealed, |_| {}).await;
    node.wait_until_ready().await;
    node
}

async fn erase(node: &Node, id: &str) -> (u16, Value) {
    let url = node.url(&format!("/v1/inferences/{id}/content"));
    let response = node.client.delete(url).send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

#[tokio::test]
async fn erased_content_is_gone_for_every_question_about_it() {
    let node = sealed_node(hello()).await;
    let ask = || {
        node.client.post(node.url(CHAT)).header("idempotency-key", "k").json(&chat(json!({"user": "ann"})))
    };
    let answer = ask().send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let id = answer.headers()["x-jetmill-inference-id"].to_str().unwrap().to_owned();
    assert_eq!(ask().send().await.unwrap().status(), 200, "asked again, it is answered from the log");
    let path = format!("/v1/inferences/{id}");
    let document: Value = node.get(&path).await.json().await.unwrap();
    assert!(document["response"].is_object() && document["content_erased"].is_null(), "{document}");

    let (status, erased) = erase(&node, &id).await;
    assert_eq!((status, &erased["erased"], &erased["num_keys"]), (200, &json!(true), &json!(1)), "{erased}");
    let document: Value = node.get(&path).await.json().await.unwrap();
    assert_eq!((&document["status"], &document["response"]), (&json!("completed"), &Value::Null));
    assert!(document["content_erased"].as_str().unwrap().starts_with("content erased on 2"), "{document}");
    assert!(document["usage"].is_object(), "{document}");
    for gone in [ask().send().await.unwrap(), node.get(&format!("{path}/stream")).await] {
        assert_eq!(gone.status(), 410);
        let error: Value = gone.json().await.unwrap();
        assert_eq!(error["error"]["code"], "content_erased");
    }
    let (status, again) = erase(&node, &id).await;
    assert_eq!((status, &again["num_keys"]), (200, &json!(0)), "{again}");
}

async fn count(node: &Node, stream: StreamName, pattern: String) -> usize {
    let records = node.log.read(stream, vec![pattern], ReadFrom::Start, false).await.unwrap();
    records.count().await
}

#[tokio::test]
async fn a_request_lost_behind_its_key_is_asked_again_as_one_and_erased_with_both_keys() {
    let node = sealed_node(hello()).await;
    let keys = || count(&node, StreamName::Keys, "keys.>".to_owned());
    let ask = || node.client.post(node.url(CHAT)).header("idempotency-key", "k").json(&chat(json!({})));
    // As if the node had died between the two: the key is there, and what it seals is not.
    node.log.set_faults(|faults| faults.lost_appends_to = Some(StreamName::Inference));
    assert_eq!(ask().send().await.unwrap().status(), 503);
    let requests = || count(&node, StreamName::Inference, subjects::all_of(FactKind::Requested));
    assert_eq!((keys().await, requests().await), (1, 0));
    node.log.set_faults(|faults| faults.lost_appends_to = None);

    // Another node knows nothing of that key.
    let sealed: Arc<dyn EventLog> =
        Arc::new(SealedLog::open(Arc::new(node.log.clone()), None).await.unwrap());
    let other = Node::start_over(node.log.clone(), sealed, |config| {
        config.ingress = IngressId::slug("api-2");
    });
    let other = other.await;
    other.wait_until_ready().await;
    let answer = other.client.post(other.url(CHAT)).header("idempotency-key", "k").json(&chat(json!({})));
    let answer = answer.send().await.unwrap();
    let id = answer.headers()["x-jetmill-inference-id"].to_str().unwrap().to_owned();
    let answer: Value = answer.json().await.unwrap();
    assert_eq!(answer["choices"][0]["message"]["content"], "Hello, wörld!");
    let again: Value = ask().send().await.unwrap().json().await.unwrap();
    assert_eq!((again, requests().await), (answer, 1));

    let (status, erased) = erase(&node, &id).await;
    assert_eq!((status, &erased["num_keys"], keys().await), (200, &json!(2), 0), "{erased}");
}

#[tokio::test]
async fn what_has_not_ended_or_never_was_is_not_erased() {
    let node = sealed_node(silence()).await;
    let body = json!({"endpoint": CHAT, "body": chat(json!({})), "background": true});
    let document: Value = node.post("/v1/inferences", &body).await.json().await.unwrap();
    let (status, error) = erase(&node, document["id"].as_str().unwrap()).await;
    assert_eq!((status, &error["error"]["code"]), (409, &json!("inference_not_ended")));
    assert_eq!(erase(&node, "0198c6f0a1b27c3d8e4f5061728394a5").await.0, 404);
}
