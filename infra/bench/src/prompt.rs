//! Prompts of an exact number of tokens, the same ones in every run with the same seed.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// Token ids below this are left out: vocabularies keep control tokens there.
const FIRST_ORDINARY_TOKEN: u32 = 1_000;
/// Small enough to exist in every vocabulary that is compared.
const LAST_ORDINARY_TOKEN: u32 = 31_000;

/// What the prompts of a run look like.
#[derive(Debug, Clone, Copy)]
pub struct PromptShape {
    /// Length of every prompt.
    pub num_tokens: usize,
    /// How many tokens at the start all prompts share; the rest is different for each, from its first token on.
    pub num_shared_tokens: usize,
    /// Determines all prompts.
    pub seed: u64,
}

impl PromptShape {
    /// The prompt of request number `index`, as token ids.
    #[must_use]
    pub fn tokens(&self, index: usize) -> Vec<u32> {
        let num_shared = self.num_shared_tokens.min(self.num_tokens);
        let mut shared = StdRng::seed_from_u64(self.seed);
        let mut own =
            StdRng::seed_from_u64(self.seed ^ (index as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let ordinary = FIRST_ORDINARY_TOKEN..LAST_ORDINARY_TOKEN;
        (0..self.num_tokens)
            .map(|position| {
                let source = if position < num_shared { &mut shared } else { &mut own };
                source.random_range(ordinary.clone())
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prompts_have_their_length_and_differ_from_the_first_token_that_is_not_shared() {
        let shape = PromptShape { num_tokens: 32, num_shared_tokens: 8, seed: 3 };
        let (first, second) = (shape.tokens(0), shape.tokens(1));
        assert_eq!((first.len(), second.len()), (32, 32));
        assert_eq!(first[..8], second[..8]);
        assert_ne!(first[8], second[8]);
    }

    #[test]
    fn the_same_seed_gives_the_same_prompts() {
        let shape = PromptShape { num_tokens: 16, num_shared_tokens: 0, seed: 3 };
        assert_eq!(shape.tokens(5), shape.tokens(5));
        assert_ne!(shape.tokens(5), PromptShape { seed: 4, ..shape }.tokens(5));
    }
}
