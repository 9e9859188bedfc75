//! Questions to workers: asked on the bus, not recorded.

use std::time::Duration;

use bytes::Bytes;
use schemas::failure;
use schemas::v1::FailureKind;
use serde::{Deserialize, Serialize};

use crate::error::ApiError;
use crate::state::ApiState;

#[derive(Debug, Deserialize)]
struct WorkerRefusal {
    error: WorkerError,
}

#[derive(Debug, Deserialize)]
struct WorkerError {
    code: String,
    message: String,
    #[serde(default)]
    param: Option<String>,
    #[serde(default)]
    kind: String,
}

/// Asks whoever answers on `subject`; a refusal becomes the error that the client sees.
pub(crate) async fn ask<A: serde::de::DeserializeOwned>(
    state: &ApiState,
    subject: String,
    question: &impl Serialize,
    patience: Duration,
) -> Result<A, ApiError> {
    let payload = serde_json::to_vec(question).map_err(|_| ApiError::Internal)?;
    let answer = state.log.ask(subject.clone(), Bytes::from(payload), patience).await?;
    if let Ok(WorkerRefusal { error }) = serde_json::from_slice(&answer) {
        return Err(error.into());
    }
    serde_json::from_slice(&answer).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        tracing::error!(subject, line, column, "a worker's answer cannot be read");
        ApiError::Internal
    })
}

impl From<WorkerError> for ApiError {
    fn from(error: WorkerError) -> Self {
        let kind = match error.kind.as_str() {
            "invalid_request" => FailureKind::InvalidRequest,
            "not_found" => FailureKind::NotFound,
            "refused" => FailureKind::Refused,
            "overloaded" => FailureKind::Overloaded,
            "timeout" => FailureKind::Timeout,
            _ => FailureKind::Internal,
        };
        let failure = failure(kind, &error.code, error.message);
        Self::Inference(failure.at(error.param.as_deref().unwrap_or_default()))
    }
}
