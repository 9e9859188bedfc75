//! A client that comes back to any api until it has what it asked for.

use std::time::{Duration, Instant};

use bench::sse::SseParser;
use futures_util::StreamExt as _;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use reqwest::{Client, RequestBuilder};

use crate::answer::Answer;
use crate::question::Question;

/// Between two attempts to reach an api.
pub(crate) const RETRY: Duration = Duration::from_millis(200);
/// An answer that takes longer is lost.
const PATIENCE: Duration = Duration::from_secs(240);

pub(crate) struct Caller {
    urls: Vec<String>,
    http: Client,
    pub(crate) random: StdRng,
}

impl Caller {
    pub(crate) fn new(urls: Vec<String>, seed: u64) -> Self {
        // What an api that was stopped holds open is as good as dead.
        let builder = Client::builder().pool_max_idle_per_host(0).read_timeout(Duration::from_secs(20));
        Self { urls, http: builder.build().unwrap_or_default(), random: StdRng::seed_from_u64(seed) }
    }

    /// Asks until an api has an answer. `Err` for an answer that no repetition changes.
    pub(crate) async fn settle(
        &mut self,
        request: impl Fn(&Client, &str) -> RequestBuilder,
    ) -> Result<String, String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let url = &self.urls[self.random.random_range(0..self.urls.len())];
            let answered = async {
                let response = request(&self.http, url).send().await?;
                Ok::<_, reqwest::Error>((response.status(), response.text().await?))
            };
            match answered.await {
                Ok((status, text)) if status.is_success() => return Ok(text),
                Ok((status, text)) if !status.is_server_error() && status.as_u16() != 429 => {
                    return Err(format!("HTTP {status}: {text}"));
                }
                _ if Instant::now() > deadline => {
                    return Err("no api answered within the patience".to_owned());
                }
                _ => tokio::time::sleep(RETRY).await,
            }
        }
    }

    /// A streamed answer, over as many connections as it takes.
    pub(crate) async fn ask(&mut self, index: usize, question: &Question, key: &str) -> Answer {
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
