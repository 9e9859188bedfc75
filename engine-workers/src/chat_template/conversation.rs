//! Messages as clients send them, brought to the shape that templates expect.

use std::borrow::Cow;

use serde_json::Value;

use super::error::TemplateError;

/// Brings one message to the shape that templates expect: the arguments of its tool calls as an object instead of
/// JSON in a string, and, for templates that know only text, its text parts joined by line breaks.
///
/// # Errors
/// [`TemplateError::InvalidRequest`] for a part that is not text when the template knows only text.
pub(crate) fn prepare(message: &Value, accepts_parts: bool) -> Result<Cow<'_, Value>, TemplateError> {
    let has_parts = !accepts_parts && message.get("content").is_some_and(Value::is_array);
    let has_calls = message.get("tool_calls").is_some_and(Value::is_array);
    if !has_parts && !has_calls {
        return Ok(Cow::Borrowed(message));
    }
    let mut prepared = message.clone();
    if has_parts && let Some(content) = prepared.get_mut("content") {
        *content = Value::String(join_text(content)?);
    }
    if let Some(calls) = prepared.get_mut("tool_calls").and_then(Value::as_array_mut) {
        for call in calls {
            if let Some(arguments) = call.pointer_mut("/function/arguments") {
                parse_arguments(arguments);
            }
        }
    }
    Ok(Cow::Owned(prepared))
}

fn join_text(parts: &Value) -> Result<String, TemplateError> {
    let mut texts = Vec::new();
    for part in parts.as_array().into_iter().flatten() {
        match (part.as_str(), part.get("text").and_then(Value::as_str)) {
            (Some(text), _) | (None, Some(text)) => texts.push(text),
            (None, None) => {
                let kind = part.get("type").and_then(Value::as_str).unwrap_or("unknown");
                return Err(TemplateError::InvalidRequest {
                    reason: format!(
                        "a content part of type `{kind}` is given, but this model takes text only"
                    ),
                });
            }
        }
    }
    Ok(texts.join("\n"))
}

fn parse_arguments(arguments: &mut Value) {
    let Some(text) = arguments.as_str() else { return };
    if text.trim().is_empty() {
        *arguments = Value::Object(serde_json::Map::new());
    } else if let Ok(parsed @ Value::Object(_)) = serde_json::from_str::<Value>(text) {
        *arguments = parsed;
    }
}

/// Cuts a rendered conversation after the text of its last message, so that the model goes on with it.
///
/// # Errors
/// [`TemplateError::InvalidRequest`] if that message has no text or the template did not write it.
pub(crate) fn cut_after_final_message(
    rendered: &str,
    messages: &[Cow<'_, Value>],
) -> Result<String, TemplateError> {
    let invalid = |reason: &str| TemplateError::InvalidRequest { reason: reason.to_owned() };
    let content = messages.last().and_then(|message| message.get("content"));
    let text = match content {
        Some(Value::String(text)) => Some(text.as_str()),
        Some(Value::Array(parts)) => {
            parts.iter().rev().find_map(|part| part.get("text").and_then(Value::as_str))
        }
        _ => None,
    };
    let text = text.ok_or_else(|| invalid("continue_final_message needs a last message with text"))?;
    let start = rendered.rfind(text.trim()).ok_or_else(|| {
        invalid("continue_final_message is not possible: the model's chat template does not write the last message as it is")
    })?;
    // Templates may trim the text; what they kept of its end belongs to the prefix.
    let untrimmed = text.trim_start();
    let kept = if rendered[start..].starts_with(untrimmed) { untrimmed } else { text.trim() };
    Ok(rendered[..start + kept.len()].to_owned())
}
