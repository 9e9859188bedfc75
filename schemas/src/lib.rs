//! The shared words of Jetmill: ids, the events of [`v1`] with their JSON view, the inference lifecycle and sampling
//! parameters.
//!
//! No I/O, clock or randomness lives here: times and ids are arguments. Start reading at [`lifecycle`], which says what
//! may happen to an inference, then `proto/jetmill/v1/events.proto`, which says how each fact is written down.

pub mod batch;
mod envelope;
mod fact_hash;
mod failure;
mod ids;
pub mod lifecycle;
mod price;
mod sampling;

/// Version 1 of the protobuf messages; generated from `proto/jetmill/v1/events.proto`.
#[allow(
    missing_docs,
    clippy::all,
    clippy::pedantic,
    reason = "generated code; the protocol file documents it"
)]
pub mod v1 {
    include!("generated/jetmill.v1.rs");
    include!("generated/jetmill.v1.serde.rs");
}

pub use envelope::{
    DecodeError, FactKind, SCHEMA_VERSION, WrittenBy, decode_audit, decode_control, decode_envelope,
    decode_job,
};
pub use fact_hash::{FactHash, NoHash};
pub use failure::failure;
pub use ids::{
    BatchId, DeploymentId, EventId, FileId, Id, IdError, InferenceId, IngressId, PoolName, TenantId, WorkerId,
};
pub use price::{Amount, AmountError};
pub use sampling::{InvalidParameter, SamplingLimits, SamplingParams};
