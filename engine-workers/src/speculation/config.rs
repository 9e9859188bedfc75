//! The knobs of speculative decoding, under the names of vLLM's `speculative_config`.

use std::path::PathBuf;

use thiserror::Error;

/// Where drafts come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SpeculativeMethod {
    /// From what followed the latest tokens where they stood before, in prompt or answer.
    Ngram,
    /// From a smaller model with the same vocabulary.
    Draft {
        /// A GGUF file or a Hugging Face directory.
        model: PathBuf,
    },
}

/// The knobs of speculative decoding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpeculativeConfig {
    /// Where drafts come from.
    pub method: SpeculativeMethod,
    /// Most drafts of a sequence in one step; fewer if they would not pay.
    pub num_speculative_tokens: usize,
    /// Fewest latest tokens that must have stood before.
    pub prompt_lookup_min: usize,
    /// Most latest tokens that are compared; more are not told from so many.
    pub prompt_lookup_max: usize,
    /// Sequences in a step from which on nothing is drafted.
    pub disable_by_batch_size: usize,
}

impl Default for SpeculativeConfig {
    fn default() -> Self {
        Self {
            method: SpeculativeMethod::Ngram,
            num_speculative_tokens: 8,
            prompt_lookup_min: 2,
            prompt_lookup_max: 16,
            disable_by_batch_size: 16,
        }
    }
}

/// A knob of speculative decoding that is out of range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("speculative {option} is {value}, it must be {min} to {max}")]
pub struct InvalidSpeculativeConfig {
    option: &'static str,
    value: usize,
    min: usize,
    max: usize,
}

impl SpeculativeConfig {
    /// Most drafts of a sequence in one step: each has a row of logits.
    pub const MAX_NUM_SPECULATIVE_TOKENS: usize = 32;
    /// Longest run of latest tokens that is compared.
    pub const MAX_PROMPT_LOOKUP: usize = 64;

    /// `Err` names the first value that is out of range.
    pub fn check(&self) -> Result<(), InvalidSpeculativeConfig> {
        let ranges = [
            ("num_speculative_tokens", self.num_speculative_tokens, 1, Self::MAX_NUM_SPECULATIVE_TOKENS),
            ("prompt_lookup_max", self.prompt_lookup_max, 1, Self::MAX_PROMPT_LOOKUP),
            ("prompt_lookup_min", self.prompt_lookup_min, 1, self.prompt_lookup_max),
        ];
        for (option, value, min, max) in ranges {
            if !(min..=max).contains(&value) {
                return Err(InvalidSpeculativeConfig { option, value, min, max });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(config: SpeculativeConfig, expected: &str) {
        assert_eq!(config.check().unwrap_err().to_string(), expected);
    }

    #[test]
    fn a_value_out_of_range_is_named() {
        let config = SpeculativeConfig::default();
        assert_eq!(config.check(), Ok(()));
        check(
            SpeculativeConfig { num_speculative_tokens: 33, ..config.clone() },
            "speculative num_speculative_tokens is 33, it must be 1 to 32",
        );
        check(
            SpeculativeConfig { prompt_lookup_max: 0, ..config.clone() },
            "speculative prompt_lookup_max is 0, it must be 1 to 64",
        );
        check(
            SpeculativeConfig { prompt_lookup_min: 17, ..config },
            "speculative prompt_lookup_min is 17, it must be 1 to 16",
        );
    }
}
