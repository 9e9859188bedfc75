//! A segment on its way: records in, checked against the checkpoints that close it.

use std::collections::HashMap;
use std::path::PathBuf;

use bus::subjects;
use schemas::v1::{CheckpointSigned, SegmentArchived};
use schemas::{FactKind, InferenceId};

use crate::AuditError;
use crate::archive::{Header, Part};
use crate::checkpoint::believed;
use crate::merkle::GrowingTree;
use crate::segment::SegmentWriter;
use crate::stored_records::Stored;

/// Entries wait until they have so many bytes, then a thread packs and writes them.
const WRITTEN_AT_ONCE_BYTES: usize = 1 << 20;

/// A segment that is not closed yet.
pub(super) struct SegmentDraft {
    /// `None` only while a thread has it.
    writer: Option<SegmentWriter>,
    waiting: Vec<Part>,
    num_waiting_bytes: usize,
    tree: GrowingTree,
    num_records: u64,
    /// Inferences that have not ended, with the sequences of their first facts.
    open: HashMap<InferenceId, u64>,
    oldest_unix_nanos: u64,
    newest_unix_nanos: u64,
    last: Option<CheckpointSigned>,
}

impl SegmentDraft {
    /// Begins after `base`; `open` had not ended by then.
    pub(super) async fn begin(
        directory: PathBuf,
        (number, token): (u64, String),
        base: Option<&CheckpointSigned>,
        open: Vec<(InferenceId, u64)>,
    ) -> Result<Self, AuditError> {
        let tree = base.map_or_else(|| Ok(GrowingTree::default()), believed)?;
        let create = move || SegmentWriter::create(&directory, number, &token);
        let writer = tokio::task::spawn_blocking(create).await.map_err(|_| broken("its writer broke"))??;
        let mut waiting = vec![Part::Header(Header::default())];
        waiting.extend(base.cloned().map(Part::Checkpoint));
        Ok(Self {
            writer: Some(writer),
            waiting,
            num_waiting_bytes: 0,
            tree,
            num_records: 0,
            open: open.into_iter().collect(),
            oldest_unix_nanos: u64::MAX,
            newest_unix_nanos: 0,
            last: None,
        })
    }

    pub(super) const fn num_records(&self) -> u64 {
        self.num_records
    }

    pub(super) fn num_unpacked_bytes(&self) -> u64 {
        let written = self.writer.as_ref().map_or(0, SegmentWriter::num_unpacked_bytes);
        written + self.num_waiting_bytes as u64
    }

    /// Takes the next record.
    pub(super) async fn push(&mut self, stored: Stored) -> Result<(), AuditError> {
        self.tree.push(stored.leaf().hash());
        self.num_records += 1;
        self.oldest_unix_nanos = self.oldest_unix_nanos.min(stored.stored_at_unix_nanos());
        self.newest_unix_nanos = self.newest_unix_nanos.max(stored.stored_at_unix_nanos());
        if let Some(id) = subjects::inference_of(stored.subject()) {
            let is_of = |kind| subjects::is_any_match(&[subjects::all_of(kind)], stored.subject());
            if is_of(FactKind::Requested) {
                self.open.insert(id, stored.sequence());
            } else if is_of(FactKind::Ended) {
                self.open.remove(&id);
            }
        }
        let num_bytes = match &stored {
            Stored::Whole(record) => record.payload.len(),
            Stored::WithoutContent(_) => 0,
        };
        self.num_waiting_bytes += num_bytes + stored.subject().len() + 80;
        self.waiting.push(Part::Entry(stored.into_entry(true)));
        if self.num_waiting_bytes >= WRITTEN_AT_ONCE_BYTES {
            self.write().await?;
        }
        Ok(())
    }

    /// Takes the checkpoint that covers the records so far; `Err` if they are not those that it signed.
    pub(super) async fn close(&mut self, checkpoint: CheckpointSigned) -> Result<(), AuditError> {
        if believed(&checkpoint)? != self.tree {
            return Err(AuditError::Checkpoint {
                number: checkpoint.number,
                reason: "the records of the log are not those that it signed; they are not archived",
            });
        }
        self.waiting.push(Part::Checkpoint(checkpoint.clone()));
        self.last = Some(checkpoint);
        Ok(())
    }

    /// Makes it whole and durable, under its name.
    pub(super) async fn finish(mut self, number: u64) -> Result<SegmentArchived, AuditError> {
        self.write().await?;
        let mut open: Vec<(Vec<u8>, u64)> =
            self.open.iter().map(|(id, sequence)| (id.uuid().as_bytes().to_vec(), *sequence)).collect();
        open.sort_unstable_by_key(|(_, sequence)| *sequence);
        let first_open_sequence = open.first().map_or(0, |(_, sequence)| *sequence);
        let Some(writer) = self.writer.take() else { return Err(broken("its writer is gone")) };
        let written = tokio::task::spawn_blocking(move || writer.finish(number, open));
        let written = written.await.map_err(|_| broken("its writer broke"))??;
        let last = self.last.ok_or_else(|| broken("no checkpoint closes it"))?;
        Ok(SegmentArchived {
            number,
            file: written.file,
            num_bytes: written.num_bytes,
            sha256: written.sha256.to_vec(),
            first_sequence: written.first_sequence,
            last_sequence: written.last_sequence,
            num_records: written.num_records,
            oldest_unix_nanos: self.oldest_unix_nanos,
            newest_unix_nanos: self.newest_unix_nanos,
            last_checkpoint: last.number,
            root_hash: last.root_hash,
            end_offset: written.end_offset,
            end_sha256: written.end_sha256.to_vec(),
            first_open_sequence,
        })
    }

    async fn write(&mut self) -> Result<(), AuditError> {
        let parts = std::mem::take(&mut self.waiting);
        self.num_waiting_bytes = 0;
        let Some(mut writer) = self.writer.take() else { return Err(broken("its writer is gone")) };
        let work = move || {
            for part in parts {
                writer.write(part)?;
            }
            Ok::<_, AuditError>(writer)
        };
        self.writer = Some(tokio::task::spawn_blocking(work).await.map_err(|_| broken("its writer broke"))??);
        Ok(())
    }
}

fn broken(reason: &str) -> AuditError {
    AuditError::Bus(bus::BusError::Archive {
        segment: "the segment under way".to_owned(),
        reason: reason.to_owned(),
    })
}
