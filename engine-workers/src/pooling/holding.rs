//! What this worker holds: taking an attempt up, beginning it, and letting go of one that was given to another worker.

use bus::InferenceAddress;
use schemas::InferenceId;
use schemas::v1::HeldAttempt;
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;

use super::worker::PoolingWorker;
use crate::worker::assignment::Assignment;
use crate::worker::locked;

/// An attempt under way.
#[derive(Clone)]
pub(super) struct Computing {
    pub(super) address: InferenceAddress,
    pub(super) cancelled: CancellationToken,
    /// Another worker has it now, or will: nothing is said of it any more.
    pub(super) given_up: CancellationToken,
    pub(super) held: HeldAttempt,
}

impl PoolingWorker {
    pub(super) fn is_held(&self, assignment: &Assignment) -> bool {
        let all = locked(&self.computing);
        all.get(&assignment.address.inference).is_some_and(|held| held.held.attempt == assignment.attempt)
    }

    /// Holds an attempt; `None` when it is held already. An earlier one that is still held was given up.
    pub(super) fn hold(&self, assignment: &Assignment) -> Option<Computing> {
        let inference = assignment.address.inference;
        let computing = Computing {
            address: assignment.address.clone(),
            cancelled: CancellationToken::new(),
            given_up: CancellationToken::new(),
            held: HeldAttempt {
                inference_id: inference.to_string(),
                attempt: assignment.attempt,
                assigned_sequence: assignment.sequence,
                is_waiting: true,
                ..HeldAttempt::default()
            },
        };
        {
            let mut all = locked(&self.computing);
            if all.get(&inference).is_some_and(|held| held.held.attempt == assignment.attempt) {
                return None;
            }
            if let Some(earlier) = all.insert(inference, computing.clone()) {
                earlier.given_up.cancel();
            }
        }
        self.pulse.note_change();
        if locked(&self.cancellations).contains(inference) {
            computing.cancelled.cancel();
        }
        Some(computing)
    }

    /// Waits until the attempt may begin beside the others, and says that it begins.
    pub(super) async fn begin(&self, assignment: &Assignment) -> Option<OwnedSemaphorePermit> {
        let beginning = self.beginnings.turn(&assignment.history).await?;
        let begun = {
            let mut all = locked(&self.computing);
            let computing = all.get_mut(&assignment.address.inference)?;
            if computing.held.attempt != assignment.attempt {
                return None;
            }
            computing.held.is_waiting = false;
            computing.held.is_unproven = true;
            computing.held.clone()
        };
        self.pulse.say_begun(|| vec![begun.clone()]).await;
        Some(beginning)
    }

    pub(super) fn forget(&self, computing: &Computing) {
        {
            let mut all = locked(&self.computing);
            let inference = computing.address.inference;
            if all.get(&inference).is_some_and(|held| held.held.attempt == computing.held.attempt) {
                all.remove(&inference);
            }
        }
        self.pulse.note_change();
    }

    pub(super) async fn may_speak(&self) {
        let held = || {
            let all = locked(&self.computing);
            all.values().map(|held| (held.address.clone(), held.held.attempt)).collect()
        };
        self.pulse.may_speak(held, |inference, attempt| self.let_go(inference, attempt)).await;
    }

    pub(super) async fn let_go(&self, inference: InferenceId, attempt: u32) {
        let computing = locked(&self.computing);
        if let Some(computing) = computing.get(&inference).filter(|held| held.held.attempt == attempt) {
            computing.given_up.cancel();
        }
    }

    pub(super) fn held_attempts(&self) -> Vec<HeldAttempt> {
        locked(&self.computing).values().map(|computing| computing.held.clone()).collect()
    }
}
