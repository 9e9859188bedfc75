//! The body and the answer of `/v1/rerank`, as Jina, Cohere and vLLM write them.

use schemas::v1::{Ended, Pooling, PoolingInput, PoolingTask, TextPair, pooling_input::Content};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::config::Limits;
use crate::deployments::{Deployments, Task};
use crate::error::ApiError;
use crate::json_body::parse_object;
use crate::openai::embedding_answer::PoolingUsage;
use crate::pooling_request::{PoolingRequest, check_count, check_not_empty, check_repeated, truncation};

/// A request to order documents by how well they answer a query.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct RerankRequest {
    /// A name that `/v1/models` lists.
    model: String,
    query: String,
    documents: Vec<Document>,
    /// Only the best so many; 0 or absent: all.
    top_n: Option<u32>,
    /// Whether the answer repeats the documents; absent: it does.
    return_documents: Option<bool>,
    /// Keep only this many tokens of each pair; -1: as many as the model takes.
    truncate_prompt_tokens: Option<i64>,
    max_tokens_per_doc: Option<u32>,
    /// Smaller runs earlier.
    priority: Option<i32>,
}

/// A document.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(untagged, expecting = "a string or an object with a text")]
enum Document {
    Text(String),
    Object { text: String },
}

/// What the answer needs of the request.
#[derive(Debug)]
pub(crate) struct RerankHead {
    model: String,
    top_n: usize,
    documents: Option<Vec<String>>,
}

/// The documents, best first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RerankAnswer {
    id: String,
    model: String,
    usage: PoolingUsage,
    results: Vec<RerankResult>,
}

/// One document's place.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RerankResult {
    /// Its place in the request.
    index: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    document: Option<RankedDocument>,
    relevance_score: f32,
}

/// A document, repeated.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RankedDocument {
    text: String,
}

/// Reads and checks a body.
pub(crate) fn read(
    body: &str,
    deployments: &Deployments,
    limits: &Limits,
) -> Result<(PoolingRequest, RerankHead), ApiError> {
    let request: RerankRequest = parse_object(body)?;
    let deployment = deployments.find_for(&request.model, Task::Score)?;
    if request.max_tokens_per_doc.is_some() {
        let message = "max_tokens_per_doc is not supported yet; truncate_prompt_tokens cuts query and document together";
        return Err(ApiError::unsupported("max_tokens_per_doc", message));
    }
    check_not_empty("query", false, [&request.query])?;
    check_count("documents", request.documents.len(), limits)?;
    let documents: Vec<String> = request.documents.into_iter().map(Document::into_text).collect();
    check_not_empty("documents", true, &documents)?;
    check_repeated("query", &request.query, documents.len(), limits)?;
    let pair = |document: &String| TextPair { query: request.query.clone(), document: document.clone() };
    let pooling = Pooling {
        task: PoolingTask::Score.into(),
        inputs: documents
            .iter()
            .map(|document| PoolingInput { content: Some(Content::Pair(pair(document))) })
            .collect(),
        truncate_prompt_tokens: truncation(request.truncate_prompt_tokens, &deployment)?,
        ..Pooling::default()
    };
    let head = RerankHead::new(request.model.clone(), request.top_n, request.return_documents, documents);
    let priority = request.priority.unwrap_or_default();
    Ok((
        PoolingRequest {
            model: request.model,
            endpoint: "/v1/rerank",
            pooling,
            encoding_format: "",
            priority,
        },
        head,
    ))
}

/// What the answer needs of a body.
pub(crate) fn head(body: &str) -> Result<RerankHead, ApiError> {
    let RerankRequest { model, top_n, return_documents, documents, .. } = parse_object(body)?;
    let documents = documents.into_iter().map(Document::into_text).collect();
    Ok(RerankHead::new(model, top_n, return_documents, documents))
}

impl Document {
    fn into_text(self) -> String {
        match self {
            Self::Text(text) | Self::Object { text } => text,
        }
    }
}

impl RerankHead {
    fn new(
        model: String,
        top_n: Option<u32>,
        return_documents: Option<bool>,
        documents: Vec<String>,
    ) -> Self {
        let top_n = match top_n.unwrap_or_default() {
            0 => documents.len(),
            top_n => top_n as usize,
        };
        Self { model, top_n, documents: return_documents.unwrap_or(true).then_some(documents) }
    }
}

impl RerankAnswer {
    /// Equal scores keep the order of the request.
    pub(crate) fn new(id: &str, head: RerankHead, ended: &Ended) -> Self {
        let mut documents = head.documents;
        let score = |index: usize| ended.pooled[index].values.first().copied().unwrap_or_default();
        let mut order: Vec<usize> = (0..ended.pooled.len()).collect();
        order.sort_by(|a, b| score(*b).total_cmp(&score(*a)));
        order.truncate(head.top_n);
        let mut take = |index: usize| {
            let text = documents.as_mut()?.get_mut(index).map(std::mem::take)?;
            Some(RankedDocument { text })
        };
        let results = order
            .into_iter()
            .map(|index| RerankResult { index, document: take(index), relevance_score: score(index) })
            .collect();
        Self { id: format!("rerank-{id}"), model: head.model, usage: PoolingUsage::of(ended), results }
    }
}
