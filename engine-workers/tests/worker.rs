//! The worker between the memory log and an engine over a real model.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use bus::{ReadFrom, StreamName, subjects};
use engine_workers::cpu_runner::options::{CpuRunnerOptions, KvCapacity};
use engine_workers::lora::registry::{AdapterOptions, AdapterRegistry};
use engine_workers::runner_source::RunnerSource;
use engine_workers::worker::SleepOptions;
use futures_util::StreamExt as _;
use schemas::v1::envelope::Fact;
use schemas::v1::grammar::Kind;
use schemas::v1::{
    CancelRequested, ChatPrompt, FailureKind, FinishReason, Outcome, ToolCall, WorkClass, control_envelope,
    prompt::Content,
};
use schemas::{FactKind, InferenceId, SamplingParams};
use uuid::Uuid;

#[path = "support/lora_fixture.rs"]
mod lora_fixture;
#[path = "support/worker_bench.rs"]
#[expect(dead_code, reason = "later attempts are for the tests of resumption")]
mod worker_bench;

use lora_fixture::{LoraFixture, SMOLLM2};
use serde_json::json;
use worker_bench::{Bench, greedy, text};

#[tokio::test]
async fn an_assignment_becomes_contiguous_frames_and_one_end_that_agrees_with_them() {
    let mut bench = Bench::new(Duration::from_secs(30)).await;
    let chat = ChatPrompt {
        messages_json: r#"[{"role":"user","content":"Name a colour."}]"#.to_owned(),
        add_generation_prompt: true,
        ..ChatPrompt::default()
    };
    let sampling = SamplingParams { n: 2, temperature: 1.0, seed: Some(5), ..greedy(12) };
    let id = bench.assign(1, Content::Chat(chat), sampling).await;
    let (choices, outcome) = bench.answer(id).await;
    assert_eq!((choices.len(), outcome), (2, Outcome::Completed));
    let ended = bench.ended(id).await;
    for choice in ended.choices {
        assert_eq!(choices[&choice.index], (choice.text.clone(), choice.token_ids.clone()));
        assert_eq!(choice.finish_reason(), FinishReason::Length);
    }
    assert_eq!(ended.usage.unwrap().num_completion_tokens, 24);
    assert_eq!(bench.num_facts(FactKind::Started).await, 1);
}

#[tokio::test]
async fn a_prompt_beyond_the_context_ends_with_the_numbers_and_the_field() {
    let mut bench = Bench::new(Duration::from_secs(30)).await;
    let id = bench.assign(2, text(&"word ".repeat(600)), greedy(8)).await;
    assert_eq!(bench.answer(id).await.1, Outcome::Failed);
    let failure = bench.ended(id).await.failure.unwrap();
    assert_eq!((failure.code.as_str(), failure.param.as_str()), ("context_length_exceeded", "prompt"));
    assert!(failure.message.contains("512"), "{}", failure.message);
    let id = bench.assign(3, text(&"word ".repeat(100_000)), greedy(8)).await;
    assert_eq!(bench.answer(id).await.1, Outcome::Failed);
    let failure = bench.ended(id).await.failure.unwrap();
    assert_eq!((failure.code.as_str(), failure.param.as_str()), ("context_length_exceeded", "prompt"));
    assert!(failure.message.contains("at least"), "{}", failure.message);
    assert_eq!(bench.num_facts(FactKind::Started).await, 0);
}

#[tokio::test]
async fn a_cancelled_inference_ends_early_even_if_it_was_cancelled_before_it_was_assigned() {
    let mut bench = Bench::new(Duration::from_secs(30)).await;
    for number in [3, 4] {
        let id = InferenceId::new(Uuid::from_u128(number));
        let cancel = async |bench: &Bench| {
            let subject = subjects::fact(FactKind::CancelRequested, &bench.tenant, id);
            let fact = Fact::CancelRequested(CancelRequested::default());
            bench.facts.append(id, &bench.tenant, subject, fact).await.unwrap();
        };
        if number == 3 {
            cancel(&bench).await;
        }
        bench.assign(number, text("Once upon a time"), greedy(480)).await;
        if number == 4 {
            bench.next_entries().await;
            cancel(&bench).await;
        }
        while !bench.next_entries().await.iter().any(|entry| entry.end.is_some()) {}
        let ended = bench.ended(id).await;
        assert_eq!(ended.outcome(), Outcome::Cancelled);
        assert!(ended.usage.unwrap().num_completion_tokens < 480);
    }
}

#[tokio::test]
async fn a_worker_that_is_told_to_stop_hands_back_what_it_cannot_finish() {
    let mut bench = Bench::new(Duration::ZERO).await;
    let id = bench.assign(5, text("Once upon a time"), greedy(480)).await;
    bench.next_entries().await;
    bench.shutdown.cancel();
    (&mut bench.worker).await.unwrap().unwrap();
    assert_eq!(bench.num_facts(FactKind::Ended).await, 0);
    let spec = bus::topology::pool_consumer(&bench.pool, WorkClass::Interactive);
    let consumer = bench.log.consumer(&spec).await.unwrap();
    let again = consumer.fetch(1, Duration::from_secs(20)).await.unwrap();
    let envelope = schemas::decode_envelope(&again[0].record.payload).unwrap();
    assert_eq!((envelope.inference_id, again[0].num_delivered), (id.to_string(), 2));
}

#[tokio::test]
async fn the_same_request_gives_the_same_tokens_on_another_worker() {
    let mut answers = Vec::new();
    for _ in 0..2 {
        let mut bench = Bench::new(Duration::from_secs(30)).await;
        let sampling = SamplingParams { temperature: 1.0, ..greedy(24) };
        let id = bench.assign(6, text("The sea is"), sampling).await;
        answers.push(bench.answer(id).await.0);
    }
    assert_eq!(answers[0], answers[1], "without a seed the inference's own id decides");
}

const POINT: &str = r#"{"type":"object","properties":{"x":{"type":"integer","minimum":0,"maximum":99},
    "label":{"enum":["near","far"]}},"required":["x","label"],"additionalProperties":false}"#;

fn constrained(kind: Kind) -> SamplingParams {
    SamplingParams { temperature: 1.0, ignore_eos: false, grammar: Some(kind), ..greedy(60) }
}

#[tokio::test]
async fn every_choice_of_a_constrained_answer_matches_and_stops() {
    let mut bench = Bench::new(Duration::from_secs(30)).await;
    let sampling = SamplingParams { n: 3, ..constrained(Kind::JsonSchema(POINT.to_owned())) };
    let id = bench.assign(7, text("A point as JSON:"), sampling).await;
    let (choices, outcome) = bench.answer(id).await;
    assert_eq!((choices.len(), outcome), (3, Outcome::Completed));
    let schema: serde_json::Value = serde_json::from_str(POINT).unwrap();
    for choice in bench.ended(id).await.choices {
        assert_eq!(choice.finish_reason(), FinishReason::Stop);
        let document: serde_json::Value = serde_json::from_str(&choice.text).unwrap();
        assert!(jsonschema::is_valid(&schema, &document), "{}", choice.text);
    }
}

#[tokio::test]
async fn a_grammar_that_explodes_is_refused_while_others_are_served_as_if_alone() {
    let mut bench = Bench::new(Duration::from_secs(30)).await;
    let story = || (text("Once upon a time"), greedy(40));
    let alone = {
        let (content, sampling) = story();
        let id = bench.assign(8, content, sampling).await;
        bench.answer(id).await.0
    };
    let (content, sampling) = story();
    let id = bench.assign(9, content, sampling).await;
    let refused = [
        Kind::Regex("a?".repeat(8000)),
        Kind::Regex("(a)\\1".to_owned()),
        Kind::JsonSchema("[".repeat(9000)),
    ];
    for (number, bomb) in (100..).zip(refused.clone()) {
        bench.assign(number, text("x"), constrained(bomb)).await;
    }
    // Compiles, and costs more with each token.
    let ambiguous = Kind::Lark("start: start start | \"a\" | start start start".to_owned());
    let costly = bench.assign(200, text("x"), constrained(ambiguous)).await;
    let (mut num_refused, mut choices) = (0, BTreeMap::<u32, (String, Vec<u32>)>::new());
    let mut has_ended = [false; 2];
    while has_ended != [true; 2] || num_refused < refused.len() {
        for entry in bench.next_entries().await {
            let is_story = entry.inference_id == id.to_string();
            if entry.inference_id == costly.to_string() {
                has_ended[1] |= entry.end.is_some();
                continue;
            }
            match entry.end {
                Some(end) if is_story => has_ended[0] = end.outcome() == Outcome::Completed,
                Some(end) => {
                    let failure = end.failure.unwrap();
                    assert_eq!(
                        (failure.kind(), failure.param.as_str()),
                        (FailureKind::InvalidRequest, "grammar")
                    );
                    num_refused += 1;
                }
                None => {
                    let choice = choices.entry(entry.choice).or_default();
                    choice.0.push_str(&entry.text);
                    choice.1.extend(entry.token_ids);
                }
            }
        }
    }
    assert_eq!(choices, alone);
}

/// The calls that the frames of an inference add up to.
async fn heard_calls(bench: &mut Bench, id: InferenceId) -> Vec<ToolCall> {
    let mut calls: Vec<ToolCall> = Vec::new();
    loop {
        for entry in bench.next_entries().await {
            assert_eq!(entry.inference_id, id.to_string());
            for delta in entry.tool_calls {
                match calls.get_mut(delta.index as usize) {
                    Some(call) => call.arguments.push_str(&delta.arguments),
                    None => {
                        calls.push(ToolCall { id: delta.id, name: delta.name, arguments: delta.arguments })
                    }
                }
            }
            if entry.end.is_some() {
                return calls;
            }
        }
    }
}

#[tokio::test]
async fn a_call_that_is_demanded_is_made_alike_by_every_worker() {
    let parameters = r#"{"type":"object","properties":{"city":{"type":"string","maxLength":12},
        "unit":{"enum":["celsius","fahrenheit"]}},"required":["city","unit"],"additionalProperties":false}"#;
    let function = |name: &str| {
        format!(r#"{{"type":"function","function":{{"name":"{name}","parameters":{parameters}}}}}"#)
    };
    let chat = ChatPrompt {
        messages_json: r#"[{"role":"user","content":"What is the weather in Rome?"}]"#.to_owned(),
        tools_json: format!("[{},{}]", function("set_alarm"), function("get_weather")),
        tool_choice: "function:get_weather".to_owned(),
        add_generation_prompt: true,
        ..ChatPrompt::default()
    };
    let mut made = Vec::new();
    for _ in 0..2 {
        let mut bench = Bench::new(Duration::from_secs(30)).await;
        let sampling = SamplingParams { temperature: 1.3, ignore_eos: false, ..greedy(80) };
        let id = bench.assign(7, Content::Chat(chat.clone()), sampling).await;
        let heard = heard_calls(&mut bench, id).await;
        let ended = bench.ended(id).await;
        let choice = &ended.choices[0];
        assert_eq!(choice.finish_reason(), FinishReason::ToolCalls);
        assert_eq!((choice.text.as_str(), &choice.tool_calls), ("", &heard));
        made.push(heard);
    }
    assert_eq!(made[0], made[1]);
    assert_eq!((made[0].len(), made[0][0].name.as_str()), (1, "get_weather"));
    let arguments: serde_json::Value = serde_json::from_str(&made[0][0].arguments).unwrap();
    assert!(arguments["city"].is_string() && arguments["unit"].is_string(), "{arguments}");
}

#[tokio::test]
async fn questions_about_tokens_are_answered() {
    let bench = Bench::new(Duration::from_secs(30)).await;
    let ask = async |question: &str, body: &str| {
        let subject = subjects::query(&bench.pool, question);
        loop {
            // The worker subscribes while it starts.
            match bench.log.ask(subject.clone(), body.to_owned().into(), Duration::from_secs(5)).await {
                Err(bus::BusError::NoResponder(_)) => tokio::task::yield_now().await,
                answer => break serde_json::from_slice::<serde_json::Value>(&answer.unwrap()).unwrap(),
            }
        }
    };
    let tokenized = ask("tokenize", r#"{"prompt":"Hello world","return_token_strs":true}"#).await;
    assert_eq!(tokenized["count"], 2);
    assert_eq!(tokenized["token_strs"], serde_json::json!(["Hello", " world"]));
    let tokens = serde_json::json!({ "tokens": tokenized["tokens"] }).to_string();
    assert_eq!(ask("detokenize", &tokens).await["prompt"], "Hello world");
    assert_eq!(ask("detokenize", r#"{"tokens":[999999]}"#).await["error"]["kind"], "invalid_request");
    assert_eq!(ask("tokenize", r#"{"prompt":3}"#).await["error"]["kind"], "invalid_request");
}

/// A worker that may load the fixtures `poems` and `sql` from a directory.
async fn bench_with_adapters(dir: &Path) -> Bench {
    for (seed, name) in [(1, "poems"), (2, "sql")] {
        LoraFixture { seed, ..SMOLLM2 }.write(&dir.join(name));
    }
    let options =
        AdapterOptions { dir: Some(dir.to_owned()), max_num_adapters: 2, ..AdapterOptions::default() };
    Bench::with(Duration::from_secs(30), |worker, base, _| {
        worker.with_adapters(AdapterRegistry::new(base, vec!["smol".to_owned()], options))
    })
    .await
}

#[tokio::test]
async fn an_adapter_is_loaded_used_beside_the_base_and_unloaded() {
    let dir = tempfile::tempdir().unwrap();
    let mut bench = bench_with_adapters(dir.path()).await;
    let tokens = async |bench: &mut Bench, model: &str, number| {
        let id = bench.assign_to(model, number, text("Once upon a time"), greedy(12)).await;
        let (choices, outcome) = bench.answer(id).await;
        assert_eq!(outcome, Outcome::Completed);
        (choices[&0].1.clone(), bench.ended(id).await.engine_fingerprint)
    };
    let (base, base_fingerprint) = tokens(&mut bench, "smol", 1).await;
    let mut alone = Vec::new();
    for (number, name) in [(2, "poems"), (3, "sql")] {
        let answer = bench.tell("load_lora", json!({"lora_name": name, "lora_path": name})).await;
        let announced = bench.announced(&answer).await;
        let adapter = announced.adapters.iter().find(|adapter| adapter.name == name).unwrap();
        let (found, fingerprint) = tokens(&mut bench, name, number).await;
        assert_ne!(found, base);
        assert_eq!(fingerprint, format!("{base_fingerprint}+lora-{}", &adapter.digest[..12]));
        alone.push(found);
    }
    assert_ne!(alone[0], alone[1]);

    let ids = [
        bench.assign_to("smol", 4, text("Once upon a time"), greedy(12)).await,
        bench.assign_to("poems", 5, text("Once upon a time"), greedy(12)).await,
        bench.assign_to("sql", 6, text("Once upon a time"), greedy(12)).await,
    ];
    let mut num_ended = 0;
    while num_ended < ids.len() {
        num_ended += bench.next_entries().await.iter().filter(|entry| entry.end.is_some()).count();
    }
    for (id, expected) in ids.into_iter().zip([&base, &alone[0], &alone[1]]) {
        assert_eq!(&bench.ended(id).await.choices[0].token_ids, expected, "together as alone");
    }

    let answer = bench.tell("unload_lora", json!({"lora_name": "poems"})).await;
    assert_eq!(bench.announced(&answer).await.adapters.len(), 1);
    let id = bench.assign_to("poems", 7, text("Once"), greedy(4)).await;
    assert_eq!(bench.answer(id).await.1, Outcome::Failed);
    assert_eq!(bench.ended(id).await.failure.unwrap().code, "model_not_found");
}

#[tokio::test]
async fn an_adapter_that_cannot_be_loaded_is_refused_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let bench = bench_with_adapters(dir.path()).await;
    let load = |name: &str, path: &str| json!({"lora_name": name, "lora_path": path});
    bench.announced(&bench.tell("load_lora", load("a", "sql")).await).await;
    for (question, code, kind) in [
        (load("b", "../.."), "lora_path", "not_found"),
        (load("b", "/etc"), "lora_path", "not_found"),
        (load("smol", "sql"), "lora_name", "invalid_request"),
        (load("", "sql"), "lora_name", "invalid_request"),
        (load("a", "sql"), "lora_already_loaded", "invalid_request"),
        (json!({"lora_name": "b"}), "invalid_request", "invalid_request"),
    ] {
        let answer = bench.tell("load_lora", question.clone()).await;
        assert_eq!(
            (&answer["error"]["code"], &answer["error"]["kind"]),
            (&json!(code), &json!(kind)),
            "{question}"
        );
    }
    let in_place = json!({"lora_name": "a", "lora_path": "poems", "load_inplace": true});
    bench.announced(&bench.tell("load_lora", in_place).await).await;
    bench.announced(&bench.tell("load_lora", load("b", "sql")).await).await;
    let answer = bench.tell("load_lora", load("c", "sql")).await;
    assert_eq!(answer["error"]["code"], "too_many_loras");
    let answer = bench.tell("unload_lora", json!({"lora_name": "c"})).await;
    assert_eq!(answer["error"]["code"], "lora_not_found");
    let plain = Bench::new(Duration::from_secs(30)).await;
    assert_eq!(plain.tell("load_lora", load("a", "sql")).await["error"]["code"], "lora_not_enabled");
    assert_eq!(plain.tell("sleep", json!({})).await["error"]["code"], "sleep_not_enabled");
}

#[tokio::test]
async fn a_request_waits_while_the_worker_sleeps_and_is_answered_alike_after_it_woke() {
    let mut bench = Bench::with(Duration::from_secs(30), |worker, _, source| {
        worker.with_sleep(SleepOptions { source, obeys: true, after_idle: None })
    })
    .await;
    let first = bench.assign(1, text("The sea is"), greedy(16)).await;
    bench.next_entries().await;
    // What runs is finished first.
    let asleep = bench.tell("sleep", json!({})).await;
    assert!(bench.announced(&asleep).await.is_asleep);
    let expected = bench.ended(first).await.choices[0].token_ids.clone();
    assert_eq!(expected.len(), 16);

    let second = bench.assign(2, text("The sea is"), greedy(16)).await;
    assert!(bench.announced(&bench.tell("sleep", json!({})).await).await.is_asleep, "it sleeps on");
    assert_eq!(bench.num_facts(FactKind::Started).await, 1);
    let awake = bench.tell("wake", json!({})).await;
    assert!(!bench.announced(&awake).await.is_asleep);
    while !bench
        .next_entries()
        .await
        .iter()
        .any(|entry| entry.inference_id == second.to_string() && entry.end.is_some())
    {}
    assert_eq!(bench.ended(second).await.choices[0].token_ids, expected);
}

#[tokio::test]
async fn a_worker_that_finds_too_little_memory_sleeps_on_and_says_so() {
    let bench = Bench::with(Duration::from_secs(30), |worker, _, source| {
        let kv_capacity = KvCapacity::Blocks(1 << 32);
        let options = CpuRunnerOptions { kv_capacity, ..source.options };
        let source = RunnerSource { options, ..source };
        worker.with_sleep(SleepOptions { source, obeys: true, after_idle: None })
    })
    .await;
    let is_sleeping = async || bench.tell("is_sleeping", json!({})).await;
    assert_eq!(is_sleeping().await, json!({"is_sleeping": false}));
    bench.announced(&bench.tell("sleep", json!({})).await).await;
    let error = bench.tell("wake", json!({})).await["error"].clone();
    assert_eq!((&error["code"], &error["kind"]), (&json!("not_enough_memory"), &json!("overloaded")));
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("sleeps on") && message.contains("MiB are available"), "{message}");
    assert_eq!(is_sleeping().await, json!({"is_sleeping": true}));
}

#[tokio::test]
async fn an_idle_worker_sleeps_by_itself_and_wakes_for_the_next_request() {
    let mut bench = Bench::with(Duration::from_secs(30), |worker, _, source| {
        let after_idle = Some(Duration::from_millis(1));
        worker.with_sleep(SleepOptions { source, obeys: false, after_idle })
    })
    .await;
    let patterns = vec![subjects::all_deployments()];
    let mut records = bench.log.read(StreamName::Control, patterns, ReadFrom::Start, true).await.unwrap();
    for number in 1..3 {
        let mut falls_asleep = async || {
            loop {
                let record = records.next().await.unwrap().unwrap();
                let fact = schemas::decode_control(&record.payload).unwrap().fact;
                if let Some(control_envelope::Fact::DeploymentAnnounced(announced)) = fact
                    && announced.is_asleep
                {
                    break;
                }
            }
        };
        falls_asleep().await;
        let id = bench.assign(number, text("The sea is"), greedy(4)).await;
        assert_eq!(bench.answer(id).await.1, Outcome::Completed);
    }
}
