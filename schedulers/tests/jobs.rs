//! The jobs service on the memory log, with a codec of plain words and a worker that answers at once.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bus::{
    EventLog, FactWriter, FileWriter, InferenceAddress, JobLog, MemoryLog, ReadFrom, Stamp, StampSource,
    StreamName, subjects,
};
use futures_util::{StreamExt as _, TryStreamExt as _};
use schedulers::jobs::{self, JobsOptions, LineCodec, LinePlace, Row, Unread};
use schemas::batch::{Batch, BatchStatus, EndedInference};
use schemas::v1::envelope::Fact;
use schemas::v1::{
    BatchCancelRequested, BatchCreated, BatchProgressed, Ended, FileCreated, LineCounts, Outcome, Requested,
    job_envelope,
};
use schemas::{BatchId, EventId, FactKind, FileId, TenantId, WorkerId};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

const NEVER: u64 = u64::MAX;

/// A line asks for as many inferences as it says; "bad" asks for none, "nobody" for a model that is not there.
struct Words;

impl LineCodec for Words {
    fn custom_id(&self, line: &[u8]) -> Option<String> {
        String::from_utf8(line.to_vec()).ok()?.split_once(' ').map(|(id, _)| id.to_owned())
    }

    fn read(&self, number: u64, line: &[u8], endpoint: &str) -> Result<Vec<Requested>, Unread> {
        let text = String::from_utf8(line.to_vec()).unwrap();
        let row = self.refuse(number, Some(line), "refused", "");
        match text.split_once(' ').map(|(_, wish)| wish) {
            Some("bad") | None => Err(Unread::Refused(row)),
            Some("nobody") => Err(Unread::UnknownModel { model: "nobody".to_owned(), row }),
            Some(num) => {
                let requested = Requested { endpoint: endpoint.to_owned(), ..Requested::default() };
                Ok(vec![requested; num.parse().unwrap()])
            }
        }
    }

    fn answer(&self, number: u64, line: &[u8], inferences: Vec<EndedInference>) -> Row {
        let id = self.custom_id(line).unwrap();
        let is_answered = inferences.iter().all(|one| one.ended.outcome() == Outcome::Completed);
        Row { text: format!("{number} {id} {}", inferences.len()), is_answered }
    }

    fn refuse(&self, number: u64, line: Option<&[u8]>, code: &'static str, _message: &str) -> Row {
        let id = line.and_then(|line| self.custom_id(line)).unwrap_or_default();
        Row { text: format!("{number} {id} {code}"), is_answered: false }
    }
}

struct Bench {
    log: Arc<dyn EventLog>,
    jobs: JobLog,
    facts: FactWriter,
    tenant: TenantId,
    batch: BatchId,
}

fn stamps() -> StampSource {
    let counter = AtomicU64::new(1);
    Arc::new(move || {
        let next = counter.fetch_add(1, Ordering::Relaxed);
        Stamp { event_id: EventId::new(Uuid::from_u128(u128::from(next))), unix_nanos: next }
    })
}

impl Bench {
    async fn new(input: &str, expires_at_unix_nanos: u64) -> Self {
        let log: Arc<dyn EventLog> = Arc::new(MemoryLog::new());
        let (tenant, batch) = (TenantId::slug("t"), BatchId::slug("batch_1"));
        let speaker = WorkerId::slug("one");
        let jobs = JobLog::new(Arc::clone(&log), stamps(), "jobs", &speaker);
        let facts = FactWriter::new(Arc::clone(&log), stamps(), "jobs", speaker);
        let file = FileId::slug("file-1");
        let mut writer = FileWriter::new(Arc::clone(&log), tenant.clone(), file.clone());
        writer.write(input.as_bytes()).await.unwrap();
        let written = writer.finish().await.unwrap();
        let (num_bytes, num_chunks) = (written.num_bytes, written.num_chunks);
        let created = FileCreated { file: file.to_string(), num_bytes, num_chunks, ..FileCreated::default() };
        jobs.append(&tenant, job_envelope::Fact::FileCreated(created)).await.unwrap();
        let created = BatchCreated {
            batch: batch.to_string(),
            input_file: file.to_string(),
            endpoint: "/v1/completions".to_owned(),
            expires_at_unix_nanos,
            ..BatchCreated::default()
        };
        jobs.append(&tenant, job_envelope::Fact::BatchCreated(created)).await.unwrap();
        Self { log, jobs, facts, tenant, batch }
    }

    /// Answers everything that is asked from now on, the inferences of line 4 with a failure.
    async fn start_worker(&self) {
        let pattern = subjects::all_of(FactKind::Requested);
        let mut requests =
            self.log.read(StreamName::Inference, vec![pattern], ReadFrom::Start, true).await.unwrap();
        let (facts, tenant) = (self.facts.clone(), self.tenant.clone());
        tokio::spawn(async move {
            while let Some(record) = requests.next().await {
                let envelope = schemas::decode_envelope(&record.unwrap().payload).unwrap();
                let inference = envelope.inference().unwrap();
                let Some(Fact::Requested(requested)) = envelope.fact else { continue };
                let place = requested.batch_place.unwrap();
                let outcome = if place.line_number == 4 { Outcome::Failed } else { Outcome::Completed };
                let ingress = requested.ingress.parse().unwrap();
                let address = InferenceAddress { inference, tenant: tenant.clone(), ingress };
                facts.end(&address, Ended { outcome: outcome.into(), ..Ended::default() }).await.unwrap();
            }
        });
    }

    fn start_jobs(&self) -> CancellationToken {
        let shutdown = CancellationToken::new();
        let options = JobsOptions { max_num_inflight: 3, ..JobsOptions::default() };
        let service =
            jobs::serve((self.jobs.clone(), self.facts.clone()), Arc::new(Words), options, shutdown.clone());
        tokio::spawn(async move { service.await.unwrap() });
        shutdown
    }

    async fn ended(&self) -> Batch {
        let pattern = subjects::batch_fact(&self.tenant, &self.batch, "ended");
        let mut ends = self.log.read(StreamName::Jobs, vec![pattern], ReadFrom::Start, true).await.unwrap();
        ends.next().await.unwrap().unwrap();
        self.jobs.batch(&self.tenant, &self.batch).await.unwrap().unwrap()
    }

    async fn rows(&self, file: &str) -> Vec<String> {
        if file.is_empty() {
            return Vec::new();
        }
        let file = self.jobs.file(&self.tenant, &file.parse().unwrap()).await.unwrap().unwrap();
        let chunks =
            bus::read_file(self.log.as_ref(), &self.tenant, &file.id, file.created.num_chunks).await.unwrap();
        let chunks: Vec<_> = chunks.try_collect().await.unwrap();
        String::from_utf8(chunks.concat()).unwrap().lines().map(str::to_owned).collect()
    }

    async fn check(&self, status: BatchStatus, answered: &[&str], failed: &[&str]) {
        let batch = self.ended().await;
        assert_eq!(batch.status(), status);
        let ended = batch.ended.clone().unwrap();
        assert_eq!(self.rows(&ended.output_file).await, answered);
        assert_eq!(self.rows(&ended.error_file).await, failed);
        let (num_answered, num_failed) = (answered.len() as u64, failed.len() as u64);
        let counts = LineCounts { num_lines: num_answered + num_failed, num_answered, num_failed };
        assert_eq!(batch.counts(), counts);
    }

    /// How often each line was asked.
    async fn asked(&self) -> Vec<u64> {
        let pattern = subjects::all_of(FactKind::Requested);
        let records =
            self.log.read(StreamName::Inference, vec![pattern], ReadFrom::Start, false).await.unwrap();
        let records: Vec<_> = records.try_collect().await.unwrap();
        let line = |payload: &[u8]| match schemas::decode_envelope(payload).unwrap().fact {
            Some(Fact::Requested(requested)) => requested.batch_place.unwrap().line_number,
            other => panic!("{other:?}"),
        };
        records.iter().map(|record| line(&record.payload)).collect()
    }
}

const INPUT: &str = "a 1\nb bad\n\nc 2\nd 1\na 1\nno-id\nf nobody\ng 5\n";
const ANSWERED: [&str; 3] = ["1 a 1", "3 c 2", "8 g 5"];
const FAILED: [&str; 5] = ["2 b refused", "4 d 1", "5 a duplicate_custom_id", "6  refused", "7 f refused"];

#[tokio::test(start_paused = true)]
async fn every_line_has_one_row_in_its_order() {
    let bench = Bench::new(INPUT, NEVER).await;
    bench.start_worker().await;
    bench.start_jobs();
    bench.check(BatchStatus::Completed, &ANSWERED, &FAILED).await;
}

#[tokio::test(start_paused = true)]
async fn a_successor_asks_for_nothing_twice_and_loses_nothing() {
    let bench = Bench::new(INPUT, NEVER).await;
    let (tenant, batch) = (&bench.tenant, &bench.batch);
    // The predecessor wrote down that two lines are over, asked for lines 3 and 4, and heard no end of the latter.
    for (line_number, num_prompts) in [(1, 1), (3, 2), (4, 1)] {
        for prompt_index in 0..num_prompts {
            let place = LinePlace { tenant, batch, line_number, prompt_index };
            let id = place.inference_id();
            let requested = Requested {
                ingress: "batches".to_owned(),
                batch_place: Some(place.to_fact(num_prompts as usize)),
                ..Requested::default()
            };
            let subject = subjects::fact(FactKind::Requested, tenant, id);
            bench.facts.append(id, tenant, subject, Fact::Requested(requested)).await.unwrap();
        }
    }
    let progressed = BatchProgressed {
        batch: batch.to_string(),
        counts: Some(LineCounts { num_lines: 8, num_answered: 1, num_failed: 1 }),
        num_lines_over: 2,
        num_lines_over_failed: 1,
        ..BatchProgressed::default()
    };
    bench.jobs.append(tenant, job_envelope::Fact::BatchProgressed(progressed)).await.unwrap();
    bench.start_worker().await;
    bench.start_jobs();
    bench.check(BatchStatus::Completed, &ANSWERED, &FAILED).await;
    assert_eq!(bench.asked().await, [1, 3, 3, 4, 8, 8, 8, 8, 8]);
}

#[tokio::test(start_paused = true)]
async fn an_expired_batch_names_every_line_that_was_not_run() {
    let bench = Bench::new("a 1\nb 1\n", 1).await;
    bench.start_jobs();
    bench.check(BatchStatus::Expired, &[], &["1 a batch_expired", "2 b batch_expired"]).await;
    assert!(bench.asked().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_batch_ends_what_no_worker_takes() {
    let bench = Bench::new("a 1\nb 1\nc 1\nd 1\ne 1\n", NEVER).await;
    let shutdown = bench.start_jobs();
    let pattern = subjects::all_of(FactKind::Requested);
    let asked = bench.log.read(StreamName::Inference, vec![pattern], ReadFrom::Start, true).await.unwrap();
    assert_eq!(asked.take(3).count().await, 3);
    let cancel = BatchCancelRequested { batch: bench.batch.to_string() };
    bench.jobs.append(&bench.tenant, job_envelope::Fact::BatchCancelRequested(cancel)).await.unwrap();
    let failed: Vec<String> =
        (1..).zip("abcde".chars()).map(|(number, id)| format!("{number} {id} batch_cancelled")).collect();
    let failed: Vec<&str> = failed.iter().map(String::as_str).collect();
    bench.check(BatchStatus::Cancelled, &[], &failed).await;
    let asked: BTreeSet<u64> = bench.asked().await.into_iter().collect();
    assert_eq!(asked.len(), 3, "no more is asked for");
    for kind in [FactKind::CancelRequested, FactKind::Ended] {
        let pattern = subjects::all_of(kind);
        let facts =
            bench.log.read(StreamName::Inference, vec![pattern], ReadFrom::Start, false).await.unwrap();
        assert_eq!(facts.count().await, 3, "{kind:?}");
    }
    shutdown.cancel();
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_run_fails_with_its_reason() {
    for (input, purged, expected) in [("", false, "empty_file"), ("a 1\n", true, "batch_broken")] {
        let bench = Bench::new(input, NEVER).await;
        if purged {
            bus::purge_file(bench.log.as_ref(), &bench.tenant, &FileId::slug("file-1")).await.unwrap();
        }
        bench.start_jobs();
        let batch = bench.ended().await;
        assert_eq!(batch.status(), BatchStatus::Failed);
        assert_eq!(batch.ended.unwrap().failure.unwrap().code, expected);
    }
}
