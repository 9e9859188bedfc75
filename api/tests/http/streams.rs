//! Answers as server-sent events.

use std::time::Duration;

use futures_util::StreamExt;
use schemas::failure;
use schemas::v1::{FailureKind, Outcome};
use serde_json::json;
use tokio::sync::mpsc;

use crate::backend::{HELLO, hello, refuse, script, silence};
use crate::client::{CHAT, COMPLETIONS, chat, completion, parse_events, text_of};
use crate::node::Node;

#[tokio::test]
async fn a_chat_streams_in_openai_s_shape() {
    let node = Node::start(hello()).await;
    let response = node.post(CHAT, &chat(json!({"stream": true}))).await;
    let inference = response.headers()["x-jetmill-inference-id"].to_str().unwrap().to_owned();
    let events = parse_events(&response.text().await.unwrap());
    assert_eq!(text_of(&events, 0), "Hello, wörld!");
    let first = events[0].data.as_ref().unwrap();
    assert_eq!(first["object"], "chat.completion.chunk");
    assert_eq!(first["id"], format!("chatcmpl-{inference}"));
    assert_eq!(first["model"], "smol");
    assert_eq!(first["system_fingerprint"], "fp_script");
    assert_eq!(first["choices"][0]["delta"]["role"], "assistant");
    assert_eq!(first.get("usage"), None);
    let last = events[events.len() - 2].data.as_ref().unwrap();
    assert_eq!(last["choices"][0]["finish_reason"], "stop");
    assert!(events.last().unwrap().is_done);
    assert_eq!(events.iter().filter(|event| event.is_done).count(), 1);
    let ids: Vec<&str> = events.iter().filter_map(|event| event.id.as_deref()).collect();
    assert_eq!(*ids.last().unwrap(), format!("{inference}:0:{}-{}f", HELLO.len(), "Hello, wörld!".len()));
}

#[tokio::test]
async fn usage_comes_last_when_asked_for() {
    let node = Node::start(hello()).await;
    let body = json!({"stream": true, "stream_options": {"include_usage": true}});
    let events = node.events(CHAT, &chat(body)).await;
    let usage = &events[events.len() - 2].data.as_ref().unwrap();
    assert_eq!(usage["choices"], json!([]));
    assert_eq!(
        usage["usage"],
        json!({"prompt_tokens": 7, "total_tokens": 10, "completion_tokens": 3,
            "prompt_tokens_details": {"cached_tokens": 4}, "completion_tokens_details": {"reasoning_tokens": 0}})
    );
    assert!(events[0].data.as_ref().unwrap()["usage"].is_null());
    assert!(events[0].data.as_ref().unwrap().get("usage").is_some());

    let body =
        json!({"stream": true, "stream_options": {"include_usage": true, "continuous_usage_stats": true}});
    let events = node.events(COMPLETIONS, &completion(body)).await;
    assert_eq!(events[0].data.as_ref().unwrap()["usage"]["prompt_tokens"], 7);
}

#[tokio::test]
async fn several_choices_of_several_prompts_keep_their_indexes() {
    let node = Node::start(hello()).await;
    let body = json!({"prompt": ["a", "b", "c"], "n": 2, "stream": true});
    let response = node.post(COMPLETIONS, &completion(body)).await;
    let ids: Vec<String> = response.headers()["x-jetmill-inference-id"]
        .to_str()
        .unwrap()
        .split(',')
        .map(str::to_owned)
        .collect();
    assert_eq!(ids.len(), 3);
    let events = parse_events(&response.text().await.unwrap());
    for index in 0..6 {
        assert_eq!(text_of(&events, index), "Hello, wörld!", "choice {index}");
    }
    let last = events.iter().rev().find_map(|event| event.id.clone()).unwrap();
    let position = "3-14f";
    assert!(last.ends_with(&format!(":{position}:{}", [position; 6].join("."))), "{last}");
    assert!(ids.iter().any(|id| last.starts_with(id)), "{last}");
}

#[tokio::test]
async fn an_early_failure_has_its_own_status() {
    let node = Node::start(refuse(FailureKind::InvalidRequest, "context_length_exceeded", "messages")).await;
    let response = node.post(CHAT, &chat(json!({"stream": true}))).await;
    assert_eq!(response.status(), 400);
    assert!(response.headers().contains_key("x-jetmill-inference-id"));
    let body: serde_json::Value = response.json().await.unwrap();
    assert_eq!(body["error"]["code"], "context_length_exceeded");
    assert_eq!(body["error"]["param"], "messages");
}

#[tokio::test]
async fn a_late_failure_is_an_event_and_no_end_mark_follows() {
    let failing = script(|asked| async move {
        asked.publish(vec![asked.token(0, 0)]).await;
        let failure = failure(FailureKind::Internal, "engine_error", "the engine stopped");
        asked.end_with(Outcome::Failed, Some(failure)).await;
    });
    let node = Node::start(failing).await;
    let events = node.events(CHAT, &chat(json!({"stream": true}))).await;
    assert_eq!(text_of(&events, 0), "Hello");
    let last = events.last().unwrap().data.as_ref().unwrap();
    assert_eq!(last["error"]["code"], "engine_error");
    assert!(events.iter().all(|event| !event.is_done));
}

#[tokio::test]
async fn a_client_that_leaves_mid_stream_cancels_its_inference() {
    let (sender, mut reasons) = mpsc::unbounded_channel();
    let waiting = script(move |asked| {
        let sender = sender.clone();
        async move {
            asked.publish(vec![asked.token(0, 0)]).await;
            sender.send(asked.cancel_reason().await).unwrap();
        }
    });
    let node = Node::start(waiting).await;
    let response = node.post(CHAT, &chat(json!({"stream": true}))).await;
    let mut body = response.bytes_stream();
    assert!(body.next().await.is_some());
    drop(body);
    assert_eq!(reasons.recv().await.unwrap(), "client_disconnected");
}

#[tokio::test]
async fn a_silent_stream_gets_its_headers_and_is_kept_open() {
    let node = Node::start_with(silence(), |config| {
        config.timeouts.header_hold = Duration::from_millis(20);
        config.timeouts.keep_alive = Duration::from_millis(20);
        config.timeouts.request = Duration::from_millis(200);
    })
    .await;
    let response = node.post(CHAT, &chat(json!({"stream": true}))).await;
    assert_eq!(response.status(), 200);
    let text = response.text().await.unwrap();
    assert!(text.starts_with(": keep-alive\n\n"), "{text}");
    let events = parse_events(&text);
    assert_eq!(events.last().unwrap().data.as_ref().unwrap()["error"]["code"], "request_timeout");
}

#[tokio::test]
async fn logprobs_and_token_ids_stream_with_their_text() {
    let node = Node::start(hello()).await;
    let body = json!({"stream": true, "logprobs": 2, "return_token_ids": true, "echo": true});
    let events = node.events(COMPLETIONS, &completion(body)).await;
    assert_eq!(text_of(&events, 0), "Say: Hello, wörld!");
    let choices: Vec<_> =
        events.iter().filter_map(|event| Some(event.data.as_ref()?["choices"][0].clone())).collect();
    let list = |name: &str| -> Vec<serde_json::Value> {
        let of_chunk = |choice: &serde_json::Value| choice["logprobs"][name].as_array().cloned();
        choices.iter().filter_map(of_chunk).flatten().collect()
    };
    assert_eq!(list("tokens"), ["Say", ": ", "Hello", ", wör", "ld!"]);
    assert_eq!(list("text_offset"), [0, 3, 5, 10, 15]);
    assert_eq!(list("token_logprobs")[0], json!(null));
    let token_ids: Vec<_> =
        choices.iter().flat_map(|choice| choice["token_ids"].as_array().unwrap().clone()).collect();
    assert_eq!(token_ids, [100, 101, 102]);
    assert_eq!(choices[0]["prompt_token_ids"], json!([1, 2, 3]));
}
