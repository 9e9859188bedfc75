//! The tools of one request.

use schemas::v1::{ChatPrompt, Failure};
use serde_json::Value;

use super::model_text::{invalid, parse};
use crate::output_parser::tool_grammar::CallableFunction;

/// Which tool must be called.
#[derive(Debug, Clone, PartialEq, Eq)]
enum ToolChoice {
    /// Any or none: the model decides.
    Auto,
    /// At least one.
    Required,
    /// This one.
    Named(String),
}

/// Tools that may be called, at least one.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ToolRequest {
    /// In the shape of OpenAI's `tools`.
    pub(super) tools: Vec<Value>,
    choice: ToolChoice,
    is_single: bool,
}

impl ToolRequest {
    /// The tools of a chat; none if there are none, or if none may be called: the model then does not hear of them.
    pub(super) fn read(chat: &ChatPrompt) -> Result<Option<Self>, Failure> {
        let tools: Vec<Value> = parse(&chat.tools_json, "tools")?.unwrap_or_default();
        let choice = match chat.tool_choice.as_str() {
            "none" => return Ok(None),
            "required" => ToolChoice::Required,
            "" | "auto" => ToolChoice::Auto,
            choice => match choice.strip_prefix("function:") {
                Some(name) => ToolChoice::Named(name.to_owned()),
                None => {
                    let message =
                        format!("tool_choice '{choice}' is none of auto, none, required and a function");
                    return Err(invalid("invalid_tool_choice", "tool_choice", message));
                }
            },
        };
        let request = Self { tools, choice, is_single: chat.single_tool_call };
        if let ToolChoice::Named(name) = &request.choice
            && !request.names().any(|tool| tool == name)
        {
            let message = format!("tool_choice names the function '{name}', which is none of the tools");
            return Err(invalid("invalid_tool_choice", "tool_choice", message));
        }
        if request.tools.is_empty() && request.choice == ToolChoice::Required {
            let message = "tool_choice is required and there are no tools";
            return Err(invalid("invalid_tool_choice", "tool_choice", message));
        }
        Ok((!request.tools.is_empty()).then_some(request))
    }

    /// The tools' names, in order.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.tools.iter().filter_map(|tool| tool.pointer("/function/name").and_then(Value::as_str))
    }

    /// The functions of which one must be called; none if the model decides.
    pub(super) fn demanded(&self) -> Vec<CallableFunction> {
        let function = |tool: &Value| {
            let name = tool.pointer("/function/name")?.as_str()?.to_owned();
            let is_demanded = match &self.choice {
                ToolChoice::Auto => false,
                ToolChoice::Required => true,
                ToolChoice::Named(demanded) => *demanded == name,
            };
            let parameters = tool.pointer("/function/parameters").cloned();
            is_demanded.then_some(CallableFunction { name, parameters })
        };
        self.tools.iter().filter_map(function).collect()
    }

    /// Whether an answer may hold one call only: a function that is named is called once.
    pub(super) fn is_single(&self) -> bool {
        self.is_single || matches!(self.choice, ToolChoice::Named(_))
    }

    /// The tools as templates read them: what only steers decoding is left out.
    pub(super) fn for_template(&self) -> Vec<Value> {
        let mut tools = self.tools.clone();
        for tool in &mut tools {
            if let Some(function) = tool.get_mut("function").and_then(Value::as_object_mut) {
                function.shift_remove("strict");
            }
        }
        tools
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(choice: &str, tools: &str) -> Result<Option<ToolRequest>, String> {
        let chat =
            ChatPrompt { tools_json: tools.into(), tool_choice: choice.into(), ..ChatPrompt::default() };
        ToolRequest::read(&chat).map_err(|failure| failure.param)
    }

    #[test]
    fn the_choice_says_which_tool_must_be_called() {
        let tools = r#"[{"type":"function","function":{"name":"add","strict":true,"parameters":{}}}]"#;
        let choice = |choice: &str| read(choice, tools).unwrap().map(|request| request.choice);
        assert_eq!(choice(""), Some(ToolChoice::Auto));
        assert_eq!(choice("required"), Some(ToolChoice::Required));
        assert_eq!(choice("function:add"), Some(ToolChoice::Named("add".to_owned())));
        assert_eq!(choice("none"), None);
        assert_eq!(read("function:sub", tools), Err("tool_choice".to_owned()));
        assert_eq!(read("sometimes", tools), Err("tool_choice".to_owned()));
        assert_eq!(read("required", ""), Err("tool_choice".to_owned()));
        assert_eq!(read("auto", ""), Ok(None));
        let demanded = |choice: &str| {
            let request = read(choice, tools).unwrap().unwrap();
            (
                request.demanded().into_iter().map(|function| function.name).collect::<Vec<_>>(),
                request.is_single(),
            )
        };
        assert_eq!(demanded("auto"), (vec![], false));
        assert_eq!(demanded("required"), (vec!["add".to_owned()], false));
        assert_eq!(demanded("function:add"), (vec!["add".to_owned()], true));
        let for_template = read("auto", tools).unwrap().unwrap().for_template();
        assert_eq!(Value::from(for_template).to_string(), tools.replace(r#""strict":true,"#, ""));
    }
}
