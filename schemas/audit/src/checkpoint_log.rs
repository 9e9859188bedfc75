//! The checkpoints of a log: numbered from 1 without gaps, each on a literal subject of its own.

use std::sync::Arc;

use bus::{Append, AppendOutcome, BusError, EventLog, Expect, Stamp, StreamName, subjects};
use prost::Message as _;
use schemas::WrittenBy;
use schemas::v1::{AuditEnvelope, CheckpointSigned, audit_envelope::Fact};

use crate::AuditError;

const WRITER: &str = "checkpointer";

/// Reads and appends checkpoints. Looking one up takes as many reads as its number has bits, twice.
#[derive(Clone)]
pub struct CheckpointLog {
    log: Arc<dyn EventLog>,
}

impl CheckpointLog {
    /// The checkpoints of this log.
    pub fn new(log: Arc<dyn EventLog>) -> Self {
        Self { log }
    }

    /// The checkpoint of this number, if there is one.
    pub async fn get(&self, number: u64) -> Result<Option<CheckpointSigned>, AuditError> {
        let Some(record) = self.log.last(StreamName::Audit, subjects::audit_checkpoint(number)).await? else {
            return Ok(None);
        };
        match schemas::decode_audit(&record.payload).ok().and_then(|envelope| envelope.fact) {
            Some(Fact::CheckpointSigned(checkpoint)) if checkpoint.number == number => Ok(Some(checkpoint)),
            _ => Err(AuditError::Checkpoint { number, reason: "its record holds something else" }),
        }
    }

    /// The newest checkpoint, if there is any.
    pub async fn newest(&self) -> Result<Option<CheckpointSigned>, AuditError> {
        self.last_where(|_| true).await
    }

    /// The newest checkpoint before the record at `sequence`.
    pub(crate) async fn last_before(&self, sequence: u64) -> Result<Option<CheckpointSigned>, AuditError> {
        self.last_where(|checkpoint| checkpoint.last_sequence < sequence).await
    }

    /// The oldest checkpoint that covers the record at `sequence`; none if it is not covered yet.
    pub async fn first_covering(&self, sequence: u64) -> Result<Option<CheckpointSigned>, AuditError> {
        let before = self.last_before(sequence).await?;
        self.get(before.map_or(1, |checkpoint| checkpoint.number + 1)).await
    }

    /// Appends a checkpoint unless one of its number stands: of several that sign, one wins.
    pub(crate) async fn append(
        &self,
        stamp: Stamp,
        checkpoint: CheckpointSigned,
    ) -> Result<AppendOutcome, BusError> {
        let by = WrittenBy { event_id: stamp.event_id, at_unix_nanos: stamp.unix_nanos, writer: WRITER };
        let subject = subjects::audit_checkpoint(checkpoint.number);
        let envelope = AuditEnvelope::new(&by, Fact::CheckpointSigned(checkpoint));
        let payload = envelope.encode_to_vec().into();
        self.log
            .append(Append { stream: StreamName::Audit, subject, payload, expect: Expect::FirstOnSubject })
            .await
    }

    /// The last one of which `holds` is true; it must be true of all before it.
    async fn last_where(
        &self,
        holds: impl Fn(&CheckpointSigned) -> bool,
    ) -> Result<Option<CheckpointSigned>, AuditError> {
        let mut found: Option<CheckpointSigned> = None;
        let mut step = 1u64;
        let mut is_growing = true;
        while step > 0 {
            let number = found.as_ref().map_or(0, |checkpoint| checkpoint.number) + step;
            match self.get(number).await?.filter(&holds) {
                Some(checkpoint) => {
                    found = Some(checkpoint);
                    step = if is_growing { step * 2 } else { step / 2 };
                }
                None => {
                    is_growing = false;
                    step /= 2;
                }
            }
        }
        Ok(found)
    }
}
