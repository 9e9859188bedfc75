//! OpenAI's batches.

use std::sync::Arc;

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, Request, State};
use axum::{Extension, Json};
use schemas::BatchId;
use schemas::batch::{Batch, BatchStatus};
use schemas::v1::job_envelope::Fact;
use schemas::v1::{BatchCancelRequested, BatchCreated};

use crate::auth::Caller;
use crate::error::{ApiError, ErrorBody};
use crate::idempotency::IdempotencyKey;
use crate::json_body;
use crate::openai::batch_object::BatchObject;
use crate::openai::batch_request::{self, BatchRequest};
use crate::page::{Page, PageQuery};
use crate::routes::files::{self, bad_query, path};
use crate::state::ApiState;

/// Ids of batches and of inferences follow from a client's keys by the same rule; no request has so many prompts.
const BATCH_INDEX: usize = usize::MAX - 1;
const NUM_LISTED: usize = 20;
const MAX_NUM_LISTED: usize = 100;

/// Begins a batch.
#[utoipa::path(post, path = "/v1/batches", tag = "batches", request_body = BatchRequest,
    responses(
        (status = 200, description = "The batch", body = BatchObject),
        (status = "default", description = "What went wrong", body = ErrorBody)))]
pub(crate) async fn create_batch(
    State(state): State<Arc<ApiState>>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Result<Json<BatchObject>, ApiError> {
    let tenant = &state.config.tenant;
    let key = IdempotencyKey::of(request.headers())?;
    let body = json_body::read(&state.config, request).await?;
    let request = batch_request::read(&body)?;
    let name = key.map_or_else(
        || state.jobs.fresh_name("batch_"),
        |key| format!("batch_{}", key.inference_id(tenant, BATCH_INDEX)),
    );
    let id = BatchId::slug(&name);
    if state.jobs.batch(tenant, &id).await?.is_none() {
        let input_file = files::find(&state, request.input_file.as_str()).await?;
        if input_file.created.purpose != "batch" {
            let message = "the file was not uploaded with the purpose batch";
            return Err(ApiError::invalid("input_file_id", message));
        }
        let window_nanos = u64::try_from(request.window.as_nanos()).unwrap_or(u64::MAX);
        let created = BatchCreated {
            batch: id.to_string(),
            input_file: request.input_file.to_string(),
            endpoint: request.endpoint.clone(),
            completion_window: request.completion_window.clone(),
            expires_at_unix_nanos: state.jobs.now_unix_nanos().saturating_add(window_nanos),
            metadata: request.metadata.clone().into_iter().collect(),
            caller: caller.0.to_string(),
            output_expires_seconds: request.output_expires_seconds,
        };
        state.jobs.append(tenant, Fact::BatchCreated(created)).await?;
    }
    // Whoever came first made it what it is.
    let standing = find(&state, id.as_str()).await?;
    if request.asks_for(&standing.created) { Ok(shown(standing)) } else { Err(ApiError::KeyReused) }
}

/// Lists batches.
#[utoipa::path(get, path = "/v1/batches", tag = "batches", params(PageQuery),
    responses(
        (status = 200, description = "A page of batches", body = Page<BatchObject>),
        (status = "default", description = "What went wrong", body = ErrorBody)))]
pub(crate) async fn list_batches(
    State(state): State<Arc<ApiState>>,
    query: Result<Query<PageQuery>, QueryRejection>,
) -> Result<Json<Page<BatchObject>>, ApiError> {
    let Query(query) = query.map_err(|_| bad_query())?;
    let mut batches = state.jobs.batches(&state.config.tenant).await?;
    batches.sort_by_key(|batch| batch.created_at_unix_nanos);
    let batches = batches.into_iter().map(BatchObject::new).collect();
    Page::of(&query, batches, (NUM_LISTED, MAX_NUM_LISTED), |batch: &BatchObject| &batch.id).map(Json)
}

/// Shows a batch.
#[utoipa::path(get, path = "/v1/batches/{batch_id}", tag = "batches", params(("batch_id" = String, Path, description = "The batch")),
    responses(
        (status = 200, description = "The batch and how far it is", body = BatchObject),
        (status = "default", description = "What went wrong", body = ErrorBody)))]
pub(crate) async fn get_batch(
    State(state): State<Arc<ApiState>>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Json<BatchObject>, ApiError> {
    find(&state, &path(id)?).await.map(shown)
}

/// Gives a batch up: what has ended is kept, the rest is not run.
#[utoipa::path(post, path = "/v1/batches/{batch_id}/cancel", tag = "batches", params(("batch_id" = String, Path, description = "The batch")),
    responses(
        (status = 200, description = "The batch, which is being cancelled", body = BatchObject),
        (status = "default", description = "What went wrong", body = ErrorBody)))]
pub(crate) async fn cancel_batch(
    State(state): State<Arc<ApiState>>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Json<BatchObject>, ApiError> {
    let batch = find(&state, &path(id)?).await?;
    let status = batch.status();
    if status.is_final() || status == BatchStatus::Finalizing {
        let message = format!("a batch with the status '{}' cannot be cancelled", status.as_str());
        return Err(ApiError::Conflict { message, code: "batch_not_cancellable" });
    }
    let cancel = BatchCancelRequested { batch: batch.id.to_string() };
    state.jobs.append(&state.config.tenant, Fact::BatchCancelRequested(cancel)).await?;
    find(&state, batch.id.as_str()).await.map(shown)
}

/// A caller's batch.
async fn find(state: &ApiState, id: &str) -> Result<Batch, ApiError> {
    let not_found = || ApiError::not_found("batch", id);
    let batch: BatchId = id.parse().map_err(|_| not_found())?;
    state.jobs.batch(&state.config.tenant, &batch).await?.ok_or_else(not_found)
}

fn shown(batch: Batch) -> Json<BatchObject> {
    Json(BatchObject::new(batch))
}
