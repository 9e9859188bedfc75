//! Adapters, sleep and wake on a server as its users run it.

use serde_json::{Value, json};

use crate::client::{Client, chat, text_of};
use crate::lora_fixture::{LoraFixture, SMOLLM2};
use crate::site::{MODEL, Site, model_file};
use crate::wait::{soon, until};

const DRAFTED: &str = "jetmill:spec_decode_num_draft_tokens_total";
const QUESTION: &str = "Name the planets of the solar system.";

async fn post(client: &Client, path: &str, body: Value) -> (u16, String) {
    let response = soon(path, client.post_to(path, &body).send()).await.unwrap();
    (response.status().as_u16(), soon(path, response.text()).await.unwrap())
}

/// The answer of one model to the question.
async fn ask(client: &Client, model: &str) -> (u16, Value) {
    let mut body = chat(QUESTION, 16, false);
    body["model"] = json!(model);
    let (status, text) = post(client, "/v1/chat/completions", body).await;
    (status, serde_json::from_str(&text).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_adapter_is_loaded_used_and_unloaded() {
    let site = Site::new();
    SMOLLM2.write(&site.path("loras/poems"));
    LoraFixture { seed: 2, ..SMOLLM2 }.write(&site.path("elsewhere/sql"));
    let (lora_dir, sql) = (site.path("loras"), site.path("elsewhere/sql"));
    let at_start = format!("sql={}", sql.display());
    let arguments = ["--lora-dir", lora_dir.to_str().unwrap(), "--lora", at_start.as_str()];
    let (_process, client) = site.serve(&arguments).await;

    let load = json!({"lora_name": "poems", "lora_path": "poems"});
    assert_eq!(ask(&client, "poems").await.0, 404);
    let (status, answer) = post(&client, "/v1/load_lora_adapter", load.clone()).await;
    assert_eq!((status, answer.as_str()), (200, "Success: LoRA adapter 'poems' added successfully."));
    let mut answers = Vec::new();
    for model in [MODEL, "poems", "sql"] {
        let (status, answer) = ask(&client, model).await;
        assert_eq!(status, 200, "{answer}");
        answers.push((text_of(&answer).to_owned(), answer["system_fingerprint"].clone()));
    }
    for (a, b) in [(0, 1), (1, 2), (0, 2)] {
        assert_ne!(answers[a].0, answers[b].0);
        assert_ne!(answers[a].1, answers[b].1, "an adapter has its own fingerprint");
    }
    let list: Value = client.get("/v1/models").send().await.unwrap().json().await.unwrap();
    let parents: Vec<_> =
        list["data"].as_array().unwrap().iter().map(|model| (&model["id"], &model["parent"])).collect();
    let of = |name: &str| json!(name);
    assert_eq!(parents, [(&of(MODEL), &Value::Null), (&of("poems"), &of(MODEL)), (&of("sql"), &of(MODEL)),]);

    assert_eq!(post(&client, "/v1/load_lora_adapter", load).await.0, 400);
    let outside = json!({"lora_name": "other", "lora_path": sql});
    assert_eq!(post(&client, "/v1/load_lora_adapter", outside).await.0, 404);
    let (status, _) = post(&client, "/v1/unload_lora_adapter", json!({"lora_name": "poems"})).await;
    assert_eq!(status, 200);
    assert_eq!(ask(&client, "poems").await.0, 404);
    assert_eq!(ask(&client, MODEL).await.1["choices"][0]["message"]["content"], answers[0].0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_waits_for_a_server_that_sleeps() {
    let site = Site::new();
    // The model drafts for itself: both of its copies must go and come back.
    let draft_model = model_file();
    let arguments = ["--enable-sleep", "--draft-model", draft_model.to_str().unwrap()];
    let (process, client) = site.serve(&arguments).await;
    let (status, expected) = ask(&client, MODEL).await;
    assert_eq!(status, 200);
    let awake_bytes = process.resident_bytes();
    assert_eq!(post(&client, "/sleep?level=1", json!({})).await, (200, String::new()));
    let is_sleeping: Value = client.get("/is_sleeping").send().await.unwrap().json().await.unwrap();
    assert_eq!(is_sleeping, json!({"is_sleeping": true}));
    let asleep_bytes = process.resident_bytes();
    // Twice 98 MB of weights are gone, and the blocks of the caches that were used.
    assert!(asleep_bytes + (160 << 20) < awake_bytes, "{asleep_bytes} bytes asleep, {awake_bytes} awake");
    let num_drafted = client.metric(DRAFTED).await;
    assert!(num_drafted > 0.0);

    let waiting = tokio::spawn({
        let client = client.clone();
        async move { ask(&client, MODEL).await }
    });
    until("the request is in the log", async || {
        let rows = site.rows(&[]).await;
        (rows.len() == 2 && rows.iter().any(|row| row["status"] == "assigned")).then_some(())
    })
    .await;
    assert!(!waiting.is_finished());
    assert_eq!(post(&client, "/wake_up", json!({})).await, (200, String::new()));
    let (status, answer) = soon("the answer", waiting).await.unwrap();
    assert_eq!((status, text_of(&answer)), (200, text_of(&expected)));
    assert!(client.metric(DRAFTED).await > num_drafted, "the draft model is back");
}
