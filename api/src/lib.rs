//! HTTP in, events out, tokens back as server-sent events.
//!
//! It owns the public JSON shapes, authentication, limits and the connections of clients; shapes are converted here and
//! nowhere else. It must not know workers, models or how a request is routed: it appends `requested`, and hears tokens on
//! its own subject.
//!
//! Start reading at `routes` (what can be called), then follow a completion: `routes/completions` → `openai/chat_request`
//! (validation) → `running` (facts out) → `token_dispatcher` and `in_flight` (tokens in) → `sse` or `openai/answer`.

mod administration;
mod admission;
mod answer_track;
mod auth;
mod background_request;
mod batch_line;
mod batch_lines;
mod config;
mod connection;
mod deployments;
mod error;
mod idempotency;
mod in_flight;
mod inference_document;
mod inference_id;
mod inference_record;
mod inference_request;
mod json_body;
mod json_object;
mod known_part;
mod local_caller;
mod metrics;
mod node;
mod openai;
mod page;
mod pooling_request;
mod position;
mod presence;
mod prices;
mod queue;
mod queues;
mod repair;
mod retry_after;
mod routes;
mod running;
mod server;
mod sse;
mod state;
mod terms;
mod token_clock;
mod token_dispatcher;
mod upload;
mod upload_body;
mod webhooks;
mod worker_query;

pub use auth::MasterKey;
pub use batch_line::{BatchOutcome, custom_id_of, too_long};
pub use batch_lines::{BatchLines, UnreadLine};
pub use config::{ApiConfig, ExtraMetrics, Limits, Timeouts};
pub use local_caller::LocalCaller;
pub use metrics::SharedRegistry;
pub use node::Api;
pub use prices::Prices;
pub use webhooks::WebhookOptions;
