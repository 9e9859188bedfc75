//! The records of the memory log, one stream at a time.

use std::collections::{BTreeMap, HashMap};

use crate::topology::{StreamSpec, WhenFull};
use crate::{Append, AppendOutcome, BusError, Expect, ReadFrom, Record, StreamState, subject_pattern};

/// One stream.
pub(super) struct MemoryStream {
    spec: StreamSpec,
    records: BTreeMap<u64, Record>,
    last_by_subject: HashMap<String, u64>,
    last_sequence: u64,
    num_bytes: u64,
}

impl MemoryStream {
    pub(super) fn new(spec: StreamSpec) -> Self {
        Self {
            spec,
            records: BTreeMap::new(),
            last_by_subject: HashMap::new(),
            last_sequence: 0,
            num_bytes: 0,
        }
    }

    pub(super) fn append(&mut self, append: &Append, now_unix_nanos: u64) -> Result<AppendOutcome, BusError> {
        self.expire(now_unix_nanos);
        let last = self.last_by_subject.get(&append.subject).copied();
        let is_refused = match append.expect {
            Expect::Anything => false,
            Expect::FirstOnSubject => last.is_some(),
            Expect::LastOnSubject(sequence) => last != Some(sequence),
        };
        if is_refused {
            return Ok(AppendOutcome::AlreadyThere);
        }
        let num_bytes = record_bytes(&append.subject, append.payload.len());
        if self.spec.when_full == WhenFull::Refuse && self.num_bytes + num_bytes > self.spec.max_bytes {
            return Err(BusError::Full(self.spec.name.as_str().to_owned()));
        }
        self.last_sequence += 1;
        self.num_bytes += num_bytes;
        let replaced = self.last_by_subject.insert(append.subject.clone(), self.last_sequence);
        if self.spec.keeps_last_only
            && let Some(replaced) = replaced.and_then(|sequence| self.records.remove(&sequence))
        {
            self.num_bytes -= record_bytes(&replaced.subject, replaced.payload.len());
        }
        self.records.insert(
            self.last_sequence,
            Record {
                sequence: self.last_sequence,
                subject: append.subject.clone(),
                payload: append.payload.clone(),
                stored: None,
                stored_at_unix_nanos: now_unix_nanos,
            },
        );
        while self.num_bytes > self.spec.max_bytes {
            self.drop_oldest();
        }
        Ok(AppendOutcome::Stored { sequence: self.last_sequence })
    }

    /// Drops what is older than the stream keeps.
    pub(super) fn expire(&mut self, now_unix_nanos: u64) {
        let max_age_nanos = self.spec.max_age.as_nanos() as u64;
        if max_age_nanos == 0 {
            return;
        }
        while self
            .records
            .first_key_value()
            .is_some_and(|(_, record)| record.stored_at_unix_nanos + max_age_nanos <= now_unix_nanos)
        {
            self.drop_oldest();
        }
    }

    pub(super) fn get(&self, sequence: u64) -> Option<&Record> {
        self.records.get(&sequence)
    }

    pub(super) fn last(&self, subject: &str) -> Option<&Record> {
        self.records.get(self.last_by_subject.get(subject)?)
    }

    pub(super) const fn last_sequence(&self) -> u64 {
        self.last_sequence
    }

    /// The first record at or after `sequence` that matches.
    pub(super) fn next_match(&self, sequence: u64, patterns: &[String]) -> Option<&Record> {
        self.records
            .range(sequence..)
            .map(|(_, record)| record)
            .find(|record| subject_pattern::is_any_match(patterns, &record.subject))
    }

    /// How many at or after `sequence` match.
    pub(super) fn num_matches(&self, sequence: u64, patterns: &[String]) -> u64 {
        let matches = |record: &&Record| subject_pattern::is_any_match(patterns, &record.subject);
        self.records.range(sequence..).map(|(_, record)| record).filter(matches).count() as u64
    }

    /// Where a reading starts, and for `LastPerSubject` the sequences that it takes up to the present end.
    pub(super) fn start_of(&self, from: ReadFrom, patterns: &[String]) -> (u64, Option<Vec<u64>>) {
        match from {
            ReadFrom::Start => (0, None),
            ReadFrom::Sequence(sequence) => (sequence, None),
            ReadFrom::UnixNanos(nanos) => {
                let first = self.records.values().find(|record| record.stored_at_unix_nanos >= nanos);
                (first.map_or(self.last_sequence + 1, |record| record.sequence), None)
            }
            ReadFrom::LastPerSubject => {
                let mut sequences: Vec<u64> = self
                    .last_by_subject
                    .iter()
                    .filter(|(subject, _)| subject_pattern::is_any_match(patterns, subject))
                    .map(|(_, sequence)| *sequence)
                    .collect();
                sequences.sort_unstable();
                (self.last_sequence + 1, Some(sequences))
            }
        }
    }

    /// Removes what matches.
    pub(super) fn purge(&mut self, pattern: &str) {
        let num_bytes = &mut self.num_bytes;
        self.records.retain(|_, record| {
            let is_kept = !subject_pattern::is_match(pattern, &record.subject);
            if !is_kept {
                *num_bytes -= record_bytes(&record.subject, record.payload.len());
            }
            is_kept
        });
        self.last_by_subject.retain(|subject, _| !subject_pattern::is_match(pattern, subject));
    }

    /// Removes one record.
    pub(super) fn erase(&mut self, sequence: u64) {
        let Some(record) = self.records.remove(&sequence) else { return };
        self.num_bytes -= record_bytes(&record.subject, record.payload.len());
        if self.last_by_subject.get(&record.subject) == Some(&sequence) {
            self.last_by_subject.remove(&record.subject);
        }
    }

    /// Removes what stands before `sequence`.
    pub(super) fn forget_before(&mut self, sequence: u64) {
        while self.records.first_key_value().is_some_and(|(first, _)| *first < sequence) {
            self.drop_oldest();
        }
    }

    pub(super) fn state(&self) -> StreamState {
        let first = self.records.first_key_value().map(|(sequence, _)| *sequence);
        StreamState {
            first_sequence: first.unwrap_or(self.last_sequence + 1),
            last_sequence: self.last_sequence,
            num_bytes: self.num_bytes,
            max_bytes: self.spec.max_bytes,
            ..StreamState::default()
        }
    }

    fn drop_oldest(&mut self) {
        let Some((sequence, record)) = self.records.pop_first() else { return };
        self.num_bytes -= record_bytes(&record.subject, record.payload.len());
        if self.last_by_subject.get(&record.subject) == Some(&sequence) {
            self.last_by_subject.remove(&record.subject);
        }
    }
}

/// What the broker's file store counts, about.
fn record_bytes(subject: &str, num_payload_bytes: usize) -> u64 {
    (subject.len() + num_payload_bytes + 30) as u64
}
