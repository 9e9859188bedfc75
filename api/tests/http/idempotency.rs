//! `Idempotency-Key`: a retry is the same inference.

use bus::{EventLog, MemoryLog, ReadFrom, StreamName, subjects};
use futures_util::StreamExt;
use reqwest::Response;
use schemas::FactKind;
use serde_json::{Value, json};

use crate::backend::{hello, script};
use crate::client::{CHAT, chat, parse_events, text_of};
use crate::node::{Node, announce_for, withdraw};
use crate::resumption::{pair, step_by_step};

async fn post(node: &Node, path: &str, key: &str, body: &Value) -> Response {
    node.client.post(node.url(path)).header("idempotency-key", key).json(body).send().await.unwrap()
}

#[tokio::test]
async fn the_same_key_and_body_are_the_same_answer_on_every_node() {
    let (script, permits, _) = step_by_step();
    let (first, second) = pair(MemoryLog::new(), script).await;
    let body = chat(json!({"seed": 7}));
    let reordered = json!({"seed": 7, "messages": body["messages"], "model": "smol"});
    let asks = async { tokio::join!(post(&first, CHAT, "k", &body), post(&second, CHAT, "k", &reordered)) };
    let ((one, other), ()) = tokio::join!(asks, async { permits.add_permits(40) });
    let id = |response: &Response| response.headers()["x-jetmill-inference-id"].to_str().unwrap().to_owned();
    assert_eq!(id(&one), id(&other));
    let late = post(&second, CHAT, "k", &body).await;
    let [one, other, late]: [Value; 3] =
        [one.json().await.unwrap(), other.json().await.unwrap(), late.json().await.unwrap()];
    assert_eq!(one["choices"][0]["message"]["content"], "Hello, wörld!");
    assert_eq!(one["usage"], late["usage"]);
    assert_eq!(one["choices"], other["choices"]);
    assert_eq!(one, late);
    let pattern = subjects::all_of(FactKind::Requested);
    let records = first.log.read(StreamName::Inference, vec![pattern], ReadFrom::Start, false).await.unwrap();
    assert_eq!(records.count().await, 1);
}

#[tokio::test]
async fn another_body_under_the_same_key_is_refused_and_nothing_of_it_is_asked() {
    let (first, second) = pair(MemoryLog::new(), hello()).await;
    let body = json!({"model": "smol", "prompt": "a"});
    assert_eq!(post(&first, "/v1/completions", "k", &body).await.status(), 200);
    let others = [
        (CHAT, chat(json!({}))),
        ("/v1/completions", json!({"model": "smol", "prompt": ["a", "b", "c"]})),
        ("/v1/completions", json!({"model": "smol", "prompt": "a", "stream": true})),
    ];
    let last_sequence = || async { first.log.last_sequence(StreamName::Inference).await.unwrap() };
    let before = last_sequence().await;
    for (path, other) in others {
        let response = post(&second, path, "k", &other).await;
        assert_eq!(response.status(), 422, "{other}");
        let error = response.json::<Value>().await.unwrap()["error"].clone();
        assert_eq!(error["code"], "idempotency_key_reused");
    }
    assert_eq!(last_sequence().await, before);
    assert_eq!(post(&second, CHAT, "another", &chat(json!({}))).await.status(), 200);
}

#[tokio::test]
async fn a_repeated_stream_is_the_whole_stream() {
    let (first, second) = pair(MemoryLog::new(), hello()).await;
    let body = chat(json!({"stream": true, "logprobs": true, "stream_options": {"include_usage": true}}));
    let one = parse_events(&post(&first, CHAT, "k", &body).await.text().await.unwrap());
    let other = parse_events(&post(&second, CHAT, "k", &body).await.text().await.unwrap());
    assert_eq!(text_of(&one, 0), text_of(&other, 0));
    let num_logprobs = |events: &[crate::client::Event]| {
        let of = |event: &crate::client::Event| {
            event.data.as_ref()?["choices"][0]["logprobs"]["content"].as_array().map(Vec::len)
        };
        events.iter().filter_map(of).sum::<usize>()
    };
    assert_eq!((num_logprobs(&one), num_logprobs(&other)), (3, 3));
    assert_eq!(one[one.len() - 2].data, other[other.len() - 2].data, "the usage");
}

#[tokio::test]
async fn vectors_come_again_under_their_key() {
    let log = MemoryLog::new();
    announce_for(&log, "bert", false, &["embed"]).await;
    let (first, second) =
        pair(log, script(|asked| async move { asked.end_pooled(vec![vec![0.6, 0.8]]).await })).await;
    let body = json!({"model": "bert", "input": "a"});
    let one = post(&first, "/v1/embeddings", "k", &body).await.json::<Value>().await.unwrap();
    let other = post(&second, "/v1/embeddings", "k", &body).await.json::<Value>().await.unwrap();
    assert_eq!(one["data"][0]["embedding"].as_array().unwrap().len(), 2);
    assert_eq!(one, other);
}

#[tokio::test]
async fn a_failure_is_the_result_too() {
    let (first, second) = pair(
        MemoryLog::new(),
        crate::backend::refuse(schemas::v1::FailureKind::InvalidRequest, "no", "messages"),
    )
    .await;
    for node in [&first, &second] {
        let response = post(node, CHAT, "k", &chat(json!({}))).await;
        assert_eq!(response.status(), 400);
        assert_eq!(response.json::<Value>().await.unwrap()["error"]["code"], "no");
    }
}

#[tokio::test]
async fn bad_keys_and_positions_without_a_key_are_refused() {
    let (first, second) = pair(MemoryLog::new(), hello()).await;
    for key in ["", &"k".repeat(256)] {
        let response = post(&first, CHAT, key, &chat(json!({}))).await;
        assert_eq!(response.status(), 400);
        assert_eq!(response.json::<Value>().await.unwrap()["error"]["param"], "Idempotency-Key");
    }
    let stream = chat(json!({"stream": true}));
    let resume = |key: Option<&'static str>, id: &str| {
        let request = second.client.post(second.url(CHAT)).header("last-event-id", id).json(&stream);
        match key {
            Some(key) => request.header("idempotency-key", key),
            None => request,
        }
        .send()
    };
    let event = "0198c6f0a1b27c3d8e4f5061728394a5:0:1-5";
    for (key, id, status) in
        [(None, event, 400), (Some("k"), event, 400), (Some("k"), "x", 400), (Some("k"), "1-5", 404)]
    {
        let response = resume(key, id).await.unwrap();
        assert_eq!(response.status(), status, "{key:?} {id}");
    }
}

#[tokio::test]
async fn what_was_asked_under_a_key_is_answered_again_after_its_model_is_gone() {
    let (first, second) = pair(MemoryLog::new(), hello()).await;
    let (whole, streamed) = (chat(json!({})), chat(json!({"stream": true})));
    let before: Value = post(&first, CHAT, "k", &whole).await.json().await.unwrap();
    let stream = post(&first, CHAT, "s", &streamed).await.text().await.unwrap();
    withdraw(&first.log, "smol").await;
    // Under no key that was answered once, since that would be answered again.
    let ask = || second.client.post(second.url(CHAT)).json(&whole).send();
    while ask().await.unwrap().status() != 404 {}
    let again: Value = post(&second, CHAT, "k", &whole).await.json().await.unwrap();
    assert_eq!(before, again);
    let streamed_again = post(&second, CHAT, "s", &streamed).await.text().await.unwrap();
    assert_eq!(text_of(&parse_events(&streamed_again), 0), text_of(&parse_events(&stream), 0));
    assert_eq!(post(&second, CHAT, "k", &streamed).await.status(), 422);
}

#[tokio::test]
async fn vectors_scores_and_background_requests_come_again_after_their_model_is_gone() {
    let log = MemoryLog::new();
    announce_for(&log, "bert", false, &["embed", "score"]).await;
    let pooled = script(|asked| async move {
        let num_inputs = asked.requested.pooling.as_ref().unwrap().inputs.len();
        asked.end_pooled((0..num_inputs).map(|index| vec![index as f32]).collect()).await;
    });
    let (first, second) = pair(log, pooled).await;
    let embedding = json!({"model": "bert", "input": ["a", "b"], "encoding_format": "base64"});
    let requests = [
        ("/v1/embeddings", embedding.clone()),
        ("/v1/rerank", json!({"model": "bert", "query": "q", "documents": ["a", {"text": "b"}], "top_n": 1})),
        ("/v1/score", json!({"model": "bert", "text_1": "q", "text_2": ["a", "b"]})),
        ("/v1/inferences", json!({"endpoint": "/v1/embeddings", "body": embedding})),
    ];
    let ask_all = async |node: &Node| {
        let mut answers = Vec::new();
        for (path, body) in &requests {
            let response = post(node, path, path, body).await;
            let status = response.status().as_u16();
            let answer: Value = response.json().await.unwrap();
            // A background request is told how it stands, which changes.
            let told = if status == 202 { answer["id"].clone() } else { answer };
            answers.push((status, told));
        }
        answers
    };
    let before = ask_all(&first).await;
    assert_eq!(before.iter().map(|(status, _)| *status).collect::<Vec<_>>(), [200, 200, 200, 202]);
    withdraw(&first.log, "bert").await;
    for (path, body) in &requests {
        while second.post(path, body).await.status() != 404 {}
    }
    assert_eq!(ask_all(&second).await, before);
    let (path, other) = (requests[1].0, json!({"model": "bert", "query": "r", "documents": ["a"]}));
    assert_eq!(post(&second, path, path, &other).await.status(), 422);
}
