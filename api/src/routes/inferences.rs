//! Inferences by their ids.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use http::HeaderMap;
use schemas::InferenceId;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::error::{ApiError, ErrorBody};
use crate::inference_id::with_ids;
use crate::inference_record::StoredRequest;
use crate::openai::answer::{AnswerHead, Answers};
use crate::position::ResumePoint;
use crate::running::Running;
use crate::sse;
use crate::state::ApiState;
use crate::terms::last_event_id;

/// Where a stream begins.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct StreamQuery {
    /// The id of the last event that was received, or the number of tokens; absent: the whole answer. The header
    /// `Last-Event-ID` overrules it.
    starting_after: Option<String>,
}

/// Streams an answer, from wherever its client stands; the events are those of the route that was asked.
#[utoipa::path(get, path = "/v1/inferences/{id}/stream", tag = "inference", params(("id" = String, Path), StreamQuery),
    responses(
        (status = 200, description = "The rest of the answer as server-sent events", content_type = "text/event-stream"),
        (status = "default", description = "What went wrong", body = ErrorBody)))]
pub(crate) async fn stream(
    State(state): State<Arc<ApiState>>,
    Path(id): Path<String>,
    Query(query): Query<StreamQuery>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let point = match (last_event_id(&headers)?, query.starting_after) {
        (Some(point), _) => Some(point),
        (None, Some(text)) => Some(ResumePoint::read("starting_after", &text)?),
        (None, None) => None,
    };
    let stored = find(&state, &id).await?;
    let id = stored.id;
    let Some(head) = AnswerHead::of(&stored.requested) else {
        let message = format!("answers of {} are not streamed", stored.requested.endpoint);
        return Err(ApiError::unsupported("id", message));
    };
    if point.as_ref().is_some_and(|point| point.inference.is_some_and(|inference| inference != id)) {
        return Err(ApiError::invalid("starting_after", "the position is of another inference"));
    }
    let after = point.map(|point| point.positions(head.num_choices)).transpose()?.unwrap_or_default();
    let running = Running::attach(&state, vec![stored], head.num_choices, after).await?;
    let answers = Answers::new(head, &running);
    let response = sse::respond(&state, running, answers).await;
    Ok(with_ids(response.unwrap_or_else(IntoResponse::into_response), &[id]))
}

/// The request of an inference; another tenant's is not found.
async fn find(state: &ApiState, id: &str) -> Result<StoredRequest, ApiError> {
    let unknown = || ApiError::UnknownInference { id: id.chars().take(80).collect() };
    let id: InferenceId = id.parse().map_err(|_| unknown())?;
    state.record().request(id).await?.ok_or_else(unknown)
}
