//! What this worker holds: taking an attempt up, and letting go of one that was given to another worker.

use std::pin::pin;
use std::sync::Arc;

use bus::{BusError, Delivery, InferenceAddress};
use schemas::InferenceId;
use schemas::v1::HeldAttempt;
use tokio::sync::OwnedSemaphorePermit;
use tracing::{info, warn};

use super::active::{Active, Progress};
use super::assignment::Assignment;
use super::{Worker, fencing, locked};

/// What an attempt means for what is held.
enum Taken {
    /// It is held from now on.
    Yes,
    /// It was held already; the newer delivery is the one to acknowledge.
    Again,
    /// A later attempt is held.
    Outdated,
    /// An earlier attempt is still held.
    After(InferenceAddress, u32),
}

impl Worker {
    /// Holds an attempt; false when there is nothing to begin.
    pub(super) async fn hold(
        &self,
        assignment: &Assignment,
        delivery: &Arc<Delivery>,
        slot: OwnedSemaphorePermit,
    ) -> Result<bool, BusError> {
        let mut slot = Some(slot);
        loop {
            let mut left = pin!(self.left.notified());
            left.as_mut().enable();
            match self.try_hold(assignment, delivery, &mut slot) {
                Taken::Yes => {
                    self.pulse.note_change();
                    return Ok(true);
                }
                Taken::Again => return Ok(false),
                Taken::Outdated => return delivery.ack().await.map(|()| false),
                Taken::After(address, attempt) => {
                    self.let_go(address.inference, attempt).await;
                    // It leaves with the engine's next step.
                    left.await;
                }
            }
        }
    }

    fn try_hold(
        &self,
        assignment: &Assignment,
        delivery: &Arc<Delivery>,
        slot: &mut Option<OwnedSemaphorePermit>,
    ) -> Taken {
        let mut inferences = locked(&self.active);
        if let Some(held) = inferences.get_mut(&assignment.address.inference) {
            return match held.attempt.cmp(&assignment.attempt) {
                std::cmp::Ordering::Less => Taken::After(held.address.clone(), held.attempt),
                std::cmp::Ordering::Equal => {
                    held.delivery = Arc::clone(delivery);
                    Taken::Again
                }
                std::cmp::Ordering::Greater => Taken::Outdated,
            };
        }
        if let Some(slot) = slot.take() {
            let active = Active::new(assignment, Arc::clone(delivery), slot);
            inferences.insert(assignment.address.inference, active);
        }
        Taken::Yes
    }

    /// Waits until the attempt may begin beside those of its class that have not brought a token yet, and says that it
    /// begins; false when it was given up meanwhile.
    pub(super) async fn wait_for_turn(&self, assignment: &Assignment) -> bool {
        let beginnings = if assignment.is_batch() { &self.batch_beginnings } else { &self.beginnings };
        let Some(beginning) = beginnings.turn(&assignment.history).await else { return false };
        let begun = {
            let mut inferences = locked(&self.active);
            let held = inferences.get_mut(&assignment.address.inference);
            let held = held.filter(|held| held.attempt == assignment.attempt && !held.is_given_up);
            let Some(held) = held else { return false };
            held.progress = Progress::Begun { _permit: beginning };
            held.held()
        };
        // Whom a suspect began beside had its first token, which nobody may have heard of yet.
        let is_suspect = assignment.history.max_num_unproven > 0;
        self.pulse.say_begun(|| if is_suspect { self.held_attempts() } else { vec![begun.clone()] }).await;
        true
    }

    /// Holds an attempt no longer.
    pub(super) fn forget(&self, inference: InferenceId, attempt: u32) {
        let removed = {
            let mut inferences = locked(&self.active);
            let is_held = inferences.get(&inference).is_some_and(|held| held.attempt == attempt);
            if is_held { inferences.remove(&inference) } else { None }
        };
        if removed.is_some() {
            drop(removed);
            self.left.notify_waiters();
            self.pulse.note_change();
        }
    }

    /// Says nothing more of an attempt that was given up, and stops computing it.
    pub(super) async fn let_go(&self, inference: InferenceId, attempt: u32) {
        let delivery = {
            let mut inferences = locked(&self.active);
            let held = inferences.get_mut(&inference);
            let Some(held) = held.filter(|held| held.attempt == attempt && !held.is_given_up) else { return };
            held.is_given_up = true;
            Arc::clone(&held.delivery)
        };
        info!(%inference, attempt, "letting go of an attempt that was given up");
        self.abort(inference);
        if let Err(error) = delivery.ack().await {
            warn!(%inference, %error, "an attempt that was given up comes once more");
        }
    }

    /// What heartbeats tell.
    pub(super) fn held_attempts(&self) -> Vec<HeldAttempt> {
        locked(&self.active).values().filter(|held| !held.is_given_up).map(Active::held).collect()
    }

    /// Returns once this worker may speak.
    pub(super) async fn may_speak(&self) {
        let held = || {
            let inferences = locked(&self.active);
            inferences.values().map(|held| (held.address.clone(), held.attempt)).collect()
        };
        self.pulse.may_speak(held, |inference, attempt| self.let_go(inference, attempt)).await;
    }

    /// Lets go of what is given up.
    pub(super) async fn hear_losses(self: Arc<Self>) {
        fencing::follow_losses(&self.facts, |inference, attempt| self.let_go(inference, attempt)).await;
    }
}
