//! Keeps the tables up with the log.
//!
//! Any number of projectors may run on one database: a batch is committed together with a compare-and-set of the
//! checkpoint, so each fact is folded by one of them. Who loses the race stands by, and takes over when facts wait and
//! the checkpoint stands still.

use std::sync::Arc;
use std::time::Duration;

use bus::{BusError, EventLog, StreamName};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::batch::Batch;
use crate::checkpoint::Checkpoint;
use crate::fold::FOLD_VERSION;
use crate::log_reader::LogReader;
use crate::schema::LIVE;
use crate::store::commit;
use crate::{Database, ReadModelError, rebuild};

/// How a projector batches and waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProjectorSettings {
    /// Most facts a transaction.
    pub max_num_facts: usize,
    /// Most bytes of facts a transaction.
    pub max_num_bytes: usize,
    /// Longest wait for more facts after the first of a transaction.
    pub max_wait: Duration,
    /// How long the checkpoint must stand still, while facts wait, before a projector that stands by takes over.
    pub takeover_after: Duration,
    /// Pause after a first failure; it doubles with each one that follows.
    pub min_backoff: Duration,
    /// Longest pause.
    pub max_backoff: Duration,
}

impl Default for ProjectorSettings {
    fn default() -> Self {
        Self {
            max_num_facts: 500,
            max_num_bytes: 16 << 20,
            max_wait: Duration::from_millis(50),
            takeover_after: Duration::from_secs(2),
            min_backoff: Duration::from_millis(100),
            max_backoff: Duration::from_secs(5),
        }
    }
}

/// What a projector does at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It folds, or waits for facts to fold.
    Leading,
    /// Another projector folds.
    StandingBy,
    /// The log or the database cannot be used; it tries again.
    Waiting,
}

/// How far a projector has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// What it does.
    pub role: Role,
    /// The last stream sequence that it committed or found committed.
    pub last_sequence: u64,
}

/// Folds the INFERENCE stream into the tables as it grows.
pub struct Projector {
    log: Arc<dyn EventLog>,
    database: Database,
    settings: ProjectorSettings,
    progress: watch::Sender<Progress>,
}

impl Projector {
    /// Follows the log until `shutdown`. It waits out a broker or a database that is away, and notes and skips what
    /// cannot be folded. `Err` only for what waiting cannot mend: the tables belong to another log or a newer build, or
    /// the broker refuses the reading.
    pub async fn run(
        log: Arc<dyn EventLog>,
        database: Database,
        shutdown: CancellationToken,
    ) -> Result<(), ReadModelError> {
        Self::new(log, database, ProjectorSettings::default()).drive(shutdown).await
    }

    /// A projector that has not begun.
    pub fn new(log: Arc<dyn EventLog>, database: Database, settings: ProjectorSettings) -> Self {
        let (progress, _) = watch::channel(Progress { role: Role::Waiting, last_sequence: 0 });
        Self { log, database, settings, progress }
    }

    /// Tells of its progress while it is driven.
    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    /// See [`Projector::run`].
    pub async fn drive(self, shutdown: CancellationToken) -> Result<(), ReadModelError> {
        // Dropped in the middle of a transaction, it rolls back: the checkpoint and the rows stay together.
        tokio::select! {
            biased;
            () = shutdown.cancelled() => Ok(()),
            Err(error) = self.keep_up() => Err(error),
        }
    }

    async fn keep_up(&self) -> Result<std::convert::Infallible, ReadModelError> {
        let mut pause = self.settings.min_backoff;
        loop {
            let came_from = self.progress.borrow().last_sequence;
            let ended = match self.lead().await {
                Ok(lost) => self.stand_by(lost).await,
                Err(error) => Err(error),
            };
            let Err(error) = ended else { continue };
            if !can_wait_out(&error) {
                return Err(error);
            }
            let has_moved = self.progress.borrow().last_sequence > came_from;
            pause = if has_moved { self.settings.min_backoff } else { pause };
            tracing::warn!(code = error.code(), %error, pause_millis = pause.as_millis(), "the projector waits");
            self.report(Role::Waiting, came_from);
            sleep(pause).await;
            pause = (pause * 2).min(self.settings.max_backoff);
        }
    }

    /// Folds batch after batch; returns the checkpoint at which somebody else was faster.
    async fn lead(&self) -> Result<Checkpoint, ReadModelError> {
        let mut checkpoint = self.database.checkpoint().await?;
        if checkpoint.version > FOLD_VERSION {
            return Err(ReadModelError::NewerTables { found: checkpoint.version, known: FOLD_VERSION });
        }
        if checkpoint.version < FOLD_VERSION {
            tracing::info!(
                found = checkpoint.version,
                ours = FOLD_VERSION,
                "older rules folded the tables: rebuilding"
            );
            rebuild(Arc::clone(&self.log), &self.database).await?;
            checkpoint = self.database.checkpoint().await?;
        }
        let end = self.log.last_sequence(StreamName::Inference).await?;
        if checkpoint.last_sequence > end {
            return Err(ReadModelError::AnotherLog { checkpoint: checkpoint.last_sequence, log: end });
        }
        let mut reader = LogReader::open(Arc::clone(&self.log), checkpoint.last_sequence + 1, true).await?;
        self.report(Role::Leading, checkpoint.last_sequence);
        loop {
            let batch = self.next_batch(&mut reader).await?;
            let committed = commit(&self.database.connection, &LIVE, checkpoint, &batch).await;
            match committed.map_err(|error| self.database.failed(&error))? {
                Some(moved) => checkpoint = moved,
                None => return Ok(checkpoint),
            }
            batch.log_unreadable();
            self.report(Role::Leading, checkpoint.last_sequence);
        }
    }

    /// Waits for a first entry, then a little for more.
    async fn next_batch(&self, reader: &mut LogReader) -> Result<Batch, ReadModelError> {
        let ended = || BusError::Unreachable("the reading of the log ended".to_owned());
        let mut batch = Batch::default();
        batch.push(reader.next().await?.ok_or_else(ended)?);
        let deadline = Instant::now() + self.settings.max_wait;
        while batch.len() < self.settings.max_num_facts && batch.num_bytes() < self.settings.max_num_bytes {
            match timeout_at(deadline, reader.next()).await {
                Ok(Ok(Some(entry))) => batch.push(entry),
                // What was read before a failure is read again.
                Ok(Err(error)) => return Err(error.into()),
                Ok(Ok(None)) | Err(_) => break,
            }
        }
        Ok(batch)
    }

    /// Waits until facts wait and nobody moves the checkpoint.
    async fn stand_by(&self, lost: Checkpoint) -> Result<(), ReadModelError> {
        loop {
            let seen = self.database.checkpoint().await?;
            if seen.generation != lost.generation {
                // A rebuild, no rival, moved it.
                return Ok(());
            }
            self.report(Role::StandingBy, seen.last_sequence);
            let are_facts_waiting = self.log.last_sequence(StreamName::Inference).await? > seen.last_sequence;
            sleep(self.settings.takeover_after).await;
            if are_facts_waiting && self.database.checkpoint().await? == seen {
                tracing::info!(
                    last_sequence = seen.last_sequence,
                    "the leading projector stands still: taking over"
                );
                return Ok(());
            }
        }
    }

    fn report(&self, role: Role, last_sequence: u64) {
        self.progress.send_replace(Progress { role, last_sequence });
    }
}

/// Databases come back; what the broker refuses it will refuse again.
const fn can_wait_out(error: &ReadModelError) -> bool {
    match error {
        ReadModelError::Bus(error) => error.is_retryable(),
        ReadModelError::AnotherLog { .. } | ReadModelError::NewerTables { .. } => false,
        _ => true,
    }
}
