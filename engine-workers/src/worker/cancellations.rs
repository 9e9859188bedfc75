//! Which inferences were asked to stop, lately.

use std::collections::{HashSet, VecDeque};

use schemas::InferenceId;

/// A bounded memory of requests to cancel: the oldest is forgotten first.
///
/// A cancellation may be heard before its inference is taken up; without this it would be computed for nobody.
#[derive(Debug)]
pub(super) struct Cancellations {
    known: HashSet<InferenceId>,
    oldest_first: VecDeque<InferenceId>,
    max_num: usize,
}

impl Cancellations {
    pub(super) fn new(max_num: usize) -> Self {
        Self { known: HashSet::new(), oldest_first: VecDeque::new(), max_num }
    }

    pub(super) fn insert(&mut self, inference: InferenceId) {
        if self.known.insert(inference) {
            self.oldest_first.push_back(inference);
        }
        if self.oldest_first.len() > self.max_num
            && let Some(oldest) = self.oldest_first.pop_front()
        {
            self.known.remove(&oldest);
        }
    }

    pub(super) fn contains(&self, inference: InferenceId) -> bool {
        self.known.contains(&inference)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn id(number: u128) -> InferenceId {
        InferenceId::new(Uuid::from_u128(number))
    }

    #[test]
    fn the_oldest_is_forgotten_first() {
        let mut cancellations = Cancellations::new(2);
        for number in [1, 1, 2, 3] {
            cancellations.insert(id(number));
        }
        let known: Vec<bool> = (1..=3).map(|number| cancellations.contains(id(number))).collect();
        assert_eq!(known, [false, true, true]);
    }
}
