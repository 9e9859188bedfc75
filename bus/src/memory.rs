//! [`MemoryLog`]: the event log in memory, for simulations and tests; it keeps time by tokio, so a paused clock works.

mod consumer;
mod deliveries;
mod faults;
mod live;
mod streams;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

use self::deliveries::Deliveries;
pub use self::faults::Faults;
use self::live::Live;
use self::streams::MemoryStream;
use crate::dead_letter::DeadLetter;
use crate::topology::{self, ConsumerSpec, StreamPolicy};
use crate::{
    Append, AppendOutcome, Backlog, BusError, Consumer, EventLog, Expect, LiveMessages, QueryMessage,
    QueryMessages, ReadFrom, Record, Records, StreamName, StreamState,
};

/// Largest payload, as the default of the JetStream implementation.
const MAX_RECORD_BYTES: usize = crate::DEFAULT_MAX_RECORD_BYTES;

/// The event log in memory. Clones share it, as processes share a broker. Dead letters are moved at the next fetch.
#[derive(Clone)]
pub struct MemoryLog {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    /// Moves with every change that a reader or a fetch may wait for.
    changes: watch::Sender<u64>,
    started_at: Instant,
    started_at_unix_nanos: u64,
}

struct State {
    streams: HashMap<StreamName, MemoryStream>,
    consumers: HashMap<(StreamName, String), Deliveries>,
    live: Live,
    faults: Faults,
    num_reads: u64,
}

impl Default for MemoryLog {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryLog {
    /// An empty log with the default limits.
    pub fn new() -> Self {
        Self::with_policy(&StreamPolicy::default())
    }

    /// An empty log with these limits.
    pub fn with_policy(policy: &StreamPolicy) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self::starting_at(policy, now.as_nanos() as u64)
    }

    /// An empty log whose clock starts at `unix_nanos`, for runs that must repeat exactly.
    pub fn starting_at(policy: &StreamPolicy, unix_nanos: u64) -> Self {
        let streams =
            topology::streams(policy).into_iter().map(|spec| (spec.name, MemoryStream::new(spec))).collect();
        let state = State {
            streams,
            consumers: HashMap::new(),
            live: Live::default(),
            faults: Faults::default(),
            num_reads: 0,
        };
        Self {
            shared: Arc::new(Shared {
                state: Mutex::new(state),
                changes: watch::Sender::new(0),
                started_at: Instant::now(),
                started_at_unix_nanos: unix_nanos,
            }),
        }
    }

    /// Changes what goes wrong from now on.
    pub fn set_faults(&self, change: impl FnOnce(&mut Faults)) {
        change(&mut self.shared.lock().faults);
        self.shared.changed();
    }

    /// How often a stream was asked for anything: each would be a round trip to a broker.
    pub fn num_reads(&self) -> u64 {
        self.shared.lock().num_reads
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn changed(&self) {
        self.changes.send_modify(|version| *version = version.wrapping_add(1));
    }

    fn now_unix_nanos(&self) -> u64 {
        self.started_at_unix_nanos + self.started_at.elapsed().as_nanos() as u64
    }

    fn append(&self, append: &Append) -> Result<AppendOutcome, BusError> {
        crate::limits::check_append(append, MAX_RECORD_BYTES)?;
        let now = self.now_unix_nanos();
        let outcome = {
            let mut state = self.lock();
            state.faults.check_append(append.stream)?;
            state.hear(&append.subject, &append.payload);
            let outcome = state.stream(append.stream)?.append(append, now);
            if outcome.is_ok() && state.faults.takes_ack() {
                Err(BusError::Unreachable("the acknowledgement was lost by a test".to_owned()))
            } else {
                outcome
            }
        };
        self.changed();
        outcome
    }

    /// Stores a dead letter once; a second one of the same delivery is the same.
    fn dead_letter(&self, record: &Record, spec: &ConsumerSpec, reason: &str) -> Result<(), BusError> {
        let letter = DeadLetter {
            stream: spec.stream.as_str().to_owned(),
            sequence: record.sequence,
            subject: record.subject.clone(),
            consumer: spec.name.clone(),
            reason: reason.to_owned(),
            payload: record.stored().clone(),
        };
        self.append(&Append {
            stream: StreamName::DeadLetters,
            subject: DeadLetter::subject_of(spec.stream, &spec.name, record.sequence),
            payload: letter.encode(),
            expect: Expect::FirstOnSubject,
        })
        .map(drop)
    }
}

impl State {
    fn stream(&mut self, name: StreamName) -> Result<&mut MemoryStream, BusError> {
        self.streams.get_mut(&name).ok_or_else(|| BusError::Refused(format!("no stream {}", name.as_str())))
    }

    /// The stream, by a call that only reads it.
    fn read(&mut self, name: StreamName) -> Result<&mut MemoryStream, BusError> {
        self.faults.check_connection()?;
        self.num_reads += 1;
        self.stream(name)
    }

    fn hear(&mut self, subject: &str, payload: &Bytes) {
        if !self.faults.takes_live() {
            self.live.hear(subject, payload);
        }
    }
}

#[async_trait]
impl EventLog for MemoryLog {
    async fn append(&self, append: Append) -> Result<AppendOutcome, BusError> {
        self.shared.append(&append)
    }

    async fn publish(&self, stream: StreamName, subject: String, payload: Bytes) -> Result<(), BusError> {
        match self.shared.append(&Append { stream, subject, payload, expect: Expect::Anything }) {
            // The stream's answer comes after `publish` has returned, so its refusal cannot reach the caller.
            Ok(_) | Err(BusError::Full(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn send(&self, subject: String, payload: Bytes) -> Result<(), BusError> {
        crate::limits::check_message(&subject)?;
        let mut state = self.shared.lock();
        state.faults.check_connection()?;
        state.hear(&subject, &payload);
        Ok(())
    }

    async fn listen(&self, pattern: String) -> Result<LiveMessages, BusError> {
        crate::limits::check_pattern(&pattern)?;
        let mut state = self.shared.lock();
        state.faults.check_connection()?;
        Ok(state.live.listen(pattern))
    }

    async fn consumer(&self, spec: &ConsumerSpec) -> Result<Consumer, BusError> {
        let mut state = self.shared.lock();
        state.faults.check_connection()?;
        state
            .consumers
            .entry((spec.stream, spec.name.clone()))
            .and_modify(|deliveries| deliveries.spec = spec.clone())
            .or_insert_with(|| Deliveries::new(spec.clone()));
        Ok(Consumer::new(Box::new(consumer::MemoryConsumer::new(Arc::clone(&self.shared), spec.clone()))))
    }

    async fn backlog(&self, spec: &ConsumerSpec) -> Result<Option<Backlog>, BusError> {
        let now = self.shared.now_unix_nanos();
        let mut state = self.shared.lock();
        state.faults.check_connection()?;
        let State { streams, consumers, .. } = &mut *state;
        let Some(deliveries) = consumers.get(&(spec.stream, spec.name.clone())) else { return Ok(None) };
        Ok(streams.get_mut(&spec.stream).map(|held| {
            held.expire(now);
            deliveries.backlog(held)
        }))
    }

    async fn read(
        &self,
        stream: StreamName,
        patterns: Vec<String>,
        from: ReadFrom,
        follow: bool,
    ) -> Result<Records, BusError> {
        for pattern in &patterns {
            crate::limits::check_pattern(pattern)?;
        }
        let now = self.shared.now_unix_nanos();
        let reading = {
            let mut state = self.shared.lock();
            let held = state.read(stream)?;
            held.expire(now);
            let (next_sequence, lasts) = held.start_of(from, &patterns);
            let end = if follow { u64::MAX } else { held.last_sequence() };
            Reading {
                changes: self.shared.changes.subscribe(),
                shared: Arc::clone(&self.shared),
                stream,
                patterns,
                lasts: lasts.unwrap_or_default().into_iter(),
                next_sequence,
                end,
            }
        };
        Ok(stream::unfold(reading, |mut reading| async move {
            let record = reading.next().await?;
            Some((record, reading))
        })
        .fuse()
        .boxed())
    }

    async fn get(&self, stream: StreamName, sequence: u64) -> Result<Option<Record>, BusError> {
        let now = self.shared.now_unix_nanos();
        let mut state = self.shared.lock();
        let held = state.read(stream)?;
        held.expire(now);
        let found = held.get(sequence).cloned();
        found.map(|record| state.faults.resolve(&record)).transpose()
    }

    async fn last(&self, stream: StreamName, subject: String) -> Result<Option<Record>, BusError> {
        let now = self.shared.now_unix_nanos();
        let mut state = self.shared.lock();
        let held = state.read(stream)?;
        held.expire(now);
        Ok(held.last(&subject).cloned())
    }

    async fn purge(&self, stream: StreamName, pattern: String) -> Result<(), BusError> {
        crate::limits::check_purge(stream, &pattern)?;
        let mut state = self.shared.lock();
        state.faults.check_connection()?;
        state.stream(stream)?.purge(&pattern);
        Ok(())
    }

    async fn erase(&self, stream: StreamName, sequence: u64) -> Result<(), BusError> {
        crate::limits::check_erase(stream)?;
        let mut state = self.shared.lock();
        state.faults.check_connection()?;
        state.stream(stream)?.erase(sequence);
        Ok(())
    }

    async fn forget_before(&self, stream: StreamName, sequence: u64) -> Result<(), BusError> {
        crate::limits::check_forget(stream)?;
        let mut state = self.shared.lock();
        state.faults.check_connection()?;
        state.stream(stream)?.forget_before(sequence);
        Ok(())
    }

    async fn state(&self, stream: StreamName) -> Result<StreamState, BusError> {
        let mut state = self.shared.lock();
        Ok(state.read(stream)?.state())
    }

    async fn last_sequence(&self, stream: StreamName) -> Result<u64, BusError> {
        let mut state = self.shared.lock();
        Ok(state.read(stream)?.last_sequence())
    }

    async fn ask(&self, subject: String, payload: Bytes, timeout: Duration) -> Result<Bytes, BusError> {
        let (sender, receiver) = oneshot::channel();
        {
            let mut state = self.shared.lock();
            state.faults.check_connection()?;
            // Whoever asked may be gone by the time of the answer.
            let reply = Box::new(move |answer| drop(sender.send(answer)));
            state.live.ask(QueryMessage { subject: subject.clone(), payload, reply })?;
        }
        let timed_out = BusError::TimedOut { subject, waited_millis: timeout.as_millis() as u64 };
        let answer = async {
            match receiver.await {
                Ok(answer) => answer,
                // The question was dropped unanswered: by contract the asker waits for its timeout.
                Err(_) => std::future::pending().await,
            }
        };
        tokio::time::timeout(timeout, answer).await.map_err(|_| timed_out)
    }

    async fn answer(&self, subject: String, group: String) -> Result<QueryMessages, BusError> {
        crate::limits::check_pattern(&subject)?;
        let mut state = self.shared.lock();
        state.faults.check_connection()?;
        Ok(state.live.answer(subject, group))
    }

    fn is_connected(&self) -> bool {
        !self.shared.lock().faults.is_disconnected
    }

    async fn close(&self) -> Result<(), BusError> {
        Ok(())
    }
}

struct Reading {
    shared: Arc<Shared>,
    changes: watch::Receiver<u64>,
    stream: StreamName,
    patterns: Vec<String>,
    lasts: std::vec::IntoIter<u64>,
    next_sequence: u64,
    /// Inclusive.
    end: u64,
}

impl Reading {
    async fn next(&mut self) -> Option<Result<Record, BusError>> {
        loop {
            self.changes.borrow_and_update();
            if let Some(record) = self.try_next() {
                return Some(record);
            }
            if self.end != u64::MAX || self.changes.changed().await.is_err() {
                return None;
            }
        }
    }

    fn try_next(&mut self) -> Option<Result<Record, BusError>> {
        let mut state = self.shared.lock();
        let held = match state.stream(self.stream) {
            Ok(held) => held,
            Err(error) => return Some(Err(error)),
        };
        for sequence in self.lasts.by_ref() {
            if let Some(record) = held.get(sequence) {
                return Some(Ok(record.clone()));
            }
        }
        let record = held.next_match(self.next_sequence, &self.patterns)?;
        if record.sequence > self.end {
            return None;
        }
        self.next_sequence = record.sequence + 1;
        let record = record.clone();
        Some(state.faults.resolve(&record))
    }
}
