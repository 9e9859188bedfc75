//! Whole answers.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use schemas::v1::{FailureKind, prompt::Content};
use serde_json::json;

use crate::backend::{cancel_reason, hello, refuse, script, silence};
use crate::client::{CHAT, COMPLETIONS, chat, completion};
use crate::node::Node;

#[tokio::test]
async fn a_chat_answers_in_openai_s_shape() {
    let node = Node::start(hello()).await;
    let body = chat(json!({"logprobs": true, "top_logprobs": 2, "return_token_ids": true, "n": 2}));
    let answer = node.answer(CHAT, &body).await;
    assert_eq!(answer["object"], "chat.completion");
    assert_eq!(answer["system_fingerprint"], "fp_script");
    assert_eq!(answer["usage"]["prompt_tokens"], 7);
    assert_eq!(answer["usage"]["completion_tokens"], 6);
    assert_eq!(answer["usage"]["prompt_tokens_details"]["cached_tokens"], 4);
    assert_eq!(answer["prompt_token_ids"], json!([1, 2, 3]));
    for index in 0..2 {
        let choice = &answer["choices"][index];
        assert_eq!(choice["index"], index);
        assert_eq!(
            choice["message"],
            json!({"role": "assistant", "content": "Hello, wörld!", "refusal": null})
        );
        assert_eq!(choice["finish_reason"], "stop");
        assert_eq!(choice["token_ids"], json!([100, 101, 102]));
        let logprobs = choice["logprobs"]["content"].as_array().unwrap();
        assert_eq!(logprobs.len(), 3);
        assert_eq!(
            logprobs[0],
            json!({"token": "Hello", "logprob": -0.25, "bytes": [72, 101, 108, 108, 111], "top_logprobs": [
                {"token": "Hello", "logprob": -0.25, "bytes": [72, 101, 108, 108, 111]},
                {"token": "other", "logprob": -2.0, "bytes": [111, 116, 104, 101, 114]}]})
        );
    }
}

#[tokio::test]
async fn a_completion_answers_each_prompt() {
    let node = Node::start(hello()).await;
    let body = completion(json!({"prompt": [[1, 2], [3]], "logprobs": 1, "echo": true}));
    let answer = node.answer(COMPLETIONS, &body).await;
    assert_eq!(answer["object"], "text_completion");
    assert_eq!(answer["usage"]["prompt_tokens"], 14);
    for index in 0..2 {
        let choice = &answer["choices"][index];
        assert_eq!(choice["index"], index);
        assert_eq!(choice["text"], "Say: Hello, wörld!");
        assert_eq!(choice["logprobs"]["text_offset"], json!([0, 3, 5, 10, 15]));
        assert_eq!(choice["logprobs"]["top_logprobs"][2]["Hello"], -0.25);
        assert_eq!(choice["prompt_logprobs"][1]["2"]["rank"], 1);
    }
}

#[tokio::test]
async fn what_a_client_asked_for_is_what_the_log_holds() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let recorded = Arc::clone(&seen);
    let recording = script(move |asked| {
        recorded.lock().unwrap().push(asked.requested.clone());
        async move { asked.say_hello().await }
    });
    let node = Node::start(recording).await;
    let body = json!({
        "model": "org/smol", "temperature": 0.5, "top_p": 0.9, "top_k": 40, "min_p": 0.1, "seed": -1,
        "stop": ["x", "y"], "stop_token_ids": [5], "ignore_eos": true, "max_completion_tokens": 9, "max_tokens": 4,
        "min_tokens": 2, "presence_penalty": 0.1, "frequency_penalty": 0.2, "repetition_penalty": 1.1,
        "logit_bias": {"7": -3}, "allowed_token_ids": [7, 8], "bad_words": ["bad"], "skip_special_tokens": false,
        "include_stop_str_in_output": true, "truncate_prompt_tokens": 50, "priority": -2, "cache_salt": "s",
        "prompt_logprobs": 3, "chat_template_kwargs": {"enable_thinking": false},
        "user": "u", "metadata": {"a": "b"}, "store": true, "service_tier": "auto", "nobody_knows_this": [1],
    });
    node.answer(CHAT, &chat(body)).await;
    let requested = seen.lock().unwrap().pop().unwrap();
    assert_eq!(requested.model, "org/smol");
    assert_eq!((requested.priority, requested.cache_salt.as_str()), (-2, "s"));
    assert_eq!(requested.endpoint, CHAT);
    assert!(!requested.stream);
    let Some(Content::Chat(prompt)) = requested.prompt.unwrap().content else { panic!("no chat") };
    assert_eq!(prompt.messages_json, r#"[{"role":"user","content":"Say hello"}]"#);
    assert_eq!(prompt.template_kwargs_json, r#"{"enable_thinking":false}"#);
    assert!(prompt.add_generation_prompt && !prompt.continue_final_message);
    let sampling = requested.sampling.unwrap();
    let expected = schemas::v1::SamplingParams {
        n: 1,
        temperature: 0.5,
        top_p: 0.9,
        top_k: 40,
        min_p: 0.1,
        seed: Some(u64::MAX),
        stop: vec!["x".into(), "y".into()],
        stop_token_ids: vec![5],
        ignore_eos: true,
        max_tokens: Some(9),
        min_tokens: 2,
        presence_penalty: 0.1,
        frequency_penalty: 0.2,
        repetition_penalty: 1.1,
        logprobs: None,
        prompt_logprobs: Some(3),
        logit_bias: [(7, -3.0)].into(),
        allowed_token_ids: vec![7, 8],
        bad_words: vec!["bad".into()],
        skip_special_tokens: false,
        include_stop_str_in_output: true,
        truncate_prompt_tokens: Some(50),
        echo: false,
        return_token_ids: false,
        add_special_tokens: None,
        grammar: None,
        thinking_budget_tokens: None,
    };
    assert_eq!(sampling, expected);
}

#[tokio::test]
async fn each_kind_of_failure_reaches_the_client() {
    for (kind, expected) in [
        (FailureKind::InvalidRequest, 400),
        (FailureKind::Refused, 400),
        (FailureKind::NotFound, 404),
        (FailureKind::Timeout, 408),
        (FailureKind::Internal, 500),
        (FailureKind::Overloaded, 503),
    ] {
        let node = Node::start(refuse(kind, "some_code", "prompt")).await;
        let response = node.post(COMPLETIONS, &completion(json!({}))).await;
        assert_eq!(response.status(), expected);
        assert_eq!(response.headers().contains_key("retry-after"), expected == 503);
        let body: serde_json::Value = response.json().await.unwrap();
        assert_eq!(body["error"]["code"], "some_code");
        assert_eq!(body["error"]["message"], "refused by the script");
    }
}

#[tokio::test]
async fn a_request_that_takes_too_long_is_cancelled() {
    let node =
        Node::start_with(silence(), |config| config.timeouts.request = Duration::from_millis(50)).await;
    let response = node.post(CHAT, &chat(json!({}))).await;
    assert_eq!(response.status(), 408);
    assert_eq!(cancel_reason(&node.log, "inference.cancel_requested.>".into()).await, "timeout");
}

#[tokio::test]
async fn a_client_that_does_not_wait_for_its_answer_cancels_its_inference() {
    let node = Node::start(silence()).await;
    let body = chat(json!({}));
    let asked = node.client.post(node.url(CHAT)).json(&body).timeout(Duration::from_millis(100)).send().await;
    assert!(asked.is_err());
    assert_eq!(cancel_reason(&node.log, "inference.cancel_requested.>".into()).await, "client_disconnected");
}
