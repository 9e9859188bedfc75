//! Why a model cannot be loaded.

use kernels::KernelError;
use thiserror::Error;

use crate::model_file::error::ModelFileError;

/// Why a model cannot be loaded. Only a lack of memory may be cured by trying again.
#[derive(Debug, Error)]
pub enum LoadError {
    /// An option is out of range.
    #[error("{option} is {value}, it must be {min} to {max}")]
    InvalidOption {
        /// The option.
        option: &'static str,
        /// Its value.
        value: usize,
        /// The smallest value allowed.
        min: usize,
        /// The largest value allowed.
        max: usize,
    },
    /// The cache cannot hold what it must.
    #[error(
        "the KV cache has {num_blocks} blocks of {block_bytes} bytes, {least_blocks} are needed: \
         give it at least {} MiB",
        (least_blocks * block_bytes).div_ceil(1 << 20)
    )]
    CacheTooSmall {
        /// Blocks that the option amounts to.
        num_blocks: usize,
        /// Bytes of a block.
        block_bytes: usize,
        /// Blocks that are needed.
        least_blocks: usize,
    },
    /// Weights, cache and scratch do not fit into the memory that is available.
    #[error(
        "needs {needed_mib} MiB (weights {weight_mib}, KV cache {cache_mib}, scratch {scratch_mib}), \
         {available_mib} MiB are available: make the KV cache smaller or take a smaller model"
    )]
    NotEnoughMemory {
        /// All of it.
        needed_mib: usize,
        /// Packed weights.
        weight_mib: usize,
        /// Keys and values.
        cache_mib: usize,
        /// Buffers of a step.
        scratch_mib: usize,
        /// What the system can give without swapping.
        available_mib: usize,
    },
    /// A tensor is of a type that its role cannot have.
    #[error("{tensor} has {num_elements} elements of type {found}, expected {expected}")]
    UnusableTensor {
        /// The tensor's role.
        tensor: String,
        /// How it is stored.
        found: String,
        /// How many elements it has.
        num_elements: usize,
        /// What the role asks for.
        expected: String,
    },
    /// A weight is NaN or infinite.
    #[error(
        "tensor `{tensor}` has a NaN or an infinity in row {row}: the file is damaged or was converted badly"
    )]
    NonFiniteWeight {
        /// The tensor's name in the file.
        tensor: String,
        /// The first row that has one, from 0.
        row: usize,
    },
    /// The file does not hold what its configuration promises.
    #[error(transparent)]
    ModelFile(#[from] ModelFileError),
    /// A kernel refused the weights.
    #[error(transparent)]
    Kernel(#[from] KernelError),
}

impl LoadError {
    /// A stable name for the log.
    pub fn code(&self) -> &'static str {
        match self {
            Self::InvalidOption { .. } => "invalid_option",
            Self::CacheTooSmall { .. } => "cache_too_small",
            Self::NotEnoughMemory { .. } => "not_enough_memory",
            Self::UnusableTensor { .. } => "unusable_tensor",
            Self::NonFiniteWeight { .. } => "non_finite_weight",
            Self::ModelFile(_) => "model_file",
            Self::Kernel(_) => "kernel",
        }
    }

    /// Whether the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::NotEnoughMemory { .. } | Self::Kernel(KernelError::OutOfMemory { .. }))
    }
}
