//! Calls with and without the key.

use api::MasterKey;
use serde_json::{Value, json};

use crate::backend::hello;
use crate::client::{CHAT, chat};
use crate::node::Node;

async fn keyed(protects_metrics: bool) -> Node {
    Node::start_with(hello(), |config| {
        config.master_key = Some(MasterKey::new("sk-right"));
        config.protects_metrics = protects_metrics;
    })
    .await
}

#[tokio::test]
async fn a_call_needs_the_right_key() {
    let node = keyed(false).await;
    for (header, value, status, code) in [
        ("authorization", "Bearer sk-right", 200, None),
        ("x-api-key", "sk-right", 200, None),
        ("authorization", "Bearer sk-wrong", 401, Some("invalid_api_key")),
        ("authorization", "Bearer sk-right-not", 401, Some("invalid_api_key")),
        ("authorization", "Basic sk-right", 401, Some("missing_api_key")),
        ("x-api-key", "", 401, Some("missing_api_key")),
    ] {
        let request = node.client.post(node.url(CHAT)).header(header, value).json(&chat(json!({})));
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), status, "{header}: {value}");
        assert_eq!(response.headers().contains_key("www-authenticate"), status == 401);
        let answer: Value = response.json().await.unwrap();
        assert_eq!(answer["error"]["code"].as_str(), code);
        assert!(!answer.to_string().contains("sk-"), "{answer}");
    }
}

#[tokio::test]
async fn some_routes_are_open() {
    let node = keyed(false).await;
    for path in
        ["/health", "/health/liveliness", "/health/readiness", "/version", "/openapi.json", "/metrics"]
    {
        assert_eq!(node.get(path).await.status(), 200, "{path}");
    }
    for path in ["/v1/models", "/v1/models/smol", "/tokenize", "/nothing"] {
        assert_eq!(node.get(path).await.status(), 401, "{path}");
    }
    assert_eq!(keyed(true).await.get("/metrics").await.status(), 401);
}
