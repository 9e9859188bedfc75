//! Tokens of texts, asked of a worker.

use bus::{EventLog, subjects};
use bytes::Bytes;
use futures_util::StreamExt;
use schemas::PoolName;
use serde_json::{Value, json};

use crate::backend::hello;
use crate::node::Node;

/// Answers every question with `answer` and hands back what was asked.
async fn ask(question: &str, path: &str, body: &Value, answer: Value) -> (u16, Value, Option<Value>) {
    let node = Node::start_with(hello(), |config| {
        config.timeouts.query = std::time::Duration::from_millis(500);
    })
    .await;
    let subject = subjects::query(&PoolName::slug("smol"), question);
    let mut questions = node.log.answer(subject, "workers".to_owned()).await.unwrap();
    let respond = async {
        let asked = questions.next().await.unwrap();
        (asked.reply)(Bytes::from(answer.to_string()));
        serde_json::from_slice(&asked.payload).unwrap()
    };
    let post = node.post(path, body);
    tokio::pin!(post);
    let (response, asked) = tokio::select! {
        biased;
        response = &mut post => (response, None),
        asked = respond => (post.await, Some(asked)),
    };
    (response.status().as_u16(), response.json().await.unwrap(), asked)
}

#[tokio::test]
async fn a_text_becomes_tokens() {
    let found = json!({"count": 2, "max_model_len": 2048, "tokens": [5, 6], "token_strs": ["a", "b"]});
    let body = json!({"prompt": "ab", "return_token_strs": true});
    let (status, answer, asked) = ask("tokenize", "/tokenize", &body, found.clone()).await;
    assert_eq!((status, answer), (200, found));
    assert_eq!(
        asked.unwrap(),
        json!({"prompt": "ab", "add_special_tokens": true, "add_generation_prompt": true,
            "continue_final_message": false, "return_token_strs": true})
    );
}

#[tokio::test]
async fn a_chat_becomes_tokens() {
    let found = json!({"count": 1, "max_model_len": 2048, "tokens": [5], "token_strs": null});
    let body = json!({"model": "smol", "messages": [{"role": "user", "content": "x"}],
        "chat_template_kwargs": {"a": 1}});
    let (status, answer, asked) = ask("tokenize", "/tokenize", &body, found.clone()).await;
    assert_eq!((status, answer), (200, found));
    let asked = asked.unwrap();
    assert_eq!(asked["messages"], json!([{"role": "user", "content": "x"}]));
    assert_eq!(asked["chat_template_kwargs"], json!({"a": 1}));
    assert_eq!(asked["add_special_tokens"], false);
}

#[tokio::test]
async fn tokens_become_a_text() {
    let found = json!({"prompt": "ab"});
    let (status, answer, asked) =
        ask("detokenize", "/detokenize", &json!({"tokens": [5, 6]}), found.clone()).await;
    assert_eq!((status, answer, asked), (200, found, Some(json!({"tokens": [5, 6]}))));
}

#[tokio::test]
async fn a_worker_s_refusal_has_its_status() {
    let refusal = json!({"error": {"code": "context_length_exceeded", "message": "too long", "param": "prompt",
        "kind": "invalid_request"}});
    let (status, answer, _) = ask("tokenize", "/tokenize", &json!({"prompt": "x"}), refusal).await;
    assert_eq!(status, 400);
    assert_eq!(answer["error"]["code"], "context_length_exceeded");
    assert_eq!(answer["error"]["param"], "prompt");
}

#[tokio::test]
async fn what_cannot_be_asked_is_refused() {
    for (path, body, param) in [
        ("/tokenize", json!({}), "prompt"),
        ("/tokenize", json!({"prompt": "x", "messages": []}), "prompt"),
        ("/tokenize", json!({"messages": []}), "messages"),
        ("/detokenize", json!({"tokens": [1000]}), "tokens"),
        ("/detokenize", json!({"tokens": ["x"]}), "tokens.0"),
        ("/detokenize", json!({}), "tokens"),
    ] {
        let (status, answer, _) = ask("nothing", path, &body, json!({})).await;
        assert_eq!((status, answer["error"]["param"].as_str()), (400, Some(param)), "{body}");
    }
}

#[tokio::test]
async fn a_pool_without_workers_is_a_503() {
    let node = Node::start(hello()).await;
    let response = node.post("/tokenize", &json!({"prompt": "x"})).await;
    assert_eq!(response.status(), 503);
    assert!(response.headers().contains_key("retry-after"));
}
