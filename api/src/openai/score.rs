//! The body and the answer of `/v1/score`, as vLLM writes them.

use schemas::v1::{Ended, Pooling, PoolingInput, PoolingTask, TextPair, pooling_input::Content};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::config::Limits;
use crate::deployments::{Deployments, Task};
use crate::error::ApiError;
use crate::json_body::parse_object;
use crate::openai::embedding_answer::PoolingUsage;
use crate::openai::string_or_list::StringOrList;
use crate::pooling_request::{PoolingRequest, check_count, check_not_empty, check_repeated, truncation};

/// A request to score pairs of texts.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct ScoreRequest {
    /// A name that `/v1/models` lists.
    model: String,
    /// One text for all of `text_2`, or one for each.
    text_1: StringOrList,
    text_2: StringOrList,
    /// Keep only this many tokens of each pair; -1: as many as the model takes.
    truncate_prompt_tokens: Option<i64>,
    /// Smaller runs earlier.
    priority: Option<i32>,
}

/// One score per pair.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ScoreAnswer {
    id: String,
    object: &'static str,
    created: u64,
    model: String,
    data: Vec<Score>,
    usage: PoolingUsage,
}

/// The score of one pair.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Score {
    index: usize,
    object: &'static str,
    score: f32,
}

/// Reads and checks a body.
pub(crate) fn read(
    body: &str,
    deployments: &Deployments,
    limits: &Limits,
) -> Result<PoolingRequest, ApiError> {
    let request: ScoreRequest = parse_object(body)?;
    let deployment = deployments.find_for(&request.model, Task::Score)?;
    let (StringOrList(first), StringOrList(second)) = (request.text_1, request.text_2);
    check_count("text_1", first.len(), limits)?;
    check_count("text_2", second.len(), limits)?;
    check_not_empty("text_1", first.len() > 1, &first)?;
    check_not_empty("text_2", second.len() > 1, &second)?;
    if first.len() != 1 && first.len() != second.len() {
        let message = format!(
            "text_1 has {} texts and text_2 {}; give one text_1, or as many as text_2",
            first.len(),
            second.len()
        );
        return Err(ApiError::invalid("text_1", message));
    }
    if let [text] = first.as_slice() {
        check_repeated("text_1", text, second.len(), limits)?;
    }
    let pair = |(query, document): (&String, String)| PoolingInput {
        content: Some(Content::Pair(TextPair { query: query.clone(), document })),
    };
    let pooling = Pooling {
        task: PoolingTask::Score.into(),
        inputs: first.iter().cycle().zip(second).map(pair).collect(),
        truncate_prompt_tokens: truncation(request.truncate_prompt_tokens, &deployment)?,
        ..Pooling::default()
    };
    let priority = request.priority.unwrap_or_default();
    Ok(PoolingRequest { model: request.model, endpoint: "/v1/score", pooling, encoding_format: "", priority })
}

/// What the answer needs of a body: the model's name.
pub(crate) fn head(body: &str) -> Result<String, ApiError> {
    Ok(parse_object::<ScoreRequest>(body)?.model)
}

impl ScoreAnswer {
    pub(crate) fn new(id: &str, created: u64, model: String, ended: &Ended) -> Self {
        let data = ended.pooled.iter().enumerate().map(|(index, pooled)| Score {
            index,
            object: "score",
            score: pooled.values.first().copied().unwrap_or_default(),
        });
        let usage = PoolingUsage::of(ended);
        Self { id: format!("score-{id}"), object: "list", created, model, data: data.collect(), usage }
    }
}
