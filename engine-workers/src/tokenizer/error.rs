//! Why a tokenizer cannot be built or used.

use thiserror::Error;

/// Why a tokenizer cannot be built or used. Trying again does not help.
#[derive(Debug, Error)]
pub enum TokenizerError {
    /// The vocabulary names a rule for splitting words that is not known. Guessing one would give wrong tokens.
    #[error("pre-tokenizer `{name}` is not supported; supported are: {supported}")]
    UnknownPreTokenizer {
        /// The name in the file.
        name: String,
        /// The names that are accepted.
        supported: String,
    },
    /// The vocabulary or `tokenizer.json` contradicts itself.
    #[error("the tokenizer is invalid: {reason}")]
    Invalid {
        /// What is wrong.
        reason: String,
    },
    /// A text could not be encoded.
    #[error("cannot encode a text of {num_bytes} bytes: {reason}")]
    Encode {
        /// Length of the text.
        num_bytes: usize,
        /// What the tokenizer said.
        reason: String,
    },
}

impl TokenizerError {
    /// A stable name for logs and metrics.
    pub fn code(&self) -> &'static str {
        match self {
            Self::UnknownPreTokenizer { .. } => "tokenizer_unknown_pre_tokenizer",
            Self::Invalid { .. } => "tokenizer_invalid",
            Self::Encode { .. } => "tokenizer_encode",
        }
    }

    /// Whether the same call may succeed later: never.
    pub fn is_retryable(&self) -> bool {
        false
    }
}
