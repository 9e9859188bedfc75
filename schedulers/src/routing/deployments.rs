//! Which deployments there are: a fold of the CONTROL stream.

use std::collections::{BTreeMap, BTreeSet};

use schemas::PoolName;
use schemas::v1::{ControlEnvelope, DeploymentAnnounced, control_envelope::Fact};

/// A deployment that said it is ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deployment {
    /// Its id.
    pub id: String,
    /// The pool whose workers answer.
    pub pool: PoolName,
    /// The model's name.
    pub model: String,
    /// Other names under which it is asked for.
    pub aliases: Vec<String>,
    /// Adapters over the model, each asked for by its name.
    pub adapters: Vec<String>,
    /// Where its announcement stands in the stream.
    pub announced_sequence: u64,
}

impl Deployment {
    /// Everything that it can be asked for as: the model, its aliases, its adapters.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&self.model).chain(&self.aliases).chain(&self.adapters).map(String::as_str)
    }

    fn serves(&self, model: &str) -> bool {
        self.names().any(|name| name == model)
    }
}

/// All known deployments, in the order of their ids.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Deployments {
    by_id: BTreeMap<String, Deployment>,
    silent: BTreeSet<String>,
    last_sequence: u64,
}

impl Deployments {
    /// Takes in the fact at `sequence`; facts about other things, and announcements of malformed pools, change nothing.
    pub fn apply(&mut self, envelope: ControlEnvelope, sequence: u64) {
        self.last_sequence = self.last_sequence.max(sequence);
        match envelope.fact {
            Some(Fact::DeploymentAnnounced(announced)) => {
                if let Some(deployment) = Deployment::from_fact(announced, sequence) {
                    self.by_id.insert(deployment.id.clone(), deployment);
                }
            }
            Some(Fact::DeploymentWithdrawn(withdrawn)) => {
                self.by_id.remove(&withdrawn.deployment);
            }
            Some(Fact::ConfigurationRecorded(_)) | None => {}
        }
    }

    /// The sequence on CONTROL of the last fact that was taken in; 0 if that is not known.
    pub fn last_sequence(&self) -> u64 {
        self.last_sequence
    }

    /// Every deployment that answers for `model`, by name, alias or adapter. One that is asleep does: its requests wait
    /// in the log until it wakes.
    pub fn serving(&self, model: &str) -> impl Iterator<Item = &Deployment> {
        self.by_id.values().filter(move |deployment| deployment.serves(model))
    }

    /// The ids of all.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.by_id.keys().map(String::as_str)
    }

    /// Those whose workers are not heard any more.
    pub(super) fn silent(&self) -> impl Iterator<Item = &Deployment> {
        self.by_id.values().filter(|deployment| self.is_silent(&deployment.id))
    }

    /// Whose workers are not heard any more, in place of what was known before.
    pub fn set_silent(&mut self, silent: BTreeSet<String>) {
        self.silent = silent;
    }

    /// Whether a deployment's worker is not heard any more.
    pub fn is_silent(&self, deployment: &str) -> bool {
        self.silent.contains(deployment)
    }

    /// Takes over from an older fold whose workers are silent.
    pub fn with_silent_of(self, older: &Self) -> Self {
        Self { silent: older.silent.clone(), ..self }
    }
}

impl Deployment {
    fn from_fact(announced: DeploymentAnnounced, announced_sequence: u64) -> Option<Self> {
        Some(Self {
            pool: announced.pool.parse().ok()?,
            id: announced.deployment,
            model: announced.model,
            aliases: announced.aliases,
            adapters: announced.adapters.into_iter().map(|adapter| adapter.name).collect(),
            announced_sequence,
        })
    }
}
