//! Who read the record is part of it.

use bus::{Append, BusError, EventLog, Expect, Stamp, StreamName, subjects};
use prost::Message as _;
use schemas::WrittenBy;
use schemas::v1::{AuditEnvelope, RecordAccessed, audit_envelope::Fact};

/// Appends an access; what was asked for is shown only after this is durable.
pub async fn record_access(
    log: &dyn EventLog,
    stamp: Stamp,
    writer: &str,
    access: RecordAccessed,
) -> Result<(), BusError> {
    let by = WrittenBy { event_id: stamp.event_id, at_unix_nanos: stamp.unix_nanos, writer };
    let append = Append {
        stream: StreamName::Audit,
        subject: subjects::audit_access(stamp.event_id),
        payload: AuditEnvelope::new(&by, Fact::RecordAccessed(access)).encode_to_vec().into(),
        expect: Expect::FirstOnSubject,
    };
    log.append(append).await.map(drop)
}
