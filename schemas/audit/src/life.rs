//! One inference's facts, and whether they hang together.

use std::collections::HashMap;

use bus::{BusError, EventLog, ReadFrom, StreamName, subjects, why_sealed};
use futures_util::TryStreamExt as _;
use schemas::v1::{Envelope, envelope::Fact};
use schemas::{FactHash, InferenceId};

/// A fact in its place.
#[derive(Debug, Clone, PartialEq)]
pub struct LifeFact {
    /// Position in the log.
    pub sequence: u64,
    /// When the log stored it, nanoseconds since the Unix epoch.
    pub stored_at_unix_nanos: u64,
    /// Its hash.
    pub hash: FactHash,
    /// Position of the fact that it follows; none for the first, and for one that follows nothing that is there.
    pub follows: Option<u64>,
    /// What happened.
    pub envelope: Envelope,
}

impl LifeFact {
    /// Whether it is the first fact of a life, or follows one that is there.
    pub fn is_chained(&self) -> bool {
        let is_first = matches!(self.envelope.fact, Some(Fact::Requested(_)));
        self.follows.is_some() || (is_first && self.envelope.previous_hash.is_empty())
    }
}

/// The facts of one inference in the order of the log.
#[derive(Debug, Clone, PartialEq)]
pub struct Life {
    /// At least one.
    pub facts: Vec<LifeFact>,
}

impl Life {
    /// Reads it from the log, which may take a while there; `None` if the log knows nothing of it.
    pub async fn read(log: &dyn EventLog, id: InferenceId) -> Result<Option<Self>, BusError> {
        let mut records =
            log.read(StreamName::Inference, subjects::life_of(id), ReadFrom::Start, false).await?;
        let mut facts: Vec<LifeFact> = Vec::new();
        let mut sequences: HashMap<FactHash, u64> = HashMap::new();
        while let Some(record) = records.try_next().await? {
            let envelope = schemas::decode_envelope(&record.payload).map_err(|error| {
                BusError::Refused(format!(
                    "the record at sequence {} cannot be read: {error}",
                    record.sequence
                ))
            })?;
            let previous = FactHash::from_slice(&envelope.previous_hash);
            let follows = previous.and_then(|previous| sequences.get(&previous).copied());
            let hash = record.hash();
            sequences.insert(hash, record.sequence);
            facts.push(LifeFact {
                sequence: record.sequence,
                stored_at_unix_nanos: record.stored_at_unix_nanos,
                hash,
                follows,
                envelope,
            });
        }
        Ok((!facts.is_empty()).then_some(Self { facts }))
    }

    /// Whether any of its content cannot be read any more.
    pub fn is_sealed(&self) -> bool {
        self.facts.iter().any(|fact| fact.envelope.is_sealed())
    }

    /// Why its content cannot be read any more, in words; `None` if it can.
    pub async fn why_sealed(&self, log: &dyn EventLog) -> Result<Option<String>, BusError> {
        match self.facts.iter().find(|fact| fact.envelope.is_sealed()) {
            Some(fact) => why_sealed(log, &fact.envelope).await,
            None => Ok(None),
        }
    }

    /// Whether every fact follows one that is there.
    pub fn is_chained(&self) -> bool {
        self.facts.iter().all(LifeFact::is_chained)
    }
}
