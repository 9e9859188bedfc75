//! One plain subscription for the whole node; each entry goes to the requests that wait for it. While a client follows an
//! inference that another node asked for, that node's tokens are heard too.

mod foreign_tokens;

use std::collections::{HashMap, HashSet};
use std::iter;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bus::{EventLog, LiveMessages, LocalFrames, LocalListening, subjects};
use futures_util::StreamExt;
use prost::Message;
use schemas::v1::{FrameEntry, TokenFrame};
use schemas::{InferenceId, IngressId};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::in_flight::{Delivered, InFlight};
use foreign_tokens::ForeignTokens;
pub(crate) use foreign_tokens::Hearing;

const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(500);

/// Who waits for which inference. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct TokenDispatcher {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    waiting: Mutex<HashMap<InferenceId, Vec<Waiting>>>,
    foreign: ForeignTokens,
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
    request: Arc<InFlight>,
}

impl Drop for Registration {
    fn drop(&mut self) {
        let mut waiting = self.dispatcher.waiting();
        for id in self.request.ids() {
            if let Some(of_inference) = waiting.get_mut(&id) {
                of_inference.retain(|waiting| !Arc::ptr_eq(&waiting.request, &self.request));
                if of_inference.is_empty() {
                    waiting.remove(&id);
                }
            }
        }
    }
}

impl TokenDispatcher {
    /// Hands the entries of the request's inferences to it from now on. Register before asking for work.
    pub(crate) fn register(&self, request: &Arc<InFlight>) -> Registration {
        let mut waiting = self.waiting();
        for (prompt_index, id) in request.ids().enumerate() {
            waiting.entry(id).or_default().push(Waiting { request: Arc::clone(request), prompt_index });
        }
        Registration { dispatcher: self.clone(), request: Arc::clone(request) }
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

    /// Hears what workers of this process send to the node, before the broker tells of it.
    pub(crate) fn listen_here(&self, frames: &LocalFrames, ingress: IngressId) -> LocalListening {
        let dispatcher = self.clone();
        frames.listen(ingress, move |step, entries| dispatcher.route_entries(known_entries(step, entries)))
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

    /// The requests that wait for an inference.
    pub(crate) fn find(&self, id: InferenceId) -> Vec<Waiting> {
        self.waiting().get(&id).cloned().unwrap_or_default()
    }

    /// Whether a client of this node waits for an inference.
    pub(crate) fn is_awaited(&self, id: InferenceId) -> bool {
        self.waiting().contains_key(&id)
    }

    /// Every request once.
    pub(crate) fn requests(&self) -> Vec<Arc<InFlight>> {
        let waiting = self.waiting();
        waiting
            .values()
            .flatten()
            .filter(|waiting| waiting.prompt_index == 0)
            .map(|waiting| Arc::clone(&waiting.request))
            .collect()
    }

    fn route(&self, payload: &[u8]) {
        self.route_entries(decode_frame(payload).into_iter().flatten());
    }

    fn route_entries(&self, entries: impl Iterator<Item = (InferenceId, u64, FrameEntry)>) {
        for (id, step, entry) in entries {
            self.deliver(id, &self.find(id), step, entry);
        }
    }

    fn deliver(&self, id: InferenceId, waiting: &[Waiting], step: u64, entry: FrameEntry) {
        // Nearly always there is one, and the entry is not copied.
        for (Waiting { request, prompt_index }, entry) in
            waiting.iter().zip(iter::repeat_n(entry, waiting.len()))
        {
            if request.deliver(*prompt_index, step, entry) == Delivered::GapFound {
                // The beginning of an answer that is resumed is always missed.
                if !request.is_resumed() {
                    warn!(inference = %id, "a token frame was missed, reading it again");
                }
                self.suspect([id]);
            }
        }
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<InferenceId, Vec<Waiting>>> {
        self.shared.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn gaps(&self) -> MutexGuard<'_, HashSet<InferenceId>> {
        self.shared.gaps.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The entries of a frame with their inferences and steps; `None` when it cannot be read.
pub(crate) fn decode_frame(payload: &[u8]) -> Option<impl Iterator<Item = (InferenceId, u64, FrameEntry)>> {
    match TokenFrame::decode(payload) {
        Ok(frame) => Some(known_entries(frame.step, frame.entries)),
        Err(error) => {
            warn!(%error, "a token frame cannot be read");
            None
        }
    }
}

fn known_entries(
    step: u64,
    entries: Vec<FrameEntry>,
) -> impl Iterator<Item = (InferenceId, u64, FrameEntry)> {
    entries.into_iter().filter_map(move |entry| {
        let step = if entry.step == 0 { step } else { entry.step };
        Some((entry.inference_id.parse().ok()?, step, entry))
    })
}
