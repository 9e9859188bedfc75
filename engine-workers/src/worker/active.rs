//! The inferences that this worker holds, and what is needed to end each.

use std::collections::HashMap;
use std::sync::Arc;

use bus::{Delivery, InferenceAddress};
use schemas::v1::{AttemptHistory, HeldAttempt, Price, RequestSummary};
use schemas::{FactHash, InferenceId};
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinHandle;

use super::abandonment::ClientTerms;
use super::answer::Answer;
use super::assignment::Assignment;

/// Every inference between its take-up and its end.
pub(super) type ActiveInferences = HashMap<InferenceId, Active>;

/// One attempt at an inference, from the moment it is taken up until its end is durable.
pub(super) struct Active {
    pub(super) address: InferenceAddress,
    pub(super) attempt: u32,
    /// Stream sequence of the assigned fact.
    pub(super) sequence: u64,
    pub(super) is_batch: bool,
    /// For whom it is computed.
    pub(super) client: ClientTerms,
    pub(super) delivery: Arc<Delivery>,
    /// Given back when the attempt is over.
    pub(super) _slot: OwnedSemaphorePermit,
    pub(super) progress: Progress,
    /// Another worker has it now, or will: nothing is said of it any more.
    pub(super) is_given_up: bool,
    /// Absent before the engine has it, and after.
    pub(super) computation: Option<Computation>,
}

/// How far an attempt has come.
pub(super) enum Progress {
    /// It was not begun.
    Waiting,
    /// It was begun.
    Begun {
        /// Given back at its first token.
        _permit: OwnedSemaphorePermit,
    },
    /// It has brought a token, or has come to its end.
    Proven,
}

/// What the engine computes of an attempt.
pub(super) struct Computation {
    /// The fact that this attempt answers.
    pub(super) assigned: FactHash,
    /// Ends when the started fact is durable, and says which fact the end follows.
    pub(super) started: JoinHandle<FactHash>,
    pub(super) summary: RequestSummary,
    pub(super) history: AttemptHistory,
    /// What the inference's tokens cost.
    pub(super) price: Option<Price>,
    /// Whether the client asked for the prompt's text.
    pub(super) echo: bool,
    /// What computes it, its adapter included.
    pub(super) engine_fingerprint: String,
    pub(super) answer: Answer,
}

impl Active {
    /// An attempt that was not begun.
    pub(super) fn new(assignment: &Assignment, delivery: Arc<Delivery>, slot: OwnedSemaphorePermit) -> Self {
        Self {
            address: assignment.address.clone(),
            attempt: assignment.attempt,
            sequence: assignment.sequence,
            is_batch: assignment.is_batch(),
            client: ClientTerms::of(&assignment.requested),
            delivery,
            _slot: slot,
            progress: Progress::Waiting,
            is_given_up: false,
            computation: None,
        }
    }

    /// As heartbeats tell it.
    pub(super) fn held(&self) -> HeldAttempt {
        HeldAttempt {
            inference_id: self.address.inference.to_string(),
            attempt: self.attempt,
            assigned_sequence: self.sequence,
            is_unproven: matches!(self.progress, Progress::Begun { .. }),
            is_batch: self.is_batch,
            is_waiting: matches!(self.progress, Progress::Waiting),
        }
    }
}
