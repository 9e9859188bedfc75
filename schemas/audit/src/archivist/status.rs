//! How the archive stands, for whoever watches.

use std::sync::{Arc, Mutex, PoisonError};

use bus::StreamState;
use schemas::v1::SegmentArchived;

/// The latest numbers. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct ArchiveStatus {
    numbers: Arc<Mutex<ArchiveNumbers>>,
}

/// The numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ArchiveNumbers {
    /// Segments that the archive has.
    pub num_segments: u64,
    /// The last sequence in them.
    pub archived_sequence: u64,
    /// The first sequence that the log still has.
    pub first_sequence_in_log: u64,
    /// Bytes of the log.
    pub log_bytes: u64,
    /// Bytes at which the log refuses requests.
    pub max_log_bytes: u64,
    /// Whether the latest attempt to archive or to free failed.
    pub is_failing: bool,
    /// Attempts that failed.
    pub num_failures: u64,
}

impl ArchiveStatus {
    /// As of the latest look.
    pub fn numbers(&self) -> ArchiveNumbers {
        *self.numbers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set(&self, newest: Option<&SegmentArchived>, state: Option<StreamState>, is_failing: bool) {
        let mut numbers = self.numbers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(newest) = newest {
            numbers.num_segments = newest.number;
            numbers.archived_sequence = newest.last_sequence;
        }
        if let Some(state) = state {
            numbers.first_sequence_in_log = state.first_sequence;
            numbers.log_bytes = state.num_bytes;
            numbers.max_log_bytes = state.max_bytes;
        }
        numbers.is_failing = is_failing;
        numbers.num_failures += u64::from(is_failing);
    }
}
