//! The worker between the memory log and an encoder.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bus::{EventLog, FactWriter, LiveMessages, MemoryLog, Stamp, StreamName, subjects};
use engine_workers::cpu_runner::options::CpuRunnerOptions;
use engine_workers::engine::config::EngineConfig;
use engine_workers::loaded_model::{FormatOptions, ModelLoadOptions};
use engine_workers::pooling::worker::PoolingWorker;
use engine_workers::served_model::ServedModel;
use engine_workers::worker::WorkerOptions;
use futures_util::StreamExt as _;
use prost::Message as _;
use schemas::v1::envelope::Fact;
use schemas::v1::pooling_input::Content;
use schemas::v1::{
    Assigned, AttemptFailed, CancelRequested, Ended, Heartbeat, HeldAttempt, Outcome, Pooling, PoolingInput,
    PoolingTask, Prompt, RequestSummary, Requested, TextPair, TokenFrame, TokenIds, WorkClass, prompt,
};
use schemas::{EventId, FactKind, InferenceId, PoolName, TenantId};
use serde_json::{Value, json};
use tokio_util::sync::{CancellationToken, DropGuard};
use uuid::Uuid;

use crate::tiny_encoder::TinyEncoder;

struct Bench {
    log: Arc<dyn EventLog>,
    facts: FactWriter,
    frames: LiveMessages,
    tenant: TenantId,
    pool: PoolName,
    _model: TinyEncoder,
    _stop: DropGuard,
}

impl Bench {
    async fn new(scores: bool, config: Value) -> Self {
        Self::over(TinyEncoder::new(scores, config)).await
    }

    async fn over(model: TinyEncoder) -> Self {
        let log: Arc<dyn EventLog> = Arc::new(MemoryLog::new());
        let counter = AtomicU64::new(1);
        let stamps = Arc::new(move || {
            let next = counter.fetch_add(1, Ordering::Relaxed);
            Stamp { event_id: EventId::new(Uuid::from_u128(u128::from(next))), unix_nanos: next }
        });
        let facts = FactWriter::new(Arc::clone(&log), stamps, "worker", "w1".parse().unwrap());
        let frames = log.listen("tokens.api-1.*".to_owned()).await.unwrap();
        let options = ModelLoadOptions {
            path: model.path().to_owned(),
            name: Some("tiny".to_owned()),
            aliases: Vec::new(),
            formats: FormatOptions::default(),
            runner: CpuRunnerOptions { num_threads: 1, ..CpuRunnerOptions::default() },
            engine: EngineConfig::default(),
            digest_cache_dir: None,
        };
        let Ok(ServedModel::Encoder(encoder)) = ServedModel::load(options) else { panic!("no encoder") };
        let pool: PoolName = "tiny".parse().unwrap();
        let grace = Duration::from_secs(30);
        let options = WorkerOptions { id: "w1".parse().unwrap(), pool: pool.clone(), num_slots: 8, grace };
        let shutdown = CancellationToken::new();
        tokio::spawn(PoolingWorker::new(facts.clone(), *encoder, options).run(shutdown.clone()));
        let tenant = "default".parse().unwrap();
        Self { log, facts, frames, tenant, pool, _model: model, _stop: shutdown.drop_guard() }
    }

    /// Asks and waits for the end.
    async fn ask(&mut self, number: u128, requested: Requested) -> Ended {
        let (id, content_sequence) = self.request(number, requested).await;
        self.assign(id, 1, content_sequence).await;
        self.ended(id).await
    }

    async fn request(&self, number: u128, requested: Requested) -> (InferenceId, u64) {
        let id = InferenceId::new(Uuid::from_u128(number));
        let requested = Requested { model: "tiny".to_owned(), ingress: "api-1".to_owned(), ..requested };
        let subject = subjects::fact(FactKind::Requested, &self.tenant, id);
        self.facts.append(id, &self.tenant, subject.clone(), Fact::Requested(requested)).await.unwrap();
        let content_sequence = self.log.last(StreamName::Inference, subject).await.unwrap().unwrap().sequence;
        (id, content_sequence)
    }

    async fn assign(&self, id: InferenceId, attempt: u32, content_sequence: u64) {
        let summary =
            RequestSummary { ingress: "api-1".to_owned(), content_sequence, ..RequestSummary::default() };
        let assigned = Assigned { attempt, summary: Some(summary), ..Assigned::default() };
        let subject = subjects::assigned(&self.pool, WorkClass::Interactive, id, attempt);
        self.facts.append(id, &self.tenant, subject, Fact::Assigned(assigned)).await.unwrap();
    }

    async fn ended(&mut self, id: InferenceId) -> Ended {
        while !self.next_entries_end(id).await {}
        let subject = subjects::fact(FactKind::Ended, &self.tenant, id);
        let record = self.log.last(StreamName::Inference, subject).await.unwrap().unwrap();
        match schemas::decode_envelope(&record.payload).unwrap().fact {
            Some(Fact::Ended(ended)) => ended,
            other => panic!("not an end: {other:?}"),
        }
    }

    async fn next_entries_end(&mut self, id: InferenceId) -> bool {
        let message = self.frames.next().await.unwrap();
        let frame = TokenFrame::decode(message.payload).unwrap();
        frame.entries.iter().any(|entry| entry.inference_id == id.to_string() && entry.end.is_some())
    }
}

fn pooling(task: PoolingTask, endpoint: &str, contents: Vec<Content>) -> Requested {
    let inputs = contents.into_iter().map(|content| PoolingInput { content: Some(content) }).collect();
    let pooling = Pooling { task: task.into(), inputs, ..Pooling::default() };
    Requested { endpoint: endpoint.to_owned(), pooling: Some(pooling), ..Requested::default() }
}

fn embed(contents: Vec<Content>) -> Requested {
    pooling(PoolingTask::Embed, "/v1/embeddings", contents)
}

fn text(text: &str) -> Content {
    Content::Text(text.to_owned())
}

fn pair(query: &str, document: &str) -> Content {
    Content::Pair(TextPair { query: query.to_owned(), document: document.to_owned() })
}

#[tokio::test]
async fn a_request_of_many_inputs_ends_with_a_vector_for_each_and_the_tokens_of_all() {
    let mut bench = Bench::new(false, json!({})).await;
    let ids = Content::TokenIds(TokenIds { ids: vec![2, 4, 5, 3] });
    let ended = bench.ask(1, embed(vec![text("the sea"), text("a stormy night"), ids])).await;
    assert_eq!(ended.outcome(), Outcome::Completed);
    let tokens: Vec<u32> = ended.pooled.iter().map(|pooled| pooled.num_tokens).collect();
    assert_eq!(tokens, [4, 6, 4]);
    assert_eq!(ended.usage.unwrap().num_prompt_tokens, 14);
    assert!(ended.pooled.iter().all(|pooled| pooled.values.len() == 64));
    assert_eq!(ended.pooled[0].values, ended.pooled[2].values, "a text is what its tokens are");
    assert!(ended.engine_fingerprint.contains("f32"), "{}", ended.engine_fingerprint);
    let again = bench.ask(2, embed(vec![text("a stormy night")])).await;
    assert_eq!(again.pooled[0].values, ended.pooled[1].values, "alone or with others");
}

#[tokio::test]
async fn what_cannot_be_embedded_is_told_with_its_place() {
    let mut bench = Bench::new(false, json!({"matryoshka_dimensions": [16, 32]})).await;
    let (long, huge) = ("sea ".repeat(100), "sea ".repeat(500_000));
    let with = |requested: Requested, change: fn(&mut Pooling)| {
        let mut pooling = requested.pooling.clone().unwrap();
        change(&mut pooling);
        Requested { pooling: Some(pooling), ..requested }
    };
    let outside = Content::TokenIds(TokenIds { ids: vec![14] });
    let prompt = Prompt { content: Some(prompt::Content::Text("hi".to_owned())) };
    let long_pair = vec![pair("sea", "sea"), pair("sea", &long)];
    let table = [
        (embed(vec![text("sea"), text(&long)]), "context_length_exceeded", "input.1"),
        (embed(vec![text(&long)]), "context_length_exceeded", "input"),
        (embed(vec![text(&huge)]), "context_length_exceeded", "input"),
        (embed(vec![outside]), "invalid_token", "input"),
        (
            with(embed(vec![text("sea")]), |pooling| pooling.dimensions = 20),
            "invalid_dimensions",
            "dimensions",
        ),
        (
            with(embed(vec![text("sea")]), |pooling| pooling.dimensions = 65),
            "invalid_dimensions",
            "dimensions",
        ),
        (embed(vec![pair("sea", "sea")]), "invalid_input", "input"),
        (pooling(PoolingTask::Score, "/v1/rerank", long_pair), "context_length_exceeded", "documents.1"),
        (Requested { prompt: Some(prompt), ..Requested::default() }, "unsupported_task", "model"),
    ];
    for (number, (requested, code, param)) in table.into_iter().enumerate() {
        let ended = bench.ask(number as u128 + 1, requested).await;
        assert_eq!(ended.outcome(), Outcome::Failed);
        let failure = ended.failure.unwrap();
        assert_eq!((failure.code.as_str(), failure.param.as_str()), (code, param), "{}", failure.message);
    }
    let cut = with(embed(vec![text(&long), text(&huge)]), |pooling| {
        pooling.dimensions = 16;
        pooling.truncate_prompt_tokens = Some(8);
    });
    let ended = bench.ask(100, cut).await;
    let [vector, of_huge] = &ended.pooled[..] else { panic!("{:?}", ended.failure) };
    assert_eq!((vector.num_tokens, vector.values.len()), (8, 16));
    assert_eq!(vector, of_huge);
    let norm: f32 = vector.values.iter().map(|value| value * value).sum();
    assert!((norm - 1.0).abs() < 1e-5);
}

#[tokio::test]
async fn pairs_are_scored_by_likeness_or_by_the_model_made_for_it() {
    for scores in [false, true] {
        let mut bench = Bench::new(scores, json!({})).await;
        let pairs = vec![pair("the sea", "the sea"), pair("the sea", "a stormy night")];
        let ended = bench.ask(1, pooling(PoolingTask::Score, "/v1/rerank", pairs)).await;
        let values: Vec<f32> = ended.pooled.iter().map(|pooled| pooled.values[0]).collect();
        let tokens: Vec<u32> = ended.pooled.iter().map(|pooled| pooled.num_tokens).collect();
        assert_eq!(tokens, if scores { [7, 9] } else { [8, 10] });
        if scores {
            assert!(values.iter().all(|value| (0.0..=1.0).contains(value)) && values[0] != values[1]);
            let refused = bench.ask(2, embed(vec![text("sea")])).await.failure.unwrap();
            assert_eq!(refused.code, "unsupported_task");
        } else {
            assert!((values[0] - 1.0).abs() < 1e-6 && values[1] < 0.9, "{values:?}");
        }
    }
}

#[tokio::test]
async fn weights_that_are_no_numbers_fail_their_request_and_not_the_worker() {
    let mut model = TinyEncoder::new(false, json!({}));
    let (_, words) = model.tensors.get_mut("embeddings.word_embeddings.weight").unwrap();
    words[7 * 64] = f32::NAN;
    model.write_tensors();
    let mut bench = Bench::over(model).await;
    let failure = bench.ask(1, embed(vec![text("calm")])).await.failure.unwrap();
    assert_eq!(failure.code, "engine_error");
    assert_eq!(bench.ask(2, embed(vec![text("storm")])).await.outcome(), Outcome::Completed);
}

#[tokio::test]
async fn an_inference_that_was_cancelled_before_it_was_assigned_is_not_computed() {
    let mut bench = Bench::new(false, json!({})).await;
    let id = InferenceId::new(Uuid::from_u128(1));
    let subject = subjects::fact(FactKind::CancelRequested, &bench.tenant, id);
    let fact = Fact::CancelRequested(CancelRequested::default());
    bench.facts.append(id, &bench.tenant, subject, fact).await.unwrap();
    // A request before it makes sure that the worker has heard the cancellation or will answer it first.
    bench.ask(2, embed(vec![text("sea")])).await;
    let outcome = bench.ask(1, embed(vec![text("sea"); 1_000])).await.outcome();
    assert!(matches!(outcome, Outcome::Cancelled));
}

#[tokio::test]
async fn an_attempt_that_was_given_up_is_let_go_and_only_the_next_one_is_spoken_for() {
    let mut bench = Bench::new(false, json!({})).await;
    let mut beats = bench.log.listen(subjects::all_heartbeats()).await.unwrap();
    let mut held_until = async |is_there: &dyn Fn(&HeldAttempt) -> bool, expected: bool| loop {
        let beat = Heartbeat::decode(beats.next().await.unwrap().payload).unwrap();
        if beat.held.iter().any(is_there) == expected {
            return;
        }
    };
    let (id, content_sequence) = bench.request(1, embed(vec![text("a stormy night"); 20_000])).await;
    let is_held = |attempt: u32| move |held: &HeldAttempt| held.attempt == attempt && held.is_unproven;
    bench.assign(id, 1, content_sequence).await;
    held_until(&is_held(1), true).await;
    let failed = AttemptFailed { attempt: 1, ..AttemptFailed::default() };
    let subject = subjects::attempt_fact(FactKind::AttemptFailed, &bench.tenant, id, 1);
    bench.facts.append(id, &bench.tenant, subject, Fact::AttemptFailed(failed)).await.unwrap();
    held_until(&is_held(1), false).await;
    bench.assign(id, 2, content_sequence).await;
    held_until(&is_held(2), true).await;
    let subject = subjects::fact(FactKind::CancelRequested, &bench.tenant, id);
    let cancel = Fact::CancelRequested(CancelRequested::default());
    bench.facts.append(id, &bench.tenant, subject, cancel).await.unwrap();
    let ended = bench.ended(id).await;
    assert_eq!((ended.attempt, ended.outcome()), (2, Outcome::Cancelled));
}
