//! What this worker holds: taking an attempt up, and letting go of one that was given to another worker.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bus::{BusError, Delivery, InferenceAddress, ReadFrom, StreamName, subjects};
use futures_util::StreamExt as _;
use futures_util::future::join_all;
use schemas::v1::envelope::Fact;
use schemas::v1::{AttemptHistory, HeldAttempt};
use schemas::{FactKind, InferenceId};
use tokio::sync::OwnedSemaphorePermit;
use tracing::{info, warn};

use super::active::Active;
use super::assignment::Assignment;
use super::{NUM_BATCH_SLOTS_PER_SLOT, PAUSE_AFTER_FAILURE, Worker, locked, record};

/// A worker that is not heard for longer goes on, and finds out at its next append.
const MAX_UNHEARD: Duration = Duration::from_secs(15);

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

    /// Waits until the attempt may begin beside those of its class that have not brought a token yet; false when it was given up
    /// meanwhile. After losses that several attempts may be to blame for, fewer of them begin side by side, so that the one
    /// that brings workers down is found without blame for the others.
    pub(super) async fn wait_for_turn(&self, assignment: &Assignment) -> bool {
        let (beginnings, num_slots) = if assignment.is_batch() {
            (&self.batch_beginnings, self.options.num_slots * NUM_BATCH_SLOTS_PER_SLOT)
        } else {
            (&self.beginnings, self.options.num_slots)
        };
        let num_permits = num_permits_to_begin(&assignment.history, num_slots);
        let Ok(beginning) = Arc::clone(beginnings).acquire_many_owned(num_permits).await else {
            return false;
        };
        let mut inferences = locked(&self.active);
        let held = inferences.get_mut(&assignment.address.inference);
        let Some(held) = held.filter(|held| held.attempt == assignment.attempt && !held.is_given_up) else {
            return false;
        };
        held.beginning = Some(beginning);
        self.pulse.note_change();
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

    /// Returns once this worker may speak: at once if the broker hears it, otherwise after a look at what was given up
    /// while it was not heard.
    pub(super) async fn may_speak(&self) {
        if self.pulse.is_heard() {
            return;
        }
        let _first = self.regaining.lock().await;
        if self.pulse.is_heard() {
            return;
        }
        warn!("the broker has not heard this worker for a while");
        if tokio::time::timeout(MAX_UNHEARD, self.pulse.heard()).await.is_err() {
            warn!("the broker does not hear this worker");
        }
        let held: Vec<_> =
            locked(&self.active).values().map(|held| (held.address.clone(), held.attempt)).collect();
        let looks = held.into_iter().map(|(address, attempt)| async move {
            match record::is_given_up(&self.facts, &address, attempt).await {
                Ok(true) => self.let_go(address.inference, attempt).await,
                Ok(false) => {}
                Err(error) => {
                    warn!(inference = %address.inference, %error, "cannot tell whether it was given up");
                }
            }
        });
        join_all(looks).await;
    }

    /// Follows what is given up, and lets go of it.
    pub(super) async fn hear_losses(self: Arc<Self>) {
        let log = self.facts.log();
        let mut from = None;
        loop {
            let followed = async {
                let start = match from {
                    Some(sequence) => sequence,
                    None => log.last_sequence(StreamName::Inference).await? + 1,
                };
                from = Some(start);
                let patterns = vec![subjects::all_of(FactKind::AttemptFailed)];
                log.read(StreamName::Inference, patterns, ReadFrom::Sequence(start), true).await
            };
            match followed.await {
                Ok(mut records) => {
                    while let Some(Ok(record)) = records.next().await {
                        from = Some(record.sequence + 1);
                        self.hear_loss(&record.payload).await;
                    }
                }
                Err(error) => warn!(%error, "cannot follow lost attempts, trying again"),
            }
            tokio::time::sleep(PAUSE_AFTER_FAILURE).await;
        }
    }

    async fn hear_loss(&self, payload: &[u8]) {
        let Ok(envelope) = schemas::decode_envelope(payload) else { return };
        if let (Ok(inference), Some(Fact::AttemptFailed(failed))) = (envelope.inference(), envelope.fact) {
            self.let_go(inference, failed.attempt).await;
        }
    }
}

/// Permits of `num_slots` that an attempt needs to begin: all of them for one that must begin alone.
fn num_permits_to_begin(history: &AttemptHistory, num_slots: usize) -> u32 {
    let num_slots = u32::try_from(num_slots).unwrap_or(u32::MAX);
    match history.max_num_unproven {
        0 => 1,
        max_num_unproven => num_slots.div_ceil(max_num_unproven).clamp(1, num_slots.max(1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suspects_begin_in_smaller_company() {
        let check = |max_num_unproven, num_slots, expected| {
            let history = AttemptHistory { max_num_unproven, ..AttemptHistory::default() };
            assert_eq!(
                num_permits_to_begin(&history, num_slots),
                expected,
                "{max_num_unproven} of {num_slots}"
            );
        };
        check(0, 64, 1);
        check(1, 64, 64);
        check(8, 64, 8);
        check(3, 64, 22);
        check(100, 64, 1);
        check(1, 1, 1);
    }
}
