//! What can go wrong with the proof of the record.

use bus::BusError;
use thiserror::Error;

/// A failure to make or read a proof. What a proof says of the record is no error: see [`crate::Finding`].
#[derive(Debug, Error)]
pub enum AuditError {
    /// The log.
    #[error(transparent)]
    Bus(#[from] BusError),
    /// A file.
    #[error("{path}: {error}", path = path.display())]
    File {
        /// Which.
        path: std::path::PathBuf,
        /// What the system says.
        error: std::io::Error,
    },
    /// A key that is none.
    #[error("{what}: expected {expected}")]
    Key {
        /// Where it was to be.
        what: String,
        /// What was expected there.
        expected: &'static str,
    },
    /// A checkpoint of the log that does not hold together.
    #[error("checkpoint {number}: {reason}")]
    Checkpoint {
        /// Which.
        number: u64,
        /// What is wrong.
        reason: &'static str,
    },
    /// The log has nothing of what was asked for.
    #[error("{0}")]
    NothingToExport(&'static str),
}

impl AuditError {
    /// A stable word for logs and metrics.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Bus(error) => error.code(),
            Self::File { .. } => "file",
            Self::Key { .. } => "bad_key",
            Self::Checkpoint { .. } => "bad_checkpoint",
            Self::NothingToExport(_) => "nothing_to_export",
        }
    }

    /// Whether the same call may succeed later.
    pub const fn is_retryable(&self) -> bool {
        matches!(self, Self::Bus(error) if error.is_retryable())
    }
}
