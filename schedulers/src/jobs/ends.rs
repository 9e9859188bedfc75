//! The ends of a tenant's inferences as the log takes them in.

use std::sync::Arc;

use bus::{BusError, EventLog, ReadFrom, Record, Records, StreamName, subjects};
use futures_util::StreamExt as _;
use schemas::v1::envelope::Fact;
use schemas::v1::{Ended, Outcome};
use schemas::{FactKind, InferenceId, TenantId};

/// Reads every end from its making on; none is missed.
pub(super) struct Ends {
    log: Arc<dyn EventLog>,
    tenant: TenantId,
    next_sequence: u64,
    records: Option<Records>,
}

impl Ends {
    /// Ends that are stored from now on.
    pub(super) async fn open(log: &Arc<dyn EventLog>, tenant: &TenantId) -> Result<Self, BusError> {
        let next_sequence = log.last_sequence(StreamName::Inference).await? + 1;
        Ok(Self { log: Arc::clone(log), tenant: tenant.clone(), next_sequence, records: None })
    }

    /// The next end: which inference, and its record. Cancel-safe.
    pub(super) async fn next(&mut self) -> Result<(InferenceId, Record), BusError> {
        loop {
            let records = match &mut self.records {
                Some(records) => records,
                None => {
                    let patterns = vec![subjects::all_ends_of(&self.tenant)];
                    let from = ReadFrom::Sequence(self.next_sequence);
                    let records = self.log.read(StreamName::Inference, patterns, from, true).await?;
                    self.records.insert(records)
                }
            };
            let Some(record) = records.next().await else {
                self.records = None;
                continue;
            };
            let record = record.inspect_err(|_| self.records = None)?;
            self.next_sequence = record.sequence + 1;
            let id = record.subject.rsplit('.').next().and_then(|id| id.parse().ok());
            if let Some(id) = id {
                return Ok((id, record));
            }
        }
    }
}

/// How an inference ended, if it has.
pub(super) async fn end_of(
    log: &dyn EventLog,
    tenant: &TenantId,
    inference: InferenceId,
) -> Result<Option<Ended>, BusError> {
    let record = log.last(StreamName::Inference, subjects::fact(FactKind::Ended, tenant, inference)).await?;
    Ok(record.and_then(|record| ended_in(&record)))
}

/// The end that a record holds.
pub(super) fn ended_in(record: &Record) -> Option<Ended> {
    match schemas::decode_envelope(&record.payload).ok()?.fact {
        Some(Fact::Ended(ended)) => Some(ended),
        _ => None,
    }
}

/// Whether a line with this end has an answer.
pub(super) fn is_answered(ended: &Ended) -> bool {
    ended.outcome() == Outcome::Completed
}
