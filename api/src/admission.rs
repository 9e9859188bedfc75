//! How many inferences one node holds, and when a refused client should come back.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::error::ApiError;
use crate::retry_after::retry_after;

const NUM_ENDS_REMEMBERED: usize = 64;

/// The node's places. Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct Admission {
    places: Arc<Semaphore>,
    max_num: usize,
    ends: Arc<Mutex<VecDeque<Instant>>>,
}

/// Places that free themselves on drop.
#[derive(Debug)]
pub(crate) struct Places {
    admission: Admission,
    permit: OwnedSemaphorePermit,
}

impl Drop for Places {
    fn drop(&mut self) {
        let mut ends = self.admission.ends.lock().unwrap_or_else(PoisonError::into_inner);
        for _ in 0..self.permit.num_permits() {
            ends.push_back(Instant::now());
        }
        let num_too_many = ends.len().saturating_sub(NUM_ENDS_REMEMBERED);
        ends.drain(..num_too_many);
    }
}

impl Admission {
    /// A node with `max_num` places.
    pub(crate) fn new(max_num: usize) -> Self {
        let max_num = max_num.min(Semaphore::MAX_PERMITS);
        Self { places: Arc::new(Semaphore::new(max_num)), max_num, ends: Arc::default() }
    }

    /// Takes `num` places, or says when to come back.
    pub(crate) fn admit(&self, num: usize) -> Result<Places, ApiError> {
        let num_asked = u32::try_from(num).unwrap_or(u32::MAX);
        if num > self.max_num {
            let message = format!("{num} prompts in one request, this server holds {}", self.max_num);
            return Err(ApiError::invalid("prompt", message));
        }
        match Arc::clone(&self.places).try_acquire_many_owned(num_asked) {
            Ok(permit) => Ok(Places { admission: self.clone(), permit }),
            Err(_) => {
                let retry_after = self.retry_after(num);
                Err(ApiError::TooManyRequests { max_num: self.max_num, retry_after })
            }
        }
    }

    /// How many inferences are held.
    pub(crate) fn num_in_flight(&self) -> usize {
        self.max_num - self.places.available_permits()
    }

    fn retry_after(&self, num: usize) -> Duration {
        let ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        let window = ends.front().map(Instant::elapsed).unwrap_or_default();
        retry_after(num as u64, ends.len() as u64, window)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_free_themselves() {
        let admission = Admission::new(2);
        let places = admission.admit(2).unwrap();
        assert_eq!(admission.num_in_flight(), 2);
        assert!(matches!(admission.admit(1), Err(ApiError::TooManyRequests { .. })));
        assert!(matches!(admission.admit(3), Err(ApiError::Invalid { .. })));
        drop(places);
        assert_eq!(admission.num_in_flight(), 0);
        assert!(admission.admit(1).is_ok());
    }
}
