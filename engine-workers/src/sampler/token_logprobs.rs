//! Where a token stands in the raw distribution.

use crate::sampler::candidates::{self, Candidate};
use crate::sampler::softmax;

/// One token of the distribution.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TokenLogprob {
    /// The token.
    pub token_id: u32,
    /// Natural logarithm of its probability, before any sampling rule.
    pub logprob: f32,
    /// Tokens that are more likely, or equally likely with a lower id.
    pub rank: u32,
}

/// The chosen token and the most likely ones.
#[derive(Debug, Clone, PartialEq)]
pub struct TokenLogprobs {
    /// The token of the sequence.
    pub chosen: TokenLogprob,
    /// The most likely tokens, most likely first.
    pub top: Vec<TokenLogprob>,
}

impl TokenLogprobs {
    /// `logprob = x − max − ln Σ exp(x_i − max)` over valid `logits [vocab_size]`; sums in f64.
    pub(super) fn of(logits: &[f32], token_id: u32, num_top: usize, buffer: &mut Vec<Candidate>) -> Self {
        let max = softmax::first_maximum(logits).map_or(0.0, |best| logits[best as usize]);
        let log_sum = softmax::sum_exp(logits, max).ln();
        let logprob = |logit: f32| (f64::from(logit - max) - log_sum) as f32;
        let chosen = logits[token_id as usize];
        let (before, after) = logits.split_at(token_id as usize);
        let rank =
            before.iter().filter(|x| **x >= chosen).count() + after.iter().filter(|x| **x > chosen).count();
        candidates::select_top(logits, num_top, buffer);
        TokenLogprobs {
            chosen: TokenLogprob { token_id, logprob: logprob(chosen), rank: rank as u32 },
            top: (0..)
                .zip(buffer.iter())
                .map(|(rank, c)| TokenLogprob { token_id: c.token_id, logprob: logprob(c.logit), rank })
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probabilities_sum_to_one_and_ranks_break_ties_by_id() {
        let logits = [1.0, 3.0, 3.0, -2.0, f32::NEG_INFINITY];
        let mut sum = 0.0;
        for (token_id, rank) in [(0, 2), (1, 0), (2, 1), (3, 3), (4, 4)] {
            let found = TokenLogprobs::of(&logits, token_id, 2, &mut Vec::new());
            assert_eq!(found.chosen.rank, rank, "token {token_id}");
            assert_eq!(found.top.iter().map(|t| t.token_id).collect::<Vec<_>>(), [1, 2]);
            sum += found.chosen.logprob.exp();
        }
        assert!((sum - 1.0).abs() < 1e-6, "{sum}");
    }
}
