//! Calls a node from its own process, without a connection.

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::BodyExt;
use tower::ServiceExt;

use crate::batch_line::{BatchLine, BatchOutcome};
use crate::inference_id::INFERENCE_ID;

/// A way to the routes of a node that runs in this process. What is asked goes the way of a client's request: the same
/// checks, facts and shapes. Clones are cheap.
#[derive(Debug, Clone)]
pub struct LocalCaller {
    router: Router,
}

/// What a route answered.
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl LocalCaller {
    pub(crate) fn new(router: Router) -> Self {
        Self { router }
    }

    /// Whether requests can be answered now.
    pub async fn is_ready(&self) -> bool {
        self.call(Method::GET, "/health/readiness", String::new()).await.status.is_success()
    }

    /// Answers one line of a batch file; a bad line has an outcome too. `number` counts lines from 1.
    ///
    /// Dropping the future cancels the inference.
    pub async fn batch_line(&self, number: u64, line: &[u8]) -> BatchOutcome {
        let line = match BatchLine::read(line) {
            Ok(line) => line,
            Err(refused) => return refused.into_outcome(number),
        };
        let answer = self.call(Method::POST, &line.url, line.body.get().to_owned()).await;
        let inference_id = answer.headers.get(INFERENCE_ID).and_then(|id| id.to_str().ok());
        line.into_outcome(number, answer.status, inference_id, &answer.body)
    }

    async fn call(&self, method: Method, path: &str, body: String) -> Answer {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::CONTENT_TYPE, "application/json")
            .body(Body::from(body))
            .unwrap_or_default();
        // A router never fails: what goes wrong is an answer.
        let (parts, body) = match self.router.clone().oneshot(request).await {
            Ok(response) => response.into_parts(),
            Err(never) => match never {},
        };
        // The answers of our own routes end, and break off only with their handler.
        let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        Answer { status: parts.status, headers: parts.headers, body }
    }
}
