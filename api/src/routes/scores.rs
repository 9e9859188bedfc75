//! Scores of pairs of texts: read, validate, append, wait for the end, answer.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};

use crate::auth::Caller;
use crate::error::{ApiError, ErrorBody};
use crate::inference_id::with_ids;
use crate::openai::rerank::{self, RerankAnswer, RerankRequest};
use crate::openai::score::{self, ScoreAnswer, ScoreRequest};
use crate::running::Running;
use crate::state::ApiState;
use crate::terms::Terms;

/// Orders documents by how well they answer a query; also as `/rerank` and `/v2/rerank`.
#[utoipa::path(post, path = "/v1/rerank", tag = "inference", request_body = RerankRequest,
    responses(
        (status = 200, description = "The documents, best first", body = RerankAnswer),
        (status = "default", description = "What went wrong", body = ErrorBody)))]
pub(crate) async fn rerank(
    State(state): State<Arc<ApiState>>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Result<Response, ApiError> {
    let (body, terms) = Terms::receive(&state, caller, request).await?;
    let (head, mut running) = match rerank::read(&body, &state.deployments, &state.config.limits) {
        Ok((request, head)) => {
            drop(body);
            (head, Running::start_pooling(&state, request, &terms).await?)
        }
        Err(error) => (rerank::head(&body)?, Running::pooling_again(&state, &terms, error).await?),
    };
    let ids = running.ids();
    let id = ids.first().map(ToString::to_string).unwrap_or_default();
    let answer = running.terminal_fact().await.map(|ended| Json(RerankAnswer::new(&id, head, &ended)));
    Ok(with_ids(answer.into_response(), &ids))
}

/// Scores pairs of texts; also as `/score`.
#[utoipa::path(post, path = "/v1/score", tag = "inference", request_body = ScoreRequest,
    responses(
        (status = 200, description = "One score per pair", body = ScoreAnswer),
        (status = "default", description = "What went wrong", body = ErrorBody)))]
pub(crate) async fn score(
    State(state): State<Arc<ApiState>>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Result<Response, ApiError> {
    let (body, terms) = Terms::receive(&state, caller, request).await?;
    let (model, mut running) = match score::read(&body, &state.deployments, &state.config.limits) {
        Ok(request) => {
            drop(body);
            (request.model.clone(), Running::start_pooling(&state, request, &terms).await?)
        }
        Err(error) => (score::head(&body)?, Running::pooling_again(&state, &terms, error).await?),
    };
    let ids = running.ids();
    let id = ids.first().map(ToString::to_string).unwrap_or_default();
    let created = running.created_unix_seconds();
    let answer =
        running.terminal_fact().await.map(|ended| Json(ScoreAnswer::new(&id, created, model, &ended)));
    Ok(with_ids(answer.into_response(), &ids))
}
