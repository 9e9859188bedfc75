//! What tests say to a node, and how they read what it says.

use reqwest::Response;
use serde_json::{Value, json};

use crate::node::Node;

pub(crate) const CHAT: &str = "/v1/chat/completions";
pub(crate) const COMPLETIONS: &str = "/v1/completions";

/// One server-sent event.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Event {
    pub(crate) id: Option<String>,
    pub(crate) data: Option<Value>,
    pub(crate) is_done: bool,
}

/// A chat with more fields.
pub(crate) fn chat(more: Value) -> Value {
    with(json!({"model": "smol", "messages": [{"role": "user", "content": "Say hello"}]}), more)
}

/// A completion with more fields.
pub(crate) fn completion(more: Value) -> Value {
    with(json!({"model": "smol", "prompt": "Say: "}), more)
}

fn with(mut body: Value, more: Value) -> Value {
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

impl Node {
    pub(crate) async fn post(&self, path: &str, body: &Value) -> Response {
        self.client.post(self.url(path)).json(body).send().await.unwrap()
    }

    pub(crate) async fn get(&self, path: &str) -> Response {
        self.client.get(self.url(path)).send().await.unwrap()
    }

    /// The answer's JSON; fails unless its status is 200.
    pub(crate) async fn answer(&self, path: &str, body: &Value) -> Value {
        let response = self.post(path, body).await;
        let status = response.status();
        let text = response.text().await.unwrap();
        assert_eq!(status, 200, "{text}");
        serde_json::from_str(&text).unwrap()
    }

    /// Every event of a streamed answer.
    pub(crate) async fn events(&self, path: &str, body: &Value) -> Vec<Event> {
        let response = self.post(path, body).await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream; charset=utf-8");
        parse_events(&response.text().await.unwrap())
    }
}

/// Comments are left out.
pub(crate) fn parse_events(text: &str) -> Vec<Event> {
    let blocks = text.split("\n\n").filter(|block| !block.is_empty() && !block.starts_with(':'));
    blocks
        .map(|block| {
            let field =
                |name: &str| block.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
            let data = field("data: ").unwrap();
            let is_done = data == "[DONE]";
            let data = (!is_done).then(|| serde_json::from_str(&data).unwrap());
            Event { id: field("id: "), data, is_done }
        })
        .collect()
}

/// The text of a choice in a streamed answer, of either shape.
pub(crate) fn text_of(events: &[Event], index: u64) -> String {
    let choices = events.iter().filter_map(|event| event.data.as_ref()?["choices"].as_array()).flatten();
    choices
        .filter(|choice| choice["index"] == index)
        .filter_map(|choice| choice["delta"]["content"].as_str().or(choice["text"].as_str()))
        .collect()
}
