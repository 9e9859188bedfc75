//! The command line. Each flag has an environment variable, and both overrule the file.

use std::net::SocketAddr;
use std::num::{NonZeroU64, NonZeroUsize};
use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, Parser, Subcommand};
use schemas::InferenceId;

use crate::batch::BatchCommand;
use crate::config::{Config, LogFormat, LoraModule, Secret, SpeculativeMethodName, WorkerConfig};
use crate::model_bench::ModelBench;
use crate::proof::AuditCommand;
use crate::replay::Replay;
use crate::run_batch::RunBatch;

/// Serves language models on an event log.
#[derive(Debug, Parser)]
#[command(name = "jetmill", version, about)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) settings: Settings,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// All roles in one process, with an embedded broker unless --nats names one.
    Serve,
    /// The HTTP api alone.
    Api,
    /// The guardrails alone.
    Guardrail,
    /// The router alone.
    Router,
    /// One engine worker alone.
    Worker,
    /// The projector, the checkpointer and the archivist alone.
    Projector,
    /// The jobs alone: runs batches.
    Jobs,
    /// Batches on a running server: submit, watch, fetch, cancel.
    Batch(BatchCommand),
    /// Prints the facts of one inference, in order, with the time between them.
    Events {
        /// The id from the answer's x-jetmill-inference-id header.
        id: InferenceId,
        /// One JSON object per line, whole facts with prompt and answer.
        #[arg(long)]
        json: bool,
        /// Prompt, answer and tokens too.
        #[arg(long)]
        content: bool,
    },
    /// Lists inferences, newest first.
    Inferences {
        /// Only this state: requested, admitted, assigned, started, completed, rejected, failed or cancelled.
        #[arg(long)]
        status: Option<String>,
        /// Only this model.
        #[arg(long)]
        model: Option<String>,
        /// How many at most.
        #[arg(long, default_value_t = 20)]
        limit: u64,
        /// One JSON object per line.
        #[arg(long)]
        json: bool,
    },
    /// The proof of the record: its key, archives of it, and their verification.
    Audit {
        #[command(subcommand)]
        command: AuditCommand,
    },
    /// Runs logged requests again, as they were or through a changed setup, and says what is different; the record is only
    /// read.
    Replay(Replay),
    /// Drops the tables and folds them again from the log.
    Rebuild,
    /// Answers a file of requests, one JSON object a line, without a server; without --data it leaves no record.
    RunBatch(RunBatch),
    /// Measures a model on this machine: prefill, and decode at several batch sizes, without the platform.
    Bench(ModelBench),
}

/// Settings that every command understands.
#[derive(Debug, Args)]
pub(crate) struct Settings {
    /// A TOML file.
    #[arg(long, global = true, env = "JETMILL_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// Where the embedded broker and SQLite keep their files [default: ./jetmill-data].
    #[arg(long, global = true, env = "JETMILL_DATA")]
    data: Option<PathBuf>,
    /// Address of a broker, instead of the embedded one.
    #[arg(long, global = true, env = "JETMILL_NATS", hide_env_values = true)]
    nats: Option<String>,
    /// The nats-server program for the embedded broker [default: nats-server on the PATH].
    #[arg(long, global = true, env = "JETMILL_NATS_SERVER")]
    nats_server: Option<PathBuf>,
    /// sqlite://… or postgres://… [default: SQLite in the data directory].
    #[arg(long, global = true, env = "JETMILL_DATABASE", hide_env_values = true)]
    database: Option<String>,
    /// Where the api listens [default: 127.0.0.1:8080].
    #[arg(long, global = true, env = "JETMILL_LISTEN")]
    listen: Option<SocketAddr>,
    /// Where older history goes, and where every command reads it.
    #[arg(long, global = true, env = "JETMILL_ARCHIVE")]
    archive: Option<PathBuf>,
    /// Bearer key that every call must carry.
    #[arg(long, global = true, env = "JETMILL_MASTER_KEY", hide_env_values = true)]
    master_key: Option<String>,
    /// Bearer key that opens the audit routes, which stay closed without it.
    #[arg(long, global = true, env = "JETMILL_AUDITOR_KEY", hide_env_values = true)]
    auditor_key: Option<String>,
    /// A GGUF file or a Hugging Face directory; repeated: further models that `serve` runs beside the first.
    #[arg(long, global = true, env = "JETMILL_MODEL")]
    model: Vec<PathBuf>,
    /// The name under which clients ask for the model [default: its file name].
    #[arg(long, global = true, env = "JETMILL_MODEL_NAME")]
    model_name: Option<String>,
    /// How the model writes calls of tools: hermes, llama3_json, mistral or json [default: as its chat template shows].
    #[arg(long, global = true, env = "JETMILL_TOOL_CALL_PARSER")]
    tool_call_parser: Option<String>,
    /// How the model marks its thinking: qwen3, deepseek_r1 or mistral [default: as its chat template shows].
    #[arg(long, global = true, env = "JETMILL_REASONING_PARSER")]
    reasoning_parser: Option<String>,
    /// Stable name of this worker.
    #[arg(long, global = true, env = "JETMILL_WORKER_ID")]
    worker_id: Option<String>,
    /// Compute threads [default: one per core].
    #[arg(long, global = true, env = "JETMILL_NUM_THREADS")]
    num_threads: Option<NonZeroUsize>,
    /// Sequences in one step.
    #[arg(long, global = true, env = "JETMILL_MAX_NUM_SEQS")]
    max_num_seqs: Option<NonZeroUsize>,
    /// Tokens in one step.
    #[arg(long, global = true, env = "JETMILL_MAX_NUM_BATCHED_TOKENS")]
    max_num_batched_tokens: Option<NonZeroUsize>,
    /// Longest prompt and answer together, in tokens.
    #[arg(long, global = true, env = "JETMILL_MAX_MODEL_LEN")]
    max_model_len: Option<NonZeroUsize>,
    /// Memory for keys and values.
    #[arg(long, global = true, env = "JETMILL_KV_CACHE_MIB")]
    kv_cache_mib: Option<NonZeroUsize>,
    /// A LoRA adapter in PEFT's format, as NAME=PATH; may be given several times.
    #[arg(
        long = "lora",
        global = true,
        env = "JETMILL_LORA",
        value_delimiter = ',',
        value_name = "NAME=PATH"
    )]
    lora_modules: Vec<LoraModule>,
    /// Directory from which clients may load LoRA adapters.
    #[arg(long, global = true, env = "JETMILL_LORA_DIR")]
    lora_dir: Option<PathBuf>,
    /// Lets clients put the worker to sleep and wake it.
    #[arg(long, global = true, env = "JETMILL_ENABLE_SLEEP")]
    enable_sleep: bool,
    /// Seconds without work after which the worker sleeps until the next request.
    #[arg(long, global = true, env = "JETMILL_SLEEP_AFTER_IDLE")]
    sleep_after_idle: Option<NonZeroU64>,
    /// Where drafts of the tokens that follow come from [default: ngram, or draft with --draft-model].
    #[arg(long, global = true, env = "JETMILL_SPECULATIVE_METHOD", value_enum)]
    speculative_method: Option<SpeculativeMethodName>,
    /// A smaller model with the same vocabulary, a GGUF file or a Hugging Face directory.
    #[arg(long, global = true, env = "JETMILL_DRAFT_MODEL")]
    draft_model: Option<PathBuf>,
    /// Most drafts of a sequence in one step.
    #[arg(long, global = true, env = "JETMILL_NUM_SPECULATIVE_TOKENS")]
    num_speculative_tokens: Option<NonZeroUsize>,
    /// Log lines for people or for machines.
    #[arg(long, global = true, env = "JETMILL_LOG_FORMAT", value_enum)]
    log_format: Option<LogFormat>,
    /// Log filter: info, debug, bus=debug …
    #[arg(long, global = true, env = "JETMILL_LOG")]
    log_level: Option<String>,
}

impl Settings {
    /// The file (or the defaults), overlaid by environment and flags.
    pub(crate) fn resolve(self) -> Result<Config> {
        let mut config = match &self.config {
            Some(path) => Config::read(path)?,
            None => Config::default(),
        };
        overlay(&mut config.data_dir, self.data);
        overlay(&mut config.nats.url, self.nats);
        overlay(&mut config.nats.server_binary, self.nats_server);
        overlay(&mut config.database.url, self.database);
        overlay(&mut config.archive.directory, self.archive);
        overlay(&mut config.api.master_key, self.master_key.filter(|key| !key.is_empty()).map(Secret::from));
        overlay(
            &mut config.api.auditor_key,
            self.auditor_key.filter(|key| !key.is_empty()).map(Secret::from),
        );
        let mut models = self.model.into_iter();
        overlay(&mut config.worker.model, models.next());
        overlay(&mut config.worker.model_name, self.model_name);
        overlay(&mut config.worker.tool_call_parser, self.tool_call_parser);
        overlay(&mut config.worker.reasoning_parser, self.reasoning_parser);
        overlay(&mut config.worker.id, self.worker_id);
        overlay(&mut config.worker.num_threads, self.num_threads);
        overlay(&mut config.worker.max_num_seqs, self.max_num_seqs);
        overlay(&mut config.worker.max_num_batched_tokens, self.max_num_batched_tokens);
        overlay(&mut config.worker.max_model_len_tokens, self.max_model_len);
        overlay(&mut config.worker.kv_cache_mib, self.kv_cache_mib);
        if !self.lora_modules.is_empty() {
            config.worker.lora_modules = self.lora_modules;
        }
        overlay(&mut config.worker.lora_dir, self.lora_dir);
        config.worker.enable_sleep |= self.enable_sleep;
        overlay(&mut config.worker.sleep_after_idle_seconds, self.sleep_after_idle);
        let speculative = &mut config.worker.speculative;
        overlay(&mut speculative.method, self.speculative_method);
        overlay(&mut speculative.draft_model, self.draft_model);
        overlay(&mut speculative.num_speculative_tokens, self.num_speculative_tokens);
        let num_threads = config.worker.num_threads;
        config.workers.extend(models.map(|model| WorkerConfig {
            model: Some(model),
            num_threads,
            ..WorkerConfig::default()
        }));
        config.api.listen = self.listen.unwrap_or(config.api.listen);
        config.log.format = self.log_format.unwrap_or(config.log.format);
        config.log.level = self.log_level.unwrap_or(config.log.level);
        Ok(config)
    }
}

fn overlay<T>(value: &mut Option<T>, stronger: Option<T>) {
    if stronger.is_some() {
        *value = stronger;
    }
}
