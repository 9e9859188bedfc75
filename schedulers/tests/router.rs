//! The router service on the memory log.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bus::{
    Append, DeadLetter, EventLog, Expect, FactWriter, LiveMessages, MemoryLog, ReadFrom, Stamp, StreamName,
    subjects,
};
use futures_util::StreamExt as _;
use prost::Message as _;
use schedulers::routing::{self, RoutingPolicy};
use schemas::v1::envelope::Fact;
use schemas::v1::{
    Admitted, Assigned, AttemptFailed, ControlEnvelope, DeploymentAnnounced, Heartbeat, HeldAttempt, Outcome,
    RequestSummary, TokenFrame, WorkClass, control_envelope,
};
use schemas::{EventId, FactKind, InferenceId, TenantId, WrittenBy};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

struct Bench {
    log: Arc<dyn EventLog>,
    facts: FactWriter,
    frames: LiveMessages,
    tenant: TenantId,
}

impl Bench {
    async fn new() -> Self {
        let log: Arc<dyn EventLog> = Arc::new(MemoryLog::new());
        let counter = AtomicU64::new(1);
        let stamps = Arc::new(move || {
            let next = counter.fetch_add(1, Ordering::Relaxed);
            Stamp { event_id: EventId::new(Uuid::from_u128(u128::from(next))), unix_nanos: next }
        });
        let facts = FactWriter::new(Arc::clone(&log), stamps, "router", "r1".parse().unwrap());
        let frames = log.listen("tokens.api-1.*".to_owned()).await.unwrap();
        tokio::spawn(routing::serve(facts.clone(), RoutingPolicy::default(), CancellationToken::new()));
        Self { log, facts, frames, tenant: "default".parse().unwrap() }
    }

    async fn announce(&self, deployment: &str, model: &str) {
        let fact = control_envelope::Fact::DeploymentAnnounced(DeploymentAnnounced {
            deployment: deployment.to_owned(),
            pool: model.to_owned(),
            model: model.to_owned(),
            ..DeploymentAnnounced::default()
        });
        let by = WrittenBy { event_id: EventId::new(Uuid::nil()), at_unix_nanos: 0, writer: "test" };
        let append = Append {
            stream: StreamName::Control,
            subject: subjects::control_deployment(&deployment.parse().unwrap()),
            payload: ControlEnvelope::new(&by, fact).encode_to_vec().into(),
            expect: Expect::Anything,
        };
        self.log.append(append).await.unwrap();
    }

    fn summary(model: &str) -> Option<RequestSummary> {
        Some(RequestSummary {
            model: model.to_owned(),
            ingress: "api-1".to_owned(),
            ..RequestSummary::default()
        })
    }

    async fn admit(&self, id: InferenceId, model: &str) {
        let admitted = Admitted { summary: Self::summary(model), ..Admitted::default() };
        let subject = subjects::fact(FactKind::Admitted, &self.tenant, id);
        self.facts.append(id, &self.tenant, subject, Fact::Admitted(admitted)).await.unwrap();
    }

    async fn lose(&self, id: InferenceId, model: &str, attempt: u32) {
        let failed = AttemptFailed { attempt, summary: Self::summary(model), ..AttemptFailed::default() };
        let subject = subjects::attempt_fact(FactKind::AttemptFailed, &self.tenant, id, attempt);
        self.facts.append(id, &self.tenant, subject, Fact::AttemptFailed(failed)).await.unwrap();
    }

    async fn assignments(&self, num: usize) -> Vec<Assigned> {
        let patterns = vec!["inference.assigned.>".to_owned()];
        let records = self.log.read(StreamName::Inference, patterns, ReadFrom::Start, true).await.unwrap();
        let records: Vec<_> = records.take(num).collect().await;
        records
            .into_iter()
            .map(|record| match schemas::decode_envelope(&record.unwrap().payload).unwrap().fact {
                Some(Fact::Assigned(assigned)) => assigned,
                other => panic!("{other:?}"),
            })
            .collect()
    }

    async fn next_end(&mut self) -> (String, Outcome, String) {
        let frame = TokenFrame::decode(self.frames.next().await.unwrap().payload).unwrap();
        let end = frame.entries[0].end.clone().unwrap();
        (frame.entries[0].inference_id.clone(), end.outcome(), end.failure.unwrap().code)
    }
}

fn id(number: u128) -> InferenceId {
    InferenceId::new(Uuid::from_u128(number))
}

#[tokio::test(start_paused = true)]
async fn an_admitted_inference_is_assigned_to_a_deployment_of_its_model() {
    let bench = Bench::new().await;
    bench.announce("w1", "smol").await;
    bench.admit(id(1), "smol").await;
    let assigned = &bench.assignments(1).await[0];
    assert_eq!((assigned.attempt, assigned.deployment.as_str(), assigned.pool.as_str()), (1, "w1", "smol"));
}

#[tokio::test(start_paused = true)]
async fn a_model_announced_a_moment_ago_is_found_in_the_log() {
    let bench = Bench::new().await;
    for number in 0..20_u128 {
        let model = format!("m{number}");
        bench.announce(&model, &model).await;
        bench.admit(id(number), &model).await;
    }
    assert_eq!(bench.assignments(20).await.len(), 20);
}

#[tokio::test(start_paused = true)]
async fn an_inference_for_an_unknown_model_ends_and_its_client_is_told() {
    let mut bench = Bench::new().await;
    bench.admit(id(2), "gpt").await;
    assert_eq!(bench.next_end().await, (id(2).to_string(), Outcome::Failed, "model_not_found".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn lost_attempts_are_tried_again_until_they_are_used_up() {
    let mut bench = Bench::new().await;
    bench.announce("w1", "smol").await;
    bench.admit(id(3), "smol").await;
    for attempt in 1..=3 {
        let assigned = bench.assignments(attempt as usize).await;
        assert_eq!(assigned.last().unwrap().attempt, attempt);
        bench.lose(id(3), "smol", attempt).await;
    }
    assert_eq!(bench.next_end().await, (id(3).to_string(), Outcome::Failed, "attempts_exhausted".to_owned()));
}

/// A worker that says once that it holds these attempts, and nothing more.
async fn speak_once(bench: &Bench, worker: &str, held: &[(InferenceId, u32, bool)]) {
    let mut attempts = Vec::new();
    for (inference, attempt, is_unproven) in held {
        let pool = "smol".parse().unwrap();
        let subject = subjects::assigned(&pool, WorkClass::Interactive, *inference, *attempt);
        let record = bench.log.last(StreamName::Inference, subject).await.unwrap().unwrap();
        attempts.push(HeldAttempt {
            inference_id: inference.to_string(),
            attempt: *attempt,
            assigned_sequence: record.sequence,
            is_unproven: *is_unproven,
            ..HeldAttempt::default()
        });
    }
    let heartbeat = Heartbeat {
        worker: worker.to_owned(),
        incarnation: "1".to_owned(),
        held: attempts,
        ..Heartbeat::default()
    };
    let subject = subjects::heartbeat(&worker.parse().unwrap());
    bench.log.send(subject, heartbeat.encode_to_vec().into()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn attempts_of_a_worker_that_falls_silent_go_elsewhere() {
    let bench = Bench::new().await;
    bench.announce("w1", "smol").await;
    bench.admit(id(4), "smol").await;
    bench.assignments(1).await;
    bench.announce("w2", "smol").await;
    for worker in ["w1", "w2"] {
        let held: &[_] = if worker == "w1" { &[(id(4), 1, false)] } else { &[] };
        speak_once(&bench, worker, held).await;
    }
    let assigned = bench.assignments(2).await;
    let history = assigned[1].history.unwrap();
    assert_eq!((assigned[1].attempt, history.num_workers_lost, history.num_blamed), (2, 1, 0));
    assert_eq!(history.num_failures, 0);
}

async fn withdrawals(bench: &Bench) -> Vec<String> {
    let records = bench.log.read(StreamName::Control, Vec::new(), ReadFrom::Start, false).await.unwrap();
    let facts = records.filter_map(async |record| {
        match schemas::decode_control(&record.unwrap().payload).unwrap().fact {
            Some(control_envelope::Fact::DeploymentWithdrawn(withdrawn)) => Some(withdrawn.deployment),
            _ => None,
        }
    });
    facts.collect().await
}

#[tokio::test(start_paused = true)]
async fn the_deployment_of_a_lost_worker_is_withdrawn_once_and_only_where_another_one_answers() {
    let bench = Bench::new().await;
    let policy = RoutingPolicy::default();
    tokio::spawn(routing::serve(bench.facts.clone(), policy, CancellationToken::new()));
    for (deployment, model) in [("w1", "smol"), ("w2", "smol"), ("alone", "qwen")] {
        bench.announce(deployment, model).await;
    }
    let mut ticks = tokio::time::interval(Duration::from_millis(500));
    for _ in 0..30 {
        ticks.tick().await;
        speak_once(&bench, "w2", &[]).await;
    }
    assert_eq!(withdrawals(&bench).await, ["w1"]);
    bench.announce("w1", "smol").await;
    for _ in 0..120 {
        ticks.tick().await;
        speak_once(&bench, "w1", &[]).await;
        speak_once(&bench, "w2", &[]).await;
    }
    assert_eq!(withdrawals(&bench).await, ["w1", "alone"], "nobody came back to it");
}

#[tokio::test(start_paused = true)]
async fn an_inference_that_is_alone_to_blame_for_three_workers_goes_to_the_dead_letters() {
    let mut bench = Bench::new().await;
    bench.announce("w1", "smol").await;
    bench.admit(id(5), "smol").await;
    bench.admit(id(6), "smol").await;
    bench.assignments(2).await;
    for attempt in 1..=3 {
        speak_once(&bench, &format!("w{attempt}"), &[(id(5), attempt, true), (id(6), attempt, false)]).await;
        let num_assigned = if attempt == 3 { 7 } else { 2 + 2 * attempt };
        bench.assignments(num_assigned as usize).await;
    }
    assert_eq!(bench.next_end().await, (id(5).to_string(), Outcome::Failed, "worker_lost".to_owned()));
    let mut letters =
        bench.log.read(StreamName::DeadLetters, Vec::new(), ReadFrom::Start, true).await.unwrap();
    let letter = DeadLetter::decode(&letters.next().await.unwrap().unwrap().payload).unwrap();
    assert_eq!(letter.subject, subjects::attempt_fact(FactKind::AttemptFailed, &bench.tenant, id(5), 3));
    let assigned = bench.assignments(7).await;
    assert_eq!(assigned[6].attempt, 4, "the other one goes on");
}
