//! What may happen to an inference: a fold over its facts.
//!
//! [`State::apply`] is the only place that knows the order of a life. Services ask [`State`] instead of remembering.

use thiserror::Error;

use crate::envelope::FactKind;
use crate::v1::envelope::Fact;

/// Where an inference is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum State {
    /// Nothing is known of it.
    #[default]
    Unknown,
    /// Accepted by the api, waiting for the guardrails.
    Requested,
    /// Allowed, waiting for the router.
    Admitted,
    /// Given to a deployment, waiting for a worker.
    Assigned {
        /// Attempts are numbered from 1.
        attempt: u32,
    },
    /// Being computed.
    Started {
        /// The attempt that runs.
        attempt: u32,
    },
    /// An attempt was lost; the router decides what comes next.
    AttemptFailed {
        /// The attempt that was lost.
        attempt: u32,
    },
    /// Over: completed, rejected, failed or cancelled.
    Ended,
}

/// A fact that cannot follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("{fact} cannot follow {state:?}", fact = fact.as_str())]
pub struct IllegalTransition {
    /// Where the inference was.
    pub state: State,
    /// What was said to have happened.
    pub fact: FactKind,
}

impl State {
    /// The state after `fact`; `Err` names both when it cannot follow. A request to cancel changes nothing by itself:
    /// whoever holds the inference ends it. Nor does a wish to be told of the end.
    pub fn apply(self, fact: &Fact) -> Result<Self, IllegalTransition> {
        let illegal = Err(IllegalTransition { state: self, fact: fact.kind() });
        match (self, fact) {
            (Self::Unknown, Fact::Requested(_)) => Ok(Self::Requested),
            (Self::Requested, Fact::Admitted(_)) => Ok(Self::Admitted),
            (Self::Admitted, Fact::Assigned(next)) if next.attempt == 1 => Ok(Self::Assigned { attempt: 1 }),
            (Self::AttemptFailed { attempt }, Fact::Assigned(next)) if next.attempt == attempt + 1 => {
                Ok(Self::Assigned { attempt: next.attempt })
            }
            (Self::Assigned { attempt }, Fact::Started(started)) if started.attempt == attempt => {
                Ok(Self::Started { attempt })
            }
            (Self::Assigned { attempt } | Self::Started { attempt }, Fact::AttemptFailed(failed))
                if failed.attempt == attempt =>
            {
                Ok(Self::AttemptFailed { attempt })
            }
            (Self::Unknown, _) => illegal,
            (Self::Ended, Fact::CancelRequested(_) | Fact::WebhookRequested(_)) => Ok(Self::Ended),
            (Self::Ended, _) => illegal,
            (state, Fact::CancelRequested(_) | Fact::WebhookRequested(_)) => Ok(state),
            (_, Fact::Ended(_)) => Ok(Self::Ended),
            _ => illegal,
        }
    }

    /// Whether nothing can follow.
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Ended)
    }

    /// The word for listings.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Requested => "requested",
            Self::Admitted => "admitted",
            Self::Assigned { .. } => "assigned",
            Self::Started { .. } => "started",
            Self::AttemptFailed { .. } => "attempt_failed",
            Self::Ended => "ended",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v1::{
        Admitted, Assigned, AttemptFailed, CancelRequested, Ended, Requested, Started, WebhookRequested,
    };

    fn requested() -> Fact {
        Fact::Requested(Requested::default())
    }
    fn admitted() -> Fact {
        Fact::Admitted(Admitted::default())
    }
    fn assigned(attempt: u32) -> Fact {
        Fact::Assigned(Assigned { attempt, ..Assigned::default() })
    }
    fn started(attempt: u32) -> Fact {
        Fact::Started(Started { attempt, ..Started::default() })
    }
    fn attempt_failed(attempt: u32) -> Fact {
        Fact::AttemptFailed(AttemptFailed { attempt, ..AttemptFailed::default() })
    }
    fn cancel() -> Fact {
        Fact::CancelRequested(CancelRequested::default())
    }
    fn ended() -> Fact {
        Fact::Ended(Ended::default())
    }

    fn webhook() -> Fact {
        Fact::WebhookRequested(WebhookRequested::default())
    }

    fn check(facts: &[Fact], expected: Result<State, FactKind>) {
        let state = facts.iter().try_fold(State::Unknown, |state, fact| state.apply(fact));
        assert_eq!(state.map_err(|error| error.fact), expected, "{facts:?}");
    }

    #[test]
    fn a_life_runs_from_requested_to_one_end() {
        let life = [requested(), admitted(), assigned(1), started(1), ended()];
        check(&life[..1], Ok(State::Requested));
        check(&life[..4], Ok(State::Started { attempt: 1 }));
        check(&life, Ok(State::Ended));
        check(&[&life[..], &[ended()]].concat(), Err(FactKind::Ended));
        check(&[requested(), ended()], Ok(State::Ended));
    }

    #[test]
    fn a_lost_attempt_is_followed_by_the_next_number_only() {
        let lost = [requested(), admitted(), assigned(1), started(1), attempt_failed(1)];
        check(&[&lost[..], &[assigned(2)]].concat(), Ok(State::Assigned { attempt: 2 }));
        check(&[&lost[..], &[assigned(1)]].concat(), Err(FactKind::Assigned));
        check(&[&lost[..], &[assigned(2), started(1)]].concat(), Err(FactKind::Started));
    }

    #[test]
    fn a_request_to_cancel_ends_nothing_by_itself() {
        check(&[requested(), cancel()], Ok(State::Requested));
        check(&[requested(), cancel(), ended(), cancel()], Ok(State::Ended));
        check(&[cancel()], Err(FactKind::CancelRequested));
    }

    #[test]
    fn a_webhook_changes_nothing() {
        check(&[requested(), webhook()], Ok(State::Requested));
        check(&[requested(), ended(), webhook()], Ok(State::Ended));
        check(&[webhook()], Err(FactKind::WebhookRequested));
    }
}
