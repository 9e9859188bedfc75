//! What the broker's errors mean to the bus.

use std::fmt::Display;

use async_nats::jetstream::ErrorCode;
use serde::Deserialize;

use crate::BusError;

/// The error part of a JetStream answer.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct ApiError {
    #[serde(default)]
    pub(super) code: u64,
    #[serde(default)]
    pub(super) err_code: u64,
    #[serde(default)]
    pub(super) description: String,
}

/// The guard's refusals: the plain one and the one whose text holds no sequence.
const GUARD_REFUSED: [u64; 2] =
    [ErrorCode::STREAM_WRONG_LAST_SEQUENCE.0, ErrorCode::STREAM_WRONG_LAST_SEQUENCE_CONSTANT.0];

/// Full streams, full accounts and full disks.
const FULL: [u64; 6] = [
    ErrorCode::STREAM_STORE_FAILED.0,
    ErrorCode::ACCOUNT_RESOURCES_EXCEEDED.0,
    ErrorCode::INSUFFICIENT_RESOURCES.0,
    ErrorCode::STORAGE_RESOURCES_EXCEEDED.0,
    ErrorCode::MEMORY_RESOURCES_EXCEEDED.0,
    ErrorCode::TEMP_STORAGE_FAILED.0,
];

impl ApiError {
    pub(super) fn is_guard(&self) -> bool {
        GUARD_REFUSED.contains(&self.err_code)
    }

    /// Nothing more fits for now.
    pub(super) fn is_full(&self) -> bool {
        FULL.contains(&self.err_code)
    }

    /// JetStream is starting, choosing a leader or out of reach: the same call may succeed soon.
    pub(super) fn is_passing(&self) -> bool {
        self.code == 503 && !self.is_full()
    }

    /// This error about `what`, a stream or a consumer.
    pub(super) fn about(&self, what: &str) -> BusError {
        if self.is_full() {
            tracing::warn!(what, error = %self.description, "the broker has no room");
            return BusError::Full(what.to_owned());
        }
        let text = format!("{what}: {} ({})", self.description, self.err_code);
        if self.is_passing() { BusError::Unreachable(text) } else { BusError::Refused(text) }
    }
}

/// An error of the connection.
pub(super) fn lost(error: impl Display) -> BusError {
    BusError::Unreachable(error.to_string())
}
