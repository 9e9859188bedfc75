//! One fact as a line for people, without any of the content.

use std::fmt;
use std::time::Duration;

use schemas::v1::envelope::Fact;
use schemas::v1::{Ended, Envelope, Failure, Outcome};

/// A fact with the time since the one before it.
pub(crate) struct FactLine<'a> {
    sequence: u64,
    envelope: &'a Envelope,
    since_previous: Option<Duration>,
}

impl<'a> FactLine<'a> {
    pub(crate) fn new(sequence: u64, envelope: &'a Envelope, previous_unix_nanos: Option<u64>) -> Self {
        let since = |previous| Duration::from_nanos(envelope.recorded_at_unix_nanos.saturating_sub(previous));
        Self { sequence, envelope, since_previous: previous_unix_nanos.map(since) }
    }
}

impl fmt::Display for FactLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let since = self
            .since_previous
            .map_or_else(String::new, |since| format!("+{:.2} ms", since.as_secs_f64() * 1e3));
        let kind = self.envelope.fact.as_ref().map_or("?", |fact| fact.kind().as_str());
        write!(f, "{:>9}  {since:>12}  {kind:<16}  {:<24}", self.sequence, self.envelope.recorded_by)?;
        match &self.envelope.fact {
            Some(fact) => write!(f, "  {}", details(fact)),
            None => Ok(()),
        }
    }
}

fn details(fact: &Fact) -> String {
    match fact {
        Fact::Requested(requested) => format!(
            "tenant's {} for model '{}', ingress {}, {}",
            requested.endpoint,
            requested.model,
            requested.ingress,
            if requested.stream { "streaming" } else { "whole" },
        ),
        Fact::Admitted(admitted) => {
            let checks: Vec<_> = admitted.verdicts.iter().map(|verdict| verdict.check.as_str()).collect();
            format!("policy {}, passed {}", admitted.policy_version, checks.join(", "))
        }
        Fact::Assigned(assigned) => format!(
            "attempt {} to {} (pool {}), of {} candidates",
            assigned.attempt,
            assigned.deployment,
            assigned.pool,
            assigned.reasons.len(),
        ),
        Fact::Started(started) => format!(
            "attempt {} on {}, {} prompt tokens, seed {}, {}",
            started.attempt,
            started.worker,
            started.num_prompt_tokens,
            started.seed,
            started.engine_fingerprint,
        ),
        Fact::AttemptFailed(failed) => {
            format!("attempt {} on {}: {}", failed.attempt, failed.worker, reason(failed.failure.as_ref()))
        }
        Fact::CancelRequested(cancel) => cancel.reason.clone(),
        Fact::WebhookRequested(_) => "the end is to be told".to_owned(),
        Fact::Ended(ended) => end_details(ended),
    }
}

fn end_details(ended: &Ended) -> String {
    let usage = ended.usage.unwrap_or_default();
    let tokens = format!("{} + {} tokens", usage.num_prompt_tokens, usage.num_completion_tokens);
    match ended.outcome() {
        Outcome::Completed => {
            let reasons: Vec<_> = ended
                .choices
                .iter()
                .map(|choice| choice.finish_reason().as_str_name().to_lowercase())
                .collect();
            format!("completed, {tokens}, {}", reasons.join(", ").replace("finish_reason_", ""))
        }
        Outcome::Cancelled => format!("cancelled, {tokens}"),
        Outcome::Rejected => format!("rejected: {}", reason(ended.failure.as_ref())),
        Outcome::Failed => format!("failed: {}", reason(ended.failure.as_ref())),
        Outcome::Unspecified => "ended".to_owned(),
    }
}

fn reason(failure: Option<&Failure>) -> &str {
    failure.map_or("no reason was recorded", |failure| &failure.message)
}
