//! The body of `/v1/chat/completions`.

use schemas::SamplingLimits;
use schemas::v1::{ChatPrompt, Prompt, prompt::Content};
use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::openapi::schema::AllOfBuilder;
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::config::Limits;
use crate::deployments::{Deployment, Deployments, Task};
use crate::error::ApiError;
use crate::inference_request::{InferenceRequest, StreamOptions};
use crate::json_body::{parse, parse_object};
use crate::json_object::JsonObject;
use crate::openai::chat_message::{ChatMessage, depth_is_at_most, to_template_json};
use crate::openai::sampling_fields::SamplingFields;
use crate::openai::tool_fields::ToolFields;
use crate::openai::unsupported_fields::TopLevelFields;

/// Arguments of a chat template are small; more is a mistake.
const MAX_TEMPLATE_KWARGS: usize = 64;
const MAX_DEPTH: usize = 64;

/// What a chat has beside its sampling parameters.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct ChatFields {
    /// A name that `/v1/models` lists.
    model: String,
    /// The chat so far.
    #[schema(value_type = Vec<ChatMessage>)]
    messages: Vec<JsonObject<ChatMessage>>,
    /// Send the answer as server-sent events.
    stream: Option<bool>,
    #[schema(value_type = Option<StreamOptionsField>)]
    stream_options: Option<JsonObject<StreamOptionsField>>,
    /// Report log probabilities.
    logprobs: Option<bool>,
    /// Alternatives to report per token; needs `logprobs`.
    #[schema(maximum = 20)]
    top_logprobs: Option<u32>,
    /// End the prompt with the opening of the assistant's turn.
    #[schema(default = true)]
    add_generation_prompt: Option<bool>,
    /// Go on within the last message.
    continue_final_message: Option<bool>,
    /// Extra arguments of the chat template.
    #[schema(value_type = Option<Object>)]
    chat_template_kwargs: Option<Map<String, Value>>,
    /// For templates that know it.
    reasoning_effort: Option<String>,
    /// Most tokens of the thinking span; 0: no thinking.
    thinking_token_budget: Option<u32>,
    /// Show what the model thought.
    #[schema(default = true)]
    include_reasoning: Option<bool>,
    echo: Option<bool>,
    /// Smaller runs earlier.
    priority: Option<i32>,
    /// Separates prefix caches.
    cache_salt: Option<String>,
}

/// How an answer is streamed.
#[derive(Debug, Clone, Copy, Default, Deserialize, ToSchema)]
pub(crate) struct StreamOptionsField {
    /// A last chunk with the usage.
    include_usage: Option<bool>,
    /// The usage so far in every chunk.
    continuous_usage_stats: Option<bool>,
}

impl StreamOptionsField {
    /// Options of a stream, if the answer is one.
    pub(crate) fn resolve(
        stream: Option<bool>,
        options: Option<Self>,
    ) -> Result<Option<StreamOptions>, ApiError> {
        match (stream.unwrap_or_default(), options) {
            (false, None) => Ok(None),
            (false, Some(_)) => Err(ApiError::invalid(
                "stream_options",
                "stream_options may be given only when stream is true",
            )),
            (true, options) => {
                let options = options.unwrap_or_default();
                let continuous_usage_stats = options.continuous_usage_stats.unwrap_or_default();
                let include_usage = options.include_usage.unwrap_or_default();
                Ok(Some(StreamOptions { include_usage, continuous_usage_stats }))
            }
        }
    }
}

/// The whole body, for the documentation.
pub(crate) struct ChatCompletionRequest;

impl PartialSchema for ChatCompletionRequest {
    fn schema() -> RefOr<Schema> {
        let fields = AllOfBuilder::new().item(ChatFields::schema()).item(ToolFields::schema());
        fields.item(SamplingFields::schema()).into()
    }
}

impl ToSchema for ChatCompletionRequest {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        ChatFields::schemas(schemas);
        ToolFields::schemas(schemas);
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
    let fields: ChatFields = parse_object(body)?;
    let tools: ToolFields = parse_object(body)?;
    let sampling: SamplingFields = parse_object(body)?;
    let deployment = deployments.find_for(&fields.model, Task::Generate)?;
    top_level.check_supported()?;
    tracing::debug!(fields = ?top_level.names().collect::<Vec<_>>(), "a chat's fields");
    fields.validate(sampling, tools, &deployment, limits)
}

impl ChatFields {
    fn validate(
        self,
        mut sampling: SamplingFields,
        tools: ToolFields,
        deployment: &Deployment,
        limits: &Limits,
    ) -> Result<InferenceRequest, ApiError> {
        if !deployment.has_chat_template {
            let message = "this model has no chat template; use /v1/completions".to_owned();
            return Err(ApiError::invalid("model", message));
        }
        if self.echo.unwrap_or_default() {
            return Err(ApiError::unsupported("echo", "echo is supported by /v1/completions only"));
        }
        let stream =
            StreamOptionsField::resolve(self.stream, self.stream_options.map(|JsonObject(options)| options))?;
        let logprobs = logprobs(self.logprobs, self.top_logprobs, &limits.sampling)?;
        let (grammar, grammar_param) = sampling.take_grammar()?.unzip();
        let mut sampling = sampling.validate(&limits.sampling, deployment.vocab_size, stream.is_some())?;
        sampling.logprobs = logprobs;
        sampling.thinking_budget_tokens = self.thinking_token_budget;
        sampling.grammar = grammar;
        let continue_final_message = self.continue_final_message.unwrap_or_default();
        let add_generation_prompt = self.add_generation_prompt.unwrap_or(!continue_final_message);
        if continue_final_message && add_generation_prompt {
            let message = "continue_final_message and add_generation_prompt exclude each other";
            return Err(ApiError::invalid("continue_final_message", message));
        }
        let mut kwargs = self.chat_template_kwargs.unwrap_or_default();
        if let Some(effort) = self.reasoning_effort {
            kwargs.entry("reasoning_effort").or_insert(Value::String(effort));
        }
        let mut prompt = ChatPrompt {
            messages_json: to_template_json(self.messages, limits.max_num_messages)?,
            template_kwargs_json: template_kwargs_json(kwargs)?,
            add_generation_prompt,
            continue_final_message,
            ..ChatPrompt::default()
        };
        tools.write_to(&mut prompt)?;
        let demands_call = !matches!(prompt.tool_choice.as_str(), "" | "auto" | "none");
        if demands_call && sampling.grammar.is_some() {
            let message = "tool_choice demands a call, and the answer's text is to match something else";
            return Err(ApiError::invalid("tool_choice", message));
        }
        Ok(InferenceRequest {
            model: self.model,
            endpoint: "/v1/chat/completions",
            prompts: vec![Prompt { content: Some(Content::Chat(prompt)) }],
            sampling,
            grammar_param: grammar_param.unwrap_or_default(),
            stream,
            includes_reasoning: self.include_reasoning.unwrap_or(true),
            priority: self.priority.unwrap_or_default(),
            cache_salt: self.cache_salt.unwrap_or_default(),
        })
    }
}

fn logprobs(
    logprobs: Option<bool>,
    top_logprobs: Option<u32>,
    limits: &SamplingLimits,
) -> Result<Option<u32>, ApiError> {
    let wants_logprobs = logprobs.unwrap_or_default();
    match top_logprobs {
        Some(num) if num > limits.max_logprobs => {
            let message = format!("top_logprobs is {num}, at most {} are allowed", limits.max_logprobs);
            Err(ApiError::invalid("top_logprobs", message))
        }
        Some(num) if num > 0 && !wants_logprobs => {
            Err(ApiError::invalid("top_logprobs", "top_logprobs may be given only when logprobs is true"))
        }
        num => Ok(wants_logprobs.then_some(num.unwrap_or_default())),
    }
}

/// Extra arguments of a chat template as JSON, empty when there are none.
pub(crate) fn template_kwargs_json(kwargs: Map<String, Value>) -> Result<String, ApiError> {
    if kwargs.is_empty() {
        return Ok(String::new());
    }
    let kwargs_are_small = kwargs.len() <= MAX_TEMPLATE_KWARGS;
    if !kwargs_are_small || !kwargs.values().all(|value| depth_is_at_most(value, MAX_DEPTH)) {
        let message =
            format!("chat_template_kwargs may hold {MAX_TEMPLATE_KWARGS} fields, nested {MAX_DEPTH} deep");
        return Err(ApiError::invalid("chat_template_kwargs", message));
    }
    serde_json::to_string(&kwargs).map_err(|_| ApiError::Internal)
}
