//! The knobs of the scheduler.

use crate::batching::error::BatchingError;

/// Who runs first and who is preempted first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Policy {
    /// First come, first served; the last of the running sequences is preempted.
    #[default]
    Fcfs,
    /// By (priority, arrival), the lower the earlier; the worst of the running sequences is preempted.
    Priority,
}

/// The knobs of the scheduler; the defaults are those of the serving engines it is compared with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchedulerConfig {
    /// Most sequences that run at once.
    pub max_num_seqs: usize,
    /// Most tokens of one step.
    pub max_num_batched_tokens: usize,
    /// Longest sequence, prompt and answer together.
    pub max_model_len_tokens: usize,
    /// Positions per KV block.
    pub block_size_tokens: usize,
    /// KV blocks of the cache.
    pub num_blocks: usize,
    /// Who runs first.
    pub policy: Policy,
    /// Whether full blocks are found again by their hash.
    pub enable_prefix_caching: bool,
    /// Whether a prompt may be computed over several steps.
    pub enable_chunked_prefill: bool,
    /// Most tokens one sequence takes of a step that it shares; `None` leaves only the budget.
    pub long_prefill_token_threshold: Option<usize>,
    /// Most sequences in the queue; past it new ones are rejected.
    pub max_num_queued_requests: usize,
    /// Most tokens of queued sequences; past it new ones are rejected, but an empty queue takes any one sequence.
    pub max_num_queued_tokens: usize,
    /// Whether stored and evicted blocks are recorded; whoever turns it on must drain them.
    pub records_kv_events: bool,
}

impl Default for SchedulerConfig {
    fn default() -> Self {
        SchedulerConfig {
            max_num_seqs: 128,
            max_num_batched_tokens: 2048,
            max_model_len_tokens: 4096,
            block_size_tokens: 16,
            num_blocks: 4096,
            policy: Policy::Fcfs,
            enable_prefix_caching: true,
            enable_chunked_prefill: true,
            long_prefill_token_threshold: None,
            max_num_queued_requests: 1024,
            max_num_queued_tokens: 1 << 20,
            records_kv_events: false,
        }
    }
}

impl SchedulerConfig {
    /// Longest sequence that the model and the cache can hold. A sequence alone in the cache always fits, so that
    /// preemption always ends.
    pub fn max_sequence_tokens(&self) -> usize {
        self.max_model_len_tokens.min(self.num_blocks.saturating_mul(self.block_size_tokens))
    }

    /// `Err(InvalidConfig)` naming the first value that cannot work.
    pub fn check(&self) -> Result<(), BatchingError> {
        let at_least_one = [
            ("max_num_seqs", self.max_num_seqs),
            ("max_num_batched_tokens", self.max_num_batched_tokens),
            ("block_size_tokens", self.block_size_tokens),
            ("num_blocks", self.num_blocks),
            ("max_num_queued_requests", self.max_num_queued_requests),
            ("max_num_queued_tokens", self.max_num_queued_tokens),
            ("long_prefill_token_threshold", self.long_prefill_token_threshold.unwrap_or(1)),
        ];
        for (name, value) in at_least_one {
            if value == 0 {
                return Err(BatchingError::InvalidConfig(format!("{name} must be at least 1")));
            }
        }
        if u32::try_from(self.num_blocks).is_err() {
            return Err(BatchingError::InvalidConfig(format!(
                "num_blocks is {}, block ids have 32 bits",
                self.num_blocks
            )));
        }
        if self.max_sequence_tokens() < 2 {
            return Err(BatchingError::InvalidConfig(
                "a sequence needs room for one prompt token and one answer token".to_owned(),
            ));
        }
        if !self.enable_chunked_prefill && self.max_num_batched_tokens < self.max_sequence_tokens() {
            return Err(BatchingError::InvalidConfig(format!(
                "without chunked prefill max_num_batched_tokens ({}) must be at least the longest sequence ({})",
                self.max_num_batched_tokens,
                self.max_sequence_tokens()
            )));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(config: SchedulerConfig, expected: &str) {
        assert_eq!(
            config.check().unwrap_err().to_string(),
            format!("invalid scheduler configuration: {expected}")
        );
    }

    #[test]
    fn an_impossible_value_is_named() {
        check(
            SchedulerConfig { max_num_seqs: 0, ..SchedulerConfig::default() },
            "max_num_seqs must be at least 1",
        );
        check(
            SchedulerConfig { enable_chunked_prefill: false, ..SchedulerConfig::default() },
            "without chunked prefill max_num_batched_tokens (2048) must be at least the longest sequence (4096)",
        );
        check(
            SchedulerConfig { max_model_len_tokens: 1, ..SchedulerConfig::default() },
            "a sequence needs room for one prompt token and one answer token",
        );
    }

    #[test]
    fn the_defaults_are_valid() {
        assert_eq!(SchedulerConfig::default().check(), Ok(()));
    }
}
