//! From the log to an archive.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use bus::{BusError, EventLog, ReadFrom, StreamName, subjects};
use futures_util::TryStreamExt as _;
use schemas::v1::CheckpointSigned;
use schemas::v1::envelope::Fact;
use schemas::{FactKind, InferenceId, TenantId};

use crate::AuditError;
use crate::archive::{ArchiveWriter, End, Header, Part};
use crate::checkpoint_log::CheckpointLog;
use crate::stored_records::{Stored, StoredRecords};

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
    if first > newest.last_sequence {
        return Err(AuditError::NothingToExport("no checkpoint covers it yet; try again in a few seconds"));
    }
    let base = base(log.as_ref(), &checkpoints, first).await?;
    let mut archive = ArchiveWriter::create(path)?;
    archive.write(Part::Header(selection.header(made_at_unix_nanos)))?;
    let (mut number, from) = (0, base.as_ref().map_or(0, |base| base.last_sequence) + 1);
    if let Some(base) = base {
        number = base.number;
        archive.write(Part::Checkpoint(base))?;
    }
    let mut selected = Selected::new(selection);
    let mut records = StoredRecords::open(log.as_ref(), ReadFrom::Sequence(from)).await?;
    let mut next = checkpoints.get(number + 1).await?;
    let mut report = ExportReport::default();
    while let (Some(checkpoint), Some(record)) = (&next, records.next().await?) {
        let is_shown = selected.takes(&record);
        report.num_entries += 1;
        report.num_facts += u64::from(is_shown);
        let sequence = record.sequence();
        archive.write(Part::Entry(record.into_entry(is_shown)))?;
        if sequence >= checkpoint.last_sequence {
            let number = checkpoint.number;
            archive.write(Part::Checkpoint(checkpoint.clone()))?;
            next = if selected.is_complete { None } else { checkpoints.get(number + 1).await? };
        }
    }
    let ExportReport { num_entries, num_facts, .. } = report;
    archive.write(Part::End(End { num_entries, num_facts, ..End::default() }))?;
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

/// The sequence of the oldest record that may be selected.
async fn first_record(log: &dyn EventLog, selection: &Selection) -> Result<Option<u64>, AuditError> {
    let from = selection.from_unix_nanos.map_or(ReadFrom::Start, ReadFrom::UnixNanos);
    let patterns = selection.inference.map(subjects::life_of).unwrap_or_default();
    match log.read(StreamName::Inference, patterns, from, false).await?.try_next().await {
        Ok(record) => Ok(record.map(|record| record.sequence)),
        Err(BusError::Object { missing: Some(missing), .. }) => Ok(Some(missing.sequence)),
        Err(error) => Err(error.into()),
    }
}

/// The checkpoint that the archive begins with, after which every record is still there; none: the archive begins with
/// the tree.
pub(crate) async fn base(
    log: &dyn EventLog,
    checkpoints: &CheckpointLog,
    first_sequence: u64,
) -> Result<Option<CheckpointSigned>, AuditError> {
    let base = checkpoints.last_before(first_sequence).await?;
    let oldest = log.state(StreamName::Inference).await?.first_sequence.max(1);
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
    fn takes(&mut self, record: &Stored) -> bool {
        let is_past = self.selection.to_unix_nanos.is_some_and(|to| record.stored_at_unix_nanos() >= to);
        let Some(told) = Told::of(record) else { return self.selection == Selection::default() };
        if told.is_requested && !is_past && self.selects(record, &told) {
            self.inferences.insert(told.inference.clone());
            self.open.insert(told.inference.clone());
        }
        if told.is_ended {
            self.open.remove(&told.inference);
        }
        let is_last_known = self.selection.inference.is_some() && !self.inferences.is_empty();
        self.is_complete = (is_past || is_last_known) && self.open.is_empty();
        self.inferences.contains(&told.inference) || self.selection == Selection::default()
    }

    fn selects(&self, record: &Stored, requested: &Told) -> bool {
        let Selection { from_unix_nanos, tenant, inference, .. } = &self.selection;
        from_unix_nanos.is_none_or(|from| record.stored_at_unix_nanos() >= from)
            && tenant.as_ref().is_none_or(|tenant| tenant.as_str() == requested.tenant)
            && inference.as_ref().is_none_or(|id| id.to_string() == requested.inference)
    }
}

/// What a record tells that decides whether it is shown.
struct Told {
    inference: String,
    tenant: String,
    is_requested: bool,
    is_ended: bool,
}

impl Told {
    /// `None` of what is no fact.
    fn of(record: &Stored) -> Option<Self> {
        match record {
            Stored::Whole(record) => {
                let envelope = schemas::decode_envelope(&record.payload).ok()?;
                Some(Self {
                    is_requested: matches!(envelope.fact, Some(Fact::Requested(_))),
                    is_ended: matches!(envelope.fact, Some(Fact::Ended(_))),
                    inference: envelope.inference_id,
                    tenant: envelope.tenant,
                })
            }
            // What happens once has tenant and kind in its subject, and nothing else decides.
            Stored::WithoutContent(missing) => Some(Self {
                inference: subjects::inference_of(&missing.subject)?.to_string(),
                tenant: missing.subject.split('.').nth(2)?.to_owned(),
                is_requested: subjects::is_any_match(
                    &[subjects::all_of(FactKind::Requested)],
                    &missing.subject,
                ),
                is_ended: subjects::is_any_match(&[subjects::all_of(FactKind::Ended)], &missing.subject),
            }),
        }
    }
}
