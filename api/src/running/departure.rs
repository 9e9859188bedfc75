//! What happens to inferences whose client has gone.

use std::sync::Arc;

use bus::BusError;
use futures_util::future::join_all;
use schemas::InferenceId;
use schemas::v1::CancelRequested;
use schemas::v1::envelope::Fact;
use tracing::{debug, warn};

use super::{Departure, Running};
use crate::presence;
use crate::state::ApiState;

impl Drop for Running {
    fn drop(&mut self) {
        self.state.metrics.request_ended(self.started_at.elapsed());
        let open_ids = self.in_flight.open_ids();
        if open_ids.is_empty() || self.departure == Departure::Leave {
            return;
        }
        let appends = std::mem::take(&mut self.appends);
        // What still runs keeps its places.
        let places = self.places.take();
        let state = Arc::clone(&self.state);
        let departure = self.departure;
        let depart = async move {
            // A request to cancel makes sense only after the request itself.
            join_all(appends).await;
            depart(&state, departure, open_ids).await;
            drop(places);
        };
        self.state.background.spawn_on(depart, &self.runtime);
    }
}

async fn depart(state: &ApiState, departure: Departure, open_ids: Vec<InferenceId>) {
    let reason = match departure {
        Departure::Leave => return,
        Departure::Cancel(reason) => reason,
        Departure::Grace(grace) => {
            tokio::select! {
                () = state.hard_stop.cancelled() => {
                    if !state.config.cancels_at_shutdown {
                        // Clients may come back to another node. The workers see to those whose clients do not.
                        return;
                    }
                    "shutdown"
                }
                () = tokio::time::sleep(grace) => "client_disconnected",
            }
        }
    };
    let is_abandoned = matches!(departure, Departure::Grace(_)) && reason != "shutdown";
    join_all(open_ids.into_iter().map(|id| async move {
        if !is_abandoned || !is_wanted(state, id).await {
            append_cancel(state, id, reason).await;
        }
    }))
    .await;
}

/// Whether somebody has come back for it, or nothing is left to cancel.
async fn is_wanted(state: &ApiState, id: InferenceId) -> bool {
    if state.dispatcher.is_awaited(id) {
        return true;
    }
    let look = async {
        let has_ended = state.record().end(id).await?.is_some();
        Ok::<_, BusError>(has_ended || presence::is_awaited_anywhere(state.log.as_ref(), id).await?)
    };
    match look.await {
        Ok(is_wanted) => is_wanted,
        Err(error) => {
            debug!(inference = %id, %error, "an abandoned inference cannot be looked up");
            false
        }
    }
}

async fn append_cancel(state: &ApiState, id: InferenceId, reason: &str) {
    let fact = Fact::CancelRequested(CancelRequested { reason: reason.to_owned() });
    if let Err(error) = state.append_after_request(id, fact).await {
        warn!(inference = %id, %error, "a cancellation could not be appended");
    }
}
