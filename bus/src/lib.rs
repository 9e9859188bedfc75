//! Moving and keeping envelopes: the event log, live messages, durable consumers, objects and queries between processes.
//!
//! Only this crate knows NATS. It must not know what a fact means: it moves bytes on subjects. Start reading at
//! [`EventLog`] (the contract), then [`subjects`] and [`topology`] (which streams and consumers exist).

mod error;
mod event_log;
mod fact_writer;
mod service;
pub mod subjects;
pub mod topology;

pub use error::BusError;
pub use event_log::{
    Append, AppendOutcome, Consumer, ConsumerHandle, Delivery, DeliveryHandle, EventLog, Expect, LiveMessage, LiveMessages, QueryMessage,
    QueryMessages, ReadFrom, Record, Records, StreamName,
};
pub use fact_writer::{FactWriter, InferenceAddress, Stamp, StampSource};
pub use service::{Handled, serve_deliveries};
