//! OpenAI's files.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, Request, State};
use axum::response::{IntoResponse, Response};
use bus::StoredFile;
use futures_util::StreamExt as _;
use http::header;
use schemas::FileId;
use schemas::v1::FileDeleted;
use schemas::v1::job_envelope::Fact;

use crate::error::{ApiError, ErrorBody};
use crate::openai::file_object::{FileDeletion, FileObject};
use crate::page::{Page, PageQuery};
use crate::state::ApiState;
use crate::upload::Upload;

const MAX_NUM_LISTED: usize = 10_000;

/// Stores a file; its bytes are taken in as they come.
#[utoipa::path(post, path = "/v1/files", tag = "files",
    request_body(content = Object, content_type = "multipart/form-data", description = "purpose and file"),
    responses(
        (status = 200, description = "The file", body = FileObject),
        (status = "default", description = "What went wrong", body = ErrorBody)))]
pub(crate) async fn create_file(
    State(state): State<Arc<ApiState>>,
    request: Request,
) -> Result<Json<FileObject>, ApiError> {
    let mut upload = Upload::receive(&state, request).await?;
    let created = upload.to_fact()?;
    state.jobs.append(&state.config.tenant, Fact::FileCreated(created.clone())).await?;
    let id = upload.keep();
    // A key's file may have been deleted since its first upload; then the bytes that came again are left to the sweeper.
    let file = find(&state, id.as_str()).await?;
    upload.end().await;
    // With a key the file may be an earlier upload's.
    let is_same = (&file.created.digest, &file.created.purpose, &file.created.filename)
        == (&created.digest, &created.purpose, &created.filename);
    if is_same { Ok(Json(FileObject::new(file))) } else { Err(ApiError::KeyReused) }
}

/// Lists files.
#[utoipa::path(get, path = "/v1/files", tag = "files", params(PageQuery),
    responses(
        (status = 200, description = "A page of files", body = Page<FileObject>),
        (status = "default", description = "What went wrong", body = ErrorBody)))]
pub(crate) async fn list_files(
    State(state): State<Arc<ApiState>>,
    query: Result<Query<PageQuery>, QueryRejection>,
) -> Result<Json<Page<FileObject>>, ApiError> {
    let Query(query) = query.map_err(|_| bad_query())?;
    let mut files = state.jobs.files(&state.config.tenant).await?;
    files.sort_by_key(|file| file.created_at_unix_nanos);
    files.retain(|file| query.purpose.as_ref().is_none_or(|purpose| *purpose == file.created.purpose));
    let files = files.into_iter().map(FileObject::new).collect();
    Page::of(&query, files, (MAX_NUM_LISTED, MAX_NUM_LISTED), |file: &FileObject| &file.id).map(Json)
}

/// Shows a file.
#[utoipa::path(get, path = "/v1/files/{file_id}", tag = "files", params(("file_id" = String, Path, description = "The file")),
    responses(
        (status = 200, description = "The file", body = FileObject),
        (status = "default", description = "What went wrong", body = ErrorBody)))]
pub(crate) async fn get_file(
    State(state): State<Arc<ApiState>>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Json<FileObject>, ApiError> {
    let file = find(&state, &path(id)?).await?;
    Ok(Json(FileObject::new(file)))
}

/// Deletes a file and its bytes.
#[utoipa::path(delete, path = "/v1/files/{file_id}", tag = "files", params(("file_id" = String, Path, description = "The file")),
    responses(
        (status = 200, description = "The file is gone", body = FileDeletion),
        (status = "default", description = "What went wrong", body = ErrorBody)))]
pub(crate) async fn delete_file(
    State(state): State<Arc<ApiState>>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Json<FileDeletion>, ApiError> {
    let file = find(&state, &path(id)?).await?;
    let tenant = &state.config.tenant;
    let batches = state.jobs.batches(tenant).await?;
    if let Some(batch) =
        batches.iter().find(|batch| batch.input_file == file.id && !batch.status().is_final())
    {
        let message = format!("the batch '{}' reads this file; cancel it first", batch.id);
        return Err(ApiError::Conflict { message, code: "file_in_use" });
    }
    // The bytes go first: if that fails, the file can still be deleted again.
    bus::purge_file(state.log.as_ref(), tenant, &file.id).await?;
    state.jobs.append(tenant, Fact::FileDeleted(FileDeleted { file: file.id.to_string() })).await?;
    Ok(Json(FileDeletion::new(file.id.to_string())))
}

/// The bytes of a file.
#[utoipa::path(get, path = "/v1/files/{file_id}/content", tag = "files", params(("file_id" = String, Path, description = "The file")),
    responses(
        (status = 200, description = "Its bytes", body = Vec<u8>, content_type = "application/octet-stream"),
        (status = "default", description = "What went wrong", body = ErrorBody)))]
pub(crate) async fn file_content(
    State(state): State<Arc<ApiState>>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Response, ApiError> {
    let file = find(&state, &path(id)?).await?;
    let (tenant, num_chunks) = (&state.config.tenant, file.created.num_chunks);
    let chunks = bus::read_file(state.log.as_ref(), tenant, &file.id, num_chunks).await?;
    let chunks = chunks.inspect(|chunk| {
        if let Err(error) = chunk {
            tracing::warn!(%error, "a file cannot be read to its end");
        }
    });
    let headers = [
        (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
        (header::CONTENT_LENGTH, file.created.num_bytes.to_string()),
    ];
    Ok((headers, Body::from_stream(chunks)).into_response())
}

/// A caller's file.
pub(crate) async fn find(state: &ApiState, id: &str) -> Result<StoredFile, ApiError> {
    let not_found = || ApiError::not_found("file", id);
    let file: FileId = id.parse().map_err(|_| not_found())?;
    state.jobs.file(&state.config.tenant, &file).await?.ok_or_else(not_found)
}

pub(crate) fn bad_query() -> ApiError {
    ApiError::Invalid {
        message: "the query cannot be read".to_owned(),
        param: None,
        code: Some("invalid_query"),
    }
}

/// The id in a path.
pub(crate) fn path(id: Result<Path<String>, PathRejection>) -> Result<String, ApiError> {
    let Path(id) = id.map_err(|_| ApiError::invalid("id", "the id in the path cannot be read"))?;
    Ok(id)
}
