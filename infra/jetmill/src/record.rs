//! The record commands: what the log and the tables say.

mod fact_line;

use anyhow::{Context as _, Result, bail};
use bus::{EventLog, ReadFrom, Record, StreamName, subjects};
use futures_util::TryStreamExt as _;
use read_model::{InferenceFilter, InferenceRow, Status};
use schemas::InferenceId;

use crate::broker::Broker;
use crate::config::Config;
use crate::roles::connect_database;

use self::fact_line::FactLine;

/// Prints the facts of one inference in the order of the log.
pub(crate) async fn events(config: &Config, id: InferenceId, json: bool) -> Result<()> {
    let broker = Broker::open_existing(config).await?;
    let records = life_of(broker.log().as_ref(), id).await?;
    if records.is_empty() {
        bail!("the log holds no inference {id}");
    }
    let mut previous_unix_nanos = None;
    for record in &records {
        let envelope = schemas::decode_envelope(&record.payload)
            .with_context(|| format!("the record at sequence {} cannot be read", record.sequence))?;
        if json {
            print_line(&serde_json::to_string(&envelope)?);
        } else {
            print_line(&FactLine::new(record.sequence, &envelope, previous_unix_nanos).to_string());
        }
        previous_unix_nanos = Some(envelope.recorded_at_unix_nanos);
    }
    broker.close().await
}

async fn life_of(log: &dyn EventLog, id: InferenceId) -> Result<Vec<Record>> {
    let records = log.read(StreamName::Inference, subjects::life_of(id), ReadFrom::Start, false).await?;
    Ok(records.try_collect().await?)
}

/// What `jetmill inferences` narrows its list by.
pub(crate) struct Listing {
    pub(crate) status: Option<String>,
    pub(crate) model: Option<String>,
    pub(crate) limit: u64,
    pub(crate) json: bool,
}

/// Lists inferences from the tables, newest first.
pub(crate) async fn inferences(config: &Config, listing: Listing) -> Result<()> {
    let status = listing.status.as_deref().map(parse_status).transpose()?;
    let database = connect_database(config).await?;
    let filter = InferenceFilter {
        status,
        model: listing.model,
        limit: Some(listing.limit),
        ..InferenceFilter::default()
    };
    let page = database.inferences(&filter).await?;
    if !listing.json {
        print_line(&format!(
            "{:<32}  {:<10}  {:<28}  {:>7}  {:>7}  {:>9}  {:>9}",
            "id", "status", "model", "prompt", "answer", "ttft ms", "total ms"
        ));
    }
    for row in &page.inferences {
        print_line(&if listing.json { serde_json::to_string(row)? } else { inference_line(row) });
    }
    database.close().await?;
    Ok(())
}

fn inference_line(row: &InferenceRow) -> String {
    let number = |value: Option<i64>| value.map_or_else(|| "-".to_owned(), |value| value.to_string());
    let millis = |nanos: Option<i64>| {
        nanos.map_or_else(|| "-".to_owned(), |nanos| format!("{:.1}", nanos as f64 / 1e6))
    };
    let total = row.ended_at_unix_nanos.map(|ended| ended - row.requested_at_unix_nanos);
    format!(
        "{:<32}  {:<10}  {:<28}  {:>7}  {:>7}  {:>9}  {:>9}",
        row.id,
        row.status.as_str(),
        row.model.as_deref().unwrap_or("-"),
        number(row.num_prompt_tokens),
        number(row.num_completion_tokens),
        millis(row.time_to_first_token_nanos),
        millis(total),
    )
}

fn parse_status(word: &str) -> Result<Status> {
    let status = serde_json::from_value(serde_json::Value::String(word.to_owned()));
    status.map_err(|error| anyhow::anyhow!("--status {word}: {error}"))
}

/// Folds the log into fresh tables, which then replace the old ones.
pub(crate) async fn rebuild(config: &Config) -> Result<()> {
    let broker = Broker::open_existing(config).await?;
    let database = connect_database(config).await?;
    let report = read_model::rebuild(broker.log(), &database).await?;
    print_line(&format!(
        "folded {} facts in {:.2} s ({:.0} facts/s), up to sequence {}",
        report.num_facts,
        report.took.as_secs_f64(),
        report.facts_per_second(),
        report.last_sequence,
    ));
    database.close().await?;
    broker.close().await
}

#[expect(clippy::print_stdout, reason = "what was asked for goes to standard output")]
pub(crate) fn print_line(line: &str) {
    println!("{line}");
}
