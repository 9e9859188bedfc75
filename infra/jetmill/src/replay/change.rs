//! What is changed in the setup.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context as _, Result};
use guardrails::Policy;
use schedulers::routing::RoutingPolicy;
use schemas::v1::Price;

use super::recorded::Recorded;
use crate::config::{Config, GuardrailsConfig, ModelConfig};
use crate::roles;

/// One `--with`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    Model(PathBuf),
    Policy(PathBuf),
    Config(PathBuf),
}

impl FromStr for Change {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('=') {
            Some(("model", path)) if !path.is_empty() => Ok(Self::Model(path.into())),
            Some(("policy", path)) if !path.is_empty() => Ok(Self::Policy(path.into())),
            Some(("config", path)) if !path.is_empty() => Ok(Self::Config(path.into())),
            _ => Err("expected model=FILE, policy=FILE or config=FILE"),
        }
    }
}

/// The setup with all changes.
pub(crate) struct ChangedSetup {
    /// Present if the model or its worker changed.
    pub(crate) worker: Option<Config>,
    /// Present if the checks changed.
    pub(crate) policy: Option<Policy>,
    /// How attempts are routed.
    pub(crate) routing: RoutingPolicy,
    /// Present if models or prices changed.
    models: Option<BTreeMap<String, ModelConfig>>,
}

impl ChangedSetup {
    /// Applies the changes in their order.
    pub(crate) fn new(config: &Config, changes: &[Change]) -> Result<Self> {
        let mut changed = config.clone();
        let (mut has_worker, mut has_policy, mut has_models) = (false, false, false);
        for change in changes {
            match change {
                Change::Model(path) => {
                    changed.worker.model = Some(path.clone());
                    // The name of the model that it takes the place of.
                    changed.worker.model_name = None;
                    (has_worker, has_models) = (true, true);
                }
                Change::Policy(path) => {
                    changed.guardrails = read_policy(path)?;
                    has_policy = true;
                }
                Change::Config(path) => {
                    let other = Config::read(path)?;
                    if other.worker.model.is_some() {
                        changed.worker = other.worker;
                        has_worker = true;
                    }
                    (changed.guardrails, changed.router, changed.models) =
                        (other.guardrails, other.router, other.models);
                    (has_policy, has_models) = (true, true);
                }
            }
        }
        let policy = if has_policy { Some(roles::policy(&changed)?) } else { None };
        let routing = roles::routing_policy(&changed);
        let models = has_models.then(|| changed.models.clone());
        Ok(Self { worker: has_worker.then_some(changed), policy, routing, models })
    }

    /// What an inference is charged by. `engine`: the model that answers instead.
    pub(crate) fn price(&self, recorded: &Recorded, engine: Option<&str>) -> Option<Price> {
        let Some(models) = &self.models else { return recorded.requested.price.clone() };
        let name = engine.unwrap_or(&recorded.requested.model);
        Some(models.get(name)?.price.as_ref()?.to_fact())
    }
}

fn read_policy(path: &Path) -> Result<GuardrailsConfig> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    toml::from_str(&text).with_context(|| format!("{} is no table of [guardrails]", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_read_and_applied() {
        assert_eq!("model=a.gguf".parse(), Ok(Change::Model("a.gguf".into())));
        for text in ["", "model", "model=", "router=x"] {
            assert!(text.parse::<Change>().is_err(), "{text}");
        }
        let dir = tempfile::tempdir().unwrap();
        let policy = dir.path().join("policy.toml");
        std::fs::write(&policy, "policy_version = 7\nblocked_terms = [\"zebra\"]\n").unwrap();
        let setup = ChangedSetup::new(&Config::default(), &[Change::Policy(policy.clone())]).unwrap();
        assert_eq!(setup.policy.unwrap().version(), 7);
        assert!(setup.worker.is_none());
        let setup = ChangedSetup::new(&Config::default(), &[Change::Model("m".into())]).unwrap();
        assert!(setup.policy.is_none() && setup.worker.is_some());
        std::fs::write(&policy, "nonsense = 1\n").unwrap();
        assert!(ChangedSetup::new(&Config::default(), &[Change::Policy(policy)]).is_err());
    }
}
