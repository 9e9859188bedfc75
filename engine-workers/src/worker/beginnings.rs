//! Which attempts may begin beside each other.
//!
//! After losses that several attempts may be to blame for, fewer of them begin side by side, so that the one that brings
//! workers down is found without blame for the others.

use std::sync::Arc;

use schemas::v1::AttemptHistory;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// One permit per slot; an attempt holds some until it has brought something.
pub(crate) struct Beginnings {
    permits: Arc<Semaphore>,
    num_slots: u32,
}

impl Beginnings {
    pub(crate) fn new(num_slots: usize) -> Self {
        let num_slots = u32::try_from(num_slots).unwrap_or(u32::MAX).min(MAX_NUM_SLOTS);
        Self { permits: Arc::new(Semaphore::new(num_slots as usize)), num_slots }
    }

    /// Waits until an attempt may begin beside those that hold permits; they wait in the order in which they came.
    /// Cancel-safe.
    pub(crate) async fn turn(&self, history: &AttemptHistory) -> Option<OwnedSemaphorePermit> {
        let num_permits = num_permits(history, self.num_slots);
        Arc::clone(&self.permits).acquire_many_owned(num_permits).await.ok()
    }
}

/// Far more than any worker has, and what a semaphore can hold on every platform.
const MAX_NUM_SLOTS: u32 = 1 << 28;

/// Permits of `num_slots` that an attempt needs to begin: all of them for one that must begin alone.
fn num_permits(history: &AttemptHistory, num_slots: u32) -> u32 {
    match history.max_num_unproven {
        0 => 1,
        max_num_unproven => num_slots.div_ceil(max_num_unproven).clamp(1, num_slots.max(1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suspects_begin_in_smaller_company() {
        let check = |max_num_unproven, num_slots, expected| {
            let history = AttemptHistory { max_num_unproven, ..AttemptHistory::default() };
            assert_eq!(num_permits(&history, num_slots), expected, "{max_num_unproven} of {num_slots}");
        };
        check(0, 64, 1);
        check(1, 64, 64);
        check(8, 64, 8);
        check(3, 64, 22);
        check(100, 64, 1);
        check(1, 1, 1);
    }
}
