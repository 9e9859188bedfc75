//! Sleep and wake: workers release their weights, and requests wait in the log.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::{IntoParams, ToSchema};

use crate::administration::{all_sleep, tell_all};
use crate::deployments::{Deployment, Task};
use crate::error::{ApiError, ErrorBody};
use crate::state::ApiState;

/// How to sleep.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct SleepQuery {
    /// 1, the only one: weights and cache are released, the weights are read again from their file.
    level: Option<String>,
    /// Only the workers of this model; absent: all.
    model: Option<String>,
}

/// Whom to wake, or to ask about.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct WakeQuery {
    /// Not supported: everything wakes together.
    tags: Option<String>,
    /// Only the workers of this model; absent: all.
    model: Option<String>,
}

/// Whether the workers sleep.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct IsSleeping {
    /// True when all do that live.
    is_sleeping: bool,
}

/// Lets workers finish what they compute and release their weights.
#[utoipa::path(post, path = "/sleep", tag = "administration", params(SleepQuery),
    responses(
        (status = 200, description = "They sleep"),
        (status = "default", description = "What went wrong", body = ErrorBody)))]
pub(crate) async fn sleep(
    State(state): State<Arc<ApiState>>,
    query: Result<Query<SleepQuery>, QueryRejection>,
) -> Result<(), ApiError> {
    let Query(query) = query.map_err(|_| bad_query())?;
    if query.level.as_deref().is_some_and(|level| level != "1") {
        return Err(ApiError::unsupported(
            "level",
            "level must be 1: weights are read again from their file",
        ));
    }
    let workers = workers(&state, query.model.as_deref())?;
    tell_all(&state, &workers, "sleep", &json!({})).await.into_result()
}

/// Lets workers load their weights and answer what waits.
#[utoipa::path(post, path = "/wake_up", tag = "administration", params(WakeQuery),
    responses(
        (status = 200, description = "They are awake"),
        (status = "default", description = "What went wrong", body = ErrorBody)))]
pub(crate) async fn wake_up(
    State(state): State<Arc<ApiState>>,
    query: Result<Query<WakeQuery>, QueryRejection>,
) -> Result<(), ApiError> {
    let Query(query) = query.map_err(|_| bad_query())?;
    if query.tags.is_some() {
        return Err(ApiError::unsupported("tags", "tags is not supported: weights and cache wake together"));
    }
    let workers = workers(&state, query.model.as_deref())?;
    tell_all(&state, &workers, "wake", &json!({})).await.into_result()
}

/// Says whether workers sleep.
#[utoipa::path(get, path = "/is_sleeping", tag = "administration", params(WakeQuery),
    responses(
        (status = 200, description = "Whether all of them sleep", body = IsSleeping),
        (status = "default", description = "What went wrong", body = ErrorBody)))]
pub(crate) async fn is_sleeping(
    State(state): State<Arc<ApiState>>,
    query: Result<Query<WakeQuery>, QueryRejection>,
) -> Result<Json<IsSleeping>, ApiError> {
    let Query(query) = query.map_err(|_| bad_query())?;
    let workers = workers(&state, query.model.as_deref())?;
    Ok(Json(IsSleeping { is_sleeping: all_sleep(&state, &workers).await? }))
}

fn bad_query() -> ApiError {
    ApiError::Invalid {
        message: "the query cannot be read".to_owned(),
        param: None,
        code: Some("invalid_query"),
    }
}

fn workers(state: &ApiState, model: Option<&str>) -> Result<Vec<(String, Deployment)>, ApiError> {
    let model = model
        .map(|model| state.deployments.find_for(model, Task::Generate))
        .transpose()?
        .map(|found| found.model);
    let workers = state.deployments.workers_of(model.as_deref());
    if workers.is_empty() { Err(ApiError::unavailable("no worker is ready")) } else { Ok(workers) }
}
