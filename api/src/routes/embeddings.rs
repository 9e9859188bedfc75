//! Vectors of texts: read, validate, append, wait for the end, answer.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};

use crate::auth::Caller;
use crate::error::{ApiError, ErrorBody};
use crate::inference_id::with_ids;
use crate::openai::embedding_answer::EmbeddingAnswer;
use crate::openai::embedding_request::{self, EmbeddingRequest};
use crate::running::Running;
use crate::state::ApiState;
use crate::terms::Terms;

/// Turns texts into vectors.
#[utoipa::path(post, path = "/v1/embeddings", tag = "inference", request_body = EmbeddingRequest,
    responses(
        (status = 200, description = "One vector per input", body = EmbeddingAnswer),
        (status = "default", description = "What went wrong", body = ErrorBody)))]
pub(crate) async fn embeddings(
    State(state): State<Arc<ApiState>>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Result<Response, ApiError> {
    let (body, terms) = Terms::receive(&state, caller, request).await?;
    let (model, format, mut running) =
        match embedding_request::read(&body, &state.deployments, &state.config.limits) {
            Ok((request, format)) => {
                drop(body);
                let model = request.model.clone();
                (model, format, Running::start_pooling(&state, request, &terms).await?)
            }
            Err(error) => {
                let (model, format) = embedding_request::head(&body)?;
                (model, format, Running::pooling_again(&state, &terms, error).await?)
            }
        };
    let ids = running.ids();
    let answer = running.terminal_fact().await.map(|ended| {
        let id = ids.first().map(ToString::to_string).unwrap_or_default();
        Json(EmbeddingAnswer::new(id, running.created_unix_seconds(), model, ended, format))
    });
    Ok(with_ids(answer.into_response(), &ids))
}
