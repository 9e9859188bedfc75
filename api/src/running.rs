//! A request that the log has accepted, until its end or until its client leaves.

use std::pin::Pin;
use std::sync::Arc;

use bus::{AppendOutcome, BusError, StreamName, subjects};
use futures_util::future::join_all;
use schemas::v1::envelope::Fact;
use schemas::v1::{CancelRequested, End, Ended, FailureKind, FinishReason, Outcome, Requested};
use schemas::{FactHash, FactKind, InferenceId, failure};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio::time::{Instant, Sleep};
use tracing::warn;

use crate::admission::Places;
use crate::auth::Caller;
use crate::error::ApiError;
use crate::in_flight::{Arrival, InFlight};
use crate::inference_request::InferenceRequest;
use crate::pooling_request::PoolingRequest;
use crate::state::ApiState;
use crate::token_dispatcher::Registration;

/// The inferences of one request. Dropping it asks for those that have not ended to be cancelled.
pub(crate) struct Running {
    state: Arc<ApiState>,
    in_flight: Arc<InFlight>,
    appends: Vec<JoinHandle<Result<AppendOutcome, BusError>>>,
    started_at: Instant,
    created_unix_seconds: u64,
    deadline: Pin<Box<Sleep>>,
    runtime: Handle,
    num_ends_taken: usize,
    cancel_reason: &'static str,
    grammar_param: &'static str,
    _registration: Registration,
    _places: Places,
}

impl Running {
    /// Appends one `requested` per prompt; returns when all are durable.
    pub(crate) async fn start(
        state: &Arc<ApiState>,
        mut request: InferenceRequest,
        caller: &Caller,
    ) -> Result<Self, ApiError> {
        let num_choices = request.sampling.n as usize;
        let prompts = std::mem::take(&mut request.prompts);
        let facts = prompts.into_iter().map(|prompt| request.requested(prompt)).collect();
        let mut running = Self::launch(state, facts, num_choices, caller).await?;
        running.grammar_param = request.grammar_param;
        Ok(running)
    }

    /// Appends one `requested` for all inputs of a request for vectors or scores; returns when it is durable.
    pub(crate) async fn start_pooling(
        state: &Arc<ApiState>,
        request: PoolingRequest,
        caller: &Caller,
    ) -> Result<Self, ApiError> {
        Self::launch(state, vec![request.requested()], 0, caller).await
    }

    async fn launch(
        state: &Arc<ApiState>,
        facts: Vec<Requested>,
        num_choices: usize,
        caller: &Caller,
    ) -> Result<Self, ApiError> {
        if state.hard_stop.is_cancelled() {
            return Err(ApiError::unavailable("the server is shutting down"));
        }
        if !state.dispatcher.is_listening() {
            return Err(ApiError::unavailable("the event log cannot be reached"));
        }
        let places = state.admission.admit(facts.len())?;
        let started_at = Instant::now();
        let requested_at_unix_nanos = state.facts.stamp().unix_nanos;
        let ids: Vec<InferenceId> =
            facts.iter().map(|_| InferenceId::new(state.facts.stamp().event_id.uuid())).collect();
        let metrics = state.metrics.clone();
        let in_flight = Arc::new(InFlight::new(ids.clone(), num_choices, requested_at_unix_nanos, metrics));
        let mut running = Self {
            state: Arc::clone(state),
            appends: Vec::with_capacity(ids.len()),
            started_at,
            created_unix_seconds: requested_at_unix_nanos / 1_000_000_000,
            deadline: Box::pin(tokio::time::sleep_until(started_at + state.config.timeouts.request)),
            runtime: Handle::current(),
            num_ends_taken: 0,
            cancel_reason: "client_disconnected",
            grammar_param: "",
            _registration: state.dispatcher.register(&in_flight),
            _places: places,
            in_flight,
        };
        let group = if ids.len() > 1 { ids[0].to_string() } else { String::new() };
        for (id, fact) in ids.into_iter().zip(facts) {
            let fact = Requested {
                ingress: state.config.ingress.to_string(),
                request_group: group.clone(),
                caller: caller.0.to_string(),
                ..fact
            };
            running.append_requested(id, Fact::Requested(fact));
        }
        running.all_durable().await?;
        Ok(running)
    }

    /// In a task of its own, so that a client that leaves meanwhile cannot leave the append half done.
    fn append_requested(&mut self, id: InferenceId, fact: Fact) {
        let state = Arc::clone(&self.state);
        let append = async move {
            let tenant = &state.config.tenant;
            let subject = subjects::fact(FactKind::Requested, tenant, id);
            state.facts.append(id, tenant, subject, fact).await
        };
        self.appends.push(self.state.background.spawn(append));
    }

    async fn all_durable(&mut self) -> Result<(), ApiError> {
        let appended = join_all(self.appends.iter_mut()).await;
        self.appends.clear();
        for outcome in appended {
            match outcome {
                // An id is fresh, so what stands on its subject is this very fact, appended twice by a retry.
                Ok(Ok(AppendOutcome::Stored { .. } | AppendOutcome::AlreadyThere)) => {}
                Ok(Err(error)) => {
                    warn!(code = error.code(), %error, "a request could not be appended");
                    self.cancel_reason = "api";
                    return Err(error.into());
                }
                Err(error) => {
                    warn!(%error, "the task that appends a request failed");
                    self.cancel_reason = "api";
                    return Err(ApiError::Internal);
                }
            }
        }
        Ok(())
    }

    /// One per prompt, in order.
    pub(crate) fn ids(&self) -> &[InferenceId] {
        &self.in_flight.ids
    }

    /// When the request was accepted.
    pub(crate) fn created_unix_seconds(&self) -> u64 {
        self.created_unix_seconds
    }

    /// The next entry of any answer. `Err` when an inference did not complete, the request's time is over or the node
    /// stops; nothing follows. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Result<Arrival, ApiError> {
        let timeout = self.state.config.timeouts.request;
        let arrival = tokio::select! {
            biased;
            arrival = self.in_flight.next() => arrival.map_err(ApiError::Inference),
            () = &mut self.deadline => {
                self.cancel_reason = "timeout";
                Err(ApiError::RequestTimeout { waited: timeout })
            }
            () = self.state.hard_stop.cancelled() => {
                self.cancel_reason = "shutdown";
                Err(ApiError::unavailable("the server is shutting down"))
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
                if self.cancel_reason == "client_disconnected" {
                    self.cancel_reason = "api";
                }
                Err(error)
            }
        }
    }

    /// Waits for the end and returns what the terminal fact of the only inference holds.
    pub(crate) async fn terminal_fact(&mut self) -> Result<Ended, ApiError> {
        while !self.has_ended() {
            self.next().await?;
        }
        let Some(id) = self.ids().first() else { return Err(ApiError::Internal) };
        let subject = subjects::fact(FactKind::Ended, &self.state.config.tenant, *id);
        let record = self.state.log.last(StreamName::Inference, subject).await?;
        match record.and_then(|record| schemas::decode_envelope(&record.payload).ok()?.fact) {
            Some(Fact::Ended(ended)) => Ok(ended),
            _ => {
                warn!(inference = %id, "the terminal fact that was told is not in the log");
                Err(ApiError::Internal)
            }
        }
    }

    /// Whether the end of every inference was taken.
    pub(crate) fn has_ended(&self) -> bool {
        self.num_ends_taken == self.in_flight.ids.len()
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
        let metrics = &self.state.metrics;
        let entry = &arrival.entry;
        if let Some(word) = finish_word(entry.finish_reason()) {
            metrics.choice_finished(word);
        }
        if let Some(end) = &entry.end {
            self.num_ends_taken += 1;
            let usage = end.usage.unwrap_or_default();
            metrics.inference_ended(usage.num_prompt_tokens, usage.num_completion_tokens);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.state.metrics.request_ended(self.started_at.elapsed());
        let open_ids = self.in_flight.open_ids();
        if open_ids.is_empty() {
            return;
        }
        let appends = std::mem::take(&mut self.appends);
        let state = Arc::clone(&self.state);
        let reason = self.cancel_reason;
        let cancel = async move {
            // A request to cancel makes sense only after the request itself.
            join_all(appends).await;
            join_all(open_ids.into_iter().map(|id| append_cancel(&state, id, reason))).await;
        };
        self.state.background.spawn_on(cancel, &self.runtime);
    }
}

async fn append_cancel(state: &ApiState, id: InferenceId, reason: &str) {
    let tenant = &state.config.tenant;
    let append = async {
        let requested = subjects::fact(FactKind::Requested, tenant, id);
        let Some(requested) = state.log.last(StreamName::Inference, requested).await? else {
            return Ok(());
        };
        let subject = subjects::fact(FactKind::CancelRequested, tenant, id);
        let fact = Fact::CancelRequested(CancelRequested { reason: reason.to_owned() });
        let facts = state.facts.following(FactHash::of(&requested.payload));
        facts.append(id, tenant, subject, fact).await.map(drop)
    };
    let appended: Result<(), BusError> = append.await;
    if let Err(error) = appended {
        warn!(inference = %id, %error, "a cancellation could not be appended");
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
