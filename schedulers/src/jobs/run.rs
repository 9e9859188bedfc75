//! One batch from where it stands to its end.

use std::sync::Arc;

use bus::{BusError, EventLog, FactWriter, JobLog, StoredFile};
use schemas::batch::Batch;
use schemas::failure;
use schemas::v1::job_envelope::Fact;
use schemas::v1::{BatchEnded, BatchOutcome, BatchProgressed, FailureKind, LineCounts};
use tracing::info;

use super::input::count_lines;
use super::line_codec::LineCodec;
use super::service::JobsOptions;
use super::window::Window;

/// A batch in the hands of this process. It may be dropped at any moment: whoever takes the batch next goes on from what
/// is durable.
pub(super) struct BatchRun {
    pub(super) jobs: JobLog,
    pub(super) facts: FactWriter,
    pub(super) codec: Arc<dyn LineCodec>,
    pub(super) options: JobsOptions,
    pub(super) batch: Batch,
}

impl BatchRun {
    /// Runs it to its end; without effect when it has ended.
    pub(super) async fn run(mut self) -> Result<(), BusError> {
        if self.batch.ended.is_some() {
            return Ok(());
        }
        let Some(file) = self.jobs.stored_file(&self.batch.tenant, &self.batch.input_file).await? else {
            return self.fail("input_file_not_found", "the input file is not there any more").await;
        };
        if self.batch.progress.is_none() && !self.validate(&file).await? {
            return Ok(());
        }
        if self.progress().outcome() == BatchOutcome::Unspecified {
            let outcome = self.answer_lines(&file).await?;
            let now = self.jobs.now_unix_nanos();
            let progress = self.batch.progress.get_or_insert_default();
            progress.finalizing_at_unix_nanos = now;
            progress.outcome = outcome.into();
            self.append_progress().await?;
        }
        self.finish(&file).await
    }

    /// Ends it as failed: it cannot be run, for a reason that the log of this process tells.
    pub(super) async fn give_up(self) -> Result<(), BusError> {
        if self.batch.ended.is_some() {
            return Ok(());
        }
        self.fail("batch_broken", "the batch could not be run; the input file may be damaged").await
    }

    /// Counts the lines; false when there is nothing to run, which ends the batch.
    async fn validate(&mut self, file: &StoredFile) -> Result<bool, BusError> {
        let max_num_lines = self.options.max_num_lines;
        let max_line_bytes = self.options.max_line_bytes;
        let num_lines = count_lines(self.log().as_ref(), file, max_line_bytes, max_num_lines).await?;
        if num_lines == 0 {
            self.fail("empty_file", "the input file holds no requests").await?;
            return Ok(false);
        }
        if num_lines > max_num_lines {
            let message = format!("the input file holds more than {max_num_lines} requests");
            self.fail("too_many_requests", &message).await?;
            return Ok(false);
        }
        self.batch.progress = Some(BatchProgressed {
            batch: self.batch.id.to_string(),
            counts: Some(LineCounts { num_lines, ..LineCounts::default() }),
            in_progress_at_unix_nanos: self.jobs.now_unix_nanos(),
            ..BatchProgressed::default()
        });
        self.append_progress().await?;
        info!(batch = %self.batch.id, num_lines, "a batch begins");
        Ok(true)
    }

    /// Writes the result files, then the end.
    async fn finish(self, file: &StoredFile) -> Result<(), BusError> {
        let outcome = self.progress().outcome();
        let results = self.write_results(file).await?;
        let counts = results.counts;
        let ended = BatchEnded {
            batch: self.batch.id.to_string(),
            outcome: outcome.into(),
            counts: Some(counts),
            output_file: results.output_file,
            error_file: results.error_file,
            failure: None,
        };
        self.jobs.append(&self.batch.tenant, Fact::BatchEnded(ended)).await?;
        let LineCounts { num_answered, num_failed, .. } = counts;
        info!(batch = %self.batch.id, ?outcome, num_answered, num_failed, "a batch has ended");
        Ok(())
    }

    async fn fail(&self, code: &str, message: &str) -> Result<(), BusError> {
        let ended = BatchEnded {
            batch: self.batch.id.to_string(),
            outcome: BatchOutcome::Failed.into(),
            counts: Some(self.batch.counts()),
            failure: Some(failure(FailureKind::InvalidRequest, code, message).at("input_file_id")),
            ..BatchEnded::default()
        };
        info!(batch = %self.batch.id, code, "a batch cannot be run");
        self.jobs.append(&self.batch.tenant, Fact::BatchEnded(ended)).await.map(drop)
    }

    /// Writes down how far the batch is, if that has changed.
    pub(super) async fn write_progress(&mut self, window: &Window) -> Result<(), BusError> {
        let (num_lines_over, num_lines_over_failed) = window.over();
        let before = self.progress();
        let num_lines = before.counts.unwrap_or_default().num_lines;
        let after = BatchProgressed {
            counts: Some(window.counts(num_lines)),
            num_lines_over,
            num_lines_over_failed,
            ..before.clone()
        };
        if after != before {
            self.batch.progress = Some(after);
            self.append_progress().await?;
        }
        Ok(())
    }

    async fn append_progress(&self) -> Result<(), BusError> {
        self.jobs.append(&self.batch.tenant, Fact::BatchProgressed(self.progress())).await.map(drop)
    }

    pub(super) fn log(&self) -> &Arc<dyn EventLog> {
        self.jobs.log()
    }

    /// Lines that are over, and how many of these were not answered.
    pub(super) fn over(&self) -> (u64, u64) {
        let progress = self.progress();
        (progress.num_lines_over, progress.num_lines_over_failed)
    }

    pub(super) fn progress(&self) -> BatchProgressed {
        self.batch.progress.clone().unwrap_or_default()
    }
}
