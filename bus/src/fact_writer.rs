//! Writes facts into their envelopes and onto their subjects.

use std::sync::Arc;

use bytes::Bytes;
use prost::Message;
use schemas::v1::envelope::Fact;
use schemas::v1::{ControlEnvelope, End, Ended, Envelope, FrameEntry, TokenFrame, control_envelope};
use schemas::{
    DeploymentId, EventId, FactHash, FactKind, InferenceId, IngressId, TenantId, WorkerId, WrittenBy,
};

use crate::{Append, AppendOutcome, BusError, EventLog, Expect, StreamName, subjects};

/// Id and time of a new fact.
#[derive(Debug, Clone, Copy)]
pub struct Stamp {
    /// A fresh UUIDv7.
    pub event_id: EventId,
    /// Nanoseconds since the Unix epoch.
    pub unix_nanos: u64,
}

/// Where stamps come from: the system's clock and randomness in production, a counter in tests.
pub type StampSource = Arc<dyn Fn() -> Stamp + Send + Sync>;

/// Which inference a fact is about, and who waits for it.
#[derive(Debug, Clone)]
pub struct InferenceAddress {
    /// The inference.
    pub inference: InferenceId,
    /// Whose it is.
    pub tenant: TenantId,
    /// The api node that holds its client.
    pub ingress: IngressId,
}

/// Appends facts in the name of one service.
#[derive(Clone)]
pub struct FactWriter {
    log: Arc<dyn EventLog>,
    stamps: StampSource,
    writer: Arc<str>,
    speaker: WorkerId,
    configuration: Arc<str>,
    previous: Option<FactHash>,
}

impl FactWriter {
    /// A writer for the service `role` in the instance `speaker`; both are recorded with every fact.
    pub fn new(log: Arc<dyn EventLog>, stamps: StampSource, role: &str, speaker: WorkerId) -> Self {
        let writer = format!("{role}/{speaker}").into();
        let configuration = Arc::from("");
        Self { log, stamps, writer, speaker, configuration, previous: None }
    }

    /// The same writer under a configuration of this version, which every fact names.
    pub fn configured_by(self, version: &str) -> Self {
        Self { configuration: version.into(), ..self }
    }

    /// The same writer for what one fact causes: each fact of an inference but the first names the one before it.
    pub fn following(&self, previous: FactHash) -> Self {
        Self { previous: Some(previous), ..self.clone() }
    }

    /// The log it writes to.
    pub fn log(&self) -> &Arc<dyn EventLog> {
        &self.log
    }

    /// A fresh stamp.
    pub fn stamp(&self) -> Stamp {
        (self.stamps)()
    }

    /// Appends a fact on `subject` under the one-winner guard.
    pub async fn append(
        &self,
        inference: InferenceId,
        tenant: &TenantId,
        subject: String,
        fact: Fact,
    ) -> Result<AppendOutcome, BusError> {
        self.append_encoded(subject, self.encode(inference, tenant, fact)).await
    }

    /// A fact in its envelope, as [`FactWriter::append_encoded`] takes it.
    pub fn encode(&self, inference: InferenceId, tenant: &TenantId, fact: Fact) -> Bytes {
        let stamp = self.stamp();
        let by =
            WrittenBy { event_id: stamp.event_id, at_unix_nanos: stamp.unix_nanos, writer: &self.writer };
        let envelope = Envelope::new(&by, inference, tenant, fact);
        let envelope = Envelope { configuration: self.configuration.to_string(), ..envelope };
        let envelope = match self.previous {
            Some(previous) => envelope.following(previous),
            None => envelope,
        };
        envelope.encode_to_vec().into()
    }

    /// Appends an encoded fact on `subject` under the one-winner guard.
    pub async fn append_encoded(&self, subject: String, payload: Bytes) -> Result<AppendOutcome, BusError> {
        let append =
            Append { stream: StreamName::Inference, subject, payload, expect: Expect::FirstOnSubject };
        self.log.append(append).await
    }

    /// Appends a fact about a deployment; returns its sequence, or `None` when the guard refused it.
    pub async fn append_control(
        &self,
        deployment: &DeploymentId,
        fact: control_envelope::Fact,
        expect: Expect,
    ) -> Result<Option<u64>, BusError> {
        let stamp = self.stamp();
        let by =
            WrittenBy { event_id: stamp.event_id, at_unix_nanos: stamp.unix_nanos, writer: &self.writer };
        let append = Append {
            stream: StreamName::Control,
            subject: subjects::control_deployment(deployment),
            payload: ControlEnvelope::new(&by, fact).encode_to_vec().into(),
            expect,
        };
        Ok(match self.log.append(append).await? {
            AppendOutcome::Stored { sequence } => Some(sequence),
            AppendOutcome::AlreadyThere => None,
        })
    }

    /// Appends the terminal fact and, when that is durable, tells the api node that waits. When another terminal fact
    /// won, that one is told instead.
    pub async fn end(&self, address: &InferenceAddress, ended: Ended) -> Result<(), BusError> {
        let subject = subjects::fact(FactKind::Ended, &address.tenant, address.inference);
        let own = ended.clone();
        let fact = Fact::Ended(ended);
        let outcome = self.append(address.inference, &address.tenant, subject.clone(), fact).await?;
        let told = match outcome {
            AppendOutcome::Stored { .. } => own,
            AppendOutcome::AlreadyThere => self.standing_end(subject).await?.unwrap_or(own),
        };
        self.publish_frame(&address.ingress, 0, vec![end_entry(address.inference, told)]).await
    }

    async fn standing_end(&self, subject: String) -> Result<Option<Ended>, BusError> {
        let record = self.log.last(StreamName::Inference, subject).await?;
        let fact = record.and_then(|record| schemas::decode_envelope(&record.payload).ok()?.fact);
        Ok(match fact {
            Some(Fact::Ended(ended)) => Some(ended),
            _ => None,
        })
    }

    /// Publishes one frame of token entries to an api node.
    pub async fn publish_frame(
        &self,
        ingress: &IngressId,
        step: u64,
        entries: Vec<FrameEntry>,
    ) -> Result<(), BusError> {
        let frame = TokenFrame {
            worker: self.speaker.to_string(),
            step,
            published_at_unix_nanos: self.stamp().unix_nanos,
            entries,
        };
        let subject = subjects::tokens(ingress, &self.speaker);
        self.log.publish(StreamName::Tokens, subject, Bytes::from(frame.encode_to_vec())).await
    }
}

fn end_entry(inference: InferenceId, ended: Ended) -> FrameEntry {
    FrameEntry {
        inference_id: inference.to_string(),
        attempt: ended.attempt,
        end: Some(End {
            outcome: ended.outcome,
            usage: ended.usage,
            failure: ended.failure,
            timings: ended.timings,
        }),
        ..FrameEntry::default()
    }
}
