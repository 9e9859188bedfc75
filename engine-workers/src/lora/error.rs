//! Why an adapter cannot be used.

use kernels::KernelError;
use thiserror::Error;

use crate::model_file::error::ModelFileError;

/// Why an adapter cannot be used with a base model.
#[derive(Debug, Error)]
pub enum LoraError {
    /// A file of it is missing, unreadable or corrupt.
    #[error(transparent)]
    File(#[from] ModelFileError),
    /// The configuration asks for what is not supported, or makes no sense.
    #[error("adapter_config.json: `{key}` is {value}, {expected}")]
    Config {
        /// The key.
        key: &'static str,
        /// What it holds.
        value: String,
        /// What it should hold.
        expected: String,
    },
    /// A tensor that is no half of a correction to a matrix of the base model.
    #[error("tensor `{tensor}` {reason}")]
    Tensor {
        /// The tensor.
        tensor: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A tensor does not fit the base model or the rank.
    #[error("tensor `{tensor}` has shape {found:?}, the base model and the rank ask for {expected:?}")]
    WrongShape {
        /// The tensor.
        tensor: String,
        /// Its shape.
        found: Vec<usize>,
        /// The shape that fits.
        expected: Vec<usize>,
    },
    /// There is nothing in it.
    #[error("adapter_model.safetensors holds no tensors")]
    Empty,
    /// A kernel refused the weights.
    #[error(transparent)]
    Kernel(#[from] KernelError),
}

impl LoraError {
    /// A stable name for logs and for the client.
    pub fn code(&self) -> &'static str {
        match self {
            Self::File(error) => error.code(),
            Self::Config { .. } => "lora_config",
            Self::Tensor { .. } => "lora_tensor",
            Self::WrongShape { .. } => "lora_wrong_shape",
            Self::Empty => "lora_empty",
            Self::Kernel(error) => error.code(),
        }
    }

    /// Whether the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::File(error) => error.is_retryable(),
            Self::Kernel(error) => error.is_retryable(),
            _ => false,
        }
    }
}
