//! Destroys keys for good, and tells who did and when.

use std::collections::BTreeSet;
use std::fmt;

use futures_util::{TryStreamExt as _, stream};
use prost::Message as _;
use schemas::v1::audit_envelope::Fact;
use schemas::v1::{AuditEnvelope, ContentErased, Envelope};
use schemas::{InferenceId, TenantId, WrittenBy};

use crate::rfc3339::rfc3339;
use crate::{Append, BusError, EventLog, Expect, ReadFrom, Stamp, StreamName, subjects};

/// Keys that are destroyed at once.
const NUM_AT_ONCE: usize = 64;

/// Whose content is erased.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ErasureScope {
    /// One inference's.
    Inference(InferenceId),
    /// That of an end user, by the fingerprint in `Requested.end_user`.
    EndUser(String),
    /// All of the tenant's.
    Tenant,
}

/// Who erases, as it is recorded.
#[derive(Debug, Clone, Copy)]
pub struct ErasedBy<'a> {
    /// Fingerprint of the caller's key; empty: an operator.
    pub caller: &'a str,
    /// Role and instance: `api/5f2c`.
    pub writer: &'a str,
    /// Of the erasure's record.
    pub stamp: Stamp,
}

/// An erasure that took a fact's content.
#[derive(Debug, Clone, PartialEq)]
pub struct Erasure {
    /// When its record was written, nanoseconds since the Unix epoch.
    pub at_unix_nanos: u64,
    /// What was erased, and by whom.
    pub erased: ContentErased,
}

impl ErasureScope {
    /// The keys that seal it.
    fn keys(&self, tenant: &TenantId) -> String {
        match self {
            Self::Inference(inference) => subjects::keys_of(tenant, None, Some(*inference)),
            Self::EndUser(end_user) => subjects::keys_of(tenant, Some(end_user), None),
            Self::Tenant => subjects::keys_of(tenant, None, None),
        }
    }

    fn of(erased: &ContentErased) -> Self {
        match erased.inference_id.parse() {
            Ok(inference) => Self::Inference(inference),
            Err(_) if erased.end_user.is_empty() => Self::Tenant,
            Err(_) => Self::EndUser(erased.end_user.clone()),
        }
    }
}

/// In words.
impl fmt::Display for Erasure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "content erased on {} by ", rfc3339(self.at_unix_nanos))?;
        match self.erased.caller.as_str() {
            "" => f.write_str("an operator"),
            caller => write!(f, "the holder of key {caller}"),
        }
    }
}

/// Why the content of a fact cannot be read, in words; `None` if it can, or it has none.
pub async fn why_sealed(log: &dyn EventLog, envelope: &Envelope) -> Result<Option<String>, BusError> {
    if !envelope.is_sealed() {
        return Ok(None);
    }
    let erasure = erasure_of(log, envelope).await?;
    Ok(Some(erasure.map_or_else(|| "the key of its content is not there".to_owned(), |it| it.to_string())))
}

/// The keys that an erasure destroys.
pub(super) fn erased_keys(erased: &ContentErased) -> Option<String> {
    let tenant: TenantId = erased.tenant.parse().ok()?;
    Some(ErasureScope::of(erased).keys(&tenant))
}

/// How many keys an erasure would destroy now.
pub async fn num_keys(log: &dyn EventLog, tenant: &TenantId, scope: &ErasureScope) -> Result<u64, BusError> {
    Ok(sequences_of(log, tenant, scope).await?.len() as u64)
}

/// The inferences whose content an erasure would take now.
pub async fn inferences_of(
    log: &dyn EventLog,
    tenant: &TenantId,
    scope: &ErasureScope,
) -> Result<BTreeSet<InferenceId>, BusError> {
    let keys = log.read(StreamName::Keys, vec![scope.keys(tenant)], ReadFrom::Start, false).await?;
    keys.try_filter_map(async |record| Ok(subjects::inference_of_key(&record.subject))).try_collect().await
}

async fn sequences_of(
    log: &dyn EventLog,
    tenant: &TenantId,
    scope: &ErasureScope,
) -> Result<Vec<u64>, BusError> {
    let keys = log.read(StreamName::Keys, vec![scope.keys(tenant)], ReadFrom::Start, false).await?;
    keys.map_ok(|record| record.sequence).try_collect().await
}

/// Destroys every key of this content, and records that it did; how many there were. When it fails half-way it can be
/// called again. Processes that hold a key in memory forget it as they hear of the record.
pub async fn erase_content(
    log: &dyn EventLog,
    tenant: &TenantId,
    scope: &ErasureScope,
    by: ErasedBy<'_>,
) -> Result<u64, BusError> {
    let sequences = sequences_of(log, tenant, scope).await?;
    let num_keys = sequences.len() as u64;
    stream::iter(sequences.into_iter().map(Ok::<_, BusError>))
        .try_for_each_concurrent(NUM_AT_ONCE, |sequence| log.erase(StreamName::Keys, sequence))
        .await?;
    let mut erased = ContentErased {
        caller: by.caller.to_owned(),
        tenant: tenant.to_string(),
        num_keys,
        ..ContentErased::default()
    };
    match scope {
        ErasureScope::Inference(inference) => erased.inference_id = inference.to_string(),
        ErasureScope::EndUser(end_user) => erased.end_user.clone_from(end_user),
        ErasureScope::Tenant => {}
    }
    let written =
        WrittenBy { event_id: by.stamp.event_id, at_unix_nanos: by.stamp.unix_nanos, writer: by.writer };
    log.append(Append {
        stream: StreamName::Audit,
        subject: subjects::erasure(tenant, scope),
        payload: AuditEnvelope::new(&written, Fact::ContentErased(erased)).encode_to_vec().into(),
        expect: Expect::Anything,
    })
    .await?;
    Ok(num_keys)
}

/// The erasure that took the content of a fact; `None` if it was none that is recorded.
pub async fn erasure_of(log: &dyn EventLog, envelope: &Envelope) -> Result<Option<Erasure>, BusError> {
    let (Some(sealed), Ok(tenant)) = (&envelope.sealed, envelope.tenant()) else { return Ok(None) };
    let mut scopes = vec![ErasureScope::Tenant];
    scopes.extend(envelope.inference().ok().map(ErasureScope::Inference));
    scopes.extend(sealed.key.split('.').nth(2).map(|end_user| ErasureScope::EndUser(end_user.to_owned())));
    let mut newest = None;
    for scope in scopes {
        let record = log.last(StreamName::Audit, subjects::erasure(&tenant, &scope)).await?;
        let envelope = record.and_then(|record| schemas::decode_audit(&record.payload).ok());
        if let Some(AuditEnvelope {
            recorded_at_unix_nanos: at_unix_nanos,
            fact: Some(Fact::ContentErased(erased)),
            ..
        }) = envelope
        {
            let found = Erasure { at_unix_nanos, erased };
            if newest.as_ref().is_none_or(|newest: &Erasure| newest.at_unix_nanos < at_unix_nanos) {
                newest = Some(found);
            }
        }
    }
    // One that came before the fact cannot have taken it.
    Ok(newest.filter(|erasure| erasure.at_unix_nanos >= envelope.recorded_at_unix_nanos))
}
