//! The roles: each alone, and all of them as `serve`.
//!
//! A role is a future that ends when its token is cancelled. `serve` runs the same futures over one broker connection.

mod jobs;
mod local_site;
mod metrics;
mod projection;
mod worker;

pub(crate) use local_site::LocalSite;
pub(crate) use worker::{engine_config, load_model, num_threads, worker_role};

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use api::{Api, ApiConfig, MasterKey, Prices};
use guardrails::{Policy, PolicySpec};
use read_model::Database;
use schedulers::routing::{self, RoutingPolicy};
use schemas::{IngressId, WorkerId};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use crate::broker::{Broker, data_dir};
use crate::config::{Config, ModelConfig, WorkerConfig};
use crate::instance::Journal;
use crate::{configuration, instance, proof, shutdown};

/// A role that runs.
pub(crate) type Role = Pin<Box<dyn Future<Output = Result<()>> + Send>>;

/// All roles in one process. Everything that can be wrong from outside is found before the first request is taken.
pub(crate) async fn serve(config: &Config) -> Result<()> {
    let signal = shutdown::on_signal()?;
    let listener = listen(config).await?;
    let workers: Vec<&WorkerConfig> = std::iter::once(&config.worker).chain(&config.workers).collect();
    let load_models = async {
        let mut models = Vec::with_capacity(workers.len());
        for worker in &workers {
            models.push(load_model(worker, config).await?);
        }
        Ok(models)
    };
    let open_log = async {
        let broker = Broker::open(config).await?;
        broker.keep_until_archived(config).await?;
        let journal = configuration::record(broker.log(config).await?, config).await?;
        Ok((broker, journal))
    };
    // If one of them fails, the others are dropped; a broker's process ends with that.
    let ((broker, journal), database, models) =
        tokio::try_join!(open_log, connect_database(config), load_models)?;

    let (inner, last) = (CancellationToken::new(), CancellationToken::new());
    let mut roles = JoinSet::new();
    let stored = broker.stored_log();
    let checkpointer = proof::checkpointer(config, &stored)?;
    let archivist = proof::archivist(config, broker.log_alone())?;
    let archive_metrics = archivist.as_ref().map(|archivist| metrics::of_archive(archivist.status()));
    let of_the_record = (checkpointer, archivist);
    roles.spawn(projection::record_role(stored, database, of_the_record, last.clone()));
    roles.spawn(guardrail_role(config, &journal, inner.clone())?);
    roles.spawn(router_role(config, &journal, inner.clone()));
    roles.spawn(jobs::jobs_role(config, &journal, inner.clone()));
    let mut settings = api_settings(config, &journal);
    settings.extra_metrics.push(metrics::of(models.iter().map(metrics::Engine::of).collect()));
    settings.extra_metrics.extend(archive_metrics);
    for (number, (worker, model)) in workers.into_iter().zip(models).enumerate() {
        let name = if number == 0 { "local".to_owned() } else { format!("local-{}", number + 1) };
        roles.spawn(worker_role(worker, &journal, model, WorkerId::slug(&name), inner.clone())?);
    }
    let front = CancellationToken::new();
    let api = tokio::spawn(api_role(settings, &journal, listener, front.clone()));

    // The api goes first: what it holds is finished while the other roles still work. The projector goes last.
    let ended_early = run_until(signal, &mut roles).await;
    front.cancel();
    let answered = api.await.context("the api broke")?;
    inner.cancel();
    let finished = join(&mut roles, 1).await;
    last.cancel();
    let folded = join(&mut roles, 0).await;
    broker.close().await?;
    ended_early.and(answered).and(finished).and(folded)
}

/// The api alone.
pub(crate) async fn api(config: &Config) -> Result<()> {
    let listener = listen(config).await?;
    alone(config, |journal, token| {
        // Other nodes may be there for its clients.
        let settings = ApiConfig { cancels_at_shutdown: false, ..api_settings(config, journal) };
        Ok(Box::pin(api_role(settings, journal, listener, token)))
    })
    .await
}

/// The guardrails alone.
pub(crate) async fn guardrail(config: &Config) -> Result<()> {
    alone(config, |journal, token| Ok(Box::pin(guardrail_role(config, journal, token)?))).await
}

/// The router alone.
pub(crate) async fn router(config: &Config) -> Result<()> {
    alone(config, |journal, token| Ok(Box::pin(router_role(config, journal, token)))).await
}

/// The jobs alone.
pub(crate) async fn jobs(config: &Config) -> Result<()> {
    alone(config, |journal, token| Ok(Box::pin(jobs::jobs_role(config, journal, token)))).await
}

/// The projector, the checkpointer and the archivist alone.
pub(crate) async fn projector(config: &Config) -> Result<()> {
    let database = connect_database(config).await?;
    let signal = shutdown::on_signal()?;
    Broker::use_existing(config, async |broker| {
        let log = broker.stored_log();
        let of_the_record =
            (proof::checkpointer(config, &log)?, proof::archivist(config, broker.log_alone())?);
        broker.keep_until_archived(config).await?;
        projection::record_role(log, database, of_the_record, signal).await
    })
    .await
}

/// One worker alone.
pub(crate) async fn worker(config: &Config) -> Result<()> {
    let model = load_model(&config.worker, config).await?;
    let name = instance::name();
    alone(config, |journal, token| worker_role(&config.worker, journal, model, name, token)).await
}

async fn alone(
    config: &Config,
    role: impl FnOnce(&Journal, CancellationToken) -> Result<Role>,
) -> Result<()> {
    let signal = shutdown::on_signal()?;
    Broker::use_existing(config, async |broker| {
        let journal = configuration::record(broker.log(config).await?, config).await?;
        role(&journal, signal)?.await
    })
    .await
}

/// Waits for the signal or for a role that ends by itself, which is an error.
async fn run_until(signal: CancellationToken, roles: &mut JoinSet<Result<()>>) -> Result<()> {
    tokio::select! {
        () = signal.cancelled() => Ok(()),
        Some(ended) = roles.join_next() => {
            let ended = ended.context("a role broke")?.and_then(|()| Err(anyhow!("a role ended by itself")));
            if let Err(error) = &ended {
                error!(error = format!("{error:#}"), "stopping");
            }
            ended
        }
    }
}

/// Waits until only `num_left` roles are there; the first error counts, and the others are waited for all the same.
async fn join(roles: &mut JoinSet<Result<()>>, num_left: usize) -> Result<()> {
    let mut outcome = Ok(());
    while roles.len() > num_left
        && let Some(ended) = roles.join_next().await
    {
        outcome = outcome.and(ended.context("a role broke").flatten());
    }
    outcome
}

async fn listen(config: &Config) -> Result<TcpListener> {
    let address = config.api.listen;
    TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address}; choose another with --listen"))
}

fn api_role(
    settings: ApiConfig,
    journal: &Journal,
    listener: TcpListener,
    shutdown: CancellationToken,
) -> impl Future<Output = Result<()>> + Send + use<> {
    let api = Api::new(settings, Arc::clone(&journal.log), instance::stamps())
        .with_local_frames(journal.local_frames.clone());
    let address = listener.local_addr();
    async move {
        info!(address = %address?, "the api listens");
        api.serve(listener, shutdown).await;
        Ok(())
    }
}

fn api_settings(config: &Config, journal: &Journal) -> ApiConfig {
    let name = instance::name();
    let mut settings = ApiConfig::new(IngressId::slug(name.as_str()));
    settings.master_key = config.api.master_key.as_ref().map(|key| MasterKey::new(key.reveal()));
    settings.auditor_key = config.api.auditor_key.as_ref().map(|key| MasterKey::new(key.reveal()));
    settings.limits.max_body_bytes = config.api.max_body_bytes.get();
    settings.limits.max_file_bytes = config.api.max_file_bytes.get();
    settings.limits.max_num_inflight_requests = config.api.max_num_inflight_requests.get();
    settings.limits.max_num_waiting_requests = config.api.max_num_waiting_requests.get();
    settings.timeouts.request = std::time::Duration::from_secs(config.api.request_timeout_seconds.get());
    settings.timeouts.grace = Duration::from_secs(config.api.grace_period_seconds);
    settings.timeouts.shutdown = shutdown::GRACE;
    settings.configuration.clone_from(&journal.configuration);
    settings.prices = prices(config);
    settings.webhooks.secret = config.api.webhook_secret.as_ref().map(|secret| secret.reveal().to_owned());
    settings.webhooks.allowed_hosts.clone_from(&config.api.webhook_allowed_hosts);
    settings
}

/// The configured prices.
pub(crate) fn prices(config: &Config) -> Prices {
    let price =
        |(name, model): (&String, &ModelConfig)| Some((name.clone(), model.price.as_ref()?.to_fact()));
    config.models.iter().filter_map(price).collect()
}

/// The configured checks.
pub(crate) fn policy(config: &Config) -> Result<Policy> {
    Ok(Policy::new(&PolicySpec {
        version: config.guardrails.policy_version,
        max_prompt_bytes: config.guardrails.max_prompt_bytes.get(),
        blocked_terms: config.guardrails.blocked_terms.clone(),
    })?)
}

fn guardrail_role(
    config: &Config,
    journal: &Journal,
    shutdown: CancellationToken,
) -> Result<impl Future<Output = Result<()>> + Send + use<>> {
    let policy = policy(config)?;
    let facts = journal.fact_writer("guardrail", &instance::name());
    Ok(async move { Ok(guardrails::serve(facts, policy, shutdown).await?) })
}

/// The configured patience of the router.
pub(crate) fn routing_policy(config: &Config) -> RoutingPolicy {
    RoutingPolicy { max_num_attempts: config.router.max_num_attempts.get(), ..RoutingPolicy::default() }
}

fn router_role(
    config: &Config,
    journal: &Journal,
    shutdown: CancellationToken,
) -> impl Future<Output = Result<()>> + Send + use<> {
    let policy = routing_policy(config);
    let facts = journal.fact_writer("router", &instance::name());
    async move { Ok(routing::serve(facts, policy, shutdown).await?) }
}

/// Connects to the configured database, or to the SQLite file of the data directory.
pub(crate) async fn connect_database(config: &Config) -> Result<Database> {
    let url = match &config.database.url {
        Some(url) => url.clone(),
        None => {
            let dir = data_dir(config);
            std::fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
            format!("sqlite://{}?mode=rwc", dir.join("jetmill.db").display())
        }
    };
    Ok(Database::connect(&url).await?)
}
