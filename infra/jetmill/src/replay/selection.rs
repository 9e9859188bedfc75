//! Which inferences are replayed: all of a time, or a sample of them that a seed gives again.

use std::collections::BinaryHeap;

use anyhow::Result;
use bus::{BusError, EventLog, ReadFrom, StreamName, subjects};
use futures_util::stream::BoxStream;
use futures_util::{StreamExt as _, TryStreamExt as _, future, stream};
use schemas::{FactHash, FactKind, InferenceId};

use crate::proof::TimeRange;

/// A sample of what there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sample {
    pub(super) num_inferences: usize,
    pub(super) seed: u64,
}

/// The ids in the order of the log, one after the other: a long log needs no more memory than a short one.
pub(super) async fn requested_ids<'a>(
    log: &'a dyn EventLog,
    range: &TimeRange,
) -> Result<BoxStream<'a, Result<InferenceId, BusError>>> {
    let from = range.from.map_or(ReadFrom::Start, |from| ReadFrom::UnixNanos(from.unix_nanos));
    let to_unix_nanos = range.to.map_or(u64::MAX, |to| to.unix_nanos);
    let patterns = vec![subjects::all_of(FactKind::Requested)];
    let records = log.read(StreamName::Inference, patterns, from, false).await?;
    let ids = records
        .try_take_while(move |record| future::ok(record.stored_at_unix_nanos < to_unix_nanos))
        .try_filter_map(|record| {
            future::ok(record.subject.rsplit('.').next().and_then(|id| id.parse::<InferenceId>().ok()))
        });
    Ok(ids.boxed())
}

/// The sample of them, in the same order; every inference is as likely to be in it.
pub(super) async fn sampled<'a>(
    mut ids: BoxStream<'a, Result<InferenceId, BusError>>,
    sample: Sample,
) -> Result<BoxStream<'a, Result<InferenceId, BusError>>> {
    let mut chosen = Chosen::new(sample);
    while let Some(id) = ids.try_next().await? {
        chosen.offer(id);
    }
    Ok(stream::iter(chosen.into_ids().into_iter().map(Ok)).boxed())
}

/// Those whose hashes with the seed are the smallest so far.
struct Chosen {
    sample: Sample,
    /// Hash, place in the log and id; the largest hash on top.
    smallest: BinaryHeap<(FactHash, u64, InferenceId)>,
    num_offered: u64,
}

impl Chosen {
    const fn new(sample: Sample) -> Self {
        Self { sample, smallest: BinaryHeap::new(), num_offered: 0 }
    }

    fn offer(&mut self, id: InferenceId) {
        let hash = FactHash::of(format!("{} {id}", self.sample.seed).as_bytes());
        self.smallest.push((hash, self.num_offered, id));
        self.num_offered += 1;
        if self.smallest.len() > self.sample.num_inferences {
            self.smallest.pop();
        }
    }

    fn into_ids(self) -> Vec<InferenceId> {
        let mut chosen = self.smallest.into_vec();
        chosen.sort_unstable_by_key(|(_, place, _)| *place);
        chosen.into_iter().map(|(_, _, id)| id).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn sample(num_offered: u128, num_inferences: usize, seed: u64) -> Vec<u128> {
        let mut chosen = Chosen::new(Sample { num_inferences, seed });
        (0..num_offered).for_each(|number| chosen.offer(InferenceId::new(Uuid::from_u128(number))));
        let ids = chosen.into_ids();
        ids.iter().map(|id| u128::from_str_radix(&id.to_string(), 16).unwrap()).collect()
    }

    #[test]
    fn a_seed_gives_the_same_sample_again_in_the_order_of_the_log() {
        let first = sample(1_000, 10, 7);
        assert_eq!(first.len(), 10);
        assert!(first.is_sorted(), "{first:?}");
        assert_eq!(sample(1_000, 10, 7), first);
        assert_ne!(sample(1_000, 10, 8), first);
        assert_eq!(sample(3, 5, 1), [0, 1, 2]);
    }

    #[test]
    fn every_inference_is_as_likely_to_be_chosen() {
        let mut counts = [0; 20];
        for seed in 0..400 {
            sample(20, 5, seed).iter().for_each(|number| counts[*number as usize] += 1);
        }
        // 100 are expected of each, with a standard deviation of 9.
        assert!(counts.iter().all(|count| (60..140).contains(count)), "{counts:?}");
    }
}
