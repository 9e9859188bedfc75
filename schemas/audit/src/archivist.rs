//! The service that moves older history from the log to the archive.

mod retention;
mod segment_draft;
mod status;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bus::{AppendOutcome, BusError, EventLog, ReadFrom, StampSource, StreamName};
use schemas::v1::{CheckpointSigned, SegmentArchived};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

pub use self::status::{ArchiveNumbers, ArchiveStatus};

use self::segment_draft::SegmentDraft;
use crate::AuditError;
use crate::checkpoint_log::CheckpointLog;
use crate::export::base;
use crate::segment::number_of_file;
use crate::segment_log::SegmentLog;
use crate::stored_records::StoredRecords;

/// When the log is moved, and what stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchivistSettings {
    /// Where segments go; made when it is missing.
    pub directory: PathBuf,
    /// Between two looks at the log.
    pub interval: Duration,
    /// A segment is closed when it has so many records; at most a million.
    pub max_num_records: u64,
    /// A segment is closed when its records have so many bytes.
    pub max_num_bytes: u64,
    /// A segment is closed when its first checkpoint is so old.
    pub max_age: Duration,
    /// Archived records leave the log when they are so old; zero: only for want of room.
    pub log_max_age: Duration,
    /// For want of room archived records leave the log not before they are so old.
    pub log_min_age: Duration,
}

/// Archives what checkpoints cover, then lets it leave the log. Several may run on one directory: each segment is appended
/// to `AUDIT` by one of them, and only a file that is named there counts.
pub struct Archivist {
    log: Arc<dyn EventLog>,
    checkpoints: CheckpointLog,
    segments: SegmentLog,
    stamps: StampSource,
    settings: ArchivistSettings,
    status: ArchiveStatus,
    /// A segment whose file stands and of which nobody may have heard.
    unannounced: Mutex<Option<SegmentArchived>>,
}

impl Archivist {
    /// A service that has not begun.
    pub fn new(log: Arc<dyn EventLog>, stamps: StampSource, settings: ArchivistSettings) -> Self {
        Self {
            checkpoints: CheckpointLog::new(Arc::clone(&log)),
            segments: SegmentLog::new(Arc::clone(&log)),
            log,
            stamps,
            settings,
            status: ArchiveStatus::default(),
            unannounced: Mutex::new(None),
        }
    }

    /// What it tells of itself.
    pub fn status(&self) -> ArchiveStatus {
        self.status.clone()
    }

    /// Archives and frees at every interval until `shutdown`. What it is at then is begun again by the next one.
    pub async fn run(self, shutdown: CancellationToken) {
        info!(directory = %self.settings.directory.display(), "the archivist is ready");
        let work = async {
            loop {
                let outcome = self.look().await;
                self.tell(&outcome).await;
                tokio::time::sleep(self.settings.interval).await;
            }
        };
        shutdown.run_until_cancelled(work).await;
    }

    /// Archives what is due and frees what may leave the log.
    pub async fn look(&self) -> Result<(), AuditError> {
        while self.archive_next(false).await? {}
        self.free().await
    }

    /// Archives everything that is signed, due or not.
    pub async fn archive_everything(&self) -> Result<(), AuditError> {
        while self.archive_next(true).await? {}
        Ok(())
    }

    async fn tell(&self, outcome: &Result<(), AuditError>) {
        let state = self.log.state(StreamName::Inference).await.ok();
        let is_full = state.is_some_and(|state| state.is_nearly_full());
        let segments = self.segments.all().await.unwrap_or_default();
        self.status.set(segments.last(), state, outcome.is_err());
        if self.log.state(StreamName::Audit).await.is_ok_and(|audit| audit.is_nearly_full()) {
            warn!(
                "AUDIT has hardly any room left: without room for checkpoints nothing is archived; give it more"
            );
        }
        match outcome {
            Err(error) if is_full => error!(
                code = error.code(), %error,
                "the archive cannot be written, and the log has hardly any room left: when it is full, requests are refused"
            ),
            Err(error) => {
                warn!(code = error.code(), %error, "the archive cannot be written; the log keeps what it has")
            }
            Ok(()) if is_full => warn!(
                "the log has hardly any room left, and nothing more may leave it yet: when it is full, requests are refused"
            ),
            Ok(()) => {}
        }
    }

    /// Whether a segment was added, by whomever.
    async fn archive_next(&self, is_forced: bool) -> Result<bool, AuditError> {
        let segments = self.segments.all().await?;
        let standing = segments.last();
        let Some(newest) = self.checkpoints.newest().await? else { return Ok(false) };
        let base = self.base(standing).await?;
        let has_news = newest.number > base.as_ref().map_or(0, |base| base.number);
        if !has_news || !(is_forced || self.is_due(standing, &newest).await?) {
            return Ok(false);
        }
        match self.write(standing, base, &newest).await {
            // Another one wrote it meanwhile, and removed what this one had.
            Err(_) if self.segments.all().await?.len() > segments.len() => {}
            written => written?,
        }
        self.remove_strays().await?;
        Ok(true)
    }

    /// The checkpoint that the next segment goes on from; none: it begins with the log.
    async fn base(&self, standing: Option<&SegmentArchived>) -> Result<Option<CheckpointSigned>, AuditError> {
        match standing {
            Some(standing) => self.checkpoint(standing.last_checkpoint).await.map(Some),
            None => {
                let first = self.log.state(StreamName::Inference).await?.first_sequence;
                base(self.log.as_ref(), &self.checkpoints, first.max(1)).await
            }
        }
    }

    async fn write(
        &self,
        standing: Option<&SegmentArchived>,
        base: Option<CheckpointSigned>,
        newest: &CheckpointSigned,
    ) -> Result<(), AuditError> {
        let number = standing.map_or(1, |standing| standing.number + 1);
        let mut unannounced = self.unannounced.lock().await;
        let written = match unannounced.take().filter(|segment| segment.number == number) {
            Some(segment) => segment,
            None => self.draft(standing, base, newest).await?.finish(number).await?,
        };
        // Whether a failed append is in the log is not known, so the same file is announced again.
        let outcome = match self.segments.append((self.stamps)(), written.clone()).await {
            Ok(outcome) => outcome,
            Err(error) => {
                *unannounced = Some(written);
                return Err(error.into());
            }
        };
        if matches!(outcome, AppendOutcome::Stored { .. }) {
            let SegmentArchived { file, num_records, last_sequence, .. } = written;
            info!(file, num_records, last_sequence, "archived a segment");
        }
        Ok(())
    }

    async fn is_due(
        &self,
        standing: Option<&SegmentArchived>,
        newest: &CheckpointSigned,
    ) -> Result<bool, AuditError> {
        let state = self.log.state(StreamName::Inference).await?;
        let last_sequence =
            standing.map_or(0, |standing| standing.last_sequence).max(state.first_sequence.saturating_sub(1));
        let num_records = newest.last_sequence.saturating_sub(last_sequence);
        let num_in_log = (state.last_sequence + 1).saturating_sub(state.first_sequence).max(1);
        let num_bytes = u128::from(state.num_bytes) * u128::from(num_records) / u128::from(num_in_log);
        if num_records >= self.settings.max_num_records
            || num_bytes >= u128::from(self.settings.max_num_bytes)
            || state.is_nearly_full()
        {
            return Ok(true);
        }
        let first = self.checkpoints.get(standing.map_or(1, |standing| standing.last_checkpoint + 1)).await?;
        let now = (self.stamps)().unix_nanos;
        let age = first.map_or(0, |first| now.saturating_sub(first.signed_at_unix_nanos));
        Ok(u128::from(age) >= self.settings.max_age.as_nanos())
    }

    /// Reads from behind the last segment to the checkpoint that closes the next one.
    async fn draft(
        &self,
        standing: Option<&SegmentArchived>,
        base: Option<CheckpointSigned>,
        newest: &CheckpointSigned,
    ) -> Result<SegmentDraft, AuditError> {
        let open = match standing {
            Some(standing) => self.open_inferences(standing).await?,
            None => Vec::new(),
        };
        let stamp = (self.stamps)();
        let number = standing.map_or(1, |standing| standing.number + 1);
        let token = stamp.event_id.to_string();
        let directory = self.settings.directory.clone();
        let mut draft = SegmentDraft::begin(directory, (number, token), base.as_ref(), open).await?;
        let from = base.as_ref().map_or(1, |base| base.last_sequence + 1);
        let mut next_checkpoint = self.checkpoint(base.map_or(0, |base| base.number) + 1).await?;
        let mut records = StoredRecords::open(self.log.as_ref(), ReadFrom::Sequence(from)).await?;
        while let Some(stored) = records.next().await? {
            let sequence = stored.sequence();
            draft.push(stored).await?;
            if sequence < next_checkpoint.last_sequence {
                continue;
            }
            let checkpoint_number = next_checkpoint.number;
            draft.close(next_checkpoint).await?;
            let is_full = draft.num_records() >= self.settings.max_num_records
                || draft.num_unpacked_bytes() >= self.settings.max_num_bytes;
            if is_full || checkpoint_number >= newest.number {
                return Ok(draft);
            }
            next_checkpoint = self.checkpoint(checkpoint_number + 1).await?;
        }
        Err(AuditError::Checkpoint {
            number: next_checkpoint.number,
            reason: "the log ends before the records that it covers",
        })
    }

    async fn checkpoint(&self, number: u64) -> Result<CheckpointSigned, AuditError> {
        let missing = AuditError::Checkpoint { number, reason: "it is missing" };
        self.checkpoints.get(number).await?.ok_or(missing)
    }

    /// Files of segments that are decided and that are not the ones which count: of whoever lost, or died.
    async fn remove_strays(&self) -> Result<(), AuditError> {
        let segments = self.segments.all().await?;
        let directory = self.settings.directory.clone();
        let removed = tokio::task::spawn_blocking(move || remove_all_but(&segments, &directory)).await;
        removed.map_err(|error| BusError::Archive {
            segment: self.settings.directory.display().to_string(),
            reason: error.to_string(),
        })?
    }
}

fn remove_all_but(segments: &[SegmentArchived], directory: &Path) -> Result<(), AuditError> {
    let names = fs::read_dir(directory)
        .and_then(|entries| entries.map(|entry| Ok(entry?.file_name())).collect::<Result<Vec<_>, _>>())
        .map_err(|error| AuditError::File { path: directory.to_owned(), error })?;
    for name in names.iter().filter_map(|name| name.to_str()) {
        let decided = number_of_file(name)
            .and_then(|number| segments.get(usize::try_from(number).ok()?.checked_sub(1)?));
        if decided.is_some_and(|segment| segment.file != name) {
            // Another one may have removed it first.
            fs::remove_file(directory.join(name)).ok();
        }
    }
    Ok(())
}
