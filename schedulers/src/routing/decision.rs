//! The router's decision, as a pure function.

use schemas::PoolName;
use schemas::failure;
use schemas::v1::{AttemptHistory, Failure, FailureKind, RoutingReason};

use super::deployments::{Deployment, Deployments};

/// What bounds the router's patience.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RoutingPolicy {
    /// Attempts per inference that may fail while their workers live on.
    pub max_num_attempts: u32,
    /// Losses of a worker in a row that an inference may be blamed for; then it is taken for what brings workers down.
    pub max_num_blamed: u32,
    /// Losses of a worker that one inference may see at all.
    pub max_num_workers_lost: u32,
}

impl Default for RoutingPolicy {
    fn default() -> Self {
        Self { max_num_attempts: 3, max_num_blamed: 3, max_num_workers_lost: 100 }
    }
}

/// An attempt that looks for a deployment.
#[derive(Debug, Clone, Copy)]
pub struct Attempt<'a> {
    /// What its inference asks for.
    pub model: &'a str,
    /// From 1.
    pub number: u32,
    /// What became of the ones before.
    pub history: &'a AttemptHistory,
    /// Why the one before was lost.
    pub last_failure: Option<&'a Failure>,
}

/// Where an attempt goes, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The deployment that was picked.
    pub deployment: String,
    /// Its pool; whichever of the pool's workers has a free slot takes the attempt.
    pub pool: PoolName,
    /// Every deployment that was looked at.
    pub reasons: Vec<RoutingReason>,
    /// Those that serve the model and are silent.
    pub silent: Vec<String>,
    /// The last fact about deployments that was known.
    pub control_sequence: u64,
}

/// Nothing is left to try.
#[derive(Debug, Clone, PartialEq)]
pub struct Refusal {
    /// Why.
    pub failure: Failure,
    /// Whether the inference brings workers down.
    pub is_poison: bool,
}

/// Picks a deployment for an attempt. Attempts are spread over the deployments that serve the model, in the order of their
/// ids; those whose workers are silent are left out unless there is no other: then the attempt waits for a worker of the pool.
pub fn route(
    deployments: &Deployments,
    policy: &RoutingPolicy,
    attempt: &Attempt<'_>,
) -> Result<Route, Refusal> {
    if let Some(refusal) = exhausted(policy, attempt) {
        return Err(refusal);
    }
    let model = attempt.model;
    let (silent, heard): (Vec<&Deployment>, Vec<&Deployment>) =
        deployments.serving(model).partition(|deployment| deployments.is_silent(&deployment.id));
    let silent_ids = silent.iter().map(|deployment| deployment.id.clone()).collect();
    let candidates = if heard.is_empty() { silent } else { heard };
    let Some(chosen) = pick(&candidates, attempt.number) else {
        let message = format!("no deployment serves the model '{model}'");
        let failure = failure(FailureKind::NotFound, "model_not_found", message).at("model");
        return Err(Refusal { failure, is_poison: false });
    };
    let reasons = candidates
        .iter()
        .filter(|candidate| candidate.id == chosen.id || !deployments.is_silent(&candidate.id))
        .map(|candidate| {
            let reason = match (candidate.id == chosen.id, deployments.is_silent(&candidate.id)) {
                (true, false) => "serves the model and is next in turn",
                (true, true) => "serves the model; its worker is silent, and so is every other",
                (false, _) => "serves the model",
            };
            RoutingReason {
                deployment: candidate.id.clone(),
                chosen: candidate.id == chosen.id,
                reason: reason.to_owned(),
            }
        })
        .collect();
    Ok(Route {
        deployment: chosen.id.clone(),
        pool: chosen.pool.clone(),
        reasons,
        silent: silent_ids,
        control_sequence: deployments.last_sequence(),
    })
}

fn pick<'a>(candidates: &[&'a Deployment], attempt: u32) -> Option<&'a Deployment> {
    let turn = usize::try_from(attempt.saturating_sub(1)).unwrap_or(0);
    candidates.get(turn % candidates.len().max(1)).copied()
}

fn exhausted(policy: &RoutingPolicy, attempt: &Attempt<'_>) -> Option<Refusal> {
    let AttemptHistory { num_failures, num_workers_lost, num_blamed, .. } = *attempt.history;
    if num_blamed >= policy.max_num_blamed || num_workers_lost >= policy.max_num_workers_lost {
        let num_lost = if num_blamed >= policy.max_num_blamed { num_blamed } else { num_workers_lost };
        let message = format!(
            "the worker was lost {num_lost} times while it computed this request, which is not tried again"
        );
        let failure = failure(FailureKind::Internal, "worker_lost", message);
        return Some(Refusal { failure, is_poison: true });
    }
    if num_failures < policy.max_num_attempts {
        return None;
    }
    let cause = attempt
        .last_failure
        .map_or_else(|| "no reason was recorded".to_owned(), |failure| failure.message.clone());
    let message = format!("gave up after {num_failures} attempts; the last one failed: {cause}");
    let failure = failure(FailureKind::Internal, "attempts_exhausted", message);
    Some(Refusal { failure, is_poison: false })
}

#[cfg(test)]
mod tests {
    use super::*;
    use schemas::v1::{
        Adapter, ControlEnvelope, DeploymentAnnounced, DeploymentWithdrawn, control_envelope::Fact,
    };

    fn deployments() -> Deployments {
        let announced = |id: &str, model: &str| {
            Fact::DeploymentAnnounced(DeploymentAnnounced {
                deployment: id.into(),
                pool: model.into(),
                model: model.into(),
                aliases: vec![format!("{model}-latest")],
                adapters: vec![Adapter { name: format!("{model}-{id}-lora"), ..Adapter::default() }],
                ..DeploymentAnnounced::default()
            })
        };
        let gone = Fact::DeploymentWithdrawn(DeploymentWithdrawn { deployment: "c".into() });
        let facts = [
            announced("b", "smol"),
            announced("a", "smol"),
            announced("c", "smol"),
            announced("d", "qwen"),
            gone,
        ];
        let mut deployments = Deployments::default();
        for fact in facts {
            deployments.apply(ControlEnvelope { fact: Some(fact), ..ControlEnvelope::default() }, 1);
        }
        deployments
    }

    fn check_in(
        deployments: &Deployments,
        model: &str,
        attempt: (u32, [u32; 3]),
        expected: Result<&str, &str>,
    ) {
        let (number, [num_failures, num_workers_lost, num_blamed]) = attempt;
        let history = AttemptHistory { num_failures, num_workers_lost, num_blamed, max_num_unproven: 0 };
        let asked = Attempt { model, number, history: &history, last_failure: None };
        let routed = route(deployments, &RoutingPolicy::default(), &asked);
        let found = routed
            .as_ref()
            .map(|route| route.deployment.as_str())
            .map_err(|refusal| refusal.failure.code.as_str());
        assert_eq!(found, expected, "{model}, attempt {attempt:?}");
        let is_poison = routed.is_err_and(|refusal| refusal.is_poison);
        assert_eq!(is_poison, expected == Err("worker_lost"));
    }

    fn check(model: &str, attempt: u32, expected: Result<&str, &str>) {
        check_in(&deployments(), model, (attempt, [0; 3]), expected);
    }

    #[test]
    fn attempts_are_spread_over_the_deployments_that_serve_the_model() {
        check("smol", 1, Ok("a"));
        check("smol", 2, Ok("b"));
        check("smol", 3, Ok("a"));
        check("smol-latest", 1, Ok("a"));
        check("qwen", 2, Ok("d"));
        check("smol-b-lora", 1, Ok("b"));
        check("smol-b-lora", 2, Ok("b"));
    }

    #[test]
    fn an_unknown_model_and_too_many_attempts_are_refused() {
        check("gpt", 1, Err("model_not_found"));
        check_in(&deployments(), "smol", (4, [3, 0, 0]), Err("attempts_exhausted"));
        check_in(&deployments(), "smol", (4, [2, 1, 1]), Ok("b"));
    }

    #[test]
    fn lost_workers_use_no_attempt_up_unless_the_inference_is_to_blame() {
        check_in(&deployments(), "smol", (41, [0, 40, 2]), Ok("a"));
        check_in(&deployments(), "smol", (41, [0, 40, 3]), Err("worker_lost"));
        check_in(&deployments(), "smol", (101, [0, 100, 0]), Err("worker_lost"));
    }

    #[test]
    fn a_silent_deployment_is_chosen_only_when_there_is_no_other() {
        let mut deployments = deployments();
        deployments.set_silent(["a", "d"].map(str::to_owned).into());
        check_in(&deployments, "smol", (1, [0; 3]), Ok("b"));
        check_in(&deployments, "smol", (2, [0; 3]), Ok("b"));
        check_in(&deployments, "qwen", (1, [0; 3]), Ok("d"));
    }

    #[test]
    fn every_candidate_is_recorded_and_one_is_chosen() {
        let history = AttemptHistory::default();
        let asked = Attempt { model: "smol", number: 1, history: &history, last_failure: None };
        let routed = route(&deployments(), &RoutingPolicy::default(), &asked).unwrap();
        let chosen: Vec<_> =
            routed.reasons.iter().map(|reason| (reason.deployment.as_str(), reason.chosen)).collect();
        assert_eq!(chosen, [("a", true), ("b", false)]);
    }
}
