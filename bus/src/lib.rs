//! Moving and keeping envelopes: the event log, live messages, durable consumers, objects and queries between processes.
//!
//! Only this crate knows NATS. It must not know what a fact means: it moves bytes on subjects, and seals what `schemas` calls
//! content ([`SealedLog`]). Start reading at
//! [`EventLog`] (the contract), then [`subjects`] and [`topology`] (which streams and consumers exist).

mod dead_letter;
mod embedded;
mod error;
mod event_log;
mod fact_writer;
mod file_chunks;
mod jetstream;
mod job_log;
mod limits;
mod local_frames;
mod memory;
mod rfc3339;
mod sealed_log;
mod service;
mod subject_pattern;
pub mod subjects;
pub mod topology;

pub use dead_letter::DeadLetter;
pub use embedded::{EmbeddedServer, EmbeddedServerOptions};
pub use error::{BusError, MissingContent};
pub use event_log::{
    Append, AppendOutcome, Backlog, Consumer, ConsumerHandle, Delivery, DeliveryHandle, EventLog, Expect,
    LiveMessage, LiveMessages, QueryMessage, QueryMessages, ReadFrom, Record, Records, StreamName,
    StreamState,
};
pub use fact_writer::{FactWriter, InferenceAddress, Stamp, StampSource};
pub use file_chunks::{FileBytes, FileWriter, WrittenFile, purge_file, read_file};
pub use jetstream::{Credentials, JetStreamLog, JetStreamOptions, LinkCounts};
pub use job_log::{JobLog, StoredFile};
pub use limits::{CLAIM_CHECK_BYTES, DEFAULT_MAX_RECORD_BYTES};
pub use local_frames::{LocalFrames, LocalListening};
pub use memory::{Faults, MemoryLog};
pub use sealed_log::{
    ErasedBy, Erasure, ErasureScope, SealedLog, WrappingKey, erase_content, erasure_of, inferences_of,
    num_keys, why_sealed,
};
pub use service::{Handled, serve_deliveries};
