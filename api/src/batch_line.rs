//! Lines of batch files in OpenAI's shape: `{custom_id, method, url, body}` in, one line with the answer or the error out.

use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::error::ApiError;
use crate::json_body;

/// The routes that a batch may ask for.
pub(crate) const URLS: &[&str] = &["/v1/chat/completions", "/v1/completions", "/v1/embeddings"];
/// As long as an id may be.
const MAX_NUM_ID_BYTES: usize = 512;

/// What is said about a line that is longer than a node takes.
const TOO_LONG: &str = "the line is longer than a request may be";

/// A request of a batch file.
#[derive(Debug, Deserialize)]
pub(crate) struct BatchLine {
    custom_id: String,
    method: String,
    pub(crate) url: String,
    pub(crate) body: Box<RawValue>,
}

/// A line that is not asked at all.
#[derive(Debug)]
pub(crate) struct RefusedLine {
    custom_id: Option<String>,
    code: &'static str,
    message: String,
}

/// What came of one line.
#[derive(Debug, Clone)]
pub struct BatchOutcome {
    /// The line for the output file, without its end.
    pub line: String,
    /// Whether it holds an answer instead of an error.
    pub is_answered: bool,
    /// Whether the node was only busy, so that the same line may succeed later.
    pub is_retryable: bool,
    /// Tokens that were generated for it.
    pub num_completion_tokens: u64,
}

/// Only what ties a line of an input or output file to its partner.
#[derive(Deserialize)]
struct Identity {
    custom_id: Option<String>,
}

#[derive(Serialize)]
struct OutputLine<'a> {
    id: String,
    custom_id: Option<&'a str>,
    response: Option<LineResponse<'a>>,
    error: Option<LineError<'a>>,
}

#[derive(Serialize)]
struct LineResponse<'a> {
    status_code: u16,
    request_id: &'a str,
    body: &'a RawValue,
}

#[derive(Serialize)]
struct LineError<'a> {
    code: &'a str,
    message: &'a str,
}

/// The part of a request that decides whether it can be answered in one piece.
#[derive(Deserialize)]
struct Streaming {
    #[serde(default)]
    stream: Option<serde_json::Value>,
}

#[derive(Default, Deserialize)]
struct Usage {
    #[serde(default)]
    completion_tokens: u64,
}

#[derive(Default, Deserialize)]
struct WithUsage {
    #[serde(default)]
    usage: Option<Usage>,
}

/// The `custom_id` of a line, if it has one that can be read.
#[must_use]
pub fn custom_id_of(line: &[u8]) -> Option<String> {
    serde_json::from_slice::<Identity>(line).ok()?.custom_id
}

/// The outcome of a line that was longer than could be read.
#[must_use]
pub fn too_long(number: u64) -> BatchOutcome {
    RefusedLine { custom_id: None, code: "line_too_long", message: TOO_LONG.to_owned() }.into_outcome(number)
}

/// The outcome of a line that is not asked for a reason that lies outside of it.
#[must_use]
pub(crate) fn refused(number: u64, line: Option<&[u8]>, code: &'static str, message: &str) -> BatchOutcome {
    let custom_id = line.and_then(custom_id_of);
    RefusedLine { custom_id, code, message: message.to_owned() }.into_outcome(number)
}

impl BatchLine {
    /// Reads and checks what surrounds the body; the body is checked by its route.
    pub(crate) fn read(line: &[u8]) -> Result<Self, RefusedLine> {
        let custom_id = custom_id_of(line);
        let refuse = |code, message: String| RefusedLine { custom_id: custom_id.clone(), code, message };
        let text = std::str::from_utf8(line)
            .map_err(|error| refuse("invalid_line", format!("not UTF-8 at byte {}", error.valid_up_to())))?;
        let read: Result<Self, ApiError> = json_body::parse_object(text);
        let line =
            read.map_err(|error| refuse("invalid_line", error.to_string().replace("the body", "the line")))?;
        if line.custom_id.is_empty() || line.custom_id.len() > MAX_NUM_ID_BYTES {
            let message = format!("custom_id must have 1 to {MAX_NUM_ID_BYTES} bytes");
            return Err(refuse("invalid_custom_id", message));
        }
        if line.method != "POST" {
            return Err(refuse("invalid_method", "method must be POST".to_owned()));
        }
        if !URLS.contains(&line.url.as_str()) {
            return Err(refuse("invalid_url", format!("url must be one of {}", URLS.join(", "))));
        }
        let streams = serde_json::from_str::<Streaming>(line.body.get()).ok().and_then(|body| body.stream);
        if streams == Some(serde_json::Value::Bool(true)) {
            return Err(refuse("invalid_stream", "a line of a batch cannot stream".to_owned()));
        }
        Ok(line)
    }

    pub(crate) fn into_outcome(
        self,
        number: u64,
        status: StatusCode,
        inference_id: Option<&str>,
        body: &[u8],
    ) -> BatchOutcome {
        let Ok(document) = serde_json::from_slice::<&RawValue>(body) else {
            let custom_id = Some(self.custom_id);
            let message = "the answer could not be written".to_owned();
            return RefusedLine { custom_id, code: "internal_error", message }.into_outcome(number);
        };
        let usage = serde_json::from_slice::<WithUsage>(body).unwrap_or_default().usage.unwrap_or_default();
        let output = OutputLine {
            id: id_of(number),
            custom_id: Some(&self.custom_id),
            response: Some(LineResponse {
                status_code: status.as_u16(),
                request_id: inference_id.unwrap_or_default(),
                body: document,
            }),
            error: None,
        };
        BatchOutcome {
            line: written(&output),
            is_answered: status.is_success(),
            is_retryable: status == StatusCode::TOO_MANY_REQUESTS
                || status == StatusCode::SERVICE_UNAVAILABLE,
            num_completion_tokens: usage.completion_tokens,
        }
    }
}

impl RefusedLine {
    /// The line asks for another route than its batch.
    pub(crate) fn elsewhere(line: &BatchLine, endpoint: &str) -> Self {
        let message = format!("url must be the batch's endpoint, {endpoint}");
        Self { custom_id: Some(line.custom_id.clone()), code: "mismatched_url", message }
    }

    pub(crate) fn into_outcome(self, number: u64) -> BatchOutcome {
        let output = OutputLine {
            id: id_of(number),
            custom_id: self.custom_id.as_deref(),
            response: None,
            error: Some(LineError { code: self.code, message: &self.message }),
        };
        BatchOutcome {
            line: written(&output),
            is_answered: false,
            is_retryable: false,
            num_completion_tokens: 0,
        }
    }
}

fn id_of(number: u64) -> String {
    format!("batch_req_{number}")
}

/// A document may hold line breaks between its parts; a line must not.
fn written(output: &OutputLine<'_>) -> String {
    let text = serde_json::to_string(output).unwrap_or_default();
    text.replace(['\n', '\r'], " ")
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn check_refused(line: &str, expected_id: Option<&str>, expected_code: &str) {
        let outcome = BatchLine::read(line.as_bytes()).unwrap_err().into_outcome(7);
        let output: Value = serde_json::from_str(&outcome.line).unwrap();
        assert_eq!(output["id"], "batch_req_7");
        assert_eq!(output["custom_id"].as_str(), expected_id, "{line}");
        assert_eq!(output["error"]["code"], expected_code, "{line}");
        assert_eq!(output["response"], Value::Null);
        assert!(!outcome.is_answered && !outcome.line.contains("secret"), "{}", outcome.line);
    }

    #[test]
    fn a_bad_line_is_an_error_that_keeps_its_id_and_repeats_nothing() {
        check_refused("secret", None, "invalid_line");
        check_refused("[1]", None, "invalid_line");
        check_refused(
            r#"{"custom_id":"a","method":"POST","url":"/v1/completions"}"#,
            Some("a"),
            "invalid_line",
        );
        check_refused(
            r#"{"custom_id":"","method":"POST","url":"/v1/completions","body":{}}"#,
            Some(""),
            "invalid_custom_id",
        );
        check_refused(
            r#"{"custom_id":"a","method":"GET","url":"/v1/completions","body":{}}"#,
            Some("a"),
            "invalid_method",
        );
        check_refused(
            r#"{"custom_id":"a","method":"POST","url":"/secret","body":{}}"#,
            Some("a"),
            "invalid_url",
        );
        check_refused(
            r#"{"custom_id":"a","method":"POST","url":"/v1/completions","body":{"stream":true}}"#,
            Some("a"),
            "invalid_stream",
        );
        assert!(BatchLine::read(b"\xff{}").is_err());
    }

    #[test]
    fn an_answer_is_one_line_with_its_status_and_usage() {
        let line = r#"{"custom_id":"a","method":"POST","url":"/v1/completions","body":{"prompt":"x"}}"#;
        let line = BatchLine::read(line.as_bytes()).unwrap();
        assert_eq!(line.body.get(), r#"{"prompt":"x"}"#);
        let body = b"{\"text\": 1.50,\n \"usage\": {\"completion_tokens\": 9}}";
        let outcome = line.into_outcome(2, StatusCode::OK, Some("abc"), body);
        assert!(outcome.is_answered && !outcome.is_retryable && !outcome.line.contains('\n'));
        assert_eq!(outcome.num_completion_tokens, 9);
        let output: Value = serde_json::from_str(&outcome.line).unwrap();
        assert_eq!(output["response"]["status_code"], 200);
        assert_eq!(output["response"]["request_id"], "abc");
        // Numbers stay as the route wrote them.
        assert!(outcome.line.contains("1.50"), "{}", outcome.line);
        assert_eq!(output["error"], Value::Null);
    }

    #[test]
    fn a_refusal_by_the_route_keeps_its_body() {
        let line = r#"{"custom_id":"a","method":"POST","url":"/v1/completions","body":{}}"#;
        for (status, is_retryable) in [(400, false), (429, true), (503, true)] {
            let line = BatchLine::read(line.as_bytes()).unwrap();
            let status = StatusCode::from_u16(status).unwrap();
            let outcome = line.into_outcome(1, status, None, br#"{"error":{"message":"no"}}"#);
            assert_eq!((outcome.is_answered, outcome.is_retryable), (false, is_retryable));
            let output: Value = serde_json::from_str(&outcome.line).unwrap();
            assert_eq!(output["response"]["body"]["error"]["message"], "no");
        }
    }
}
