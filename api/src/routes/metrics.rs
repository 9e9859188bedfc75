//! What Prometheus reads, and the counting of every answer.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use http::{HeaderMap, HeaderValue, Method, header};

use crate::error::ApiError;
use crate::state::ApiState;

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const PLAIN: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Shows the node's metrics.
#[utoipa::path(get, path = "/metrics", tag = "health",
    responses((status = 200, description = "Prometheus' text format", body = String, content_type = "text/plain")))]
pub(crate) async fn metrics(
    State(state): State<Arc<ApiState>>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let accepts = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = if accepts.contains("application/openmetrics-text") { OPEN_METRICS } else { PLAIN };
    let (in_flight, waiting) = (state.admission.num_in_flight(), state.queues.num_waiting());
    let text = state.metrics.render(in_flight, waiting).map_err(|_| ApiError::Internal)?;
    Ok(([(header::CONTENT_TYPE, HeaderValue::from_static(media_type))], text).into_response())
}

/// Counts the request by its route's pattern, and as in flight until its body has ended.
pub(crate) async fn count_request(
    State(state): State<Arc<ApiState>>,
    request: Request,
    next: Next,
) -> Response {
    let in_flight = state.metrics.http_in_flight();
    let route: Arc<str> =
        request.extensions().get::<MatchedPath>().map_or("none", MatchedPath::as_str).into();
    let method = known_method(request.method());
    let response = next.run(request).await;
    state.metrics.http_request(route, method, response.status().as_u16());
    response.map(|body| {
        Body::from_stream(body.into_data_stream().inspect(move |_| {
            // Held by the body, so that a stream counts until it ends.
            let _ = &in_flight;
        }))
    })
}

/// Clients may send any word as a method.
fn known_method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::PATCH => "PATCH",
        _ => "other",
    }
}
