//! What is known of a batch: a fold over its facts, whatever their order.

use crate::ids::{BatchId, FileId, InferenceId, TenantId};
use crate::v1::job_envelope::Fact;
use crate::v1::{
    BatchCreated, BatchEnded, BatchOutcome, BatchProgressed, Ended, JobEnvelope, LineCounts, Requested,
};

/// Where a batch is in its life, by OpenAI's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "each is the status of its name")]
pub enum BatchStatus {
    Validating,
    InProgress,
    Finalizing,
    Completed,
    Failed,
    Expired,
    Cancelling,
    Cancelled,
}

impl BatchStatus {
    /// The word that clients read.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Validating => "validating",
            Self::InProgress => "in_progress",
            Self::Finalizing => "finalizing",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Expired => "expired",
            Self::Cancelling => "cancelling",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether nothing follows.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Expired | Self::Cancelled)
    }
}

/// An inference of a line, as the log tells it.
#[derive(Debug, Clone, PartialEq)]
pub struct EndedInference {
    /// Its id.
    pub id: InferenceId,
    /// What was asked.
    pub requested: Requested,
    /// When.
    pub requested_at_unix_nanos: u64,
    /// How it ended.
    pub ended: Ended,
}

/// A batch as its facts tell it.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// Its id.
    pub id: BatchId,
    /// Whose it is.
    pub tenant: TenantId,
    /// The file of its requests.
    pub input_file: FileId,
    /// What its client asked for.
    pub created: BatchCreated,
    /// When.
    pub created_at_unix_nanos: u64,
    /// The last word on its progress.
    pub progress: Option<BatchProgressed>,
    /// When its client gave it up.
    pub cancel_requested_at_unix_nanos: Option<u64>,
    /// Its end.
    pub ended: Option<BatchEnded>,
    /// When it ended.
    pub ended_at_unix_nanos: u64,
}

impl Batch {
    /// A batch that has just begun; `None` when an id in its fact is malformed.
    pub fn begun(tenant: TenantId, created: BatchCreated, at_unix_nanos: u64) -> Option<Self> {
        Some(Self {
            id: created.batch.parse().ok()?,
            tenant,
            input_file: created.input_file.parse().ok()?,
            created,
            created_at_unix_nanos: at_unix_nanos,
            progress: None,
            cancel_requested_at_unix_nanos: None,
            ended: None,
            ended_at_unix_nanos: 0,
        })
    }

    /// The batch that these facts of one batch tell of; `None` without its beginning.
    pub fn fold(facts: impl IntoIterator<Item = JobEnvelope>) -> Option<Self> {
        let mut batch = None;
        let (mut progress, mut cancelled_at, mut ended, mut ended_at) = (None, None, None, 0);
        for envelope in facts {
            let at = envelope.recorded_at_unix_nanos;
            match envelope.fact? {
                Fact::BatchCreated(created) => {
                    batch = Self::begun(envelope.tenant.parse().ok()?, created, at);
                }
                Fact::BatchProgressed(progressed) => progress = Some(progressed),
                Fact::BatchCancelRequested(_) => cancelled_at = Some(at),
                Fact::BatchEnded(end) => (ended, ended_at) = (Some(end), at),
                Fact::FileCreated(_)
                | Fact::FileDeleted(_)
                | Fact::FileUploadBegun(_)
                | Fact::FileUploadEnded(_) => {}
            }
        }
        let batch = batch?;
        Some(Self {
            progress,
            cancel_requested_at_unix_nanos: cancelled_at,
            ended,
            ended_at_unix_nanos: ended_at,
            ..batch
        })
    }

    /// Where it is in its life.
    pub fn status(&self) -> BatchStatus {
        if let Some(ended) = &self.ended {
            return match ended.outcome() {
                BatchOutcome::Completed | BatchOutcome::Unspecified => BatchStatus::Completed,
                BatchOutcome::Failed => BatchStatus::Failed,
                BatchOutcome::Expired => BatchStatus::Expired,
                BatchOutcome::Cancelled => BatchStatus::Cancelled,
            };
        }
        match &self.progress {
            _ if self.cancel_requested_at_unix_nanos.is_some() => BatchStatus::Cancelling,
            None => BatchStatus::Validating,
            Some(progress) if progress.finalizing_at_unix_nanos > 0 => BatchStatus::Finalizing,
            Some(_) => BatchStatus::InProgress,
        }
    }

    /// How many lines there are, and how many are over.
    pub fn counts(&self) -> LineCounts {
        let ended = self.ended.as_ref().and_then(|ended| ended.counts);
        let progress = || self.progress.as_ref().and_then(|progress| progress.counts);
        ended.or_else(progress).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v1::BatchCancelRequested;

    fn envelope(fact: Fact, at: u64) -> JobEnvelope {
        JobEnvelope {
            tenant: "t".to_owned(),
            recorded_at_unix_nanos: at,
            fact: Some(fact),
            ..JobEnvelope::default()
        }
    }

    fn check(facts: Vec<Fact>, expected: BatchStatus) {
        let created = BatchCreated {
            batch: "batch_1".to_owned(),
            input_file: "file-1".to_owned(),
            ..BatchCreated::default()
        };
        let mut envelopes = vec![envelope(Fact::BatchCreated(created), 1)];
        envelopes.extend((2..).zip(facts).map(|(at, fact)| envelope(fact, at)));
        let forwards = Batch::fold(envelopes.clone()).unwrap();
        envelopes.reverse();
        assert_eq!(Batch::fold(envelopes).as_ref(), Some(&forwards));
        assert_eq!(forwards.status(), expected);
    }

    #[test]
    fn a_status_follows_from_the_facts_in_any_order() {
        let progressed = |finalizing_at_unix_nanos| {
            Fact::BatchProgressed(BatchProgressed { finalizing_at_unix_nanos, ..BatchProgressed::default() })
        };
        let cancel = || Fact::BatchCancelRequested(BatchCancelRequested::default());
        let ended = |outcome: BatchOutcome| {
            Fact::BatchEnded(BatchEnded { outcome: outcome.into(), ..BatchEnded::default() })
        };
        check(vec![], BatchStatus::Validating);
        check(vec![progressed(0)], BatchStatus::InProgress);
        check(vec![progressed(5)], BatchStatus::Finalizing);
        check(vec![cancel()], BatchStatus::Cancelling);
        check(vec![progressed(0), cancel()], BatchStatus::Cancelling);
        check(vec![progressed(5), ended(BatchOutcome::Completed)], BatchStatus::Completed);
        check(vec![progressed(5), cancel(), ended(BatchOutcome::Cancelled)], BatchStatus::Cancelled);
        check(vec![ended(BatchOutcome::Failed)], BatchStatus::Failed);
        check(vec![progressed(5), ended(BatchOutcome::Expired)], BatchStatus::Expired);
        assert_eq!(Batch::fold(vec![envelope(cancel(), 1)]), None);
    }
}
