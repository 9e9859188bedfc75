//! The seam to the broker: [`EventLog`], implemented by JetStream and by memory under one contract suite.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;

use schemas::FactHash;

use crate::BusError;
use crate::topology::ConsumerSpec;

/// The streams that exist; their limits are in [`crate::topology`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StreamName {
    /// The log: facts of inferences.
    Inference,
    /// Live tokens, kept for a short while.
    Tokens,
    /// Configuration as events.
    Control,
    /// What is said about the record itself: checkpoints and who read it.
    Audit,
    /// What could not be processed.
    DeadLetters,
    /// Files and batches: the last fact of each subject.
    Jobs,
    /// The chunks of files.
    Files,
    /// The keys of content, each on a subject of its own.
    Keys,
}

impl StreamName {
    /// All streams.
    pub const ALL: [Self; 8] = [
        Self::Inference,
        Self::Tokens,
        Self::Control,
        Self::DeadLetters,
        Self::Jobs,
        Self::Files,
        Self::Audit,
        Self::Keys,
    ];

    /// The name that the broker knows.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Inference => "INFERENCE",
            Self::Tokens => "TOKENS",
            Self::Control => "CONTROL",
            Self::Audit => "AUDIT",
            Self::DeadLetters => "DEAD_LETTERS",
            Self::Jobs => "JOBS",
            Self::Files => "FILES",
            Self::Keys => "KEYS",
        }
    }

    /// The pattern of the subjects that it owns.
    pub const fn subjects(self) -> &'static str {
        match self {
            Self::Inference => "inference.>",
            Self::Tokens => "tokens.>",
            Self::Control => "control.>",
            Self::Audit => "audit.>",
            Self::DeadLetters => "dead_letters.>",
            Self::Jobs => "jobs.>",
            Self::Files => "files.>",
            Self::Keys => "keys.>",
        }
    }
}

/// Guard of an append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// No guard.
    Anything,
    /// Nothing may stand on this subject yet: one winner per fact.
    FirstOnSubject,
    /// The last record on this subject is the one at this sequence: one winner per change.
    LastOnSubject(u64),
}

/// A record to append.
#[derive(Debug, Clone)]
pub struct Append {
    /// The stream that owns the subject.
    pub stream: StreamName,
    /// Literal subject, made by [`crate::subjects`].
    pub subject: String,
    /// The encoded envelope.
    pub payload: Bytes,
    /// The guard.
    pub expect: Expect,
}

/// How an append ended when nothing failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AppendOutcome {
    /// Durable at this stream sequence.
    Stored {
        /// Position in the stream.
        sequence: u64,
    },
    /// The guard refused: another record stands on this subject already. Not an error: somebody did this work.
    AlreadyThere,
}

/// A record as the stream holds it; a claim-checked payload is resolved.
#[derive(Debug, Clone)]
pub struct Record {
    /// Position in the stream; 0 for a live message that has none.
    pub sequence: u64,
    /// Its subject.
    pub subject: String,
    /// The bytes that were appended.
    pub payload: Bytes,
    /// What the stream holds instead, where that is sealed and was opened: it is what chain, checkpoints and archives cover.
    pub stored: Option<Bytes>,
    /// When the stream stored it, nanoseconds since the Unix epoch.
    pub stored_at_unix_nanos: u64,
}

impl Record {
    /// The bytes that the stream holds.
    pub fn stored(&self) -> &Bytes {
        self.stored.as_ref().unwrap_or(&self.payload)
    }

    /// The hash by which another fact follows this one.
    pub fn hash(&self) -> FactHash {
        FactHash::of(self.stored())
    }
}

/// What a stream holds, and how much it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StreamState {
    /// Position of the oldest record; one behind the newest when nothing is left.
    pub first_sequence: u64,
    /// Position of the newest record that there ever was; 0 when there was none.
    pub last_sequence: u64,
    /// Its size.
    pub num_bytes: u64,
    /// Its limit; 0: it has none.
    pub max_bytes: u64,
    /// Size of the object store that the log shares with all streams; only told of `INFERENCE`.
    pub num_object_bytes: u64,
    /// Its limit; 0: it has none.
    pub max_object_bytes: u64,
}

impl StreamState {
    /// Whether more than four fifths of the room are taken, in the stream or in its object store.
    pub fn is_nearly_full(&self) -> bool {
        let is_tight = |num_bytes: u64, max_bytes: u64| max_bytes > 0 && num_bytes > max_bytes / 5 * 4;
        is_tight(self.num_bytes, self.max_bytes) || is_tight(self.num_object_bytes, self.max_object_bytes)
    }
}

/// Where a reading begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadFrom {
    /// The oldest record kept.
    Start,
    /// This sequence or the next one that exists.
    Sequence(u64),
    /// The first record stored at or after this time.
    UnixNanos(u64),
    /// The last record of each subject that matches, then what comes.
    LastPerSubject,
}

/// Records in stream order; `Err` ends it. What has ended stays so, however often it is asked again.
pub type Records = BoxStream<'static, Result<Record, BusError>>;

/// A message heard live, without durability or order between subjects.
#[derive(Debug, Clone)]
pub struct LiveMessage {
    /// Its subject.
    pub subject: String,
    /// Its bytes.
    pub payload: Bytes,
}

/// Messages heard live until dropped. It survives reconnections (what is sent meanwhile is missed).
pub type LiveMessages = BoxStream<'static, LiveMessage>;

/// A question that waits for its answer.
pub struct QueryMessage {
    /// What is asked, and of whom.
    pub subject: String,
    /// The question.
    pub payload: Bytes,
    /// Takes the answer; dropping it unanswered leaves the asker to its timeout.
    pub reply: Box<dyn FnOnce(Bytes) + Send>,
}

/// Questions until dropped.
pub type QueryMessages = BoxStream<'static, QueryMessage>;

/// What a durable consumer handed over; redelivered until it is acknowledged or given up.
pub struct Delivery {
    /// The record.
    pub record: Record,
    /// 1 for the first delivery.
    pub num_delivered: u64,
    pub(crate) handle: Box<dyn DeliveryHandle>,
}

/// The implementation's side of a [`Delivery`].
#[async_trait]
pub trait DeliveryHandle: Send + Sync {
    /// Done; sent without waiting for the broker.
    async fn ack(&self) -> Result<(), BusError>;
    /// Again after `delay`.
    async fn retry_after(&self, delay: Duration) -> Result<(), BusError>;
    /// Still at it: restarts the acknowledgement timeout.
    async fn progress(&self) -> Result<(), BusError>;
    /// Never again: stores the record in DEAD_LETTERS with the reason, durably, then acknowledges it.
    async fn dead_letter(&self, record: &Record, reason: &str) -> Result<(), BusError>;
}

impl Delivery {
    /// Ties a record to its handle.
    pub fn new(record: Record, num_delivered: u64, handle: Box<dyn DeliveryHandle>) -> Self {
        Self { record, num_delivered, handle }
    }

    /// Done. Call it only after what the record caused is durable.
    pub async fn ack(&self) -> Result<(), BusError> {
        self.handle.ack().await
    }

    /// Hands it back, to be delivered again after `delay`.
    pub async fn retry_after(&self, delay: Duration) -> Result<(), BusError> {
        self.handle.retry_after(delay).await
    }

    /// Restarts the acknowledgement timeout; call it every third of `ack_wait`.
    pub async fn progress(&self) -> Result<(), BusError> {
        self.handle.progress().await
    }

    /// Gives it up for good, durably, with a reason that holds no content.
    pub async fn dead_letter(&self, reason: &str) -> Result<(), BusError> {
        self.handle.dead_letter(&self.record, reason).await
    }
}

/// The implementation's side of a [`Consumer`].
#[async_trait]
pub trait ConsumerHandle: Send + Sync {
    /// See [`Consumer::fetch`].
    async fn fetch(&self, max_num: usize, wait: Duration) -> Result<Vec<Delivery>, BusError>;
}

/// What waits at a durable consumer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Backlog {
    /// Records that it never delivered.
    pub num_waiting: u64,
    /// Its deliveries so far, repeated ones included.
    pub num_delivered: u64,
}

/// A durable consumer, shared by all replicas of a service.
pub struct Consumer {
    handle: Box<dyn ConsumerHandle>,
}

impl Consumer {
    /// Wraps an implementation.
    pub fn new(handle: Box<dyn ConsumerHandle>) -> Self {
        Self { handle }
    }

    /// Up to `max_num` deliveries, as soon as at least one is there; empty after `wait`. With a zero `wait` it returns
    /// what is ready. Cancel-safe: what was on its way is redelivered after the consumer's `ack_wait`.
    pub async fn fetch(&self, max_num: usize, wait: Duration) -> Result<Vec<Delivery>, BusError> {
        self.handle.fetch(max_num, wait).await
    }
}

/// A durable log of records on literal subjects, with live messages beside it.
///
/// Every implementation passes the same contract suite. All calls reconnect by themselves; a call fails with
/// [`BusError::Unreachable`] when the broker stays away past the implementation's patience, and its effect is then unknown:
/// appending again with [`Expect::FirstOnSubject`] is always safe.
#[async_trait]
pub trait EventLog: Send + Sync + 'static {
    /// Appends one record. `Stored` means durable. A payload above the claim-check threshold goes to the object store
    /// first and is resolved again for every reader. Many appends may be in flight at once; they are stored in any order.
    async fn append(&self, append: Append) -> Result<AppendOutcome, BusError>;

    /// Sends a message to whoever listens live and lets its stream capture it; returns before it is durable. The number
    /// of unacknowledged messages is bounded; at the bound this waits. Messages of one sender on one subject keep their
    /// order; only one that was under way when the connection broke may be stored late, and be heard twice.
    async fn publish(&self, stream: StreamName, subject: String, payload: Bytes) -> Result<(), BusError>;

    /// Sends a message to whoever listens now; no stream keeps it, and where nobody hears it is gone. Once this returns the
    /// message is on its way whatever becomes of the sender. `Err` when the connection is down: what is said later is worth
    /// more than what was said before.
    async fn send(&self, subject: String, payload: Bytes) -> Result<(), BusError>;

    /// Hears messages on a subject pattern (`*` one token, `>` the rest) that are published from now on, at core latency.
    /// Appended records are heard as well (claim-checked ones resolved), and so may be appends that their guard or a full
    /// stream then refuses: what matters is believed only when the log has it. A listener that falls far behind loses
    /// messages, which is logged and counted. The stream keeps to tokio's budget: polled in a busy loop without yielding
    /// it reports "nothing" now and then though something is there.
    async fn listen(&self, pattern: String) -> Result<LiveMessages, BusError>;

    /// Opens a durable consumer, made from its specification when it is missing.
    async fn consumer(&self, spec: &ConsumerSpec) -> Result<Consumer, BusError>;

    /// What waits at a durable consumer; `None` while nobody has opened it.
    async fn backlog(&self, spec: &ConsumerSpec) -> Result<Option<Backlog>, BusError>;

    /// Reads records on the given subject patterns (none: all) in stream order. With `follow` it goes on with what
    /// comes; without, it ends at the last record that stood when it began.
    async fn read(
        &self,
        stream: StreamName,
        patterns: Vec<String>,
        from: ReadFrom,
        follow: bool,
    ) -> Result<Records, BusError>;

    /// The record at a sequence, read from the leader; `None` when it is not (or no longer) there.
    async fn get(&self, stream: StreamName, sequence: u64) -> Result<Option<Record>, BusError>;

    /// The last record on a literal subject, read from the leader.
    async fn last(&self, stream: StreamName, subject: String) -> Result<Option<Record>, BusError>;

    /// Removes every record on subjects that match, for good. `Err(Refused)` for a stream whose records are not to be
    /// deleted. Their subjects are free again: a guarded append succeeds on them.
    async fn purge(&self, stream: StreamName, pattern: String) -> Result<(), BusError>;

    /// Removes one record for good and overwrites its bytes; one that is not there is no error. `Err(Refused)` for a stream
    /// other than KEYS.
    async fn erase(&self, stream: StreamName, sequence: u64) -> Result<(), BusError>;

    /// Removes every record of `INFERENCE` before a sequence, for good, with what it had in the object store; `Err(Refused)`
    /// for any other stream. The subjects are free again. Doing it twice is the same as once.
    async fn forget_before(&self, stream: StreamName, sequence: u64) -> Result<(), BusError>;

    /// What a stream holds.
    async fn state(&self, stream: StreamName) -> Result<StreamState, BusError>;

    /// Sequence of the newest record of a stream; 0 when it is empty.
    async fn last_sequence(&self, stream: StreamName) -> Result<u64, BusError>;

    /// Asks whoever answers on `subject`, one of them, and waits.
    async fn ask(&self, subject: String, payload: Bytes, timeout: Duration) -> Result<Bytes, BusError>;

    /// Answers questions on `subject`; replicas with the same `group` share them. With several groups each of them is asked,
    /// and the first answer counts.
    async fn answer(&self, subject: String, group: String) -> Result<QueryMessages, BusError>;

    /// Whether the broker can be reached now.
    fn is_connected(&self) -> bool;

    /// Waits until everything published is acknowledged, then closes.
    async fn close(&self) -> Result<(), BusError>;
}
