//! The log in its order, whether the content of each record is there or not.

use bus::{BusError, EventLog, MissingContent, ReadFrom, Record, Records, StreamName};
use futures_util::StreamExt as _;

use crate::archive::{Entry, StoredFact};
use crate::leaf::Leaf;

/// What stands at a place of the log.
#[derive(Debug, Clone)]
pub(crate) enum Stored {
    /// A record.
    Whole(Record),
    /// A record whose content the object store has lost; its hash is known.
    WithoutContent(MissingContent),
}

impl Stored {
    /// Its place.
    pub(crate) const fn sequence(&self) -> u64 {
        match self {
            Self::Whole(record) => record.sequence,
            Self::WithoutContent(missing) => missing.sequence,
        }
    }

    /// Its subject.
    pub(crate) fn subject(&self) -> &str {
        match self {
            Self::Whole(record) => &record.subject,
            Self::WithoutContent(missing) => &missing.subject,
        }
    }

    /// When the log stored it.
    pub(crate) const fn stored_at_unix_nanos(&self) -> u64 {
        match self {
            Self::Whole(record) => record.stored_at_unix_nanos,
            Self::WithoutContent(missing) => missing.stored_at_unix_nanos,
        }
    }

    /// Its leaf.
    pub(crate) fn leaf(&self) -> Leaf {
        match self {
            Self::Whole(record) => Leaf::of(record),
            Self::WithoutContent(missing) => {
                Leaf::without_content(missing.sequence, missing.hash, &missing.subject)
            }
        }
    }

    /// Its entry in an archive, with the record if it `is_shown`.
    pub(crate) fn into_entry(self, is_shown: bool) -> Entry {
        let leaf = self.leaf();
        let fact = match self {
            Self::Whole(record) => StoredFact {
                subject: record.subject,
                stored_at_unix_nanos: record.stored_at_unix_nanos,
                envelope: record.payload.into(),
                missing_content: Vec::new(),
            },
            Self::WithoutContent(missing) => StoredFact {
                subject: missing.subject,
                stored_at_unix_nanos: missing.stored_at_unix_nanos,
                envelope: Vec::new(),
                missing_content: missing.hash.as_bytes().to_vec(),
            },
        };
        Entry {
            sequence: leaf.sequence,
            inference: leaf.inference.to_vec(),
            content: leaf.content.to_vec(),
            fact: is_shown.then_some(fact),
        }
    }
}

/// Reads the log without being stopped by content that is gone.
pub(crate) struct StoredRecords<'a> {
    log: &'a dyn EventLog,
    records: Records,
}

impl<'a> StoredRecords<'a> {
    /// Begins there; ends with what stands now.
    pub(crate) async fn open(log: &'a dyn EventLog, from: ReadFrom) -> Result<Self, BusError> {
        Ok(Self { log, records: read(log, from).await? })
    }

    /// The next one; `None` at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<Stored>, BusError> {
        match self.records.next().await {
            None => Ok(None),
            Some(Ok(record)) => Ok(Some(Stored::Whole(record))),
            Some(Err(BusError::Object { missing: Some(missing), .. })) => {
                self.records = read(self.log, ReadFrom::Sequence(missing.sequence + 1)).await?;
                Ok(Some(Stored::WithoutContent(*missing)))
            }
            Some(Err(error)) => Err(error),
        }
    }
}

async fn read(log: &dyn EventLog, from: ReadFrom) -> Result<Records, BusError> {
    log.read(StreamName::Inference, Vec::new(), from, false).await
}
