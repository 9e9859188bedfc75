//! What answers requests: a server with a URL, or the engine itself.

use std::time::Instant;

use crate::completion::{CompletionRequest, Outcome};
use crate::engine_target::EngineTarget;
use crate::http_target::HttpTarget;

/// One of the things that a comparison sets side by side.
#[derive(Debug, Clone)]
pub enum Target {
    /// An OpenAI-compatible server.
    Http(HttpTarget),
    /// The engine, called directly.
    Engine(EngineTarget),
}

impl Target {
    /// Answers one request that was due at `due`.
    pub async fn complete(self, request: CompletionRequest, due: Instant) -> Outcome {
        match self {
            Self::Http(target) => target.complete(&request, due).await,
            Self::Engine(target) => target.complete(request, due).await,
        }
    }
}
