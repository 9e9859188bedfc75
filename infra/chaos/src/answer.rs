//! What a client got.

use bench::sse::SseEvent;
use serde_json::Value;

/// How an answer was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Way {
    /// As a stream.
    #[default]
    Stream,
    /// In the background, looked at now and then.
    Background,
    /// As a line of a batch.
    Line,
}

/// What a client got, however often it had to come back.
#[derive(Debug, Clone, Default)]
pub(crate) struct Answer {
    pub(crate) way: Way,
    /// Index of its question.
    pub(crate) question: usize,
    /// Of its inference; empty until an api answered.
    pub(crate) id: String,
    pub(crate) text: String,
    pub(crate) finish_reason: String,
    pub(crate) num_tokens: u64,
    /// Connections beyond the first that brought something.
    pub(crate) num_resumptions: usize,
    /// Why there is no answer.
    pub(crate) failure: Option<String>,
    pub(crate) last_event_id: Option<String>,
    pub(crate) is_done: bool,
}

impl Answer {
    /// Nothing, for this reason.
    pub(crate) fn failed(way: Way, question: usize, failure: String) -> Self {
        Self { way, question, failure: Some(failure), ..Self::default() }
    }

    /// A whole chat completion of the inference `id`.
    pub(crate) fn whole(way: Way, question: usize, id: &str, completion: &Value) -> Self {
        let choice = &completion["choices"][0];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Self {
            way,
            question,
            id: id.to_owned(),
            text: text(&choice["message"]["content"]),
            finish_reason: text(&choice["finish_reason"]),
            num_tokens: completion["usage"]["completion_tokens"].as_u64().unwrap_or_default(),
            is_done: true,
            ..Self::default()
        }
    }

    /// Takes in an event of its stream.
    pub(crate) fn take(&mut self, event: SseEvent) {
        if event.data == "[DONE]" {
            self.is_done = true;
            return;
        }
        let Ok(chunk) = serde_json::from_str::<Value>(&event.data) else {
            self.failure = Some(format!("a chunk is no JSON: {}", event.data));
            return;
        };
        if let Some(error) = chunk.get("error").filter(|error| !error.is_null()) {
            self.failure = Some(error.to_string());
            return;
        }
        let choice = &chunk["choices"][0];
        self.text.push_str(choice["delta"]["content"].as_str().unwrap_or_default());
        if let Some(reason) = choice["finish_reason"].as_str() {
            reason.clone_into(&mut self.finish_reason);
        }
        if let Some(num_tokens) = chunk["usage"]["completion_tokens"].as_u64() {
            self.num_tokens = num_tokens;
        }
        self.last_event_id = event.id.or(self.last_event_id.take());
    }
}
