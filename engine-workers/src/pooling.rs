//! Encoders: vectors of texts and scores of pairs of texts, batched over requests.
//!
//! Start at [`encoder::Encoder`] (inputs in, vectors out), then [`engine`] (the thread and its queue) and [`worker`] (the bus). It
//! stands beside [`crate::engine`] instead of within: nothing is sampled, cached or preempted, so a request is one question with
//! one answer.

pub mod encoder;
pub mod engine;
pub mod loaded_encoder;
pub mod worker;

mod fair_queue;
mod forward;
mod holding;
mod inputs;
mod vector;
mod weights;
