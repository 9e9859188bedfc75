//! The api's batches and files, as a client calls them.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use futures_util::stream;
use reqwest::{Body, RequestBuilder, Response};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::fs::File;
use tokio::io::AsyncReadExt as _;

use crate::config::Secret;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const PART_BYTES: usize = 256 << 10;
/// A broken connection is tried again for about so long while a batch is watched.
const NUM_ATTEMPTS: u32 = 30;
const PAUSE: Duration = Duration::from_secs(2);

/// A server's batches.
pub(super) struct BatchClient {
    http: reqwest::Client,
    url: String,
    key: Option<Secret>,
}

/// A batch as the api shows it.
#[derive(Debug, Deserialize)]
pub(super) struct ShownBatch {
    pub(super) id: String,
    pub(super) status: String,
    pub(super) output_file_id: Option<String>,
    pub(super) error_file_id: Option<String>,
    pub(super) request_counts: ShownCounts,
    errors: Option<Value>,
}

#[derive(Debug, Deserialize)]
pub(super) struct ShownCounts {
    pub(super) total: u64,
    pub(super) completed: u64,
    pub(super) failed: u64,
}

#[derive(Deserialize)]
struct ShownFile {
    id: String,
}

impl ShownBatch {
    pub(super) fn is_over(&self) -> bool {
        matches!(self.status.as_str(), "completed" | "failed" | "expired" | "cancelled")
    }

    pub(super) fn first_error(&self) -> Option<&str> {
        self.errors.as_ref()?.pointer("/data/0/message")?.as_str()
    }
}

impl BatchClient {
    pub(super) fn new(url: &str, key: Option<Secret>) -> Result<Self> {
        let http = reqwest::Client::builder().no_proxy().connect_timeout(CONNECT_TIMEOUT).build()?;
        Ok(Self { http, url: url.trim_end_matches('/').to_owned(), key })
    }

    /// Uploads a file of requests in parts; returns its id.
    pub(super) async fn upload(&self, path: &Path) -> Result<String> {
        let shown = path.display();
        let file = File::open(path).await.with_context(|| format!("cannot open {shown}"))?;
        let num_bytes = file.metadata().await?.len();
        let name: String =
            path.file_name().unwrap_or_default().to_string_lossy().replace(['"', '\r', '\n'], "_");
        let boundary = format!("jetmill-{}", uuid::Uuid::new_v4().simple());
        let head = format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nbatch\r\n\
             --{boundary}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\
             Content-Type: application/jsonl\r\n\r\n"
        );
        let tail = format!("\r\n--{boundary}--\r\n");
        let length = head.len() as u64 + num_bytes + tail.len() as u64;
        let parts = stream::try_unfold((file.take(num_bytes), Some(head), Some(tail)), async |state| {
            let (mut file, head, tail) = state;
            if let Some(head) = head {
                return Ok::<_, std::io::Error>(Some((head.into_bytes(), (file, None, tail))));
            }
            let mut part = vec![0; PART_BYTES];
            let num_read = file.read(&mut part).await?;
            if num_read > 0 {
                part.truncate(num_read);
                return Ok(Some((part, (file, None, tail))));
            }
            Ok(tail.map(|tail| (tail.into_bytes(), (file, None, None))))
        });
        let request = self
            .http
            .post(format!("{}/v1/files", self.url))
            .header("content-type", format!("multipart/form-data; boundary={boundary}"))
            .header("content-length", length)
            .body(Body::wrap_stream(parts));
        let file: ShownFile = self.read(request).await?;
        Ok(file.id)
    }

    pub(super) async fn create(&self, input: &str, endpoint: &str, window: &str) -> Result<ShownBatch> {
        let body = json!({"input_file_id": input, "endpoint": endpoint, "completion_window": window});
        self.read(self.http.post(format!("{}/v1/batches", self.url)).json(&body)).await
    }

    /// A batch; a server that is away for a while is asked again.
    pub(super) async fn batch(&self, id: &str) -> Result<ShownBatch> {
        let ask = || self.http.get(format!("{}/v1/batches/{id}", self.url));
        for _ in 1..NUM_ATTEMPTS {
            match self.call(ask()).await {
                Ok(response) if !response.status().is_server_error() => return answer(response).await,
                Ok(_) | Err(_) => tokio::time::sleep(PAUSE).await,
            }
        }
        self.read(ask()).await
    }

    pub(super) async fn cancel(&self, id: &str) -> Result<ShownBatch> {
        self.read(self.http.post(format!("{}/v1/batches/{id}/cancel", self.url))).await
    }

    /// The bytes of a file, as they come.
    pub(super) async fn content(&self, file: &str) -> Result<Response> {
        let response = self.call(self.http.get(format!("{}/v1/files/{file}/content", self.url))).await?;
        if response.status().is_success() { Ok(response) } else { Err(refusal(response).await) }
    }

    async fn read<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T> {
        answer(self.call(request).await?).await
    }

    async fn call(&self, request: RequestBuilder) -> Result<Response> {
        let request = match &self.key {
            Some(key) => request.bearer_auth(key.reveal()),
            None => request,
        };
        request.send().await.with_context(|| format!("cannot reach {}", self.url))
    }
}

async fn answer<T: DeserializeOwned>(response: Response) -> Result<T> {
    if !response.status().is_success() {
        return Err(refusal(response).await);
    }
    response.json().await.context("the server's answer cannot be read")
}

async fn refusal(response: Response) -> anyhow::Error {
    let status = response.status();
    let body: Value = response.json().await.unwrap_or_default();
    match body.pointer("/error/message").and_then(Value::as_str) {
        Some(message) => anyhow::anyhow!("{message} ({status})"),
        None => anyhow::anyhow!("the server answered {status}"),
    }
}
