//! Whether a new sequence may queue.

use thiserror::Error;

use crate::batching::sequence::SequenceId;

/// Why a sequence was not queued: an expected outcome that the client hears of.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Rejection {
    /// The queue holds as many sequences as it may.
    #[error("the queue holds {num_queued} of at most {max_num_queued_requests} sequences")]
    TooManyQueuedRequests {
        /// Sequences queued now.
        num_queued: usize,
        /// The bound.
        max_num_queued_requests: usize,
    },
    /// The queue holds as many tokens as it may.
    #[error(
        "the queue holds {num_queued_tokens} of at most {max_num_queued_tokens} tokens, {num_tokens} more do not fit"
    )]
    TooManyQueuedTokens {
        /// Tokens queued now.
        num_queued_tokens: usize,
        /// Tokens that would be added.
        num_tokens: usize,
        /// The bound.
        max_num_queued_tokens: usize,
    },
    /// There is nothing to compute.
    #[error("the prompt is empty")]
    EmptyPrompt,
    /// Prompt and one answer token exceed the model's length.
    #[error(
        "the prompt has {num_tokens} tokens, the model takes at most {max_prompt_tokens} and one answer token"
    )]
    PromptTooLong {
        /// Tokens of the prompt, and of the answer so far.
        num_tokens: usize,
        /// Longest prompt that leaves room for one answer token.
        max_prompt_tokens: usize,
    },
    /// The prompt needs more blocks than the cache has in all.
    #[error("the prompt needs {num_needed_blocks} blocks, the cache has {num_blocks}")]
    NeverFits {
        /// Blocks needed for prompt and first answer token.
        num_needed_blocks: usize,
        /// Blocks of the cache.
        num_blocks: usize,
    },
    /// A sequence of this id is queued or runs.
    #[error("sequence {0} is already known")]
    DuplicateSequence(SequenceId),
}

impl Rejection {
    /// A stable name for logs, metrics and the api's table of statuses.
    pub fn code(&self) -> &'static str {
        match self {
            Rejection::TooManyQueuedRequests { .. } | Rejection::TooManyQueuedTokens { .. } => "queue_full",
            Rejection::EmptyPrompt => "empty_prompt",
            Rejection::PromptTooLong { .. } | Rejection::NeverFits { .. } => "context_length_exceeded",
            Rejection::DuplicateSequence(_) => "duplicate_sequence",
        }
    }

    /// Whether the same request can succeed later.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Rejection::TooManyQueuedRequests { .. } | Rejection::TooManyQueuedTokens { .. })
    }
}
