//! The header that names what the log calls this answer.

use axum::response::Response;
use http::{HeaderName, HeaderValue};
use schemas::InferenceId;

/// The inference's id; several prompts' ids stand in their order, joined by commas.
pub(crate) const INFERENCE_ID: HeaderName = HeaderName::from_static("x-jetmill-inference-id");

/// The answer with its inferences' ids.
pub(crate) fn with_ids(mut response: Response, ids: &[InferenceId]) -> Response {
    let joined = ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    if let Ok(value) = HeaderValue::from_str(&joined) {
        response.headers_mut().insert(INFERENCE_ID, value);
    }
    response
}
