//! Why a model file cannot be used.

use std::path::PathBuf;

use thiserror::Error;

/// Why a model cannot be read. None of these is cured by trying again, except [`ModelFileError::Io`].
#[derive(Debug, Error)]
pub enum ModelFileError {
    /// The file cannot be opened, mapped or read.
    #[error("cannot read {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The path is neither a GGUF file nor a directory with a `config.json`.
    #[error("{path} is no model: expected a .gguf file or a directory with config.json and *.safetensors")]
    NotAModel {
        /// The path given.
        path: PathBuf,
    },
    /// The bytes break the format.
    #[error("{path}: corrupt or truncated at byte {offset}: {reason}")]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// Where reading stopped.
        offset: u64,
        /// What was expected there.
        reason: String,
    },
    /// A required metadata key or configuration field is missing.
    #[error("{path}: `{key}` is missing")]
    MissingKey {
        /// The file.
        path: PathBuf,
        /// The key.
        key: String,
    },
    /// A metadata key or configuration field has a value that cannot be used.
    #[error("{path}: `{key}` is {value}, expected {expected}")]
    InvalidKey {
        /// The file.
        path: PathBuf,
        /// The key.
        key: String,
        /// What it holds.
        value: String,
        /// What it should hold.
        expected: String,
    },
    /// No code here runs this architecture.
    #[error("{path}: architecture `{found}` is not supported; supported are: {supported}")]
    UnsupportedArchitecture {
        /// The file.
        path: PathBuf,
        /// What the file declares.
        found: String,
        /// The names that are accepted.
        supported: String,
    },
    /// A tensor is stored in a type that no kernel reads.
    #[error("{path}: tensor `{tensor}` has type {found}, which is not supported; supported are: {supported}")]
    UnsupportedTensorType {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// Its type.
        found: String,
        /// The types that are accepted.
        supported: String,
    },
    /// The architecture needs a tensor that the file does not hold.
    #[error("{path}: tensor `{tensor}` is missing")]
    MissingTensor {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
    },
    /// A tensor does not have the shape that the configuration asks for.
    #[error("{path}: tensor `{tensor}` has shape {found:?}, expected {expected:?}")]
    WrongShape {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// Its shape, outermost dimension first.
        found: Vec<usize>,
        /// The shape that the configuration asks for.
        expected: Vec<usize>,
    },
}

impl ModelFileError {
    /// A stable name for logs and metrics.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Io { .. } => "model_file_io",
            Self::NotAModel { .. } => "model_file_not_a_model",
            Self::Corrupt { .. } => "model_file_corrupt",
            Self::MissingKey { .. } => "model_file_missing_key",
            Self::InvalidKey { .. } => "model_file_invalid_key",
            Self::UnsupportedArchitecture { .. } => "model_file_unsupported_architecture",
            Self::UnsupportedTensorType { .. } => "model_file_unsupported_tensor_type",
            Self::MissingTensor { .. } => "model_file_missing_tensor",
            Self::WrongShape { .. } => "model_file_wrong_shape",
        }
    }

    /// Whether the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Io { .. })
    }
}
