//! Whether the node lives, and whether it can answer.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use utoipa::ToSchema;

use crate::state::ApiState;

/// The process answers.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Health {
    status: &'static str,
}

/// What is there and what is missing.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Readiness {
    /// `ready` or `not_ready`.
    status: &'static str,
    /// What a request would miss now.
    missing: Vec<&'static str>,
    /// Models that can be asked.
    models: Vec<String>,
}

/// The build that answers.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Version {
    version: &'static str,
}

/// The process lives.
#[utoipa::path(get, path = "/health", tag = "health",
    responses((status = 200, description = "It does", body = Health)))]
pub(crate) async fn health() -> Json<Health> {
    Json(Health { status: "ok" })
}

/// The process lives.
#[utoipa::path(get, path = "/health/liveliness", tag = "health",
    responses((status = 200, description = "It does", body = Health)))]
pub(crate) async fn liveliness() -> Json<Health> {
    Json(Health { status: "ok" })
}

/// Requests can be answered.
#[utoipa::path(get, path = "/health/readiness", tag = "health",
    responses(
        (status = 200, description = "They can", body = Readiness),
        (status = 503, description = "Something is missing", body = Readiness)))]
pub(crate) async fn readiness(State(state): State<Arc<ApiState>>) -> Response {
    let models: Vec<String> = state.deployments.all().into_iter().map(|(name, _)| name).collect();
    let mut missing = Vec::new();
    if !state.log.is_connected() {
        missing.push("event log");
    }
    if !state.dispatcher.is_listening() {
        missing.push("token subscription");
    }
    if models.is_empty() {
        missing.push("deployment");
    }
    if state.stopping.is_cancelled() {
        missing.push("time: the server is shutting down");
    }
    if missing.is_empty() {
        return Json(Readiness { status: "ready", missing, models }).into_response();
    }
    let retry_after = [(header::RETRY_AFTER, HeaderValue::from_static("2"))];
    let body = Json(Readiness { status: "not_ready", missing, models });
    (StatusCode::SERVICE_UNAVAILABLE, retry_after, body).into_response()
}

/// Names the build.
#[utoipa::path(get, path = "/version", tag = "health",
    responses((status = 200, description = "The version", body = Version)))]
pub(crate) async fn version() -> Json<Version> {
    Json(Version { version: env!("CARGO_PKG_VERSION") })
}
