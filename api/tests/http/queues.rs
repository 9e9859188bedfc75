//! What waits for workers, as the log counts it for every node.

use std::pin::pin;

use bus::{Append, EventLog, Expect, MemoryLog, StreamName, subjects, topology};
use schemas::v1::WorkClass;
use schemas::{InferenceId, IngressId, PoolName};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::backend::{self, hello};
use crate::client::{CHAT, chat};
use crate::node::{Node, announce};
use crate::resumption::step_by_step;

/// An assignment that no worker has taken.
async fn assign(log: &MemoryLog, class: WorkClass, number: u128) {
    let append = Append {
        stream: StreamName::Inference,
        subject: subjects::assigned(
            &PoolName::slug("smol"),
            class,
            InferenceId::new(Uuid::from_u128(number)),
            1,
        ),
        payload: "x".into(),
        expect: Expect::FirstOnSubject,
    };
    log.append(append).await.unwrap();
}

/// Returns when the node's metrics have this line.
async fn shows(node: &Node, line: &str) {
    while !node.get("/metrics").await.text().await.unwrap().lines().any(|found| found == line) {}
}

fn waiting(num: u64) -> String {
    format!("jetmill:num_inferences_waiting{{pool=\"smol\"}} {num}")
}

async fn check_refused(node: &Node) {
    let response = node.post(CHAT, &chat(json!({}))).await;
    assert_eq!(response.status(), 429);
    let wait: u64 = response.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=60).contains(&wait));
    let error = &response.json::<Value>().await.unwrap()["error"];
    assert_eq!((&error["code"], &error["type"]), (&json!("queue_full"), &json!("rate_limit_error")));
}

#[tokio::test]
async fn what_waits_in_the_log_fills_the_queue_of_every_node_and_drains_for_all() {
    let log = MemoryLog::new();
    announce(&log, "smol", true).await;
    backend::start(log.clone(), hello()).await;
    let node = async |name: &str| {
        let node = Node::start_bare(log.clone(), |config| {
            config.ingress = IngressId::slug(name);
            config.limits.max_num_waiting_requests = 2;
        });
        let node = node.await;
        node.wait_until_ready().await;
        node
    };
    let (first, second) = (node("api-1").await, node("api-2").await);
    let consumer = topology::pool_consumer(&PoolName::slug("smol"), WorkClass::Interactive);
    let consumer = log.consumer(&consumer).await.unwrap();
    for number in 0..9 {
        let class = if number < 2 { WorkClass::Interactive } else { WorkClass::Batch };
        assign(&log, class, number).await;
    }
    let background = json!({"endpoint": CHAT, "body": chat(json!({})), "background": true});
    for node in [&first, &second] {
        shows(node, &waiting(2)).await;
        check_refused(node).await;
        assert_eq!(node.post("/v1/inferences", &background).await.status(), 202);
    }
    assert_eq!(consumer.fetch(2, std::time::Duration::ZERO).await.unwrap().len(), 2);
    for node in [&first, &second] {
        shows(node, &waiting(0)).await;
        assert_eq!(node.post(CHAT, &chat(json!({}))).await.status(), 200);
    }
}

#[tokio::test]
async fn a_nodes_own_requests_count_at_once_and_a_repeated_one_is_not_one_more() {
    let (script, permits, _) = step_by_step();
    let node = Node::start_with(script, |config| config.limits.max_num_waiting_requests = 2).await;
    let body = chat(json!({}));
    let post = async |key: &str| {
        let request = node.client.post(node.url(CHAT)).header("idempotency-key", key).json(&body);
        request.send().await.unwrap().status().as_u16()
    };
    let fill = async { tokio::join!(post("a"), post("b")) };
    let check = async {
        shows(&node, &waiting(2)).await;
        check_refused(&node).await;
        let mut repeated = pin!(post("a"));
        tokio::select! {
            status = &mut repeated => panic!("{status}"),
            () = shows(&node, "jetmill:num_inferences_in_flight 3") => {}
        }
        permits.add_permits(100);
        repeated.await
    };
    let ((first, second), repeated) = tokio::join!(fill, check);
    assert_eq!([first, second, repeated], [200; 3]);
    shows(&node, &waiting(0)).await;
    assert_eq!(post("c").await, 200);
}
