//! How a request begins: by facts of its own.

use std::sync::Arc;
use std::time::Duration;

use bus::{AppendOutcome, subjects};
use futures_util::future::join_all;
use schemas::v1::envelope::Fact;
use schemas::v1::{Requested, WorkClass};
use schemas::{FactKind, InferenceId};
use tokio::runtime::Handle;
use tokio::time::Instant;
use tracing::warn;

use super::again::{stored_requests, stored_under_key};
use super::{Departure, Running};
use crate::error::ApiError;
use crate::in_flight::{Awaited, InFlight};
use crate::inference_record::StoredRequest;
use crate::inference_request::InferenceRequest;
use crate::pooling_request::PoolingRequest;
use crate::queues::QueuePlace;
use crate::state::ApiState;
use crate::terms::Terms;
use crate::token_clock::TokenClock;

/// None at all would be a request that does not say.
const MIN_GRACE: Duration = Duration::from_nanos(1);

impl Running {
    /// Appends one `requested` per prompt; returns when all are durable. A request that was made before is taken up where
    /// its client stands.
    pub(crate) async fn start(
        state: &Arc<ApiState>,
        mut request: InferenceRequest,
        terms: &Terms,
    ) -> Result<Self, ApiError> {
        let num_choices = request.sampling.n as usize;
        let prompts = std::mem::take(&mut request.prompts);
        let mut running = if terms.resume.is_some() && request.stream.is_some() {
            Self::resume(state, prompts.len(), num_choices, terms).await?
        } else {
            let facts = prompts.into_iter().map(|prompt| request.requested(prompt)).collect();
            Self::launch(state, facts, num_choices, terms).await?
        };
        running.grammar_param = request.grammar_param;
        Ok(running)
    }

    /// Appends one `requested` for all inputs of a request for vectors or scores; returns when it is durable.
    pub(crate) async fn start_pooling(
        state: &Arc<ApiState>,
        request: PoolingRequest,
        terms: &Terms,
    ) -> Result<Self, ApiError> {
        Self::launch(state, vec![request.requested()], 0, terms).await
    }

    async fn launch(
        state: &Arc<ApiState>,
        facts: Vec<Requested>,
        num_choices: usize,
        terms: &Terms,
    ) -> Result<Self, ApiError> {
        check_ready(state)?;
        let places = state.admission.admit(facts.len())?;
        let queue_place = match queue_up(state, &facts, terms) {
            Ok(queue_place) => queue_place,
            Err(full) => {
                // A request that waits already is not one more.
                let stored = stored_under_key(state, terms).await?;
                if stored.len() != facts.len() {
                    return Err(full);
                }
                drop(places);
                return Self::attach(state, stored, num_choices, Vec::new()).await;
            }
        };
        let now = state.facts.stamp().unix_nanos;
        let awaited: Vec<Awaited> = (0..facts.len())
            .map(|index| Awaited {
                id: terms.inference_id(
                    &state.config.tenant,
                    index,
                    InferenceId::new(state.facts.stamp().event_id.uuid()),
                ),
                ingress: state.config.ingress.clone(),
                requested_at_unix_nanos: now,
            })
            .collect();
        let facts = on_terms(state, facts, terms, &awaited);
        let clock = TokenClock::start(state.metrics.clone(), awaited.len(), num_choices);
        let in_flight = InFlight::new(awaited, num_choices, clock);
        let mut running =
            Self::holding(state, in_flight, terms.timeout.unwrap_or(state.config.timeouts.request));
        running.places = Some(places);
        running.queue_place = queue_place;
        running.departure = departure_of(&facts);
        match running.append_all(facts, terms).await {
            Ok(true) => return Ok(running),
            Ok(false) => {}
            Err(error) => {
                if terms.key.is_none() {
                    running.departure = Departure::Cancel("api");
                }
                return Err(error);
            }
        }
        // Another request with this key was first. What this one registered is not what is to be heard.
        let ids = running.ids();
        running.departure = Departure::Leave;
        drop(running);
        Self::attach(state, stored_requests(state, &ids).await?, num_choices, Vec::new()).await
    }

    pub(super) fn holding(state: &Arc<ApiState>, in_flight: InFlight, timeout: Duration) -> Self {
        let in_flight = Arc::new(in_flight);
        let started_at = Instant::now();
        let requested_at = in_flight.awaited.first().map_or(0, |awaited| awaited.requested_at_unix_nanos);
        Self {
            state: Arc::clone(state),
            appends: Vec::new(),
            started_at,
            created_unix_seconds: requested_at / 1_000_000_000,
            timeout,
            deadline: Box::pin(tokio::time::sleep_until(started_at + timeout)),
            runtime: Handle::current(),
            num_ends_taken: 0,
            departure: Departure::Leave,
            grammar_param: "",
            _registration: state.dispatcher.register(&in_flight),
            _hearings: Vec::new(),
            places: None,
            queue_place: None,
            in_flight,
        }
    }

    /// Whether all of them are new.
    async fn append_all(&mut self, facts: Vec<Requested>, terms: &Terms) -> Result<bool, ApiError> {
        let ids = self.ids();
        let mut facts = ids.iter().copied().zip(facts);
        let mut all_new = true;
        if let Some((_, digest)) = &terms.key {
            // The first one decides whose key it is, before anything else is appended under it.
            let Some((id, fact)) = facts.next() else { return Ok(true) };
            self.append_requested(id, fact);
            if !self.all_durable().await? {
                all_new = false;
                let stored = self.record().request(id).await?;
                if let Some(Err(erased)) = stored.as_ref().map(StoredRequest::check_readable) {
                    self.departure = Departure::Leave;
                    return Err(erased);
                }
                if stored.is_none_or(|stored| stored.requested.request_digest != digest.to_bytes()) {
                    self.departure = Departure::Leave;
                    return Err(ApiError::KeyReused);
                }
            }
        }
        for (id, fact) in facts {
            self.append_requested(id, fact);
        }
        all_new &= self.all_durable().await?;
        // An id that does not follow from a key is fresh, so what stands on its subject is this very fact.
        Ok(all_new || terms.key.is_none())
    }

    /// In a task of its own, so that a client that leaves meanwhile cannot leave the append half done.
    fn append_requested(&mut self, id: InferenceId, fact: Requested) {
        let state = Arc::clone(&self.state);
        let append = async move {
            let tenant = &state.config.tenant;
            let subject = subjects::fact(FactKind::Requested, tenant, id);
            state.facts.append(id, tenant, subject, Fact::Requested(fact)).await
        };
        self.appends.push(self.state.background.spawn(append));
    }

    async fn all_durable(&mut self) -> Result<bool, ApiError> {
        let appended = join_all(self.appends.iter_mut()).await;
        self.appends.clear();
        let mut all_new = true;
        for outcome in appended {
            match outcome {
                Ok(Ok(AppendOutcome::Stored { .. })) => {}
                Ok(Ok(AppendOutcome::AlreadyThere)) => all_new = false,
                Ok(Err(error)) => {
                    warn!(code = error.code(), %error, "a request could not be appended");
                    return Err(error.into());
                }
                Err(error) => {
                    warn!(%error, "the task that appends a request failed");
                    return Err(ApiError::Internal);
                }
            }
        }
        Ok(all_new)
    }
}

pub(super) fn check_ready(state: &ApiState) -> Result<(), ApiError> {
    if state.hard_stop.is_cancelled() {
        return Err(ApiError::unavailable("the server is shutting down"));
    }
    if !state.dispatcher.is_listening() {
        return Err(ApiError::unavailable("the event log cannot be reached"));
    }
    Ok(())
}

/// A place in the queue for its model. What nobody waits for needs none: workers take it when nothing else is to be done.
fn queue_up(state: &ApiState, facts: &[Requested], terms: &Terms) -> Result<Option<QueuePlace>, ApiError> {
    let model = facts.first().filter(|_| !terms.background).map(|fact| &fact.model);
    let pool = model.and_then(|model| state.deployments.pool_of(model));
    pool.map(|pool| state.queues.enter(pool, facts.len())).transpose()
}

/// The facts with what the node and the terms say.
fn on_terms(state: &ApiState, facts: Vec<Requested>, terms: &Terms, awaited: &[Awaited]) -> Vec<Requested> {
    let group = match awaited {
        [first, _, ..] => first.id.to_string(),
        _ => String::new(),
    };
    let digest = terms.key.as_ref().map(|(_, digest)| digest.to_bytes()).unwrap_or_default();
    let default_timeout = (!terms.background).then_some(state.config.timeouts.request);
    let requested_at = awaited.first().map_or(0, |first| first.requested_at_unix_nanos);
    let deadline = terms.timeout.or(default_timeout);
    let deadline = deadline.map(|timeout| requested_at.saturating_add(nanos(timeout)));
    facts
        .into_iter()
        .map(|fact| {
            // Without a key or a stream no client could come back: it never learnt what to come back to.
            let can_return = fact.stream || terms.key.is_some();
            let default_grace = if can_return { state.config.timeouts.grace } else { Duration::ZERO };
            let grace = terms.grace.unwrap_or(default_grace).max(MIN_GRACE);
            let class = if terms.background { WorkClass::Batch.into() } else { fact.class };
            Requested {
                class,
                price: state.config.prices.of(&fact.model, &state.deployments),
                ingress: state.config.ingress.to_string(),
                request_group: group.clone(),
                caller: terms.caller.0.to_string(),
                request_digest: digest.clone(),
                grace_nanos: nanos(grace),
                background: terms.background,
                deadline_unix_nanos: deadline.unwrap_or_default(),
                end_user: terms.end_user.clone(),
                ..fact
            }
        })
        .collect()
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

pub(super) fn departure_of<'a>(requests: impl IntoIterator<Item = &'a Requested>) -> Departure {
    let mut grace = Duration::ZERO;
    for requested in requests {
        // A request that says nothing of it was not made for a client.
        if requested.background || requested.grace_nanos == 0 {
            return Departure::Leave;
        }
        grace = grace.max(Duration::from_nanos(requested.grace_nanos));
    }
    Departure::Grace(grace)
}
