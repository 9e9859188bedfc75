//! An inference as its client sees it when asking for it by its id.

use std::sync::Arc;

use schemas::v1::{Ended, Outcome, Timings};
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::error::{ApiError, ErrorDetail};
use crate::inference_record::StoredRequest;
use crate::openai::answer::{AnswerHead, Answers};
use crate::openai::embedding_answer::EmbeddingAnswer;
use crate::openai::embedding_request::EncodingFormat;
use crate::openai::usage::Usage;
use crate::running::Running;
use crate::state::ApiState;
use crate::webhooks::outcome_word;

/// Attempts whose start is looked for.
const MAX_NUM_ATTEMPTS: u32 = 3;

/// One inference.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct InferenceDocument {
    id: String,
    object: &'static str,
    /// queued, in_progress, cancelling, completed, rejected, failed or cancelled.
    status: &'static str,
    endpoint: String,
    model: String,
    background: bool,
    /// Unix time in seconds, as are the others.
    created_at: u64,
    started_at: Option<u64>,
    ended_at: Option<u64>,
    timings: Option<TimingsDocument>,
    usage: Option<Usage>,
    /// Why it was to be cancelled.
    cancel_reason: Option<String>,
    /// What went wrong, unless it completed.
    error: Option<ErrorDetail>,
    /// Why neither what was asked nor the answer can be read any more, if so.
    content_erased: Option<String>,
    /// The endpoint's own answer, once it completed.
    #[schema(value_type = Option<Object>)]
    response: Option<Box<RawValue>>,
}

/// Durations as the worker measured them.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
pub(crate) struct TimingsDocument {
    queued_seconds: f64,
    prefill_seconds: f64,
    decode_seconds: f64,
    time_to_first_token_seconds: f64,
}

impl From<Timings> for TimingsDocument {
    fn from(timings: Timings) -> Self {
        let seconds = |nanos: u64| nanos as f64 / 1e9;
        Self {
            queued_seconds: seconds(timings.queued_nanos),
            prefill_seconds: seconds(timings.prefill_nanos),
            decode_seconds: seconds(timings.decode_nanos),
            time_to_first_token_seconds: seconds(timings.time_to_first_token_nanos),
        }
    }
}

impl InferenceDocument {
    /// What the log says of it now.
    pub(crate) async fn read(state: &Arc<ApiState>, stored: StoredRequest) -> Result<Self, ApiError> {
        let record = state.record();
        let id = stored.id;
        let (end, cancellation) = tokio::try_join!(record.end(id), record.cancellation(id))?;
        let mut started_at = None;
        for attempt in 1..=MAX_NUM_ATTEMPTS {
            if let Some((at, _)) = record.start(id, attempt).await? {
                started_at = Some(seconds(at));
                break;
            }
        }
        let status = match &end {
            Some((_, ended)) => outcome_word(ended.outcome()),
            None if cancellation.is_some() => "cancelling",
            None if started_at.is_some() => "in_progress",
            None => "queued",
        };
        let mut document = Self {
            id: id.to_string(),
            object: "inference",
            status,
            endpoint: stored.requested.endpoint.clone(),
            model: stored.requested.model.clone(),
            background: stored.requested.background,
            created_at: seconds(stored.at_unix_nanos),
            started_at,
            ended_at: None,
            timings: None,
            usage: None,
            cancel_reason: cancellation.map(|cancel| cancel.reason),
            error: None,
            content_erased: stored.erased.clone(),
            response: None,
        };
        let Some((ended_at, ended)) = end else { return Ok(document) };
        document.ended_at = Some(seconds(ended_at));
        document.timings = ended.timings.map(TimingsDocument::from);
        document.usage = ended.usage.map(Usage::from);
        document.error = ended.failure.clone().map(|failure| ApiError::Inference(failure).body().error);
        if ended.outcome() == Outcome::Completed && stored.erased.is_none() {
            document.response = response(state, stored, ended).await?;
        }
        Ok(document)
    }
}

/// The endpoint's answer; none for endpoints whose answers repeat parts of the request.
async fn response(
    state: &Arc<ApiState>,
    stored: StoredRequest,
    ended: Ended,
) -> Result<Option<Box<RawValue>>, ApiError> {
    let text = if let Some(head) = AnswerHead::of(&stored.requested) {
        let mut running = Running::attach(state, vec![stored], head.num_choices, Vec::new()).await?;
        Answers::new(head, &running).collect(&mut running).await?.to_document()?
    } else if stored.requested.endpoint == "/v1/embeddings" {
        let options = stored.requested.answer_options.unwrap_or_default();
        let format = EncodingFormat::named(&options.encoding_format);
        let created = seconds(stored.at_unix_nanos);
        let answer =
            EmbeddingAnswer::new(stored.id.to_string(), created, stored.requested.model, ended, format);
        serde_json::to_string(&answer).map_err(|_| ApiError::Internal)?
    } else {
        return Ok(None);
    };
    RawValue::from_string(text).map(Some).map_err(|_| ApiError::Internal)
}

fn seconds(unix_nanos: u64) -> u64 {
    unix_nanos / 1_000_000_000
}
