//! The body of `POST /v1/inferences`: a request that nobody waits for.

use std::time::Duration;

use schemas::v1::WebhookRequested;
use serde::Deserialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::error::ApiError;
use crate::inference_request::InferenceRequest;
use crate::json_body::parse_object;
use crate::json_object::JsonObject;
use crate::openai::{chat_request, completion_request, embedding_request};
use crate::pooling_request::PoolingRequest;
use crate::state::ApiState;
use crate::webhooks;

/// A background inference may wait for a worker longer than any client would.
pub(crate) const MAX_TIMEOUT: Duration = Duration::from_secs(7 * 86_400);

/// A request of one of the endpoints, to be answered in the background.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct CreateInference {
    /// /v1/chat/completions, /v1/completions or /v1/embeddings.
    endpoint: String,
    /// What that endpoint takes.
    #[schema(value_type = Object)]
    pub(crate) body: Box<RawValue>,
    /// Always true.
    background: Option<bool>,
    /// Who is told of the end.
    #[schema(value_type = Option<WebhookFields>)]
    webhook: Option<JsonObject<WebhookFields>>,
}

/// Who is told of an end.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct WebhookFields {
    /// A public https URL.
    url: String,
    /// The key of the signature, `whsec_` and base64; absent: the server's own.
    secret: Option<String>,
}

/// What is asked.
pub(crate) enum Work {
    Text(Box<InferenceRequest>),
    Pooling(PoolingRequest),
}

impl CreateInference {
    /// Reads the outer body.
    pub(crate) fn read(body: &str) -> Result<Self, ApiError> {
        parse_object(body)
    }

    /// Who is to be told of the end.
    pub(crate) fn webhook(&mut self, state: &ApiState) -> Result<Option<WebhookRequested>, ApiError> {
        let Some(JsonObject(fields)) = self.webhook.take() else { return Ok(None) };
        webhooks::checked(&state.config.webhooks, &fields.url, fields.secret.as_deref()).map(Some)
    }

    /// Checks what is asked.
    pub(crate) fn work(&self, state: &ApiState) -> Result<Work, ApiError> {
        if self.background == Some(false) {
            let message = format!("background is false; POST to {} for an answer at once", self.endpoint);
            let message: String = message.chars().take(200).collect();
            return Err(ApiError::invalid("background", message));
        }
        let (body, deployments, limits) = (self.body.get(), &state.deployments, &state.config.limits);
        let work = match self.endpoint.as_str() {
            "/v1/chat/completions" => Work::Text(Box::new(chat_request::read(body, deployments, limits)?)),
            "/v1/completions" => Work::Text(Box::new(completion_request::read(body, deployments, limits)?)),
            "/v1/embeddings" => Work::Pooling(embedding_request::read(body, deployments, limits)?.0),
            _ => {
                let message = "endpoint must be /v1/chat/completions, /v1/completions or /v1/embeddings";
                return Err(ApiError::invalid("endpoint", message));
            }
        };
        if let Work::Text(request) = &work
            && request.prompts.len() != 1
        {
            let message = format!("{} prompts, a background inference has one", request.prompts.len());
            return Err(ApiError::invalid("body.prompt", message));
        }
        Ok(work)
    }
}
