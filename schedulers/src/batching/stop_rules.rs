//! When a sequence ends, as far as its tokens tell. Stop strings are matched on text, by the engine.

use crate::batching::state::FinishReason;

/// When a sequence ends, as far as its tokens tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StopRules {
    /// Tokens that end the sequence: end-of-sequence tokens, unless they are ignored, and the request's stop tokens.
    pub stop_token_ids: Vec<u32>,
    /// Most answer tokens.
    pub max_tokens: usize,
    /// Answer tokens before any stop token counts.
    pub min_tokens: usize,
}

impl StopRules {
    /// Whether the sequence ends with its latest token, the `num_output_tokens`-th of the answer (from 1).
    pub fn finish_reason(&self, token: u32, num_output_tokens: usize) -> Option<FinishReason> {
        if num_output_tokens > self.min_tokens && self.stop_token_ids.contains(&token) {
            return Some(FinishReason::Stop);
        }
        (num_output_tokens >= self.max_tokens).then_some(FinishReason::Length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(token: u32, num_output_tokens: usize, expected: Option<FinishReason>) {
        let rules = StopRules { stop_token_ids: vec![7, 9], max_tokens: 5, min_tokens: 2 };
        assert_eq!(
            rules.finish_reason(token, num_output_tokens),
            expected,
            "token {token} at {num_output_tokens}"
        );
    }

    #[test]
    fn stop_tokens_count_after_min_tokens_and_win_over_length() {
        check(7, 2, None);
        check(7, 3, Some(FinishReason::Stop));
        check(9, 5, Some(FinishReason::Stop));
        check(1, 4, None);
        check(1, 5, Some(FinishReason::Length));
    }
}
