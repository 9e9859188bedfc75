//! The routes, each registered once for the router and the documentation.

pub(crate) mod adapters;
pub(crate) mod audit;
pub(crate) mod batches;
pub(crate) mod completions;
pub(crate) mod embeddings;
pub(crate) mod files;
pub(crate) mod health;
pub(crate) mod inferences;
pub(crate) mod metrics;
pub(crate) mod models;
pub(crate) mod scores;
pub(crate) mod sleep;
pub(crate) mod tokenization;

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, Request};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Router, middleware};
use bytes::Bytes;
use http::{HeaderName, header};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::cors::{AllowOrigin, Any, CorsLayer};
use tracing::error;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::auth;
use crate::error::ApiError;
use crate::inference_id::INFERENCE_ID;
use crate::openai::chat_answer::ChatChunk;
use crate::openai::completion_answer::CompletionChunk;
use crate::state::ApiState;

const JSON: (HeaderName, &str) = (header::CONTENT_TYPE, "application/json");

#[derive(OpenApi)]
#[openapi(
    info(title = "Jetmill", description = "Answers from language models, each with a durable record."),
    components(schemas(ChatChunk<'static>, CompletionChunk<'static>))
)]
struct Documentation;

/// The whole stack, from the inside out.
pub(crate) fn router(state: Arc<ApiState>) -> Router {
    let (routes, documentation) = OpenApiRouter::with_openapi(Documentation::openapi())
        .routes(routes!(completions::chat_completions))
        .routes(routes!(completions::completions))
        .routes(routes!(embeddings::embeddings))
        .routes(routes!(inferences::create))
        .routes(routes!(inferences::retrieve))
        .routes(routes!(files::create_file, files::list_files))
        .routes(routes!(files::get_file, files::delete_file))
        .routes(routes!(files::file_content))
        .routes(routes!(batches::create_batch, batches::list_batches))
        .routes(routes!(batches::get_batch))
        .routes(routes!(batches::cancel_batch))
        .routes(routes!(inferences::stream))
        .routes(routes!(inferences::cancel))
        .routes(routes!(inferences::erase_content))
        .routes(routes!(scores::rerank))
        .routes(routes!(scores::score))
        .routes(routes!(audit::inference))
        .routes(routes!(models::list_models))
        .routes(routes!(models::get_model))
        .routes(routes!(adapters::load_lora_adapter))
        .routes(routes!(adapters::unload_lora_adapter))
        .routes(routes!(sleep::sleep))
        .routes(routes!(sleep::wake_up))
        .routes(routes!(sleep::is_sleeping))
        .routes(routes!(tokenization::tokenize))
        .routes(routes!(tokenization::detokenize))
        .routes(routes!(health::health))
        .routes(routes!(health::liveliness))
        .routes(routes!(health::readiness))
        .routes(routes!(health::version))
        .routes(routes!(metrics::metrics))
        .split_for_parts();
    let documentation = Bytes::from(documentation.to_json().unwrap_or_default());
    let cors = cors(&state.config.cors_origins);
    routes
        .route("/rerank", post(scores::rerank))
        .route("/v2/rerank", post(scores::rerank))
        .route("/score", post(scores::score))
        .route("/openapi.json", get(move || async move { ([JSON], documentation) }))
        .fallback(unknown_route)
        .method_not_allowed_fallback(method_not_allowed)
        // Bodies are bounded where they are read, with the error in our own shape.
        .layer(DefaultBodyLimit::disable())
        // Before any body is read: a caller without a key costs nothing.
        .layer(middleware::from_fn_with_state(Arc::clone(&state), auth::require_key))
        // Browsers ask before they send a key.
        .layer(cors)
        // A panic is answered as 500 instead of a broken connection.
        .layer(CatchPanicLayer::custom(|_| {
            error!("a handler panicked");
            ApiError::Internal.into_response()
        }))
        // Outermost, so that it counts every answer.
        .layer(middleware::from_fn_with_state(Arc::clone(&state), metrics::count_request))
        .with_state(state)
}

async fn unknown_route(request: Request) -> ApiError {
    ApiError::UnknownRoute { method: request.method().to_string(), path: shown_path(&request) }
}

async fn method_not_allowed(request: Request) -> Response {
    let error =
        ApiError::MethodNotAllowed { method: request.method().to_string(), path: shown_path(&request) };
    error.into_response()
}

fn shown_path(request: &Request) -> String {
    request.uri().path().chars().take(200).collect()
}

fn cors(origins: &[String]) -> CorsLayer {
    let layer = CorsLayer::new()
        .allow_methods(Any)
        .allow_headers(Any)
        .expose_headers([INFERENCE_ID, header::RETRY_AFTER]);
    if origins.iter().any(|origin| origin == "*") {
        return layer.allow_origin(Any);
    }
    layer.allow_origin(AllowOrigin::list(origins.iter().filter_map(|origin| origin.parse().ok())))
}
