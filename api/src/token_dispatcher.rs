//! One plain subscription for the whole node; each entry goes to the request that waits for it.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bus::{EventLog, LiveMessages, subjects};
use futures_util::StreamExt;
use prost::Message;
use schemas::v1::{FrameEntry, TokenFrame};
use schemas::{InferenceId, IngressId};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::in_flight::{Delivered, InFlight};

const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(500);

/// Who waits for which inference. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct TokenDispatcher {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    waiting: Mutex<HashMap<InferenceId, Waiting>>,
    gaps: Mutex<HashSet<InferenceId>>,
    gap_found: Notify,
    is_listening: AtomicBool,
}

/// A request and the place of one of its inferences in it.
#[derive(Clone)]
pub(crate) struct Waiting {
    pub(crate) request: Arc<InFlight>,
    pub(crate) prompt_index: usize,
}

/// Keeps a request known to the dispatcher until dropped.
pub(crate) struct Registration {
    dispatcher: TokenDispatcher,
    ids: Vec<InferenceId>,
}

impl Drop for Registration {
    fn drop(&mut self) {
        let mut waiting = self.dispatcher.waiting();
        for id in &self.ids {
            waiting.remove(id);
        }
    }
}

impl TokenDispatcher {
    /// Hands the entries of the request's inferences to it from now on. Register before asking for work.
    pub(crate) fn register(&self, request: &Arc<InFlight>) -> Registration {
        let mut waiting = self.waiting();
        for (prompt_index, id) in request.ids.iter().enumerate() {
            waiting.insert(*id, Waiting { request: Arc::clone(request), prompt_index });
        }
        Registration { dispatcher: self.clone(), ids: request.ids.clone() }
    }

    /// Whether frames would be heard now.
    pub(crate) fn is_listening(&self) -> bool {
        self.shared.is_listening.load(Ordering::Acquire)
    }

    /// Listens until `shutdown`, again whenever the subscription breaks.
    pub(crate) async fn listen(
        &self,
        log: Arc<dyn EventLog>,
        ingress: IngressId,
        shutdown: CancellationToken,
    ) {
        let pattern = subjects::tokens_for(&ingress);
        let mut was_failing = false;
        loop {
            let listened = tokio::select! {
                () = shutdown.cancelled() => return,
                listened = log.listen(pattern.clone()) => listened,
            };
            match listened {
                Ok(messages) => {
                    was_failing = false;
                    tokio::select! {
                        () = shutdown.cancelled() => return,
                        () = self.hear(messages) => warn!("the token subscription ended, listening again"),
                    }
                }
                Err(error) if !was_failing => {
                    was_failing = true;
                    warn!(%error, "cannot listen for tokens, trying again");
                }
                Err(_) => {}
            }
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(PAUSE_AFTER_FAILURE) => {}
            }
        }
    }

    async fn hear(&self, mut messages: LiveMessages) {
        self.shared.is_listening.store(true, Ordering::Release);
        // What was sent while nobody listened is in the stream.
        self.suspect_all();
        while let Some(message) = messages.next().await {
            self.route(&message.payload);
        }
        self.shared.is_listening.store(false, Ordering::Release);
    }

    /// Suspects a gap: the repair looks at it next.
    pub(crate) fn suspect(&self, ids: impl IntoIterator<Item = InferenceId>) {
        self.gaps().extend(ids);
        self.shared.gap_found.notify_one();
    }

    /// Suspects a gap in every answer.
    pub(crate) fn suspect_all(&self) {
        let ids: Vec<InferenceId> = self.waiting().keys().copied().collect();
        if !ids.is_empty() {
            self.suspect(ids);
        }
    }

    /// The suspects so far, as soon as there is one.
    pub(crate) async fn suspects(&self) -> HashSet<InferenceId> {
        loop {
            let gap_found = self.shared.gap_found.notified();
            let suspects = std::mem::take(&mut *self.gaps());
            if !suspects.is_empty() {
                return suspects;
            }
            gap_found.await;
        }
    }

    /// The request that waits for an inference.
    pub(crate) fn find(&self, id: InferenceId) -> Option<Waiting> {
        self.waiting().get(&id).cloned()
    }

    /// Every request once.
    pub(crate) fn requests(&self) -> Vec<Arc<InFlight>> {
        let waiting = self.waiting();
        waiting
            .values()
            .filter(|waiting| waiting.prompt_index == 0)
            .map(|waiting| Arc::clone(&waiting.request))
            .collect()
    }

    fn route(&self, payload: &[u8]) {
        let Some((step, entries)) = decode_frame(payload) else { return };
        for (id, entry) in entries {
            let Some(Waiting { request, prompt_index }) = self.find(id) else { continue };
            if request.deliver(prompt_index, step, entry) == Delivered::GapFound {
                warn!(inference = %id, "a token frame was missed, reading it again");
                self.suspect([id]);
            }
        }
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<InferenceId, Waiting>> {
        self.shared.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn gaps(&self) -> MutexGuard<'_, HashSet<InferenceId>> {
        self.shared.gaps.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The step of a frame and its entries with their inferences; `None` when it cannot be read.
pub(crate) fn decode_frame(payload: &[u8]) -> Option<(u64, Vec<(InferenceId, FrameEntry)>)> {
    match TokenFrame::decode(payload) {
        Ok(frame) => {
            let entries = frame.entries.into_iter();
            let known = entries.filter_map(|entry| Some((entry.inference_id.parse().ok()?, entry)));
            Some((frame.step, known.collect()))
        }
        Err(error) => {
            warn!(%error, "a token frame cannot be read");
            None
        }
    }
}
