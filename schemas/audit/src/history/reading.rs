//! One reading over the border between archive and log.

use std::sync::Arc;

use bus::{BusError, ReadFrom, Record, Records, StreamName, subjects};
use futures_util::StreamExt as _;
use schemas::v1::SegmentArchived;

use super::Past;
use crate::archive::Entry;
use crate::segment::SegmentFile;

/// A reading of `INFERENCE` in its order.
pub(super) struct Reading {
    past: Arc<Past>,
    patterns: Vec<String>,
    /// Where it goes on.
    next: u64,
    /// The last sequence to read; none: it follows.
    end: Option<u64>,
    /// What was stored before is passed over.
    since_unix_nanos: u64,
    source: Source,
}

enum Source {
    /// To be chosen by where the next record is.
    Unknown,
    Segment(Box<OpenSegment>),
    /// With the first sequence that the log had when it was opened.
    Log(Records, u64),
}

struct OpenSegment {
    segment: SegmentArchived,
    file: Arc<SegmentFile>,
    next_block: usize,
    entries: std::vec::IntoIter<Entry>,
}

impl Past {
    /// A sequence before which nothing was stored at or after this time, as far as the segments tell.
    pub(super) async fn first_since(&self, unix_nanos: u64) -> Result<u64, BusError> {
        let segments = self.segments.all_that_count().await?;
        let segment = segments.iter().find(|segment| segment.newest_unix_nanos >= unix_nanos);
        let behind_all = segments.last().map_or(0, |segment| segment.last_sequence + 1);
        Ok(segment.map_or(behind_all, |segment| segment.first_sequence))
    }
}

impl Reading {
    pub(super) fn new(
        past: Arc<Past>,
        patterns: Vec<String>,
        (first, end): (u64, Option<u64>),
        since_unix_nanos: u64,
    ) -> Self {
        Self { past, patterns, next: first.max(1), end, since_unix_nanos, source: Source::Unknown }
    }

    /// The next record; `None` at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Record>, BusError> {
        loop {
            if self.end.is_some_and(|end| self.next > end) {
                return Ok(None);
            }
            let found = match &mut self.source {
                Source::Unknown => {
                    self.choose().await?;
                    continue;
                }
                Source::Segment(open) => match open.entries.next() {
                    Some(entry) if entry.sequence < self.next => continue,
                    Some(entry) => {
                        self.next = entry.sequence + 1;
                        let subject = entry.fact.as_ref().map_or("", |fact| &fact.subject);
                        if !subjects::is_any_match(&self.patterns, subject) {
                            continue;
                        }
                        open.file.record(entry)?
                    }
                    None if open.next_block < open.file.num_blocks() => {
                        open.load_block().await?;
                        continue;
                    }
                    None => {
                        self.next = self.next.max(open.segment.last_sequence + 1);
                        self.source = Source::Unknown;
                        continue;
                    }
                },
                Source::Log(records, first_in_log) => match records.next().await {
                    Some(record) => {
                        let record = record?;
                        if record.sequence > self.next && self.turn_to_archive().await? {
                            continue;
                        }
                        self.next = record.sequence + 1;
                        record
                    }
                    None => {
                        let first_in_log = *first_in_log;
                        if self.turn_to_archive().await? {
                            continue;
                        }
                        self.check_nothing_left(first_in_log).await?;
                        return Ok(None);
                    }
                },
            };
            if found.stored_at_unix_nanos >= self.since_unix_nanos {
                return Ok(Some(found));
            }
        }
    }

    async fn choose(&mut self) -> Result<(), BusError> {
        let first_in_log = self.past.first_in_log().await?;
        if self.next < first_in_log
            && let Some(segment) = self.past.segment_from(self.next).await?
            && segment.first_sequence < first_in_log
        {
            return self.open(segment).await;
        }
        let from = ReadFrom::Sequence(self.next);
        let follow = self.end.is_none();
        let records = self.past.log.read(StreamName::Inference, self.patterns.clone(), from, follow).await?;
        self.source = Source::Log(records, first_in_log.max(self.next));
        Ok(())
    }

    /// Whether what comes next has left the log for the archive; then it is read there. Of a reading of single subjects
    /// that cannot be told: gaps are in its nature.
    async fn turn_to_archive(&mut self) -> Result<bool, BusError> {
        if !self.patterns.is_empty() || self.next >= self.past.first_in_log().await? {
            return Ok(false);
        }
        match self.past.segment_from(self.next).await? {
            Some(segment) if segment.first_sequence <= self.next => {
                self.open(segment).await?;
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    /// `Err` if records left the log behind the back of a reading of single subjects.
    async fn check_nothing_left(&mut self, first_in_log: u64) -> Result<(), BusError> {
        if self.patterns.is_empty() || self.past.first_in_log().await? <= first_in_log {
            return Ok(());
        }
        Err(BusError::Unreachable("records moved to the archive while they were read; read again".to_owned()))
    }

    async fn open(&mut self, segment: SegmentArchived) -> Result<(), BusError> {
        self.next = self.next.max(segment.first_sequence);
        let next = self.next;
        let (file, next_block) = self
            .past
            .with_file(&segment, move |file| {
                let block = file.block_of(next);
                Ok((Arc::new(file), block))
            })
            .await?;
        self.source = Source::Segment(Box::new(OpenSegment {
            segment,
            file,
            next_block,
            entries: Vec::new().into_iter(),
        }));
        Ok(())
    }
}

impl OpenSegment {
    async fn load_block(&mut self) -> Result<(), BusError> {
        let (file, number) = (Arc::clone(&self.file), self.next_block);
        let loaded = tokio::task::spawn_blocking(move || file.block(number)).await;
        let failed = |reason: String| BusError::Archive { segment: self.segment.file.clone(), reason };
        self.entries = loaded.map_err(|error| failed(error.to_string()))??.into_iter();
        self.next_block += 1;
        Ok(())
    }
}
