//! Requests that cannot be served as they are.

use reqwest::{Client, Method, Response};
use serde_json::{Value, json};

use crate::backend::hello;
use crate::client::{CHAT, COMPLETIONS};
use crate::node::{Node, announce};

/// One node for a whole table; each row is a body and what it must be told.
async fn check(path: &str, table: Vec<(Value, u16, Option<&str>)>) {
    let node = Node::start(hello()).await;
    announce(&node.log, "base", false).await;
    while node.get("/v1/models/base").await.status() != 200 {}
    for (body, status, param) in table {
        let response = node.post(path, &body).await;
        let found = response.status().as_u16();
        let answer: Value = response.json().await.unwrap();
        assert_eq!(found, status, "{body} → {answer}");
        assert_eq!(answer["error"]["param"].as_str(), param, "{body} → {answer}");
        assert!(answer["error"]["message"].as_str().is_some_and(|message| !message.is_empty()));
        assert!(answer["error"]["type"].is_string());
    }
}

fn chat_with(name: &str, value: Value) -> Value {
    let mut body = json!({"model": "smol", "messages": [{"role": "user", "content": "x"}]});
    body[name] = value;
    body
}

fn completion_with(name: &str, value: Value) -> Value {
    let mut body = json!({"model": "smol", "prompt": "x"});
    body[name] = value;
    body
}

#[tokio::test]
async fn a_chat_at_fault_is_told_which_field() {
    let long_stop: Vec<String> = (0..2_000).map(|index| index.to_string()).collect();
    check(
        CHAT,
        vec![
            (json!({}), 400, Some("model")),
            (json!([]), 400, None),
            (json!("text"), 400, None),
            (json!({"model": "smol"}), 400, Some("messages")),
            (json!({"model": 7, "messages": []}), 400, Some("model")),
            (chat_with("model", json!("gpt-9")), 404, Some("model")),
            (chat_with("model", json!("base")), 400, Some("model")),
            (chat_with("messages", json!([])), 400, Some("messages")),
            (chat_with("messages", json!("hi")), 400, Some("messages")),
            (chat_with("messages", json!([{"role": "robot", "content": "x"}])), 400, Some("messages.0.role")),
            (chat_with("messages", json!([{"role": 7, "content": "x"}])), 400, Some("messages.0.role")),
            (chat_with("messages", json!([{"content": "x"}])), 400, Some("messages.0.role")),
            (chat_with("messages", json!([{"role": "user"}])), 400, Some("messages.0.content")),
            (
                chat_with(
                    "messages",
                    json!([{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]),
                ),
                400,
                Some("messages.0.content.0.type"),
            ),
            (chat_with("temperature", json!("hot")), 400, Some("temperature")),
            (chat_with("temperature", json!(2.5)), 400, Some("temperature")),
            (chat_with("temperature", json!(1e39)), 400, Some("temperature")),
            (chat_with("top_p", json!(0)), 400, Some("top_p")),
            (chat_with("top_k", json!(-2)), 400, Some("top_k")),
            (chat_with("n", json!(0)), 400, Some("n")),
            (chat_with("n", json!(1.5)), 400, Some("n")),
            (chat_with("n", json!(100_000)), 400, Some("n")),
            (chat_with("max_tokens", json!(-1)), 400, Some("max_tokens")),
            (chat_with("max_tokens", json!(0)), 400, Some("max_tokens")),
            (chat_with("max_completion_tokens", json!(0)), 400, Some("max_completion_tokens")),
            (chat_with("seed", json!("x")), 400, Some("seed")),
            (chat_with("stop", json!([1])), 400, Some("stop.0")),
            (chat_with("stop", json!(long_stop)), 400, Some("stop")),
            (chat_with("logit_bias", json!({"5": 101})), 400, Some("logit_bias")),
            (chat_with("logit_bias", json!({"5000": 1})), 400, Some("logit_bias")),
            (chat_with("logprobs", json!(3)), 400, Some("logprobs")),
            (chat_with("top_logprobs", json!(3)), 400, Some("top_logprobs")),
            (chat_with("stream", json!("yes")), 400, Some("stream")),
            (chat_with("stream_options", json!({"include_usage": true})), 400, Some("stream_options")),
            (chat_with("tools", json!([{"type": "function"}])), 400, Some("tools.0.function")),
            (chat_with("response_format", json!({"type": "xml"})), 400, Some("response_format.type")),
            (chat_with("response_format", json!("json")), 400, Some("response_format")),
            (chat_with("response_format", json!({"type": "json_schema"})), 400, Some("response_format.json_schema")),
            (
                chat_with(
                    "response_format",
                    json!({"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "strange"}}}),
                ),
                400,
                Some("response_format"),
            ),
            (chat_with("structured_outputs", json!({"regex": "a", "choice": ["b"]})), 400, Some("structured_outputs")),
            (chat_with("structured_outputs", json!({"choice": 7})), 400, Some("structured_outputs.choice")),
            (chat_with("guided_json", json!({"type": "object"})), 400, Some("guided_json")),
            (chat_with("chat_template_kwargs", json!([])), 400, Some("chat_template_kwargs")),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_completion_at_fault_is_told_which_field() {
    check(
        COMPLETIONS,
        vec![
            (json!({"model": "smol"}), 400, Some("prompt")),
            (completion_with("prompt", json!([])), 400, Some("prompt")),
            (completion_with("prompt", json!([[]])), 400, Some("prompt")),
            (completion_with("prompt", json!([1, "a"])), 400, Some("prompt")),
            (completion_with("prompt", json!([1_000])), 400, Some("prompt")),
            (completion_with("prompt", json!({"a": 1})), 400, Some("prompt")),
            (completion_with("prompt", json!(vec!["a"; 300])), 400, Some("prompt")),
            (completion_with("logprobs", json!(true)), 400, Some("logprobs")),
            (completion_with("logprobs", json!(21)), 400, Some("logprobs")),
            (completion_with("suffix", json!("x")), 400, Some("suffix")),
            (completion_with("best_of", json!(4)), 400, Some("best_of")),
            (completion_with("echo", json!(1)), 400, Some("echo")),
            (completion_with("priority", json!(1e10)), 400, Some("priority")),
        ],
    )
    .await;
}

async fn send(client: &Client, node: &Node, content_type: &str, body: &[u8]) -> Response {
    let request = client.post(node.url(CHAT)).header("content-type", content_type).body(body.to_vec());
    request.send().await.unwrap()
}

#[tokio::test]
async fn a_body_that_is_no_json_is_told_where() {
    let node = Node::start(hello()).await;
    let deep = format!("{{\"a\":{}", "[".repeat(1_000_000));
    for (body, words) in [
        (&b""[..], "not valid JSON: EOF"),
        (b"{", "line 1 column 1"),
        (b"{\"model\": \"secret\", }", "line 1 column 21"),
        (b"{\"model\": NaN}", "not valid JSON"),
        (b"{\"model\": \"secret\"} secret", "trailing characters"),
        (b"{\"model\": \"\xff\"}", "not UTF-8 at byte 11"),
        (deep.as_bytes(), "not valid JSON"),
    ] {
        let response = send(&node.client, &node, "application/json", body).await;
        assert_eq!(response.status(), 400);
        let answer: Value = response.json().await.unwrap();
        let message = answer["error"]["message"].as_str().unwrap();
        assert!(message.contains(words), "{message}");
        assert!(!message.contains("secret"), "{message}");
    }
}

#[tokio::test]
async fn only_json_is_taken() {
    let node = Node::start(hello()).await;
    let body = serde_json::to_vec(&chat_with("n", json!(1))).unwrap();
    for (content_type, status) in [
        ("application/json", 200),
        ("application/json; charset=utf-8", 200),
        ("Application/JSON", 200),
        ("text/plain", 415),
        ("multipart/form-data; boundary=x", 415),
    ] {
        let response = send(&node.client, &node, content_type, &body).await;
        assert_eq!(response.status(), status, "{content_type}");
    }
    let untyped = node.client.post(node.url(CHAT)).body(body).send().await.unwrap();
    assert_eq!(untyped.status(), 415);
}

#[tokio::test]
async fn what_is_not_there_is_told_in_the_same_shape() {
    let node = Node::start(hello()).await;
    for (method, path, status, code) in [
        (Method::GET, "/v1/nothing", 404, "route_not_found"),
        (Method::GET, "/v1/chat/completions", 405, "method_not_allowed"),
        (Method::DELETE, "/v1/models", 405, "method_not_allowed"),
        (Method::GET, "/v1/models/gpt-9", 404, "model_not_found"),
        (Method::GET, "/v1/models/%FF", 400, "invalid_path"),
    ] {
        let response = node.client.request(method, node.url(path)).send().await.unwrap();
        assert_eq!(response.status(), status, "{path}");
        assert_eq!(response.headers().contains_key("allow"), status == 405, "{path}");
        let answer: Value = response.json().await.unwrap();
        assert_eq!(answer["error"]["code"], code, "{path}");
    }
}

#[tokio::test]
async fn an_unknown_model_is_told_which_there_are() {
    let node = Node::start(hello()).await;
    let answer: Value = node.post(CHAT, &chat_with("model", json!("gpt-9"))).await.json().await.unwrap();
    let message = answer["error"]["message"].as_str().unwrap();
    assert!(message.contains("'gpt-9'") && message.contains("org/smol, smol"), "{message}");
    assert_eq!(answer["error"]["code"], "model_not_found");
}
