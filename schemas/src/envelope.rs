//! Facts in their envelopes.

use prost::Message;
use thiserror::Error;

use crate::FactHash;
use crate::ids::{EventId, InferenceId, TenantId};
use crate::v1::{
    AuditEnvelope, ControlEnvelope, Envelope, JobEnvelope, audit_envelope, control_envelope, envelope::Fact,
    job_envelope,
};

/// Version that writers put into each envelope; readers accept every version up to it.
pub const SCHEMA_VERSION: u32 = 1;

/// Bytes that are no envelope of a version we read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// Not this message.
    #[error("not an envelope: {0}")]
    Malformed(String),
    /// Written by a newer build.
    #[error("schema version {found}, this build reads up to {SCHEMA_VERSION}")]
    TooNew {
        /// The version in the envelope.
        found: u32,
    },
    /// Nothing that this build knows is inside.
    #[error("the envelope of event '{0}' holds no fact")]
    NoFact(String),
    /// An id in it is malformed.
    #[error("{0}")]
    Id(#[from] crate::ids::IdError),
}

/// Which fact an envelope holds, by the word in its subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs, reason = "each is the fact of its name")]
pub enum FactKind {
    Requested,
    Admitted,
    Assigned,
    Started,
    AttemptFailed,
    CancelRequested,
    Ended,
    WebhookRequested,
}

impl FactKind {
    /// Every kind, in the order of a life.
    pub const ALL: [Self; 8] = [
        Self::Requested,
        Self::Admitted,
        Self::Assigned,
        Self::Started,
        Self::AttemptFailed,
        Self::CancelRequested,
        Self::Ended,
        Self::WebhookRequested,
    ];

    /// The word in subjects and listings.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::Admitted => "admitted",
            Self::Assigned => "assigned",
            Self::Started => "started",
            Self::AttemptFailed => "attempt_failed",
            Self::CancelRequested => "cancel_requested",
            Self::Ended => "ended",
            Self::WebhookRequested => "webhook_requested",
        }
    }
}

impl Fact {
    /// Which fact it is.
    pub const fn kind(&self) -> FactKind {
        match self {
            Self::Requested(_) => FactKind::Requested,
            Self::Admitted(_) => FactKind::Admitted,
            Self::Assigned(_) => FactKind::Assigned,
            Self::Started(_) => FactKind::Started,
            Self::AttemptFailed(_) => FactKind::AttemptFailed,
            Self::CancelRequested(_) => FactKind::CancelRequested,
            Self::Ended(_) => FactKind::Ended,
            Self::WebhookRequested(_) => FactKind::WebhookRequested,
        }
    }
}

/// Who writes a fact, when, and under which id.
#[derive(Debug, Clone)]
pub struct WrittenBy<'a> {
    /// Id of the new fact.
    pub event_id: EventId,
    /// Nanoseconds since the Unix epoch.
    pub at_unix_nanos: u64,
    /// Role and instance: `router/5f2c`.
    pub writer: &'a str,
}

impl Envelope {
    /// Wraps a fact of one inference.
    pub fn new(by: &WrittenBy<'_>, inference: InferenceId, tenant: &TenantId, fact: Fact) -> Self {
        Self {
            schema_version: SCHEMA_VERSION,
            event_id: by.event_id.to_string(),
            inference_id: inference.to_string(),
            tenant: tenant.to_string(),
            recorded_at_unix_nanos: by.at_unix_nanos,
            recorded_by: by.writer.to_owned(),
            previous_hash: Vec::new(),
            sealed: None,
            configuration: String::new(),
            fact: Some(fact),
        }
    }

    /// The same with the fact that caused it.
    pub fn following(self, previous: FactHash) -> Self {
        Self { previous_hash: previous.as_bytes().to_vec(), ..self }
    }

    /// The inference it is about; `Err` names a malformed id.
    pub fn inference(&self) -> Result<InferenceId, DecodeError> {
        Ok(self.inference_id.parse()?)
    }

    /// Whose it is; `Err` names a malformed id.
    pub fn tenant(&self) -> Result<TenantId, DecodeError> {
        Ok(self.tenant.parse()?)
    }
}

impl ControlEnvelope {
    /// Wraps a fact about the system itself.
    pub fn new(by: &WrittenBy<'_>, fact: control_envelope::Fact) -> Self {
        Self {
            schema_version: SCHEMA_VERSION,
            event_id: by.event_id.to_string(),
            recorded_at_unix_nanos: by.at_unix_nanos,
            recorded_by: by.writer.to_owned(),
            fact: Some(fact),
        }
    }
}

impl AuditEnvelope {
    /// Wraps a fact about the record itself.
    pub fn new(by: &WrittenBy<'_>, fact: audit_envelope::Fact) -> Self {
        Self {
            schema_version: SCHEMA_VERSION,
            event_id: by.event_id.to_string(),
            recorded_at_unix_nanos: by.at_unix_nanos,
            recorded_by: by.writer.to_owned(),
            fact: Some(fact),
        }
    }
}

impl JobEnvelope {
    /// Wraps a fact about a tenant's file or batch.
    pub fn new(by: &WrittenBy<'_>, tenant: &TenantId, fact: job_envelope::Fact) -> Self {
        Self {
            schema_version: SCHEMA_VERSION,
            event_id: by.event_id.to_string(),
            tenant: tenant.to_string(),
            recorded_at_unix_nanos: by.at_unix_nanos,
            recorded_by: by.writer.to_owned(),
            fact: Some(fact),
        }
    }
}

/// Reads an envelope of the INFERENCE stream; the fact inside is present and its ids are well formed.
pub fn decode_envelope(bytes: &[u8]) -> Result<Envelope, DecodeError> {
    let envelope = Envelope::decode(bytes).map_err(|error| DecodeError::Malformed(error.to_string()))?;
    if envelope.schema_version > SCHEMA_VERSION {
        return Err(DecodeError::TooNew { found: envelope.schema_version });
    }
    if envelope.fact.is_none() {
        return Err(DecodeError::NoFact(envelope.event_id));
    }
    envelope.inference()?;
    envelope.tenant()?;
    Ok(envelope)
}

/// Reads an envelope of the CONTROL stream; the fact inside is present.
pub fn decode_control(bytes: &[u8]) -> Result<ControlEnvelope, DecodeError> {
    let envelope =
        ControlEnvelope::decode(bytes).map_err(|error| DecodeError::Malformed(error.to_string()))?;
    if envelope.schema_version > SCHEMA_VERSION {
        return Err(DecodeError::TooNew { found: envelope.schema_version });
    }
    if envelope.fact.is_none() {
        return Err(DecodeError::NoFact(envelope.event_id));
    }
    Ok(envelope)
}

/// Reads an envelope of the AUDIT stream; the fact inside is present.
pub fn decode_audit(bytes: &[u8]) -> Result<AuditEnvelope, DecodeError> {
    let envelope = AuditEnvelope::decode(bytes).map_err(|error| DecodeError::Malformed(error.to_string()))?;
    if envelope.schema_version > SCHEMA_VERSION {
        return Err(DecodeError::TooNew { found: envelope.schema_version });
    }
    if envelope.fact.is_none() {
        return Err(DecodeError::NoFact(envelope.event_id));
    }
    Ok(envelope)
}

/// Reads an envelope of the JOBS stream; the fact inside is present and its tenant is well formed.
pub fn decode_job(bytes: &[u8]) -> Result<JobEnvelope, DecodeError> {
    let envelope = JobEnvelope::decode(bytes).map_err(|error| DecodeError::Malformed(error.to_string()))?;
    if envelope.schema_version > SCHEMA_VERSION {
        return Err(DecodeError::TooNew { found: envelope.schema_version });
    }
    if envelope.fact.is_none() {
        return Err(DecodeError::NoFact(envelope.event_id));
    }
    let _: TenantId = envelope.tenant.parse()?;
    Ok(envelope)
}
