//! The states of a sequence and the moves between them.

use std::fmt;

use crate::batching::error::BatchingError;

/// Why a sequence ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FinishReason {
    /// An end-of-sequence token, a stop token or a stop string.
    Stop,
    /// `max_tokens` or the longest sequence the cache or the model can hold.
    Length,
    /// The client or the worker gave it up.
    Cancelled,
    /// Its computation failed.
    Error,
}

/// Where a sequence is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SequenceState {
    /// Queued, ready to run.
    Waiting,
    /// Queued; its grammar is being compiled.
    WaitingForGrammar,
    /// Queued; its keys and values are on their way from another worker.
    WaitingForRemoteKv,
    /// Holds blocks and takes part in steps.
    Running,
    /// Lost its blocks to another sequence; queued to be recomputed.
    Preempted,
    /// Ended.
    Finished(FinishReason),
}

impl SequenceState {
    /// Whether the lifecycle has an edge from `self` to `next`.
    pub fn can_become(self, next: SequenceState) -> bool {
        use SequenceState::{Finished, Preempted, Running, Waiting, WaitingForGrammar, WaitingForRemoteKv};
        match (self, next) {
            (Waiting | Preempted, Running) | (Running, Preempted) => true,
            (WaitingForGrammar | WaitingForRemoteKv, Waiting) => true,
            (Running, Finished(_)) => true,
            (
                Waiting | WaitingForGrammar | WaitingForRemoteKv | Preempted,
                Finished(FinishReason::Cancelled | FinishReason::Error),
            ) => true,
            // A stop string may be found in the text of a step whose sequence a later step preempted.
            (Preempted, Finished(FinishReason::Stop | FinishReason::Length)) => true,
            _ => false,
        }
    }

    /// `next`, or [`BatchingError::IllegalTransition`] naming both states.
    pub fn become_state(self, next: SequenceState) -> Result<SequenceState, BatchingError> {
        if self.can_become(next) {
            Ok(next)
        } else {
            Err(BatchingError::IllegalTransition { from: self, to: next })
        }
    }

    /// Whether the sequence is in the waiting queue and may be scheduled.
    pub fn is_ready(self) -> bool {
        matches!(self, SequenceState::Waiting | SequenceState::Preempted)
    }
}

impl fmt::Display for SequenceState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SequenceState::Waiting => "waiting",
            SequenceState::WaitingForGrammar => "waiting_for_grammar",
            SequenceState::WaitingForRemoteKv => "waiting_for_remote_kv",
            SequenceState::Running => "running",
            SequenceState::Preempted => "preempted",
            SequenceState::Finished(FinishReason::Stop) => "finished_stop",
            SequenceState::Finished(FinishReason::Length) => "finished_length",
            SequenceState::Finished(FinishReason::Cancelled) => "finished_cancelled",
            SequenceState::Finished(FinishReason::Error) => "finished_error",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn illegal_transition_names_both_states() {
        let error =
            SequenceState::Finished(FinishReason::Stop).become_state(SequenceState::Running).unwrap_err();
        assert_eq!(error.to_string(), "a sequence cannot go from finished_stop to running");
    }

    #[test]
    fn finished_is_final() {
        let all = [
            SequenceState::Waiting,
            SequenceState::WaitingForGrammar,
            SequenceState::WaitingForRemoteKv,
            SequenceState::Running,
            SequenceState::Preempted,
            SequenceState::Finished(FinishReason::Cancelled),
        ];
        for next in all {
            assert!(!SequenceState::Finished(FinishReason::Stop).can_become(next), "{next}");
        }
    }

    #[test]
    fn a_held_sequence_becomes_ready_before_it_runs() {
        for held in [SequenceState::WaitingForGrammar, SequenceState::WaitingForRemoteKv] {
            assert!(!held.can_become(SequenceState::Running));
            assert!(held.can_become(SequenceState::Waiting));
        }
    }
}
