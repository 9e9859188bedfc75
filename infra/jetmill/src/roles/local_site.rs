//! Everything that answers requests, in this process and without a listener.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use api::{Api, LocalCaller};
use schemas::WorkerId;
use tempfile::TempDir;
use tokio::sync::Mutex;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use super::projection::projector_role;
use super::{
    api_settings, connect_database, engine_config, guardrail_role, join, load_model, router_role, worker_role,
};
use crate::broker::Broker;
use crate::config::Config;
use crate::{configuration, instance};

const READY_PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(20);

/// The api, guardrails, router and worker over a broker. The record stays in the data directory that the configuration names,
/// or goes with this when it names none.
pub(crate) struct LocalSite {
    caller: LocalCaller,
    roles: Mutex<JoinSet<Result<()>>>,
    api: JoinHandle<()>,
    front: CancellationToken,
    inner: CancellationToken,
    last: CancellationToken,
    broker: Broker,
    num_slots: usize,
    max_num_requests: usize,
    _dir: Option<TempDir>,
}

impl LocalSite {
    /// Loads the model, starts the roles and waits until they can answer.
    pub(crate) async fn start(config: &Config) -> Result<Self> {
        let mut config = config.clone();
        let dir = if config.data_dir.is_none() && config.nats.url.is_none() {
            let dir = TempDir::with_prefix("jetmill-").context("cannot make a directory for the record")?;
            config.data_dir = Some(dir.path().to_owned());
            Some(dir)
        } else {
            None
        };
        let model = load_model(&config.worker, &config).await?;
        let broker = Broker::open(&config).await?;
        let journal = configuration::record(broker.log(&config).await?, &config).await?;
        let [front, inner, last] = [(); 3].map(|()| CancellationToken::new());
        let mut roles = JoinSet::new();
        let database = connect_database(&config).await?;
        roles.spawn(projector_role(broker.stored_log(), database, last.clone()));
        roles.spawn(guardrail_role(&config, &journal, inner.clone())?);
        roles.spawn(router_role(&config, &journal, inner.clone()));
        roles.spawn(worker_role(&config.worker, &journal, model, WorkerId::slug("local"), inner.clone())?);
        let mut settings = api_settings(&config, &journal);
        // Nobody else can call.
        settings.master_key = None;
        let max_num_requests = settings.limits.max_num_inflight_requests;
        let node = Api::new(settings, Arc::clone(&journal.log), instance::stamps())
            .with_local_frames(journal.local_frames.clone());
        let caller = node.local_caller();
        let api = tokio::spawn(node.run(front.clone()));
        let num_slots = engine_config(&config.worker)?.max_num_seqs;
        let roles = Mutex::new(roles);
        let site =
            Self { caller, roles, api, front, inner, last, broker, num_slots, max_num_requests, _dir: dir };
        let is_ready = async {
            while !site.caller.is_ready().await {
                tokio::time::sleep(POLL).await;
            }
        };
        let started = tokio::select! {
            waited = tokio::time::timeout(READY_PATIENCE, is_ready) => waited.context("the model was not announced in time"),
            error = site.ended_early() => Err(error),
        };
        match started {
            Ok(()) => Ok(site),
            Err(error) => {
                drop(site.close().await);
                Err(error)
            }
        }
    }

    /// The way to the api's routes.
    pub(crate) fn caller(&self) -> &LocalCaller {
        &self.caller
    }

    /// Sequences in one step.
    pub(crate) fn num_slots(&self) -> usize {
        self.num_slots
    }

    /// Requests that the api takes at once.
    pub(crate) fn max_num_requests(&self) -> usize {
        self.max_num_requests
    }

    /// Waits for a role that ends by itself, which is an error.
    pub(crate) async fn ended_early(&self) -> anyhow::Error {
        let mut roles = self.roles.lock().await;
        match poll_fn(|context| roles.poll_join_next(context)).await {
            Some(Ok(Err(error))) => error,
            Some(Err(error)) => anyhow::Error::new(error).context("a role broke"),
            Some(Ok(Ok(()))) | None => anyhow!("a role ended by itself"),
        }
    }

    /// Ends what is under way, and returns when the record is durable.
    pub(crate) async fn close(self) -> Result<()> {
        self.front.cancel();
        let served = self.api.await.context("the api broke");
        self.inner.cancel();
        let mut roles = self.roles.into_inner();
        let finished = join(&mut roles, 1).await;
        self.last.cancel();
        let folded = join(&mut roles, 0).await;
        self.broker.close().await?;
        served.and(finished).and(folded)
    }
}
