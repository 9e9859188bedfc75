//! The seam between the engine and a device that computes logits.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use kernels::KernelError;
use thiserror::Error;

use crate::lora::adapter::LoraAdapter;

/// Which rows of a sequence's chunk need logits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogitRows {
    /// None: an inner chunk of a prefill.
    None,
    /// The last row only: the next token is sampled from it.
    Last,
    /// The last row only, of which the largest logit is asked for and all that equal it; others may be −∞.
    LargestOfLast,
    /// Every row: prompt log-probabilities or the verification of drafts.
    All,
}

/// The part of one sequence that a step computes.
#[derive(Debug, Clone, Copy)]
pub struct SequenceChunk<'a> {
    /// The tokens to compute, at positions `first_position..first_position + tokens.len()`; never empty.
    pub tokens: &'a [u32],
    /// Position of the first token; the keys and values of all earlier positions are in the cache.
    pub first_position: usize,
    /// KV block of each run of `block_size` positions, long enough for the last token of the chunk.
    pub block_table: &'a [u32],
    /// Which rows need logits.
    pub logit_rows: LogitRows,
    /// What corrects the model's matrices for this sequence.
    pub adapter: Option<&'a LoraAdapter>,
}

/// What a runner can hold; constant over its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunnerShape {
    /// Length of one row of logits.
    pub vocab_size: usize,
    /// Longest sequence, prompt and answer together.
    pub max_model_len_tokens: usize,
    /// Positions per KV block.
    pub block_size_tokens: usize,
    /// KV blocks of the cache; ids are `0..num_blocks`.
    pub num_blocks: usize,
    /// Most tokens one step may carry.
    pub max_num_batched_tokens: usize,
}

/// Why a forward pass failed as a whole.
#[derive(Debug, Error)]
pub enum RunnerError {
    /// The batch breaks the contract of [`ModelRunner::forward`].
    #[error("invalid batch: {0}")]
    InvalidBatch(String),
    /// The device failed.
    #[error("device failure: {0}")]
    Device(String),
    /// It was given up for something more urgent: nothing of it counts.
    #[error("interrupted")]
    Interrupted,
}

impl From<KernelError> for RunnerError {
    fn from(error: KernelError) -> Self {
        Self::Device(error.to_string())
    }
}

/// Asks a forward pass to end early; clones ask the same.
#[derive(Debug, Clone, Default)]
pub struct Interrupt {
    is_raised: Arc<AtomicBool>,
}

impl Interrupt {
    /// Something more urgent is there. What was sent to the engine before is seen by whoever lowers it.
    pub fn raise(&self) {
        self.is_raised.store(true, Ordering::Release);
    }

    /// Nothing more urgent is there than what will be read from now on.
    pub fn lower(&self) {
        self.is_raised.swap(false, Ordering::AcqRel);
    }

    /// Whether the pass should end.
    pub fn is_raised(&self) -> bool {
        self.is_raised.load(Ordering::Relaxed)
    }
}

/// Computes one step for a batch of sequences.
///
/// A row's logits are a pure function of its sequence's tokens and adapter: bit-identical whatever else is in the batch, however
/// the sequence was cut into chunks, and whichever blocks hold its cache.
pub trait ModelRunner: Send {
    /// The runner's limits.
    fn shape(&self) -> RunnerShape;

    /// Writes keys and values of every chunk into the cache and replaces `logits` by the rows asked for,
    /// `[num_logit_rows, vocab_size]` row-major f32, in the order of the chunks and of their rows.
    fn forward(&mut self, chunks: &[SequenceChunk<'_>], logits: &mut Vec<f32>) -> Result<(), RunnerError>;

    /// The same, given up as [`RunnerError::Interrupted`] if `interrupt` is raised early enough in it. Keys and values at the
    /// chunks' positions are anything then. A runner that cannot give up ends every step.
    fn forward_unless(
        &mut self,
        chunks: &[SequenceChunk<'_>],
        logits: &mut Vec<f32>,
        _interrupt: &Interrupt,
    ) -> Result<(), RunnerError> {
        self.forward(chunks, logits)
    }

    /// Copies the keys and values of a whole block, in all layers, before the next step.
    fn copy_block(&mut self, from: u32, to: u32) -> Result<(), RunnerError>;

    /// A short name of the path that computes, for the engine's fingerprint: `cpu-avx512-vnni`.
    fn kernel_path(&self) -> &'static str;
}
