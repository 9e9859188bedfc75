//! Calls of tools and thoughts, in OpenAI's shapes.

use std::sync::{Arc, Mutex};

use schemas::v1::{Choice, FinishReason, FrameEntry, Outcome, ToolCall, ToolCallDelta, prompt::Content};
use serde_json::{Value, json};

use crate::backend::{Asked, Script, script};
use crate::client::{CHAT, COMPLETIONS, Event, chat, completion};
use crate::node::Node;

fn tools() -> Value {
    let parameters =
        json!({"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]});
    json!([{"type": "function", "function": {"name": "get_weather", "description": "d", "parameters": parameters}}])
}

fn delta(index: u32, name: &str, arguments: &str) -> ToolCallDelta {
    let id = if name.is_empty() { String::new() } else { format!("call_{index}") };
    ToolCallDelta { index, id, name: name.to_owned(), arguments: arguments.to_owned() }
}

/// A thought, some text and two calls, a token each; the entries named in `unheard` are not heard live.
async fn think_and_call(asked: Asked, unheard: &[usize]) {
    let steps: [(&str, &str, Vec<ToolCallDelta>); 6] = [
        ("Hm", "", vec![]),
        (".", "Let", vec![]),
        ("", " me see", vec![delta(0, "get_weather", "{\"city\"")]),
        ("", "", vec![]),
        ("", "", vec![delta(0, "", ": \"Rome\"}"), delta(1, "get_weather", "{")]),
        ("", "", vec![delta(1, "", "}")]),
    ];
    let inference_id = asked.address.inference.to_string();
    for (index, (reasoning, text, tool_calls)) in steps.into_iter().enumerate() {
        let entry = FrameEntry {
            inference_id: inference_id.clone(),
            attempt: 1,
            first_token_index: index as u32,
            token_ids: vec![index as u32],
            text: text.to_owned(),
            reasoning: reasoning.to_owned(),
            tool_calls,
            ..FrameEntry::default()
        };
        let finish_reason = if index == 5 { FinishReason::ToolCalls } else { FinishReason::Unspecified };
        let entry = FrameEntry { finish_reason: finish_reason.into(), ..entry };
        if unheard.contains(&index) {
            asked.publish_unheard(vec![entry]).await;
        } else {
            asked.publish(vec![entry]).await;
        }
    }
    let call = |index: u32, arguments: &str| ToolCall {
        id: format!("call_{index}"),
        name: "get_weather".to_owned(),
        arguments: arguments.to_owned(),
    };
    let choice = Choice {
        text: "Let me see".to_owned(),
        reasoning: "Hm.".to_owned(),
        tool_calls: vec![call(0, "{\"city\": \"Rome\"}"), call(1, "{}")],
        token_ids: (0..6).collect(),
        finish_reason: FinishReason::ToolCalls.into(),
        ..Choice::default()
    };
    asked.end_as(Outcome::Completed, vec![choice]).await;
}

fn calling() -> Script {
    script(|asked| async move { think_and_call(asked, &[]).await })
}

fn expected_calls() -> Value {
    let call = |id: &str, arguments: &str| json!({"id": id, "type": "function", "function": {"name": "get_weather", "arguments": arguments}});
    json!([call("call_0", "{\"city\": \"Rome\"}"), call("call_1", "{}")])
}

#[tokio::test]
async fn a_whole_answer_holds_calls_and_thoughts() {
    let node = Node::start(calling()).await;
    let answer = node.answer(CHAT, &chat(json!({"tools": tools()}))).await;
    let choice = &answer["choices"][0];
    assert_eq!(choice["finish_reason"], "tool_calls");
    let message = &choice["message"];
    assert_eq!(message["content"], "Let me see");
    assert_eq!(message["tool_calls"], expected_calls());
    assert_eq!((&message["reasoning_content"], &message["reasoning"]), (&json!("Hm."), &json!("Hm.")));
    assert_eq!(answer["usage"]["completion_tokens_details"]["reasoning_tokens"], 2);

    let answer = node.answer(CHAT, &chat(json!({"include_reasoning": false}))).await;
    let message = &answer["choices"][0]["message"];
    assert!(message.get("reasoning_content").is_none() && message.get("reasoning").is_none());
}

/// The message that the parts of a stream add up to.
fn message_of(events: &[Event]) -> Value {
    let (mut content, mut reasoning, mut calls) = (String::new(), String::new(), Vec::<Value>::new());
    for event in events {
        let Some(data) = &event.data else { continue };
        let delta = &data["choices"][0]["delta"];
        content.push_str(delta["content"].as_str().unwrap_or_default());
        reasoning.push_str(delta["reasoning_content"].as_str().unwrap_or_default());
        assert_eq!(delta.get("reasoning"), delta.get("reasoning_content"));
        for part in delta["tool_calls"].as_array().into_iter().flatten() {
            let arguments = part["function"]["arguments"].as_str().unwrap();
            match calls.get_mut(part["index"].as_u64().unwrap() as usize) {
                Some(call) => {
                    let so_far = call["function"]["arguments"].as_str().unwrap();
                    call["function"]["arguments"] = format!("{so_far}{arguments}").into();
                    assert!(part.get("id").is_none() && part["function"].get("name").is_none());
                }
                None => {
                    let mut call = part.clone();
                    call.as_object_mut().unwrap().remove("index");
                    calls.push(call);
                }
            }
        }
    }
    json!({"content": content, "reasoning": reasoning, "tool_calls": calls})
}

#[tokio::test]
async fn streamed_parts_add_up_to_the_calls_even_if_some_were_missed() {
    for unheard in [vec![], vec![0], vec![1, 2], vec![4], vec![5]] {
        let missed = unheard.clone();
        let node = Node::start(script(move |asked| {
            let unheard = unheard.clone();
            async move { think_and_call(asked, &unheard).await }
        }))
        .await;
        let body = chat(json!({"stream": true, "tools": tools(), "tool_choice": "auto"}));
        let events = node.events(CHAT, &body).await;
        let expected = json!({"content": "Let me see", "reasoning": "Hm.", "tool_calls": expected_calls()});
        assert_eq!(message_of(&events), expected, "missed {missed:?}");
        let finishes: Vec<_> = events
            .iter()
            .filter_map(|event| event.data.as_ref()?["choices"][0]["finish_reason"].as_str())
            .collect();
        assert_eq!(finishes, ["tool_calls"], "missed {missed:?}");
    }
}

#[tokio::test]
async fn hidden_thoughts_are_not_streamed() {
    let node = Node::start(calling()).await;
    let events = node.events(CHAT, &chat(json!({"stream": true, "include_reasoning": false}))).await;
    assert_eq!(message_of(&events)["reasoning"], "");
    assert_eq!(message_of(&events)["content"], "Let me see");
}

#[tokio::test]
async fn tools_and_their_choice_reach_the_log() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let recorded = Arc::clone(&seen);
    let recording = script(move |asked| {
        recorded.lock().unwrap().push(asked.requested.clone());
        async move { asked.say_hello().await }
    });
    let node = Node::start(recording).await;
    let named = json!({"type": "function", "function": {"name": "get_weather"}});
    let call = json!({"id": "c1", "type": "function", "function": {"name": "get_weather", "arguments": "{\"city\":\"Rome\"}"}});
    let messages = json!([
        {"role": "user", "content": "Weather?"},
        {"role": "assistant", "content": null, "reasoning": "Hm.", "tool_calls": [call]},
        {"role": "tool", "content": "sunny", "tool_call_id": "c1"},
    ]);
    let body = json!({"tools": tools(), "tool_choice": named, "parallel_tool_calls": false, "messages": messages,
        "thinking_token_budget": 7});
    node.answer(CHAT, &chat(body)).await;
    let requested = seen.lock().unwrap().pop().unwrap();
    let Some(Content::Chat(prompt)) = requested.prompt.unwrap().content else { panic!("no chat") };
    assert_eq!(serde_json::from_str::<Value>(&prompt.tools_json).unwrap(), tools());
    assert_eq!((prompt.tool_choice.as_str(), prompt.single_tool_call), ("function:get_weather", true));
    assert_eq!(requested.sampling.unwrap().thinking_budget_tokens, Some(7));
    let messages: Value = serde_json::from_str(&prompt.messages_json).unwrap();
    assert_eq!(messages[1]["tool_calls"][0]["function"]["arguments"], json!({"city": "Rome"}));
    assert_eq!(messages[1]["reasoning_content"], "Hm.");
    assert_eq!(messages[2], json!({"role": "tool", "content": "sunny", "tool_call_id": "c1"}));
}

#[tokio::test]
async fn what_cannot_be_called_is_refused_by_name() {
    let node = Node::start(calling()).await;
    for (path, body, param) in [
        (CHAT, chat(json!({"tools": [{"type": "function"}]})), "tools.0.function"),
        (CHAT, chat(json!({"tools": [7]})), "tools.0"),
        (CHAT, chat(json!({"tool_choice": "required"})), "tool_choice"),
        (
            CHAT,
            chat(
                json!({"tools": tools(), "tool_choice": "required", "response_format": {"type": "json_object"}}),
            ),
            "tool_choice",
        ),
        (CHAT, chat(json!({"functions": [{"name": "f"}]})), "functions"),
        (CHAT, chat(json!({"thinking_token_budget": -1})), "thinking_token_budget"),
        (COMPLETIONS, completion(json!({"tools": tools()})), "tools"),
    ] {
        let response = node.post(path, &body).await;
        assert_eq!(response.status(), 400, "{body}");
        let answer: Value = response.json().await.unwrap();
        assert_eq!(answer["error"]["param"], param, "{answer}");
    }
}
