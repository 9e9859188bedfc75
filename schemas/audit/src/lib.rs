//! Proof of the record: what was logged is what was said, and nothing was changed, removed, added or moved since.
//!
//! Three layers: each fact names the hash of the one that caused it; [`Checkpointer`] signs the root of a Merkle tree over
//! the log; an archive of a part of the log verifies offline with the public key alone. [`Archivist`] moves older history to
//! such archives, and [`History`] reads them and the log as one. It must not know NATS, SQL or HTTP.
//! Start reading at [`merkle`] and [`Leaf`] (what is signed), then [`Checkpointer`], [`archive`] (the format),
//! [`export()`] and [`verify()`], then [`Archivist`] and [`History`].

mod access;
pub mod archive;
mod archivist;
mod checkpoint;
mod checkpoint_log;
mod checkpointer;
mod configuration;
mod directory_check;
mod error;
mod export;
mod finding;
mod history;
mod keys;
mod leaf;
mod life;
pub mod merkle;
mod proof;
mod segment;
mod segment_log;
mod stored_records;
mod verify;

pub use access::record_access;
pub use archivist::{ArchiveNumbers, ArchiveStatus, Archivist, ArchivistSettings};
pub use checkpoint_log::CheckpointLog;
pub use checkpointer::{Checkpointer, CheckpointerSettings};
pub use configuration::{configuration_version, find_configuration};
pub use directory_check::{DirectoryVerification, verify_directory};
pub use error::AuditError;
pub use export::{ExportReport, Selection, export};
pub use finding::{Finding, FindingKind};
pub use history::History;
pub use keys::{PublicKey, SigningKey};
pub use leaf::Leaf;
pub use life::{Life, LifeFact};
pub use proof::{ConsistencyProof, InclusionProof, prove_consistency, prove_inclusion};
pub use verify::{Verification, verify};
