//! What was answered is answered again, token for token, and what would have been otherwise is told.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::client::{Client, chat};
use crate::lora_fixture::SMOLLM2;
use crate::record::end_of;
use crate::site::{MODEL, Site, fetched, model_file};

impl Site {
    /// `jetmill replay` with the model that answered; its lines as JSON, and whether it succeeded.
    async fn replay(&self, arguments: &[&str]) -> (bool, Vec<Value>) {
        let model = model_file().display().to_string();
        let with_model = ["--model", &model, "--model-name", MODEL];
        let (code, lines) = self.replay_with(&[arguments, &with_model].concat()).await;
        (code == 0, lines)
    }

    /// `jetmill replay`; its exit code and its lines as JSON.
    async fn replay_with(&self, arguments: &[&str]) -> (i32, Vec<Value>) {
        let settings = ["--json", "--num-threads", "1", "--kv-cache-mib", "256"];
        let output = self.run("replay", &[arguments, &settings].concat()).await;
        let text = String::from_utf8(output.stdout).unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        // Shown if the test fails.
        eprintln!("{errors}");
        let lines = text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}")));
        (output.status.code().unwrap(), lines.collect())
    }
}

async fn ask(client: &Client, path: &str, body: &Value) -> String {
    let response = client.post_to(path, body).send().await.unwrap();
    let id = response.headers()["x-jetmill-inference-id"].to_str().unwrap().to_owned();
    let status = response.status();
    assert_eq!(status, 200, "{}", response.text().await.unwrap());
    id
}

/// A chat that draws its tokens, with these further fields.
fn sampled(question: &str, fields: Value) -> Value {
    let mut body = chat(question, 24, false);
    body["temperature"] = json!(0.9);
    body["ignore_eos"] = json!(false);
    body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    body
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_is_computed_again_to_the_same_tokens() {
    let site = Site::new();
    let (_process, client) = site.serve(&[]).await;
    const CHAT: &str = "/v1/chat/completions";
    let schema = json!({"type": "object", "properties": {"name": {"type": "string", "maxLength": 8}},
        "required": ["name"], "additionalProperties": false});
    let tool = json!({"type": "function", "function": {"name": "look_up", "parameters": schema}});
    let bodies = [
        (CHAT, chat("What is a lighthouse?", 24, false)),
        (CHAT, sampled("What is a lighthouse?", json!({}))),
        (
            CHAT,
            sampled("Tell me a story.", json!({"n": 3, "seed": 7, "top_p": 0.8, "presence_penalty": 0.5})),
        ),
        (CHAT, sampled("Who are you?", json!({"logprobs": true, "top_logprobs": 2, "stop": ["."]}))),
        (
            CHAT,
            sampled(
                "A name, please.",
                json!({"response_format":
            {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}}),
            ),
        ),
        (CHAT, sampled("Look up Paris.", json!({"tools": [tool], "tool_choice": "required"}))),
        (
            "/v1/completions",
            json!({"model": MODEL, "prompt": "Once upon a time", "max_tokens": 16, "temperature": 1.2}),
        ),
    ];
    let mut ids = BTreeSet::new();
    for (path, body) in &bodies {
        ids.insert(ask(&client, path, body).await);
    }
    let mut cancelled = client.stream("Tell me a long story.", 400).await;
    cancelled.read_text(40).await;
    ids.insert(cancelled.id.clone());
    drop(cancelled);
    let rows = site.rows_at_the_end(&[], ids.len()).await;
    let facts_before = site.facts(&[], ids.first().unwrap()).await;

    let (is_same, lines) = site.replay(&["--from", "0"]).await;
    let (summary, lines) = lines.split_last().unwrap();
    assert!(is_same, "{lines:#?}");
    for line in lines {
        assert_eq!(line["result"], "match", "{line}");
        assert!(
            line["num_tokens"].as_u64().unwrap() > 0 && line["recorded_engine"] == line["replayed_engine"]
        );
    }
    let replayed: BTreeSet<String> =
        lines.iter().map(|line| line["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(replayed, ids);
    assert_eq!(summary["summary"]["num_matches"], ids.len());

    let (is_same, lines) = site.replay(&[ids.first().unwrap(), "--verify"]).await;
    assert!(is_same && lines.len() == 2, "{lines:?}");
    assert_eq!(site.rows(&[]).await.len(), rows.len(), "the record is only read");
    assert_eq!(site.facts(&[], ids.first().unwrap()).await, facts_before);

    let (is_known, lines) = site.replay(&[&"0".repeat(32), "--verify"]).await;
    assert!(!is_known && lines.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_setup_shows_what_it_would_change() {
    let site = Site::new();
    let (_process, client) = site.serve(&[]).await;
    let blocked = client.whole("What is a lighthouse?", 8).await.0;
    let allowed = client.whole("Hello!", 8).await.0;
    let policy = site.path("policy.toml");
    std::fs::write(&policy, "policy_version = 9\nblocked_terms = [\"Lighthouse\"]\n").unwrap();

    let with_policy = format!("policy={}", policy.display());
    let (is_done, lines) = site.replay(&["--from", "0", "--with", &with_policy]).await;
    assert!(is_done);
    let of = |id: &str| lines.iter().find(|line| line["id"] == id).unwrap();
    assert_eq!(of(&blocked)["verdict"]["recorded"], "allowed");
    assert_eq!(of(&blocked)["verdict"]["changed"], "refused by blocked_terms");
    assert_eq!(of(&allowed)["verdict"]["changed"], "allowed");
    assert_eq!(lines.last().unwrap()["summary"]["num_other_verdicts"], 1);

    let with_model = format!("model={}", model_file().display());
    let (is_done, lines) = site.replay(&["--from", "0", "--with", &with_model, "--with", &with_policy]).await;
    assert!(is_done);
    let of = |id: &str| lines.iter().find(|line| line["id"] == id).unwrap();
    assert_eq!(of(&blocked)["not_answered"], "the changed checks refuse it");
    let answer = &of(&allowed)["answer"];
    assert_eq!(
        (&answer["result"], &answer["recorded_texts"]),
        (&json!("match"), &answer["changed_texts"]),
        "{answer}"
    );
    assert!(answer["changed_millis"].as_f64().unwrap() > 0.0);
}

fn summary(lines: &[Value]) -> &Value {
    &lines.last().unwrap()["summary"]
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_replayed_is_told_and_the_exit_code_says_so() {
    let site = Site::new();
    SMOLLM2.write(&site.path("sql"));
    let adapter = format!("sql={}", site.path("sql").display());
    let encoder = fetched("models/all-minilm-l6-v2/config.json");
    let encoder = encoder.parent().unwrap().display().to_string();
    let config = site.path("jetmill.toml");
    std::fs::write(&config, format!("[[workers]]\nmodel = \"{encoder}\"\nmodel_name = \"minilm\"\n"))
        .unwrap();
    let (_process, client) = site.serve(&["--config", config.to_str().unwrap(), "--lora", &adapter]).await;
    let plain = ask(&client, "/v1/chat/completions", &chat("Hello!", 40, false)).await;
    let mut body = chat("Hello!", 8, false);
    body["model"] = json!("sql");
    let adapted = ask(&client, "/v1/chat/completions", &body).await;
    let inputs = json!({"model": "minilm", "input": ["A happy person", "A happy dog"]});
    let embedded = ask(&client, "/v1/embeddings", &inputs).await;
    site.rows_at_the_end(&[], 3).await;

    let model = model_file().display().to_string();
    let smol = ["--model", model.as_str(), "--model-name", MODEL];
    let verify = async |arguments: &[&str]| site.replay_with(arguments).await;
    let (code, lines) = verify(&[&["--from", "0"], &smol[..]].concat()).await;
    let of = |id: &str| lines.iter().find(|line| line["id"] == id).unwrap();
    assert_eq!(of(&plain)["result"], "match", "{lines:#?}");
    assert!(of(&adapted)["reason"].as_str().unwrap().contains("the adapter 'sql'"), "{lines:#?}");
    assert!(of(&embedded)["reason"].as_str().unwrap().contains("vectors or scores"), "{lines:#?}");
    assert_eq!((code, &summary(&lines)["num_unable"]), (2, &json!(2)), "{lines:#?}");

    let (code, lines) = verify(&[&[adapted.as_str(), "--lora", &adapter], &smol[..]].concat()).await;
    assert_eq!((code, &lines[0]["result"]), (0, &json!("match")), "{lines:#?}");
    let (code, lines) = verify(&[&embedded, "--model", &encoder, "--model-name", "minilm"]).await;
    assert_eq!((code, &lines[0]["result"]), (0, &json!("match")), "{lines:#?}");
    let (code, lines) = verify(&[&plain, "--model", &encoder]).await;
    assert_eq!((code, &lines[0]["result"]), (2, &json!("unable")), "{lines:#?}");
    let (code, lines) = verify(&[&[plain.as_str(), "--max-model-len", "64"], &smol[..]].concat()).await;
    assert_eq!((code, &lines[0]["result"]), (1, &json!("outcome")), "{lines:#?}");

    let sampled = async |seed: &str| {
        let (_, lines) = site.replay(&["--sample", "2", "--seed", seed]).await;
        lines[..2].iter().map(|line| line["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(sampled("7").await, sampled("7").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn routes_and_costs_are_compared_without_a_model() {
    let site = Site::new();
    let first = site.priced("first.toml", "0.6");
    let (_process, client) = site.serve(&["--config", &first]).await;
    let id = client.whole("What is a lighthouse?", 8).await.0;
    site.rows_at_the_end(&[], 1).await;

    let with = format!("config={}", site.priced("dear.toml", "1.2"));
    let (code, lines) = site.replay_with(&["--from", "0", "--with", &with]).await;
    assert_eq!(code, 0);
    let (found, facts) = (&lines[0], site.facts(&[], &id).await);
    assert_eq!(found["routes"][0]["recorded"]["deployment"], "local", "{found}");
    assert_eq!(found["routes"][0]["recorded"], found["routes"][0]["changed"], "the same build decides alike");
    let nanos = |cost: &Value| {
        let (whole, decimals) = cost["amount"].as_str().unwrap().split_once('.').unwrap();
        format!("{whole}{decimals:0<9}").parse::<u64>().unwrap()
    };
    let recorded = end_of(&facts)["cost"]["nanos"].as_str().unwrap().parse::<u64>().unwrap();
    assert_eq!(nanos(&found["cost"]["recorded"]), recorded);
    assert_eq!(
        nanos(&found["cost"]["changed"]),
        recorded + 8 * 600,
        "each token of the answer costs twice as much"
    );
    assert_eq!(summary(&lines)["num_other_routes"], 0);
    assert_eq!(summary(&lines)["costs"]["EUR"]["changed"], found["cost"]["changed"]["amount"]);

    let strict = site.path("strict.toml");
    std::fs::write(&strict, "blocked_terms = [\"lighthouse\"]\n").unwrap();
    let with = format!("policy={}", strict.display());
    let (_, lines) = site.replay_with(&[&id, "--with", &with]).await;
    assert!(
        lines[0]["routes"][0]["changed"].is_null() && lines[0]["cost"]["changed"].is_null(),
        "{lines:#?}"
    );
    assert_eq!(summary(&lines)["num_other_routes"], 1);
}
