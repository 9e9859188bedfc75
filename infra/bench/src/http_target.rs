//! An OpenAI-compatible server, over HTTP with a streamed answer.

use std::time::Instant;

use futures_util::StreamExt;
use serde::Deserialize;
use serde_json::json;

use crate::completion::{Completion, CompletionRequest, Outcome, OutputClock};
use crate::sse::{SseEvent, SseParser};
use crate::stream_check::StreamCheck;

/// Why a server can't be measured.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// No answer, or none that could be read.
    #[error("{url} does not answer: {source}")]
    Unreachable {
        /// What was asked.
        url: String,
        /// What the HTTP client says.
        source: reqwest::Error,
    },
    /// It answers, and lists nothing.
    #[error("{url} lists no model")]
    NoModel {
        /// What was asked.
        url: String,
    },
}

/// A server, the model to ask it for, and how strictly to look at its streams.
#[derive(Debug, Clone)]
pub struct HttpTarget {
    client: reqwest::Client,
    url: String,
    model: String,
    api_key: Option<String>,
    checks_stream: bool,
}

#[derive(Deserialize)]
struct ModelList {
    data: Vec<Model>,
}

#[derive(Deserialize)]
struct Model {
    id: String,
}

#[derive(Deserialize)]
struct Chunk {
    #[serde(default)]
    choices: Vec<Choice>,
    usage: Option<Usage>,
    error: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct Choice {
    #[serde(default)]
    text: String,
    token_ids: Option<Vec<u32>>,
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Usage {
    prompt_tokens: u64,
    completion_tokens: u64,
    prompt_tokens_details: Option<PromptTokensDetails>,
}

#[derive(Deserialize)]
struct PromptTokensDetails {
    cached_tokens: Option<u64>,
}

/// What has been read of one answer.
#[derive(Default)]
struct Answer {
    clock: OutputClock,
    check: StreamCheck,
    usage: Option<Usage>,
    finish_reason: Option<String>,
    is_done: bool,
}

impl HttpTarget {
    /// Connects to `url` (`http://host:port`, without TLS) and takes `model`, or else the first one listed.
    pub async fn connect(
        url: &str,
        model: Option<String>,
        api_key: Option<String>,
    ) -> Result<Self, TargetError> {
        let client = client();
        let url = url.trim_end_matches('/').trim_end_matches("/v1").to_owned();
        let model = match model {
            Some(model) => model,
            None => first_model(&client, &url, api_key.as_deref()).await?,
        };
        Ok(Self { client, url, model, api_key, checks_stream: false })
    }

    /// A server that knows its model by `model`; nothing is asked before the first request.
    #[must_use]
    pub fn new(url: &str, model: &str) -> Self {
        Self {
            client: client(),
            url: url.to_owned(),
            model: model.to_owned(),
            api_key: None,
            checks_stream: false,
        }
    }

    /// Also asks for token ids and fails every stream that is not gapless by its event ids; needs a Jetmill server.
    #[must_use]
    pub fn with_stream_checks(mut self) -> Self {
        self.checks_stream = true;
        self
    }

    /// Asks and reads the stream to its end. Times count from `due`.
    pub async fn complete(&self, request: &CompletionRequest, due: Instant) -> Outcome {
        match self.stream(request, due).await {
            Ok(completion) => Outcome::Completed(completion),
            Err(reason) => Outcome::Failed(reason),
        }
    }

    async fn stream(&self, request: &CompletionRequest, due: Instant) -> Result<Completion, String> {
        let mut body = json!({
            "model": self.model,
            "prompt": request.prompt,
            "max_tokens": request.num_output_tokens,
            "temperature": request.temperature,
            // Some servers take half of the range.
            "seed": request.seed >> 1,
            "ignore_eos": true,
            "stream": true,
            "stream_options": {"include_usage": true},
        });
        if self.checks_stream {
            body["return_token_ids"] = json!(true);
        }
        let mut post = self.client.post(format!("{}/v1/completions", self.url)).json(&body);
        if let Some(key) = &self.api_key {
            post = post.bearer_auth(key);
        }
        let response = post.send().await.map_err(|error| transport(&error))?;
        let status = response.status();
        if !status.is_success() {
            let text = response.text().await.unwrap_or_default();
            return Err(format!("HTTP {}: {}", status.as_u16(), text.chars().take(200).collect::<String>()));
        }
        let mut answer = Answer::default();
        let mut parser = SseParser::default();
        let mut bytes = response.bytes_stream();
        while let Some(piece) = bytes.next().await {
            let piece = piece.map_err(|error| transport(&error))?;
            for event in parser.push(&piece) {
                answer.take(&event, due, self.checks_stream)?;
            }
        }
        answer.finish(due, self.checks_stream, request.num_output_tokens)
    }
}

impl Answer {
    fn take(&mut self, event: &SseEvent, due: Instant, checks_stream: bool) -> Result<(), String> {
        if event.data == "[DONE]" {
            self.is_done = true;
            return Ok(());
        }
        let chunk: Chunk = serde_json::from_str(&event.data)
            .map_err(|error| format!("a chunk is not as expected: {error}"))?;
        if let Some(error) = chunk.error {
            return Err(format!("error event: {}", error["message"].as_str().unwrap_or("without a message")));
        }
        for choice in chunk.choices {
            if !choice.text.is_empty() {
                self.clock.output_at(due.elapsed());
            }
            if checks_stream {
                let num_tokens = choice.token_ids.map(|ids| ids.len() as u64);
                self.check.event(event.id.as_deref(), num_tokens)?;
            }
            self.finish_reason = choice.finish_reason.or(self.finish_reason.take());
        }
        self.usage = chunk.usage.or(self.usage.take());
        Ok(())
    }

    fn finish(self, due: Instant, checks_stream: bool, num_expected: u32) -> Result<Completion, String> {
        let total = due.elapsed();
        if !self.is_done {
            return Err("the stream ended without [DONE]".to_owned());
        }
        let usage = self.usage.ok_or("the stream has no usage")?;
        if usage.completion_tokens != u64::from(num_expected) {
            return Err(format!(
                "{} tokens were generated, {num_expected} asked for",
                usage.completion_tokens
            ));
        }
        if checks_stream {
            self.check.end(usage.completion_tokens)?;
            if self.finish_reason.as_deref() != Some("length") {
                return Err(format!("finish reason {:?}, expected length", self.finish_reason));
            }
        }
        let (time_to_first_token, inter_token) = self.clock.finish().ok_or("the stream has no output")?;
        Ok(Completion {
            time_to_first_token,
            inter_token,
            total,
            num_prompt_tokens: usage.prompt_tokens,
            num_cached_tokens: usage
                .prompt_tokens_details
                .and_then(|details| details.cached_tokens)
                .unwrap_or(0),
            num_output_tokens: usage.completion_tokens,
        })
    }
}

/// Every request has a connection of its own: a server that closes an idle one just when it is taken again would seem to fail.
fn client() -> reqwest::Client {
    // The builder fails where the default client would panic.
    reqwest::Client::builder().pool_max_idle_per_host(0).build().unwrap_or_default()
}

async fn first_model(
    client: &reqwest::Client,
    url: &str,
    api_key: Option<&str>,
) -> Result<String, TargetError> {
    let models_url = format!("{url}/v1/models");
    let unreachable = |source| TargetError::Unreachable { url: models_url.clone(), source };
    let mut get = client.get(&models_url);
    if let Some(key) = api_key {
        get = get.bearer_auth(key);
    }
    let response = get.send().await.and_then(reqwest::Response::error_for_status).map_err(unreachable)?;
    let list: ModelList = response.json().await.map_err(unreachable)?;
    let first = list.data.into_iter().next();
    first.map(|model| model.id).ok_or(TargetError::NoModel { url: models_url })
}

/// The kind of the failure without addresses, so that equal failures are counted together.
fn transport(error: &reqwest::Error) -> String {
    let kind = match () {
        () if error.is_timeout() => "timed out",
        () if error.is_connect() => "could not connect",
        () if error.is_body() || error.is_decode() => "the connection broke off",
        () => "the request failed",
    };
    kind.to_owned()
}
