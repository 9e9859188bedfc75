//! What goes on beside intake and pump: cancellations, keeping deliveries alive, and the end.

use std::sync::Arc;
use std::time::Duration;

use bus::Delivery;
use futures_util::future::join_all;
use tokio::time::MissedTickBehavior;
use tracing::{info, warn};

use super::{Worker, cancellations, locked};

impl Worker {
    /// Follows requests to cancel, and stops those that the engine computes.
    pub(super) async fn hear_cancellations(self: Arc<Self>) {
        cancellations::follow(&self.facts, |inference| {
            locked(&self.cancellations).insert(inference);
            if locked(&self.active).contains_key(&inference) {
                self.abort(inference);
            }
        })
        .await;
    }

    /// Says for ever that this worker lives, and what it holds.
    pub(super) async fn beat(self: Arc<Self>) {
        self.pulse.beat(|| self.held_attempts()).await;
    }

    /// Restarts the acknowledgement timeout of every delivery that is held.
    pub(super) async fn keep_deliveries_alive(self: Arc<Self>) {
        let mut ticks = tokio::time::interval(bus::topology::POOL_ACK_WAIT / 3);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let deliveries: Vec<Arc<Delivery>> =
                locked(&self.active).values().map(|active| Arc::clone(&active.delivery)).collect();
            let results = join_all(deliveries.iter().map(|delivery| delivery.progress())).await;
            if let Some(Err(error)) = results.into_iter().find(Result::is_err) {
                warn!(%error, "progress could not be told");
            }
        }
    }

    /// Returns when nothing is held.
    pub(super) async fn all_left(&self) {
        loop {
            let mut left = std::pin::pin!(self.left.notified());
            // Registered before the look, so that whoever leaves after it is not missed.
            left.as_mut().enable();
            if locked(&self.active).is_empty() {
                return;
            }
            left.await;
        }
    }

    /// Waits for the work under way; what is left after the grace goes back to the pool, unacknowledged.
    pub(super) async fn finish_or_hand_back(&self) {
        if tokio::time::timeout(self.options.grace, self.all_left()).await.is_ok() {
            return;
        }
        let handed_back: Vec<_> = locked(&self.active).drain().collect();
        info!(num_inferences = handed_back.len(), "handing back what is not finished");
        for (inference, active) in handed_back {
            self.abort(inference);
            if let Err(error) = active.delivery.retry_after(Duration::ZERO).await {
                warn!(%inference, %error, "an inference could not be handed back and comes again by itself");
            }
        }
    }
}
