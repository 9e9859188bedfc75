//! The tools of a chat: which there are, and which of them must be called.

use std::collections::HashSet;

use schemas::v1::ChatPrompt;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::error::ApiError;
use crate::json_object::JsonObject;
use crate::openai::chat_message::depth_is_at_most;
use crate::openai::json_schema;

/// As many as OpenAI takes.
const MAX_NUM_TOOLS: usize = 128;
const MAX_NAME_CHARS: usize = 64;
const MAX_DEPTH: usize = 64;

/// What a chat says about tools.
#[derive(Debug, Default, Deserialize, ToSchema)]
pub(crate) struct ToolFields {
    /// What the model may call, at most 128.
    #[schema(value_type = Option<Vec<Tool>>)]
    tools: Option<Vec<JsonObject<Tool>>>,
    /// auto, none, required, or one of the tools; auto if there are tools.
    #[schema(value_type = Option<Object>)]
    tool_choice: Option<Value>,
    /// Whether one answer may call several times.
    #[schema(default = true)]
    parallel_tool_calls: Option<bool>,
}

/// Something that the model may call.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct Tool {
    /// function.
    #[serde(rename = "type")]
    kind: String,
    #[schema(value_type = Option<FunctionDefinition>)]
    function: Option<JsonObject<FunctionDefinition>>,
}

/// A function that the model may call.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
pub(crate) struct FunctionDefinition {
    /// Letters, digits, '_' and '-', at most 64.
    name: String,
    /// When and how to call it.
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    /// A JSON schema of its arguments, which are an object.
    #[schema(value_type = Option<Object>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters: Option<Map<String, Value>>,
    /// Whether the arguments must match the schema exactly.
    #[serde(skip_serializing_if = "Option::is_none")]
    strict: Option<bool>,
}

/// A tool as workers read it.
#[derive(Debug, Serialize)]
struct PromptTool {
    #[serde(rename = "type")]
    kind: &'static str,
    function: FunctionDefinition,
}

impl ToolFields {
    /// Writes valid tools into the prompt. `Err` names the field as the client wrote it.
    pub(crate) fn write_to(self, prompt: &mut ChatPrompt) -> Result<(), ApiError> {
        let tools = self.tools.unwrap_or_default();
        if tools.len() > MAX_NUM_TOOLS {
            let message = format!("tools has {} entries, at most {MAX_NUM_TOOLS} are allowed", tools.len());
            return Err(ApiError::invalid("tools", message));
        }
        let tools: Vec<PromptTool> = tools
            .into_iter()
            .enumerate()
            .map(|(index, JsonObject(tool))| tool.validate(&format!("tools.{index}")))
            .collect::<Result<_, _>>()?;
        let mut names = HashSet::new();
        if let Some(twice) = tools.iter().position(|tool| !names.insert(tool.function.name.as_str())) {
            let param = format!("tools.{twice}.function.name");
            return Err(ApiError::invalid(param.clone(), format!("{param} is the name of an earlier tool")));
        }
        prompt.tool_choice = tool_choice(self.tool_choice, &names)?;
        prompt.single_tool_call = self.parallel_tool_calls == Some(false);
        if !tools.is_empty() {
            prompt.tools_json = serde_json::to_string(&tools).map_err(|_| ApiError::Internal)?;
        }
        Ok(())
    }
}

impl Tool {
    fn validate(self, path: &str) -> Result<PromptTool, ApiError> {
        if self.kind != "function" {
            let param = format!("{path}.type");
            return Err(ApiError::unsupported(param.clone(), format!("{param} must be function")));
        }
        let Some(JsonObject(function)) = self.function else {
            let param = format!("{path}.function");
            return Err(ApiError::invalid(param.clone(), format!("{param} is required")));
        };
        let is_name_char = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        let is_name = (1..=MAX_NAME_CHARS).contains(&function.name.len());
        if !is_name || !function.name.chars().all(is_name_char) {
            let param = format!("{path}.function.name");
            let message = format!("{param} must be 1 to {MAX_NAME_CHARS} of a-z, A-Z, 0-9, '_' and '-'");
            return Err(ApiError::invalid(param, message));
        }
        if let Some(parameters) = &function.parameters {
            let param = format!("{path}.function.parameters");
            if !parameters.values().all(|value| depth_is_at_most(value, MAX_DEPTH)) {
                let message = format!("{param} is nested more than {MAX_DEPTH} deep");
                return Err(ApiError::invalid(param, message));
            }
            json_schema::check(&Value::Object(parameters.clone()), &param)?;
        }
        Ok(PromptTool { kind: "function", function })
    }
}

/// The choice in the words of the events.
fn tool_choice(choice: Option<Value>, names: &HashSet<&str>) -> Result<String, ApiError> {
    let Some(choice) = choice.filter(|choice| !choice.is_null()) else { return Ok(String::new()) };
    let function = choice.pointer("/function/name").and_then(Value::as_str);
    let chosen = match (choice.as_str(), choice["type"].as_str(), function) {
        (Some(word @ ("auto" | "none")), _, _) => return Ok(word.to_owned()),
        (Some("required"), _, _) => "required".to_owned(),
        (None, Some("function"), Some(name)) if names.contains(name) => format!("function:{name}"),
        (None, Some("function"), Some(_)) => {
            return Err(ApiError::invalid(
                "tool_choice",
                "tool_choice names a function that is none of the tools",
            ));
        }
        _ => {
            let message = "tool_choice must be auto, none, required or \
                           {\"type\": \"function\", \"function\": {\"name\": …}}";
            return Err(ApiError::invalid("tool_choice", message));
        }
    };
    if names.is_empty() {
        return Err(ApiError::invalid("tool_choice", "tool_choice asks for a call, and there are no tools"));
    }
    Ok(chosen)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<ChatPrompt, ApiError> {
        let fields: ToolFields = crate::json_body::parse(json)?;
        let mut prompt = ChatPrompt::default();
        fields.write_to(&mut prompt).map(|()| prompt)
    }

    fn check_refused(json: &str, expected_param: &str) {
        let param = read(json).unwrap_err().body().error.param;
        assert_eq!(param.as_deref(), Some(expected_param), "{json}");
    }

    fn with_tool(tool: &str) -> String {
        format!(r#"{{"tools":[{{"type":"function","function":{{"name":"a"}}}},{tool}]}}"#)
    }

    #[test]
    fn tools_reach_the_worker_without_what_nobody_knows() {
        let prompt = read(
            r#"{"tools":[{"type":"function","cache":1,"function":{"name":"f-1","description":"d","strict":true,
                "parameters":{"type":"object","properties":{"b":{},"a":{}}},"x":2}}],
                "tool_choice":{"type":"function","function":{"name":"f-1"}},"parallel_tool_calls":false}"#,
        )
        .unwrap();
        assert_eq!(
            prompt.tools_json,
            r#"[{"type":"function","function":{"name":"f-1","description":"d","parameters":{"type":"object","properties":{"b":{},"a":{}}},"strict":true}}]"#
        );
        assert_eq!((prompt.tool_choice.as_str(), prompt.single_tool_call), ("function:f-1", true));
        let nothing = read(r#"{"tools":[],"tool_choice":"auto","parallel_tool_calls":true}"#).unwrap();
        assert_eq!((nothing.tools_json.as_str(), nothing.single_tool_call), ("", false));
        assert_eq!(read(r#"{"tool_choice":null,"tools":null}"#).unwrap(), ChatPrompt::default());
    }

    #[test]
    fn a_tool_at_fault_is_named() {
        check_refused(&with_tool(r#"{"type":"web_search"}"#), "tools.1.type");
        check_refused(&with_tool(r#"{"type":"function"}"#), "tools.1.function");
        check_refused(&with_tool(r#"{"type":"function","function":{}}"#), "tools.1.function.name");
        check_refused(
            &with_tool(r#"{"type":"function","function":{"name":"a b"}}"#),
            "tools.1.function.name",
        );
        check_refused(&with_tool(r#"{"type":"function","function":{"name":""}}"#), "tools.1.function.name");
        check_refused(&with_tool(r#"{"type":"function","function":{"name":"a"}}"#), "tools.1.function.name");
        let parameters = |text: &str| {
            with_tool(&format!(r#"{{"type":"function","function":{{"name":"b","parameters":{text}}}}}"#))
        };
        check_refused(&parameters("[]"), "tools.1.function.parameters");
        check_refused(&parameters(r#"{"type":"wrong"}"#), "tools.1.function.parameters");
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(80), "]".repeat(80));
        check_refused(&parameters(&deep), "tools.1.function.parameters");
        let tool = |index: usize| format!(r#"{{"type":"function","function":{{"name":"f{index}"}}}}"#);
        let many: Vec<String> = (0..129).map(tool).collect();
        check_refused(&format!(r#"{{"tools":[{}]}}"#, many.join(",")), "tools");
    }

    #[test]
    fn a_choice_that_no_tool_can_meet_is_refused() {
        check_refused(r#"{"tool_choice":"required"}"#, "tool_choice");
        check_refused(r#"{"tool_choice":"sometimes"}"#, "tool_choice");
        check_refused(r#"{"tool_choice":{"type":"function"}}"#, "tool_choice");
        let tool = r#""tools":[{"type":"function","function":{"name":"a"}}]"#;
        let named = |name: &str| {
            format!(r#"{{{tool},"tool_choice":{{"type":"function","function":{{"name":"{name}"}}}}}}"#)
        };
        check_refused(&named("b"), "tool_choice");
        assert!(read(&named("a")).is_ok());
    }
}
