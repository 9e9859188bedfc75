//! The worker's role: from its table of the configuration to a model that answers.

use std::num::NonZeroUsize;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use engine_workers::cpu_runner::options::{CpuRunnerOptions, KvCapacity};
use engine_workers::engine::config::EngineConfig;
use engine_workers::loaded_model::{FormatOptions, LoadedModel, ModelLoadOptions};
use engine_workers::lora::registry::{AdapterOptions, AdapterRegistry};
use engine_workers::pooling::worker::PoolingWorker;
use engine_workers::served_model::ServedModel;
use engine_workers::speculation::config::{SpeculativeConfig, SpeculativeMethod};
use engine_workers::worker::{SleepOptions, Worker, WorkerOptions};
use schedulers::batching;
use schemas::{PoolName, WorkerId};
use tokio_util::sync::CancellationToken;

use super::Role;
use crate::broker::data_dir;
use crate::config::{
    Config, LoraModule, SchedulingPolicyName, SpeculativeMethodName, SpeculativeSection, WorkerConfig,
};
use crate::instance::Journal;
use crate::shutdown;

pub(crate) fn worker_role(
    config: &WorkerConfig,
    journal: &Journal,
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
    let facts = journal.fact_writer("worker", &id);
    Ok(match model {
        ServedModel::Generator(model) => {
            let adapters = load_adapters(config, &model)?;
            let model = *model;
            let mut worker = Worker::new(facts, model.engine, model.text, model.card, options)
                .with_adapters(adapters)
                .with_local_frames(journal.local_frames.clone());
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

pub(crate) fn engine_config(config: &WorkerConfig) -> Result<EngineConfig> {
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
            Some(millis) => Some(Duration::from_millis(millis)),
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
