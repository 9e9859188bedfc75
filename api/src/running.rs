//! A request that the log has accepted, until its end or until its client leaves.

pub(crate) mod again;
mod departure;
mod launch;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bus::{AppendOutcome, BusError};
use schemas::v1::{End, Ended, FailureKind, FinishReason, Outcome};
use schemas::{InferenceId, failure};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio::time::{Instant, Sleep};
use tracing::warn;

use crate::admission::Places;
use crate::error::ApiError;
use crate::in_flight::{Arrival, InFlight};
use crate::inference_record::InferenceRecord;
use crate::queues::QueuePlace;
use crate::state::ApiState;
use crate::token_dispatcher::{Hearing, Registration};

/// The inferences of one request. When it is dropped, those that have not ended are cancelled unless somebody comes back for
/// them in time.
pub(crate) struct Running {
    state: Arc<ApiState>,
    in_flight: Arc<InFlight>,
    appends: Vec<JoinHandle<Result<AppendOutcome, BusError>>>,
    started_at: Instant,
    created_unix_seconds: u64,
    timeout: Duration,
    deadline: Pin<Box<Sleep>>,
    runtime: Handle,
    num_ends_taken: usize,
    departure: Departure,
    grammar_param: &'static str,
    _registration: Registration,
    /// Other nodes whose tokens are heard for it.
    _hearings: Vec<Arc<Hearing>>,
    places: Option<Places>,
    /// Until a worker has said a word.
    queue_place: Option<QueuePlace>,
}

/// What becomes of inferences that nobody waits for any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Departure {
    /// They are cancelled at once, for this reason.
    Cancel(&'static str),
    /// They are cancelled when nobody has come back for them within this time.
    Grace(Duration),
    /// They go on.
    Leave,
}

impl Running {
    /// One per prompt, in order.
    pub(crate) fn ids(&self) -> Vec<InferenceId> {
        self.in_flight.ids().collect()
    }

    /// The inference for one of the prompts.
    pub(crate) fn id(&self, prompt_index: usize) -> Option<InferenceId> {
        self.in_flight.awaited.get(prompt_index).map(|awaited| awaited.id)
    }

    /// When the request was accepted.
    pub(crate) fn created_unix_seconds(&self) -> u64 {
        self.created_unix_seconds
    }

    /// The next entry of any answer. `Err` when an inference did not complete, the request's time is over or the node
    /// stops; nothing follows. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Result<Arrival, ApiError> {
        let arrival = tokio::select! {
            biased;
            arrival = self.in_flight.next() => arrival.map_err(ApiError::Inference),
            () = &mut self.deadline => {
                self.depart_with("timeout");
                return Err(ApiError::RequestTimeout { waited: self.timeout });
            }
            () = self.state.hard_stop.cancelled() => {
                return Err(ApiError::unavailable("the server is shutting down"));
            }
        };
        match arrival {
            Ok(arrival) => {
                self.take_note(&arrival);
                match &arrival.entry.end {
                    Some(end) if end.outcome() != Outcome::Completed => Err(self.failed(end)),
                    _ => Ok(arrival),
                }
            }
            Err(error) => {
                self.depart_with("api");
                Err(error)
            }
        }
    }

    /// Waits for the end and returns what the terminal fact of the only inference holds.
    pub(crate) async fn terminal_fact(&mut self) -> Result<Ended, ApiError> {
        while !self.has_ended() {
            self.next().await?;
        }
        let Some(id) = self.in_flight.ids().next() else { return Err(ApiError::Internal) };
        match self.record().end(id).await? {
            Some((_, ended)) => Ok(ended),
            None => {
                warn!(inference = %id, "the terminal fact that was told is not in the log");
                Err(ApiError::Internal)
            }
        }
    }

    /// Whether the end of every inference was taken.
    pub(crate) fn has_ended(&self) -> bool {
        self.num_ends_taken == self.in_flight.awaited.len()
    }

    /// Why an inference did not complete, in the client's words: a worker does not know where its grammar came from.
    fn failed(&self, end: &End) -> ApiError {
        let untold = || match end.outcome() {
            Outcome::Cancelled => {
                failure(FailureKind::Overloaded, "cancelled", "the inference was cancelled")
            }
            _ => failure(FailureKind::Internal, "failed", "the inference failed"),
        };
        let mut failure = end.failure.clone().unwrap_or_else(untold);
        if failure.param == "grammar" {
            self.grammar_param.clone_into(&mut failure.param);
        }
        ApiError::Inference(failure)
    }

    fn take_note(&mut self, arrival: &Arrival) {
        self.queue_place = None;
        let entry = &arrival.entry;
        self.num_ends_taken += usize::from(entry.end.is_some());
        if self.in_flight.is_resumed() {
            // The node that was asked first counts it.
            return;
        }
        let metrics = &self.state.metrics;
        if let Some(word) = finish_word(entry.finish_reason()) {
            metrics.choice_finished(word);
        }
        if let Some(end) = &entry.end {
            let usage = end.usage.unwrap_or_default();
            metrics.inference_ended(usage.num_prompt_tokens, usage.num_completion_tokens);
        }
    }

    /// Cancels on departure, if it was this request that asked.
    fn depart_with(&mut self, reason: &'static str) {
        if !self.in_flight.is_resumed() {
            self.departure = Departure::Cancel(reason);
        }
    }

    fn record(&self) -> InferenceRecord<'_> {
        self.state.record()
    }
}

/// OpenAI's word for how a choice finished; `None` while it goes on.
pub(crate) fn finish_word(reason: FinishReason) -> Option<&'static str> {
    match reason {
        FinishReason::Unspecified => None,
        FinishReason::Stop => Some("stop"),
        FinishReason::Length => Some("length"),
        FinishReason::Cancelled => Some("abort"),
        FinishReason::Error => Some("error"),
        FinishReason::ToolCalls => Some("tool_calls"),
    }
}
