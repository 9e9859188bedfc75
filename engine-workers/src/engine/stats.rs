//! Numbers for metrics.

use std::time::Duration;

use schedulers::batching::stats::SchedulerStats;

/// Gauges and counters of the engine after its latest step; counters (`_total`) only grow.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct EngineStats {
    /// Queues, blocks and prefix cache.
    pub scheduler: SchedulerStats,
    /// Tokens of the prompts of sequences that reached their first token.
    pub prompt_tokens_total: u64,
    /// Tokens sampled.
    pub generation_tokens_total: u64,
    /// Times that a step verified drafts of a sequence.
    pub spec_decode_num_drafts_total: u64,
    /// Tokens drafted.
    pub spec_decode_num_draft_tokens_total: u64,
    /// Tokens drafted that were right.
    pub spec_decode_num_accepted_tokens_total: u64,
    /// Tokens of the latest step, prefill and decode together.
    pub last_iteration_tokens: u64,
    /// Sequences ended by a stop token or string.
    pub finished_stop_total: u64,
    /// Sequences ended by their length.
    pub finished_length_total: u64,
    /// Sequences given up.
    pub finished_cancelled_total: u64,
    /// Sequences failed.
    pub finished_error_total: u64,
    /// Time planning steps.
    pub schedule_time_total: Duration,
    /// Time drafting tokens.
    pub draft_time_total: Duration,
    /// Time in the runner.
    pub forward_time_total: Duration,
    /// Time sampling and decoding text.
    pub sample_time_total: Duration,
}
