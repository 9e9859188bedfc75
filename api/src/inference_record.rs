//! What the log says of one inference, read by its literal subjects.

use bus::{BusError, EventLog, Record, StreamName, subjects, why_sealed};
use schemas::v1::envelope::Fact;
use schemas::v1::{CancelRequested, Ended, Envelope, Requested, Started};
use schemas::{FactHash, FactKind, InferenceId, IngressId, TenantId};

use crate::error::ApiError;

/// Somebody's inferences in the log.
#[derive(Clone, Copy)]
pub(crate) struct InferenceRecord<'a> {
    pub(crate) log: &'a dyn EventLog,
    pub(crate) tenant: &'a TenantId,
}

/// A request as it was accepted.
#[derive(Debug, Clone)]
pub(crate) struct StoredRequest {
    pub(crate) id: InferenceId,
    pub(crate) requested: Requested,
    pub(crate) ingress: IngressId,
    pub(crate) at_unix_nanos: u64,
    pub(crate) hash: FactHash,
    /// Why its content cannot be read any more, if so.
    pub(crate) erased: Option<String>,
}

impl StoredRequest {
    /// `Err` if what was asked and answered cannot be read any more.
    pub(crate) fn check_readable(&self) -> Result<(), ApiError> {
        match &self.erased {
            Some(reason) => Err(ApiError::ContentErased { reason: reason.clone() }),
            None => Ok(()),
        }
    }
}

impl InferenceRecord<'_> {
    /// The request; `None` when this tenant has no such inference.
    pub(crate) async fn request(&self, id: InferenceId) -> Result<Option<StoredRequest>, BusError> {
        let subject = subjects::fact(FactKind::Requested, self.tenant, id);
        let Some(record) = self.log.last(StreamName::Inference, subject).await? else { return Ok(None) };
        let Ok(envelope) = schemas::decode_envelope(&record.payload) else { return Ok(None) };
        let erased = why_sealed(self.log, &envelope).await?;
        let at_unix_nanos = envelope.recorded_at_unix_nanos;
        let Some(Fact::Requested(requested)) = envelope.fact else { return Ok(None) };
        let Ok(ingress) = requested.ingress.parse() else { return Ok(None) };
        let hash = record.hash();
        Ok(Some(StoredRequest { id, requested, ingress, at_unix_nanos, hash, erased }))
    }

    /// The terminal fact with its time, if it has ended.
    pub(crate) async fn end(&self, id: InferenceId) -> Result<Option<(u64, Ended)>, BusError> {
        Ok(match self.fact(FactKind::Ended, id).await? {
            Some((at, Fact::Ended(ended))) => Some((at, ended)),
            _ => None,
        })
    }

    /// The request to cancel, if there was one.
    pub(crate) async fn cancellation(&self, id: InferenceId) -> Result<Option<CancelRequested>, BusError> {
        Ok(match self.fact(FactKind::CancelRequested, id).await? {
            Some((_, Fact::CancelRequested(cancel))) => Some(cancel),
            _ => None,
        })
    }

    /// The start of an attempt with its time.
    pub(crate) async fn start(
        &self,
        id: InferenceId,
        attempt: u32,
    ) -> Result<Option<(u64, Started)>, BusError> {
        let subject = subjects::attempt_fact(FactKind::Started, self.tenant, id, attempt);
        Ok(match self.read(subject).await? {
            Some((at, Fact::Started(started))) => Some((at, started)),
            _ => None,
        })
    }

    async fn fact(&self, kind: FactKind, id: InferenceId) -> Result<Option<(u64, Fact)>, BusError> {
        self.read(subjects::fact(kind, self.tenant, id)).await
    }

    async fn read(&self, subject: String) -> Result<Option<(u64, Fact)>, BusError> {
        Ok(self.log.last(StreamName::Inference, subject).await?.as_ref().and_then(decode))
    }
}

fn decode(record: &Record) -> Option<(u64, Fact)> {
    let Envelope { recorded_at_unix_nanos, fact, .. } = schemas::decode_envelope(&record.payload).ok()?;
    Some((recorded_at_unix_nanos, fact?))
}
