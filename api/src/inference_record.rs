//! What the log says of one inference, read by its literal subjects.

use bus::{BusError, EventLog, StreamName, subjects};
use schemas::v1::envelope::Fact;
use schemas::v1::{Ended, Envelope, Requested};
use schemas::{FactKind, InferenceId, IngressId, TenantId};

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
}

impl InferenceRecord<'_> {
    /// The request; `None` when this tenant has no such inference.
    pub(crate) async fn request(&self, id: InferenceId) -> Result<Option<StoredRequest>, BusError> {
        let envelope = self.fact(FactKind::Requested, id).await?;
        Ok(envelope.and_then(|(at_unix_nanos, fact)| {
            let Fact::Requested(requested) = fact else { return None };
            let ingress = requested.ingress.parse().ok()?;
            Some(StoredRequest { id, requested, ingress, at_unix_nanos })
        }))
    }

    /// The terminal fact with its time, if it has ended.
    pub(crate) async fn end(&self, id: InferenceId) -> Result<Option<(u64, Ended)>, BusError> {
        Ok(match self.fact(FactKind::Ended, id).await? {
            Some((at, Fact::Ended(ended))) => Some((at, ended)),
            _ => None,
        })
    }

    async fn fact(&self, kind: FactKind, id: InferenceId) -> Result<Option<(u64, Fact)>, BusError> {
        self.read(subjects::fact(kind, self.tenant, id)).await
    }

    async fn read(&self, subject: String) -> Result<Option<(u64, Fact)>, BusError> {
        let record = self.log.last(StreamName::Inference, subject).await?;
        let envelope = record.and_then(|record| schemas::decode_envelope(&record.payload).ok());
        Ok(envelope
            .and_then(|Envelope { recorded_at_unix_nanos, fact, .. }| Some((recorded_at_unix_nanos, fact?))))
    }
}
