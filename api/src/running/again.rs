//! How a request goes on that was made before: by the facts of the earlier one.

use std::sync::Arc;

use futures_util::future::try_join_all;
use schemas::v1::{Ended, Requested};
use schemas::{InferenceId, SamplingParams};

use super::Running;
use super::launch::{check_ready, departure_of};
use crate::error::ApiError;
use crate::in_flight::{Awaited, InFlight};
use crate::inference_record::StoredRequest;
use crate::openai::answer::AnswerHead;
use crate::position::StartingAfter;
use crate::state::ApiState;
use crate::terms::Terms;

/// A request that was made before, taken up again.
pub(crate) struct Again {
    pub(crate) head: AnswerHead,
    pub(crate) is_streaming: bool,
    pub(crate) running: Running,
}

impl Running {
    /// Takes up inferences that were asked for before; `after` says what of each answer is not needed again, and is empty
    /// when all of it is.
    pub(crate) async fn attach(
        state: &Arc<ApiState>,
        stored: Vec<StoredRequest>,
        num_choices: usize,
        after: Vec<StartingAfter>,
    ) -> Result<Self, ApiError> {
        check_ready(state)?;
        for stored in &stored {
            stored.check_readable()?;
        }
        let places = state.admission.admit(stored.len())?;
        let awaited = stored.iter().map(|stored| Awaited {
            id: stored.id,
            ingress: stored.ingress.clone(),
            requested_at_unix_nanos: stored.at_unix_nanos,
        });
        let in_flight = InFlight::resumed(awaited.collect(), num_choices, &after);
        let mut running = Self::holding(state, in_flight, state.config.timeouts.request);
        running.places = Some(places);
        running.created_unix_seconds =
            stored.first().map_or(0, |stored| stored.at_unix_nanos / 1_000_000_000);
        for stored in &stored {
            if stored.ingress != state.config.ingress {
                let hearing = state.dispatcher.hear_foreign(&state.log, &stored.ingress).await?;
                running._hearings.push(hearing);
            }
        }
        let record = state.record();
        let ends = try_join_all(stored.iter().map(|stored| record.end(stored.id))).await?;
        let mut suspects = Vec::new();
        for (prompt_index, (stored, end)) in stored.iter().zip(ends).enumerate() {
            let after = after.get(prompt_index * num_choices..).unwrap_or_default();
            if end.as_ref().is_some_and(|(_, ended)| is_past_the_end(after, ended)) {
                return Err(ApiError::PastTheEnd);
            }
            match end.filter(|_| !needs_frames(&stored.requested, after)) {
                Some((_, ended)) => drop(running.in_flight.complete(prompt_index, &ended)),
                None => suspects.push(stored.id),
            }
        }
        state.dispatcher.suspect(suspects);
        running.departure = departure_of(stored.iter().map(|stored| &stored.requested));
        Ok(running)
    }

    /// Takes up a request for text that was made before under its key, though its model is gone by now; otherwise `error`.
    pub(crate) async fn again(
        state: &Arc<ApiState>,
        terms: &Terms,
        error: ApiError,
    ) -> Result<Again, ApiError> {
        let stored = stored_instead(state, terms, &error).await?;
        let Some(head) = stored.first().and_then(|first| AnswerHead::of(&first.requested)) else {
            return Err(error);
        };
        let after = match terms.resume.clone() {
            Some(point) => point.positions(stored.len() * head.num_choices)?,
            None => Vec::new(),
        };
        let is_streaming = stored.first().is_some_and(|first| first.requested.stream);
        let running = Self::attach(state, stored, head.num_choices, after).await?;
        Ok(Again { head, is_streaming, running })
    }

    /// The same for vectors and scores.
    pub(crate) async fn pooling_again(
        state: &Arc<ApiState>,
        terms: &Terms,
        error: ApiError,
    ) -> Result<Self, ApiError> {
        let stored = stored_instead(state, terms, &error).await?;
        if stored.is_empty() {
            return Err(error);
        }
        Self::attach(state, stored, 0, Vec::new()).await
    }

    pub(super) async fn resume(
        state: &Arc<ApiState>,
        num_prompts: usize,
        num_choices: usize,
        terms: &Terms,
    ) -> Result<Self, ApiError> {
        let Some((key, digest)) = &terms.key else {
            let message = "Last-Event-ID needs the Idempotency-Key of the first request; without one, go on at \
                           GET /v1/inferences/{id}/stream";
            return Err(ApiError::invalid("Last-Event-ID", message));
        };
        let ids: Vec<_> =
            (0..num_prompts).map(|index| key.inference_id(&state.config.tenant, index)).collect();
        let after = match terms.resume.clone() {
            Some(point) if point.inference.is_none_or(|id| ids.contains(&id)) => {
                point.positions(num_prompts * num_choices)?
            }
            _ => {
                let message = "Last-Event-ID is of another request than the Idempotency-Key";
                return Err(ApiError::invalid("Last-Event-ID", message));
            }
        };
        let stored = stored_requests(state, &ids).await?;
        for stored in &stored {
            stored.check_readable()?;
        }
        if stored.iter().any(|stored| stored.requested.request_digest != digest.to_bytes()) {
            return Err(ApiError::KeyReused);
        }
        Self::attach(state, stored, num_choices, after).await
    }
}

/// What was asked before under the key of a request that cannot be made now, because its model is not there.
pub(crate) async fn stored_instead(
    state: &ApiState,
    terms: &Terms,
    error: &ApiError,
) -> Result<Vec<StoredRequest>, ApiError> {
    match error {
        ApiError::UnknownModel { .. } => stored_under_key(state, terms).await,
        _ => Ok(Vec::new()),
    }
}

/// What was asked before under the key of a request; nothing without one.
pub(super) async fn stored_under_key(
    state: &ApiState,
    terms: &Terms,
) -> Result<Vec<StoredRequest>, ApiError> {
    let mut stored = Vec::new();
    let Some((key, digest)) = &terms.key else { return Ok(stored) };
    while let Some(next) =
        state.record().request(key.inference_id(&state.config.tenant, stored.len())).await?
    {
        next.check_readable()?;
        if next.requested.request_digest != digest.to_bytes() {
            return Err(ApiError::KeyReused);
        }
        stored.push(next);
    }
    Ok(stored)
}

pub(super) async fn stored_requests(
    state: &ApiState,
    ids: &[InferenceId],
) -> Result<Vec<StoredRequest>, ApiError> {
    let reads = ids.iter().map(|id| async move {
        let stored = state.record().request(*id).await?;
        stored.ok_or_else(|| ApiError::UnknownInference { id: id.to_string() })
    });
    try_join_all(reads).await
}

fn is_past_the_end(after: &[StartingAfter], ended: &Ended) -> bool {
    let choices = ended.choices.iter();
    choices
        .filter_map(|choice| Some((choice, after.get(choice.index as usize)?)))
        .any(|(choice, after)| after.is_past(choice))
}

/// Whether the terminal fact does not say all that the client is to be told.
fn needs_frames(requested: &Requested, after: &[StartingAfter]) -> bool {
    let sampling: SamplingParams = requested.sampling.clone().map(SamplingParams::from).unwrap_or_default();
    let wants_more = sampling.logprobs.is_some()
        || sampling.prompt_logprobs.is_some()
        || sampling.echo
        || sampling.return_token_ids;
    let is_by_token = |after: &StartingAfter| matches!(after, StartingAfter::Tokens(1..));
    wants_more || after.iter().any(is_by_token)
}
