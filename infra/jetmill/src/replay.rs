//! `jetmill replay`: what was logged, run again; as it was, or through a changed setup. The record is only read.

mod change;
mod comparison;
mod engine;
mod recorded;
mod what_if;

use anyhow::{Result, bail};
use audit::Life;
use bus::{EventLog, ReadFrom, StreamName, subjects};
use clap::Args;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use schemas::{FactKind, InferenceId};
use serde_json::json;

use self::change::Change;
use self::comparison::Comparison;
use self::engine::ReplayEngine;
use self::recorded::Recorded;
use crate::broker::Broker;
use crate::config::Config;
use crate::proof::{TimeRange, note_access};
use crate::record::print_line;

/// Inferences that are replayed at once.
const NUM_AT_ONCE: usize = 32;

/// What is replayed, and how.
#[derive(Debug, Args)]
pub(crate) struct Replay {
    /// One inference; absent: those of a time.
    #[arg(conflicts_with_all = ["from", "to", "sample"], required_unless_present_any = ["from", "to", "sample"])]
    id: Option<InferenceId>,
    #[command(flatten)]
    range: TimeRange,
    /// Only so many, evenly over the time.
    #[arg(long)]
    sample: Option<usize>,
    /// Runs it as it was and fails unless every token is the same; this is what happens without --with.
    #[arg(long, conflicts_with = "with")]
    verify: bool,
    /// Runs it through another setup: model=FILE, policy=FILE (a table of [guardrails]) or config=FILE; may be repeated.
    #[arg(long, value_name = "WHAT=FILE")]
    with: Vec<Change>,
    /// One JSON object a line, and one for all at the end.
    #[arg(long)]
    json: bool,
}

/// Replays and prints.
pub(crate) async fn run(config: &Config, arguments: &Replay) -> Result<()> {
    let broker = Broker::open_existing(config).await?;
    let log = broker.log(config).await?;
    let scope = arguments.range.scope();
    note_access(log.as_ref(), "replay", arguments.id, scope).await?;
    let ids = match arguments.id {
        Some(id) => {
            check_readable(log.as_ref(), id).await?;
            vec![id]
        }
        None => requested_ids(log.as_ref(), arguments).await?,
    };
    if ids.is_empty() {
        bail!("the log holds no inference of this time");
    }
    let replayed = if arguments.with.is_empty() {
        verify_all(config, log.as_ref(), &ids, arguments.json).await
    } else {
        what_if::run(config, log.as_ref(), (&ids, &arguments.with), arguments.json).await
    };
    broker.close().await?;
    replayed
}

/// What was erased is told with its date before a model is loaded for it.
async fn check_readable(log: &dyn EventLog, id: InferenceId) -> Result<()> {
    if let Some(life) = Life::read(log, id).await?
        && let Some(reason) = life.why_sealed(log).await?
    {
        bail!("{id} cannot be replayed: {reason}");
    }
    Ok(())
}

/// The ids of the range, in the order of the log.
async fn requested_ids(log: &dyn EventLog, arguments: &Replay) -> Result<Vec<InferenceId>> {
    let from = arguments.range.from.map_or(ReadFrom::Start, |from| ReadFrom::UnixNanos(from.unix_nanos));
    let patterns = vec![subjects::all_of(FactKind::Requested)];
    let mut records = log.read(StreamName::Inference, patterns, from, false).await?;
    let mut ids = Vec::new();
    while let Some(record) = records.try_next().await? {
        if arguments.range.to.is_some_and(|to| record.stored_at_unix_nanos >= to.unix_nanos) {
            break;
        }
        let id = record.subject.rsplit('.').next().and_then(|id| id.parse::<InferenceId>().ok());
        ids.extend(id);
    }
    Ok(evenly(ids, arguments.sample))
}

/// So many of them, evenly spaced.
fn evenly<T: Copy>(all: Vec<T>, sample: Option<usize>) -> Vec<T> {
    match sample {
        Some(num) if num < all.len() => (0..num).map(|index| all[index * all.len() / num]).collect(),
        _ => all,
    }
}

async fn recorded(log: &dyn EventLog, id: InferenceId) -> Result<Recorded> {
    match Life::read(log, id).await?.and_then(Recorded::of) {
        Some(recorded) => Ok(recorded),
        None => bail!("the log holds no inference {id}"),
    }
}

/// One inference as it was and as it is.
struct Verified {
    id: InferenceId,
    comparison: Comparison,
    recorded_engine: String,
    replayed_engine: String,
}

async fn verify_all(config: &Config, log: &dyn EventLog, ids: &[InferenceId], json: bool) -> Result<()> {
    // What cannot be replayed is told before a model is loaded for it.
    if let [id] = ids
        && let Some(reason) = recorded(log, *id).await?.obstacle()
    {
        bail!("{id} cannot be replayed: {reason}");
    }
    let engine = &ReplayEngine::start(config).await?;
    let all = stream::iter(ids).map(|id| async move { verify_one(engine, recorded(log, *id).await?).await });
    let mut all = std::pin::pin!(all.buffered(NUM_AT_ONCE));
    let (mut num_same, mut num_other, mut num_skipped, mut num_other_engine) = (0u64, 0u64, 0u64, 0u64);
    while let Some(verified) = all.try_next().await? {
        let is_other_engine = verified.recorded_engine != verified.replayed_engine;
        match &verified.comparison {
            Comparison::Match { .. } => num_same += 1,
            Comparison::Skipped { .. } => num_skipped += 1,
            _ => num_other += 1,
        }
        num_other_engine += u64::from(is_other_engine);
        print_line(&verified.line(json, is_other_engine)?);
    }
    let num_replayed = num_same + num_other;
    if json {
        let summary = json!({
            "num_replayed": num_replayed,
            "num_matches": num_same,
            "num_differences": num_other,
            "num_skipped": num_skipped,
            "num_by_another_engine": num_other_engine,
            "engine": engine.fingerprint(),
        });
        print_line(&json!({ "summary": summary }).to_string());
    } else {
        print_line(&format!("{num_same} of {num_replayed} match, {num_skipped} were not replayed"));
    }
    if num_other > 0 {
        bail!("{num_other} of {num_replayed} replayed inferences differ");
    }
    Ok(())
}

async fn verify_one(engine: &ReplayEngine, recorded: Recorded) -> Result<Verified> {
    let obstacle = recorded.obstacle();
    let Some(ended) = recorded.ended.as_ref().filter(|_| obstacle.is_none()) else {
        let comparison = Comparison::Skipped { reason: obstacle.unwrap_or("it has not ended") };
        let (recorded_engine, replayed_engine) = (String::new(), String::new());
        return Ok(Verified { id: recorded.id, comparison, recorded_engine, replayed_engine });
    };
    let replayed = engine.run(&recorded, recorded.prompt().cloned()).await?;
    Ok(Verified {
        id: recorded.id,
        comparison: Comparison::of(ended, &replayed),
        recorded_engine: ended.engine_fingerprint.clone(),
        replayed_engine: replayed.ended.engine_fingerprint,
    })
}

impl Verified {
    fn line(&self, json: bool, is_other_engine: bool) -> Result<String> {
        let Self { id, comparison, recorded_engine, replayed_engine } = self;
        if json {
            let mut line = serde_json::to_value(comparison)?;
            line["id"] = json!(id.to_string());
            line["recorded_engine"] = json!(recorded_engine);
            line["replayed_engine"] = json!(replayed_engine);
            return Ok(line.to_string());
        }
        let engines = if is_other_engine {
            format!("; recorded on another engine, {recorded_engine}, and replayed on {replayed_engine}")
        } else {
            String::new()
        };
        Ok(format!("{id}  {comparison}{engines}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_spread_evenly() {
        assert_eq!(evenly((0..10).collect(), Some(3)), [0, 3, 6]);
        assert_eq!(evenly((0..3).collect(), Some(5)), [0, 1, 2]);
        assert_eq!(evenly((0..3).collect(), Some(0)), [0usize; 0]);
        assert_eq!(evenly(vec![1, 2], None), [1, 2]);
    }
}
