//! Files as OpenAI shows them.

use bus::StoredFile;
use serde::Serialize;
use utoipa::ToSchema;

/// A file that was uploaded, or that a batch wrote.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FileObject {
    pub(crate) id: String,
    object: &'static str,
    bytes: u64,
    /// Seconds since the Unix epoch.
    created_at: u64,
    expires_at: Option<u64>,
    filename: String,
    pub(crate) purpose: String,
    status: &'static str,
    status_details: Option<String>,
}

/// A file is gone.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FileDeletion {
    id: String,
    object: &'static str,
    deleted: bool,
}

impl FileObject {
    pub(crate) fn new(file: StoredFile) -> Self {
        let StoredFile { created, created_at_unix_nanos, .. } = file;
        Self {
            id: created.file,
            object: "file",
            bytes: created.num_bytes,
            created_at: seconds(created_at_unix_nanos),
            expires_at: Some(created.expires_at_unix_nanos).filter(|at| *at > 0).map(seconds),
            filename: created.filename,
            purpose: created.purpose,
            status: "processed",
            status_details: None,
        }
    }
}

impl FileDeletion {
    pub(crate) fn new(id: String) -> Self {
        Self { id, object: "file", deleted: true }
    }
}

fn seconds(unix_nanos: u64) -> u64 {
    unix_nanos / 1_000_000_000
}
