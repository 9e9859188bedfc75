//! `jetmill replay`: what was logged, run again; as it was, or through a changed setup. The record is only read.

mod change;
mod comparison;
mod difference;
mod engine;
mod recorded;
mod routes;
mod selection;
mod tally;
mod verification;
mod what_if;

use std::num::NonZeroUsize;
use std::process::ExitCode;

use anyhow::{Result, bail};
use audit::Life;
use bus::{BusError, EventLog};
use clap::Args;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt as _, stream};
use schemas::InferenceId;

use self::change::Change;
use self::recorded::Recorded;
use self::selection::{Sample, requested_ids, sampled};
use crate::broker::Broker;
use crate::config::Config;
use crate::proof::{TimeRange, note_access};

/// Inferences that are replayed at once.
const NUM_AT_ONCE: usize = 32;
/// Exit code when something was answered otherwise; 0 says that everything was the same.
const DIFFERENCES: u8 = 1;
/// Exit code when nothing was replayed, or not all that was asked for.
pub(crate) const NOT_DONE: u8 = 2;

/// What is replayed, one after the other.
type Ids<'a> = BoxStream<'a, Result<InferenceId, BusError>>;

/// What is replayed, and how. Exits with 0 if all is the same, with 1 if something is not, and with 2 if it could not be
/// found out. A changed setup is expected to differ, and exits with 0.
#[derive(Debug, Args)]
pub(crate) struct Replay {
    /// One inference; absent: those of a time.
    #[arg(conflicts_with_all = ["from", "to", "sample"], required_unless_present_any = ["from", "to", "sample"])]
    id: Option<InferenceId>,
    #[command(flatten)]
    range: TimeRange,
    /// Only so many of them, chosen at random.
    #[arg(long)]
    sample: Option<NonZeroUsize>,
    /// Chooses the same sample again; printed when it is not given.
    #[arg(long, requires = "sample")]
    seed: Option<u64>,
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
pub(crate) async fn run(config: &Config, arguments: &Replay) -> Result<ExitCode> {
    Broker::use_existing(config, async |broker| {
        let log = broker.log(config).await?;
        replay(config, log.as_ref(), arguments).await
    })
    .await
}

async fn replay(config: &Config, log: &dyn EventLog, arguments: &Replay) -> Result<ExitCode> {
    note_access(log, "replay", arguments.id, arguments.range.scope()).await?;
    let ids = match arguments.id {
        Some(id) => {
            refuse_the_impossible(log, id, arguments).await?;
            stream::iter([Ok(id)]).boxed()
        }
        None => chosen_ids(log, arguments).await?,
    };
    let mut ids = ids.peekable();
    if std::pin::Pin::new(&mut ids).peek().await.is_none() {
        bail!("the log holds no inference of this time");
    }
    if arguments.with.is_empty() {
        verification::run(config, log, ids.boxed(), arguments.json).await
    } else {
        what_if::run(config, log, (ids.boxed(), &arguments.with), arguments.json).await
    }
}

async fn chosen_ids<'a>(log: &'a dyn EventLog, arguments: &Replay) -> Result<Ids<'a>> {
    let ids = requested_ids(log, &arguments.range).await?;
    let Some(num_inferences) = arguments.sample else { return Ok(ids) };
    let seed = arguments.seed.unwrap_or_else(rand::random);
    eprintln!("jetmill: a sample of {num_inferences}; --seed {seed} chooses it again");
    sampled(ids, Sample { num_inferences: num_inferences.get(), seed }).await
}

/// What cannot be replayed is told before a model is loaded for it.
async fn refuse_the_impossible(log: &dyn EventLog, id: InferenceId, arguments: &Replay) -> Result<()> {
    let reason = match read(log, id).await? {
        Ok(recorded) if arguments.with.is_empty() => recorded.obstacle().map(str::to_owned),
        Ok(_) => None,
        Err(reason) => Some(reason),
    };
    match reason {
        Some(reason) => bail!("{id} cannot be replayed: {reason}"),
        None => Ok(()),
    }
}

/// The inference, or why the record does not give it back.
async fn read(log: &dyn EventLog, id: InferenceId) -> Result<Result<Recorded, String>> {
    Ok(match Life::read(log, id).await {
        Ok(Some(life)) if life.is_sealed() => Err(life.why_sealed(log).await?.unwrap_or_default()),
        Ok(life) => {
            life.and_then(Recorded::of).ok_or_else(|| "the log does not hold its beginning".to_owned())
        }
        Err(error @ (BusError::Object { .. } | BusError::Refused(_))) => {
            Err(format!("a part of it cannot be read: {error}"))
        }
        Err(error) => return Err(error.into()),
    })
}
