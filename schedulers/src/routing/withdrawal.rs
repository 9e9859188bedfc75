//! Which deployments are withdrawn in the place of workers that cannot do it themselves.

use std::time::Duration;

use super::deployments::{Deployment, Deployments};

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

/// The silent deployments that nobody misses, since one that is heard answers for each of their names, and those that were
/// silent for too long.
pub(super) fn overdue(deployments: &Deployments, silence: impl Fn(&str) -> Duration) -> Vec<Overdue> {
    let is_missed = |deployment: &Deployment| {
        let mut names = deployment.names();
        names.any(|name| deployments.serving(name).all(|other| deployments.is_silent(&other.id)))
    };
    deployments
        .silent()
        .filter(|deployment| silence(&deployment.id) >= KEPT_ALONE || !is_missed(deployment))
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
    fn a_silent_deployment_is_withdrawn_at_once_where_another_answers() {
        let both: &[(&str, &str, &[&str])] = &[("a", "m", &[]), ("b", "m", &[])];
        check(both, &[], 2, &[]);
        check(both, &["a"], 2, &[("a", 1)]);
        check(both, &["a", "b"], 2, &[]);
        check(&[("a", "m", &[]), ("b", "n", &[]), ("a", "m", &[])], &["a"], 2, &[]);
    }

    #[test]
    fn one_that_is_missed_is_kept_for_a_while() {
        let adapted: &[(&str, &str, &[&str])] = &[("a", "m", &["lora"]), ("b", "m", &[])];
        check(adapted, &["a"], 2, &[]);
        check(adapted, &["b"], 2, &[("b", 2)]);
        check(adapted, &["a"], 60, &[("a", 1)]);
        check(&[("a", "m", &[])], &["a"], 59, &[]);
        check(&[("a", "m", &[])], &["a"], 60, &[("a", 1)]);
    }
}
