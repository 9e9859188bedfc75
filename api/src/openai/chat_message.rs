//! The messages of a chat, from OpenAI's shape to what chat templates read.

use std::fmt;

use serde::de::value::SeqAccessDeserializer;
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::error::ApiError;
use crate::json_object::JsonObject;

/// Deepest nesting that is handed on to chat templates.
const MAX_DEPTH: usize = 64;
/// Longest arguments of a call that are handed on as an object.
const MAX_ARGUMENTS_BYTES: usize = 256 * 1024;

/// One message of a chat.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct ChatMessage {
    /// system, developer, user, assistant or tool.
    role: String,
    /// A text, or parts of type text.
    #[schema(value_type = Option<String>)]
    content: Option<Content>,
    /// Tells apart participants of the same role.
    name: Option<String>,
    /// Calls that the assistant made.
    tool_calls: Option<Vec<ToolCall>>,
    /// The call that this message of role tool answers.
    tool_call_id: Option<String>,
    /// What the assistant thought before it answered.
    #[serde(alias = "reasoning")]
    reasoning_content: Option<String>,
    /// What the assistant said instead of an answer.
    refusal: Option<String>,
}

/// A call that the assistant made.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct ToolCall {
    id: Option<String>,
    function: FunctionCall,
}

/// The function and its arguments.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct FunctionCall {
    name: String,
    /// A JSON text.
    arguments: Option<String>,
}

#[derive(Debug)]
enum Content {
    Text(String),
    Parts(Vec<ContentPart>),
}

#[derive(Debug, Deserialize)]
struct ContentPart {
    #[serde(rename = "type")]
    kind: String,
    text: Option<String>,
    refusal: Option<String>,
}

/// A message as chat templates read it.
#[derive(Debug, Serialize)]
struct TemplateMessage {
    role: &'static str,
    content: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<TemplateToolCall>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_call_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_content: Option<String>,
}

#[derive(Debug, Serialize)]
struct TemplateToolCall {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(rename = "type")]
    kind: &'static str,
    function: TemplateFunction,
}

#[derive(Debug, Serialize)]
struct TemplateFunction {
    name: String,
    /// An object where the text is one: templates print it themselves.
    arguments: Value,
}

/// The messages as one JSON array; `Err` names the first one at fault.
pub(crate) fn to_template_json(
    messages: Vec<JsonObject<ChatMessage>>,
    max_num: usize,
) -> Result<String, ApiError> {
    if messages.is_empty() {
        return Err(ApiError::invalid("messages", "messages is empty, at least one message is needed"));
    }
    if messages.len() > max_num {
        let message = format!("messages has {} entries, at most {max_num} are allowed", messages.len());
        return Err(ApiError::invalid("messages", message));
    }
    let messages: Vec<TemplateMessage> = messages
        .into_iter()
        .enumerate()
        .map(|(index, JsonObject(message))| message.for_template(&format!("messages.{index}")))
        .collect::<Result<_, _>>()?;
    serde_json::to_string(&messages).map_err(|_| ApiError::Internal)
}

impl ChatMessage {
    fn for_template(self, path: &str) -> Result<TemplateMessage, ApiError> {
        let role = match self.role.as_str() {
            // Templates know the developer by his older name.
            "system" | "developer" => "system",
            "user" => "user",
            "assistant" => "assistant",
            "tool" => "tool",
            _ => {
                let message =
                    format!("{path}.role must be one of system, developer, user, assistant and tool");
                return Err(ApiError::invalid(format!("{path}.role"), message));
            }
        };
        let tool_calls: Vec<TemplateToolCall> =
            self.tool_calls.unwrap_or_default().into_iter().map(ToolCall::for_template).collect();
        let content = match (self.content, self.refusal) {
            (Some(content), _) => content.into_text(&format!("{path}.content"))?,
            (None, Some(refusal)) => refusal,
            (None, None) if !tool_calls.is_empty() => String::new(),
            (None, None) => {
                let param = format!("{path}.content");
                return Err(ApiError::invalid(param.clone(), format!("{param} is required")));
            }
        };
        Ok(TemplateMessage {
            role,
            content,
            name: self.name,
            tool_calls,
            tool_call_id: self.tool_call_id,
            reasoning_content: self.reasoning_content,
        })
    }
}

impl ToolCall {
    fn for_template(self) -> TemplateToolCall {
        let arguments = self.function.arguments.unwrap_or_default();
        let object = (arguments.len() <= MAX_ARGUMENTS_BYTES)
            .then(|| serde_json::from_str::<Value>(&arguments).ok())
            .flatten()
            .filter(|value| value.is_object() && depth_is_at_most(value, MAX_DEPTH));
        let arguments = object.unwrap_or(Value::String(arguments));
        TemplateToolCall {
            id: self.id,
            kind: "function",
            function: TemplateFunction { name: self.function.name, arguments },
        }
    }
}

impl Content {
    fn into_text(self, path: &str) -> Result<String, ApiError> {
        let parts = match self {
            Self::Text(text) => return Ok(text),
            Self::Parts(parts) => parts,
        };
        let mut texts = Vec::with_capacity(parts.len());
        for (index, part) in parts.into_iter().enumerate() {
            match (part.kind.as_str(), part.text, part.refusal) {
                ("text" | "input_text" | "output_text", Some(text), _) => texts.push(text),
                ("refusal", _, Some(refusal)) => texts.push(refusal),
                ("text" | "input_text" | "output_text", None, _) => {
                    let param = format!("{path}.{index}.text");
                    return Err(ApiError::invalid(param.clone(), format!("{param} is required")));
                }
                _ => {
                    let param = format!("{path}.{index}.type");
                    let message = format!("{param}: only parts of type text are supported by this model");
                    return Err(ApiError::unsupported(param, message));
                }
            }
        }
        Ok(texts.join("\n"))
    }
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ContentVisitor;

        impl<'de> Visitor<'de> for ContentVisitor {
            type Value = Content;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or an array of content parts")
            }

            fn visit_str<E>(self, text: &str) -> Result<Content, E> {
                Ok(Content::Text(text.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, parts: A) -> Result<Content, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(parts)).map(Content::Parts)
            }
        }

        deserializer.deserialize_any(ContentVisitor)
    }
}

/// Whether a value is nested no deeper; what is deeper could not be read again by whoever renders it.
pub(crate) fn depth_is_at_most(value: &Value, max_depth: usize) -> bool {
    match value {
        Value::Array(items) => {
            max_depth > 0 && items.iter().all(|item| depth_is_at_most(item, max_depth - 1))
        }
        Value::Object(fields) => {
            max_depth > 0 && fields.values().all(|item| depth_is_at_most(item, max_depth - 1))
        }
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<String, ApiError> {
        to_template_json(crate::json_body::parse(json)?, 10)
    }

    fn check(json: &str, expected: &str) {
        assert_eq!(read(json).unwrap(), expected);
    }

    fn check_refused(json: &str, expected_param: &str) {
        let error = read(json).unwrap_err();
        assert_eq!(error.body().error.param.as_deref(), Some(expected_param), "{error}");
    }

    #[test]
    fn messages_become_what_templates_read() {
        check(r#"[{"role":"user","content":"Hi"}]"#, r#"[{"role":"user","content":"Hi"}]"#);
        check(r#"[{"role":"developer","content":"Hi"}]"#, r#"[{"role":"system","content":"Hi"}]"#);
        check(
            r#"[{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}]"#,
            r#"[{"role":"user","content":"a\nb"}]"#,
        );
        check(
            r#"[{"role":"assistant","content":null,"tool_calls":[
                {"id":"c1","type":"function","function":{"name":"f","arguments":"{\"x\":1}"}}]}]"#,
            r#"[{"role":"assistant","content":"","tool_calls":[{"id":"c1","type":"function","function":{"name":"f","arguments":{"x":1}}}]}]"#,
        );
        check(
            r#"[{"role":"tool","content":"4","tool_call_id":"c1"}]"#,
            r#"[{"role":"tool","content":"4","tool_call_id":"c1"}]"#,
        );
    }

    #[test]
    fn a_message_at_fault_is_named() {
        check_refused("[]", "messages");
        check_refused(r#"[{"role":"robot","content":"x"}]"#, "messages.0.role");
        check_refused(r#"[{"role":"user","content":"x"},{"role":"user"}]"#, "messages.1.content");
        check_refused(r#"[{"role":"user","content":[{"type":"image_url"}]}]"#, "messages.0.content.0.type");
        check_refused(r#"[{"role":"user","content":[{"type":"text"}]}]"#, "messages.0.content.0.text");
        check_refused(r#"[["user","x"]]"#, "0");
        check_refused(r#"[{"role":"user","content":7}]"#, "0.content");
        check_refused(r#"[{"role":"user","content":[7]}]"#, "0.content.0");
    }
}
