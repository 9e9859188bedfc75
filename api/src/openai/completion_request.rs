//! The body of `/v1/completions`.

use serde::Deserialize;
use utoipa::openapi::schema::AllOfBuilder;
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::config::Limits;
use crate::deployments::{Deployment, Deployments, Task};
use crate::error::ApiError;
use crate::inference_request::InferenceRequest;
use crate::json_body::{parse, parse_object};
use crate::json_object::JsonObject;
use crate::openai::chat_request::StreamOptionsField;
use crate::openai::prompt_field::PromptField;
use crate::openai::sampling_fields::SamplingFields;
use crate::openai::unsupported_fields::TopLevelFields;

/// OpenAI's default for this route, where nothing else ends an answer for sure.
const DEFAULT_MAX_TOKENS: u32 = 16;

/// What a completion has beside its sampling parameters.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct CompletionFields {
    /// A name that `/v1/models` lists.
    model: String,
    /// Each prompt gets its own answers; their indexes are `prompt * n + choice`.
    prompt: PromptField,
    /// Send the answer as server-sent events.
    stream: Option<bool>,
    #[schema(value_type = Option<StreamOptionsField>)]
    stream_options: Option<JsonObject<StreamOptionsField>>,
    /// Alternatives to report per token; 0 reports the chosen one alone.
    #[schema(maximum = 20)]
    logprobs: Option<u32>,
    /// Repeat the prompt before the answer.
    echo: Option<bool>,
    best_of: Option<u32>,
    /// Smaller runs earlier.
    priority: Option<i32>,
    /// Separates prefix caches.
    cache_salt: Option<String>,
}

/// The whole body, for the documentation.
pub(crate) struct CompletionRequest;

impl PartialSchema for CompletionRequest {
    fn schema() -> RefOr<Schema> {
        AllOfBuilder::new().item(CompletionFields::schema()).item(SamplingFields::schema()).into()
    }
}

impl ToSchema for CompletionRequest {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        CompletionFields::schemas(schemas);
        SamplingFields::schemas(schemas);
    }
}

/// Reads and checks a body.
pub(crate) fn read(
    body: &str,
    deployments: &Deployments,
    limits: &Limits,
) -> Result<InferenceRequest, ApiError> {
    let top_level: TopLevelFields<'_> = parse(body)?;
    let fields: CompletionFields = parse_object(body)?;
    let sampling: SamplingFields = parse_object(body)?;
    let deployment = deployments.find_for(&fields.model, Task::Generate)?;
    top_level.check_supported()?;
    top_level.check_text_completion()?;
    tracing::debug!(fields = ?top_level.names().collect::<Vec<_>>(), "a completion's fields");
    fields.validate(sampling, &deployment, limits)
}

impl CompletionFields {
    fn validate(
        self,
        mut sampling: SamplingFields,
        deployment: &Deployment,
        limits: &Limits,
    ) -> Result<InferenceRequest, ApiError> {
        let stream =
            StreamOptionsField::resolve(self.stream, self.stream_options.map(|JsonObject(options)| options))?;
        let max_num = limits.sampling.max_logprobs;
        if let Some(num) = self.logprobs.filter(|num| *num > max_num) {
            let message = format!("logprobs is {num}, at most {max_num} are allowed");
            return Err(ApiError::invalid("logprobs", message));
        }
        let (grammar, grammar_param) = sampling.take_grammar()?.unzip();
        let mut sampling = sampling.validate(&limits.sampling, deployment.vocab_size, stream.is_some())?;
        if self.best_of.is_some_and(|best_of| best_of != sampling.n) {
            return Err(ApiError::unsupported("best_of", "best_of is not supported yet; leave it out"));
        }
        let prompts = self.prompt.into_prompts(deployment, limits)?;
        let num_choices = prompts.len().saturating_mul(sampling.n as usize);
        if num_choices > limits.max_num_choices {
            let message = format!(
                "{} prompts with n {} make {num_choices} choices, at most {} are allowed in one request",
                prompts.len(),
                sampling.n,
                limits.max_num_choices
            );
            return Err(ApiError::invalid("n", message));
        }
        sampling.logprobs = self.logprobs;
        sampling.grammar = grammar;
        sampling.echo = self.echo.unwrap_or_default();
        if sampling.echo && sampling.prompt_logprobs.is_none() {
            sampling.prompt_logprobs = self.logprobs;
        }
        sampling.max_tokens.get_or_insert(DEFAULT_MAX_TOKENS.max(sampling.min_tokens));
        Ok(InferenceRequest {
            model: self.model,
            endpoint: "/v1/completions",
            prompts,
            sampling,
            grammar_param: grammar_param.unwrap_or_default(),
            stream,
            includes_reasoning: false,
            priority: self.priority.unwrap_or_default(),
            cache_salt: self.cache_salt.unwrap_or_default(),
        })
    }
}
