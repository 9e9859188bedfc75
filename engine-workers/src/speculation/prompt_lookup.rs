//! Drafts from the sequence itself: what followed its latest tokens where they stood before.

use crate::speculation::config::SpeculativeConfig;
use crate::speculation::hit_rate::HitRate;
use crate::speculation::ngram_index::{Match, NgramIndex};

/// One sequence's guesses. Every token is guessed, also when no draft is made of it: that costs a lookup, and tells
/// how good drafts would be.
#[derive(Debug)]
pub(crate) struct PromptLookup {
    index: NgramIndex,
    max_num_compared: usize,
    /// The place that the guesses come from, and the length of the sequence when it was found.
    found: Option<(Match, usize)>,
    /// By the binary logarithm of the number of tokens that matched.
    rates: [HitRate; 5],
    drafts: Vec<u32>,
}

impl PromptLookup {
    /// Nothing is known yet.
    pub(crate) fn new(config: &SpeculativeConfig) -> Self {
        Self {
            index: NgramIndex::new(config.prompt_lookup_min),
            max_num_compared: config.prompt_lookup_max,
            found: None,
            rates: [0.1, 0.3, 0.5, 0.7, 0.9].map(HitRate::expected),
            drafts: Vec::new(),
        }
    }

    /// At most `max_num_drafts` tokens that may follow `tokens`, each with at least the chance given. `tokens` are
    /// those of the last call and what came after them.
    pub(crate) fn draft(&mut self, tokens: &[u32], max_num_drafts: usize, least_chance: f64) -> &[u32] {
        self.judge(tokens);
        self.index.extend(tokens);
        if self.found.is_none() {
            self.found = self.index.find(tokens, self.max_num_compared).map(|found| (found, tokens.len()));
        }
        self.drafts.clear();
        let Some((found, _)) = self.found else { return &[] };
        let mut chance = 1.0;
        for offset in 0..max_num_drafts {
            chance *= self.rates[bucket(found.num_tokens + offset)].get();
            if chance < least_chance {
                break;
            }
            // Past the end of the sequence the drafts go on as they began.
            let position = found.next_position + offset;
            let token = tokens.get(position).or_else(|| self.drafts.get(position - tokens.len()));
            self.drafts.extend(token.copied());
        }
        &self.drafts
    }

    /// Compares what came since the last call with what would have been guessed, up to the first miss; without one the
    /// place stays, and the match is so much longer.
    fn judge(&mut self, tokens: &[u32]) {
        let Some((mut found, num_known)) = self.found.take() else { return };
        for token in &tokens[num_known.min(tokens.len())..] {
            // A token guesses the next before that is known, so the place is before the end.
            let is_hit = tokens[found.next_position] == *token;
            self.rates[bucket(found.num_tokens)].add(is_hit);
            if !is_hit {
                return;
            }
            found.next_position += 1;
            found.num_tokens += 1;
        }
        self.found = Some((found, tokens.len()));
    }
}

fn bucket(num_tokens: usize) -> usize {
    (num_tokens.max(1).ilog2() as usize).min(4)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTHING: [u32; 0] = [];

    fn lookup() -> PromptLookup {
        PromptLookup::new(&SpeculativeConfig::default())
    }

    #[test]
    fn what_followed_before_is_drafted() {
        assert_eq!(lookup().draft(&[1, 2, 3, 4, 5, 1, 2], 3, 0.0), [3, 4, 5]);
        assert_eq!(lookup().draft(&[1, 2, 3, 4, 5, 1, 9], 3, 0.0), NOTHING);
        assert_eq!(lookup().draft(&[1, 2], 3, 0.0), NOTHING);
        assert_eq!(lookup().draft(&[], 3, 0.0), NOTHING);
    }

    #[test]
    fn a_loop_is_drafted_past_the_end() {
        assert_eq!(lookup().draft(&[7, 8, 9, 7, 8], 7, 0.0), [9, 7, 8, 9, 7, 8, 9]);
        assert_eq!(lookup().draft(&[7, 7, 7], 3, 0.0), [7, 7, 7]);
    }

    #[test]
    fn drafts_grow_with_the_match_and_stop_after_misses() {
        let mut tokens: Vec<u32> = (0..100).chain(0..2).collect();
        let mut lookup = lookup();
        let first = lookup.draft(&tokens, 8, 0.2).len();
        for token in 2..40 {
            tokens.push(token);
            lookup.draft(&tokens, 8, 0.2);
        }
        tokens.push(40);
        assert!(first <= 2);
        assert_eq!(lookup.draft(&tokens, 8, 0.2), [41, 42, 43, 44, 45, 46, 47, 48]);
        // Pairs of the beginning come again, and something else follows each of them.
        for pair in 0..40 {
            tokens.extend([2 * pair, 2 * pair + 1]);
            lookup.draft(&tokens, 8, 0.2);
            tokens.push(1000 + pair);
        }
        tokens.extend([90, 91]);
        assert_eq!(lookup.draft(&tokens, 8, 0.2), NOTHING);
    }

    #[test]
    fn several_tokens_at_once_are_judged_like_one_by_one() {
        let tokens: Vec<u32> = (0..30).chain(0..20).chain([99]).chain(5..15).collect();
        let (mut singly, mut at_once) = (lookup(), lookup());
        for end in 30..=tokens.len() {
            singly.draft(&tokens[..end], 4, 0.0);
        }
        for end in [32, 40, 41, 50, 51, 53, tokens.len()] {
            at_once.draft(&tokens[..end], 4, 0.0);
        }
        let last = singly.draft(&tokens, 4, 0.0).to_vec();
        assert_eq!(at_once.draft(&tokens, 4, 0.0), last);
        assert_eq!(last, [15, 16, 17, 18]);
    }
}
