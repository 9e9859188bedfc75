//! What the sampling rules need to know of the tokens so far.

use std::collections::HashMap;

use crate::sampler::sampling_rules::SamplingRules;

/// Tokens of prompt and answer, as far as the rules of one sequence read them.
#[derive(Debug, Clone, Default)]
pub struct TokenHistory {
    /// Distinct tokens of the prompt; kept for the repetition penalty only.
    prompt_tokens: Vec<u32>,
    /// Occurrences in the answer; kept for the penalties only.
    output_counts: HashMap<u32, u32>,
    output_tokens: Vec<u32>,
    counts_output_tokens: bool,
}

impl TokenHistory {
    /// Nothing answered yet.
    pub fn new(prompt: &[u32], rules: &SamplingRules) -> Self {
        let mut prompt_tokens = Vec::new();
        if rules.repetition_penalty != 1.0 {
            prompt_tokens.extend_from_slice(prompt);
            prompt_tokens.sort_unstable();
            prompt_tokens.dedup();
        }
        TokenHistory {
            prompt_tokens,
            output_counts: HashMap::new(),
            output_tokens: Vec::new(),
            counts_output_tokens: rules.counts_output_tokens(),
        }
    }

    /// The answer goes on with `token_id`.
    pub fn push(&mut self, token_id: u32) {
        self.output_tokens.push(token_id);
        if self.counts_output_tokens {
            *self.output_counts.entry(token_id).or_insert(0) += 1;
        }
    }

    /// The answer.
    pub fn output_tokens(&self) -> &[u32] {
        &self.output_tokens
    }

    /// Occurrences in the answer, in no order.
    pub(super) fn output_counts(&self) -> impl Iterator<Item = (u32, u32)> + '_ {
        self.output_counts.iter().map(|(token, count)| (*token, *count))
    }

    /// Distinct tokens of prompt and answer, each once, in no order.
    pub(super) fn distinct_tokens(&self) -> impl Iterator<Item = u32> + '_ {
        let only_in_prompt =
            self.prompt_tokens.iter().filter(|token| !self.output_counts.contains_key(token));
        only_in_prompt.chain(self.output_counts.keys()).copied()
    }
}
