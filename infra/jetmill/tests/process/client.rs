//! What a client says and hears.

use std::net::SocketAddr;

use reqwest::{RequestBuilder, Response};
use serde_json::{Value, json};

use crate::site::MODEL;
use crate::wait::soon;

/// One api.
#[derive(Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    address: SocketAddr,
}

/// A greedy chat whose answer has exactly `num_tokens` tokens.
pub(crate) fn chat(question: &str, num_tokens: u32, is_streaming: bool) -> Value {
    let mut body = json!({
        "model": MODEL,
        "messages": [{"role": "user", "content": question}],
        "temperature": 0,
        "max_tokens": num_tokens,
        "ignore_eos": true,
        "stream": is_streaming,
    });
    if is_streaming {
        body["stream_options"] = json!({"include_usage": true});
    }
    body
}

/// The same for a client that may be gone for long: what it asked is not cancelled meanwhile.
pub(crate) fn patient_chat(question: &str, num_tokens: u32, is_streaming: bool) -> Value {
    let mut body = chat(question, num_tokens, is_streaming);
    body["grace_period_seconds"] = 600.into();
    body
}

/// The text of a whole answer.
pub(crate) fn text_of(answer: &Value) -> &str {
    answer["choices"][0]["message"]["content"].as_str().unwrap()
}

impl Client {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self { http: reqwest::Client::new(), address }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn get(&self, path: &str) -> RequestBuilder {
        self.http.get(format!("http://{}{path}", self.address))
    }

    pub(crate) fn post(&self, body: &Value) -> RequestBuilder {
        self.post_to("/v1/chat/completions", body)
    }

    pub(crate) fn post_to(&self, path: &str, body: &Value) -> RequestBuilder {
        self.http.post(format!("http://{}{path}", self.address)).json(body)
    }

    pub(crate) fn post_text(&self, path: &str, content_type: &str, text: String) -> RequestBuilder {
        let request = self.http.post(format!("http://{}{path}", self.address));
        request.header("content-type", content_type).body(text)
    }

    pub(crate) async fn is_ready(&self) -> bool {
        let answer = self.get("/health/readiness").send().await;
        answer.is_ok_and(|answer| answer.status().is_success())
    }

    /// A gauge or counter of the metrics page.
    pub(crate) async fn metric(&self, name: &str) -> f64 {
        let page = self.get("/metrics").send().await.unwrap().text().await.unwrap();
        let value = page.lines().find_map(|line| {
            let rest = line.strip_prefix(name).filter(|rest| rest.starts_with([' ', '{']))?;
            rest.rsplit_once(' ').map(|(_, value)| value)
        });
        value.unwrap_or_else(|| panic!("no {name} in\n{page}")).parse().unwrap()
    }

    /// A whole answer with its inference's id.
    pub(crate) async fn whole(&self, question: &str, num_tokens: u32) -> (String, Value) {
        let response = soon("an answer", self.post(&chat(question, num_tokens, false)).send()).await.unwrap();
        let (status, id) = (response.status(), id_of(&response));
        let body = soon("an answer's body", response.text()).await.unwrap();
        assert_eq!(status, 200, "{body}");
        (id, serde_json::from_str(&body).unwrap())
    }

    /// An answer that has begun to stream.
    pub(crate) async fn stream(&self, question: &str, num_tokens: u32) -> Stream {
        self.stream_of(self.post(&chat(question, num_tokens, true))).await
    }

    /// What a request is answered as it comes.
    pub(crate) async fn stream_of(&self, request: RequestBuilder) -> Stream {
        let response = soon("a stream", request.send()).await.unwrap();
        let status = response.status();
        assert_eq!(status, 200, "{}", response.text().await.unwrap());
        Stream {
            id: id_of(&response),
            last_event_id: String::new(),
            response,
            unread: String::new(),
            text: String::new(),
            reasoning: String::new(),
            usage: Value::Null,
            is_done: false,
        }
    }
}

fn id_of(response: &Response) -> String {
    let id = response.headers().get("x-jetmill-inference-id");
    id.unwrap_or_else(|| panic!("{} without an inference id", response.status())).to_str().unwrap().to_owned()
}

/// A streamed answer, as far as it was read.
pub(crate) struct Stream {
    pub(crate) id: String,
    pub(crate) text: String,
    pub(crate) reasoning: String,
    pub(crate) usage: Value,
    /// Where a resumption begins.
    pub(crate) last_event_id: String,
    response: Response,
    unread: String,
    is_done: bool,
}

impl Stream {
    /// Reads until the text has at least so many bytes; fails when the stream ends before.
    pub(crate) async fn read_text(&mut self, num_bytes: usize) {
        while self.text.len() < num_bytes {
            assert!(self.read_chunk().await, "the stream of {} ended after {:?}", self.id, self.text);
        }
    }

    /// Reads until the thoughts have at least so many bytes; fails when the stream ends before.
    pub(crate) async fn read_reasoning(&mut self, num_bytes: usize) {
        while self.reasoning.len() < num_bytes {
            assert!(self.read_chunk().await, "the stream of {} ended after {:?}", self.id, self.reasoning);
        }
    }

    /// Reads to the end, which has to be `[DONE]`.
    pub(crate) async fn read_all(mut self) -> Self {
        while self.read_chunk().await {}
        assert!(self.is_done, "the stream of {} broke after {:?}", self.id, self.text);
        self
    }

    /// Reads what comes until the connection breaks.
    pub(crate) async fn read_until_broken(&mut self) {
        assert!(!self.read_what_comes().await, "the stream of {} came to its end", self.id);
    }

    /// Reads what comes; whether that was the whole answer.
    pub(crate) async fn read_what_comes(&mut self) -> bool {
        while self.read_chunk().await {}
        self.is_done
    }

    async fn read_chunk(&mut self) -> bool {
        let Ok(Some(bytes)) = soon("the next part of a stream", self.response.chunk()).await else {
            return false;
        };
        // Events are JSON in ASCII or whole characters; a part may end within one, so the rest waits for the next.
        self.unread.push_str(std::str::from_utf8(&bytes).unwrap());
        while let Some((event, rest)) = self.unread.split_once("\n\n") {
            let field =
                |name: &str| event.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
            let (data, event_id) = (field("data: "), field("id: "));
            self.unread = rest.to_owned();
            if let Some(data) = data {
                self.take(&data);
            }
            if let Some(event_id) = event_id {
                self.last_event_id = event_id;
            }
        }
        true
    }

    fn take(&mut self, data: &str) {
        if data == "[DONE]" {
            self.is_done = true;
            return;
        }
        let event: Value = serde_json::from_str(data).unwrap();
        assert!(event.get("error").is_none_or(Value::is_null), "{data}");
        if let Some(text) = event["choices"][0]["delta"]["content"].as_str() {
            self.text.push_str(text);
        }
        if let Some(reasoning) = event["choices"][0]["delta"]["reasoning_content"].as_str() {
            self.reasoning.push_str(reasoning);
        }
        if event["usage"].is_object() {
            self.usage = event["usage"].clone();
        }
    }
}
