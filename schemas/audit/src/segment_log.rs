//! Which segments the archive has: facts on `AUDIT`, numbered from 1 without gaps.

use std::sync::Arc;

use bus::{Append, AppendOutcome, BusError, EventLog, Expect, ReadFrom, Record, Stamp, StreamName, subjects};
use futures_util::TryStreamExt as _;
use prost::Message as _;
use schemas::WrittenBy;
use schemas::v1::{AuditEnvelope, SegmentArchived, audit_envelope::Fact};
use tokio::sync::Mutex;

const WRITER: &str = "archivist";

/// Reads and appends what is said of segments, and remembers what it has read.
pub(crate) struct SegmentLog {
    log: Arc<dyn EventLog>,
    known: Mutex<Option<Arc<Vec<SegmentArchived>>>>,
}

impl SegmentLog {
    pub(crate) fn new(log: Arc<dyn EventLog>) -> Self {
        Self { log, known: Mutex::new(None) }
    }

    /// All segments as of now, in their order.
    pub(crate) async fn all(&self) -> Result<Arc<Vec<SegmentArchived>>, BusError> {
        let mut known = self.known.lock().await;
        let mut segments = match known.take() {
            Some(segments) => segments,
            None => Arc::new(self.read().await?),
        };
        while let Some(record) = self.last(segments.len() as u64 + 1).await? {
            let segment = segment_of(&record, segments.len())?;
            Arc::make_mut(&mut segments).push(segment);
        }
        *known = Some(Arc::clone(&segments));
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
