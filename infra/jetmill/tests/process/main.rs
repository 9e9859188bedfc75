//! The real binary as its users run it: real processes, a real broker, real tables and a real model.
//!
//! Each test has a [`site::Site`] of its own: a temporary directory, free ports, and the processes it started, all of which
//! end with it.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod adapters;
mod api_death;
mod audit;
mod batches;
mod cancellation;
mod client;
mod costs;
mod crash;
mod erasure;
mod front;
mod history;
mod killers;
#[path = "../../../../engine-workers/tests/support/lora_fixture.rs"]
mod lora_fixture;
mod model_bench;
mod one_request;
mod overload;
#[path = "../../../../schemas/read-model/tests/read_model/postgres_server.rs"]
mod postgres_server;
mod process;
mod record;
mod replay;
mod roles;
mod run_batch;
mod secrets;
mod shutdown;
mod site;
mod startup;
mod trace;
mod wait;
mod worker_loss;
