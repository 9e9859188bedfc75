//! Faults that a test can order from the memory log.

use schemas::FactHash;

use crate::{BusError, MissingContent, Record, StreamName};

/// What goes wrong next; all zero or none by default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Faults {
    /// Every append and publish fails with this, and nothing is stored.
    pub refuse_appends: Option<BusError>,
    /// Every append to this stream is lost on its way: nothing is stored, and its caller hears `Unreachable`.
    pub lost_appends_to: Option<StreamName>,
    /// So many appends are stored, but their caller hears `Unreachable`.
    pub num_lost_acks: u64,
    /// So many live messages are dropped, for all listeners.
    pub num_dropped_live: u64,
    /// [`EventLog::is_connected`](crate::EventLog::is_connected) says no, and every call fails as `Unreachable`.
    pub is_disconnected: bool,
    /// The content of the record at this sequence is gone, as that of a claim-checked one can be.
    pub lost_content: Option<u64>,
}

impl Faults {
    /// What every call meets.
    pub(super) fn check_connection(&self) -> Result<(), BusError> {
        if self.is_disconnected {
            return Err(BusError::Unreachable("disconnected by a test".to_owned()));
        }
        Ok(())
    }

    /// What a record's reader meets.
    pub(super) fn resolve(&self, record: &Record) -> Result<Record, BusError> {
        if self.lost_content != Some(record.sequence) {
            return Ok(record.clone());
        }
        let missing = MissingContent {
            sequence: record.sequence,
            subject: record.subject.clone(),
            stored_at_unix_nanos: record.stored_at_unix_nanos,
            hash: FactHash::of(&record.payload),
        };
        Err(BusError::Object {
            name: record.subject.clone(),
            reason: "lost by a test".to_owned(),
            missing: Some(Box::new(missing)),
        })
    }

    /// What an append meets before it is stored.
    pub(super) fn check_append(&self, stream: StreamName) -> Result<(), BusError> {
        self.check_connection()?;
        if self.lost_appends_to == Some(stream) {
            return Err(BusError::Unreachable("lost on its way by a test".to_owned()));
        }
        self.refuse_appends.clone().map_or(Ok(()), Err)
    }

    /// Whether the acknowledgement of this append is lost.
    pub(super) const fn takes_ack(&mut self) -> bool {
        take_one(&mut self.num_lost_acks)
    }

    /// Whether this live message is dropped.
    pub(super) const fn takes_live(&mut self) -> bool {
        take_one(&mut self.num_dropped_live)
    }
}

const fn take_one(count: &mut u64) -> bool {
    let is_taken = *count > 0;
    *count = count.saturating_sub(1);
    is_taken
}
