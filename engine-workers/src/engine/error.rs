//! What the engine cannot do.

use schedulers::batching::admission::Rejection;
use schedulers::batching::error::BatchingError;
use schemas::{InferenceId, InvalidParameter};
use thiserror::Error;

use crate::speculation::config::InvalidSpeculativeConfig;

/// Why the engine did not start, or stopped.
#[derive(Debug, Error)]
pub enum EngineError {
    /// The configuration cannot work with the runner, or the scheduler was misused.
    #[error(transparent)]
    Batching(#[from] BatchingError),
    /// A knob of speculative decoding is out of range.
    #[error(transparent)]
    Speculative(#[from] InvalidSpeculativeConfig),
    /// Drafts were to come from a model, and none was loaded.
    #[error("speculative method is draft, and no draft model is loaded")]
    NoDraftModel,
    /// The operating system gave no thread.
    #[error("the engine's thread could not be started: {0}")]
    Thread(#[source] std::io::Error),
    /// The runner returned fewer or more logits than it was asked for.
    #[error("the runner returned {found} logits, the step needs {expected}")]
    WrongLogits {
        /// Logits found.
        found: usize,
        /// Logits asked for.
        expected: usize,
    },
    /// Sequences wait and nothing runs.
    #[error("a step was planned without a sequence while {num_waiting} wait")]
    Stalled {
        /// Sequences queued.
        num_waiting: usize,
    },
    /// The runner that is to go on computes in another way than the one before.
    #[error("the runner is {found}, the one before was {expected}")]
    AnotherRunner {
        /// What it is.
        found: String,
        /// What it should be.
        expected: String,
    },
    /// The engine's thread has ended.
    #[error("the engine has stopped")]
    Stopped,
    /// Nobody reads the output any more.
    #[error("the receiver of the engine's output is gone")]
    ReceiverGone,
}

impl EngineError {
    /// A stable name for logs and metrics.
    pub fn code(&self) -> &'static str {
        match self {
            EngineError::Batching(error) => error.code(),
            EngineError::Speculative(_) => "invalid_speculative_config",
            EngineError::NoDraftModel => "no_draft_model",
            EngineError::Thread(_) => "thread_not_started",
            EngineError::WrongLogits { .. } => "wrong_logits",
            EngineError::Stalled { .. } => "engine_stalled",
            EngineError::AnotherRunner { .. } => "another_runner",
            EngineError::Stopped => "engine_stopped",
            EngineError::ReceiverGone => "receiver_gone",
        }
    }

    /// Whether the same call can succeed later.
    pub fn is_retryable(&self) -> bool {
        matches!(self, EngineError::Thread(_))
    }
}

/// Why a request was not taken.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SubmitError {
    /// The request cannot be served as it is.
    #[error(transparent)]
    Invalid(#[from] InvalidParameter),
    /// The scheduler has no place for it.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// An inference of this id is queued or runs.
    #[error("inference {0} is already running")]
    DuplicateInference(InferenceId),
    /// Too much output waits to be read.
    #[error(
        "the engine holds {num_held} of at most {max_num_held} sequences, those with unread output included"
    )]
    OutputBacklog {
        /// Sequences that run, are queued, or whose end was not read.
        num_held: usize,
        /// The bound.
        max_num_held: usize,
    },
    /// The weights are released.
    #[error("the engine is asleep")]
    Asleep,
    /// The engine finishes what it has.
    #[error("the engine drains and takes no more requests")]
    Draining,
    /// The engine's thread has ended.
    #[error("the engine has stopped")]
    Stopped,
}

impl SubmitError {
    /// A stable name for logs and for the client.
    pub fn code(&self) -> &'static str {
        match self {
            SubmitError::Invalid(_) => "invalid_parameter",
            SubmitError::Rejected(rejection) => rejection.code(),
            SubmitError::DuplicateInference(_) => "duplicate_inference",
            SubmitError::OutputBacklog { .. } => "output_backlog",
            SubmitError::Asleep => "engine_asleep",
            SubmitError::Draining => "engine_draining",
            SubmitError::Stopped => "engine_stopped",
        }
    }

    /// Whether the same request can succeed later, here or on another worker.
    pub fn is_retryable(&self) -> bool {
        match self {
            SubmitError::Invalid(_) | SubmitError::DuplicateInference(_) => false,
            SubmitError::Rejected(rejection) => rejection.is_retryable(),
            SubmitError::OutputBacklog { .. }
            | SubmitError::Asleep
            | SubmitError::Draining
            | SubmitError::Stopped => true,
        }
    }
}
