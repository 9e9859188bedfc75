//! How fast a log is folded into SQL: `cargo run --release -p read-model --example rebuild_rate [INFERENCES [URL]]`.
//!
//! The log is in memory, so what is measured is decoding, folding and writing. The rate
//! is set beside the aim, and beside the rate at which the same database takes as many of the narrowest rows: no
//! projection that writes a row for each fact can be faster.

use std::io::Write;
use std::sync::Arc;
use std::time::Instant;

use bus::{Append, EventLog, Expect, MemoryLog, StreamName, subjects};
use prost::Message;
use read_model::{Database, rebuild};
use schemas::v1::envelope::Fact;
use schemas::v1::{
    Admitted, Assigned, Choice, Ended, Envelope, Outcome, Prompt, RequestSummary, Requested, Started,
    Timings, Usage, WorkClass, prompt,
};
use schemas::{EventId, InferenceId, PoolName, TenantId, WrittenBy};
use sea_orm::sea_query::Query;
use sea_orm::{ConnectionTrait, TransactionTrait};
use uuid::Uuid;

const FIRST_REQUEST_UNIX_NANOS: u64 = 1_763_800_000_000_000_000;

const AIM_FACTS_PER_SECOND: f64 = 50_000.0;

/// Text of a prompt and of an answer.
const NUM_TEXT_BYTES: usize = 600;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let num_inferences: u64 = arguments.next().as_deref().unwrap_or("100000").parse()?;
    let directory = tempfile::tempdir()?;
    let in_file = format!("sqlite://{}?mode=rwc", directory.path().join("record.db").display());
    let url = arguments.next().unwrap_or(in_file);

    let log = MemoryLog::new();
    let mut out = std::io::stdout();
    for number in 0..num_inferences {
        record(&log, number).await?;
    }
    let database = Database::connect(&url).await?;
    let limit = narrow_rows_per_second(&url, num_inferences * 5).await?;
    writeln!(out, "limit: {limit:.0} narrow rows/s")?;
    for round in 1..=3 {
        let report = rebuild(Arc::new(log.clone()), &database).await?;
        writeln!(
            out,
            "round {round}: {} facts of {num_inferences} inferences in {:.2} s: {:.0} facts/s, {:.2} of the aim, {:.2} of the limit",
            report.num_facts,
            report.took.as_secs_f64(),
            report.facts_per_second(),
            report.facts_per_second() / AIM_FACTS_PER_SECOND,
            report.facts_per_second() / limit,
        )?;
    }
    Ok(())
}

async fn narrow_rows_per_second(url: &str, num_rows: u64) -> Result<f64, Box<dyn std::error::Error>> {
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

async fn record(log: &MemoryLog, number: u64) -> Result<(), Box<dyn std::error::Error>> {
    let id =
        InferenceId::new(Uuid::from_u128(0x0198_c6f0_0000_7000_8000_0000_0000_0000 + u128::from(number)));
    let tenant: TenantId = "acme".parse()?;
    let pool: PoolName = "smol".parse()?;
    let requested_at = FIRST_REQUEST_UNIX_NANOS + number * 1_000_000;
    for (step, fact) in (0..).zip(life(requested_at)) {
        let kind = fact.kind();
        let by = WrittenBy {
            event_id: EventId::new(Uuid::from_u128(u128::from(number * 8 + step))),
            at_unix_nanos: requested_at + step * 1_000_000,
            writer: "example/1",
        };
        let subject = match &fact {
            Fact::Assigned(assigned) => {
                subjects::assigned(&pool, WorkClass::Interactive, id, assigned.attempt)
            }
            _ => subjects::fact(kind, &tenant, id),
        };
        let payload = Envelope::new(&by, id, &tenant, fact).encode_to_vec().into();
        log.append(Append {
            stream: StreamName::Inference,
            subject,
            payload,
            expect: Expect::FirstOnSubject,
        })
        .await?;
    }
    Ok(())
}

fn life(requested_at_unix_nanos: u64) -> Vec<Fact> {
    let summary = RequestSummary {
        model: "smollm2-135m-instruct".to_owned(),
        class: WorkClass::Interactive.into(),
        ingress: "api-1".to_owned(),
        requested_at_unix_nanos,
        ..RequestSummary::default()
    };
    let fingerprint = "jetmill-0.1.0-avx512vnni-3f2a9c-q4_1".to_owned();
    let text = "word ".repeat(NUM_TEXT_BYTES / 5);
    vec![
        Fact::Requested(Requested {
            model: summary.model.clone(),
            class: summary.class,
            ingress: summary.ingress.clone(),
            endpoint: "/v1/chat/completions".to_owned(),
            prompt: Some(Prompt { content: Some(prompt::Content::Text(text.clone())) }),
            stream: true,
            caller: "0f3c5e".to_owned(),
            ..Requested::default()
        }),
        Fact::Admitted(Admitted { summary: Some(summary.clone()), policy_version: 1, ..Admitted::default() }),
        Fact::Assigned(Assigned {
            attempt: 1,
            deployment: "smol-1".to_owned(),
            pool: "smol".to_owned(),
            summary: Some(summary),
            reasons: Vec::new(),
            ..Assigned::default()
        }),
        Fact::Started(Started {
            attempt: 1,
            worker: "worker-1".to_owned(),
            seed: 7,
            num_prompt_tokens: 120,
            engine_fingerprint: fingerprint.clone(),
            model_digest: "3f2a9c".to_owned(),
            ..Started::default()
        }),
        Fact::Ended(Ended {
            outcome: Outcome::Completed.into(),
            attempt: 1,
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
        }),
    ]
}
