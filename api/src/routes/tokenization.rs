//! Texts to tokens and back: questions to a worker of the model's pool, not recorded.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use bus::subjects;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::deployments::Deployment;
use crate::error::{ApiError, ErrorBody};
use crate::json_body;
use crate::json_object::JsonObject;
use crate::openai::chat_message::{ChatMessage, to_template_json};
use crate::openai::chat_request::template_kwargs_json;
use crate::openai::sampling_fields::check_vocabulary;
use crate::state::ApiState;
use crate::worker_query::ask;

/// A text or a chat.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct TokenizeRequest {
    /// May be left out while there is only one.
    model: Option<String>,
    prompt: Option<String>,
    #[schema(value_type = Option<Vec<ChatMessage>>)]
    messages: Option<Vec<JsonObject<ChatMessage>>>,
    /// Whether the tokenizer adds its special tokens; true for a prompt, false for a chat unless given.
    add_special_tokens: Option<bool>,
    return_token_strs: Option<bool>,
    add_generation_prompt: Option<bool>,
    continue_final_message: Option<bool>,
    #[schema(value_type = Option<Object>)]
    chat_template_kwargs: Option<Map<String, Value>>,
}

/// The tokens.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct TokenizeAnswer {
    count: usize,
    max_model_len: u32,
    tokens: Vec<u32>,
    token_strs: Option<Vec<String>>,
}

/// Tokens.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct DetokenizeRequest {
    /// May be left out while there is only one.
    model: Option<String>,
    tokens: Vec<u32>,
}

/// The text.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct DetokenizeAnswer {
    prompt: String,
}

/// What a worker is asked; the fields of vLLM's request, checked.
#[derive(Debug, Serialize)]
struct TokenizeQuestion {
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    messages: Option<Box<RawValue>>,
    add_special_tokens: bool,
    add_generation_prompt: bool,
    continue_final_message: bool,
    return_token_strs: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    chat_template_kwargs: Option<Box<RawValue>>,
}

#[derive(Debug, Serialize)]
struct DetokenizeQuestion {
    tokens: Vec<u32>,
}

/// Splits a text, or a chat as its template writes it, into tokens.
#[utoipa::path(post, path = "/tokenize", tag = "tokens", request_body = TokenizeRequest,
    responses(
        (status = 200, description = "The tokens", body = TokenizeAnswer),
        (status = "default", description = "What went wrong", body = ErrorBody)))]
pub(crate) async fn tokenize(
    State(state): State<Arc<ApiState>>,
    request: Request,
) -> Result<Response, ApiError> {
    let body = json_body::read(&state.config, request).await?;
    let request: TokenizeRequest = json_body::parse_object(&body)?;
    let deployment = find_model(&state, request.model.as_deref())?;
    let question = request.into_question(state.config.limits.max_num_messages)?;
    let subject = subjects::query(&deployment.pool, "tokenize");
    let answer: TokenizeAnswer = ask(&state, subject, &question, state.config.timeouts.query).await?;
    Ok(Json(answer).into_response())
}

/// Joins tokens into a text.
#[utoipa::path(post, path = "/detokenize", tag = "tokens", request_body = DetokenizeRequest,
    responses(
        (status = 200, description = "The text", body = DetokenizeAnswer),
        (status = "default", description = "What went wrong", body = ErrorBody)))]
pub(crate) async fn detokenize(
    State(state): State<Arc<ApiState>>,
    request: Request,
) -> Result<Response, ApiError> {
    let body = json_body::read(&state.config, request).await?;
    let request: DetokenizeRequest = json_body::parse_object(&body)?;
    let deployment = find_model(&state, request.model.as_deref())?;
    check_vocabulary("tokens", request.tokens.iter().copied(), deployment.vocab_size)?;
    let question = DetokenizeQuestion { tokens: request.tokens };
    let subject = subjects::query(&deployment.pool, "detokenize");
    let answer: DetokenizeAnswer = ask(&state, subject, &question, state.config.timeouts.query).await?;
    Ok(Json(answer).into_response())
}

impl TokenizeRequest {
    fn into_question(self, max_num_messages: usize) -> Result<TokenizeQuestion, ApiError> {
        let is_chat = self.messages.is_some();
        if is_chat == self.prompt.is_some() {
            return Err(ApiError::invalid("prompt", "either prompt or messages is needed"));
        }
        let messages =
            self.messages.map(|messages| to_template_json(messages, max_num_messages)).transpose()?;
        let continue_final_message = self.continue_final_message.unwrap_or_default();
        let kwargs_json = template_kwargs_json(self.chat_template_kwargs.unwrap_or_default())?;
        Ok(TokenizeQuestion {
            prompt: self.prompt,
            messages: messages.map(to_raw).transpose()?,
            add_special_tokens: self.add_special_tokens.unwrap_or(!is_chat),
            add_generation_prompt: self.add_generation_prompt.unwrap_or(!continue_final_message),
            continue_final_message,
            return_token_strs: self.return_token_strs.unwrap_or_default(),
            chat_template_kwargs: (!kwargs_json.is_empty()).then(|| to_raw(kwargs_json)).transpose()?,
        })
    }
}

fn to_raw(json: String) -> Result<Box<RawValue>, ApiError> {
    RawValue::from_string(json).map_err(|_| ApiError::Internal)
}

fn find_model(state: &ApiState, model: Option<&str>) -> Result<Deployment, ApiError> {
    model.map_or_else(|| state.deployments.find_only(), |model| state.deployments.find(model))
}
