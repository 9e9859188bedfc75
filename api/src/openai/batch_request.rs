//! The body of `POST /v1/batches`.

use std::collections::BTreeMap;
use std::time::Duration;

use schemas::FileId;
use schemas::v1::BatchCreated;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::batch_line::URLS;
use crate::error::ApiError;
use crate::json_body::parse_object;
use crate::upload::EXPIRY_SECONDS;

const MAX_NUM_METADATA: usize = 16;
const MAX_METADATA_KEY_CHARS: usize = 64;
const MAX_METADATA_VALUE_CHARS: usize = 512;
/// As long as the log keeps an answer.
const MAX_WINDOW: Duration = Duration::from_secs(7 * 86_400);

/// A request for a batch.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct BatchRequest {
    /// A file of purpose "batch".
    input_file_id: String,
    /// The route that every line asks for.
    endpoint: String,
    /// When the batch expires: "24h", or another number of s, m, h or d up to seven days.
    completion_window: String,
    #[schema(value_type = Option<Object>)]
    metadata: Option<BTreeMap<String, String>>,
    output_expires_after: Option<ExpiresAfter>,
}

/// When the output and error files are gone.
#[derive(Debug, Deserialize, ToSchema)]
struct ExpiresAfter {
    /// "created_at": when the file was made.
    anchor: String,
    /// An hour to thirty days.
    seconds: u64,
}

/// The same after validation.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ValidBatchRequest {
    /// Well formed; whether it is there is another question.
    pub(crate) input_file: FileId,
    pub(crate) endpoint: String,
    pub(crate) completion_window: String,
    pub(crate) window: Duration,
    pub(crate) metadata: BTreeMap<String, String>,
    /// 0: the files are kept.
    pub(crate) output_expires_seconds: u64,
}

impl ValidBatchRequest {
    /// Whether a batch is what this request asks for.
    pub(crate) fn asks_for(&self, created: &BatchCreated) -> bool {
        let metadata: BTreeMap<_, _> = created.metadata.iter().collect();
        self.input_file.as_str() == created.input_file
            && self.endpoint == created.endpoint
            && self.completion_window == created.completion_window
            && self.output_expires_seconds == created.output_expires_seconds
            && self.metadata.iter().collect::<BTreeMap<_, _>>() == metadata
    }
}

/// Reads and checks a body.
pub(crate) fn read(body: &str) -> Result<ValidBatchRequest, ApiError> {
    let request: BatchRequest = parse_object(body)?;
    if !URLS.contains(&request.endpoint.as_str()) {
        let message = format!("endpoint must be one of {}", URLS.join(", "));
        return Err(ApiError::invalid("endpoint", message));
    }
    let window = window(&request.completion_window).ok_or_else(|| {
        let message = "completion_window must be 24h, or another number of s, m, h or d up to seven days";
        ApiError::invalid("completion_window", message)
    })?;
    let metadata = request.metadata.unwrap_or_default();
    check_metadata(&metadata)?;
    let output_expires_seconds = request.output_expires_after.map_or(Ok(0), output_expires_seconds)?;
    let not_found = |_| ApiError::not_found("file", &request.input_file_id);
    Ok(ValidBatchRequest {
        input_file: request.input_file_id.parse().map_err(not_found)?,
        endpoint: request.endpoint,
        completion_window: request.completion_window,
        window,
        metadata,
        output_expires_seconds,
    })
}

fn output_expires_seconds(after: ExpiresAfter) -> Result<u64, ApiError> {
    if after.anchor != "created_at" {
        let message = "output_expires_after.anchor must be created_at";
        return Err(ApiError::invalid("output_expires_after.anchor", message));
    }
    if !EXPIRY_SECONDS.contains(&after.seconds) {
        let (least, most) = EXPIRY_SECONDS.into_inner();
        let message = format!("output_expires_after.seconds must be {least} to {most}");
        return Err(ApiError::invalid("output_expires_after.seconds", message));
    }
    Ok(after.seconds)
}

fn window(text: &str) -> Option<Duration> {
    let (at, unit) = text.char_indices().last()?;
    let seconds_per_unit = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return None,
    };
    let digits = text.get(..at).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_digit()))?;
    let window = Duration::from_secs(digits.parse::<u64>().ok()?.checked_mul(seconds_per_unit)?);
    (!window.is_zero() && window <= MAX_WINDOW).then_some(window)
}

fn check_metadata(metadata: &BTreeMap<String, String>) -> Result<(), ApiError> {
    if metadata.len() > MAX_NUM_METADATA {
        let message =
            format!("metadata has {} pairs, at most {MAX_NUM_METADATA} are allowed", metadata.len());
        return Err(ApiError::invalid("metadata", message));
    }
    let is_too_long = |(key, value): (&String, &String)| {
        key.chars().count() > MAX_METADATA_KEY_CHARS || value.chars().count() > MAX_METADATA_VALUE_CHARS
    };
    if metadata.iter().any(is_too_long) {
        let message = format!(
            "a key of metadata may have {MAX_METADATA_KEY_CHARS} characters, a value {MAX_METADATA_VALUE_CHARS}"
        );
        return Err(ApiError::invalid("metadata", message));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_a_number_of_a_unit() {
        let check = |text: &str, expected: Option<u64>| {
            assert_eq!(window(text), expected.map(Duration::from_secs), "{text:?}");
        };
        check("24h", Some(86_400));
        check("90s", Some(90));
        check("7d", Some(604_800));
        for text in ["", "h", "8d", "0h", "+1h", "1.5h", "24", "24hours", "ö", "99999999999999999999d"] {
            check(text, None);
        }
    }

    fn check_refused(more: &str, expected_param: &str) {
        let body = format!(
            r#"{{"input_file_id":"file-1","endpoint":"/v1/completions","completion_window":"24h"{more}}}"#
        );
        let param = read(&body).map_err(|error| error.body().error.param);
        assert_eq!(param.map(|_| ()), Err(Some(expected_param.to_owned())));
    }

    #[test]
    fn what_cannot_be_run_is_named() {
        check_refused(r#","metadata":{"a":1}"#, "metadata.a");
        check_refused(&format!(r#","metadata":{{"a":"{}"}}"#, "x".repeat(513)), "metadata");
        let expiry = |anchor: &str, seconds: u64| {
            format!(r#","output_expires_after":{{"anchor":"{anchor}","seconds":{seconds}}}"#)
        };
        check_refused(&expiry("created_at", 3_599), "output_expires_after.seconds");
        check_refused(&expiry("created_at", 2_592_001), "output_expires_after.seconds");
        check_refused(&expiry("completed_at", 3_600), "output_expires_after.anchor");
        let error = read(r#"{"input_file_id":"file-1","endpoint":"/v1/models","completion_window":"24h"}"#);
        assert_eq!(error.unwrap_err().body().error.param.as_deref(), Some("endpoint"));
        let error =
            read(r#"{"input_file_id":"../x","endpoint":"/v1/completions","completion_window":"24h"}"#);
        assert_eq!(error.unwrap_err().status().as_u16(), 404);
    }
}
