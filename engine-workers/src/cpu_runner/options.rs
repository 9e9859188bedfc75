//! What the operator decides about the runner.

use kernels::Isa;

use super::error::LoadError;

/// How much cache to reserve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KvCapacity {
    /// So many blocks of [`super::BLOCK_SIZE_TOKENS`] positions.
    Blocks(usize),
    /// As many blocks as fit into so many bytes.
    Bytes(usize),
}

/// What the operator decides about the runner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CpuRunnerOptions {
    /// Compute threads, the caller of `forward` included; the physical cores are a good number.
    pub num_threads: usize,
    /// How much cache to reserve.
    pub kv_capacity: KvCapacity,
    /// Most tokens one step may carry; scratch memory grows with it.
    pub max_num_batched_tokens: usize,
    /// Longest sequence; `None` means what the model was made for, or what the cache can hold if that is less.
    pub max_model_len_tokens: Option<usize>,
    /// Whether a cache that cannot hold one sequence of the longest length is an error instead of a shorter limit.
    pub requires_full_context: bool,
    /// Instruction set; `None` means the best that the processor has. Answers do not depend on it.
    pub isa: Option<Isa>,
}

impl Default for CpuRunnerOptions {
    fn default() -> Self {
        Self {
            num_threads: std::thread::available_parallelism().map_or(1, usize::from),
            kv_capacity: KvCapacity::Bytes(1 << 30),
            max_num_batched_tokens: 512,
            max_model_len_tokens: None,
            requires_full_context: false,
            isa: None,
        }
    }
}

impl CpuRunnerOptions {
    const MAX_NUM_BATCHED_TOKENS: usize = 1 << 16;

    pub(crate) fn check(&self) -> Result<(), LoadError> {
        let checks = [
            ("num_threads", self.num_threads, 1..=1024),
            ("max_num_batched_tokens", self.max_num_batched_tokens, 1..=Self::MAX_NUM_BATCHED_TOKENS),
            ("max_model_len_tokens", self.max_model_len_tokens.unwrap_or(1), 1..=u32::MAX as usize),
        ];
        for (option, value, range) in checks {
            if !range.contains(&value) {
                return Err(LoadError::InvalidOption {
                    option,
                    value,
                    min: *range.start(),
                    max: *range.end(),
                });
            }
        }
        Ok(())
    }
}
