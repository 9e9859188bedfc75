//! Vectors and scores: what is asked of the log, and what the client gets.

use schemas::v1::{
    FailureKind, Pooling, PoolingInput, PoolingTask, Requested, TextPair, TokenIds, pooling_input::Content,
};
use serde_json::{Value, json};

use crate::backend::{Asked, Script, refuse, script};
use crate::client::{CHAT, COMPLETIONS, chat, completion};
use crate::node::{Node, announce_for};

const EMBEDDINGS: &str = "/v1/embeddings";
const RERANK: &str = "/v1/rerank";
const SCORE: &str = "/v1/score";

/// Vectors `[index, −0.5]`, scores `0.1 · length of the document`.
fn pooled() -> Script {
    script(|asked: Asked| async move {
        let pooling = asked.requested.pooling.clone().unwrap();
        let values = pooling.inputs.iter().enumerate().map(|(index, input)| match &input.content {
            Some(Content::Pair(pair)) => vec![0.1 * pair.document.len() as f32],
            _ => vec![index as f32, -0.5],
        });
        asked.end_pooled(values.collect()).await;
    })
}

/// A node with "embed", which embeds and scores, "rank", which only scores, and "smol", which generates.
async fn node(script: Script) -> Node {
    let node = Node::start(script).await;
    announce_for(&node.log, "embed", false, &["embed", "score"]).await;
    announce_for(&node.log, "rank", false, &["score"]).await;
    while node.get("/v1/models/rank").await.status() != 200 {}
    node
}

/// What the only request of a node asked of the log.
async fn requested(path: &str, body: Value) -> Requested {
    let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
    let node = node(script(move |asked: Asked| {
        sender.send(asked.requested.clone()).unwrap();
        async move {
            asked.end_pooled(vec![vec![0.5]; asked.requested.pooling.as_ref().unwrap().inputs.len()]).await
        }
    }))
    .await;
    node.answer(path, &body).await;
    receiver.recv().await.unwrap()
}

fn inputs(contents: Vec<Content>) -> Vec<PoolingInput> {
    contents.into_iter().map(|content| PoolingInput { content: Some(content) }).collect()
}

#[tokio::test]
async fn vectors_come_as_floats_or_as_their_bytes_with_the_tokens_of_all() {
    let node = node(pooled()).await;
    let body = json!({"model": "embed", "input": ["a", "b"], "user": "me"});
    let answer = node.answer(EMBEDDINGS, &body).await;
    assert_eq!(answer["object"], "list");
    assert_eq!(answer["model"], "embed");
    assert_eq!(answer["usage"], json!({"prompt_tokens": 6, "total_tokens": 6}));
    assert_eq!(answer["data"][1], json!({"object": "embedding", "index": 1, "embedding": [1.0, -0.5]}));
    let body = json!({"model": "embed", "input": "a", "encoding_format": "base64"});
    // 0.0 and −0.5, little-endian.
    assert_eq!(node.answer(EMBEDDINGS, &body).await["data"][0]["embedding"], "AAAAAAAAAL8=");
    let response = node.post(EMBEDDINGS, &body).await;
    assert!(response.headers().contains_key("x-jetmill-inference-id"));
}

#[tokio::test]
async fn what_was_asked_reaches_the_log_whole() {
    let body = json!({"model": "org/embed", "input": [[1, 2], [3]], "dimensions": 7, "truncate_prompt_tokens": -1, "priority": 4});
    let found = requested(EMBEDDINGS, body).await;
    let ids = |ids: &[u32]| Content::TokenIds(TokenIds { ids: ids.to_vec() });
    let expected = Pooling {
        task: PoolingTask::Embed.into(),
        inputs: inputs(vec![ids(&[1, 2]), ids(&[3])]),
        dimensions: 7,
        truncate_prompt_tokens: Some(2_048),
    };
    assert_eq!(found.pooling, Some(expected));
    assert_eq!((found.model.as_str(), found.endpoint.as_str(), found.priority), ("org/embed", EMBEDDINGS, 4));
    assert!(found.prompt.is_none() && found.sampling.is_none() && !found.ingress.is_empty());

    let found = requested(EMBEDDINGS, json!({"model": "embed", "input": [5, 6]})).await;
    assert_eq!(found.pooling.unwrap().inputs, inputs(vec![ids(&[5, 6])]), "one list of ids is one input");

    let pair = |query: &str, document: &str| {
        Content::Pair(TextPair { query: query.to_owned(), document: document.to_owned() })
    };
    let found = requested(SCORE, json!({"model": "rank", "text_1": "q", "text_2": ["a", "b"]})).await;
    let expected = Pooling {
        task: PoolingTask::Score.into(),
        inputs: inputs(vec![pair("q", "a"), pair("q", "b")]),
        ..Pooling::default()
    };
    assert_eq!(found.pooling, Some(expected));
    let found = requested(SCORE, json!({"model": "rank", "text_1": ["q", "r"], "text_2": ["a", "b"]})).await;
    assert_eq!(found.pooling.unwrap().inputs, inputs(vec![pair("q", "a"), pair("r", "b")]));
}

#[tokio::test]
async fn documents_come_best_first_and_scores_in_order() {
    let node = node(pooled()).await;
    let mut body = json!({"model": "rank", "query": "q", "documents": ["a", {"text": "bbb"}, "cc"]});
    for path in [RERANK, "/rerank", "/v2/rerank"] {
        let answer = node.answer(path, &body).await;
        let order: Vec<_> = answer["results"].as_array().unwrap().iter().map(|one| &one["index"]).collect();
        assert_eq!(order, [1, 2, 0]);
        assert_eq!(answer["results"][0]["document"]["text"], "bbb");
        assert!((answer["results"][0]["relevance_score"].as_f64().unwrap() - 0.3).abs() < 1e-6);
        assert_eq!(answer["usage"]["total_tokens"], 9);
    }
    body["top_n"] = json!(2);
    body["return_documents"] = json!(false);
    let answer = node.answer(RERANK, &body).await;
    assert_eq!(answer["results"].as_array().unwrap().len(), 2);
    assert!(answer["results"][0].get("document").is_none());

    let body = json!({"model": "embed", "text_1": "q", "text_2": ["aa", "b"]});
    for path in [SCORE, "/score"] {
        let data = &node.answer(path, &body).await["data"];
        assert_eq!((&data[0]["index"], &data[0]["object"]), (&json!(0), &json!("score")));
        assert!((data[0]["score"].as_f64().unwrap() - 0.2).abs() < 1e-6);
    }
}

#[tokio::test]
async fn a_request_at_fault_is_told_which_field() {
    let node = node(pooled()).await;
    let embed = |more: Value| {
        let mut body = json!({"model": "embed", "input": "x"});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    let rank = |more: Value| {
        let mut body = json!({"model": "rank", "query": "q", "documents": ["a"]});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    let score = |first: Value, second: Value| json!({"model": "rank", "text_1": first, "text_2": second});
    let many = vec!["a"; 2_049];
    let (most, long) = (vec!["a"; 2_048], "a".repeat(4_097));
    let table = [
        (EMBEDDINGS, json!({}), 400, Some("model")),
        (EMBEDDINGS, json!([]), 400, None),
        (EMBEDDINGS, json!({"model": "embed"}), 400, Some("input")),
        (EMBEDDINGS, embed(json!({"model": "gpt-9"})), 404, Some("model")),
        (EMBEDDINGS, embed(json!({"model": "smol"})), 400, Some("model")),
        (EMBEDDINGS, embed(json!({"model": "rank"})), 400, Some("model")),
        (EMBEDDINGS, embed(json!({"input": ""})), 400, Some("input")),
        (EMBEDDINGS, embed(json!({"input": []})), 400, Some("input")),
        (EMBEDDINGS, embed(json!({"input": ["a", ""]})), 400, Some("input.1")),
        (EMBEDDINGS, embed(json!({"input": [[1], []]})), 400, Some("input.1")),
        (EMBEDDINGS, embed(json!({"input": [1_000]})), 400, Some("input")),
        (EMBEDDINGS, embed(json!({"input": [1, "a"]})), 400, Some("input")),
        (EMBEDDINGS, embed(json!({"input": {"a": 1}})), 400, Some("input")),
        (EMBEDDINGS, embed(json!({"input": many})), 400, Some("input")),
        (EMBEDDINGS, embed(json!({"encoding_format": "int8"})), 400, Some("encoding_format")),
        (EMBEDDINGS, embed(json!({"dimensions": 0})), 400, Some("dimensions")),
        (EMBEDDINGS, embed(json!({"dimensions": -1})), 400, Some("dimensions")),
        (EMBEDDINGS, embed(json!({"truncate_prompt_tokens": 0})), 400, Some("truncate_prompt_tokens")),
        (EMBEDDINGS, embed(json!({"truncate_prompt_tokens": 2_049})), 400, Some("truncate_prompt_tokens")),
        (RERANK, rank(json!({"model": "smol"})), 400, Some("model")),
        (RERANK, rank(json!({"query": ""})), 400, Some("query")),
        (RERANK, rank(json!({"query": ["a"]})), 400, Some("query")),
        (RERANK, rank(json!({"documents": []})), 400, Some("documents")),
        (RERANK, rank(json!({"documents": ["a", {"text": ""}]})), 400, Some("documents.1")),
        (RERANK, rank(json!({"documents": ["a", 7]})), 400, Some("documents.1")),
        (RERANK, rank(json!({"documents": many})), 400, Some("documents")),
        (RERANK, rank(json!({"query": long, "documents": most})), 400, Some("query")),
        (RERANK, rank(json!({"top_n": -1})), 400, Some("top_n")),
        (RERANK, rank(json!({"max_tokens_per_doc": 5})), 400, Some("max_tokens_per_doc")),
        (SCORE, score(json!("a"), json!([])), 400, Some("text_2")),
        (SCORE, score(json!(long), json!(most)), 400, Some("text_1")),
        (SCORE, score(json!(["a", "b"]), json!(["a", "b", "c"])), 400, Some("text_1")),
        (SCORE, score(json!(["a", "b"]), json!(["a", ""])), 400, Some("text_2.1")),
        (SCORE, score(json!(7), json!("a")), 400, Some("text_1")),
        (CHAT, chat(json!({"model": "embed"})), 400, Some("model")),
        (COMPLETIONS, completion(json!({"model": "rank"})), 400, Some("model")),
    ];
    for (path, body, status, param) in table {
        let response = node.post(path, &body).await;
        let found = response.status().as_u16();
        let answer: Value = response.json().await.unwrap();
        let shown: String = body.to_string().chars().take(100).collect();
        assert_eq!(found, status, "{path} {shown} → {answer}");
        assert_eq!(answer["error"]["param"].as_str(), param, "{path} {shown} → {answer}");
        assert!(answer["error"]["message"].as_str().is_some_and(|message| !message.is_empty()));
    }
}

#[tokio::test]
async fn a_workers_refusal_reaches_the_client_with_its_field() {
    let node = node(refuse(FailureKind::InvalidRequest, "context_length_exceeded", "input.1")).await;
    let response = node.post(EMBEDDINGS, &json!({"model": "embed", "input": ["a", "b"]})).await;
    assert_eq!(response.status(), 400);
    let answer: Value = response.json().await.unwrap();
    assert_eq!(
        (&answer["error"]["code"], &answer["error"]["param"]),
        (&json!("context_length_exceeded"), &json!("input.1"))
    );
}

#[tokio::test]
async fn an_end_that_nobody_heard_is_found_in_the_log() {
    let node = node(script(|asked: Asked| async move {
        asked.log.set_faults(|faults| faults.num_dropped_live = 1);
        asked.end_pooled(vec![vec![1.0]]).await;
    }))
    .await;
    let answer = node.answer(EMBEDDINGS, &json!({"model": "embed", "input": "a"})).await;
    assert_eq!(answer["data"][0]["embedding"], json!([1.0]));
}
