//! A record of the log as a leaf of the tree.

use bus::Record;
use schemas::FactHash;
use sha2::{Digest as _, Sha256};

use crate::merkle::{Hash, leaf_hash};

/// What the tree holds of a record. It covers position, subject and every byte, and tells nothing of them, so that a record
/// can be proven to be another's without being shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leaf {
    /// Position in the stream.
    pub sequence: u64,
    /// SHA-256 of the inference's id as it stands in the envelope; of nothing if the record is no envelope.
    pub inference: Hash,
    /// SHA-256 of the fact's hash followed by the subject.
    pub content: Hash,
}

impl Leaf {
    /// The leaf of a record.
    pub fn of(record: &Record) -> Self {
        let inference = schemas::decode_envelope(&record.payload).map(|envelope| envelope.inference_id);
        Self::new(record.sequence, inference.as_deref().unwrap_or_default(), &record.payload, &record.subject)
    }

    /// The leaf of these parts of a record.
    pub(crate) fn new(sequence: u64, inference_id: &str, payload: &[u8], subject: &str) -> Self {
        let fact = FactHash::of(payload);
        let content = Sha256::new().chain_update(fact.as_bytes()).chain_update(subject).finalize().into();
        Self { sequence, inference: inference_digest(inference_id), content }
    }

    /// The leaf of a record of which only the hash of the stored bytes is known. Its subject names the inference.
    pub(crate) fn without_content(sequence: u64, fact: FactHash, subject: &str) -> Self {
        let id = bus::subjects::inference_of(subject).map(|id| id.to_string()).unwrap_or_default();
        let content = Sha256::new().chain_update(fact.as_bytes()).chain_update(subject).finalize().into();
        Self { sequence, inference: inference_digest(&id), content }
    }

    /// Its node: `SHA-256(0x00 || sequence as 8 bytes, big-endian || inference || content)`.
    pub fn hash(&self) -> Hash {
        let mut bytes = [0; 72];
        bytes[..8].copy_from_slice(&self.sequence.to_be_bytes());
        bytes[8..40].copy_from_slice(&self.inference);
        bytes[40..].copy_from_slice(&self.content);
        leaf_hash(&bytes)
    }
}

/// What a leaf tells of its inference.
pub(crate) fn inference_digest(inference_id: &str) -> Hash {
    Sha256::digest(inference_id).into()
}
