//! The transformer on the processor: all families in one forward pass over packed weights and a paged cache of keys and values.
//!
//! Start at [`CpuRunner`]; a step goes through `step` (what to compute, checked), then `forward` (the layers).

pub mod error;
pub mod operation_times;
pub mod options;

mod adapter_rows;
mod expert_layer;
mod feed_forward;
mod forward;
mod memory;
mod rope_frequencies;
mod step;
mod weights;

use std::sync::Arc;

use kernels::{CacheShape, Isa, KvCache, Pool};

use self::error::LoadError;
use self::forward::{Forward, Pass};
use self::operation_times::OperationTimes;
use self::options::{CpuRunnerOptions, KvCapacity};
use self::step::Step;
use self::weights::Weights;
use crate::model_file::ModelFile;
use crate::runner::{Interrupt, ModelRunner, RunnerError, RunnerShape, SequenceChunk};

/// Positions per block of the cache.
pub const BLOCK_SIZE_TOKENS: usize = KvCache::BLOCK_SIZE;

/// A model whose weights are packed in memory, with its cache and its compute threads.
///
/// Nothing of the model's file is needed after loading. A step of a size that was seen before allocates nothing.
#[derive(Debug)]
pub struct CpuRunner {
    shape: RunnerShape,
    pool: Arc<Pool>,
    weights: Weights,
    cache: KvCache,
    step: Step,
    forward: Forward,
}

impl CpuRunner {
    /// Packs the weights and reserves the cache.
    ///
    /// # Errors
    /// [`LoadError`] if an option is out of range, a tensor cannot be used, or weights and cache do not fit into the
    /// memory that is available now; that is checked before either is reserved.
    pub fn load(model: &ModelFile, options: &CpuRunnerOptions) -> Result<Self, LoadError> {
        options.check()?;
        let isa = options.isa.unwrap_or_else(Isa::detect);
        let pool = Pool::new(options.num_threads, isa)?;
        Self::load_on(Arc::new(pool), model, options)
    }

    /// Loads another model that computes on the same threads; the options' own threads and instruction set do not count.
    ///
    /// # Errors
    /// As those of [`CpuRunner::load`].
    pub fn load_beside(&self, model: &ModelFile, options: &CpuRunnerOptions) -> Result<Self, LoadError> {
        options.check()?;
        Self::load_on(Arc::clone(&self.pool), model, options)
    }

    fn load_on(pool: Arc<Pool>, model: &ModelFile, options: &CpuRunnerOptions) -> Result<Self, LoadError> {
        let config = model.config();
        let max_model_len_tokens = options.max_model_len_tokens.unwrap_or(config.max_context_tokens);
        let cache_shape = |num_blocks| CacheShape {
            num_layers: config.num_layers,
            num_blocks,
            num_kv_heads: config.num_kv_heads,
            head_dim: config.head_dim,
        };
        let block_bytes = cache_shape(1).block_bytes();
        let num_blocks = match options.kv_capacity {
            KvCapacity::Blocks(num_blocks) => num_blocks,
            KvCapacity::Bytes(num_bytes) => num_bytes / block_bytes,
        };
        let least_blocks = max_model_len_tokens.div_ceil(BLOCK_SIZE_TOKENS);
        if num_blocks == 0 {
            return Err(LoadError::CacheTooSmall { num_blocks, block_bytes, least_blocks: 1 });
        }
        if options.requires_full_context && num_blocks < least_blocks {
            return Err(LoadError::CacheTooSmall { num_blocks, block_bytes, least_blocks });
        }
        let max_model_len_tokens = max_model_len_tokens.min(num_blocks * BLOCK_SIZE_TOKENS);
        let shape = RunnerShape {
            vocab_size: config.vocab_size,
            max_model_len_tokens,
            block_size_tokens: BLOCK_SIZE_TOKENS,
            num_blocks,
            max_num_batched_tokens: options.max_num_batched_tokens,
        };

        memory::check(&memory::Need {
            weight_bytes: weights::estimated_bytes(model)?,
            cache_bytes: num_blocks.saturating_mul(block_bytes),
            scratch_bytes: forward::scratch_bytes(config, options.max_num_batched_tokens),
        })?;
        let weights = Weights::load(model, &pool, max_model_len_tokens)?;
        let cache = KvCache::new(cache_shape(num_blocks))?;
        let forward = Forward::new(config, options.max_num_batched_tokens);
        Ok(Self { shape, pool, weights, cache, step: Step::default(), forward })
    }

    /// How many bytes a step with one token reads of the weights.
    pub fn num_weight_bytes(&self) -> usize {
        self.weights.num_bytes()
    }

    /// The same if the largest logit is all that is asked for, where that is less.
    pub fn num_greedy_weight_bytes(&self) -> usize {
        self.weights.num_greedy_bytes()
    }

    /// Time spent in each kind of operation since the runner was made.
    pub fn operation_times(&self) -> &OperationTimes {
        self.forward.times()
    }
}

impl ModelRunner for CpuRunner {
    fn shape(&self) -> RunnerShape {
        self.shape
    }

    /// A row with a number that is not finite is NaN throughout, so its first element tells; the other rows of the
    /// step are not touched by it.
    fn forward(&mut self, chunks: &[SequenceChunk<'_>], logits: &mut Vec<f32>) -> Result<(), RunnerError> {
        self.forward_unless(chunks, logits, &Interrupt::default())
    }

    /// It is given up between two layers.
    fn forward_unless(
        &mut self,
        chunks: &[SequenceChunk<'_>],
        logits: &mut Vec<f32>,
        interrupt: &Interrupt,
    ) -> Result<(), RunnerError> {
        let Self { shape, pool, weights, cache, step, forward } = self;
        step.plan(shape, chunks, |step| {
            let pass = Pass { pool, weights, cache, step, interrupt };
            forward.run(pass, logits)
        })
    }

    fn copy_block(&mut self, from: u32, to: u32) -> Result<(), RunnerError> {
        Ok(self.cache.copy_block(from as usize, to as usize)?)
    }

    fn kernel_path(&self) -> &'static str {
        kernel_path(self.pool.isa())
    }
}

/// What fingerprints call an instruction set.
pub(crate) const fn kernel_path(isa: Isa) -> &'static str {
    match isa {
        Isa::Portable => "cpu-portable",
        Isa::Neon => "cpu-neon-dotprod",
        Isa::Avx2 => "cpu-avx2",
        Isa::Avx512Vnni => "cpu-avx512-vnni",
        Isa::AmxInt8 => "cpu-amx-int8",
    }
}
