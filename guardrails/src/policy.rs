//! Which checks run, and what their verdicts add up to.

use schemas::v1::{CheckVerdict, Prompt};
use thiserror::Error;

use crate::{BlockedTerms, Check, ContentSize, Subject, Verdict};

/// A policy as configuration says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicySpec {
    /// Recorded with each decision.
    pub version: u64,
    /// Largest prompt in bytes.
    pub max_prompt_bytes: usize,
    /// Terms that refuse a prompt, whatever their case.
    pub blocked_terms: Vec<String>,
}

impl Default for PolicySpec {
    fn default() -> Self {
        Self { version: 1, max_prompt_bytes: 16 << 20, blocked_terms: Vec::new() }
    }
}

/// A policy that cannot work.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PolicyError {
    /// Nothing could ever be asked.
    #[error("max_prompt_bytes is 0, which refuses every prompt")]
    RefusesEverything,
}

/// The checks that every request passes, in order.
pub struct Policy {
    version: u64,
    checks: Vec<Box<dyn Check>>,
}

/// What the policy says of one request.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// One verdict per check that ran.
    pub verdicts: Vec<CheckVerdict>,
    /// The content to go on with, when a check changed it.
    pub redacted_prompt: Option<Prompt>,
    /// The check that refused and its reason for the client.
    pub refusal: Option<(&'static str, String)>,
}

impl Policy {
    /// Builds the checks that `spec` names.
    pub fn new(spec: &PolicySpec) -> Result<Self, PolicyError> {
        if spec.max_prompt_bytes == 0 {
            return Err(PolicyError::RefusesEverything);
        }
        let mut checks: Vec<Box<dyn Check>> =
            vec![Box::new(ContentSize { max_num_bytes: spec.max_prompt_bytes })];
        if !spec.blocked_terms.is_empty() {
            checks.push(Box::new(BlockedTerms::new(spec.blocked_terms.iter().cloned())));
        }
        Ok(Self { version: spec.version, checks })
    }

    /// The version recorded with each decision.
    pub const fn version(&self) -> u64 {
        self.version
    }

    /// Runs the checks in order, each on what the one before left, up to the first refusal. `elapsed_nanos` is a clock
    /// that counts from any point.
    pub fn decide(&self, model: &str, prompt: &Prompt, elapsed_nanos: impl Fn() -> u64) -> Decision {
        let mut decision = Decision { verdicts: Vec::new(), redacted_prompt: None, refusal: None };
        for check in &self.checks {
            let began = elapsed_nanos();
            let current = decision.redacted_prompt.as_ref().unwrap_or(prompt);
            let verdict = check.inspect(&Subject { model, prompt: current });
            let (allowed, reason) = match verdict {
                Verdict::Allow => (true, String::new()),
                Verdict::Redact(redacted) => {
                    decision.redacted_prompt = Some(*redacted);
                    (true, "redacted".to_owned())
                }
                Verdict::Refuse(reason) => {
                    decision.refusal = Some((check.name(), reason.clone()));
                    (false, reason)
                }
            };
            decision.verdicts.push(CheckVerdict {
                check: check.name().to_owned(),
                allowed,
                reason,
                took_nanos: elapsed_nanos().saturating_sub(began),
            });
            if decision.refusal.is_some() {
                break;
            }
        }
        decision
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use schemas::v1::prompt::Content;

    struct Shorten;
    impl Check for Shorten {
        fn name(&self) -> &'static str {
            "shorten"
        }
        fn inspect(&self, _: &Subject<'_>) -> Verdict {
            Verdict::Redact(Box::new(text("short")))
        }
    }

    fn text(text: &str) -> Prompt {
        Prompt { content: Some(Content::Text(text.to_owned())) }
    }

    #[test]
    fn checks_run_in_order_up_to_the_first_refusal() {
        let spec =
            PolicySpec { max_prompt_bytes: 10, blocked_terms: vec!["zebra".into()], ..PolicySpec::default() };
        let policy = Policy::new(&spec).unwrap();
        let decide = |prompt: &str| policy.decide("m", &text(prompt), || 0);
        assert_eq!(decide("hello").verdicts.len(), 2);
        assert_eq!(decide("hello").refusal, None);
        assert_eq!(decide("a zebra").refusal.map(|(check, _)| check), Some("blocked_terms"));
        let too_long = decide("a zebra, much too long");
        assert_eq!(too_long.verdicts.len(), 1);
        assert_eq!(too_long.refusal.map(|(check, _)| check), Some("content_size"));
    }

    #[test]
    fn a_check_sees_what_the_one_before_it_left() {
        let checks: Vec<Box<dyn Check>> = vec![Box::new(Shorten), Box::new(ContentSize { max_num_bytes: 5 })];
        let policy = Policy { version: 1, checks };
        let decision = policy.decide("m", &text("far too long"), || 0);
        assert_eq!((decision.refusal, decision.redacted_prompt), (None, Some(text("short"))));
    }

    #[test]
    fn a_policy_that_refuses_everything_is_an_error() {
        let spec = PolicySpec { max_prompt_bytes: 0, ..PolicySpec::default() };
        assert!(matches!(Policy::new(&spec), Err(PolicyError::RefusesEverything)));
    }
}
