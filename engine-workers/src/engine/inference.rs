//! One inference inside the engine: its choices, and what is known of its prompt.

use schedulers::batching::sequence::SequenceId;

use crate::engine::output::PromptReport;
use crate::sampler::token_logprobs::TokenLogprobs;

/// Log-probabilities of the prompt while they are collected.
#[derive(Debug)]
pub(super) struct PromptScores {
    pub(super) num_top: u32,
    pub(super) num_prompt_tokens: usize,
    pub(super) found: Vec<TokenLogprobs>,
}

impl PromptScores {
    /// Whether rows from `first_position` on are still wanted. The row at a position scores the token after it.
    pub(super) fn wants_rows_from(&self, first_position: usize) -> bool {
        let is_complete = self.found.len() + 1 >= self.num_prompt_tokens;
        !is_complete && first_position <= self.found.len()
    }
}

/// One inference. The first choice computes the prompt; the others wait for it and find it in the prefix cache.
#[derive(Debug)]
pub(super) struct Inference {
    /// Choices that have not ended.
    pub(super) live: Vec<SequenceId>,
    /// The choice that computes the prompt, until it has.
    pub(super) leader: Option<SequenceId>,
    /// What the first output carries.
    pub(super) prompt: Option<PromptReport>,
    /// Collected by the leader, if asked for.
    pub(super) scores: Option<PromptScores>,
    /// Tokens of the prompt.
    pub(super) num_prompt_tokens: u32,
    /// Those that the leader found in the prefix cache.
    pub(super) num_cached_tokens: u32,
}

impl Inference {
    /// The leader's prompt is computed, from this many cached tokens on. Cached blocks may hold tokens of an earlier
    /// attempt's answer too, which are no prompt tokens.
    pub(super) fn set_num_cached_tokens(&mut self, num_cached_tokens: usize) {
        self.num_cached_tokens = (num_cached_tokens as u32).min(self.num_prompt_tokens);
        if let Some(prompt) = &mut self.prompt {
            prompt.num_cached_tokens = self.num_cached_tokens;
        }
    }
}
