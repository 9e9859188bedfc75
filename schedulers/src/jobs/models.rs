//! How long a line waits for its model.

use std::collections::HashSet;
use std::time::Duration;

/// For a model that was never seen: a worker that starts with us has announced itself by then.
const PATIENCE_WITH_UNKNOWN: Duration = Duration::from_secs(15);
/// For a model that answered lines of this batch: its workers are being replaced.
const PATIENCE_WITH_KNOWN: Duration = Duration::from_secs(600);
/// Names that are remembered; a batch rarely has more than one.
const MAX_NUM_MODELS: usize = 1_024;

/// The models that a batch has asked for.
#[derive(Debug, Default)]
pub(super) struct Models {
    known: HashSet<String>,
    missing: HashSet<String>,
}

impl Models {
    /// A line's model is there.
    pub(super) fn found(&mut self, model: &str) {
        self.missing.remove(model);
        if self.known.len() < MAX_NUM_MODELS && !self.known.contains(model) {
            self.known.insert(model.to_owned());
        }
    }

    /// Whether a line should wait for its model on, after it has waited for `waited` in a batch that has run for
    /// `since_start`. What was given up once is not waited for again until it is back.
    pub(super) fn should_wait(&mut self, model: &str, waited: Duration, since_start: Duration) -> bool {
        if self.missing.contains(model) {
            return false;
        }
        let is_patient = if self.known.contains(model) {
            waited < PATIENCE_WITH_KNOWN
        } else {
            since_start < PATIENCE_WITH_UNKNOWN
        };
        if !is_patient && self.missing.len() < MAX_NUM_MODELS {
            self.missing.insert(model.to_owned());
        }
        is_patient
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_that_was_there_is_waited_for_longer_and_each_once() {
        let mut models = Models::default();
        let second = Duration::from_secs(1);
        assert!(models.should_wait("new", Duration::ZERO, second));
        assert!(!models.should_wait("new", 19 * second, 20 * second));
        models.found("seen");
        assert!(models.should_wait("seen", 20 * second, 100 * second));
        assert!(!models.should_wait("seen", 601 * second, 700 * second));
        assert!(!models.should_wait("seen", Duration::ZERO, 701 * second));
        models.found("seen");
        assert!(models.should_wait("seen", Duration::ZERO, 800 * second));
    }
}
