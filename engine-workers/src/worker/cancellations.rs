//! Which inferences were asked to stop, lately.

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use bus::{FactWriter, ReadFrom, StreamName, subjects};
use futures_util::StreamExt as _;
use schemas::{FactKind, InferenceId};
use tracing::warn;

use super::PAUSE_AFTER_FAILURE;

/// Cancellations this old are read again at start: their inferences may still wait in the log.
const CANCELLATIONS_SINCE: Duration = Duration::from_secs(600);

/// A bounded memory of requests to cancel: the oldest is forgotten first.
///
/// A cancellation may be heard before its inference is taken up; without this it would be computed for nobody.
#[derive(Debug)]
pub(crate) struct Cancellations {
    known: HashSet<InferenceId>,
    oldest_first: VecDeque<InferenceId>,
    max_num: usize,
}

impl Cancellations {
    pub(crate) fn new(max_num: usize) -> Self {
        Self { known: HashSet::new(), oldest_first: VecDeque::new(), max_num }
    }

    pub(crate) fn insert(&mut self, inference: InferenceId) {
        if self.known.insert(inference) {
            self.oldest_first.push_back(inference);
        }
        if self.oldest_first.len() > self.max_num
            && let Some(oldest) = self.oldest_first.pop_front()
        {
            self.known.remove(&oldest);
        }
    }

    pub(crate) fn contains(&self, inference: InferenceId) -> bool {
        self.known.contains(&inference)
    }
}

/// Calls `cancel` for every inference that is asked to stop, until it is dropped.
pub(crate) async fn follow(facts: &FactWriter, cancel: impl Fn(InferenceId)) {
    let since = u64::try_from(CANCELLATIONS_SINCE.as_nanos()).unwrap_or(u64::MAX);
    let mut from = ReadFrom::UnixNanos(facts.stamp().unix_nanos.saturating_sub(since));
    loop {
        let patterns = vec![subjects::all_of(FactKind::CancelRequested)];
        match facts.log().read(StreamName::Inference, patterns, from, true).await {
            Ok(mut records) => {
                while let Some(Ok(record)) = records.next().await {
                    from = ReadFrom::Sequence(record.sequence + 1);
                    let envelope = schemas::decode_envelope(&record.payload);
                    if let Ok(inference) = envelope.and_then(|envelope| envelope.inference()) {
                        cancel(inference);
                    }
                }
            }
            Err(error) => warn!(%error, "cannot hear cancellations, trying again"),
        }
        tokio::time::sleep(PAUSE_AFTER_FAILURE).await;
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
