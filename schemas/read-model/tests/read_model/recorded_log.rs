//! A memory log that is filled in advance, and can forget its beginning or lose a payload.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bus::{
    Append, AppendOutcome, Backlog, BusError, Consumer, EventLog, Expect, LiveMessages, MemoryLog,
    QueryMessages, ReadFrom, Record, Records, StreamName, StreamState, topology::ConsumerSpec,
};
use bytes::Bytes;
use futures_util::StreamExt;
use prost::Message;
use schemas::v1::Envelope;

#[derive(Clone)]
pub(crate) struct RecordedLog {
    pub(crate) memory: MemoryLog,
    first_sequence: Arc<AtomicU64>,
    lost_payload: Arc<AtomicU64>,
}

impl RecordedLog {
    pub(crate) fn new() -> Self {
        Self { memory: MemoryLog::new(), first_sequence: Arc::default(), lost_payload: Arc::default() }
    }

    pub(crate) async fn of(history: &[Envelope]) -> Self {
        let log = Self::new();
        log.record(history).await;
        log
    }

    /// Appends each fact on a subject of its own.
    pub(crate) async fn record(&self, history: &[Envelope]) {
        for envelope in history {
            let kind = envelope.fact.as_ref().expect("a fact").kind().as_str();
            let subject = format!("inference.{kind}.{}.{}", envelope.tenant, envelope.event_id);
            self.record_bytes(subject, envelope.encode_to_vec().into()).await;
        }
    }

    pub(crate) async fn record_bytes(&self, subject: String, payload: Bytes) -> u64 {
        let append =
            Append { stream: StreamName::Inference, subject, payload, expect: Expect::FirstOnSubject };
        match self.memory.append(append).await.expect("a working log") {
            AppendOutcome::Stored { sequence } => sequence,
            AppendOutcome::AlreadyThere => panic!("written twice"),
        }
    }

    pub(crate) async fn end(&self) -> u64 {
        self.memory.last_sequence(StreamName::Inference).await.expect("a working log")
    }

    /// As retention does: what stands before `sequence` is gone.
    pub(crate) fn forget_before(&self, sequence: u64) {
        self.first_sequence.store(sequence, Ordering::SeqCst);
    }

    /// As a missing object does: the record at `sequence` cannot be resolved.
    pub(crate) fn lose_payload_of(&self, sequence: u64) {
        self.lost_payload.store(sequence, Ordering::SeqCst);
    }

    pub(crate) fn shared(&self) -> Arc<dyn EventLog> {
        Arc::new(self.clone())
    }

    fn resolve(&self, record: Record) -> Result<Record, BusError> {
        if record.sequence == self.lost_payload.load(Ordering::SeqCst) {
            return Err(BusError::Object {
                name: "long-prompt".to_owned(),
                reason: "is not there".to_owned(),
                missing: None,
            });
        }
        Ok(record)
    }
}

#[async_trait]
impl EventLog for RecordedLog {
    async fn append(&self, append: Append) -> Result<AppendOutcome, BusError> {
        self.memory.append(append).await
    }

    async fn publish(&self, stream: StreamName, subject: String, payload: Bytes) -> Result<(), BusError> {
        self.memory.publish(stream, subject, payload).await
    }

    async fn send(&self, subject: String, payload: Bytes) -> Result<(), BusError> {
        self.memory.send(subject, payload).await
    }

    async fn listen(&self, pattern: String) -> Result<LiveMessages, BusError> {
        self.memory.listen(pattern).await
    }

    async fn consumer(&self, spec: &ConsumerSpec) -> Result<Consumer, BusError> {
        self.memory.consumer(spec).await
    }

    async fn backlog(&self, spec: &ConsumerSpec) -> Result<Option<Backlog>, BusError> {
        self.memory.backlog(spec).await
    }

    async fn read(
        &self,
        stream: StreamName,
        patterns: Vec<String>,
        from: ReadFrom,
        follow: bool,
    ) -> Result<Records, BusError> {
        let records = self.memory.read(stream, patterns, from, follow).await?;
        let first = self.first_sequence.load(Ordering::SeqCst);
        let log = self.clone();
        let kept = records.filter(move |record| {
            let is_kept = record.as_ref().map_or(true, |record| record.sequence >= first);
            async move { is_kept }
        });
        // An error ends the reading.
        let until_error = kept.scan(false, move |has_failed, record| {
            let record = record.and_then(|record| log.resolve(record));
            let next = (!*has_failed).then_some(record);
            *has_failed |= matches!(next, Some(Err(_)));
            async move { next }
        });
        Ok(until_error.boxed())
    }

    async fn get(&self, stream: StreamName, sequence: u64) -> Result<Option<Record>, BusError> {
        if sequence < self.first_sequence.load(Ordering::SeqCst) {
            return Ok(None);
        }
        self.memory.get(stream, sequence).await?.map(|record| self.resolve(record)).transpose()
    }

    async fn last(&self, stream: StreamName, subject: String) -> Result<Option<Record>, BusError> {
        self.memory.last(stream, subject).await
    }

    async fn purge(&self, stream: StreamName, pattern: String) -> Result<(), BusError> {
        self.memory.purge(stream, pattern).await
    }

    async fn erase(&self, stream: StreamName, sequence: u64) -> Result<(), BusError> {
        self.memory.erase(stream, sequence).await
    }

    async fn forget_before(&self, stream: StreamName, sequence: u64) -> Result<(), BusError> {
        self.memory.forget_before(stream, sequence).await
    }

    async fn state(&self, stream: StreamName) -> Result<StreamState, BusError> {
        self.memory.state(stream).await
    }

    async fn last_sequence(&self, stream: StreamName) -> Result<u64, BusError> {
        self.memory.last_sequence(stream).await
    }

    async fn ask(&self, subject: String, payload: Bytes, timeout: Duration) -> Result<Bytes, BusError> {
        self.memory.ask(subject, payload, timeout).await
    }

    async fn answer(&self, subject: String, group: String) -> Result<QueryMessages, BusError> {
        self.memory.answer(subject, group).await
    }

    fn is_connected(&self) -> bool {
        self.memory.is_connected()
    }

    async fn close(&self) -> Result<(), BusError> {
        self.memory.close().await
    }
}
