//! Lines of a batch that runs by itself: each becomes facts, and the facts of its end become its row.

use std::sync::Arc;

use bus::EventLog;
use http::StatusCode;
use schemas::batch::EndedInference;
use schemas::v1::{AnswerOptions, FailureKind, Outcome, Requested};
use schemas::{InferenceId, failure};
use tokio_util::sync::CancellationToken;

use crate::batch_line::{self, BatchLine, BatchOutcome, RefusedLine};
use crate::config::Limits;
use crate::deployments::Deployments;
use crate::error::ApiError;
use crate::inference_request::InferenceRequest;
use crate::openai::answer::{AnswerHead, Answers, Shape};
use crate::openai::embedding_answer::EmbeddingAnswer;
use crate::openai::embedding_request::{self, EncodingFormat};
use crate::openai::{chat_request, completion_request};
use crate::prices::Prices;

const BASE64: &str = "base64";

/// What lines of batches mean, and how their answers are written: the same as on the routes they name.
#[derive(Clone)]
pub struct BatchLines {
    deployments: Deployments,
    limits: Limits,
    prices: Prices,
}

/// Why a line asks for nothing now.
#[derive(Debug, Clone)]
pub enum UnreadLine {
    /// It never will.
    Refused(BatchOutcome),
    /// Nobody serves its model now.
    UnknownModel {
        /// The name; empty while no model is known at all.
        model: String,
        /// The outcome if that stays so.
        outcome: BatchOutcome,
    },
}

impl BatchLines {
    /// Lines within these limits, at these prices. Until [`BatchLines::follow`] runs, no model is known.
    pub fn new(limits: Limits, prices: Prices) -> Self {
        Self { deployments: Deployments::default(), limits, prices }
    }

    /// Follows which models there are until `shutdown`.
    pub async fn follow(&self, log: Arc<dyn EventLog>, shutdown: CancellationToken) {
        self.deployments.follow(log, shutdown).await;
    }

    /// What a line asks for, but for what the batch knows: one for each of its prompts.
    pub fn read(&self, number: u64, line: &[u8], endpoint: &str) -> Result<Vec<Requested>, UnreadLine> {
        let refused = |refused: RefusedLine| UnreadLine::Refused(refused.into_outcome(number));
        let line = BatchLine::read(line).map_err(refused)?;
        if line.url != endpoint {
            return Err(refused(RefusedLine::elsewhere(&line, endpoint)));
        }
        let priced = |requested: Requested| Requested {
            price: self.prices.of(&requested.model, &self.deployments),
            ..requested
        };
        let requests = self.requests(&line.url, line.body.get());
        requests.map(|requests| requests.into_iter().map(priced).collect()).map_err(|error| {
            let model = match &error {
                ApiError::UnknownModel { model, .. } => Some(model.clone()),
                ApiError::Unavailable { .. } => Some(String::new()),
                _ => None,
            };
            let outcome = answer_with_error(line, number, None, &error);
            match model {
                Some(model) => UnreadLine::UnknownModel { model, outcome },
                None => UnreadLine::Refused(outcome),
            }
        })
    }

    fn requests(&self, url: &str, body: &str) -> Result<Vec<Requested>, ApiError> {
        let (deployments, limits) = (&self.deployments, &self.limits);
        match url {
            "/v1/embeddings" => {
                let (request, format) = embedding_request::read(body, deployments, limits)?;
                let format = if format == EncodingFormat::Base64 { BASE64 } else { "float" };
                let options =
                    AnswerOptions { encoding_format: format.to_owned(), ..AnswerOptions::default() };
                Ok(vec![Requested { answer_options: Some(options), ..request.requested() }])
            }
            "/v1/completions" => Ok(facts_of(completion_request::read(body, deployments, limits)?)),
            _ => Ok(facts_of(chat_request::read(body, deployments, limits)?)),
        }
    }

    /// The outcome of a line whose inferences have ended, in the order of its prompts.
    pub fn answer(&self, number: u64, line: &[u8], inferences: Vec<EndedInference>) -> BatchOutcome {
        let line = match BatchLine::read(line) {
            Ok(line) => line,
            Err(refused) => return refused.into_outcome(number),
        };
        let id = inferences.first().map(|inference| inference.id);
        match document(inferences) {
            Ok(document) => {
                let id = id.map(|id| id.to_string());
                line.into_outcome(number, StatusCode::OK, id.as_deref(), document.as_bytes())
            }
            Err(error) => answer_with_error(line, number, id, &error),
        }
    }

    /// The outcome of a line that is not asked for a reason that lies outside of it.
    pub fn refuse(
        &self,
        number: u64,
        line: Option<&[u8]>,
        code: &'static str,
        message: &str,
    ) -> BatchOutcome {
        batch_line::refused(number, line, code, message)
    }
}

fn facts_of(mut request: InferenceRequest) -> Vec<Requested> {
    let prompts = std::mem::take(&mut request.prompts);
    prompts.into_iter().map(|prompt| request.requested(prompt)).collect()
}

fn answer_with_error(
    line: BatchLine,
    number: u64,
    id: Option<InferenceId>,
    error: &ApiError,
) -> BatchOutcome {
    let body = serde_json::to_vec(&error.body()).unwrap_or_default();
    let id = id.map(|id| id.to_string());
    line.into_outcome(number, error.status(), id.as_deref(), &body)
}

/// The body that the route would have answered with.
fn document(inferences: Vec<EndedInference>) -> Result<String, ApiError> {
    for inference in &inferences {
        if inference.ended.outcome() != Outcome::Completed {
            let untold = || failure(FailureKind::Internal, "failed", "the inference failed");
            let failure = inference.ended.failure.clone().unwrap_or_else(untold);
            return Err(ApiError::Inference(failure));
        }
    }
    let Some(first) = inferences.first() else { return Err(ApiError::Internal) };
    let (id, created) = (first.id, first.requested_at_unix_nanos / 1_000_000_000);
    let requested = first.requested.clone();
    let options = requested.answer_options.clone().unwrap_or_default();
    let mut ends = inferences.into_iter().map(|inference| inference.ended);
    if requested.pooling.is_some() {
        let format = match options.encoding_format.as_str() {
            BASE64 => EncodingFormat::Base64,
            _ => EncodingFormat::Float,
        };
        let Some(ended) = ends.next() else { return Err(ApiError::Internal) };
        let answer = EmbeddingAnswer::new(id.to_string(), created, requested.model, ended, format);
        return serde_json::to_string(&answer).map_err(|_| ApiError::Internal);
    }
    let Some(mut head) = AnswerHead::of(&requested) else { return Err(ApiError::Internal) };
    let prefix = match head.shape {
        Shape::Chat => "chatcmpl",
        Shape::Completion => "cmpl",
    };
    (head.id, head.created) = (format!("{prefix}-{id}"), created);
    Answers::of_ends(head, ends).to_document()
}
