//! What a client is told when something goes wrong: one enum, one table of statuses, OpenAI's error shape.

use std::time::Duration;

use axum::Json;
use axum::response::{IntoResponse, Response};
use bus::{BusError, StreamName};
use http::{HeaderValue, StatusCode, header};
use schemas::v1::{Failure, FailureKind};
use schemas::{InvalidParameter, failure};
use serde::Serialize;
use thiserror::Error;
use utoipa::ToSchema;

/// What a request can be refused with.
#[derive(Debug, Clone, PartialEq, Error)]
pub(crate) enum ApiError {
    #[error("{message}")]
    Invalid { message: String, param: Option<String>, code: Option<&'static str> },
    #[error("no API key was given; send 'Authorization: Bearer KEY' or 'x-api-key: KEY'")]
    MissingKey,
    #[error("the API key is not valid for this server")]
    WrongKey,
    #[error("this route needs the auditor's key, which JETMILL_AUDITOR_KEY or api.auditor_key sets")]
    NotAnAuditor,
    #[error("the model '{model}' does not exist; available: {available}")]
    UnknownModel { model: String, available: String },
    #[error("the lora adapter '{name}' cannot be found")]
    UnknownAdapter { name: String },
    #[error("no such {what} '{id}'")]
    NotFound { what: &'static str, id: String },
    #[error("{message}")]
    Conflict { message: String, code: &'static str },
    #[error("there is no inference {id}; it never was, or the log does not hold it any more")]
    UnknownInference { id: String },
    #[error("the inference has ended: {outcome}")]
    AlreadyEnded { outcome: &'static str },
    #[error("what was asked and answered cannot be read any more: {reason}")]
    ContentErased { reason: String },
    #[error("the position lies past the end of the answer")]
    PastTheEnd,
    #[error("this Idempotency-Key belongs to another request; use a new key for a new request")]
    KeyReused,
    #[error("there is no route {method} {path}; /openapi.json lists all")]
    UnknownRoute { method: String, path: String },
    #[error("{method} is not allowed on {path}")]
    MethodNotAllowed { method: String, path: String },
    #[error("the body is larger than {max_num_bytes} bytes, which is the limit of this server")]
    BodyTooLarge { max_num_bytes: usize },
    #[error("the media type '{found}' is not supported; send 'Content-Type: application/json'")]
    UnsupportedMediaType { found: String },
    #[error("the request's body did not arrive within {} s", waited.as_secs_f32())]
    BodyTimeout { waited: Duration },
    #[error("no end within {} s; the inference is cancelled", waited.as_secs_f32())]
    RequestTimeout { waited: Duration },
    #[error("{max_num} inferences are in flight, which is the limit of this server; try again later")]
    TooManyRequests { max_num: usize, retry_after: Duration },
    #[error("{max_num} requests wait for this model, which is the limit; try again later")]
    QueueFull { max_num: usize, retry_after: Duration },
    #[error("{reason}; try again later")]
    Unavailable { reason: String, retry_after: Duration },
    #[error("{}", .0.message)]
    Inference(Failure),
    #[error("an internal error; the server's log says more")]
    Internal,
}

/// The body of every answer that is no success.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct ErrorBody {
    pub(crate) error: ErrorDetail,
}

/// What went wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct ErrorDetail {
    /// What is wrong and what would be right.
    pub(crate) message: String,
    /// The class of the error.
    #[serde(rename = "type")]
    pub(crate) kind: &'static str,
    /// The request's field at fault, as a path: `messages.0.role`.
    pub(crate) param: Option<String>,
    /// A stable word.
    pub(crate) code: Option<String>,
}

const INVALID: &str = "invalid_request_error";
const OVERLOADED: &str = "overloaded_error";

impl ApiError {
    /// A request at fault, with the field.
    pub(crate) fn invalid(param: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Invalid { message: message.into(), param: Some(param.into()), code: None }
    }

    /// A field that would change the answer and that nothing here honours yet.
    pub(crate) fn unsupported(param: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Invalid {
            message: message.into(),
            param: Some(param.into()),
            code: Some("unsupported_parameter"),
        }
    }

    /// A JSON schema that is none, or that cannot be used.
    pub(crate) fn invalid_schema(param: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Invalid {
            message: message.into(),
            param: Some(param.into()),
            code: Some("invalid_json_schema"),
        }
    }

    /// A model that is there and cannot do what is asked of it.
    pub(crate) fn unsupported_task(model: &str, task: &str) -> Self {
        let model: String = model.chars().take(200).collect();
        Self::Invalid {
            message: format!("the model '{model}' does not support {task}"),
            param: Some("model".to_owned()),
            code: Some("unsupported_task"),
        }
    }

    /// A body that is no JSON of the right shape as a whole.
    pub(crate) fn malformed(message: impl Into<String>) -> Self {
        Self::Invalid { message: message.into(), param: None, code: Some("invalid_json") }
    }

    /// What this caller does not have; the id is cut to a length that can be shown.
    pub(crate) fn not_found(what: &'static str, id: &str) -> Self {
        Self::NotFound { what, id: id.chars().take(100).collect() }
    }

    /// A part of the system that is not there now.
    pub(crate) fn unavailable(reason: impl Into<String>) -> Self {
        Self::Unavailable { reason: reason.into(), retry_after: Duration::from_secs(2) }
    }

    /// The one table of statuses and types.
    fn class(&self) -> (StatusCode, &'static str) {
        match self {
            Self::Invalid { .. } => (StatusCode::BAD_REQUEST, INVALID),
            Self::MissingKey | Self::WrongKey => (StatusCode::UNAUTHORIZED, "authentication_error"),
            Self::NotAnAuditor => (StatusCode::FORBIDDEN, "permission_error"),
            Self::UnknownModel { .. }
            | Self::UnknownAdapter { .. }
            | Self::NotFound { .. }
            | Self::UnknownInference { .. }
            | Self::UnknownRoute { .. } => (StatusCode::NOT_FOUND, INVALID),
            Self::AlreadyEnded { .. } => (StatusCode::CONFLICT, INVALID),
            Self::Conflict { .. } => (StatusCode::CONFLICT, INVALID),
            Self::ContentErased { .. } => (StatusCode::GONE, INVALID),
            Self::PastTheEnd => (StatusCode::BAD_REQUEST, INVALID),
            Self::KeyReused => (StatusCode::UNPROCESSABLE_ENTITY, "idempotency_error"),
            Self::MethodNotAllowed { .. } => (StatusCode::METHOD_NOT_ALLOWED, INVALID),
            Self::BodyTooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, INVALID),
            Self::UnsupportedMediaType { .. } => (StatusCode::UNSUPPORTED_MEDIA_TYPE, INVALID),
            Self::BodyTimeout { .. } | Self::RequestTimeout { .. } => {
                (StatusCode::REQUEST_TIMEOUT, "timeout_error")
            }
            Self::TooManyRequests { .. } | Self::QueueFull { .. } => {
                (StatusCode::TOO_MANY_REQUESTS, "rate_limit_error")
            }
            Self::Unavailable { .. } => (StatusCode::SERVICE_UNAVAILABLE, OVERLOADED),
            Self::Inference(failure) => match failure.kind() {
                FailureKind::InvalidRequest => (StatusCode::BAD_REQUEST, INVALID),
                FailureKind::NotFound => (StatusCode::NOT_FOUND, INVALID),
                FailureKind::Refused => (StatusCode::BAD_REQUEST, "content_policy_error"),
                FailureKind::Overloaded => (StatusCode::SERVICE_UNAVAILABLE, OVERLOADED),
                FailureKind::Timeout => (StatusCode::REQUEST_TIMEOUT, "timeout_error"),
                FailureKind::Internal | FailureKind::Unspecified => {
                    (StatusCode::INTERNAL_SERVER_ERROR, "internal_error")
                }
            },
            Self::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "internal_error"),
        }
    }

    /// The HTTP status.
    pub(crate) fn status(&self) -> StatusCode {
        self.class().0
    }

    fn code(&self) -> Option<&str> {
        match self {
            Self::Invalid { code, .. } => *code,
            Self::MissingKey => Some("missing_api_key"),
            Self::WrongKey => Some("invalid_api_key"),
            Self::NotAnAuditor => Some("auditor_key_required"),
            Self::UnknownModel { .. } => Some("model_not_found"),
            Self::UnknownAdapter { .. } => Some("lora_not_found"),
            Self::NotFound { .. } => Some("not_found"),
            Self::Conflict { code, .. } => Some(code),
            Self::UnknownInference { .. } => Some("inference_not_found"),
            Self::AlreadyEnded { .. } => Some("inference_ended"),
            Self::PastTheEnd => Some("position_past_end"),
            Self::ContentErased { .. } => Some("content_erased"),
            Self::KeyReused => Some("idempotency_key_reused"),
            Self::UnknownRoute { .. } => Some("route_not_found"),
            Self::MethodNotAllowed { .. } => Some("method_not_allowed"),
            Self::BodyTooLarge { .. } => Some("body_too_large"),
            Self::UnsupportedMediaType { .. } => Some("unsupported_media_type"),
            Self::BodyTimeout { .. } => Some("body_timeout"),
            Self::RequestTimeout { .. } => Some("request_timeout"),
            Self::TooManyRequests { .. } => Some("too_many_requests"),
            Self::QueueFull { .. } => Some("queue_full"),
            Self::Unavailable { .. } => Some("unavailable"),
            Self::Inference(failure) => (!failure.code.is_empty()).then_some(failure.code.as_str()),
            Self::Internal => Some("internal_error"),
        }
    }

    fn param(&self) -> Option<&str> {
        match self {
            Self::Invalid { param, .. } => param.as_deref(),
            Self::UnknownModel { .. } => Some("model"),
            Self::UnknownAdapter { .. } => Some("lora_name"),
            Self::PastTheEnd => Some("starting_after"),
            Self::KeyReused => Some("Idempotency-Key"),
            Self::Inference(failure) => (!failure.param.is_empty()).then_some(failure.param.as_str()),
            _ => None,
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::TooManyRequests { retry_after, .. }
            | Self::QueueFull { retry_after, .. }
            | Self::Unavailable { retry_after, .. } => Some(*retry_after),
            Self::Inference(failure) if failure.kind() == FailureKind::Overloaded => {
                Some(Duration::from_secs(2))
            }
            _ => None,
        }
    }

    /// The body as the client reads it.
    pub(crate) fn body(&self) -> ErrorBody {
        ErrorBody {
            error: ErrorDetail {
                message: self.to_string(),
                kind: self.class().1,
                param: self.param().map(str::to_owned),
                code: self.code().map(str::to_owned),
            },
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.status(), Json(self.body())).into_response();
        let headers = response.headers_mut();
        if let Some(wait) = self.retry_after() {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(wait.as_secs().max(1)));
        }
        if self.status() == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

impl From<InvalidParameter> for ApiError {
    fn from(invalid: InvalidParameter) -> Self {
        Self::invalid(invalid.param, invalid.message)
    }
}

impl From<BusError> for ApiError {
    fn from(error: BusError) -> Self {
        match error {
            BusError::Unreachable(_) => Self::unavailable("the event log cannot be reached"),
            BusError::Full(stream) if stream == StreamName::Files.as_str() => {
                Self::unavailable("the store of files is full")
            }
            BusError::Full(_) => Self::unavailable("the event log is full"),
            BusError::NoResponder(_) => Self::unavailable("no worker of this model is up"),
            BusError::TimedOut { .. } => Self::unavailable("no worker answered in time"),
            BusError::TooLarge { max_num_bytes, .. } => Self::BodyTooLarge { max_num_bytes },
            BusError::Refused(_)
            | BusError::Object { .. }
            | BusError::Archive { .. }
            | BusError::Server(_) => Self::Internal,
        }
    }
}

/// A failure that this node found by itself.
pub(crate) fn internal_failure(code: &str, message: &str) -> Failure {
    failure(FailureKind::Internal, code, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(kind: FailureKind, expected_status: u16, expected_type: &str) {
        let error = ApiError::Inference(failure(kind, "a_code", "words").at("prompt"));
        assert_eq!(error.status().as_u16(), expected_status);
        let detail = error.body().error;
        assert_eq!(detail.kind, expected_type);
        assert_eq!(detail.param.as_deref(), Some("prompt"));
        assert_eq!(detail.code.as_deref(), Some("a_code"));
    }

    #[test]
    fn each_kind_of_failure_has_its_status() {
        check(FailureKind::InvalidRequest, 400, "invalid_request_error");
        check(FailureKind::NotFound, 404, "invalid_request_error");
        check(FailureKind::Refused, 400, "content_policy_error");
        check(FailureKind::Overloaded, 503, "overloaded_error");
        check(FailureKind::Timeout, 408, "timeout_error");
        check(FailureKind::Internal, 500, "internal_error");
    }

    #[test]
    fn what_passes_says_when_to_come_back() {
        for error in [
            ApiError::unavailable("x"),
            ApiError::from(BusError::Full("INFERENCE".into())),
            ApiError::Inference(failure(FailureKind::Overloaded, "queue_full", "full")),
            ApiError::TooManyRequests { max_num: 1, retry_after: Duration::ZERO },
            ApiError::QueueFull { max_num: 1, retry_after: Duration::ZERO },
        ] {
            let response = error.into_response();
            let wait = response.headers()[header::RETRY_AFTER].to_str().unwrap().parse::<u64>().unwrap();
            assert!(wait >= 1);
        }
    }
}
