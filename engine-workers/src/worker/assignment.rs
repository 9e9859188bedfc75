//! An attempt that was assigned to this worker's pool, with the content that the log holds.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bus::{BusError, Delivery, EventLog, InferenceAddress, StreamName};
use schemas::FactHash;
use schemas::v1::envelope::Fact;
use schemas::v1::{Assigned, AttemptHistory, Prompt, RequestSummary, Requested, WorkClass};

/// What a worker needs to begin.
#[derive(Debug)]
pub(crate) struct Assignment {
    pub(crate) address: InferenceAddress,
    pub(crate) attempt: u32,
    /// Stream sequence of the assigned fact.
    pub(crate) sequence: u64,
    /// Whether the fact was delivered before.
    pub(crate) is_redelivered: bool,
    /// Whether it was, or other attempts were lost.
    pub(crate) is_repeated: bool,
    pub(crate) history: AttemptHistory,
    pub(crate) summary: RequestSummary,
    pub(crate) requested: Requested,
    pub(crate) prompt: Prompt,
    /// The assigned fact, which whatever the worker says of the attempt follows.
    pub(crate) assigned: FactHash,
}

/// Why a delivery can never become an assignment; holds no content.
pub(crate) type Undeliverable = &'static str;

impl Assignment {
    /// Reads the fact and, by the sequence it names, the content.
    pub(crate) async fn read(
        log: &dyn EventLog,
        delivery: &Delivery,
    ) -> Result<Result<Self, Undeliverable>, BusError> {
        let Some((address, assigned)) = read_assigned(&delivery.record.payload) else {
            return Ok(Err("not an assigned fact"));
        };
        let Assigned { attempt, history, summary, .. } = assigned;
        let summary = summary.unwrap_or_default();
        let Some(Fact::Requested(mut requested)) = read_fact(log, summary.content_sequence).await? else {
            return Ok(Err("the requested fact is not in the log"));
        };
        let mut prompt = requested.prompt.take();
        if summary.redacted_sequence > 0 {
            let Some(Fact::Admitted(admitted)) = read_fact(log, summary.redacted_sequence).await? else {
                return Ok(Err("the admitted fact with the redacted content is not in the log"));
            };
            prompt = admitted.redacted_prompt;
        }
        // What vectors are asked of stands beside the prompt.
        let prompt = prompt.or_else(|| requested.pooling.is_some().then(Prompt::default));
        let Some(prompt) = prompt else { return Ok(Err("the requested fact has no prompt")) };
        Ok(Ok(Self {
            address,
            attempt,
            sequence: delivery.record.sequence,
            is_redelivered: delivery.num_delivered > 1,
            is_repeated: attempt > 1 || delivery.num_delivered > 1,
            history: history.unwrap_or_default(),
            summary,
            requested,
            prompt,
            assigned: FactHash::of(&delivery.record.payload),
        }))
    }
}

impl Assignment {
    /// Whether it belongs to a batch.
    pub(crate) fn is_batch(&self) -> bool {
        self.summary.class() == WorkClass::Batch
    }

    /// Whether its end must tell what is otherwise in the token stream alone. Nobody has heard of its tokens before, so that
    /// an attempt after the first begins anew.
    pub(crate) fn is_told_whole(&self) -> bool {
        let tells_more = |sampling: &schemas::v1::SamplingParams| {
            sampling.logprobs.is_some()
                || sampling.prompt_logprobs.is_some()
                || sampling.echo
                || sampling.return_token_ids
        };
        self.is_batch() && self.requested.sampling.as_ref().is_some_and(tells_more)
    }

    /// When the client asked.
    pub(crate) fn asked_at(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_nanos(self.summary.requested_at_unix_nanos)
    }
}

fn read_assigned(payload: &[u8]) -> Option<(InferenceAddress, Assigned)> {
    let envelope = schemas::decode_envelope(payload).ok()?;
    let (inference, tenant) = (envelope.inference().ok()?, envelope.tenant().ok()?);
    let Some(Fact::Assigned(assigned)) = envelope.fact else { return None };
    let ingress = assigned.summary.as_ref()?.ingress.parse().ok()?;
    Some((InferenceAddress { inference, tenant, ingress }, assigned))
}

async fn read_fact(log: &dyn EventLog, sequence: u64) -> Result<Option<Fact>, BusError> {
    let record = log.get(StreamName::Inference, sequence).await?;
    Ok(record.and_then(|record| schemas::decode_envelope(&record.payload).ok()?.fact))
}
