//! Where runs of tokens stood before.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, DefaultHasher, Hash as _, Hasher as _};

/// Earlier places that one lookup compares, the latest first.
const MAX_NUM_PLACES: usize = 16;
/// No earlier place.
const NONE: u32 = u32::MAX;

/// A place where the latest tokens stood before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Match {
    /// Position of the token that followed there.
    pub(crate) next_position: usize,
    /// How many of the latest tokens stood before it, at most as many as were compared.
    pub(crate) num_tokens: usize,
}

/// The places of every run of `run_length` tokens of one sequence: a hash table to the latest place of a run, and for
/// each place a link to the one before it. Adding a token and looking up cost a bounded number of operations each; the
/// memory is a link and at most one entry of the table per token.
#[derive(Debug)]
pub(crate) struct NgramIndex {
    run_length: usize,
    /// By hash of a run: the position after its latest place.
    latest: HashMap<u64, u32, BuildHasherDefault<DefaultHasher>>,
    /// By `position − run_length` of the position after a run: the position after the place before it.
    before: Vec<u32>,
}

impl NgramIndex {
    /// Nothing is known yet.
    pub(crate) fn new(run_length: usize) -> Self {
        Self { run_length, latest: HashMap::default(), before: Vec::new() }
    }

    /// Learns every run that a token follows; `tokens` are those of the last call and what came after them.
    pub(crate) fn extend(&mut self, tokens: &[u32]) {
        for end in self.before.len() + self.run_length..tokens.len() {
            let place = self.latest.insert(hash(&tokens[end - self.run_length..end]), end as u32);
            self.before.push(place.unwrap_or(NONE));
        }
    }

    /// The place where most of the last `max_num_tokens` tokens stood before, the latest of several.
    pub(crate) fn find(&self, tokens: &[u32], max_num_tokens: usize) -> Option<Match> {
        let run = &tokens[tokens.len().checked_sub(self.run_length)?..];
        let mut place = self.latest.get(&hash(run)).copied().unwrap_or(NONE);
        let mut best: Option<Match> = None;
        for _ in 0..MAX_NUM_PLACES {
            if place == NONE {
                break;
            }
            let next_position = place as usize;
            let num_tokens = common_suffix(&tokens[..next_position], tokens, max_num_tokens);
            // Runs of equal hash may differ.
            if num_tokens >= self.run_length.max(best.map_or(0, |best| best.num_tokens + 1)) {
                best = Some(Match { next_position, num_tokens });
                if num_tokens == max_num_tokens {
                    break;
                }
            }
            place = self.before[next_position - self.run_length];
        }
        best
    }
}

fn hash(run: &[u32]) -> u64 {
    let mut hasher = DefaultHasher::new();
    run.hash(&mut hasher);
    hasher.finish()
}

fn common_suffix(a: &[u32], b: &[u32], max_len: usize) -> usize {
    a.iter().rev().zip(b.iter().rev()).take(max_len).take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The definition: every earlier place, the longest match, the latest of several.
    fn longest(tokens: &[u32], min: usize, max: usize) -> Option<Match> {
        let place = |next_position| {
            let num_tokens = common_suffix(&tokens[..next_position], tokens, max);
            (num_tokens >= min).then_some(Match { next_position, num_tokens })
        };
        (1..tokens.len()).filter_map(place).max_by_key(|found| (found.num_tokens, found.next_position))
    }

    proptest! {
        #[test]
        fn the_longest_and_latest_place_is_found(
            tokens in prop::collection::vec(0_u32..4, 0..17),
            min in 1_usize..4,
            more in 0_usize..4,
            cut in 0_usize..17,
        ) {
            let mut index = NgramIndex::new(min);
            index.extend(&tokens[..cut.min(tokens.len())]);
            index.extend(&tokens);
            prop_assert_eq!(index.find(&tokens, min + more), longest(&tokens, min, min + more));
        }
    }

    #[test]
    fn a_lookup_compares_a_bounded_number_of_places() {
        // The only long match is further back than that.
        let mut tokens = vec![1, 2, 3, 9];
        tokens.extend([7, 2, 3].repeat(MAX_NUM_PLACES));
        tokens.extend([1, 2, 3]);
        let mut index = NgramIndex::new(2);
        index.extend(&tokens);
        assert_eq!(index.find(&tokens, 3).unwrap().num_tokens, 2);
    }
}
