//! Encoders: their numbers against a naive reference and known values, and the worker over one.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod numbers;
mod reference;
mod tiny_encoder;
mod worker;
