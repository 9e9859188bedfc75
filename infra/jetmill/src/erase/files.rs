//! The files that hold content of somebody and that destroying keys does not reach.

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::Result;
use bus::{ErasureScope, EventLog, JobLog, StoredFile, inferences_of};
use schedulers::jobs::LinePlace;
use schemas::batch::Batch;
use schemas::{InferenceId, TenantId};

use crate::instance;

/// The files of the batches that asked for content in this scope; of a tenant, all of its files.
pub(super) async fn files_of(
    log: &Arc<dyn EventLog>,
    tenant: &TenantId,
    scope: &ErasureScope,
) -> Result<Vec<StoredFile>> {
    let jobs = JobLog::new(Arc::clone(log), instance::stamps(), "cli", &instance::name());
    if *scope == ErasureScope::Tenant {
        return Ok(jobs.files(tenant).await?);
    }
    let inferences = inferences_of(log.as_ref(), tenant, scope).await?;
    let mut files = Vec::new();
    for batch in jobs.batches(tenant).await?.iter().filter(|batch| asked_for_one_of(batch, &inferences)) {
        let ended = batch.ended.iter().flat_map(|ended| [&ended.output_file, &ended.error_file]);
        let written = ended.filter_map(|file| file.parse().ok());
        for file in std::iter::once(batch.input_file.clone()).chain(written) {
            files.extend(jobs.file(tenant, &file).await?);
        }
    }
    Ok(files)
}

/// By ids alone: what was asked for may have left the log. All prompts of a line have the same end user, so one of them tells.
fn asked_for_one_of(batch: &Batch, inferences: &BTreeSet<InferenceId>) -> bool {
    let (tenant, batch_id) = (&batch.tenant, &batch.id);
    (1..=batch.counts().num_lines).any(|line_number| {
        let place = LinePlace { tenant, batch: batch_id, line_number, prompt_index: 0 };
        inferences.contains(&place.inference_id())
    })
}
