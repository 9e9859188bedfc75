//! A file on its way in: parts of a form, stored as they come.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::multipart::{Field, Multipart, MultipartError};
use axum::extract::{FromRequest, Request};
use bus::{BusError, FileWriter, WrittenFile};
use bytes::Bytes;
use http::header;
use schemas::v1::job_envelope::Fact;
use schemas::v1::{FileCreated, FileUploadBegun, FileUploadEnded};
use schemas::{FileId, TenantId};
use tokio::runtime::Handle;
use tokio::time::Instant;
use tracing::warn;

use crate::error::ApiError;
use crate::idempotency::IdempotencyKey;
use crate::state::ApiState;
use crate::upload_body::UploadBody;

/// What a client may say that a file is for.
const PURPOSES: &[&str] = &["assistants", "batch", "evals", "fine-tune", "user_data", "vision"];
/// Ids of files and of inferences follow from a client's keys by the same rule; no request has so many prompts.
const FILE_INDEX: usize = usize::MAX;
const MAX_TEXT_BYTES: usize = 1_024;
const MAX_FILENAME_CHARS: usize = 255;
/// What a form holds beside the file.
const MAX_FORM_BYTES: u64 = 64 << 10;
/// How long a file may be asked to be kept.
pub(crate) const EXPIRY_SECONDS: RangeInclusive<u64> = 3_600..=30 * 86_400;

/// A file takes no longer to come, however often something of it does; the sweeper waits twice as long.
const MAX_UPLOAD: Duration = Duration::from_secs(43_200);

/// What has come of a form so far. Dropping it before the file is known removes what was stored.
pub(crate) struct Upload {
    state: Arc<ApiState>,
    id: FileId,
    purpose: Option<String>,
    expires_anchor: Option<String>,
    expires_seconds: Option<u64>,
    file: Option<(String, WrittenFile)>,
    /// Whether its client gave a key: then what was stored serves the next attempt.
    is_keyed: bool,
    is_kept: bool,
    runtime: Handle,
}

impl Drop for Upload {
    fn drop(&mut self) {
        if self.is_kept || self.is_keyed {
            return;
        }
        let (state, id) = (Arc::clone(&self.state), self.id.clone());
        let purge = async move {
            match bus::purge_file(state.log.as_ref(), &state.config.tenant, &id).await {
                Ok(()) => end(&state, &id).await,
                Err(error) => warn!(file = %id, %error, "what came of an upload is removed by the sweeper"),
            }
        };
        self.state.background.spawn_on(purge, &self.runtime);
    }
}

impl Upload {
    /// Takes a whole form in. The file's bytes are durable when this returns, and nobody knows of them yet.
    pub(crate) async fn receive(state: &Arc<ApiState>, request: Request) -> Result<Self, ApiError> {
        let (request, body) = UploadBody::of(request);
        let received = Self::read(state, request).await;
        if received.is_err() {
            body.read_on();
        }
        received
    }

    async fn read(state: &Arc<ApiState>, request: Request) -> Result<Self, ApiError> {
        let max_num_bytes = state.config.limits.max_file_bytes;
        let length = request.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
        if length
            .and_then(|length| length.parse().ok())
            .is_some_and(|length: u64| length > max_num_bytes.saturating_add(MAX_FORM_BYTES))
        {
            return Err(too_large(max_num_bytes));
        }
        let key = IdempotencyKey::of(request.headers())?;
        let id = key.as_ref().map_or_else(
            || state.jobs.fresh_name("file-"),
            |key| format!("file-{}", key.inference_id(&state.config.tenant, FILE_INDEX)),
        );
        let mut form = Multipart::from_request(request, &())
            .await
            .map_err(|_| invalid("the body must be multipart/form-data with the fields purpose and file"))?;
        let mut upload = Self {
            state: Arc::clone(state),
            id: FileId::slug(&id),
            purpose: None,
            expires_anchor: None,
            expires_seconds: None,
            file: None,
            is_keyed: key.is_some(),
            is_kept: false,
            runtime: Handle::current(),
        };
        while let Some(field) = in_time(state, form.next_field()).await? {
            upload.take(field).await?;
        }
        Ok(upload)
    }

    async fn take(&mut self, field: Field<'_>) -> Result<(), ApiError> {
        let state = Arc::clone(&self.state);
        match field.name().unwrap_or_default() {
            "purpose" => self.purpose = Some(text(&state, field).await?),
            "expires_after[anchor]" => self.expires_anchor = Some(text(&state, field).await?),
            "expires_after[seconds]" => {
                let seconds = text(&state, field).await?.parse().ok();
                let seconds = seconds.filter(|seconds| EXPIRY_SECONDS.contains(seconds));
                self.expires_seconds = Some(seconds.ok_or_else(|| {
                    let (least, most) = EXPIRY_SECONDS.into_inner();
                    let message = format!("expires_after[seconds] must be {least} to {most}");
                    ApiError::invalid("expires_after[seconds]", message)
                })?);
            }
            "file" if self.file.is_some() => {
                return Err(ApiError::invalid("file", "one file at a time can be uploaded"));
            }
            "file" => {
                let filename = field.file_name().unwrap_or("file").chars().take(MAX_FILENAME_CHARS).collect();
                let written = self.store(field).await?;
                self.file = Some((filename, written));
            }
            other => {
                let other: String = other.chars().take(80).collect();
                return Err(ApiError::invalid(
                    other.clone(),
                    format!("the form has an unknown field {other}"),
                ));
            }
        }
        Ok(())
    }

    async fn store(&self, mut field: Field<'_>) -> Result<WrittenFile, ApiError> {
        let state = &self.state;
        let max_num_bytes = state.config.limits.max_file_bytes;
        let tenant: TenantId = state.config.tenant.clone();
        let begun = FileUploadBegun { file: self.id.to_string() };
        state.jobs.append(&tenant, Fact::FileUploadBegun(begun)).await?;
        let began = Instant::now();
        let mut writer = FileWriter::new(Arc::clone(&state.log), tenant, self.id.clone());
        while let Some(bytes) = next_part(state, &mut field).await? {
            if writer.num_bytes() + bytes.len() as u64 > max_num_bytes {
                return Err(too_large(max_num_bytes));
            }
            if began.elapsed() > MAX_UPLOAD {
                return Err(ApiError::BodyTimeout { waited: MAX_UPLOAD });
            }
            writer.write(&bytes).await.map_err(|error| self.refused(error))?;
        }
        writer.finish().await.map_err(|error| self.refused(error))
    }

    /// Bytes that are not those of the key's first upload.
    fn refused(&self, error: BusError) -> ApiError {
        match error {
            BusError::Object { .. } if self.is_keyed => ApiError::KeyReused,
            error => error.into(),
        }
    }

    /// The fact that makes the file known, after every field was checked.
    pub(crate) fn to_fact(&self) -> Result<FileCreated, ApiError> {
        let Some((filename, written)) = &self.file else {
            return Err(ApiError::invalid("file", "file is required"));
        };
        let purpose =
            self.purpose.as_deref().ok_or_else(|| ApiError::invalid("purpose", "purpose is required"))?;
        if !PURPOSES.contains(&purpose) {
            let message = format!("purpose must be one of {}", PURPOSES.join(", "));
            return Err(ApiError::invalid("purpose", message));
        }
        let expires_at_unix_nanos = match (self.expires_anchor.as_deref(), self.expires_seconds) {
            (None, None) => 0,
            (Some("created_at"), Some(seconds)) => {
                self.state.jobs.now_unix_nanos().saturating_add(seconds.saturating_mul(1_000_000_000))
            }
            _ => {
                let message = "expires_after needs the anchor created_at and seconds";
                return Err(ApiError::invalid("expires_after", message));
            }
        };
        Ok(FileCreated {
            file: self.id.to_string(),
            filename: filename.clone(),
            purpose: purpose.to_owned(),
            num_bytes: written.num_bytes,
            num_chunks: written.num_chunks,
            digest: written.digest.clone(),
            expires_at_unix_nanos,
        })
    }

    /// The file is known now: its bytes are no longer removed with this.
    pub(crate) fn keep(&mut self) -> FileId {
        self.is_kept = true;
        self.id.clone()
    }

    /// Says that nothing of it is left over.
    pub(crate) async fn end(self) {
        end(&self.state, &self.id).await;
    }
}

/// Where it cannot be said, the sweeper finds out.
async fn end(state: &ApiState, id: &FileId) {
    let ended = FileUploadEnded { file: id.to_string() };
    if let Err(error) = state.jobs.append(&state.config.tenant, Fact::FileUploadEnded(ended)).await {
        warn!(file = %id, %error, "the end of an upload could not be written");
    }
}

async fn text(state: &ApiState, mut field: Field<'_>) -> Result<String, ApiError> {
    let mut text = Vec::new();
    while let Some(bytes) = next_part(state, &mut field).await? {
        text.extend_from_slice(&bytes);
        if text.len() > MAX_TEXT_BYTES {
            return Err(invalid("a field of the form is too long"));
        }
    }
    String::from_utf8(text).map_err(|_| invalid("a field of the form is not UTF-8"))
}

async fn next_part(state: &ApiState, field: &mut Field<'_>) -> Result<Option<Bytes>, ApiError> {
    in_time(state, field.chunk()).await
}

/// A client that sends nothing for the time of a whole body is given up.
async fn in_time<T>(
    state: &ApiState,
    part: impl Future<Output = Result<T, MultipartError>>,
) -> Result<T, ApiError> {
    let waited = state.config.timeouts.body_read;
    let part = tokio::time::timeout(waited, part).await.map_err(|_| ApiError::BodyTimeout { waited })?;
    part.map_err(|error| {
        tracing::debug!(%error, "a form cannot be read");
        invalid("the form broke off or is malformed")
    })
}

fn invalid(message: &str) -> ApiError {
    ApiError::Invalid { message: message.to_owned(), param: None, code: Some("invalid_form") }
}

fn too_large(max_num_bytes: u64) -> ApiError {
    ApiError::BodyTooLarge { max_num_bytes: usize::try_from(max_num_bytes).unwrap_or(usize::MAX) }
}
