//! A worker that goes on with what another one has published, and lets go of what was given to another one.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bus::{FactWriter, ReadFrom, Stamp, StreamName, subjects};
use futures_util::StreamExt as _;
use prost::Message as _;
use schemas::v1::envelope::Fact;
use schemas::v1::grammar::Kind;
use schemas::v1::{
    AttemptFailed, ChatPrompt, Choice, Ended, FinishReason, FrameEntry, Heartbeat, Outcome, Started,
    TokenFrame, Usage, prompt::Content,
};
use schemas::{EventId, FactKind, InferenceId, SamplingParams};
use uuid::Uuid;

#[path = "support/worker_bench.rs"]
#[expect(dead_code, reason = "administration is for the tests of the worker's own ways")]
mod worker_bench;

use worker_bench::{Attempt, Bench, greedy, text};

/// The writer of a worker that is gone.
fn lost_worker(bench: &Bench) -> FactWriter {
    let stamp = Stamp { event_id: EventId::new(Uuid::from_u128(1 << 64)), unix_nanos: 1 };
    FactWriter::new(Arc::clone(&bench.log), Arc::new(move || stamp), "worker", "w0".parse().unwrap())
}

/// An attempt at one inference in a world of its own: tenant and api node are called after `name`.
fn attempt(name: &str, number: u32) -> Attempt {
    Attempt {
        number,
        inference: InferenceId::new(Uuid::from_u128(7)),
        tenant: name.parse().unwrap(),
        ingress: name.parse().unwrap(),
        model: "smol".to_owned(),
    }
}

/// Entries up to the end of the inference, which is left out.
async fn entries_of(bench: &Bench, attempt: &Attempt, run: impl Future<Output = ()>) -> Vec<FrameEntry> {
    let mut frames = bench.log.listen(subjects::tokens_for(&attempt.ingress)).await.unwrap();
    run.await;
    let mut entries = Vec::new();
    loop {
        let frame = TokenFrame::decode(frames.next().await.unwrap().payload).unwrap();
        for entry in frame.entries {
            if let Some(end) = entry.end {
                assert_eq!(end.outcome(), Outcome::Completed, "{end:?}");
                return entries;
            }
            entries.push(entry);
        }
    }
}

/// What is the same in every attempt, choice by choice.
fn by_choice(entries: &[FrameEntry]) -> BTreeMap<u32, Vec<FrameEntry>> {
    let mut choices: BTreeMap<u32, Vec<FrameEntry>> = BTreeMap::new();
    for entry in entries {
        let same = FrameEntry { attempt: 0, prompt: None, ..entry.clone() };
        choices.entry(entry.choice).or_default().push(same);
    }
    choices
}

fn without_timings(ended: Ended) -> (Vec<Choice>, Usage, Outcome) {
    let usage = ended.usage.unwrap();
    let outcome = ended.outcome();
    (ended.choices, Usage { num_cached_prompt_tokens: 0, ..usage }, outcome)
}

/// Answers once undisturbed; then goes on after each of `cuts` parts of that, as if a worker had been lost there.
async fn check(content: Content, sampling: SamplingParams, cuts: impl Fn(usize) -> Vec<usize>) -> Ended {
    let bench = Bench::new(Duration::from_secs(30)).await;
    let whole = attempt("whole", 1);
    let run = bench.assign_attempt(&whole, content.clone(), sampling.clone());
    let undisturbed = entries_of(&bench, &whole, run).await;
    let ended = bench.ended_of(whole.inference, &whole.tenant).await;
    let lost = lost_worker(&bench);
    for (number, cut) in (2..).zip(cuts(undisturbed.len())) {
        let resumed = attempt(&format!("after-{cut}"), number);
        for (step, entry) in (1..).zip(&undisturbed[..cut]) {
            lost.publish_frame(&resumed.ingress, step, vec![entry.clone()]).await.unwrap();
        }
        let run = bench.assign_attempt(&resumed, content.clone(), sampling.clone());
        let rest = entries_of(&bench, &resumed, run).await;
        assert!(rest.iter().all(|entry| entry.attempt == number));
        let found = by_choice(&[&undisturbed[..cut], &rest].concat());
        if cut < undisturbed.len() {
            assert!(rest.len() <= undisturbed.len() - cut + sampling.n as usize, "nothing is said twice");
        }
        for (choice, entries) in by_choice(&undisturbed) {
            let is_repeated_end = |entry: &&FrameEntry| {
                entry.token_ids.is_empty() && entry.finish_reason() != FinishReason::Unspecified
            };
            let found: Vec<_> = found[&choice].iter().filter(|entry| !is_repeated_end(entry)).collect();
            let expected: Vec<_> = entries.iter().filter(|entry| !is_repeated_end(entry)).collect();
            assert_eq!(found, expected, "choice {choice} after {cut} of {}", undisturbed.len());
        }
        let found = bench.ended_of(resumed.inference, &resumed.tenant).await;
        assert_eq!(found.attempt, number);
        assert_eq!(without_timings(found), without_timings(ended.clone()), "after {cut}");
    }
    ended
}

fn some_cuts(num_entries: usize) -> Vec<usize> {
    let mut cuts = vec![0, 1, num_entries / 3, num_entries / 2, num_entries - 1, num_entries];
    cuts.dedup();
    cuts
}

fn chat(question: &str) -> ChatPrompt {
    ChatPrompt {
        messages_json: serde_json::json!([{"role": "user", "content": question}]).to_string(),
        add_generation_prompt: true,
        ..ChatPrompt::default()
    }
}

#[tokio::test]
async fn several_seeded_choices_with_logprobs_go_on_where_they_stood() {
    let sampling = SamplingParams {
        n: 3,
        temperature: 1.0,
        seed: Some(5),
        logprobs: Some(2),
        ignore_eos: false,
        ..greedy(24)
    };
    check(Content::Chat(chat("Name a colour.")), sampling, some_cuts).await;
}

#[tokio::test]
async fn characters_that_are_split_over_tokens_stay_whole() {
    // Single bytes above ASCII, in the order of the vocabulary: characters, halves of some, and bytes that are none.
    let sampling = SamplingParams {
        temperature: 1.0,
        seed: Some(11),
        allowed_token_ids: (111..=260).collect(),
        ..greedy(40)
    };
    let ended = check(text("\u{4e2d}\u{56fd}"), sampling, |num| (1..num).step_by(3).collect()).await;
    let answer = &ended.choices[0].text;
    assert!(answer.chars().any(|c| !c.is_ascii() && c != char::REPLACEMENT_CHARACTER), "{answer}");
}

#[tokio::test]
async fn a_stop_string_that_spans_the_cut_is_found() {
    let bench = Bench::new(Duration::from_secs(30)).await;
    let whole = attempt("unstopped", 1);
    let run = bench.assign_attempt(&whole, text("Once upon a time"), greedy(24));
    entries_of(&bench, &whole, run).await;
    let answer = bench.ended_of(whole.inference, &whole.tenant).await.choices.remove(0).text;
    let stop: String = answer.chars().skip(30).take(12).collect();
    drop(bench);
    let sampling = SamplingParams { stop: vec![stop.clone()], ..greedy(24) };
    let ended = check(text("Once upon a time"), sampling, |num| (0..=num).collect()).await;
    assert_eq!(ended.choices[0].stop_reason, stop);
}

#[tokio::test]
async fn an_answer_that_must_match_a_schema_goes_on_within_it() {
    let schema = r#"{"type":"object","properties":{"name":{"type":"string","maxLength":12},
        "age":{"type":"integer","minimum":0,"maximum":99}},"required":["name","age"],
        "additionalProperties":false}"#;
    let sampling = SamplingParams {
        temperature: 1.0,
        seed: Some(3),
        ignore_eos: false,
        grammar: Some(Kind::JsonSchema(schema.to_owned())),
        ..greedy(60)
    };
    let ended = check(Content::Chat(chat("A person as JSON:")), sampling, some_cuts).await;
    serde_json::from_str::<serde_json::Value>(&ended.choices[0].text).unwrap();
}

#[tokio::test]
async fn a_call_of_a_tool_goes_on_in_its_arguments() {
    let tools = serde_json::json!([{"type": "function", "function": {"name": "get_weather", "parameters": {
        "type": "object", "properties": {"city": {"type": "string", "maxLength": 12}}, "required": ["city"],
        "additionalProperties": false,
    }}}]);
    let chat = ChatPrompt {
        tools_json: tools.to_string(),
        tool_choice: "required".to_owned(),
        ..chat("What is the weather in Rome?")
    };
    let sampling = SamplingParams { temperature: 1.0, seed: Some(2), ignore_eos: false, ..greedy(60) };
    let ended = check(Content::Chat(chat), sampling, some_cuts).await;
    assert_eq!(ended.choices[0].tool_calls[0].name, "get_weather");
}

/// Waits for the worker's first frame of an attempt.
async fn first_token(bench: &Bench, attempt: &Attempt, run: impl Future<Output = ()>) {
    let mut frames = bench.log.listen(subjects::tokens_for(&attempt.ingress)).await.unwrap();
    run.await;
    frames.next().await.unwrap();
}

async fn give_up(bench: &Bench, attempt: &Attempt) {
    let failed = AttemptFailed { attempt: attempt.number, ..AttemptFailed::default() };
    let subject =
        subjects::attempt_fact(FactKind::AttemptFailed, &attempt.tenant, attempt.inference, attempt.number);
    let fact = Fact::AttemptFailed(failed);
    bench.facts.append(attempt.inference, &attempt.tenant, subject, fact).await.unwrap();
}

#[tokio::test]
async fn a_worker_lets_go_of_an_attempt_that_was_given_up_and_takes_the_next_one() {
    let bench = Bench::new(Duration::from_secs(30)).await;
    let whole = attempt("whole", 1);
    let run = bench.assign_attempt(&whole, text("Once upon a time"), greedy(200));
    let undisturbed = entries_of(&bench, &whole, run).await;

    let [first, second] = [2, 3].map(|number| attempt("given-up", number));
    first_token(&bench, &first, bench.assign_attempt(&first, text("Once upon a time"), greedy(200))).await;
    let run = async {
        give_up(&bench, &first).await;
        bench.reassign(&second).await;
    };
    let mut rest = entries_of(&bench, &second, run).await;
    rest.retain(|entry| entry.attempt == 3);
    let start = rest[0].first_token_index as usize;
    assert!(start > 0, "it goes on and does not begin again");
    assert_eq!(by_choice(&rest)[&0], by_choice(&undisturbed[start..])[&0]);
    let ended = bench.ended_of(second.inference, &second.tenant).await;
    assert_eq!(ended.attempt, 3);
    assert_eq!(ended.choices[0].token_ids.len(), 200);
}

#[tokio::test]
async fn tokens_that_are_gone_are_computed_again_by_the_same_engine_and_by_no_other() {
    let bench = Bench::new(Duration::from_secs(30)).await;
    let whole = attempt("whole", 1);
    let run = bench.assign_attempt(&whole, text("The sea is"), greedy(16));
    let undisturbed = entries_of(&bench, &whole, run).await;
    let fingerprint = bench.ended_of(whole.inference, &whole.tenant).await.engine_fingerprint;
    let lost = lost_worker(&bench);
    for (number, name, fingerprint) in [(2, "same", fingerprint.as_str()), (3, "other", "another engine")] {
        let resumed = attempt(name, number);
        let started =
            Started { attempt: 1, engine_fingerprint: fingerprint.to_owned(), ..Started::default() };
        let subject = subjects::attempt_fact(FactKind::Started, &resumed.tenant, resumed.inference, 1);
        lost.append(resumed.inference, &resumed.tenant, subject, Fact::Started(started)).await.unwrap();
        // The first tokens have aged out of the stream.
        lost.publish_frame(&resumed.ingress, 4, undisturbed[4..8].to_vec()).await.unwrap();
        let run = bench.assign_attempt(&resumed, text("The sea is"), greedy(16));
        if name == "same" {
            let again = entries_of(&bench, &resumed, run).await;
            assert_eq!(by_choice(&again), by_choice(&undisturbed));
            continue;
        }
        let patterns = vec![subjects::all_of(FactKind::AttemptFailed)];
        let mut failed =
            bench.log.read(StreamName::Inference, patterns, ReadFrom::Start, true).await.unwrap();
        run.await;
        let record = failed.next().await.unwrap().unwrap();
        let Some(Fact::AttemptFailed(failed)) = schemas::decode_envelope(&record.payload).unwrap().fact
        else {
            panic!("not a lost attempt");
        };
        assert_eq!(failed.failure.unwrap().code, "tokens_lost");
        assert_eq!(failed.history.unwrap().num_failures, 1);
    }
}

#[tokio::test]
async fn heartbeats_tell_what_is_held_and_when_it_is_held_no_more() {
    let bench = Bench::new(Duration::from_secs(30)).await;
    let mut heartbeats = bench.log.listen(subjects::all_heartbeats()).await.unwrap();
    let held = attempt("held", 1);
    bench.assign_attempt(&held, text("Once upon a time"), greedy(200)).await;
    let mut next = async || {
        let message = heartbeats.next().await.unwrap();
        assert_eq!(message.subject, "heartbeat.w1");
        Heartbeat::decode(message.payload).unwrap().held
    };
    let held = loop {
        if let Some(held) = next().await.pop() {
            break held;
        }
    };
    assert_eq!((held.attempt, held.inference_id.parse()), (1, Ok(InferenceId::new(Uuid::from_u128(7)))));
    assert!(held.assigned_sequence > 0);
    while !next().await.is_empty() {}
}
