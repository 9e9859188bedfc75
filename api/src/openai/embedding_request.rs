//! The body of `/v1/embeddings`.

use schemas::v1::{Pooling, PoolingInput, PoolingTask, TokenIds, pooling_input::Content};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::config::Limits;
use crate::deployments::{Deployments, Task};
use crate::error::ApiError;
use crate::json_body::parse_object;
use crate::openai::prompt_field::PromptField;
use crate::openai::sampling_fields::check_vocabulary;
use crate::pooling_request::{PoolingRequest, check_count, check_not_empty, truncation};

/// A request for vectors.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct EmbeddingRequest {
    /// A name that `/v1/models` lists.
    model: String,
    /// One or several texts, as texts or as token ids.
    input: PromptField,
    encoding_format: Option<EncodingFormat>,
    /// Leading elements to keep of each vector; only models that were trained for it can be cut.
    dimensions: Option<u32>,
    /// Keep only this many tokens of each input; -1: as many as the model takes.
    truncate_prompt_tokens: Option<i64>,
    /// Smaller runs earlier.
    priority: Option<i32>,
}

/// How vectors are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum EncodingFormat {
    /// A list of numbers.
    #[default]
    Float,
    /// The numbers' four bytes each, little-endian, in base64.
    Base64,
}

impl EncodingFormat {
    /// The word for it.
    fn name(self) -> &'static str {
        match self {
            Self::Float => "float",
            Self::Base64 => "base64",
        }
    }

    /// By its word; the default for every other one.
    pub(crate) fn named(name: &str) -> Self {
        if name == Self::Base64.name() { Self::Base64 } else { Self::default() }
    }
}

/// Reads and checks a body.
pub(crate) fn read(
    body: &str,
    deployments: &Deployments,
    limits: &Limits,
) -> Result<(PoolingRequest, EncodingFormat), ApiError> {
    let request: EmbeddingRequest = parse_object(body)?;
    let deployment = deployments.find_for(&request.model, Task::Embed)?;
    if request.dimensions == Some(0) {
        return Err(ApiError::invalid("dimensions", "dimensions is 0, at least 1 is needed"));
    }
    let format = request.encoding_format.unwrap_or_default();
    let contents = contents(request.input, limits, deployment.vocab_size)?;
    let pooling = Pooling {
        task: PoolingTask::Embed.into(),
        inputs: contents.into_iter().map(|content| PoolingInput { content: Some(content) }).collect(),
        dimensions: request.dimensions.unwrap_or_default(),
        truncate_prompt_tokens: truncation(request.truncate_prompt_tokens, &deployment)?,
    };
    let request = PoolingRequest {
        model: request.model,
        endpoint: "/v1/embeddings",
        pooling,
        encoding_format: format.name(),
        priority: request.priority.unwrap_or_default(),
    };
    Ok((request, format))
}

/// What the answer needs of a body: the model's name, and how vectors are written.
pub(crate) fn head(body: &str) -> Result<(String, EncodingFormat), ApiError> {
    let request: EmbeddingRequest = parse_object(body)?;
    Ok((request.model, request.encoding_format.unwrap_or_default()))
}

fn contents(input: PromptField, limits: &Limits, vocab_size: u32) -> Result<Vec<Content>, ApiError> {
    let ids = |ids: Vec<u32>| Content::TokenIds(TokenIds { ids });
    let contents: Vec<Content> = match input {
        PromptField::Text(text) => {
            check_not_empty("input", false, [&text])?;
            vec![Content::Text(text)]
        }
        PromptField::Texts(texts) => {
            check_not_empty("input", true, &texts)?;
            texts.into_iter().map(Content::Text).collect()
        }
        PromptField::Ids(list) => vec![ids(list)],
        PromptField::IdLists(lists) => lists.into_iter().map(ids).collect(),
    };
    check_count("input", contents.len(), limits)?;
    for (index, content) in contents.iter().enumerate() {
        if let Content::TokenIds(TokenIds { ids }) = content {
            let param = format!("input.{index}");
            if ids.is_empty() {
                return Err(ApiError::invalid(
                    param.clone(),
                    format!("{param} is an empty list of token ids"),
                ));
            }
            check_vocabulary("input", ids.iter().copied(), vocab_size)?;
        }
    }
    Ok(contents)
}
