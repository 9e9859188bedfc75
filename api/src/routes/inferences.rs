//! Inferences by their ids.

use std::sync::Arc;

use axum::extract::{Path, Query, Request, State};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use bus::{ErasedBy, ErasureScope, InferenceAddress};
use http::{HeaderMap, StatusCode, header};
use schemas::InferenceId;
use schemas::v1::envelope::Fact;
use schemas::v1::{CancelRequested, Ended, Outcome};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::auth::Caller;
use crate::background_request::{CreateInference, Work};
use crate::error::{ApiError, ErrorBody};
use crate::inference_document::InferenceDocument;
use crate::inference_id::with_ids;
use crate::inference_record::StoredRequest;
use crate::openai::answer::{AnswerHead, Answers};
use crate::position::ResumePoint;
use crate::running::Running;
use crate::running::again::stored_instead;
use crate::sse;
use crate::state::ApiState;
use crate::terms::{Terms, last_event_id};
use crate::webhooks::outcome_word;

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

/// Accepts a request that nobody waits for.
#[utoipa::path(post, path = "/v1/inferences", tag = "inference", request_body = CreateInference,
    responses(
        (status = 202, description = "It is in the log and will be answered", body = InferenceDocument),
        (status = "default", description = "What went wrong", body = ErrorBody)))]
pub(crate) async fn create(
    State(state): State<Arc<ApiState>>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Result<Response, ApiError> {
    let (body, terms) = Terms::receive(&state, caller, request).await?;
    let mut outer = CreateInference::read(&body)?;
    drop(body);
    let terms = terms.in_background(outer.body.get())?;
    let webhook = outer.webhook(&state)?;
    let id = match outer.work(&state) {
        Ok(work) => begin(&state, work, &terms).await?,
        Err(error) => match stored_instead(&state, &terms, &error).await?.first() {
            Some(stored) => stored.id,
            None => return Err(error),
        },
    };
    if let Some(webhook) = webhook {
        // A client that was not answered asks again under its key, so a webhook cannot get lost with this node.
        state.append_after_request(id, Fact::WebhookRequested(webhook)).await?;
    }
    let document = InferenceDocument::read(&state, find(&state, &id.to_string()).await?).await?;
    let location = [(header::LOCATION, format!("/v1/inferences/{id}"))];
    Ok(with_ids((StatusCode::ACCEPTED, location, Json(document)).into_response(), &[id]))
}

async fn begin(state: &Arc<ApiState>, work: Work, terms: &Terms) -> Result<InferenceId, ApiError> {
    let running = match work {
        Work::Text(request) => Running::start(state, *request, terms).await?,
        Work::Pooling(request) => Running::start_pooling(state, request, terms).await?,
    };
    running.id(0).ok_or(ApiError::Internal)
}

/// How an inference stands, and its answer when it has completed.
#[utoipa::path(get, path = "/v1/inferences/{id}", tag = "inference", params(("id" = String, Path)),
    responses(
        (status = 200, description = "The inference", body = InferenceDocument),
        (status = "default", description = "What went wrong", body = ErrorBody)))]
pub(crate) async fn retrieve(
    State(state): State<Arc<ApiState>>,
    Path(id): Path<String>,
) -> Result<Json<InferenceDocument>, ApiError> {
    let stored = find(&state, &id).await?;
    Ok(Json(InferenceDocument::read(&state, stored).await?))
}

/// Stops an inference. Asking twice is the same as once; one that has ended is refused with 409.
#[utoipa::path(post, path = "/v1/inferences/{id}/cancel", tag = "inference", params(("id" = String, Path)),
    responses(
        (status = 200, description = "It is, or will soon be, cancelled", body = InferenceDocument),
        (status = "default", description = "What went wrong", body = ErrorBody)))]
pub(crate) async fn cancel(
    State(state): State<Arc<ApiState>>,
    Path(id): Path<String>,
) -> Result<Json<InferenceDocument>, ApiError> {
    let stored = find(&state, &id).await?;
    let id = stored.id;
    let record = state.record();
    if let Some((_, ended)) = record.end(id).await? {
        return Err(ApiError::AlreadyEnded { outcome: outcome_word(ended.outcome()) });
    }
    let reason = "requested".to_owned();
    state.append_after_request(id, Fact::CancelRequested(CancelRequested { reason })).await?;
    if record.start(id, 1).await?.is_none() {
        // No worker holds it, so nobody else would end it before one is free. Whoever is first ends it.
        end_cancelled(&state, &stored).await?;
    }
    Ok(Json(InferenceDocument::read(&state, stored).await?))
}

/// What was erased.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ErasedContent {
    id: String,
    object: &'static str,
    erased: bool,
    /// Keys that were destroyed: 0 if none was left.
    num_keys: u64,
}

/// Erases what was asked and answered, for good: its key is destroyed, wherever its facts are kept. What happened, when and at
/// what cost stays. One that has not ended is refused with 409: cancel it first.
#[utoipa::path(delete, path = "/v1/inferences/{id}/content", tag = "inference", params(("id" = String, Path)),
    responses(
        (status = 200, description = "Nobody can read its content any more", body = ErasedContent),
        (status = "default", description = "What went wrong", body = ErrorBody)))]
pub(crate) async fn erase_content(
    State(state): State<Arc<ApiState>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Json<ErasedContent>, ApiError> {
    let stored = find(&state, &id).await?;
    if state.record().end(stored.id).await?.is_none() {
        let message = "the inference has not ended; cancel it first".to_owned();
        return Err(ApiError::Conflict { message, code: "inference_not_ended" });
    }
    let writer = format!("api/{}", state.config.ingress);
    let by = ErasedBy { caller: &caller.0, writer: &writer, stamp: state.facts.stamp() };
    let scope = ErasureScope::Inference(stored.id);
    let num_keys = bus::erase_content(state.log.as_ref(), &state.config.tenant, &scope, by).await?;
    Ok(Json(ErasedContent { id: stored.id.to_string(), object: "inference.content", erased: true, num_keys }))
}

async fn end_cancelled(state: &ApiState, stored: &StoredRequest) -> Result<(), ApiError> {
    let address = InferenceAddress {
        inference: stored.id,
        tenant: state.config.tenant.clone(),
        ingress: stored.ingress.clone(),
    };
    let ended = Ended { outcome: Outcome::Cancelled.into(), ..Ended::default() };
    let facts = state.facts.following(stored.hash);
    Ok(facts.end(&address, ended).await?)
}

/// The request of an inference; another tenant's is not found.
async fn find(state: &ApiState, id: &str) -> Result<StoredRequest, ApiError> {
    let unknown = || ApiError::UnknownInference { id: id.chars().take(80).collect() };
    let id: InferenceId = id.parse().map_err(|_| unknown())?;
    state.record().request(id).await?.ok_or_else(unknown)
}
