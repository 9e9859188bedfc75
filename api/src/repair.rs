//! Closes gaps in answers: from the token stream, and from the terminal fact when the tokens are gone.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use bus::{BusError, EventLog, ReadFrom, StreamName, subjects};
use futures_util::StreamExt;
use schemas::v1::{Ended, FrameEntry};
use schemas::{InferenceId, IngressId, TenantId};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::error::internal_failure;
use crate::in_flight::Delivered;
use crate::inference_record::InferenceRecord;
use crate::token_dispatcher::{TokenDispatcher, Waiting, decode_frame};

const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
const HEARTBEAT: Duration = Duration::from_secs(1);

/// Repairs what the dispatcher suspects, one re-reading for all of it.
pub(crate) struct Repair {
    pub(crate) dispatcher: TokenDispatcher,
    pub(crate) log: Arc<dyn EventLog>,
    pub(crate) tenant: TenantId,
    /// How long a gap may stay open before what is missing is left to another attempt or the end.
    pub(crate) patience: Duration,
    /// An inference that was not heard of for this long is looked up.
    pub(crate) silence: Duration,
}

type Reread = HashMap<InferenceId, Vec<(u64, FrameEntry)>>;

impl Repair {
    /// Repairs until `shutdown`.
    pub(crate) async fn run(self, shutdown: CancellationToken) {
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = async { tokio::join!(self.repair_suspects(), self.watch()); } => {}
        }
    }

    async fn repair_suspects(&self) {
        let mut open_since: HashMap<InferenceId, Instant> = HashMap::new();
        let mut pause = FIRST_PAUSE;
        loop {
            let mut suspects = if open_since.is_empty() {
                pause = FIRST_PAUSE;
                self.dispatcher.suspects().await
            } else {
                // The stream may capture a frame a moment after it was heard live.
                let more = tokio::time::timeout(pause, self.dispatcher.suspects()).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
                more.unwrap_or_default()
            };
            suspects.extend(open_since.keys());
            let still_open = self.repair_once(suspects).await;
            open_since.retain(|id, _| still_open.contains(id));
            let now = Instant::now();
            for id in still_open {
                let since = *open_since.entry(id).or_insert(now);
                if now.duration_since(since) >= self.patience {
                    open_since.remove(&id);
                    self.give_up(id).await;
                }
            }
        }
    }

    /// Returns those that are not whole yet.
    async fn repair_once(&self, suspects: HashSet<InferenceId>) -> HashSet<InferenceId> {
        let mut by_ingress: HashMap<IngressId, Vec<(InferenceId, Waiting)>> = HashMap::new();
        for id in suspects {
            for waiting in self.dispatcher.find(id) {
                let Some(awaited) = waiting.request.awaited.get(waiting.prompt_index) else { continue };
                by_ingress.entry(awaited.ingress.clone()).or_default().push((id, waiting));
            }
        }
        let mut still_open = HashSet::new();
        for (ingress, waiting) in by_ingress {
            still_open.extend(self.repair_from(&ingress, waiting).await);
        }
        still_open
    }

    async fn repair_from(
        &self,
        ingress: &IngressId,
        waiting: Vec<(InferenceId, Waiting)>,
    ) -> HashSet<InferenceId> {
        let requested_at = waiting.iter().filter_map(|(_, waiting)| {
            Some(waiting.request.awaited.get(waiting.prompt_index)?.requested_at_unix_nanos)
        });
        let oldest = requested_at.min().unwrap_or_default();
        let ids = waiting.iter().map(|(id, _)| *id).collect();
        let reread = match self.read_tokens(ingress, oldest, ids).await {
            Ok(reread) => reread,
            Err(error) => {
                warn!(%error, "the token stream cannot be read again");
                return waiting.into_iter().map(|(id, _)| id).collect();
            }
        };
        let mut still_open = HashSet::new();
        for (id, Waiting { request, prompt_index }) in waiting {
            let entries = reread.get(&id).cloned().unwrap_or_default();
            let is_whole = request.repair(prompt_index, entries) == Delivered::Whole;
            // The end of an answer that is resumed may be long past, and its tokens with it.
            if is_whole && (!request.is_resumed() || request.has_ended(prompt_index)) {
                continue;
            }
            let is_complete = match self.terminal_fact(id).await {
                Ok(Some(ended)) => request.complete(prompt_index, &ended) == Delivered::Whole,
                Ok(None) => is_whole,
                Err(error) => {
                    debug!(inference = %id, %error, "the terminal fact cannot be read");
                    false
                }
            };
            if !is_complete {
                still_open.insert(id);
            }
        }
        still_open
    }

    async fn read_tokens(
        &self,
        ingress: &IngressId,
        since_unix_nanos: u64,
        ids: HashSet<InferenceId>,
    ) -> Result<Reread, BusError> {
        let patterns = vec![subjects::tokens_for(ingress)];
        // The stream's clock and this node's may differ a little.
        let from = ReadFrom::UnixNanos(since_unix_nanos.saturating_sub(5_000_000_000));
        let mut records = self.log.read(StreamName::Tokens, patterns, from, false).await?;
        let mut reread = Reread::new();
        while let Some(record) = records.next().await {
            for (id, step, entry) in decode_frame(&record?.payload).into_iter().flatten() {
                if ids.contains(&id) {
                    reread.entry(id).or_default().push((step, entry));
                }
            }
        }
        Ok(reread)
    }

    async fn terminal_fact(&self, id: InferenceId) -> Result<Option<Ended>, BusError> {
        let record = InferenceRecord { log: self.log.as_ref(), tenant: &self.tenant };
        Ok(record.end(id).await?.map(|(_, ended)| ended))
    }

    /// Tokens that are gone come again with another attempt, or with the end. One that came and does not go on never will.
    async fn give_up(&self, id: InferenceId) {
        let has_ended = matches!(self.terminal_fact(id).await, Ok(Some(_)));
        for Waiting { request, prompt_index } in self.dispatcher.find(id) {
            if has_ended {
                warn!(inference = %id, "a gap in the token stream could not be closed");
                request.fail(internal_failure("tokens_lost", "a part of the answer was lost on its way"));
            } else {
                debug!(inference = %id, "a part of the tokens is gone, another attempt or the end will bring it");
                request.give_up_missing(prompt_index);
            }
        }
    }

    /// Finds what no later entry would reveal: an end that was missed, by silence or by a reconnection.
    async fn watch(&self) {
        let mut heartbeat = tokio::time::interval(HEARTBEAT.min(self.silence));
        heartbeat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut was_connected = true;
        let mut last_look_at = Instant::now();
        loop {
            heartbeat.tick().await;
            let is_connected = self.log.is_connected();
            if is_connected && !was_connected {
                self.dispatcher.suspect_all();
            }
            was_connected = is_connected;
            if is_connected && last_look_at.elapsed() >= self.silence {
                self.look_up_silent().await;
                last_look_at = Instant::now();
            }
        }
    }

    async fn look_up_silent(&self) {
        let Some(heard_before) = Instant::now().checked_sub(self.silence) else { return };
        for request in self.dispatcher.requests() {
            for id in request.silent_since(heard_before) {
                match self.terminal_fact(id).await {
                    Ok(Some(ended)) => {
                        debug!(inference = %id, "an end was missed");
                        self.finish_silent(id, &ended).await;
                    }
                    Ok(None) => {}
                    Err(error) => {
                        debug!(%error, "silent inferences cannot be looked up");
                        return;
                    }
                }
            }
        }
    }

    async fn finish_silent(&self, id: InferenceId, ended: &Ended) {
        // The stream has what the fact has not: logprobs and the report on the prompt.
        self.repair_once(HashSet::from([id])).await;
        for Waiting { request, prompt_index } in self.dispatcher.find(id) {
            if request.complete(prompt_index, ended) == Delivered::InRepair {
                self.give_up(id).await;
            }
        }
    }
}
