//! Streams and consumers as data; an implementation reconciles the broker with them at start.

use std::time::Duration;

use schemas::v1::WorkClass;
use schemas::{FactKind, PoolName};

use crate::StreamName;
use crate::subjects;

/// A durable pull consumer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerSpec {
    /// The stream it reads.
    pub stream: StreamName,
    /// Its durable name.
    pub name: String,
    /// Subject patterns it takes.
    pub patterns: Vec<String>,
    /// Redelivery after this long without acknowledgement or progress.
    pub ack_wait: Duration,
    /// Deliveries before it is given up to the dead letters.
    pub max_deliver: u64,
    /// Most unacknowledged deliveries over all replicas.
    pub max_ack_pending: u64,
}

/// The guardrails' consumer of requested facts.
pub fn guardrail_consumer() -> ConsumerSpec {
    service_consumer("guardrails", vec![subjects::all_of(FactKind::Requested)])
}

/// The router's consumer of admitted facts and lost attempts.
pub fn router_consumer() -> ConsumerSpec {
    service_consumer("router", vec![subjects::all_of(FactKind::Admitted), subjects::all_of(FactKind::AttemptFailed)])
}

/// A pool's consumer of assignments in one class.
pub fn pool_consumer(pool: &PoolName, class: WorkClass) -> ConsumerSpec {
    let word = if class == WorkClass::Batch { "batch" } else { "interactive" };
    ConsumerSpec {
        max_ack_pending: 16_384,
        ..service_consumer(&format!("workers-{pool}-{word}"), vec![subjects::assigned_to(pool, class)])
    }
}

fn service_consumer(name: &str, patterns: Vec<String>) -> ConsumerSpec {
    ConsumerSpec {
        stream: StreamName::Inference,
        name: name.to_owned(),
        patterns,
        ack_wait: Duration::from_secs(30),
        max_deliver: 5,
        max_ack_pending: 8_192,
    }
}
