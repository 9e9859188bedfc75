//! What can go wrong between processes.

use schemas::FactHash;
use thiserror::Error;

/// A record whose content is not to be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingContent {
    /// Position in the stream.
    pub sequence: u64,
    /// Its subject.
    pub subject: String,
    /// When the stream stored it, nanoseconds since the Unix epoch.
    pub stored_at_unix_nanos: u64,
    /// Of the bytes that are missing.
    pub hash: FactHash,
}

/// A failure of the bus.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BusError {
    /// No connection, or it broke before the answer came; the effect is unknown.
    #[error("the broker cannot be reached: {0}")]
    Unreachable(String),
    /// The stream is at its limit and takes nothing more for now.
    #[error("stream {0} is full")]
    Full(String),
    /// Even the claim check cannot carry it.
    #[error("{num_bytes} bytes on '{subject}', at most {max_num_bytes} fit")]
    TooLarge {
        /// Where it was to go.
        subject: String,
        /// Its size.
        num_bytes: usize,
        /// The limit.
        max_num_bytes: usize,
    },
    /// The broker refused, and will again.
    #[error("the broker refused: {0}")]
    Refused(String),
    /// Nobody answers queries on this subject.
    #[error("nobody answers on '{0}'")]
    NoResponder(String),
    /// No answer in time.
    #[error("no answer on '{subject}' within {waited_millis} ms")]
    TimedOut {
        /// What was asked.
        subject: String,
        /// How long.
        waited_millis: u64,
    },
    /// An object is not there or does not match its digest.
    #[error("object '{name}': {reason}")]
    Object {
        /// The object.
        name: String,
        /// What is wrong.
        reason: String,
        /// The record that it was the content of, as far as the record tells without it.
        missing: Option<Box<MissingContent>>,
    },
    /// A file of the archive cannot be read, or is not what was written.
    #[error("archive segment {segment}: {reason}")]
    Archive {
        /// Which.
        segment: String,
        /// What is wrong.
        reason: String,
    },
    /// The embedded server cannot run.
    #[error("nats-server: {0}")]
    Server(String),
}

impl BusError {
    /// A stable word for logs and metrics.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Unreachable(_) => "bus_unreachable",
            Self::Full(_) => "bus_full",
            Self::TooLarge { .. } => "too_large",
            Self::Refused(_) => "bus_refused",
            Self::NoResponder(_) => "no_responder",
            Self::TimedOut { .. } => "timed_out",
            Self::Object { .. } => "object",
            Self::Archive { .. } => "archive",
            Self::Server(_) => "nats_server",
        }
    }

    /// Whether the same call may succeed later.
    pub const fn is_retryable(&self) -> bool {
        matches!(self, Self::Unreachable(_) | Self::Full(_) | Self::NoResponder(_) | Self::TimedOut { .. })
    }
}
