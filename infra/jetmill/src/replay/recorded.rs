//! An inference as the log remembers it.

use audit::Life;
use schemas::v1::envelope::Fact;
use schemas::v1::{Admitted, CheckVerdict, Ended, Outcome, Prompt, Requested};
use schemas::{InferenceId, TenantId};

/// What is needed to run it again, and what came of it.
#[derive(Debug, Clone)]
pub(crate) struct Recorded {
    pub(crate) id: InferenceId,
    pub(crate) tenant: TenantId,
    pub(crate) requested_at_unix_nanos: u64,
    /// With the prompt as the client sent it.
    pub(crate) requested: Requested,
    pub(crate) admitted: Option<Admitted>,
    /// The seed in use.
    pub(crate) seed: Option<u64>,
    /// Nothing while it goes on.
    pub(crate) ended: Option<Ended>,
    /// Neither what was asked nor the answer can be read any more.
    pub(crate) is_erased: bool,
}

/// Why nothing can be run again of an inference whose key was destroyed.
pub(crate) const ERASED: &str = "its content was erased";

impl Recorded {
    /// Puts a life together; `None` if it has no beginning.
    pub(crate) fn of(life: Life) -> Option<Self> {
        let mut recorded: Option<Self> = None;
        for fact in life.facts {
            let (id, tenant) = (fact.envelope.inference().ok()?, fact.envelope.tenant().ok()?);
            let requested_at_unix_nanos = fact.envelope.recorded_at_unix_nanos;
            let is_erased = fact.envelope.is_sealed();
            if let Some(recorded) = &mut recorded {
                recorded.is_erased |= is_erased;
            }
            match (fact.envelope.fact?, &mut recorded) {
                (Fact::Requested(requested), None) => {
                    let (admitted, seed, ended) = (None, None, None);
                    recorded = Some(Self {
                        id,
                        tenant,
                        requested_at_unix_nanos,
                        requested,
                        admitted,
                        seed,
                        ended,
                        is_erased,
                    });
                }
                (Fact::Admitted(admitted), Some(recorded)) => recorded.admitted = Some(admitted),
                (Fact::Started(started), Some(recorded)) => recorded.seed = Some(started.seed),
                (Fact::Ended(ended), Some(recorded)) => recorded.ended = Some(ended),
                _ => {}
            }
        }
        recorded
    }

    /// The prompt that the model got: what a check had changed is not brought back.
    pub(crate) fn prompt(&self) -> Option<&Prompt> {
        let redacted = self.admitted.as_ref().and_then(|admitted| admitted.redacted_prompt.as_ref());
        redacted.or(self.requested.prompt.as_ref())
    }

    /// What the checks said, and which policy they were of.
    pub(crate) fn verdicts(&self) -> (&[CheckVerdict], u64) {
        match (&self.admitted, &self.ended) {
            (Some(admitted), _) => (&admitted.verdicts, admitted.policy_version),
            (None, Some(ended)) => (&ended.verdicts, ended.policy_version),
            (None, None) => (&[], 0),
        }
    }

    /// Whether the checks refused it.
    pub(crate) fn was_refused(&self) -> bool {
        self.ended.as_ref().is_some_and(|ended| ended.outcome() == Outcome::Rejected)
    }

    /// Why it cannot be run again, if so.
    pub(crate) fn obstacle(&self) -> Option<&'static str> {
        if self.is_erased {
            return Some(ERASED);
        }
        let Some(ended) = &self.ended else { return Some("it has not ended") };
        let has_tokens = ended.choices.iter().any(|choice| !choice.token_ids.is_empty());
        match ended.outcome() {
            Outcome::Rejected => Some("it was refused before a model saw it"),
            Outcome::Cancelled if !has_tokens => Some("it was cancelled before its first token"),
            Outcome::Failed if self.seed.is_none() => Some("it failed before a model saw it"),
            _ => None,
        }
    }
}
