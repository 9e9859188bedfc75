//! Batches as OpenAI shows them.

use std::collections::BTreeMap;

use schemas::batch::{Batch, BatchStatus};
use schemas::v1::{BatchEnded, Failure};
use serde::Serialize;
use utoipa::ToSchema;

/// A batch and how far it is. Times are seconds since the Unix epoch.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BatchObject {
    pub(crate) id: String,
    object: &'static str,
    endpoint: String,
    errors: Option<BatchErrors>,
    input_file_id: String,
    completion_window: String,
    status: &'static str,
    output_file_id: Option<String>,
    error_file_id: Option<String>,
    created_at: u64,
    in_progress_at: Option<u64>,
    expires_at: u64,
    finalizing_at: Option<u64>,
    completed_at: Option<u64>,
    failed_at: Option<u64>,
    expired_at: Option<u64>,
    cancelling_at: Option<u64>,
    cancelled_at: Option<u64>,
    request_counts: RequestCounts,
    #[schema(value_type = Option<Object>)]
    metadata: Option<BTreeMap<String, String>>,
}

/// Why a batch could not be run.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BatchErrors {
    object: &'static str,
    data: Vec<BatchError>,
}

/// One reason.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BatchError {
    code: String,
    message: String,
    param: Option<String>,
    line: Option<u64>,
}

/// What came of the lines so far.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RequestCounts {
    total: u64,
    completed: u64,
    failed: u64,
}

impl BatchObject {
    pub(crate) fn new(batch: Batch) -> Self {
        let status = batch.status();
        let counts = batch.counts();
        let Batch { created, progress, ended, .. } = batch;
        let ended_as =
            |wanted: BatchStatus| (status == wanted).then(|| seconds(batch.ended_at_unix_nanos)).flatten();
        let progress = progress.unwrap_or_default();
        let (output_file_id, error_file_id, failure) = match ended {
            Some(BatchEnded { output_file, error_file, failure, .. }) => {
                (named(output_file), named(error_file), failure)
            }
            None => (None, None, None),
        };
        Self {
            id: created.batch,
            object: "batch",
            endpoint: created.endpoint,
            errors: failure.map(BatchErrors::of),
            input_file_id: created.input_file,
            completion_window: created.completion_window,
            status: status.as_str(),
            output_file_id,
            error_file_id,
            created_at: batch.created_at_unix_nanos / NANOS,
            in_progress_at: seconds(progress.in_progress_at_unix_nanos),
            expires_at: created.expires_at_unix_nanos / NANOS,
            finalizing_at: seconds(progress.finalizing_at_unix_nanos),
            completed_at: ended_as(BatchStatus::Completed),
            failed_at: ended_as(BatchStatus::Failed),
            expired_at: ended_as(BatchStatus::Expired),
            cancelling_at: batch.cancel_requested_at_unix_nanos.and_then(seconds),
            cancelled_at: ended_as(BatchStatus::Cancelled),
            request_counts: RequestCounts {
                total: counts.num_lines,
                completed: counts.num_answered,
                failed: counts.num_failed,
            },
            metadata: (!created.metadata.is_empty()).then(|| created.metadata.into_iter().collect()),
        }
    }
}

impl BatchErrors {
    fn of(failure: Failure) -> Self {
        let Failure { code, message, param, .. } = failure;
        Self { object: "list", data: vec![BatchError { code, message, param: named(param), line: None }] }
    }
}

const NANOS: u64 = 1_000_000_000;

fn seconds(unix_nanos: u64) -> Option<u64> {
    (unix_nanos > 0).then_some(unix_nanos / NANOS)
}

fn named(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}
