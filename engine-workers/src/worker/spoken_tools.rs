//! Tools for models whose chat template knows none: they are told of them in words.

use serde_json::{Value, json};

/// Whether a conversation holds what a template without tools would leave out or refuse.
pub(super) fn is_needed(messages: &[Value]) -> bool {
    messages.iter().any(|message| message["role"] == "tool" || message.get("tool_calls").is_some())
}

/// The conversation with the tools, if there are any, described in its system message, earlier calls as the text that makes
/// them, and the results of tools as words of the user.
pub(super) fn spell_out(messages: &[Value], tools: &[Value]) -> Vec<Value> {
    let mut spelled: Vec<Value> = Vec::with_capacity(messages.len() + 1);
    let system = messages.first().filter(|message| message["role"] == "system" && !tools.is_empty());
    match system {
        Some(system) => {
            let content = format!("{}\n\n{}", text_of(system), instructions(tools));
            spelled.push(json!({"role": "system", "content": content}));
        }
        None if tools.is_empty() => {}
        None => spelled.push(json!({"role": "system", "content": instructions(tools)})),
    }
    let rest = if system.is_some() { &messages[1..] } else { messages };
    let mut was_tool = false;
    for message in rest {
        let is_tool = message["role"] == "tool";
        if is_tool {
            let result = format!("The function returned: {}", text_of(message));
            match spelled.last_mut().filter(|_| was_tool) {
                // Many templates insist on turns that alternate.
                Some(last) => last["content"] = format!("{}\n{result}", text_of(last)).into(),
                None => spelled.push(json!({"role": "user", "content": result})),
            }
        } else {
            spelled.push(without_calls(message));
        }
        was_tool = is_tool;
    }
    spelled
}

fn instructions(tools: &[Value]) -> String {
    let functions: Vec<String> =
        tools.iter().filter_map(|tool| tool.get("function")).map(Value::to_string).collect();
    format!(
        "You can call these functions:\n{}\n\nTo call one, answer with nothing but a JSON object: \
         {{\"name\": <the function's name>, \"arguments\": <an object of its arguments>}}",
        functions.join("\n")
    )
}

fn text_of(message: &Value) -> &str {
    message["content"].as_str().unwrap_or_default()
}

fn without_calls(message: &Value) -> Value {
    let Some(calls) = message.get("tool_calls").and_then(Value::as_array) else { return message.clone() };
    let mut lines: Vec<String> = vec![text_of(message).to_owned()];
    lines.retain(|line| !line.is_empty());
    for call in calls {
        let function = &call["function"];
        lines.push(json!({"name": function["name"], "arguments": function["arguments"]}).to_string());
    }
    json!({"role": message["role"], "content": lines.join("\n")})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tools_calls_and_results_become_words() {
        let tools =
            [json!({"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}})];
        let call = |a: u32| json!({"id": "c", "type": "function", "function": {"name": "add", "arguments": {"a": a}}});
        let messages = [
            json!({"role": "system", "content": "Be brief."}),
            json!({"role": "user", "content": "1 + 2?"}),
            json!({"role": "assistant", "content": "", "tool_calls": [call(1), call(2)]}),
            json!({"role": "tool", "content": "3", "tool_call_id": "c"}),
            json!({"role": "tool", "content": "4", "tool_call_id": "c"}),
        ];
        let spelled = spell_out(&messages, &tools);
        let system = spelled[0]["content"].as_str().unwrap();
        assert!(
            system.starts_with("Be brief.\n\nYou can call these functions:\n{\"name\":\"add\","),
            "{system}"
        );
        assert_eq!(
            spelled[1..],
            [
                json!({"role": "user", "content": "1 + 2?"}),
                json!({"role": "assistant", "content":
                    "{\"name\":\"add\",\"arguments\":{\"a\":1}}\n{\"name\":\"add\",\"arguments\":{\"a\":2}}"}),
                json!({"role": "user", "content": "The function returned: 3\nThe function returned: 4"}),
            ]
        );
        assert_eq!(spell_out(&messages[1..2], &tools).len(), 2);
        assert_eq!(spell_out(&messages, &[])[0], messages[0]);
        assert_eq!(spell_out(&messages, &[])[1..], spelled[1..]);
        assert!(is_needed(&messages) && !is_needed(&messages[..2]));
    }
}
