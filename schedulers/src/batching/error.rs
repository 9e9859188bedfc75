//! What can go wrong inside the batching code itself.

use thiserror::Error;

use crate::batching::sequence::SequenceId;
use crate::batching::state::SequenceState;

/// A broken configuration or a caller that broke the protocol; a full queue is a
/// [`Rejection`](crate::batching::admission::Rejection) instead.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BatchingError {
    /// A configuration value that no scheduler can work with.
    #[error("invalid scheduler configuration: {0}")]
    InvalidConfig(String),
    /// The lifecycle has no such edge.
    #[error("a sequence cannot go from {from} to {to}")]
    IllegalTransition {
        /// State before.
        from: SequenceState,
        /// State asked for.
        to: SequenceState,
    },
    /// No sequence has this id.
    #[error("sequence {0} is unknown")]
    UnknownSequence(SequenceId),
    /// The results of a step do not match its plan.
    #[error("the step planned {planned} sequences and has results for {completed}")]
    ResultsMismatch {
        /// Sequences in the plan.
        planned: usize,
        /// Results handed in.
        completed: usize,
    },
    /// The tokens handed in are not drafts of the step and one more.
    #[error("sequence {id} had {num_drafts} drafts, the {num_sampled} tokens handed in do not follow them")]
    DraftMismatch {
        /// The sequence.
        id: SequenceId,
        /// Tokens handed in.
        num_sampled: usize,
        /// Drafts of the step.
        num_drafts: usize,
    },
    /// A sampled token was handed in for an inner chunk of a prefill, or none for its last.
    #[error("sequence {id} is at token {num_computed_tokens} of {num_tokens}: it {}", if *.was_sampled { "cannot be sampled" } else { "must be sampled" })]
    SampledMismatch {
        /// The sequence.
        id: SequenceId,
        /// Tokens computed after the step.
        num_computed_tokens: usize,
        /// Tokens it has.
        num_tokens: usize,
        /// Whether a token was handed in.
        was_sampled: bool,
    },
}

impl BatchingError {
    /// A stable name for logs and metrics.
    pub fn code(&self) -> &'static str {
        match self {
            BatchingError::InvalidConfig(_) => "invalid_scheduler_config",
            BatchingError::IllegalTransition { .. } => "illegal_transition",
            BatchingError::UnknownSequence(_) => "unknown_sequence",
            BatchingError::ResultsMismatch { .. } => "results_mismatch",
            BatchingError::DraftMismatch { .. } => "draft_mismatch",
            BatchingError::SampledMismatch { .. } => "sampled_mismatch",
        }
    }

    /// Never: each of these is a defect or a configuration to correct.
    pub fn is_retryable(&self) -> bool {
        false
    }
}
