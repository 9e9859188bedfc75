//! A stretch of the log, decoded and folded; pure.

use std::collections::{BTreeMap, BTreeSet};

use schemas::v1::Envelope;
use schemas::{DecodeError, decode_envelope};
use thiserror::Error;

use crate::entity::unreadable_fact;
use crate::fold::{fold_in_place, signed};
use crate::log_reader::Entry;
use crate::{FactRow, InferenceRow};

/// Longest subject that is noted of an unreadable record.
const MAX_NUM_SUBJECT_CHARS: usize = 300;

/// Why a record of the log cannot be folded. None of the texts holds content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Unreadable {
    /// Its claim-checked payload is not in the object store, or is damaged.
    #[error("its payload is missing from the object store, or damaged")]
    WithoutPayload,
    /// The bytes are no envelope.
    #[error("the bytes are no envelope")]
    Malformed,
    /// Written by a newer build.
    #[error("written in schema version {found}, which is newer than this build")]
    TooNew {
        /// The version in the envelope.
        found: u32,
    },
    /// No fact that this build knows.
    #[error("the envelope holds no fact that this build knows")]
    NoFact,
    /// An id in it is malformed.
    #[error("an id in the envelope is malformed")]
    BadId,
    /// Its inference belongs to another tenant, so it must not touch the row.
    #[error("the inference belongs to another tenant")]
    OtherTenant,
}

impl From<DecodeError> for Unreadable {
    fn from(error: DecodeError) -> Self {
        match error {
            DecodeError::Malformed(_) => Self::Malformed,
            DecodeError::TooNew { found } => Self::TooNew { found },
            DecodeError::NoFact(_) => Self::NoFact,
            DecodeError::Id(_) => Self::BadId,
        }
    }
}

/// A record, decoded as soon as it is read.
#[derive(Debug)]
struct DecodedRecord {
    sequence: u64,
    subject: String,
    stored_at_unix_nanos: u64,
    envelope: Result<Envelope, Unreadable>,
}

/// A stretch of the log in stream order.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    records: Vec<DecodedRecord>,
    num_bytes: usize,
}

/// What a batch does to the tables; sorted by key.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    pub(crate) rows: Vec<InferenceRow>,
    pub(crate) facts: Vec<FactRow>,
    pub(crate) unreadable: Vec<unreadable_fact::Model>,
}

impl Batch {
    /// Takes what the stream holds next.
    pub(crate) fn push(&mut self, entry: Entry) {
        let record = match entry {
            Entry::Record(record) => {
                self.num_bytes += record.payload.len();
                DecodedRecord {
                    sequence: record.sequence,
                    envelope: decode_envelope(&record.payload).map_err(Unreadable::from),
                    subject: record.subject,
                    stored_at_unix_nanos: record.stored_at_unix_nanos,
                }
            }
            Entry::WithoutPayload { sequence } => DecodedRecord {
                sequence,
                envelope: Err(Unreadable::WithoutPayload),
                subject: String::new(),
                stored_at_unix_nanos: 0,
            },
        };
        self.records.push(record);
    }

    /// How many records it holds.
    pub(crate) const fn len(&self) -> usize {
        self.records.len()
    }

    /// How many bytes their payloads had.
    pub(crate) const fn num_bytes(&self) -> usize {
        self.num_bytes
    }

    /// The last record's place in the stream; `None` when it is empty.
    pub(crate) fn last_sequence(&self) -> Option<u64> {
        self.records.last().map(|record| record.sequence)
    }

    /// Tells the operator of what was skipped.
    pub(crate) fn log_unreadable(&self) {
        for record in &self.records {
            if let Err(reason) = &record.envelope {
                tracing::error!(sequence = record.sequence, %reason, "a record of the log cannot be folded: skipped");
            }
        }
    }

    /// The inferences whose rows [`Batch::fold`] needs.
    pub(crate) fn inference_ids(&self) -> BTreeSet<String> {
        let envelopes = self.records.iter().filter_map(|record| record.envelope.as_ref().ok());
        envelopes.filter_map(|envelope| envelope.inference().ok()).map(|id| id.to_string()).collect()
    }

    /// Folds every record over the rows that stand already; a record that cannot be folded is noted and skipped.
    pub(crate) fn fold(&self, rows: Vec<InferenceRow>) -> Changes {
        let mut rows: BTreeMap<String, Option<InferenceRow>> =
            rows.into_iter().map(|row| (row.id.clone(), Some(row))).collect();
        let mut changes = Changes::default();
        for record in &self.records {
            let folded = record.envelope.as_ref().map_err(|unreadable| *unreadable).and_then(|envelope| {
                let id = envelope.inference().map_err(|_| Unreadable::BadId)?;
                fold_in_place(rows.entry(id.to_string()).or_default(), envelope, record.sequence)
            });
            match folded {
                Ok((_, fact)) => changes.facts.push(fact),
                Err(unreadable) => changes.unreadable.push(skipped(record, unreadable)),
            }
        }
        changes.rows = rows.into_values().flatten().collect();
        changes
    }
}

fn skipped(record: &DecodedRecord, unreadable: Unreadable) -> unreadable_fact::Model {
    unreadable_fact::Model {
        stream_sequence: signed(record.sequence),
        subject: record.subject.chars().filter(|c| *c != '\0').take(MAX_NUM_SUBJECT_CHARS).collect(),
        reason: unreadable.to_string(),
        stored_at_unix_nanos: signed(record.stored_at_unix_nanos),
    }
}
