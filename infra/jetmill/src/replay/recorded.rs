//! An inference as the log remembers it.

use audit::Life;
use schemas::v1::envelope::Fact;
use schemas::v1::prompt::Content;
use schemas::v1::{
    Admitted, AttemptHistory, CheckVerdict, Ended, Failure, Outcome, Prompt, Requested, Started,
};
use schemas::{InferenceId, TenantId};

use super::routes::{RecordedRoute, RouteSeen};

/// What is needed to run it again, and what came of it.
#[derive(Debug, Clone)]
pub(crate) struct Recorded {
    pub(crate) id: InferenceId,
    pub(crate) tenant: TenantId,
    pub(crate) requested_at_unix_nanos: u64,
    /// With the prompt as the client sent it.
    pub(crate) requested: Requested,
    pub(crate) admitted: Option<Admitted>,
    /// Where each attempt was sent, in their order.
    pub(super) routes: Vec<RecordedRoute>,
    /// The latest attempt that a worker began.
    pub(crate) started: Option<Started>,
    /// Nothing while it goes on.
    pub(crate) ended: Option<Ended>,
}

impl Recorded {
    /// Puts a life together; `None` if it has no beginning.
    pub(crate) fn of(life: Life) -> Option<Self> {
        let mut recorded: Option<Self> = None;
        let mut history = AttemptHistory::default();
        let mut last_failure: Option<Failure> = None;
        for fact in life.facts {
            let (id, tenant) = (fact.envelope.inference().ok()?, fact.envelope.tenant().ok()?);
            let at = fact.envelope.recorded_at_unix_nanos;
            let is_routers = fact.envelope.recorded_by.starts_with("router/");
            match (fact.envelope.fact?, &mut recorded) {
                (Fact::Requested(requested), None) => {
                    recorded = Some(Self {
                        id,
                        tenant,
                        requested_at_unix_nanos: at,
                        requested,
                        admitted: None,
                        routes: Vec::new(),
                        started: None,
                        ended: None,
                    });
                }
                (Fact::Admitted(admitted), Some(recorded)) => recorded.admitted = Some(admitted),
                (Fact::Assigned(assigned), Some(recorded)) => recorded.routes.push(RecordedRoute {
                    attempt: assigned.attempt,
                    history: assigned.history.unwrap_or_default(),
                    last_failure: last_failure.clone(),
                    control_sequence: assigned.control_sequence,
                    decided_at_unix_nanos: at,
                    silent: assigned.silent_deployments,
                    decision: RouteSeen::chosen(assigned.deployment, assigned.reasons),
                }),
                (Fact::AttemptFailed(failed), Some(_)) => {
                    history = failed.history.unwrap_or_default();
                    last_failure = failed.failure;
                }
                (Fact::Started(started), Some(recorded)) => recorded.started = Some(started),
                (Fact::Ended(ended), Some(recorded)) => {
                    let failure = ended.failure.as_ref().filter(|_| is_routers);
                    recorded.routes.extend(failure.map(|failure| RecordedRoute {
                        attempt: ended.attempt + 1,
                        history,
                        last_failure: last_failure.clone(),
                        control_sequence: 0,
                        decided_at_unix_nanos: at,
                        silent: Vec::new(),
                        decision: RouteSeen::refused(failure.code.clone()),
                    }));
                    recorded.ended = Some(ended);
                }
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

    /// The seed in use.
    pub(crate) fn seed(&self) -> Option<u64> {
        self.started.as_ref().map(|started| started.seed)
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

    /// Whether the record holds nothing of what was asked any more.
    pub(crate) fn is_content_gone(&self) -> bool {
        let is_text_gone = match self.prompt().and_then(|prompt| prompt.content.as_ref()) {
            None => true,
            Some(Content::Chat(chat)) => chat.messages_json.is_empty(),
            Some(Content::Text(_) | Content::TokenIds(_)) => false,
        };
        match &self.requested.pooling {
            Some(pooling) => pooling.inputs.is_empty(),
            None => is_text_gone,
        }
    }

    /// Why it cannot be run again, if so.
    pub(crate) fn obstacle(&self) -> Option<&'static str> {
        if self.is_content_gone() {
            return Some("what was asked is not in the record any more");
        }
        let Some(ended) = &self.ended else { return Some("it has not ended") };
        let has_tokens = ended.choices.iter().any(|choice| !choice.token_ids.is_empty());
        let num_tokens = ended.usage.map_or(0, |usage| usage.num_completion_tokens);
        if num_tokens > 0 && !has_tokens {
            return Some("what was answered is not in the record any more");
        }
        match ended.outcome() {
            Outcome::Rejected => Some("it was refused before a model saw it"),
            Outcome::Cancelled if !has_tokens => Some("it was cancelled before its first token"),
            Outcome::Failed if self.started.is_none() => Some("it failed before a model saw it"),
            _ => None,
        }
    }

    /// The adapter that answered, if one did.
    pub(crate) fn adapter(&self) -> Option<&str> {
        let started = self.started.as_ref()?;
        started.engine_fingerprint.contains("+lora-").then_some(self.requested.model.as_str())
    }
}
