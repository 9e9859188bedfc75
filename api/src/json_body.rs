//! Reading a request's body: its media type, size and pace, then its JSON, with errors that name the field and never
//! repeat what the client sent.

use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use http::{HeaderMap, header};
use http_body_util::{BodyExt, Limited};
use serde::Deserialize;
use serde_json::error::Category;
use serde_path_to_error::{Path, Segment};

use crate::config::ApiConfig;
use crate::error::ApiError;
use crate::json_object::JsonObject;

/// How long and how far an over-long body is read on and thrown away: most senders read no answer before they have sent all.
const DRAIN_PATIENCE: Duration = Duration::from_secs(5);
const MAX_DRAINED_BYTES: usize = 256 << 20;

/// The text of a JSON body within the node's limits.
pub(crate) async fn read(config: &ApiConfig, request: Request) -> Result<String, ApiError> {
    let (parts, body) = request.into_parts();
    let max_num_bytes = config.limits.max_body_bytes;
    let read = async {
        check_media_type(&parts.headers)?;
        if content_length(&parts.headers).is_some_and(|length| length > max_num_bytes as u64) {
            drain(body).await;
            return Err(ApiError::BodyTooLarge { max_num_bytes });
        }
        collect(body, max_num_bytes).await
    };
    let waited = config.timeouts.body_read;
    let bytes = tokio::time::timeout(waited, read).await.map_err(|_| ApiError::BodyTimeout { waited })??;
    String::from_utf8(bytes).map_err(|error| {
        let valid_up_to = error.utf8_error().valid_up_to();
        ApiError::malformed(format!("the body is not UTF-8 at byte {valid_up_to}"))
    })
}

fn check_media_type(headers: &HeaderMap) -> Result<(), ApiError> {
    let found = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("none");
    let essence = found.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    Err(ApiError::UnsupportedMediaType { found: found.chars().take(100).collect() })
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

async fn collect(mut body: Body, max_num_bytes: usize) -> Result<Vec<u8>, ApiError> {
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| ApiError::malformed("the body broke off before its end"))?;
        let Ok(data) = frame.into_data() else { continue };
        if data.len() > max_num_bytes - bytes.len() {
            drain(body).await;
            return Err(ApiError::BodyTooLarge { max_num_bytes });
        }
        bytes.extend_from_slice(&data);
    }
    Ok(bytes)
}

async fn drain(body: Body) {
    let mut limited = Limited::new(body, MAX_DRAINED_BYTES);
    let read_on = async { while let Some(Ok(_)) = limited.frame().await {} };
    if tokio::time::timeout(DRAIN_PATIENCE, read_on).await.is_err() {
        tracing::debug!("an over-long body is not read to its end");
    }
}

/// Reads `T` out of a JSON text; `Err` names the field at fault as a path: `messages.0.role`.
pub(crate) fn parse<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, ApiError> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let parsed = serde_path_to_error::deserialize(&mut deserializer)
        .map_err(|error| explain(error.path(), error.inner()))?;
    deserializer.end().map_err(|error| not_json(&error))?;
    Ok(parsed)
}

/// The same for a struct, which only an object can be.
pub(crate) fn parse_object<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, ApiError> {
    parse(text).map(|JsonObject(fields)| fields)
}

fn not_json(error: &serde_json::Error) -> ApiError {
    ApiError::malformed(format!("the body is not valid JSON: {error}"))
}

fn explain(path: &Path, error: &serde_json::Error) -> ApiError {
    // serde_json counts a key that should be a number among the errors of syntax.
    let is_numeric_key = error.to_string().contains("key to be a number in quotes");
    // And a number that the field cannot hold.
    let is_out_of_range = error.to_string().starts_with("number out of range");
    if error.classify() != Category::Data && !is_numeric_key && !is_out_of_range {
        return not_json(error);
    }
    let place = format!(" at line {} column {}", error.line(), error.column());
    let text = error.to_string();
    let what = text.strip_suffix(&place).unwrap_or(&text);
    let mut param = dotted(path);
    if let Some(field) = what.strip_prefix("missing field `").and_then(|rest| rest.strip_suffix('`')) {
        push_segment(&mut param, field);
        return ApiError::invalid(param.clone(), format!("{param} is required"));
    }
    if let Some(field) = what.strip_prefix("duplicate field `").and_then(|rest| rest.strip_suffix('`')) {
        push_segment(&mut param, field);
        return ApiError::invalid(param.clone(), format!("{param} is there twice{place}"));
    }
    let subject = if param.is_empty() { "the body".to_owned() } else { param.clone() };
    // serde's words begin with the client's value; what follows the last "expected" is ours.
    let message = match what.rsplit_once(", expected ") {
        _ if is_numeric_key => format!("the keys of {subject} must be numbers in quotes{place}"),
        Some((_, expected)) => format!("{subject} must be {}{place}", plain(expected)),
        None if what.starts_with("invalid") || what.starts_with("unknown") => {
            format!("{subject} has a value of the wrong kind{place}")
        }
        None => format!("{subject}: {what}{place}"),
    };
    if param.is_empty() { ApiError::malformed(message) } else { ApiError::invalid(param, message) }
}

fn dotted(path: &Path) -> String {
    let mut dotted = String::new();
    for segment in path {
        match segment {
            Segment::Seq { index } => push_segment(&mut dotted, &index.to_string()),
            Segment::Map { key } => push_segment(&mut dotted, key),
            Segment::Enum { variant } => push_segment(&mut dotted, variant),
            Segment::Unknown => {}
        }
    }
    dotted
}

fn push_segment(path: &mut String, segment: &str) {
    if !path.is_empty() {
        path.push('.');
    }
    path.extend(segment.chars().take(80));
}

fn plain(expected: &str) -> &str {
    match expected {
        "f32" | "f64" => "a number",
        "u32" => "a whole number from 0 to 4294967295",
        "u64" | "i64" | "i32" => "a whole number",
        "a boolean" => "true or false",
        "a sequence" => "an array",
        "a map" => "an object",
        other if other.starts_with("struct ") => "an object",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[derive(Debug, Deserialize)]
    #[expect(dead_code, reason = "only whether it can be read is looked at")]
    struct Example {
        model: String,
        temperature: Option<f32>,
        nested: Option<Vec<Inner>>,
        logit_bias: Option<BTreeMap<u32, f32>>,
    }

    #[derive(Debug, Deserialize)]
    #[expect(dead_code, reason = "only whether it can be read is looked at")]
    struct Inner {
        role: String,
    }

    fn check(text: &str, expected_param: Option<&str>, expected_words: &str) {
        let error = parse_object::<Example>(text).unwrap_err().body().error;
        assert_eq!(error.param.as_deref(), expected_param, "{}", error.message);
        assert!(error.message.contains(expected_words), "{}", error.message);
        assert!(!error.message.contains("secret"), "{}", error.message);
    }

    #[test]
    fn an_error_names_the_field_and_repeats_nothing() {
        check(r#"{"model":"m","temperature":"secret"}"#, Some("temperature"), "must be a number at line 1");
        check(r#"{"temperature":1}"#, Some("model"), "model is required");
        check(r#"{"model":"m","nested":[{"role":"x"},{}]}"#, Some("nested.1.role"), "is required");
        check(r#"{"model":"m","nested":[{"role":{"secret":1}}]}"#, Some("nested.0.role"), "must be a string");
        check(r#"{"model":"m","nested":"secret"}"#, Some("nested"), "must be an array");
        check(r#"{"model":"m","model":"secret"}"#, Some("model"), "twice");
        check(r#"{"model":"secret", expected "#, None, "not valid JSON");
        check("[1,2", None, "the body must be an object");
        check(r#"{"model":"m"} secret"#, None, "not valid JSON: trailing characters at line 1 column 15");
        check(r#"{"model":"m","logit_bias":{"secret":1}}"#, Some("logit_bias"), "logit_bias");
        check(
            r#"{"model":"m","temperature":1e300}"#,
            Some("temperature"),
            "number out of range at line 1 column",
        );
    }

    #[test]
    fn nesting_is_bounded() {
        let deep = format!("{{\"model\":{}1{}}}", "[".repeat(100_000), "]".repeat(100_000));
        check(&deep, Some("model"), "must be a string");
    }
}
