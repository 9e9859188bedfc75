//! What an answer must match, on its way to a worker and back.

use std::sync::{Arc, Mutex};

use schemas::v1::grammar::Kind;
use schemas::v1::{FailureKind, Grammar};
use serde_json::{Value, json};

use crate::backend::{refuse, script};
use crate::client::{CHAT, COMPLETIONS, chat, completion};
use crate::node::Node;

#[tokio::test]
async fn the_grammar_goes_to_the_worker_as_the_client_wrote_it() {
    let seen: Arc<Mutex<Vec<Option<Grammar>>>> = Arc::default();
    let asked = Arc::clone(&seen);
    let node = Node::start(script(move |inference| {
        asked.lock().unwrap().push(inference.requested.sampling.clone().unwrap().grammar);
        async move { inference.say_hello().await }
    }))
    .await;
    let schema = json!({"type": "object", "properties": {"z": {"type": "string"}, "a": {"const": 1.0}}});
    let named = json!({"name": "x", "strict": true, "description": "d", "schema": schema});
    node.answer(CHAT, &chat(json!({"response_format": {"type": "json_schema", "json_schema": named}}))).await;
    node.answer(COMPLETIONS, &completion(json!({"structured_outputs": {"regex": "a+"}}))).await;
    node.answer(CHAT, &chat(json!({"response_format": {"type": "text"}}))).await;
    let kinds: Vec<Option<Kind>> =
        seen.lock().unwrap().drain(..).map(|grammar| grammar.and_then(|grammar| grammar.kind)).collect();
    let expected = [Some(Kind::JsonSchema(schema.to_string())), Some(Kind::Regex("a+".to_owned())), None];
    assert_eq!(kinds, expected);
}

#[tokio::test]
async fn a_grammar_that_the_worker_refuses_is_told_by_the_clients_field() {
    let node = Node::start(refuse(FailureKind::InvalidRequest, "invalid_grammar", "grammar")).await;
    for (more, param) in [
        (json!({"response_format": {"type": "json_object"}}), "response_format"),
        (json!({"structured_outputs": {"regex": "("}}), "structured_outputs"),
    ] {
        for stream in [false, true] {
            let mut body = chat(more.clone());
            body["stream"] = json!(stream);
            let response = node.post(CHAT, &body).await;
            assert_eq!(response.status(), 400);
            let answer: Value = response.json().await.unwrap();
            let error = &answer["error"];
            assert_eq!((&error["param"], &error["code"]), (&json!(param), &json!("invalid_grammar")));
        }
    }
}
