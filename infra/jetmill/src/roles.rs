//! The roles: each alone, and all of them as `serve`.
//!
//! A role is a future that ends when its token is cancelled. `serve` runs the same futures over one broker connection.

mod jobs;
mod local_site;
mod metrics;
mod projection;

pub(crate) use local_site::LocalSite;

use std::future::Future;
use std::num::NonZeroUsize;
use std::pin::Pin;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use api::{Api, ApiConfig, MasterKey};
use bus::EventLog;
use engine_workers::cpu_runner::options::{CpuRunnerOptions, KvCapacity};
use engine_workers::engine::config::EngineConfig;
use engine_workers::loaded_model::{FormatOptions, LoadedModel, ModelLoadOptions};
use engine_workers::lora::registry::{AdapterOptions, AdapterRegistry};
use engine_workers::pooling::worker::PoolingWorker;
use engine_workers::served_model::ServedModel;
use engine_workers::speculation::config::{SpeculativeConfig, SpeculativeMethod};
use engine_workers::worker::{SleepOptions, Worker, WorkerOptions};
use guardrails::{Policy, PolicySpec};
use read_model::Database;
use schedulers::batching;
use schedulers::routing::{self, RoutingPolicy};
use schemas::{IngressId, PoolName, WorkerId};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use crate::broker::{Broker, data_dir};
use crate::config::{
    Config, LoraModule, SchedulingPolicyName, SpeculativeMethodName, SpeculativeSection, WorkerConfig,
};
use crate::{instance, proof, shutdown};

/// A role that runs.
pub(crate) type Role = Pin<Box<dyn Future<Output = Result<()>> + Send>>;

/// All roles in one process. Everything that can be wrong from outside is found before the first request is taken.
pub(crate) async fn serve(config: &Config) -> Result<()> {
    let signal = shutdown::on_signal()?;
    let listener = listen(config).await?;
    let database = connect_database(config).await?;
    let workers: Vec<&WorkerConfig> = std::iter::once(&config.worker).chain(&config.workers).collect();
    let load_models = async {
        let mut models = Vec::with_capacity(workers.len());
        for worker in &workers {
            models.push(load_model(worker, config).await?);
        }
        Ok(models)
    };
    // If one of the two fails, the other is dropped; a broker's process ends with that.
    let (broker, models) = tokio::try_join!(Broker::open(config), load_models)?;
    let log = broker.log();

    let (inner, last) = (CancellationToken::new(), CancellationToken::new());
    let mut roles = JoinSet::new();
    let checkpointer = proof::checkpointer(config, &log)?;
    roles.spawn(projection::record_role(Arc::clone(&log), database, checkpointer, last.clone()));
    roles.spawn(guardrail_role(config, &log, inner.clone())?);
    roles.spawn(router_role(config, &log, inner.clone()));
    roles.spawn(jobs::jobs_role(config, &log, inner.clone()));
    let mut settings = api_settings(config);
    settings.extra_metrics.push(metrics::of(models.iter().map(metrics::Engine::of).collect()));
    for (number, (worker, model)) in workers.into_iter().zip(models).enumerate() {
        let name = if number == 0 { "local".to_owned() } else { format!("local-{}", number + 1) };
        roles.spawn(worker_role(worker, &log, model, WorkerId::slug(&name), inner.clone())?);
    }
    let front = CancellationToken::new();
    let api = tokio::spawn(api_role(settings, &log, listener, front.clone()));

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
    // Other nodes may be there for its clients.
    let settings = ApiConfig { cancels_at_shutdown: false, ..api_settings(config) };
    alone(config, |log, token| Ok(Box::pin(api_role(settings, log, listener, token)))).await
}

/// The guardrails alone.
pub(crate) async fn guardrail(config: &Config) -> Result<()> {
    alone(config, |log, token| Ok(Box::pin(guardrail_role(config, log, token)?))).await
}

/// The router alone.
pub(crate) async fn router(config: &Config) -> Result<()> {
    alone(config, |log, token| Ok(Box::pin(router_role(config, log, token)))).await
}

/// The jobs alone.
pub(crate) async fn jobs(config: &Config) -> Result<()> {
    alone(config, |log, token| Ok(Box::pin(jobs::jobs_role(config, log, token)))).await
}

/// The projector and the checkpointer alone.
pub(crate) async fn projector(config: &Config) -> Result<()> {
    let database = connect_database(config).await?;
    alone(config, |log, token| {
        let checkpointer = proof::checkpointer(config, log)?;
        Ok(Box::pin(projection::record_role(Arc::clone(log), database, checkpointer, token)))
    })
    .await
}

/// One worker alone.
pub(crate) async fn worker(config: &Config) -> Result<()> {
    let model = load_model(&config.worker, config).await?;
    let name = instance::name();
    alone(config, |log, token| worker_role(&config.worker, log, model, name, token)).await
}

async fn alone(
    config: &Config,
    role: impl FnOnce(&Arc<dyn EventLog>, CancellationToken) -> Result<Role>,
) -> Result<()> {
    let signal = shutdown::on_signal()?;
    let broker = Broker::open_existing(config).await?;
    let finished = role(&broker.log(), signal)?.await;
    broker.close().await?;
    finished
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
    log: &Arc<dyn EventLog>,
    listener: TcpListener,
    shutdown: CancellationToken,
) -> impl Future<Output = Result<()>> + Send + use<> {
    let api = Api::new(settings, Arc::clone(log), instance::stamps());
    let address = listener.local_addr();
    async move {
        info!(address = %address?, "the api listens");
        api.serve(listener, shutdown).await;
        Ok(())
    }
}

fn api_settings(config: &Config) -> ApiConfig {
    let name = instance::name();
    let mut settings = ApiConfig::new(IngressId::slug(name.as_str()));
    settings.master_key = config.api.master_key.as_ref().map(|key| MasterKey::new(key.reveal()));
    settings.auditor_key = config.api.auditor_key.as_ref().map(|key| MasterKey::new(key.reveal()));
    settings.limits.max_body_bytes = config.api.max_body_bytes.get();
    settings.limits.max_file_bytes = config.api.max_file_bytes.get();
    settings.limits.max_num_inflight_requests = config.api.max_num_inflight_requests.get();
    settings.timeouts.request = std::time::Duration::from_secs(config.api.request_timeout_seconds.get());
    settings.timeouts.grace = Duration::from_secs(config.api.grace_period_seconds);
    settings.timeouts.shutdown = shutdown::GRACE;
    settings.webhooks.secret = config.api.webhook_secret.as_ref().map(|secret| secret.reveal().to_owned());
    settings.webhooks.allowed_hosts.clone_from(&config.api.webhook_allowed_hosts);
    settings
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
    log: &Arc<dyn EventLog>,
    shutdown: CancellationToken,
) -> Result<impl Future<Output = Result<()>> + Send + use<>> {
    let policy = policy(config)?;
    let facts = instance::fact_writer(log, "guardrail", &instance::name());
    Ok(async move { Ok(guardrails::serve(facts, policy, shutdown).await?) })
}

fn router_role(
    config: &Config,
    log: &Arc<dyn EventLog>,
    shutdown: CancellationToken,
) -> impl Future<Output = Result<()>> + Send + use<> {
    let policy =
        RoutingPolicy { max_num_attempts: config.router.max_num_attempts.get(), ..RoutingPolicy::default() };
    let facts = instance::fact_writer(log, "router", &instance::name());
    async move { Ok(routing::serve(facts, policy, shutdown).await?) }
}

pub(crate) fn worker_role(
    config: &WorkerConfig,
    log: &Arc<dyn EventLog>,
    model: ServedModel,
    default_id: WorkerId,
    shutdown: CancellationToken,
) -> Result<Role> {
    let id = match &config.id {
        Some(id) => id.parse().context("worker.id")?,
        None => default_id,
    };
    let options = WorkerOptions {
        pool: PoolName::slug(&model.card().name),
        id: id.clone(),
        num_slots: engine_config(config)?.max_num_seqs,
        grace: shutdown::GRACE,
    };
    let facts = instance::fact_writer(log, "worker", &id);
    Ok(match model {
        ServedModel::Generator(model) => {
            let adapters = load_adapters(config, &model)?;
            let model = *model;
            let mut worker =
                Worker::new(facts, model.engine, model.text, model.card, options).with_adapters(adapters);
            let after_idle =
                config.sleep_after_idle_seconds.map(|seconds| Duration::from_secs(seconds.get()));
            if config.enable_sleep || after_idle.is_some() {
                let source = model.source;
                worker = worker.with_sleep(SleepOptions { source, obeys: config.enable_sleep, after_idle });
            }
            Box::pin(async move { Ok(worker.run(model.outputs, shutdown).await?) })
        }
        ServedModel::Encoder(encoder) => {
            refuse_for_encoders(config)?;
            let worker = PoolingWorker::new(facts, *encoder, options);
            Box::pin(async move { Ok(worker.run(shutdown).await?) })
        }
    })
}

/// What an encoder cannot do is not left out silently.
fn refuse_for_encoders(config: &WorkerConfig) -> Result<()> {
    let wanted = [
        ("lora_modules", !config.lora_modules.is_empty()),
        ("lora_dir", config.lora_dir.is_some()),
        ("enable_sleep", config.enable_sleep),
        ("sleep_after_idle_seconds", config.sleep_after_idle_seconds.is_some()),
    ];
    match wanted.into_iter().find(|(_, is_wanted)| *is_wanted) {
        Some((key, _)) => {
            bail!("worker.{key} is for models that generate text, this one gives vectors or scores")
        }
        None => Ok(()),
    }
}

/// The adapters of the configuration, over the model.
fn load_adapters(config: &WorkerConfig, model: &LoadedModel) -> Result<AdapterRegistry> {
    let defaults = AdapterOptions::default();
    let options = AdapterOptions {
        dir: config.lora_dir.clone(),
        max_num_adapters: config.max_loras.map_or(defaults.max_num_adapters, Into::into),
        max_rank: config.max_lora_rank.map_or(defaults.max_rank, Into::into),
    };
    let base_names = std::iter::once(&model.card.name).chain(&model.card.aliases).cloned().collect();
    let adapters = AdapterRegistry::new(model.config.clone(), base_names, options);
    for LoraModule { name, path } in &config.lora_modules {
        let load = || adapters.load(name, path, false);
        tokio::task::block_in_place(load).with_context(|| format!("the lora adapter '{name}'"))?;
    }
    Ok(adapters)
}

/// Loads the configured model and starts the engine over it.
pub(crate) async fn load_model(config: &WorkerConfig, whole: &Config) -> Result<ServedModel> {
    let path = config
        .model
        .clone()
        .context("no model: name a GGUF file or a Hugging Face directory with --model, or with model in each of [[workers]]")?;
    let defaults = CpuRunnerOptions::default();
    let runner = CpuRunnerOptions {
        num_threads: num_threads(config),
        kv_capacity: config
            .kv_cache_mib
            .map_or(defaults.kv_capacity, |mib| KvCapacity::Bytes(mib.get() << 20)),
        max_num_batched_tokens: config
            .max_num_batched_tokens
            .map_or(defaults.max_num_batched_tokens, Into::into),
        max_model_len_tokens: config.max_model_len_tokens.map(Into::into),
        ..defaults
    };
    let options = ModelLoadOptions {
        path,
        name: config.model_name.clone(),
        aliases: config.aliases.clone(),
        formats: FormatOptions {
            tool_calls: parser(config.tool_call_parser.as_deref())?,
            reasoning: parser(config.reasoning_parser.as_deref())?,
        },
        runner,
        engine: engine_config(config)?,
        digest_cache_dir: Some(data_dir(whole).join("digests")),
    };
    Ok(tokio::task::spawn_blocking(|| ServedModel::load(options)).await??)
}

/// A parser by the name that vLLM knows it by.
fn parser<T: FromStr<Err: std::error::Error + Send + Sync + 'static>>(
    name: Option<&str>,
) -> Result<Option<T>> {
    Ok(name.map(str::parse).transpose()?)
}

/// Compute threads of a worker.
pub(crate) fn num_threads(config: &WorkerConfig) -> usize {
    config.num_threads.map_or_else(|| CpuRunnerOptions::default().num_threads, Into::into)
}

fn engine_config(config: &WorkerConfig) -> Result<EngineConfig> {
    let defaults = EngineConfig::default();
    Ok(EngineConfig {
        max_num_seqs: config.max_num_seqs.map_or(defaults.max_num_seqs, Into::into),
        policy: match config.scheduling {
            SchedulingPolicyName::Fcfs => batching::config::Policy::Fcfs,
            SchedulingPolicyName::Priority => batching::config::Policy::Priority,
        },
        target_step_time: match config.target_step_time_ms {
            None => defaults.target_step_time,
            Some(0) => None,
            Some(millis) => Some(std::time::Duration::from_millis(millis)),
        },
        enable_prefix_caching: config.enable_prefix_caching.unwrap_or(defaults.enable_prefix_caching),
        speculative: speculative_config(&config.speculative)?,
        ..defaults
    })
}

fn speculative_config(section: &SpeculativeSection) -> Result<Option<SpeculativeConfig>> {
    let method = match (section.method, &section.draft_model) {
        (Some(SpeculativeMethodName::None), _) => return Ok(None),
        (Some(SpeculativeMethodName::Ngram) | None, None) => SpeculativeMethod::Ngram,
        (Some(SpeculativeMethodName::Draft) | None, Some(model)) => {
            SpeculativeMethod::Draft { model: model.clone() }
        }
        (Some(SpeculativeMethodName::Draft), None) => {
            bail!("speculative.method is draft: name a smaller model with --draft-model")
        }
        (Some(SpeculativeMethodName::Ngram), Some(_)) => {
            bail!("speculative.method is ngram, and a draft model is named: leave one of them out")
        }
    };
    let defaults = SpeculativeConfig::default();
    let or = |value: Option<NonZeroUsize>, default| value.map_or(default, NonZeroUsize::get);
    let config = SpeculativeConfig {
        method,
        num_speculative_tokens: or(section.num_speculative_tokens, defaults.num_speculative_tokens),
        prompt_lookup_min: or(section.prompt_lookup_min, defaults.prompt_lookup_min),
        prompt_lookup_max: or(section.prompt_lookup_max, defaults.prompt_lookup_max),
        disable_by_batch_size: or(section.disable_by_batch_size, defaults.disable_by_batch_size),
    };
    config.check().context("worker.speculative")?;
    Ok(Some(config))
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
