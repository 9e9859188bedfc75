//! Which deployments are withdrawn in the place of workers that cannot do it themselves.

use std::time::Duration;

use super::deployments::{Deployment, Deployments};

/// How long a silent deployment stays listed though another one answers for it: for as long as a worker may well come back, so
/// that the model does not vanish when the other one ends in order meanwhile.
const KEPT_BESIDE_OTHERS: Duration = Duration::from_secs(10);
/// How long the last deployment of a model stays listed while its worker is silent: requests wait for it in the log, and most
/// workers come back under their name.
const KEPT_ALONE: Duration = Duration::from_secs(60);

/// A deployment whose worker is gone, as it was announced last.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Overdue {
    /// Its id.
    pub(super) deployment: String,
    /// Where its announcement stands.
    pub(super) announced_sequence: u64,
}

/// The deployments that were silent for too long, which is shorter where one that is heard answers for each of their names.
pub(super) fn overdue(deployments: &Deployments, silence: impl Fn(&str) -> Duration) -> Vec<Overdue> {
    let is_missed = |deployment: &Deployment| {
        let mut names = deployment.names();
        names.any(|name| deployments.serving(name).all(|other| deployments.is_silent(&other.id)))
    };
    deployments
        .silent()
        .filter(|deployment| {
            let silence = silence(&deployment.id);
            silence >= KEPT_ALONE || (silence >= KEPT_BESIDE_OTHERS && !is_missed(deployment))
        })
        .map(|deployment| Overdue {
            deployment: deployment.id.clone(),
            announced_sequence: deployment.announced_sequence,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use schemas::v1::{Adapter, ControlEnvelope, DeploymentAnnounced, control_envelope::Fact};

    fn check(announced: &[(&str, &str, &[&str])], silent: &[&str], seconds: u64, expected: &[(&str, u64)]) {
        let mut deployments = Deployments::default();
        for (sequence, (id, model, adapters)) in (1..).zip(announced) {
            let fact = Fact::DeploymentAnnounced(DeploymentAnnounced {
                deployment: (*id).to_owned(),
                pool: "p".to_owned(),
                model: (*model).to_owned(),
                adapters: adapters
                    .iter()
                    .map(|name| Adapter { name: (*name).to_owned(), ..Adapter::default() })
                    .collect(),
                ..DeploymentAnnounced::default()
            });
            deployments.apply(ControlEnvelope { fact: Some(fact), ..ControlEnvelope::default() }, sequence);
        }
        deployments.set_silent(silent.iter().map(|id| (*id).to_owned()).collect());
        let found = overdue(&deployments, |_| Duration::from_secs(seconds));
        let found: Vec<_> =
            found.iter().map(|one| (one.deployment.as_str(), one.announced_sequence)).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn a_silent_deployment_is_withdrawn_soon_where_another_answers() {
        let both: &[(&str, &str, &[&str])] = &[("a", "m", &[]), ("b", "m", &[])];
        check(both, &[], 10, &[]);
        check(both, &["a"], 9, &[]);
        check(both, &["a"], 10, &[("a", 1)]);
        check(both, &["a", "b"], 10, &[]);
        check(&[("a", "m", &[]), ("b", "n", &[]), ("a", "m", &[])], &["a"], 10, &[]);
    }

    #[test]
    fn one_that_is_missed_is_kept_for_a_while() {
        let adapted: &[(&str, &str, &[&str])] = &[("a", "m", &["lora"]), ("b", "m", &[])];
        check(adapted, &["a"], 10, &[]);
        check(adapted, &["b"], 10, &[("b", 2)]);
        check(adapted, &["a"], 60, &[("a", 1)]);
        check(&[("a", "m", &[])], &["a"], 59, &[]);
        check(&[("a", "m", &[])], &["a"], 60, &[("a", 1)]);
    }
}
