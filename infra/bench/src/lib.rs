//! Load and comparison: what a server does under many streams, beside a named peer, in one run.
//!
//! Owns the load generator (closed and open loop over OpenAI-style SSE), the soak check and the tables of
//! `infra/bench/README.md`. A peer is anything with a URL; the engine called directly is the one target that isn't.
//! It must not know how the platform works inside: what it measures comes over HTTP or from the engine's own handle.
//! Start reading at [`load::run`], which every report goes through.

pub mod arrivals;
pub mod batch_lines;
pub mod batch_watch;
pub mod compare;
pub mod completion;
pub mod engine_target;
pub mod http_target;
pub mod load;
pub mod memory;
pub mod peer;
pub mod platform;
pub mod prompt;
pub mod quantiles;
pub mod report;
pub mod row;
pub mod row_report;
pub mod row_sample;
pub mod served_process;
pub mod soak;
pub mod speculation;
pub mod sse;
pub mod stream_check;
pub mod table;
pub mod target;
