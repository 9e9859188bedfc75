//! Clients that come back until they have their answer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use bench::sse::{SseEvent, SseParser};
use futures_util::StreamExt as _;
use futures_util::future::join_all;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use reqwest::Client;
use serde_json::Value;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::question::Question;

/// Between two attempts to reach an api.
const RETRY: Duration = Duration::from_millis(200);
/// An answer that takes longer is lost.
const PATIENCE: Duration = Duration::from_secs(240);

/// What a client got, however often it had to come back.
#[derive(Debug, Clone, Default)]
pub(crate) struct Answer {
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
    fn take(&mut self, event: SseEvent) {
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

/// Each question's answer while nothing is disturbed.
pub(crate) async fn undisturbed(urls: &[String], questions: &[Question]) -> Result<Vec<Answer>> {
    let ask = |index: usize| async move {
        let key = format!("undisturbed-{index}");
        Caller::new(urls.to_vec(), index as u64).ask(index, &questions[index], &key).await
    };
    let answers = join_all((0..questions.len()).map(ask)).await;
    if let Some(failure) = answers.iter().find_map(|answer| answer.failure.as_ref()) {
        bail!("an undisturbed answer failed: {failure}");
    }
    Ok(answers)
}

/// Clients that ask one question after the other.
#[derive(Debug)]
pub(crate) struct Traffic {
    clients: Vec<JoinHandle<Vec<Answer>>>,
    stop: CancellationToken,
}

impl Traffic {
    pub(crate) fn start(urls: Vec<String>, questions: Vec<Question>, num_streams: usize, seed: u64) -> Self {
        let stop = CancellationToken::new();
        let questions = Arc::new(questions);
        let client = |number: usize| {
            let (questions, stopped) = (Arc::clone(&questions), stop.clone());
            let mut caller = Caller::new(urls.clone(), seed ^ number as u64);
            tokio::spawn(async move {
                let mut answers = Vec::new();
                while !stopped.is_cancelled() {
                    let index = caller.random.random_range(0..questions.len());
                    let key = format!("client-{number}-{}", answers.len());
                    answers.push(caller.ask(index, &questions[index], &key).await);
                }
                answers
            })
        };
        Self { clients: (0..num_streams).map(client).collect(), stop }
    }

    /// Lets every client have the answer that it waits for.
    pub(crate) async fn finish(self) -> Vec<Answer> {
        self.stop.cancel();
        let answers = join_all(self.clients).await;
        answers.into_iter().flat_map(Result::unwrap_or_default).collect()
    }
}

struct Caller {
    urls: Vec<String>,
    http: Client,
    random: StdRng,
}

impl Caller {
    fn new(urls: Vec<String>, seed: u64) -> Self {
        // What an api that was stopped holds open is as good as dead.
        let builder = Client::builder().pool_max_idle_per_host(0).read_timeout(Duration::from_secs(20));
        Self { urls, http: builder.build().unwrap_or_default(), random: StdRng::seed_from_u64(seed) }
    }

    async fn ask(&mut self, index: usize, question: &Question, key: &str) -> Answer {
        let mut answer = Answer { question: index, ..Answer::default() };
        let deadline = Instant::now() + PATIENCE;
        let mut is_first = true;
        while !answer.is_done && answer.failure.is_none() {
            if Instant::now() > deadline {
                answer.failure = Some("no end within the patience".to_owned());
                break;
            }
            let before = answer.text.len();
            if self.listen(question, key, &mut answer).await.is_err() {
                tokio::time::sleep(RETRY).await;
            }
            if !is_first && answer.text.len() > before {
                answer.num_resumptions += 1;
            }
            is_first = false;
        }
        answer
    }

    /// One connection, until it ends or breaks. `Err`: come back.
    async fn listen(
        &mut self,
        question: &Question,
        key: &str,
        answer: &mut Answer,
    ) -> Result<(), reqwest::Error> {
        let url = &self.urls[self.random.random_range(0..self.urls.len())];
        let mut post = self.http.post(format!("{url}/v1/chat/completions")).json(&question.body);
        post = post.header("idempotency-key", key);
        if let Some(id) = &answer.last_event_id {
            post = post.header("last-event-id", id);
        }
        let response = post.send().await?;
        let status = response.status();
        if status.is_server_error() || status.as_u16() == 429 {
            response.error_for_status()?;
            return Ok(());
        }
        if !status.is_success() {
            answer.failure = Some(format!("HTTP {status}: {}", response.text().await.unwrap_or_default()));
            return Ok(());
        }
        if let Some(id) = response.headers().get("x-jetmill-inference-id").and_then(|id| id.to_str().ok()) {
            if !answer.id.is_empty() && answer.id != id {
                answer.failure = Some(format!("inference {} became {id}", answer.id));
                return Ok(());
            }
            id.clone_into(&mut answer.id);
        }
        let mut bytes = response.bytes_stream();
        let mut parser = SseParser::default();
        while let Some(piece) = bytes.next().await {
            for event in parser.push(&piece?) {
                answer.take(event);
            }
        }
        Ok(())
    }
}
