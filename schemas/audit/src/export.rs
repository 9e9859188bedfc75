//! From the log to an archive.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use bus::{EventLog, ReadFrom, Record, StreamName, subjects};
use futures_util::TryStreamExt as _;
use schemas::v1::CheckpointSigned;
use schemas::v1::envelope::Fact;
use schemas::{InferenceId, TenantId};

use crate::AuditError;
use crate::archive::{ArchiveWriter, End, Entry, Header, Part, StoredFact};
use crate::checkpoint_log::CheckpointLog;
use crate::leaf::Leaf;

/// Which inferences are exported, each with its whole life as far as it is signed. All of them by default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// Requested at or after this time.
    pub from_unix_nanos: Option<u64>,
    /// Requested before this time.
    pub to_unix_nanos: Option<u64>,
    /// Of this tenant.
    pub tenant: Option<TenantId>,
    /// This one.
    pub inference: Option<InferenceId>,
}

/// What an archive came to hold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ExportReport {
    /// Inferences that were selected.
    pub num_inferences: u64,
    /// Of these, those whose end is not signed yet.
    pub num_unfinished: u64,
    /// Their facts.
    pub num_facts: u64,
    /// Records that the archive proves something of.
    pub num_entries: u64,
    /// Records of the log that no checkpoint covers yet.
    pub num_unsigned: u64,
}

/// Writes an archive. It is as large as the selected facts and 80 bytes for every other record that was logged meanwhile.
pub async fn export(
    log: Arc<dyn EventLog>,
    selection: Selection,
    path: &Path,
    made_at_unix_nanos: u64,
) -> Result<ExportReport, AuditError> {
    let checkpoints = CheckpointLog::new(Arc::clone(&log));
    let newest = checkpoints.newest().await?;
    let newest = newest.ok_or(AuditError::NothingToExport("no checkpoint was signed yet"))?;
    let first = first_record(log.as_ref(), &selection).await?;
    let first = first.ok_or(AuditError::NothingToExport("the log holds nothing of this"))?;
    if first.sequence > newest.last_sequence {
        return Err(AuditError::NothingToExport("no checkpoint covers it yet; try again in a few seconds"));
    }
    let base = base(log.as_ref(), &checkpoints, first.sequence).await?;
    let mut archive = ArchiveWriter::create(path)?;
    archive.write(Part::Header(selection.header(made_at_unix_nanos)))?;
    let (mut number, from) = (0, base.as_ref().map_or(0, |base| base.last_sequence) + 1);
    if let Some(base) = base {
        number = base.number;
        archive.write(Part::Checkpoint(base))?;
    }
    let mut selected = Selected::new(selection);
    let mut records = log.read(StreamName::Inference, Vec::new(), ReadFrom::Sequence(from), false).await?;
    let mut next = checkpoints.get(number + 1).await?;
    let mut report = ExportReport::default();
    while let (Some(checkpoint), Some(record)) = (&next, records.try_next().await?) {
        let is_shown = selected.takes(&record);
        report.num_entries += 1;
        report.num_facts += u64::from(is_shown);
        let sequence = record.sequence;
        archive.write(Part::Entry(entry(record, is_shown)))?;
        if sequence >= checkpoint.last_sequence {
            let number = checkpoint.number;
            archive.write(Part::Checkpoint(checkpoint.clone()))?;
            next = if selected.is_complete { None } else { checkpoints.get(number + 1).await? };
        }
    }
    archive.write(Part::End(End { num_entries: report.num_entries, num_facts: report.num_facts }))?;
    archive.finish()?;
    let end = log.last_sequence(StreamName::Inference).await?;
    Ok(ExportReport {
        num_inferences: selected.inferences.len() as u64,
        num_unfinished: selected.open.len() as u64,
        num_unsigned: end.saturating_sub(newest.last_sequence),
        ..report
    })
}

impl Selection {
    fn header(&self, made_at_unix_nanos: u64) -> Header {
        Header {
            from_unix_nanos: self.from_unix_nanos,
            to_unix_nanos: self.to_unix_nanos,
            tenant: self.tenant.as_ref().map(ToString::to_string).unwrap_or_default(),
            inference: self.inference.as_ref().map(ToString::to_string).unwrap_or_default(),
            made_at_unix_nanos,
        }
    }
}

/// The oldest record that may be selected.
async fn first_record(log: &dyn EventLog, selection: &Selection) -> Result<Option<Record>, AuditError> {
    let from = selection.from_unix_nanos.map_or(ReadFrom::Start, ReadFrom::UnixNanos);
    let patterns = selection.inference.map(subjects::life_of).unwrap_or_default();
    Ok(log.read(StreamName::Inference, patterns, from, false).await?.try_next().await?)
}

/// The checkpoint that the archive begins with, after which every record is still there; none: the archive begins with
/// the tree.
async fn base(
    log: &dyn EventLog,
    checkpoints: &CheckpointLog,
    first_sequence: u64,
) -> Result<Option<CheckpointSigned>, AuditError> {
    let base = checkpoints.last_before(first_sequence).await?;
    let oldest =
        log.read(StreamName::Inference, Vec::new(), ReadFrom::Start, false).await?.try_next().await?;
    let oldest = oldest.map_or(1, |record| record.sequence);
    if base.as_ref().map_or(0, |base| base.last_sequence) + 1 >= oldest {
        return Ok(base);
    }
    // Either records have aged away, or the log was older than its tree.
    let is_tree_whole = |first: &CheckpointSigned| first.last_sequence + 1 == oldest + first.tree_size;
    if base.is_none() && checkpoints.get(1).await?.as_ref().is_some_and(is_tree_whole) {
        return Ok(None);
    }
    checkpoints.first_covering(oldest - 1).await
}

fn entry(record: Record, is_shown: bool) -> Entry {
    let leaf = Leaf::of(&record);
    Entry {
        sequence: leaf.sequence,
        inference: leaf.inference.to_vec(),
        content: leaf.content.to_vec(),
        fact: is_shown.then(|| StoredFact {
            subject: record.subject,
            stored_at_unix_nanos: record.stored_at_unix_nanos,
            envelope: record.stored.unwrap_or(record.payload).into(),
        }),
    }
}

/// The inferences that were selected so far.
struct Selected {
    selection: Selection,
    inferences: HashSet<String>,
    /// Those that have not ended.
    open: HashSet<String>,
    /// Whether nothing more can be selected.
    is_complete: bool,
}

impl Selected {
    fn new(selection: Selection) -> Self {
        Self { selection, inferences: HashSet::new(), open: HashSet::new(), is_complete: false }
    }

    /// Whether the archive shows this record.
    fn takes(&mut self, record: &Record) -> bool {
        let is_past = self.selection.to_unix_nanos.is_some_and(|to| record.stored_at_unix_nanos >= to);
        let Ok(envelope) = schemas::decode_envelope(&record.payload) else {
            return self.selection == Selection::default();
        };
        let id = envelope.inference_id.as_str();
        match &envelope.fact {
            Some(Fact::Requested(_)) if !is_past && self.selects(record, &envelope) => {
                self.inferences.insert(id.to_owned());
                self.open.insert(id.to_owned());
            }
            Some(Fact::Ended(_)) => {
                self.open.remove(id);
            }
            _ => {}
        }
        let is_last_known = self.selection.inference.is_some() && !self.inferences.is_empty();
        self.is_complete = (is_past || is_last_known) && self.open.is_empty();
        self.inferences.contains(id) || self.selection == Selection::default()
    }

    fn selects(&self, record: &Record, requested: &schemas::v1::Envelope) -> bool {
        let Selection { from_unix_nanos, tenant, inference, .. } = &self.selection;
        from_unix_nanos.is_none_or(|from| record.stored_at_unix_nanos >= from)
            && tenant.as_ref().is_none_or(|tenant| tenant.as_str() == requested.tenant)
            && inference.as_ref().is_none_or(|id| id.to_string() == requested.inference_id)
    }
}
