//! What makes this process itself: names, clock and randomness.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use bus::{EventLog, FactWriter, LocalFrames, Stamp, StampSource};
use schemas::{EventId, WorkerId};
use uuid::Uuid;

/// Stamps from the system's clock.
pub(crate) fn stamps() -> StampSource {
    Arc::new(|| Stamp { event_id: EventId::new(Uuid::now_v7()), unix_nanos: unix_nanos() })
}

/// Nanoseconds since the Unix epoch; 0 if the clock stands before it.
pub(crate) fn unix_nanos() -> u64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX)
}

/// A name for this process among its replicas: the host and a random part.
pub(crate) fn name() -> WorkerId {
    let host = std::fs::read_to_string("/etc/hostname").unwrap_or_default();
    let host = host.trim();
    let host: String = if host.is_empty() { "host" } else { host }.chars().take(40).collect();
    let random = Uuid::new_v4().simple().to_string();
    WorkerId::slug(&format!("{host}-{}", random.get(..8).unwrap_or("0")))
}

/// What the roles of this process share: a log, and the version of the configuration under which they write to it.
#[derive(Clone)]
pub(crate) struct Journal {
    pub(crate) log: Arc<dyn EventLog>,
    /// Empty where nothing is on record.
    pub(crate) configuration: String,
    /// Between its workers and its api node.
    pub(crate) local_frames: LocalFrames,
}

impl Journal {
    pub(crate) fn new(log: Arc<dyn EventLog>, configuration: String) -> Self {
        Self { log, configuration, local_frames: LocalFrames::default() }
    }

    /// A writer of facts for `role`.
    pub(crate) fn fact_writer(&self, role: &str, name: &WorkerId) -> FactWriter {
        let facts = FactWriter::new(Arc::clone(&self.log), stamps(), role, name.clone());
        facts.configured_by(&self.configuration)
    }
}
