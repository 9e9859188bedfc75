//! Chat and text completions: read, validate, append, wait, answer.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, header};

use crate::auth::Caller;
use crate::error::{ApiError, ErrorBody};
use crate::inference_id::with_ids;
use crate::inference_request::InferenceRequest;
use crate::openai::answer::{AnswerHead, Answers, Shape};
use crate::openai::chat_answer::ChatCompletion;
use crate::openai::chat_request::{self, ChatCompletionRequest};
use crate::openai::completion_answer::Completion;
use crate::openai::completion_request::{self, CompletionRequest};
use crate::running::Running;
use crate::running::again::Again;
use crate::sse;
use crate::state::ApiState;
use crate::terms::Terms;

/// Answers a chat.
#[utoipa::path(post, path = "/v1/chat/completions", tag = "inference",
    request_body = ChatCompletionRequest,
    responses(
        (status = 200, description = "The answer, or with stream its parts as server-sent events", body = ChatCompletion<'static>),
        (status = "default", description = "What went wrong", body = ErrorBody)))]
pub(crate) async fn chat_completions(
    State(state): State<Arc<ApiState>>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Result<Response, ApiError> {
    let (body, terms) = Terms::receive(&state, caller, request).await?;
    let request = chat_request::read(&body, &state.deployments, &state.config.limits);
    drop(body);
    match request {
        Ok(request) => answer(&state, &terms, request, Shape::Chat).await,
        Err(error) => answer_again(&state, &terms, error).await,
    }
}

/// Completes texts.
#[utoipa::path(post, path = "/v1/completions", tag = "inference",
    request_body = CompletionRequest,
    responses(
        (status = 200, description = "The answer, or with stream its parts as server-sent events", body = Completion<'static>),
        (status = "default", description = "What went wrong", body = ErrorBody)))]
pub(crate) async fn completions(
    State(state): State<Arc<ApiState>>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Result<Response, ApiError> {
    let (body, terms) = Terms::receive(&state, caller, request).await?;
    let request = completion_request::read(&body, &state.deployments, &state.config.limits);
    drop(body);
    match request {
        Ok(request) => answer(&state, &terms, request, Shape::Completion).await,
        Err(error) => answer_again(&state, &terms, error).await,
    }
}

async fn answer(
    state: &Arc<ApiState>,
    terms: &Terms,
    request: InferenceRequest,
    shape: Shape,
) -> Result<Response, ApiError> {
    let head = AnswerHead::new(&request, shape);
    let is_streaming = request.stream.is_some();
    let running = Running::start(state, request, terms).await?;
    tell(state, head, running, is_streaming).await
}

/// The answer to a request that was made before under its key, though its model is gone by now; otherwise `error`.
async fn answer_again(state: &Arc<ApiState>, terms: &Terms, error: ApiError) -> Result<Response, ApiError> {
    let Again { head, is_streaming, running } = Running::again(state, terms, error).await?;
    tell(state, head, running, is_streaming).await
}

async fn tell(
    state: &Arc<ApiState>,
    head: AnswerHead,
    running: Running,
    is_streaming: bool,
) -> Result<Response, ApiError> {
    let ids = running.ids();
    let answers = Answers::new(head, &running);
    let response = if is_streaming {
        sse::respond(state, running, answers).await
    } else {
        whole(running, answers).await
    };
    Ok(with_ids(response.unwrap_or_else(IntoResponse::into_response), &ids))
}

async fn whole(mut running: Running, answers: Answers) -> Result<Response, ApiError> {
    let document = answers.collect(&mut running).await?.to_document()?;
    let json = HeaderValue::from_static("application/json");
    Ok(([(header::CONTENT_TYPE, json)], document).into_response())
}
