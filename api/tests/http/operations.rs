//! Health, models, metrics and the documentation.

use bus::MemoryLog;
use serde_json::{Value, json};

use crate::backend::hello;
use crate::client::{CHAT, chat};
use crate::node::{Node, announce};

#[tokio::test]
async fn readiness_says_what_is_missing() {
    let node = Node::start_bare(MemoryLog::new(), |_| {}).await;
    let response = node.get("/health/readiness").await;
    assert_eq!(response.status(), 503);
    assert!(response.headers().contains_key("retry-after"));
    let answer: Value = response.json().await.unwrap();
    assert_eq!(answer["status"], "not_ready");
    assert!(answer["missing"].as_array().unwrap().contains(&json!("deployment")), "{answer}");
    assert_eq!(node.get("/health").await.status(), 200);

    announce(&node.log, "smol", true).await;
    node.wait_until_ready().await;
    node.log.set_faults(|faults| faults.is_disconnected = true);
    let answer: Value = node.get("/health/readiness").await.json().await.unwrap();
    assert_eq!(answer["missing"], json!(["event log"]));
}

#[tokio::test]
async fn models_are_listed_with_their_aliases() {
    let node = Node::start(hello()).await;
    let list: Value = node.get("/v1/models").await.json().await.unwrap();
    assert_eq!(list["object"], "list");
    let ids: Vec<&str> =
        list["data"].as_array().unwrap().iter().map(|model| model["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["smol", "org/smol"]);
    let model: Value = node.get("/v1/models/org/smol").await.json().await.unwrap();
    assert_eq!((model["id"].as_str(), model["root"].as_str()), (Some("org/smol"), Some("smol")));
    assert_eq!(model["max_model_len"], 2_048);
    assert_eq!(model["object"], "model");
    assert!(model["created"].as_u64().unwrap() > 1_600_000_000);
}

#[tokio::test]
async fn metrics_follow_the_requests() {
    let node = Node::start_with(hello(), |config| {
        config
            .extra_metrics
            .push(std::sync::Arc::new(|text| text.push_str("jetmill:num_requests_running 0\n")));
    })
    .await;
    node.answer(CHAT, &chat(json!({}))).await;
    node.post(CHAT, &json!({})).await;
    let text = node.get("/metrics").await.text().await.unwrap();
    for line in [
        "jetmill:request_success_total{finished_reason=\"stop\"} 1",
        "jetmill:prompt_tokens_total 7",
        "jetmill:generation_tokens_total 3",
        "jetmill:time_to_first_token_seconds_count 1",
        "jetmill:inter_token_latency_seconds_count 2",
        "jetmill:e2e_request_latency_seconds_count 1",
        "jetmill:num_inferences_in_flight 0",
        "jetmill:num_requests_running 0",
        "jetmill:http_requests_total{route=\"/v1/chat/completions\",method=\"POST\",status=\"200\"} 1",
        "jetmill:http_requests_total{route=\"/v1/chat/completions\",method=\"POST\",status=\"400\"} 1",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
}

#[tokio::test]
async fn the_documentation_holds_every_route() {
    let node = Node::start(hello()).await;
    let document: Value = node.get("/openapi.json").await.json().await.unwrap();
    let paths: Vec<&String> = document["paths"].as_object().unwrap().keys().collect();
    for path in
        [CHAT, "/v1/completions", "/v1/models", "/tokenize", "/detokenize", "/metrics", "/health/readiness"]
    {
        assert!(paths.iter().any(|found| *found == path), "{path} is not in {paths:?}");
    }
    let text = document.to_string();
    assert!(text.contains("repetition_penalty") && text.contains("messages"));
    for reference in text.split("\"#/components/schemas/").skip(1) {
        let name = reference.split('"').next().unwrap();
        assert!(document["components"]["schemas"].get(name).is_some(), "{name} is referred to and not there");
    }
}
