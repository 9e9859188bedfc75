//! The result files: a row for every line, in the order of the input, written from what the log holds.

use std::sync::Arc;

use bus::{AppendOutcome, BusError, FileWriter, StoredFile, StreamName, subjects};
use futures_util::StreamExt as _;
use futures_util::stream::FuturesOrdered;
use schemas::FactKind;
use schemas::batch::EndedInference;
use schemas::v1::envelope::Fact;
use schemas::v1::{BatchOutcome, FileCreated, LineCounts, Outcome, Requested, job_envelope};
use tracing::debug;

use super::ends::end_of;
use super::input::{Input, InputLine};
use super::line_codec::{Row, Unread};
use super::line_place::{LinePlace, ResultFile};
use super::run::BatchRun;

/// Lines whose facts are read at once.
const MAX_NUM_AT_ONCE: usize = 32;

/// What was written.
pub(super) struct Results {
    pub(super) counts: LineCounts,
    /// Empty when no line was answered.
    pub(super) output_file: String,
    /// Empty when every line was.
    pub(super) error_file: String,
}

impl BatchRun {
    /// Writes both files anew; it takes the memory of a few lines, whatever their number.
    pub(super) async fn write_results(&self, file: &StoredFile) -> Result<Results, BusError> {
        let mut output = self.begin(ResultFile::Output).await?;
        let mut errors = self.begin(ResultFile::Errors).await?;
        let max_line_bytes = self.options.max_line_bytes;
        let mut input = Input::open(self.log().as_ref(), file, &self.codec, max_line_bytes).await?;
        let mut rows = FuturesOrdered::new();
        let mut is_over = false;
        let mut counts = LineCounts::default();
        loop {
            while !is_over && rows.len() < MAX_NUM_AT_ONCE {
                match input.next().await? {
                    Some(line) => rows.push_back(self.row(line)),
                    None => is_over = true,
                }
            }
            let Some(row) = rows.next().await else { break };
            let Row { mut text, is_answered } = row?;
            text.push('\n');
            counts.num_lines += 1;
            let (writer, count) = if is_answered {
                (&mut output, &mut counts.num_answered)
            } else {
                (&mut errors, &mut counts.num_failed)
            };
            *count += 1;
            writer.write(text.as_bytes()).await?;
        }
        let output_file = self.end(ResultFile::Output, output).await?;
        let error_file = self.end(ResultFile::Errors, errors).await?;
        Ok(Results { counts, output_file, error_file })
    }

    /// What an earlier owner may have written of it goes first.
    async fn begin(&self, which: ResultFile) -> Result<FileWriter, BusError> {
        let (tenant, id) = (&self.batch.tenant, which.id(&self.batch.tenant, &self.batch.id));
        bus::purge_file(self.log().as_ref(), tenant, &id).await?;
        Ok(FileWriter::new(Arc::clone(self.log()), tenant.clone(), id))
    }

    /// Makes the file known; an empty one is not there.
    async fn end(&self, which: ResultFile, writer: FileWriter) -> Result<String, BusError> {
        let written = writer.finish().await?;
        if written.num_bytes == 0 {
            return Ok(String::new());
        }
        let id = which.id(&self.batch.tenant, &self.batch.id).to_string();
        let created = FileCreated {
            file: id.clone(),
            filename: which.filename(&self.batch.id),
            purpose: "batch_output".to_owned(),
            num_bytes: written.num_bytes,
            num_chunks: written.num_chunks,
            digest: written.digest,
            expires_at_unix_nanos: self.output_expires_at(),
        };
        let created = job_envelope::Fact::FileCreated(created);
        if self.jobs.append(&self.batch.tenant, created).await? == AppendOutcome::AlreadyThere {
            debug!(batch = %self.batch.id, "a result file was known already");
        }
        Ok(id)
    }

    /// 0: never.
    fn output_expires_at(&self) -> u64 {
        match self.batch.created.output_expires_seconds {
            0 => 0,
            seconds => self.jobs.now_unix_nanos().saturating_add(seconds.saturating_mul(1_000_000_000)),
        }
    }

    async fn row(&self, line: InputLine) -> Result<Row, BusError> {
        let number = line.number;
        let bytes = match line.content {
            Ok(bytes) => bytes,
            Err(row) => return Ok(row),
        };
        let Some(inferences) = self.inferences_of(number).await? else {
            return Ok(match self.codec.read(number, &bytes, &self.batch.created.endpoint) {
                Err(Unread::Refused(row)) => row,
                Err(Unread::UnknownModel { row, .. }) if self.is_complete() => row,
                Ok(_) | Err(Unread::UnknownModel { .. }) => self.not_run(number, &bytes),
            });
        };
        let was_stopped = inferences.iter().any(|inference| inference.ended.outcome() == Outcome::Cancelled);
        if was_stopped && !self.is_complete() {
            return Ok(self.not_run(number, &bytes));
        }
        Ok(self.codec.answer(number, &bytes, inferences))
    }

    fn is_complete(&self) -> bool {
        self.progress().outcome() == BatchOutcome::Completed
    }

    fn not_run(&self, number: u64, line: &[u8]) -> Row {
        let (code, message) = match self.progress().outcome() {
            BatchOutcome::Cancelled => {
                ("batch_cancelled", "the batch was cancelled before this request ended")
            }
            BatchOutcome::Expired => {
                ("batch_expired", "this request could not be executed before the completion window expired")
            }
            _ => ("model_not_found", "no deployment served the model when this request was to be run"),
        };
        self.codec.refuse(number, Some(line), code, message)
    }

    /// What the log knows of a line; `None` when it was never asked, or did not end.
    async fn inferences_of(&self, line_number: u64) -> Result<Option<Vec<EndedInference>>, BusError> {
        let mut inferences = Vec::new();
        let mut num_prompts = 1;
        while inferences.len() < num_prompts {
            let prompt_index = u32::try_from(inferences.len()).unwrap_or(u32::MAX);
            let (tenant, batch) = (&self.batch.tenant, &self.batch.id);
            let id = LinePlace { tenant, batch, line_number, prompt_index }.inference_id();
            let subject = subjects::fact(FactKind::Requested, tenant, id);
            let (requested, ended) = tokio::try_join!(
                self.log().last(StreamName::Inference, subject),
                end_of(self.log().as_ref(), tenant, id)
            )?;
            let requested = requested.and_then(|record| requested_in(&record.payload));
            let Some(((requested, requested_at_unix_nanos), ended)) = requested.zip(ended) else {
                return Ok(None);
            };
            num_prompts = requested.batch_place.as_ref().map_or(1, |place| place.num_prompts as usize);
            inferences.push(EndedInference { id, requested, requested_at_unix_nanos, ended });
        }
        Ok(Some(inferences))
    }
}

fn requested_in(payload: &[u8]) -> Option<(Requested, u64)> {
    let envelope = schemas::decode_envelope(payload).ok()?;
    match envelope.fact {
        Some(Fact::Requested(requested)) => Some((requested, envelope.recorded_at_unix_nanos)),
        _ => None,
    }
}
