//! Which segments the archive has: facts on `AUDIT`, numbered from 1 without gaps.

use std::sync::Arc;
use std::time::Duration;

use bus::{Append, AppendOutcome, BusError, EventLog, Expect, ReadFrom, Record, Stamp, StreamName, subjects};
use futures_util::TryStreamExt as _;
use prost::Message as _;
use schemas::WrittenBy;
use schemas::v1::{AuditEnvelope, SegmentArchived, audit_envelope::Fact};
use tokio::sync::Mutex;
use tokio::time::Instant;

const WRITER: &str = "archivist";
/// How long a reader goes by a list before it asks again.
const MAX_LIST_AGE: Duration = Duration::from_secs(1);
/// How long a segment's records stay in the log after it was told of: by then every reader knows of it.
pub(crate) const PAUSE_BEFORE_LEAVING: Duration = MAX_LIST_AGE.saturating_mul(3);

/// Reads and appends what is said of segments, and remembers what it has read.
pub(crate) struct SegmentLog {
    log: Arc<dyn EventLog>,
    known: Mutex<Option<Known>>,
}

struct Known {
    segments: Arc<Vec<SegmentArchived>>,
    asked_at: Instant,
}

impl SegmentLog {
    pub(crate) fn new(log: Arc<dyn EventLog>) -> Self {
        Self { log, known: Mutex::new(None) }
    }

    /// All segments as of now, in their order.
    pub(crate) async fn all(&self) -> Result<Arc<Vec<SegmentArchived>>, BusError> {
        self.not_older_than(Duration::ZERO).await
    }

    /// At least every segment of which a record has left the log by now, in their order; it seldom costs a call.
    pub(crate) async fn all_that_count(&self) -> Result<Arc<Vec<SegmentArchived>>, BusError> {
        self.not_older_than(MAX_LIST_AGE).await
    }

    async fn not_older_than(&self, max_age: Duration) -> Result<Arc<Vec<SegmentArchived>>, BusError> {
        let mut known = self.known.lock().await;
        let asked_at = Instant::now();
        let mut segments = match &*known {
            Some(known) if asked_at - known.asked_at < max_age => return Ok(Arc::clone(&known.segments)),
            Some(known) => Arc::clone(&known.segments),
            None => Arc::new(self.read().await?),
        };
        while let Some(record) = self.last(segments.len() as u64 + 1).await? {
            let segment = segment_of(&record, segments.len())?;
            Arc::make_mut(&mut segments).push(segment);
        }
        *known = Some(Known { segments: Arc::clone(&segments), asked_at });
        Ok(segments)
    }

    /// Says that a segment stands in the archive, unless another of its number does: of several that archive, one wins.
    pub(crate) async fn append(
        &self,
        stamp: Stamp,
        segment: SegmentArchived,
    ) -> Result<AppendOutcome, BusError> {
        let by = WrittenBy { event_id: stamp.event_id, at_unix_nanos: stamp.unix_nanos, writer: WRITER };
        let subject = subjects::audit_segment(segment.number);
        let payload = AuditEnvelope::new(&by, Fact::SegmentArchived(segment)).encode_to_vec().into();
        let append = Append { stream: StreamName::Audit, subject, payload, expect: Expect::FirstOnSubject };
        self.log.append(append).await
    }

    async fn read(&self) -> Result<Vec<SegmentArchived>, BusError> {
        let patterns = vec![subjects::all_audit_segments()];
        let mut records = self.log.read(StreamName::Audit, patterns, ReadFrom::Start, false).await?;
        let mut segments = Vec::new();
        while let Some(record) = records.try_next().await? {
            segments.push(segment_of(&record, segments.len())?);
        }
        Ok(segments)
    }

    async fn last(&self, number: u64) -> Result<Option<Record>, BusError> {
        self.log.last(StreamName::Audit, subjects::audit_segment(number)).await
    }
}

fn segment_of(record: &Record, num_before: usize) -> Result<SegmentArchived, BusError> {
    match schemas::decode_audit(&record.payload).ok().and_then(|envelope| envelope.fact) {
        Some(Fact::SegmentArchived(segment)) if segment.number == num_before as u64 + 1 => Ok(segment),
        _ => Err(BusError::Refused(format!(
            "the record on '{}' tells of no segment of that number",
            record.subject
        ))),
    }
}
