//! Which models there are: a fold of the CONTROL stream, followed for as long as the node runs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use bus::{BusError, EventLog, ReadFrom, Record, StreamName, subjects};
use futures_util::StreamExt;
use schemas::PoolName;
use schemas::v1::{ControlEnvelope, DeploymentAnnounced, control_envelope::Fact};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::error::ApiError;

const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(500);

/// What a model can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Task {
    Generate,
    Embed,
    Score,
}

impl Task {
    /// The word in announcements.
    const fn word(self) -> &'static str {
        match self {
            Self::Generate => "generate",
            Self::Embed => "embed",
            Self::Score => "score",
        }
    }

    /// What a client calls it.
    const fn shown(self) -> &'static str {
        match self {
            Self::Generate => "text generation",
            Self::Embed => "embeddings",
            Self::Score => "scores",
        }
    }
}

/// A model somewhere that can answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Deployment {
    pub(crate) pool: PoolName,
    pub(crate) model: String,
    pub(crate) aliases: Vec<String>,
    pub(crate) max_model_len_tokens: u32,
    /// 0: unknown.
    pub(crate) vocab_size: u32,
    pub(crate) has_chat_template: bool,
    /// Names of the adapters over the model.
    pub(crate) adapters: Vec<String>,
    /// Its weights are released.
    pub(crate) is_asleep: bool,
    /// Words of [`Task`]; empty: it generates.
    tasks: Vec<String>,
    pub(crate) announced_at_unix_nanos: u64,
}

/// All deployments by id: the pure fold.
#[derive(Debug, Default)]
struct Catalog {
    by_id: BTreeMap<String, Deployment>,
}

impl Catalog {
    fn apply(&mut self, envelope: ControlEnvelope) {
        let at = envelope.recorded_at_unix_nanos;
        match envelope.fact {
            Some(Fact::DeploymentAnnounced(announced)) => match announced.pool.parse() {
                Ok(pool) => {
                    let id = announced.deployment.clone();
                    self.by_id.insert(id, Deployment::from_fact(pool, announced, at));
                }
                Err(error) => warn!(%error, "an announced deployment is left out"),
            },
            Some(Fact::DeploymentWithdrawn(withdrawn)) => {
                self.by_id.remove(&withdrawn.deployment);
            }
            Some(Fact::ConfigurationRecorded(_)) | None => {}
        }
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.by_id.values().flat_map(Deployment::names).cloned().collect();
        names.sort();
        names.dedup();
        names
    }

    fn find(&self, model: &str, task: Option<Task>) -> Option<&Deployment> {
        let answers = |deployment: &&Deployment| {
            deployment.names().any(|name| name == model) && task.is_none_or(|task| deployment.can(task))
        };
        // The roomiest one bounds what may be asked; routing decides who answers.
        self.by_id.values().filter(answers).max_by_key(|deployment| deployment.max_model_len_tokens)
    }
}

impl Deployment {
    /// Everything that it can be asked for as: the model, its aliases, its adapters.
    pub(crate) fn names(&self) -> impl Iterator<Item = &String> {
        std::iter::once(&self.model).chain(&self.aliases).chain(&self.adapters)
    }

    fn can(&self, task: Task) -> bool {
        if self.tasks.is_empty() {
            task == Task::Generate
        } else {
            self.tasks.iter().any(|word| word == task.word())
        }
    }

    fn from_fact(pool: PoolName, announced: DeploymentAnnounced, announced_at_unix_nanos: u64) -> Self {
        Self {
            pool,
            model: announced.model,
            aliases: announced.aliases,
            max_model_len_tokens: announced.max_model_len_tokens,
            vocab_size: announced.vocab_size,
            has_chat_template: announced.has_chat_template,
            adapters: announced.adapters.into_iter().map(|adapter| adapter.name).collect(),
            is_asleep: announced.is_asleep,
            tasks: announced.tasks,
            announced_at_unix_nanos,
        }
    }
}

/// What is known of the deployments now. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Deployments {
    catalog: Arc<RwLock<Option<Catalog>>>,
    /// Sequence of the last fact that was taken in.
    heard: watch::Sender<u64>,
}

impl Default for Deployments {
    fn default() -> Self {
        Self { catalog: Arc::default(), heard: watch::Sender::new(0) }
    }
}

impl Deployments {
    /// The deployment that answers for `model`, by name or alias; `Err` lists the names there are.
    pub(crate) fn find(&self, model: &str) -> Result<Deployment, ApiError> {
        self.find_by(model, None)
    }

    /// The same for a model that can be asked for `task`; `Err` tells a model that cannot from one that is not there.
    pub(crate) fn find_for(&self, model: &str, task: Task) -> Result<Deployment, ApiError> {
        self.find_by(model, Some(task))
    }

    fn find_by(&self, model: &str, task: Option<Task>) -> Result<Deployment, ApiError> {
        self.with(|catalog| {
            let catalog = catalog.ok_or_else(|| ApiError::unavailable("the models are not known yet"))?;
            catalog.find(model, task).cloned().ok_or_else(|| {
                if let Some((task, _)) = task.zip(catalog.find(model, None)) {
                    return ApiError::unsupported_task(model, task.shown());
                }
                let names = catalog.names();
                let available =
                    if names.is_empty() { "none, no worker is ready".to_owned() } else { names.join(", ") };
                ApiError::UnknownModel { model: model.chars().take(200).collect(), available }
            })
        })
    }

    /// The only model, for calls that may leave it out.
    pub(crate) fn find_only(&self) -> Result<Deployment, ApiError> {
        let models: Vec<String> = self.all().into_iter().map(|(name, _)| name).collect();
        match models.as_slice() {
            [] => Err(ApiError::unavailable("no worker is ready")),
            [model] => self.find(model),
            _ => {
                Err(ApiError::invalid("model", format!("model is needed; available: {}", models.join(", "))))
            }
        }
    }

    /// The pool that answers for `model`: the one to which the router turns first.
    pub(crate) fn pool_of(&self, model: &str) -> Option<PoolName> {
        self.with(|catalog| {
            let mut deployments = catalog?.by_id.values();
            let answers = |deployment: &&Deployment| deployment.names().any(|name| name == model);
            deployments.find(answers).map(|deployment| deployment.pool.clone())
        })
    }

    /// Every pool.
    pub(crate) fn pools(&self) -> BTreeSet<PoolName> {
        self.with(|catalog| {
            let deployments = catalog.into_iter().flat_map(|catalog| catalog.by_id.values());
            deployments.map(|deployment| deployment.pool.clone()).collect()
        })
    }

    /// Every model once, by name, with the deployment that bounds it.
    pub(crate) fn all(&self) -> Vec<(String, Deployment)> {
        self.with(|catalog| {
            let catalog = catalog.map(|catalog| &catalog.by_id);
            let models: BTreeMap<String, Deployment> = catalog
                .into_iter()
                .flat_map(BTreeMap::values)
                .map(|deployment| (deployment.model.clone(), deployment.clone()))
                .collect();
            models.into_iter().collect()
        })
    }

    /// Every worker that generates with `model`, or all that generate: its id, its pool's model and whether it sleeps.
    /// The others neither sleep nor take adapters.
    pub(crate) fn workers_of(&self, model: Option<&str>) -> Vec<(String, Deployment)> {
        self.with(|catalog| {
            let deployments = catalog.into_iter().flat_map(|catalog| &catalog.by_id);
            deployments
                .filter(|(_, deployment)| deployment.can(Task::Generate))
                .filter(|(_, deployment)| model.is_none_or(|model| deployment.model == model))
                .map(|(id, deployment)| (id.clone(), deployment.clone()))
                .collect()
        })
    }

    /// Returns when the fact at this sequence has been taken in. Cancel-safe.
    pub(crate) async fn heard(&self, sequence: u64) {
        let mut heard = self.heard.subscribe();
        // The sender lives as long as this does.
        drop(heard.wait_for(|heard| *heard >= sequence).await);
    }

    /// Tells of every change.
    pub(crate) fn news(&self) -> watch::Receiver<u64> {
        self.heard.subscribe()
    }

    fn with<T>(&self, look: impl FnOnce(Option<&Catalog>) -> T) -> T {
        look(self.catalog.read().unwrap_or_else(PoisonError::into_inner).as_ref())
    }

    fn apply(&self, record: &Record) {
        match schemas::decode_control(&record.payload) {
            Ok(envelope) => {
                let mut catalog = self.catalog.write().unwrap_or_else(PoisonError::into_inner);
                catalog.get_or_insert_default().apply(envelope);
            }
            Err(error) => warn!(sequence = record.sequence, %error, "a control fact cannot be read"),
        }
        self.heard.send_if_modified(|heard| {
            let is_newer = record.sequence > *heard;
            *heard = record.sequence.max(*heard);
            is_newer
        });
    }

    /// Follows the CONTROL stream until `shutdown`; a broken reading begins again where it broke.
    pub(crate) async fn follow(&self, log: Arc<dyn EventLog>, shutdown: CancellationToken) {
        let mut next_sequence = None;
        let mut was_failing = false;
        loop {
            let followed = tokio::select! {
                () = shutdown.cancelled() => return,
                followed = self.follow_once(log.as_ref(), &mut next_sequence) => followed,
            };
            if let Err(error) = followed
                && !std::mem::replace(&mut was_failing, true)
            {
                warn!(%error, "the deployments cannot be followed, trying again");
            }
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(PAUSE_AFTER_FAILURE) => {}
            }
        }
    }

    async fn follow_once(&self, log: &dyn EventLog, next_sequence: &mut Option<u64>) -> Result<(), BusError> {
        let next = match *next_sequence {
            Some(next) => next,
            None => self.read_what_stands(log).await?,
        };
        *next_sequence = Some(next);
        let patterns = vec![subjects::all_deployments()];
        let mut records = log.read(StreamName::Control, patterns, ReadFrom::Sequence(next), true).await?;
        while let Some(record) = records.next().await {
            let record = record?;
            self.apply(&record);
            *next_sequence = Some(record.sequence + 1);
        }
        Ok(())
    }

    /// Takes in what stands, so that a model unknown afterwards is really unknown; returns where to go on.
    async fn read_what_stands(&self, log: &dyn EventLog) -> Result<u64, BusError> {
        let patterns = vec![subjects::all_deployments()];
        let mut records = log.read(StreamName::Control, patterns, ReadFrom::LastPerSubject, false).await?;
        let mut last_sequence = 0;
        while let Some(record) = records.next().await {
            let record = record?;
            self.apply(&record);
            last_sequence = last_sequence.max(record.sequence);
        }
        self.catalog.write().unwrap_or_else(PoisonError::into_inner).get_or_insert_default();
        info!(num_models = self.all().len(), "the models are known");
        Ok(last_sequence + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use schemas::v1::{Adapter, DeploymentWithdrawn};

    fn announced(id: &str, model: &str, max_model_len_tokens: u32) -> Fact {
        Fact::DeploymentAnnounced(DeploymentAnnounced {
            deployment: id.into(),
            pool: "pool".into(),
            model: model.into(),
            aliases: vec![format!("{model}-latest")],
            max_model_len_tokens,
            ..DeploymentAnnounced::default()
        })
    }

    fn check(facts: Vec<Fact>, model: &str, expected: Option<u32>) {
        let mut catalog = Catalog::default();
        for fact in facts {
            catalog.apply(ControlEnvelope { fact: Some(fact), ..ControlEnvelope::default() });
        }
        assert_eq!(catalog.find(model, None).map(|found| found.max_model_len_tokens), expected, "{model}");
    }

    #[test]
    fn a_model_is_found_for_what_it_can_do() {
        let tasks = |tasks: &[&str]| {
            let tasks = tasks.iter().map(|task| (*task).to_owned()).collect();
            let announced = DeploymentAnnounced { tasks, ..DeploymentAnnounced::default() };
            Deployment::from_fact("pool".parse().unwrap(), announced, 0)
        };
        let can = |deployment: Deployment| {
            [Task::Generate, Task::Embed, Task::Score].map(|task| deployment.can(task))
        };
        assert_eq!(can(tasks(&[])), [true, false, false]);
        assert_eq!(can(tasks(&["embed", "score"])), [false, true, true]);
        assert_eq!(can(tasks(&["generate", "later"])), [true, false, false]);
    }

    #[test]
    fn a_model_is_there_from_its_announcement_to_its_withdrawal() {
        let gone = Fact::DeploymentWithdrawn(DeploymentWithdrawn { deployment: "a".into() });
        check(vec![], "smol", None);
        check(vec![announced("a", "smol", 5)], "smol", Some(5));
        check(vec![announced("a", "smol", 5)], "smol-latest", Some(5));
        check(vec![announced("a", "smol", 5), announced("b", "smol", 9)], "smol", Some(9));
        check(vec![announced("a", "smol", 5), gone], "smol", None);
    }

    #[test]
    fn an_adapter_is_there_as_long_as_its_worker_announces_it() {
        let with_adapter = |name: &str| {
            let Fact::DeploymentAnnounced(plain) = announced("a", "smol", 5) else { unreachable!() };
            let adapters = vec![Adapter { name: name.into(), ..Adapter::default() }];
            Fact::DeploymentAnnounced(DeploymentAnnounced { adapters, ..plain })
        };
        check(vec![with_adapter("sql")], "sql", Some(5));
        check(vec![with_adapter("sql"), with_adapter("poems")], "sql", None);
        check(vec![with_adapter("sql"), announced("a", "smol", 5)], "sql", None);
    }
}
