//! Real HTTP against a node on the memory log, with a scripted back end that plays guardrail, router and worker.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod administration;
mod answers;
mod audit;
mod auth;
mod backend;
mod background;
mod bad_requests;
mod client;
mod embeddings;
mod erasure;
mod files;
mod grammars;
mod idempotency;
mod junk;
mod limits;
mod local_frames;
mod node;
mod operations;
mod queues;
mod repair;
mod resumption;
mod shutdown;
mod streams;
mod tokenization;
mod tools;
