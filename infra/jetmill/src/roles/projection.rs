//! What is made of the log: tables and checkpoints, both as the log is when it stops.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use audit::{Archivist, Checkpointer};
use bus::{BusError, EventLog, StreamName};
use read_model::{Database, Progress, Projector, ProjectorSettings};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// Folding the rest takes milliseconds; a database that is away must not hold up the end.
const PATIENCE: Duration = Duration::from_secs(5);

/// Folds and signs until `shutdown`, and then what the log holds by then; archives until then.
pub(super) async fn record_role(
    log: Arc<dyn EventLog>,
    database: Database,
    (checkpointer, archivist): (Checkpointer, Option<Archivist>),
    shutdown: CancellationToken,
) -> Result<()> {
    let mut others = JoinSet::new();
    others.spawn(checkpointer.run(shutdown.clone()));
    if let Some(archivist) = archivist {
        others.spawn(archivist.run(shutdown.clone()));
    }
    tokio::select! {
        folded = projector_role(log, database, shutdown) => folded?,
        Some(Err(error)) = others.join_next() => {
            return Err(error).context("the checkpointer or the archivist broke");
        }
    }
    let ended = async { while others.join_next().await.is_some() {} };
    if tokio::time::timeout(PATIENCE, ended).await.is_err() {
        warn!("the newest facts are not signed; the next start signs them");
    }
    Ok(())
}

/// Folds until `shutdown`, and then what the log holds by then.
pub(super) async fn projector_role(
    log: Arc<dyn EventLog>,
    database: Database,
    shutdown: CancellationToken,
) -> Result<()> {
    let projector = Projector::new(Arc::clone(&log), database, ProjectorSettings::default());
    let progress = projector.progress();
    let is_up_to_date = async {
        shutdown.cancelled().await;
        match tokio::time::timeout(PATIENCE, catch_up(log.as_ref(), progress)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                warn!(%error, "the tables may be behind the log; the next start folds the rest")
            }
            Err(_) => warn!("the tables are behind the log; the next start folds the rest"),
        }
    };
    tokio::select! {
        ended = projector.drive(CancellationToken::new()) => Ok(ended?),
        () = is_up_to_date => Ok(()),
    }
}

async fn catch_up(log: &dyn EventLog, mut progress: watch::Receiver<Progress>) -> Result<(), BusError> {
    let end = log.last_sequence(StreamName::Inference).await?;
    // The projector is driven beside this and outlives it.
    drop(progress.wait_for(|progress| progress.last_sequence >= end).await);
    Ok(())
}
