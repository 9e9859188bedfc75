//! Numbers for metrics.

/// The scheduler's gauges and counters; counters (`_total`) only grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SchedulerStats {
    /// Sequences that hold blocks and take part in steps.
    pub num_running: usize,
    /// Sequences queued, preempted ones and those that wait for an input included.
    pub num_waiting: usize,
    /// Tokens of queued sequences.
    pub num_waiting_tokens: usize,
    /// KV blocks of the cache.
    pub num_blocks: usize,
    /// KV blocks that nobody references.
    pub num_free_blocks: usize,
    /// Preemptions.
    pub num_preemptions_total: u64,
    /// Tokens looked up in the prefix cache.
    pub prefix_cache_queries_total: u64,
    /// Tokens found there.
    pub prefix_cache_hits_total: u64,
    /// Tokens planned into steps.
    pub num_scheduled_tokens_total: u64,
    /// Steps planned that computed something.
    pub num_steps_total: u64,
}

impl SchedulerStats {
    /// Share of the KV blocks in use, 0 to 1.
    pub fn kv_cache_usage(&self) -> f64 {
        if self.num_blocks == 0 {
            return 0.0;
        }
        (self.num_blocks - self.num_free_blocks) as f64 / self.num_blocks as f64
    }
}
