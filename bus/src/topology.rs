//! Streams and consumers as data; an implementation reconciles the broker with them at start.

use std::time::Duration;

use schemas::v1::WorkClass;
use schemas::{FactKind, PoolName};

use crate::StreamName;
use crate::subjects;

/// What every stream may keep, by the operator's choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamPolicy {
    /// How long the log keeps facts.
    pub inference_max_age: Duration,
    /// Whether the log keeps facts beyond their age until an archivist lets them go.
    pub is_archived: bool,
    /// Size of the log; when it is reached appends are refused as full.
    pub inference_max_bytes: u64,
    /// How long tokens can be read again.
    pub tokens_max_age: Duration,
    /// Size of the token stream; the oldest go first.
    pub tokens_max_bytes: u64,
    /// Size of the configuration events, which never age.
    pub control_max_bytes: u64,
    /// Size of the checkpoints and accesses, which never age.
    pub audit_max_bytes: u64,
    /// How long dead letters are kept.
    pub dead_letters_max_age: Duration,
    /// Size of the dead letters; the oldest go first.
    pub dead_letters_max_bytes: u64,
    /// Size of all claim-checked payloads; they age with the log.
    pub objects_max_bytes: u64,
    /// How much longer they are kept than the facts that name them, which are stored after them.
    pub objects_margin: Duration,
    /// Size of the facts about files and batches, which never age.
    pub jobs_max_bytes: u64,
    /// How much longer keys of content are kept than the facts of their time: facts of one inference follow over hours.
    pub keys_margin: Duration,
    /// Size of the keys of content; when it is reached appends are refused as full.
    pub keys_max_bytes: u64,
    /// Size of all files; when it is reached uploads are refused as full.
    pub files_max_bytes: u64,
    /// Copies of every stream in a cluster: 1, 3 or 5.
    pub num_replicas: usize,
}

const GIB: u64 = 1 << 30;
const DAY: Duration = Duration::from_secs(86_400);

impl Default for StreamPolicy {
    fn default() -> Self {
        Self {
            inference_max_age: DAY * 7,
            is_archived: false,
            inference_max_bytes: 8 * GIB,
            tokens_max_age: Duration::from_secs(1_800),
            tokens_max_bytes: GIB,
            control_max_bytes: GIB / 4,
            audit_max_bytes: GIB,
            dead_letters_max_age: DAY * 30,
            dead_letters_max_bytes: GIB / 4,
            objects_max_bytes: 8 * GIB,
            objects_margin: Duration::from_secs(3_600),
            jobs_max_bytes: GIB / 4,
            keys_margin: DAY,
            keys_max_bytes: 2 * GIB,
            files_max_bytes: 8 * GIB,
            num_replicas: 1,
        }
    }
}

impl StreamPolicy {
    /// The age at which the broker itself drops facts; zero: never.
    pub(crate) const fn log_max_age(&self) -> Duration {
        if self.is_archived { Duration::ZERO } else { self.inference_max_age }
    }

    /// The age at which the broker drops what belongs to facts, which goes `margin` after them.
    pub(crate) const fn max_age_with(&self, margin: Duration) -> Duration {
        match self.log_max_age() {
            Duration::ZERO => Duration::ZERO,
            max_age => max_age.saturating_add(margin),
        }
    }

    /// The same shares within `total_bytes`, for a small disk: 6/16 log, 4/16 objects, 3/16 files, 1/16 keys, 1/16
    /// tokens, and a fourth of the last 1/16 each for the rest.
    pub fn within(total_bytes: u64) -> Self {
        Self {
            inference_max_bytes: total_bytes / 16 * 6,
            objects_max_bytes: total_bytes / 16 * 4,
            files_max_bytes: total_bytes / 16 * 3,
            keys_max_bytes: total_bytes / 16,
            tokens_max_bytes: total_bytes / 16,
            control_max_bytes: total_bytes / 64,
            dead_letters_max_bytes: total_bytes / 64,
            jobs_max_bytes: total_bytes / 64,
            audit_max_bytes: total_bytes / 64,
            ..Self::default()
        }
    }
}

/// What happens to a message when its stream is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenFull {
    /// The new one is refused.
    Refuse,
    /// The oldest makes room.
    DropOldest,
}

/// A stream as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamSpec {
    /// Which.
    pub name: StreamName,
    /// What it captures.
    pub subjects: Vec<String>,
    /// Zero: for ever.
    pub max_age: Duration,
    /// Its size.
    pub max_bytes: u64,
    /// At its size.
    pub when_full: WhenFull,
    /// Whether single records can be deleted; the log's cannot.
    pub can_delete: bool,
    /// Whether only the last record of each subject is kept.
    pub keeps_last_only: bool,
    /// How long a message id is remembered to drop a repetition.
    pub duplicate_window: Duration,
    /// Copies in a cluster.
    pub num_replicas: usize,
}

/// The streams, all of them.
pub fn streams(policy: &StreamPolicy) -> Vec<StreamSpec> {
    let stream = |name: StreamName, max_age: Duration, max_bytes: u64, when_full: WhenFull| StreamSpec {
        name,
        subjects: vec![name.subjects().to_owned()],
        max_age,
        max_bytes,
        when_full,
        can_delete: when_full == WhenFull::DropOldest,
        keeps_last_only: false,
        duplicate_window: Duration::from_secs(120),
        num_replicas: policy.num_replicas,
    };
    vec![
        stream(StreamName::Inference, policy.log_max_age(), policy.inference_max_bytes, WhenFull::Refuse),
        StreamSpec {
            // Frames are many and their senders repeat them within seconds; a short memory keeps the server small.
            duplicate_window: Duration::from_secs(30),
            ..stream(StreamName::Tokens, policy.tokens_max_age, policy.tokens_max_bytes, WhenFull::DropOldest)
        },
        stream(StreamName::Control, Duration::ZERO, policy.control_max_bytes, WhenFull::Refuse),
        stream(
            StreamName::DeadLetters,
            policy.dead_letters_max_age,
            policy.dead_letters_max_bytes,
            WhenFull::DropOldest,
        ),
        StreamSpec {
            keeps_last_only: true,
            ..stream(StreamName::Jobs, Duration::ZERO, policy.jobs_max_bytes, WhenFull::Refuse)
        },
        StreamSpec {
            can_delete: true,
            ..stream(StreamName::Files, Duration::ZERO, policy.files_max_bytes, WhenFull::Refuse)
        },
        StreamSpec {
            can_delete: true,
            ..stream(
                StreamName::Keys,
                policy.max_age_with(policy.keys_margin),
                policy.keys_max_bytes,
                WhenFull::Refuse,
            )
        },
        stream(StreamName::Audit, Duration::ZERO, policy.audit_max_bytes, WhenFull::Refuse),
    ]
}

/// A durable pull consumer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerSpec {
    /// The stream it reads.
    pub stream: StreamName,
    /// Its durable name.
    pub name: String,
    /// Subject patterns it takes.
    pub patterns: Vec<String>,
    /// Redelivery after this long without acknowledgement or progress.
    pub ack_wait: Duration,
    /// Deliveries before it is given up to the dead letters.
    pub max_deliver: u64,
    /// Most unacknowledged deliveries over all replicas.
    pub max_ack_pending: u64,
}

/// The guardrails' consumer of requested facts.
pub fn guardrail_consumer() -> ConsumerSpec {
    service_consumer("guardrails", vec![subjects::all_of(FactKind::Requested)])
}

/// The router's consumer of admitted facts and lost attempts.
pub fn router_consumer() -> ConsumerSpec {
    service_consumer(
        "router",
        vec![subjects::all_of(FactKind::Admitted), subjects::all_of(FactKind::AttemptFailed)],
    )
}

/// A worker that is silent for so long has lost what it holds: it is delivered again.
pub const POOL_ACK_WAIT: Duration = Duration::from_secs(6);

/// A pool's consumer of assignments in one class. An assignment outlives any number of workers that died before they began
/// it; the facts tell which ones died of it.
pub fn pool_consumer(pool: &PoolName, class: WorkClass) -> ConsumerSpec {
    let word = if class == WorkClass::Batch { "batch" } else { "interactive" };
    ConsumerSpec {
        ack_wait: POOL_ACK_WAIT,
        max_deliver: 1_000,
        max_ack_pending: 16_384,
        ..service_consumer(&format!("workers-{pool}-{word}"), vec![subjects::assigned_to(pool, class)])
    }
}

/// The jobs' consumer of batches: a delivery is a batch, held until it is over. A batch outlives any number of owners.
pub fn batch_consumer() -> ConsumerSpec {
    ConsumerSpec {
        stream: StreamName::Jobs,
        ack_wait: POOL_ACK_WAIT,
        max_deliver: 10_000,
        ..service_consumer("batches", vec![subjects::all_batches_created()])
    }
}

/// The sweepers' consumer of the one record that one of them holds.
pub fn sweeper_consumer() -> ConsumerSpec {
    ConsumerSpec {
        stream: StreamName::Jobs,
        ack_wait: POOL_ACK_WAIT,
        max_deliver: 10_000_000,
        ..service_consumer("sweeper", vec![subjects::sweeper()])
    }
}

/// The consumer of wishes to be told of ends. A wish comes again until its inference has ended and its receiver has taken it,
/// which its handler bounds by time.
pub fn webhook_consumer() -> ConsumerSpec {
    ConsumerSpec {
        ack_wait: Duration::from_secs(60),
        max_deliver: 10_000_000,
        max_ack_pending: 65_536,
        ..service_consumer("webhooks", vec![subjects::all_of(FactKind::WebhookRequested)])
    }
}

fn service_consumer(name: &str, patterns: Vec<String>) -> ConsumerSpec {
    ConsumerSpec {
        stream: StreamName::Inference,
        name: name.to_owned(),
        patterns,
        ack_wait: Duration::from_secs(10),
        max_deliver: 5,
        max_ack_pending: 8_192,
    }
}
