//! The guardrail service on the memory log.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bus::{
    Append, EventLog, Expect, FactWriter, LiveMessages, MemoryLog, ReadFrom, Record, Stamp, StreamName,
    subjects,
};
use futures_util::{StreamExt as _, TryStreamExt as _};
use guardrails::{Policy, PolicySpec};
use prost::Message as _;
use schemas::v1::envelope::Fact;
use schemas::v1::{
    Outcome, Pooling, PoolingInput, Prompt, Requested, TokenFrame, pooling_input, prompt::Content,
};
use schemas::{EventId, FactHash, FactKind, InferenceId};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

struct Bench {
    log: Arc<dyn EventLog>,
    facts: FactWriter,
    frames: LiveMessages,
    shutdown: CancellationToken,
}

impl Bench {
    async fn new() -> Self {
        let log: Arc<dyn EventLog> = Arc::new(MemoryLog::new());
        let counter = AtomicU64::new(1);
        let stamps = Arc::new(move || {
            let next = counter.fetch_add(1, Ordering::Relaxed);
            Stamp { event_id: EventId::new(Uuid::from_u128(u128::from(next))), unix_nanos: next }
        });
        let facts = FactWriter::new(Arc::clone(&log), stamps, "guardrail", "g1".parse().unwrap());
        let frames = log.listen("tokens.api-1.*".to_owned()).await.unwrap();
        let shutdown = CancellationToken::new();
        let spec = PolicySpec { blocked_terms: vec!["zebra".to_owned()], ..PolicySpec::default() };
        tokio::spawn(guardrails::serve(facts.clone(), Policy::new(&spec).unwrap(), shutdown.clone()));
        Self { log, facts, frames, shutdown }
    }

    async fn request(&self, id: u128, text: &str) -> InferenceId {
        let inference = InferenceId::new(Uuid::from_u128(id));
        let tenant = "default".parse().unwrap();
        let requested = Requested {
            model: "m".to_owned(),
            ingress: "api-1".to_owned(),
            prompt: Some(Prompt { content: Some(Content::Text(text.to_owned())) }),
            ..Requested::default()
        };
        let subject = subjects::fact(FactKind::Requested, &tenant, inference);
        self.facts.append(inference, &tenant, subject, Fact::Requested(requested)).await.unwrap();
        inference
    }

    async fn next_fact(&self, pattern: &str) -> (Record, Fact) {
        let mut records = self
            .log
            .read(StreamName::Inference, vec![pattern.to_owned()], ReadFrom::Start, true)
            .await
            .unwrap();
        let record = records.next().await.unwrap().unwrap();
        let fact = schemas::decode_envelope(&record.payload).unwrap().fact.unwrap();
        (record, fact)
    }
}

#[tokio::test(start_paused = true)]
async fn an_allowed_request_is_admitted_with_the_sequence_of_its_content() {
    let bench = Bench::new().await;
    bench.request(1, "hello").await;
    let (first, requested) = bench.next_fact("inference.requested.>").await;
    let (second, admitted) = bench.next_fact("inference.admitted.>").await;
    let previous_hash = schemas::decode_envelope(&second.payload).unwrap().previous_hash;
    assert_eq!(FactHash::from_slice(&previous_hash), Some(FactHash::of(&first.payload)));
    let (Fact::Requested(requested), Fact::Admitted(admitted)) = (requested, admitted) else {
        panic!("other facts")
    };
    let summary = admitted.summary.unwrap();
    assert_eq!((summary.content_sequence, summary.model), (1, requested.model));
    assert_eq!(admitted.verdicts.len(), 2);
    bench.shutdown.cancel();
}

#[tokio::test(start_paused = true)]
async fn a_refused_request_ends_once_and_its_client_is_told() {
    let mut bench = Bench::new().await;
    let inference = bench.request(2, "a zebra").await;
    let frame = TokenFrame::decode(bench.frames.next().await.unwrap().payload).unwrap();
    let entry = &frame.entries[0];
    assert_eq!(entry.inference_id, inference.to_string());
    assert_eq!(entry.end.as_ref().unwrap().outcome(), Outcome::Rejected);
    let (_, ended) = bench.next_fact("inference.ended.>").await;
    let Fact::Ended(ended) = ended else { panic!("another fact") };
    assert!(!ended.failure.unwrap().message.contains("zebra"), "a refusal repeats no content");
    assert!(!ended.verdicts.last().unwrap().allowed);
}

#[tokio::test(start_paused = true)]
async fn texts_to_embed_pass_the_same_checks() {
    let bench = Bench::new().await;
    for (number, text, kind) in [(1, "a horse", "admitted"), (2, "a Zebra", "ended")] {
        let inference = InferenceId::new(Uuid::from_u128(number));
        let tenant = "default".parse().unwrap();
        let content = Some(pooling_input::Content::Text(text.to_owned()));
        let pooling = Pooling { inputs: vec![PoolingInput { content }], ..Pooling::default() };
        let requested =
            Requested { ingress: "api-1".to_owned(), pooling: Some(pooling), ..Requested::default() };
        let subject = subjects::fact(FactKind::Requested, &tenant, inference);
        bench.facts.append(inference, &tenant, subject, Fact::Requested(requested)).await.unwrap();
        let (record, _) = bench.next_fact(&format!("inference.{kind}.>")).await;
        assert!(record.subject.ends_with(&inference.to_string()));
    }
}

#[tokio::test(start_paused = true)]
async fn a_record_that_is_no_request_goes_to_the_dead_letters() {
    let bench = Bench::new().await;
    let append = Append {
        stream: StreamName::Inference,
        subject: "inference.requested.default.junk".to_owned(),
        payload: vec![0xff; 8].into(),
        expect: Expect::Anything,
    };
    bench.log.append(append).await.unwrap();
    let records = bench.log.read(StreamName::DeadLetters, Vec::new(), ReadFrom::Start, true).await.unwrap();
    let letters: Vec<_> = records.take(1).try_collect().await.unwrap();
    assert_eq!(letters.len(), 1);
}
