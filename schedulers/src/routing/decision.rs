//! The router's decision, as a pure function.

use schemas::PoolName;
use schemas::failure;
use schemas::v1::{Failure, FailureKind, RoutingReason};

use super::deployments::{Deployment, Deployments};

/// What bounds the router's patience.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RoutingPolicy {
    /// Attempts per inference, the first one included.
    pub max_num_attempts: u32,
}

impl Default for RoutingPolicy {
    fn default() -> Self {
        Self { max_num_attempts: 3 }
    }
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
}

/// Nothing is left to try.
#[derive(Debug, Clone, PartialEq)]
pub struct Refusal(pub Failure);

/// Picks a deployment for `attempt` (from 1) of an inference that asks for `model`; `last_failure` is why the attempt
/// before was lost. Attempts are spread over the deployments that serve the model, in the order of their ids.
pub fn route(
    deployments: &Deployments,
    policy: &RoutingPolicy,
    model: &str,
    attempt: u32,
    last_failure: Option<&Failure>,
) -> Result<Route, Refusal> {
    if attempt > policy.max_num_attempts {
        return Err(exhausted(policy, last_failure));
    }
    let candidates: Vec<&Deployment> = deployments.serving(model).collect();
    let Some(chosen) = pick(&candidates, attempt) else {
        let message = format!("no deployment serves the model '{model}'");
        return Err(Refusal(failure(FailureKind::NotFound, "model_not_found", message).at("model")));
    };
    let reasons = candidates
        .iter()
        .map(|candidate| {
            let is_chosen = candidate.id == chosen.id;
            let reason = if is_chosen { "serves the model and is next in turn" } else { "serves the model" };
            RoutingReason { deployment: candidate.id.clone(), chosen: is_chosen, reason: reason.to_owned() }
        })
        .collect();
    Ok(Route { deployment: chosen.id.clone(), pool: chosen.pool.clone(), reasons })
}

fn pick<'a>(candidates: &[&'a Deployment], attempt: u32) -> Option<&'a Deployment> {
    let turn = usize::try_from(attempt.saturating_sub(1)).unwrap_or(0);
    candidates.get(turn % candidates.len().max(1)).copied()
}

fn exhausted(policy: &RoutingPolicy, last_failure: Option<&Failure>) -> Refusal {
    let cause =
        last_failure.map_or_else(|| "no reason was recorded".to_owned(), |failure| failure.message.clone());
    let message = format!("gave up after {} attempts; the last one failed: {cause}", policy.max_num_attempts);
    Refusal(failure(FailureKind::Internal, "attempts_exhausted", message))
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
            deployments.apply(ControlEnvelope { fact: Some(fact), ..ControlEnvelope::default() });
        }
        deployments
    }

    fn check(model: &str, attempt: u32, expected: Result<&str, &str>) {
        let routed = route(&deployments(), &RoutingPolicy::default(), model, attempt, None);
        let found =
            routed.as_ref().map(|route| route.deployment.as_str()).map_err(|refusal| refusal.0.code.as_str());
        assert_eq!(found, expected, "{model}, attempt {attempt}");
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
        check("smol", 4, Err("attempts_exhausted"));
    }

    #[test]
    fn every_candidate_is_recorded_and_one_is_chosen() {
        let routed = route(&deployments(), &RoutingPolicy::default(), "smol", 1, None).unwrap();
        let chosen: Vec<_> =
            routed.reasons.iter().map(|reason| (reason.deployment.as_str(), reason.chosen)).collect();
        assert_eq!(chosen, [("a", true), ("b", false)]);
    }
}
