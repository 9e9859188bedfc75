//! An adapter in the form that the kernels read.

use std::fmt;
use std::path::Path;

use kernels::LowRank;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::error::LoraError;
use super::peft;
use crate::model_file::config::ModelConfig;
use crate::model_file::tensor::{FfnMatrix, LayerTensor};

/// A matrix of a layer that an adapter can correct.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LoraTarget {
    Query,
    Key,
    Value,
    AttentionOutput,
    Gate,
    Up,
    Down,
}

impl LoraTarget {
    pub(super) const ALL: [Self; 7] =
        [Self::Query, Self::Key, Self::Value, Self::AttentionOutput, Self::Gate, Self::Up, Self::Down];

    /// Its name in the checkpoints that PEFT trains, without its layer.
    pub(super) const fn module(self) -> &'static str {
        match self {
            Self::Query => "self_attn.q_proj",
            Self::Key => "self_attn.k_proj",
            Self::Value => "self_attn.v_proj",
            Self::AttentionOutput => "self_attn.o_proj",
            Self::Gate => "mlp.gate_proj",
            Self::Up => "mlp.up_proj",
            Self::Down => "mlp.down_proj",
        }
    }

    /// The matrix of the base model.
    pub(super) const fn tensor(self) -> LayerTensor {
        match self {
            Self::Query => LayerTensor::Query,
            Self::Key => LayerTensor::Key,
            Self::Value => LayerTensor::Value,
            Self::AttentionOutput => LayerTensor::AttentionOutput,
            Self::Gate => LayerTensor::Ffn(FfnMatrix::Gate),
            Self::Up => LayerTensor::Ffn(FfnMatrix::Up),
            Self::Down => LayerTensor::Ffn(FfnMatrix::Down),
        }
    }
}

/// The corrections of one layer.
pub(super) type LoraLayer = [Option<LowRank>; LoraTarget::ALL.len()];

/// A LoRA adapter that fits one base model. It stays in memory for as long as a sequence uses it.
pub struct LoraAdapter {
    pub(super) digest: String,
    pub(super) rank: usize,
    pub(super) layers: Vec<LoraLayer>,
    /// Cancels its token when the adapter is dropped.
    pub(super) freed: DropGuard,
}

impl LoraAdapter {
    /// Reads an adapter in PEFT's format: a directory with `adapter_config.json` and `adapter_model.safetensors`. Blocks
    /// while it reads; every number is looked at.
    ///
    /// # Errors
    /// [`LoraError`] names the key or the tensor that does not fit `base`, that is larger than `max_rank`, that is not
    /// finite, or that asks for something that is not supported.
    pub fn load(directory: &Path, base: &ModelConfig, max_rank: usize) -> Result<Self, LoraError> {
        peft::load(directory, base, max_rank)
    }

    /// BLAKE3 over its files, as of a model's directory.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// The first digits of the digest, for fingerprints.
    pub fn short_digest(&self) -> &str {
        self.digest.get(..12).unwrap_or(&self.digest)
    }

    /// Cancelled when nobody uses the adapter any more and its memory is free.
    pub fn freed(&self) -> CancellationToken {
        self.freed.token().clone()
    }

    /// Its rank.
    pub fn rank(&self) -> usize {
        self.rank
    }

    /// Memory that its weights take.
    pub fn num_bytes(&self) -> usize {
        self.layers.iter().flatten().flatten().map(LowRank::num_bytes).sum()
    }

    /// The correction of a matrix, if it has one.
    pub(crate) fn update(&self, layer: usize, target: LoraTarget) -> Option<&LowRank> {
        self.layers.get(layer)?[target as usize].as_ref()
    }
}

impl fmt::Debug for LoraAdapter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoraAdapter")
            .field("digest", &self.digest)
            .field("rank", &self.rank)
            .finish_non_exhaustive()
    }
}

/// Adapters of one digest have the same weights.
impl PartialEq for LoraAdapter {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}
