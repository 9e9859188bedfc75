//! How fast a log is folded into SQL: `cargo run --release -p read-model --example rebuild_rate [INFERENCES [URL]]`.
//!
//! The log is a real one: a `nats-server` of its own (`.jetmill/bin/nats-server`) holds facts with sealed content, the older
//! half of which then moves to segments of an archive with the default settings. What runs is what `jetmill rebuild`
//! runs. The rate is set beside the aim, beside the rate at which the same history is only read, and beside that at which
//! the same database takes as many of the narrowest rows: no projection that writes a row for each fact can be faster.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use audit::{Archivist, ArchivistSettings, Checkpointer, CheckpointerSettings, History, SigningKey};
use bus::topology::StreamPolicy;
use bus::{
    EmbeddedServer, EmbeddedServerOptions, EventLog, FactWriter, JetStreamLog, JetStreamOptions, ReadFrom,
    SealedLog, Stamp, StampSource, StreamName, subjects,
};
use futures_util::{TryStreamExt, stream};
use read_model::{Database, Status, rebuild};
use schemas::v1::envelope::Fact;
use schemas::v1::{
    Admitted, Assigned, AttemptFailed, Choice, Ended, Outcome, Prompt, RequestSummary, Requested, Started,
    Timings, Usage, WebhookRequested, WorkClass, prompt,
};
use schemas::{EventId, FactHash, InferenceId, PoolName, TenantId};
use sea_orm::sea_query::Query;
use sea_orm::{ConnectionTrait, TransactionTrait};
use uuid::Uuid;

type Outcomes<T> = Result<T, Box<dyn std::error::Error>>;

const NATS_SERVER: &str = ".jetmill/bin/nats-server";

const AIM_FACTS_PER_SECOND: f64 = 50_000.0;

/// Text of a prompt and of an answer.
const NUM_TEXT_BYTES: usize = 600;

/// Inferences under way at once while the log is made.
const NUM_AT_ONCE: usize = 256;

#[tokio::main]
async fn main() -> Outcomes<()> {
    let mut arguments = std::env::args().skip(1);
    let num_inferences: u64 = arguments.next().as_deref().unwrap_or("30000").parse()?;
    let directory = tempfile::tempdir()?;
    let in_file = format!("sqlite://{}?mode=rwc", directory.path().join("record.db").display());
    let url = arguments.next().unwrap_or(in_file);
    let mut out = std::io::stdout();

    let server =
        EmbeddedServer::start(EmbeddedServerOptions::new(NATS_SERVER, directory.path().join("nats"))).await?;
    let mut options = JetStreamOptions::new(server.url(), "rebuild-rate");
    options.policy = StreamPolicy { is_archived: true, ..server.policy() };
    let log: Arc<dyn EventLog> = Arc::new(JetStreamLog::connect(options).await?);
    let sealed: Arc<dyn EventLog> = Arc::new(SealedLog::open(Arc::clone(&log), None).await?);
    let archive = directory.path().join("archive");
    let began = Instant::now();
    record(&sealed, 0..num_inferences / 2).await?;
    move_to_archive(&log, &archive).await?;
    record(&sealed, num_inferences / 2..num_inferences).await?;
    let first = log.state(StreamName::Inference).await?.first_sequence;
    let num_facts = log.last_sequence(StreamName::Inference).await?;
    let num_segments = std::fs::read_dir(&archive)?.count();
    let took = began.elapsed().as_secs_f64();
    writeln!(
        out,
        "{num_facts} facts of {num_inferences} inferences, {} of them in {num_segments} segments, made in {took:.1} s",
        first - 1
    )?;

    let history: Arc<dyn EventLog> = Arc::new(History::new(Arc::clone(&log), Some(archive)));
    let database = Database::connect(&url).await?;
    let limit = narrow_rows_per_second(&url, num_facts).await?;
    writeln!(out, "limit: {limit:.0} narrow rows/s")?;
    for round in 1..=3 {
        let read = read_per_second(history.as_ref()).await?;
        let report = rebuild(Arc::clone(&history), &database).await?;
        writeln!(
            out,
            "round {round}: {} facts in {:.2} s: {:.0} facts/s, {:.2} of the aim, {:.2} of the limit; {read:.0} facts/s when they are only read",
            report.num_facts,
            report.took.as_secs_f64(),
            report.facts_per_second(),
            report.facts_per_second() / AIM_FACTS_PER_SECOND,
            report.facts_per_second() / limit,
        )?;
    }
    let counts = database.counts_by_status(None).await?;
    let num_completed = counts.iter().find(|count| count.status == Status::Completed);
    if num_completed.is_none_or(|count| count.num_inferences != num_inferences) {
        return Err(format!("the tables tell of {counts:?}").into());
    }
    database.close().await?;
    log.close().await?;
    Ok(server.stop().await?)
}

/// Everything that is there so far, as an archivist with the default settings does it.
async fn move_to_archive(log: &Arc<dyn EventLog>, directory: &Path) -> Outcomes<()> {
    let key = SigningKey::new(&[7; 32]);
    let mut checkpointer = Checkpointer::new(Arc::clone(log), stamps(), key, CheckpointerSettings::default());
    checkpointer.sign_what_is_new().await?;
    let settings = ArchivistSettings {
        directory: directory.to_owned(),
        interval: Duration::from_secs(10),
        max_num_records: 100_000,
        max_num_bytes: 256 << 20,
        max_age: Duration::from_secs(3_600),
        // As if it were old: everything leaves the log.
        log_max_age: Duration::from_nanos(1),
        log_min_age: Duration::ZERO,
    };
    let archivist = Archivist::new(Arc::clone(log), stamps(), settings);
    archivist.archive_everything().await?;
    Ok(archivist.look().await?)
}

async fn read_per_second(history: &dyn EventLog) -> Outcomes<f64> {
    let began = Instant::now();
    let mut records = history.read(StreamName::Inference, Vec::new(), ReadFrom::Start, false).await?;
    let mut num_read = 0;
    while records.try_next().await?.is_some() {
        num_read += 1;
    }
    Ok(f64::from(num_read) / began.elapsed().as_secs_f64())
}

async fn narrow_rows_per_second(url: &str, num_rows: u64) -> Outcomes<f64> {
    let connection = sea_orm::Database::connect(url).await?;
    connection.execute_unprepared("CREATE TABLE narrow (number integer NOT NULL PRIMARY KEY)").await?;
    let began = Instant::now();
    let numbers: Vec<_> = (0..num_rows as i64).collect();
    for transaction_rows in numbers.chunks(10_000) {
        let transaction = connection.begin().await?;
        for rows in transaction_rows.chunks(125) {
            let mut insert = Query::insert();
            insert.into_table("narrow").columns(["number"]);
            for number in rows {
                insert.values([(*number).into()])?;
            }
            transaction.execute(&insert).await?;
        }
        transaction.commit().await?;
    }
    let took = began.elapsed();
    connection.execute_unprepared("DROP TABLE narrow").await?;
    Ok(num_rows as f64 / took.as_secs_f64())
}

/// Appends the lives of these inferences, several at once, each fact after the one that it follows.
async fn record(log: &Arc<dyn EventLog>, numbers: std::ops::Range<u64>) -> Outcomes<()> {
    let facts = FactWriter::new(Arc::clone(log), stamps(), "example", "e1".parse()?);
    let tenant: TenantId = "acme".parse()?;
    let pool: PoolName = "smol".parse()?;
    stream::iter(numbers.map(Ok))
        .try_for_each_concurrent(NUM_AT_ONCE, |number| {
            let (mut facts, tenant, pool) = (facts.clone(), &tenant, &pool);
            async move {
                let id = InferenceId::new(Uuid::now_v7());
                for fact in life(number, facts.stamp().unix_nanos) {
                    let subject = match &fact {
                        Fact::Assigned(assigned) => {
                            subjects::assigned(pool, WorkClass::Interactive, id, assigned.attempt)
                        }
                        Fact::Started(Started { attempt, .. })
                        | Fact::AttemptFailed(AttemptFailed { attempt, .. }) => {
                            subjects::attempt_fact(fact.kind(), tenant, id, *attempt)
                        }
                        _ => subjects::fact(fact.kind(), tenant, id),
                    };
                    let payload = facts.encode(id, tenant, fact);
                    facts.append_encoded(subject, payload.clone()).await?;
                    facts = facts.following(FactHash::of(&payload));
                }
                Ok(())
            }
        })
        .await
}

fn stamps() -> StampSource {
    Arc::new(|| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Stamp { event_id: EventId::new(Uuid::now_v7()), unix_nanos: now.as_nanos() as u64 }
    })
}

/// Six facts, or eight: every other inference loses its worker, and the others are asked for in the background.
fn life(number: u64, requested_at_unix_nanos: u64) -> Vec<Fact> {
    let summary = RequestSummary {
        model: "smollm2-135m-instruct".to_owned(),
        class: WorkClass::Interactive.into(),
        ingress: "api-1".to_owned(),
        requested_at_unix_nanos,
        ..RequestSummary::default()
    };
    let fingerprint = "jetmill-0.1.0-avx512vnni-3f2a9c-q4_1".to_owned();
    let text = "word ".repeat(NUM_TEXT_BYTES / 5);
    let attempt = |attempt: u32| {
        let assigned = Assigned {
            attempt,
            deployment: "smol-1".to_owned(),
            pool: "smol".to_owned(),
            summary: Some(summary.clone()),
            ..Assigned::default()
        };
        let started = Started {
            attempt,
            worker: "worker-1".to_owned(),
            seed: 7,
            num_prompt_tokens: 120,
            engine_fingerprint: fingerprint.clone(),
            model_digest: "3f2a9c".to_owned(),
            ..Started::default()
        };
        [Fact::Assigned(assigned), Fact::Started(started)]
    };
    let loses_its_worker = number.is_multiple_of(2);
    let mut life = vec![Fact::Requested(Requested {
        model: summary.model.clone(),
        class: summary.class,
        ingress: summary.ingress.clone(),
        endpoint: "/v1/chat/completions".to_owned(),
        prompt: Some(Prompt { content: Some(prompt::Content::Text(text.clone())) }),
        stream: true,
        caller: "0f3c5e".to_owned(),
        background: !loses_its_worker,
        ..Requested::default()
    })];
    if !loses_its_worker {
        life.push(Fact::WebhookRequested(WebhookRequested {
            url: "https://example.org/told".to_owned(),
            ..WebhookRequested::default()
        }));
    }
    life.push(Fact::Admitted(Admitted {
        summary: Some(summary.clone()),
        policy_version: 1,
        ..Admitted::default()
    }));
    life.extend(attempt(1));
    if loses_its_worker {
        life.push(Fact::AttemptFailed(AttemptFailed {
            attempt: 1,
            summary: Some(summary.clone()),
            ..AttemptFailed::default()
        }));
        life.extend(attempt(2));
    }
    life.push(Fact::Ended(Ended {
        outcome: Outcome::Completed.into(),
        attempt: if loses_its_worker { 2 } else { 1 },
        worker: "worker-1".to_owned(),
        choices: vec![Choice { text, token_ids: (0..120).collect(), ..Choice::default() }],
        usage: Some(Usage {
            num_prompt_tokens: 120,
            num_completion_tokens: 120,
            num_cached_prompt_tokens: 16,
            ..Usage::default()
        }),
        timings: Some(Timings {
            queued_nanos: 1_000_000,
            prefill_nanos: 20_000_000,
            decode_nanos: 900_000_000,
            time_to_first_token_nanos: 24_000_000,
        }),
        engine_fingerprint: fingerprint,
        ..Ended::default()
    }));
    life
}
