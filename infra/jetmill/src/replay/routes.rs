//! Where attempts went, and where they would go by other rules.

use anyhow::Result;
use bus::{EventLog, ReadFrom, StreamName, subjects};
use futures_util::TryStreamExt as _;
use schedulers::routing::{Attempt, Deployments, Refusal, Route, RoutingPolicy, route};
use schemas::v1::{AttemptHistory, ControlEnvelope, Failure, RoutingReason};
use serde::Serialize;

/// A decision of the router with all that it knew.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct RecordedRoute {
    pub(super) attempt: u32,
    pub(super) history: AttemptHistory,
    pub(super) last_failure: Option<Failure>,
    /// Sequence on CONTROL of the last fact that it knew; 0 if that is not told.
    pub(super) control_sequence: u64,
    pub(super) decided_at_unix_nanos: u64,
    pub(super) silent: Vec<String>,
    pub(super) decision: RouteSeen,
}

/// What the router said.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(super) struct RouteSeen {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) deployment: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) refusal: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) reasons: Vec<ReasonSeen>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct ReasonSeen {
    pub(super) deployment: String,
    pub(super) chosen: bool,
    pub(super) reason: String,
}

/// One attempt's way then and by the changed setup; none where there was no such attempt, or would be none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct RouteChange {
    pub(super) attempt: u32,
    pub(super) recorded: Option<RouteSeen>,
    pub(super) changed: Option<RouteSeen>,
}

/// Everything that CONTROL tells of deployments, so that each time can be asked for. It is as long as workers came and went.
pub(super) struct DeploymentHistory {
    /// With their sequences.
    facts: Vec<(u64, ControlEnvelope)>,
}

impl DeploymentHistory {
    pub(super) async fn read(log: &dyn EventLog) -> Result<Self> {
        let patterns = vec![subjects::all_deployments()];
        let mut records = log.read(StreamName::Control, patterns, ReadFrom::Start, false).await?;
        let mut facts = Vec::new();
        while let Some(record) = records.try_next().await? {
            facts.push((record.sequence, schemas::decode_control(&record.payload)?));
        }
        Ok(Self { facts })
    }

    /// What the router knew.
    fn known_to(&self, recorded: &RecordedRoute) -> Deployments {
        let RecordedRoute { control_sequence, decided_at_unix_nanos, .. } = *recorded;
        let mut deployments = Deployments::default();
        for (sequence, envelope) in &self.facts {
            let was_known = match control_sequence {
                0 => envelope.recorded_at_unix_nanos <= decided_at_unix_nanos,
                last => *sequence <= last,
            };
            if was_known {
                deployments.apply(envelope.clone(), *sequence);
            }
        }
        deployments.set_silent(recorded.silent.iter().cloned().collect());
        deployments
    }

    /// Decides again.
    pub(super) fn decide(&self, recorded: &RecordedRoute, model: &str, policy: &RoutingPolicy) -> RouteSeen {
        let RecordedRoute { attempt, history, last_failure, .. } = recorded;
        let attempt = Attempt { model, number: *attempt, history, last_failure: last_failure.as_ref() };
        match route(&self.known_to(recorded), policy, &attempt) {
            Ok(Route { deployment, reasons, .. }) => RouteSeen::chosen(deployment, reasons),
            Err(Refusal { failure, .. }) => RouteSeen::refused(failure.code),
        }
    }
}

impl RouteSeen {
    pub(super) fn chosen(deployment: String, reasons: Vec<RoutingReason>) -> Self {
        let seen = |RoutingReason { deployment, chosen, reason }| ReasonSeen { deployment, chosen, reason };
        Self { deployment: Some(deployment), refusal: None, reasons: reasons.into_iter().map(seen).collect() }
    }

    pub(super) fn refused(code: String) -> Self {
        Self { refusal: Some(code), ..Self::default() }
    }

    fn words(&self) -> String {
        match (&self.deployment, &self.refusal) {
            (Some(deployment), _) => deployment.clone(),
            (None, Some(code)) => format!("refused ({code})"),
            (None, None) => "-".to_owned(),
        }
    }
}

impl RouteChange {
    /// Whether it goes elsewhere; other reasons for the same way are shown, and are no difference.
    pub(super) fn is_difference(&self) -> bool {
        let way = |seen: &Option<RouteSeen>| seen.as_ref().map(RouteSeen::words);
        way(&self.recorded) != way(&self.changed)
    }

    pub(super) fn words(&self) -> String {
        let words =
            |seen: &Option<RouteSeen>| seen.as_ref().map_or_else(|| "none".to_owned(), RouteSeen::words);
        match self.is_difference() {
            true => format!("{} → {}", words(&self.recorded), words(&self.changed)),
            false => words(&self.recorded),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use schemas::v1::{DeploymentAnnounced, DeploymentWithdrawn, control_envelope::Fact};

    fn history() -> DeploymentHistory {
        let announced = |id: &str| {
            let announced = DeploymentAnnounced {
                deployment: id.to_owned(),
                pool: "smol".to_owned(),
                model: "smol".to_owned(),
                ..DeploymentAnnounced::default()
            };
            Fact::DeploymentAnnounced(announced)
        };
        let gone = Fact::DeploymentWithdrawn(DeploymentWithdrawn { deployment: "a".to_owned() });
        let facts = (1..).zip([announced("a"), announced("b"), gone]).map(|(sequence, fact)| {
            let envelope = ControlEnvelope {
                recorded_at_unix_nanos: sequence * 10,
                fact: Some(fact),
                ..ControlEnvelope::default()
            };
            (sequence, envelope)
        });
        DeploymentHistory { facts: facts.collect() }
    }

    fn check(recorded: &RecordedRoute, policy: &RoutingPolicy, expected: &str) {
        assert_eq!(history().decide(recorded, "smol", policy).words(), expected, "{recorded:?}");
    }

    #[test]
    fn a_decision_is_taken_with_what_was_known_then() {
        let at = |control_sequence| RecordedRoute {
            attempt: 1,
            history: AttemptHistory::default(),
            last_failure: None,
            control_sequence,
            decided_at_unix_nanos: 0,
            silent: Vec::new(),
            decision: RouteSeen::default(),
        };
        let policy = RoutingPolicy::default();
        check(&at(1), &policy, "a");
        check(&at(3), &policy, "b");
        check(&RecordedRoute { attempt: 2, ..at(2) }, &policy, "b");
        check(&RecordedRoute { silent: vec!["a".to_owned()], ..at(2) }, &policy, "b");
        check(&RecordedRoute { decided_at_unix_nanos: 25, ..at(0) }, &policy, "a");
        check(&RecordedRoute { decided_at_unix_nanos: 5, ..at(0) }, &policy, "refused (model_not_found)");
        let failed = AttemptHistory { num_failures: 1, ..AttemptHistory::default() };
        let second = RecordedRoute { attempt: 2, history: failed, ..at(2) };
        check(&second, &RoutingPolicy { max_num_attempts: 1, ..policy }, "refused (attempts_exhausted)");
    }

    #[test]
    fn other_reasons_for_the_same_way_are_no_difference() {
        let reason = RoutingReason { deployment: "a".to_owned(), chosen: true, reason: "x".to_owned() };
        let recorded = Some(RouteSeen::chosen("a".to_owned(), vec![reason]));
        let same = RouteChange {
            attempt: 1,
            recorded: recorded.clone(),
            changed: Some(RouteSeen::chosen("a".to_owned(), Vec::new())),
        };
        assert!(!same.is_difference());
        let gone = RouteChange { changed: None, ..same };
        assert_eq!(gone.words(), "a → none");
    }
}
