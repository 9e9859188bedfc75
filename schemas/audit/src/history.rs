//! [`History`]: archive and log as one log.

mod reading;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bus::topology::ConsumerSpec;
use bus::{
    Append, AppendOutcome, Backlog, BusError, Consumer, EventLog, LiveMessages, QueryMessages, ReadFrom,
    Record, Records, StreamName, StreamState, subjects,
};
use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use schemas::v1::SegmentArchived;
use schemas::{FactKind, InferenceId};

use self::reading::Reading;
use crate::archive::Entry;
use crate::segment::SegmentFile;
use crate::segment_log::SegmentLog;

/// Ids carry the time of the node that made them, and records that of the broker.
const MAX_CLOCK_DIFFERENCE: Duration = Duration::from_secs(3_600);

/// The event log with everything that ever stood in it: what has left `INFERENCE` is read from the archive's segments.
///
/// Writing, consumers and the other streams are those of the log. A segment that is needed and missing, cut off or changed
/// is `Err(Archive)` with its name, never an answer.
#[derive(Clone)]
pub struct History {
    past: Arc<Past>,
}

/// What the readings of one history share.
struct Past {
    log: Arc<dyn EventLog>,
    segments: SegmentLog,
    directory: Option<PathBuf>,
}

impl History {
    /// The history of this log. Without a directory whatever needs a segment fails, and says so.
    pub fn new(log: Arc<dyn EventLog>, directory: Option<PathBuf>) -> Self {
        let segments = SegmentLog::new(Arc::clone(&log));
        Self { past: Arc::new(Past { log, segments, directory }) }
    }
}

impl Past {
    async fn first_in_log(&self) -> Result<u64, BusError> {
        Ok(self.log.state(StreamName::Inference).await?.first_sequence)
    }

    /// The segment that holds the record at a sequence, or else the first one behind it.
    async fn segment_from(&self, sequence: u64) -> Result<Option<SegmentArchived>, BusError> {
        let segments = self.segments.all_that_count().await?;
        Ok(segments.get(segments.partition_point(|segment| segment.last_sequence < sequence)).cloned())
    }

    /// Does something with a segment's file, off the runtime.
    async fn with_file<T: Send + 'static>(
        &self,
        segment: &SegmentArchived,
        work: impl FnOnce(SegmentFile) -> Result<T, BusError> + Send + 'static,
    ) -> Result<T, BusError> {
        let directory = self.directory.as_deref().ok_or_else(|| BusError::Archive {
            segment: segment.file.clone(),
            reason: "no directory of the archive is configured".to_owned(),
        })?;
        SegmentFile::with(directory, segment, work).await
    }

    /// The record at a sequence, if a segment holds it.
    async fn archived(&self, sequence: u64) -> Result<Option<Record>, BusError> {
        let segment = self.segment_from(sequence).await?.filter(|segment| segment.first_sequence <= sequence);
        let Some(segment) = segment else { return Ok(None) };
        self.with_file(&segment, move |file| {
            let block = file.block(file.block_of(sequence))?;
            let entry = block.into_iter().find(|entry| entry.sequence == sequence);
            entry.map(|entry| file.record(entry)).transpose()
        })
        .await
    }

    /// What the segments hold of one inference before a sequence, in the order of the log.
    async fn archived_life(
        &self,
        id: InferenceId,
        before: u64,
    ) -> Result<Vec<(Entry, Result<Record, BusError>)>, BusError> {
        let mut life = Vec::new();
        for segment in self.segments.all_that_count().await?.iter() {
            if segment.first_sequence >= before {
                break;
            }
            if !may_hold(segment, id) {
                continue;
            }
            let found = self.with_file(segment, move |file| {
                let entries = file.entries_of(id)?.into_iter();
                Ok(entries.map(|entry| (entry.clone(), file.record(entry))).collect::<Vec<_>>())
            });
            life.extend(found.await?.into_iter().filter(|(entry, _)| entry.sequence < before));
        }
        Ok(life)
    }

    /// The last record on a subject that the log does not hold.
    async fn archived_last(&self, id: InferenceId, subject: &str) -> Result<Option<Record>, BusError> {
        if !self.segments.all_that_count().await?.iter().any(|segment| may_hold(segment, id)) {
            return Ok(None);
        }
        // The log loses the beginning of a life first: while it has that, it has everything.
        let tenant = subject.split('.').nth(2).unwrap_or_default();
        let beginning = format!("inference.{}.{tenant}.{id}", FactKind::Requested.as_str());
        if beginning != subject && self.log.last(StreamName::Inference, beginning).await?.is_some() {
            return Ok(None);
        }
        let life = self.archived_life(id, self.first_in_log().await?).await?;
        let mut records = life.into_iter().rev().filter_map(|(entry, record)| Some((entry.fact?, record)));
        records.find(|(fact, _)| fact.subject == subject).map(|(_, record)| record).transpose()
    }

    /// The records of one inference, all read before it returns: few, and so that nothing can leave the log meanwhile.
    async fn life(
        &self,
        id: InferenceId,
        patterns: &[String],
        first: u64,
    ) -> Result<Vec<Result<Record, BusError>>, BusError> {
        loop {
            let first_in_log = self.first_in_log().await?;
            let mut life = Vec::new();
            for (entry, record) in self.archived_life(id, first_in_log).await? {
                let subject = entry.fact.map(|fact| fact.subject).unwrap_or_default();
                if entry.sequence >= first && subjects::is_any_match(patterns, &subject) {
                    life.push(record);
                }
            }
            let from = ReadFrom::Sequence(first.max(first_in_log));
            let records = self.log.read(StreamName::Inference, patterns.to_vec(), from, false).await?;
            life.extend(records.collect::<Vec<_>>().await);
            if self.first_in_log().await? == first_in_log {
                return Ok(life);
            }
        }
    }
}

/// Whether a segment can have facts of an inference, by the times of both.
fn may_hold(segment: &SegmentArchived, id: InferenceId) -> bool {
    let since = made_at_unix_nanos(id).saturating_sub(MAX_CLOCK_DIFFERENCE.as_nanos() as u64);
    segment.newest_unix_nanos >= since
}

/// The time in an id of version 7; 0 for one that is made of other things.
fn made_at_unix_nanos(id: InferenceId) -> u64 {
    let uuid = id.uuid();
    if uuid.get_version_num() != 7 {
        return 0;
    }
    let millis = uuid.as_u128() >> 80;
    u64::try_from(millis * 1_000_000).unwrap_or(0)
}

/// The inference that all patterns are about, if they are about one.
fn only_inference(patterns: &[String]) -> Option<InferenceId> {
    let id = subjects::inference_of(patterns.first()?)?;
    patterns.iter().all(|pattern| subjects::inference_of(pattern) == Some(id)).then_some(id)
}

#[async_trait]
impl EventLog for History {
    async fn read(
        &self,
        stream: StreamName,
        patterns: Vec<String>,
        from: ReadFrom,
        follow: bool,
    ) -> Result<Records, BusError> {
        let past = &self.past;
        let is_of_the_log = stream != StreamName::Inference || from == ReadFrom::LastPerSubject;
        if is_of_the_log || past.segments.all_that_count().await?.is_empty() {
            return past.log.read(stream, patterns, from, follow).await;
        }
        let (first, since_unix_nanos) = match from {
            ReadFrom::Sequence(sequence) => (sequence, 0),
            ReadFrom::UnixNanos(since) => (self.past.first_since(since).await?, since),
            ReadFrom::Start | ReadFrom::LastPerSubject => (0, 0),
        };
        if let Some(id) = only_inference(&patterns).filter(|_| !follow) {
            let life = past.life(id, &patterns, first).await?;
            let is_since = move |record: &Result<Record, BusError>| {
                let is_older = |record: &Record| record.stored_at_unix_nanos < since_unix_nanos;
                std::future::ready(!record.as_ref().is_ok_and(is_older))
            };
            return Ok(stream::iter(life).filter(is_since).boxed());
        }
        let end = if follow { None } else { Some(past.log.last_sequence(stream).await?) };
        let reading = Reading::new(Arc::clone(past), patterns, (first, end), since_unix_nanos);
        let records = stream::try_unfold(reading, |mut reading| async move {
            Ok(reading.next().await?.map(|record| (record, reading)))
        });
        Ok(records.into_stream().fuse().boxed())
    }

    async fn get(&self, stream: StreamName, sequence: u64) -> Result<Option<Record>, BusError> {
        match self.past.log.get(stream, sequence).await? {
            None if stream == StreamName::Inference && sequence > 0 => self.past.archived(sequence).await,
            found => Ok(found),
        }
    }

    async fn last(&self, stream: StreamName, subject: String) -> Result<Option<Record>, BusError> {
        let found = self.past.log.last(stream, subject.clone()).await?;
        if found.is_some() || stream != StreamName::Inference {
            return Ok(found);
        }
        match subjects::inference_of(&subject) {
            Some(id) => self.past.archived_last(id, &subject).await,
            None => Ok(None),
        }
    }

    async fn append(&self, append: Append) -> Result<AppendOutcome, BusError> {
        self.past.log.append(append).await
    }

    async fn publish(&self, stream: StreamName, subject: String, payload: Bytes) -> Result<(), BusError> {
        self.past.log.publish(stream, subject, payload).await
    }

    async fn send(&self, subject: String, payload: Bytes) -> Result<(), BusError> {
        self.past.log.send(subject, payload).await
    }

    async fn listen(&self, pattern: String) -> Result<LiveMessages, BusError> {
        self.past.log.listen(pattern).await
    }

    async fn consumer(&self, spec: &ConsumerSpec) -> Result<Consumer, BusError> {
        self.past.log.consumer(spec).await
    }

    async fn backlog(&self, spec: &ConsumerSpec) -> Result<Option<Backlog>, BusError> {
        self.past.log.backlog(spec).await
    }

    async fn purge(&self, stream: StreamName, pattern: String) -> Result<(), BusError> {
        self.past.log.purge(stream, pattern).await
    }

    async fn erase(&self, stream: StreamName, sequence: u64) -> Result<(), BusError> {
        self.past.log.erase(stream, sequence).await
    }

    async fn forget_before(&self, stream: StreamName, sequence: u64) -> Result<(), BusError> {
        self.past.log.forget_before(stream, sequence).await
    }

    async fn state(&self, stream: StreamName) -> Result<StreamState, BusError> {
        let mut state = self.past.log.state(stream).await?;
        if stream == StreamName::Inference
            && let Some(first) = self.past.segments.all_that_count().await?.first()
        {
            state.first_sequence = state.first_sequence.min(first.first_sequence);
        }
        Ok(state)
    }

    async fn last_sequence(&self, stream: StreamName) -> Result<u64, BusError> {
        self.past.log.last_sequence(stream).await
    }

    async fn ask(&self, subject: String, payload: Bytes, timeout: Duration) -> Result<Bytes, BusError> {
        self.past.log.ask(subject, payload, timeout).await
    }

    async fn answer(&self, subject: String, group: String) -> Result<QueryMessages, BusError> {
        self.past.log.answer(subject, group).await
    }

    fn is_connected(&self) -> bool {
        self.past.log.is_connected()
    }

    async fn close(&self) -> Result<(), BusError> {
        self.past.log.close().await
    }
}
