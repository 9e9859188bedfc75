//! The record commands: what the log and the tables say.

mod fact_details;
mod fact_line;

use std::sync::Arc;

use anyhow::{Result, bail};
use audit::{CheckpointLog, Life};
use bus::EventLog;
use read_model::{InferenceFilter, InferenceRow, Status};
use schemas::{Amount, InferenceId};

use crate::broker::Broker;
use crate::config::Config;
use crate::proof::{note_access, shown_time};
use crate::roles::connect_database;

use self::fact_details::details;
use self::fact_line::FactLine;

/// How `jetmill events` prints.
pub(crate) struct EventsFormat {
    pub(crate) json: bool,
    /// Prompts and answers as well; JSON always has them.
    pub(crate) content: bool,
}

/// Prints the facts of one inference in the order of the log, and whether they hang together and are signed.
pub(crate) async fn events(config: &Config, id: InferenceId, format: &EventsFormat) -> Result<()> {
    Broker::use_existing(config, async |broker| print_life(broker.log(config).await?, id, format).await).await
}

async fn print_life(log: Arc<dyn EventLog>, id: InferenceId, format: &EventsFormat) -> Result<()> {
    if format.json || format.content {
        note_access(log.as_ref(), "events", Some(id), String::new()).await?;
    }
    let Some(life) = Life::read(log.as_ref(), id).await? else { bail!("the log holds no inference {id}") };
    let mut previous_unix_nanos = None;
    let mut configuration = "";
    for fact in &life.facts {
        if format.json {
            print_line(&serde_json::to_string(&fact.envelope)?);
            continue;
        }
        print_line(&FactLine::new(fact.sequence, &fact.envelope, previous_unix_nanos).to_string());
        let details = fact.envelope.fact.iter().flat_map(|fact| details(fact, format.content));
        details.for_each(|line| print_line(&format!("{:25}{line}", "")));
        // Most often one process wrote all of them.
        if fact.envelope.configuration != configuration {
            configuration = &fact.envelope.configuration;
            print_line(&format!("{:25}configuration {configuration}", ""));
        }
        previous_unix_nanos = Some(fact.envelope.recorded_at_unix_nanos);
    }
    if !format.json {
        print_line(&standing(&log, &life).await?);
        if let Some(reason) = life.why_sealed(log.as_ref()).await? {
            print_line(&reason);
        }
    }
    Ok(())
}

async fn standing(log: &Arc<dyn EventLog>, life: &Life) -> Result<String> {
    let broken = life.facts.iter().find(|fact| !fact.is_chained());
    let chain = match broken {
        None => "every fact follows from those before".to_owned(),
        Some(fact) => format!("the fact at {} follows from none of those before", fact.sequence),
    };
    let last_sequence = life.facts.last().map_or(0, |fact| fact.sequence);
    let signed = match CheckpointLog::new(Arc::clone(log)).first_covering(last_sequence).await? {
        Some(checkpoint) => format!(
            "checkpoint {} covers all of them, signed {}",
            checkpoint.number,
            shown_time(checkpoint.signed_at_unix_nanos)
        ),
        None => "no checkpoint covers all of them yet".to_owned(),
    };
    Ok(format!("{chain}; {signed}"))
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
            "{:<32}  {:<10}  {:<28}  {:>7}  {:>7}  {:>9}  {:>9}  {}",
            "id", "status", "model", "prompt", "answer", "ttft ms", "total ms", "cost"
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
    let cost = row.cost_nanos.and_then(|nanos| u64::try_from(nanos).ok()).map_or_else(
        || "-".to_owned(),
        |nanos| format!("{} {}", Amount { nanos }, row.cost_currency.as_deref().unwrap_or_default()),
    );
    let total = row.ended_at_unix_nanos.map(|ended| ended - row.requested_at_unix_nanos);
    format!(
        "{:<32}  {:<10}  {:<28}  {:>7}  {:>7}  {:>9}  {:>9}  {cost}",
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
    let report = Broker::use_existing(config, async |broker| {
        let database = connect_database(config).await?;
        let report = read_model::rebuild(broker.stored_log(), &database).await?;
        database.close().await?;
        Ok(report)
    })
    .await?;
    print_line(&format!(
        "folded {} facts in {:.2} s ({:.0} facts/s), up to sequence {}",
        report.num_facts,
        report.took.as_secs_f64(),
        report.facts_per_second(),
        report.last_sequence,
    ));
    Ok(())
}

#[expect(clippy::print_stdout, reason = "what was asked for goes to standard output")]
pub(crate) fn print_line(line: &str) {
    println!("{line}");
}
