//! The knobs of the engine.

use std::time::Duration;

use schedulers::batching::config::{Policy, SchedulerConfig};
use schemas::SamplingLimits;

use crate::runner::RunnerShape;
use crate::speculation::config::SpeculativeConfig;

/// The knobs of the engine that its runner does not fix.
#[derive(Debug, Clone)]
pub struct EngineConfig {
    /// Most sequences that run at once.
    pub max_num_seqs: usize,
    /// Most tokens of one step, within what the runner takes; `None` is all of it.
    pub max_num_batched_tokens: Option<usize>,
    /// Who runs first.
    pub policy: Policy,
    /// Whether full blocks are found again by their hash.
    pub enable_prefix_caching: bool,
    /// Whether a prompt may be computed over several steps.
    pub enable_chunked_prefill: bool,
    /// Most tokens one sequence takes of a step that it shares.
    pub long_prefill_token_threshold: Option<usize>,
    /// How long a step that goes on with answers should last at most: prompts that arrive are cut so that it does. `None`
    /// lets a prompt have the whole step.
    pub target_step_time: Option<Duration>,
    /// Most sequences in the queue.
    pub max_num_queued_requests: usize,
    /// Most tokens of queued sequences.
    pub max_num_queued_tokens: usize,
    /// Drafts of the tokens that follow; `None` computes one token of an answer a step.
    pub speculative: Option<SpeculativeConfig>,
    /// Bounds of the sampling parameters.
    pub sampling_limits: SamplingLimits,
}

impl Default for EngineConfig {
    fn default() -> Self {
        let scheduler = SchedulerConfig::default();
        EngineConfig {
            max_num_seqs: scheduler.max_num_seqs,
            max_num_batched_tokens: None,
            policy: scheduler.policy,
            enable_prefix_caching: scheduler.enable_prefix_caching,
            enable_chunked_prefill: scheduler.enable_chunked_prefill,
            long_prefill_token_threshold: scheduler.long_prefill_token_threshold,
            target_step_time: Some(Duration::from_millis(100)),
            max_num_queued_requests: scheduler.max_num_queued_requests,
            max_num_queued_tokens: scheduler.max_num_queued_tokens,
            speculative: None,
            sampling_limits: SamplingLimits::default(),
        }
    }
}

impl EngineConfig {
    /// The scheduler's configuration over a runner of this shape.
    pub fn scheduler_config(&self, shape: &RunnerShape) -> SchedulerConfig {
        let max_num_batched_tokens = self.max_num_batched_tokens.unwrap_or(usize::MAX);
        SchedulerConfig {
            max_num_seqs: self.max_num_seqs,
            max_num_batched_tokens: max_num_batched_tokens.min(shape.max_num_batched_tokens),
            max_model_len_tokens: shape.max_model_len_tokens,
            block_size_tokens: shape.block_size_tokens,
            num_blocks: shape.num_blocks,
            policy: self.policy,
            enable_prefix_caching: self.enable_prefix_caching,
            enable_chunked_prefill: self.enable_chunked_prefill,
            long_prefill_token_threshold: self.long_prefill_token_threshold,
            max_num_queued_requests: self.max_num_queued_requests,
            max_num_queued_tokens: self.max_num_queued_tokens,
            records_kv_events: false,
        }
    }
}
