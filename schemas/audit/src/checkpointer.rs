//! The service that signs the log as it grows.

use std::sync::Arc;
use std::time::Duration;

use bus::{AppendOutcome, EventLog, ReadFrom, StampSource, StreamName};
use schemas::v1::CheckpointSigned;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::AuditError;
use crate::checkpoint::{self, Position};
use crate::checkpoint_log::CheckpointLog;
use crate::keys::SigningKey;
use crate::merkle::GrowingTree;
use crate::stored_records::StoredRecords;

/// How often the log is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CheckpointerSettings {
    /// Between two looks at the log.
    pub interval: Duration,
    /// Most records between two checkpoints.
    pub max_num_records: u64,
}

impl Default for CheckpointerSettings {
    fn default() -> Self {
        Self { interval: Duration::from_secs(10), max_num_records: 10_000 }
    }
}

/// Signs the log. Several may run, with one key: each checkpoint is appended by one of them, and the others go on from it.
pub struct Checkpointer {
    log: Arc<dyn EventLog>,
    checkpoints: CheckpointLog,
    stamps: StampSource,
    key: SigningKey,
    settings: CheckpointerSettings,
    /// What stands in the log; nothing before the first look.
    newest: Option<Standing>,
}

/// A checkpoint as far as going on needs it.
#[derive(Debug, Clone, Default)]
struct Standing {
    number: u64,
    last_sequence: u64,
    tree: GrowingTree,
}

impl Standing {
    fn of(checkpoint: &CheckpointSigned) -> Result<Self, AuditError> {
        let tree = checkpoint::believed(checkpoint)?;
        Ok(Self { number: checkpoint.number, last_sequence: checkpoint.last_sequence, tree })
    }
}

impl Checkpointer {
    /// A service that has not begun.
    pub fn new(
        log: Arc<dyn EventLog>,
        stamps: StampSource,
        key: SigningKey,
        settings: CheckpointerSettings,
    ) -> Self {
        let checkpoints = CheckpointLog::new(Arc::clone(&log));
        Self { log, checkpoints, stamps, key, settings, newest: None }
    }

    /// Signs what is new at every interval until `shutdown`, and once more then.
    pub async fn run(mut self, shutdown: CancellationToken) {
        info!(public_key = %self.key.public_key(), "the checkpointer is ready");
        loop {
            let is_last = shutdown.is_cancelled();
            if let Err(error) = self.sign_what_is_new().await {
                warn!(code = error.code(), %error, "no checkpoint could be made");
            }
            if is_last {
                return;
            }
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = tokio::time::sleep(self.settings.interval) => {}
            }
        }
    }

    /// Appends checkpoints up to the newest record. After a failure the next call begins at what stands in the log.
    pub async fn sign_what_is_new(&mut self) -> Result<(), AuditError> {
        let mut standing = match self.newest.take() {
            Some(newest) => newest,
            None => match self.checkpoints.newest().await? {
                Some(checkpoint) => Standing::of(&checkpoint)?,
                None => Standing::default(),
            },
        };
        while let Some(checkpoint) = self.checkpoints.get(standing.number + 1).await? {
            standing = Standing::of(&checkpoint)?;
        }
        let end = self.log.last_sequence(StreamName::Inference).await?;
        if end > standing.last_sequence {
            standing = self.sign_up_to(standing, end).await?;
        }
        self.newest = Some(standing);
        Ok(())
    }

    async fn sign_up_to(&self, mut standing: Standing, end: u64) -> Result<Standing, AuditError> {
        let mut growing = standing.clone();
        let from = ReadFrom::Sequence(standing.last_sequence + 1);
        let mut records = StoredRecords::open(self.log.as_ref(), from).await?;
        while let Some(record) = records.next().await? {
            growing.tree.push(record.leaf().hash());
            growing.last_sequence = record.sequence();
            let num_new = growing.tree.size() - standing.tree.size();
            if num_new >= self.settings.max_num_records || record.sequence() >= end {
                growing.number += 1;
                if !self.append(&growing).await? {
                    // Another one signed meanwhile; it is taken over at the next look.
                    return Ok(standing);
                }
                standing = growing.clone();
            }
            if record.sequence() >= end {
                break;
            }
        }
        Ok(standing)
    }

    /// Whether it is now in the log.
    async fn append(&self, standing: &Standing) -> Result<bool, AuditError> {
        let stamp = (self.stamps)();
        let position = Position {
            number: standing.number,
            last_sequence: standing.last_sequence,
            signed_at_unix_nanos: stamp.unix_nanos,
        };
        let checkpoint = checkpoint::sign(&standing.tree, &position, &self.key);
        Ok(matches!(self.checkpoints.append(stamp, checkpoint).await?, AppendOutcome::Stored { .. }))
    }
}
