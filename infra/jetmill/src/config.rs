//! The configuration: one TOML file, overlaid by environment and flags.

mod price;
mod retention;
mod secret;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroU64, NonZeroUsize};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};

pub(crate) use self::price::ModelConfig;
pub(crate) use self::retention::{ArchiveConfig, RetentionConfig};
pub(crate) use self::secret::Secret;

/// Everything that can be set. Unknown keys are errors that name their line.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Config {
    pub(crate) data_dir: Option<PathBuf>,
    pub(crate) log: LogConfig,
    pub(crate) nats: NatsConfig,
    pub(crate) database: DatabaseConfig,
    pub(crate) api: ApiSection,
    pub(crate) guardrails: GuardrailsConfig,
    pub(crate) router: RouterConfig,
    pub(crate) jobs: JobsConfig,
    pub(crate) audit: AuditConfig,
    pub(crate) encryption: EncryptionConfig,
    pub(crate) retention: RetentionConfig,
    pub(crate) archive: ArchiveConfig,
    pub(crate) worker: WorkerConfig,
    /// Further models that `serve` runs beside the first.
    pub(crate) workers: Vec<WorkerConfig>,
    /// What is known of models by the names that clients ask for.
    pub(crate) models: BTreeMap<String, ModelConfig>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    #[default]
    Text,
    Json,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct LogConfig {
    pub(crate) format: LogFormat,
    /// A filter as tracing-subscriber reads it: `info,bus=debug`.
    pub(crate) level: String,
}

/// Libraries speak up when something is wrong.
const DEFAULT_LEVEL: &str = "info,async_nats=warn,sea_orm_migration=warn,sqlx=warn";

impl LogConfig {
    /// Leaves only warnings, unless another level was asked for.
    pub(crate) fn quieten(&mut self) {
        if self.level == DEFAULT_LEVEL {
            self.level = "warn".to_owned();
        }
    }
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { format: LogFormat::Text, level: DEFAULT_LEVEL.to_owned() }
    }
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct NatsConfig {
    /// Absent: an embedded server.
    #[serde(serialize_with = "secret::without_credentials")]
    pub(crate) url: Option<String>,
    /// The nats-server program that the embedded server runs.
    pub(crate) server_binary: Option<PathBuf>,
    /// Copies of each stream.
    pub(crate) num_replicas: Option<NonZeroUsize>,
    /// What the embedded server may take of the disk.
    pub(crate) max_store_bytes: Option<NonZeroU64>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct DatabaseConfig {
    /// `sqlite://…` or `postgres://…`; absent: SQLite below the data directory.
    #[serde(serialize_with = "secret::without_credentials")]
    pub(crate) url: Option<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ApiSection {
    pub(crate) listen: SocketAddr,
    /// Bearer key that every call must carry; absent: no key is asked for.
    pub(crate) master_key: Option<Secret>,
    /// Bearer key that opens the audit routes; absent: they stay closed.
    pub(crate) auditor_key: Option<Secret>,
    pub(crate) max_body_bytes: NonZeroUsize,
    /// Largest file that can be uploaded.
    pub(crate) max_file_bytes: NonZeroU64,
    /// Clients' requests that one node holds.
    pub(crate) max_num_inflight_requests: NonZeroUsize,
    /// Clients' requests that wait for one model, over all nodes.
    pub(crate) max_num_waiting_requests: NonZeroUsize,
    pub(crate) request_timeout_seconds: NonZeroU64,
    /// How long an inference goes on while no client waits for it.
    pub(crate) grace_period_seconds: u64,
    /// Signs webhooks whose requests name no secret.
    pub(crate) webhook_secret: Option<Secret>,
    /// Hosts that webhooks may reach without TLS and at private addresses.
    pub(crate) webhook_allowed_hosts: Vec<String>,
}

impl Default for ApiSection {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            master_key: None,
            auditor_key: None,
            max_body_bytes: NonZeroUsize::MIN.saturating_add((8 << 20) - 1),
            max_file_bytes: NonZeroU64::MIN.saturating_add((512 << 20) - 1),
            max_num_inflight_requests: NonZeroUsize::MIN.saturating_add(1023),
            max_num_waiting_requests: NonZeroUsize::MIN.saturating_add(1023),
            request_timeout_seconds: NonZeroU64::MIN.saturating_add(3599),
            grace_period_seconds: 5,
            webhook_secret: None,
            webhook_allowed_hosts: Vec::new(),
        }
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct GuardrailsConfig {
    pub(crate) policy_version: u64,
    pub(crate) max_prompt_bytes: NonZeroUsize,
    pub(crate) blocked_terms: Vec<String>,
}

impl Default for GuardrailsConfig {
    fn default() -> Self {
        Self {
            policy_version: 1,
            max_prompt_bytes: NonZeroUsize::MIN.saturating_add((16 << 20) - 1),
            blocked_terms: Vec::new(),
        }
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RouterConfig {
    pub(crate) max_num_attempts: NonZeroU32,
}

impl Default for RouterConfig {
    fn default() -> Self {
        Self { max_num_attempts: NonZeroU32::MIN.saturating_add(2) }
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct JobsConfig {
    /// Batches that run at once; those beyond wait.
    pub(crate) max_num_batches: NonZeroUsize,
    /// Requests of one batch that wait for workers or are computed.
    pub(crate) max_num_inflight_requests: NonZeroUsize,
    /// Most lines of a batch.
    pub(crate) max_num_lines: NonZeroU64,
}

impl Default for JobsConfig {
    fn default() -> Self {
        Self {
            max_num_batches: NonZeroUsize::MIN.saturating_add(7),
            max_num_inflight_requests: NonZeroUsize::MIN.saturating_add(511),
            max_num_lines: NonZeroU64::MIN.saturating_add(999_999),
        }
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct AuditConfig {
    /// The key that signs checkpoints, made when it is missing; absent: `audit.key` in the data directory.
    pub(crate) key_file: Option<PathBuf>,
    pub(crate) checkpoint_interval_seconds: NonZeroU64,
    /// Most records between two checkpoints.
    pub(crate) max_num_checkpoint_records: NonZeroU32,
}

impl Default for AuditConfig {
    fn default() -> Self {
        Self {
            key_file: None,
            checkpoint_interval_seconds: NonZeroU64::MIN.saturating_add(9),
            max_num_checkpoint_records: NonZeroU32::MIN.saturating_add(9_999),
        }
    }
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct EncryptionConfig {
    /// 64 hexadecimal digits that only the owner may read; wraps the keys of content. Absent: the broker holds them bare.
    pub(crate) master_key_file: Option<PathBuf>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct WorkerConfig {
    /// A GGUF file or a Hugging Face directory.
    pub(crate) model: Option<PathBuf>,
    /// The name clients ask for; absent: the name of the file or directory.
    pub(crate) model_name: Option<String>,
    pub(crate) aliases: Vec<String>,
    /// How the model writes calls of tools; absent: as its chat template shows.
    pub(crate) tool_call_parser: Option<String>,
    /// How the model marks its thinking; absent: as its chat template shows.
    pub(crate) reasoning_parser: Option<String>,
    /// Stable name of this worker; absent: made from host and process.
    pub(crate) id: Option<String>,
    /// Compute threads; absent: one per core.
    pub(crate) num_threads: Option<NonZeroUsize>,
    pub(crate) max_num_seqs: Option<NonZeroUsize>,
    pub(crate) max_num_batched_tokens: Option<NonZeroUsize>,
    /// How long prompts may make a step that answers share; 0: no bound.
    pub(crate) target_step_time_ms: Option<u64>,
    /// Longest prompt and answer together; absent: the model's own.
    pub(crate) max_model_len_tokens: Option<NonZeroUsize>,
    pub(crate) kv_cache_mib: Option<NonZeroUsize>,
    pub(crate) scheduling: SchedulingPolicyName,
    pub(crate) enable_prefix_caching: Option<bool>,
    /// Adapters that are loaded at start.
    pub(crate) lora_modules: Vec<LoraModule>,
    /// Where adapters that clients load must lie; absent: clients cannot load any.
    pub(crate) lora_dir: Option<PathBuf>,
    pub(crate) max_loras: Option<NonZeroUsize>,
    pub(crate) max_lora_rank: Option<NonZeroUsize>,
    /// Whether clients may put the worker to sleep and wake it.
    pub(crate) enable_sleep: bool,
    /// Without work for so long the worker sleeps until the next request; absent: never.
    pub(crate) sleep_after_idle_seconds: Option<NonZeroU64>,
    pub(crate) speculative: SpeculativeSection,
}

/// An adapter and the name under which clients ask for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LoraModule {
    pub(crate) name: String,
    pub(crate) path: PathBuf,
}

impl std::str::FromStr for LoraModule {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('=') {
            Some((name, path)) if !name.is_empty() && !path.is_empty() => {
                Ok(Self { name: name.to_owned(), path: PathBuf::from(path) })
            }
            _ => Err("expected NAME=PATH"),
        }
    }
}

/// Drafts of the tokens that follow, under the names of vLLM's `speculative_config`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct SpeculativeSection {
    /// Absent: a draft model if one is named, or else the n-grams.
    pub(crate) method: Option<SpeculativeMethodName>,
    /// A smaller model with the same vocabulary.
    pub(crate) draft_model: Option<PathBuf>,
    pub(crate) num_speculative_tokens: Option<NonZeroUsize>,
    pub(crate) prompt_lookup_min: Option<NonZeroUsize>,
    pub(crate) prompt_lookup_max: Option<NonZeroUsize>,
    pub(crate) disable_by_batch_size: Option<NonZeroUsize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum SpeculativeMethodName {
    /// No drafts.
    None,
    /// What followed the latest tokens before, in prompt or answer.
    Ngram,
    /// A smaller model's guesses.
    Draft,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum SchedulingPolicyName {
    #[default]
    Fcfs,
    Priority,
}

impl Config {
    /// Whether this process says what the streams keep; otherwise it takes them as they are.
    pub(crate) fn decides_on_streams(&self) -> bool {
        self.nats.num_replicas.is_some() || self.retention != RetentionConfig::default()
    }

    /// Reads a file; the error names file, line and key, and never repeats a value.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text =
            std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        Self::parse(&text, path)
    }

    fn parse(text: &str, path: &Path) -> Result<Self> {
        match toml::from_str(text) {
            Ok(config) => Ok(config),
            Err(error) => {
                let offset = error.span().map_or(0, |span| span.start);
                let line = text.get(..offset).unwrap_or("").lines().count().max(1);
                let line = if text.get(..offset).is_some_and(|before| before.ends_with('\n')) {
                    line + 1
                } else {
                    line
                };
                bail!("{}:{line}: {}", path.display(), error.message())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Result<(), &str>) {
        let found =
            Config::parse(text, Path::new("jetmill.toml")).map(|_| ()).map_err(|error| error.to_string());
        match (&found, expected) {
            (Ok(()), Ok(())) => {}
            (Err(message), Err(part)) => assert!(message.contains(part), "{message}"),
            _ => panic!("{text:?}: {found:?}"),
        }
    }

    #[test]
    fn an_unknown_key_or_a_bad_value_is_named_with_its_line() {
        check("", Ok(()));
        check("[api]\nlisten = \"0.0.0.0:80\"\n", Ok(()));
        check("[api]\n\nlissen = \"0.0.0.0:80\"\n", Err("jetmill.toml:3: unknown field `lissen`"));
        check("[api]\nlisten = \"somewhere\"\n", Err("jetmill.toml:2: "));
        check("[[workers]]\nmodel = \"a\"\n\n[[workers]]\nmodel = \"b\"\n", Ok(()));
        check("[[workers]]\nmodle = \"a\"\n", Err("jetmill.toml:2: unknown field `modle`"));
        check("[worker]\nnum_threads = 0\n", Err("jetmill.toml:2: "));
        check("[worker]\nnum_threads = \"two\"\n", Err("jetmill.toml:2: "));
        check("[api\n", Err("jetmill.toml:1: "));
        let price = |fields: &str| format!("[models.smol.price]\ncurrency = \"USD\"\n{fields}\n");
        check(&price("input = 0.15\noutput = \"0.6\""), Ok(()));
        check(&price("input = 1\noutput = 2\ncached_input = 0.5"), Ok(()));
        check(&price("input = -0.15\noutput = 1"), Err("jetmill.toml:3: expected an amount like 0.15"));
        check(&price("input = 0.15"), Err("missing field `output`"));
        check("[models.smol.price]\ncurrency = \"\"\ninput = 1\noutput = 1\n", Err("jetmill.toml:2: "));
    }

    #[test]
    fn the_example_file_holds_every_key_with_its_default() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("jetmill.toml");
        let example = Config::read(&path).unwrap();
        assert_eq!(format!("{example:?}"), format!("{:?}", Config::default()));
        let all_keys: String = std::fs::read_to_string(&path)
            .unwrap()
            .lines()
            .map(|line| line.strip_prefix("# ").filter(|rest| rest.contains(" = ")).unwrap_or(line))
            .fold(String::new(), |text, line| text + line + "\n");
        Config::parse(&all_keys, &path).unwrap();
    }

    #[test]
    fn a_key_is_never_printed() {
        let config = Config::parse("[api]\nmaster_key = \"sk-hush\"\n", Path::new("x")).unwrap();
        assert!(!format!("{config:?}").contains("hush"));
        check("[api]\nmaster_key = \"\"\n", Err("must not be empty"));
        let error = Config::parse("[api]\nmaster_key = \"sk-hush\nlisten = 3", Path::new("x")).unwrap_err();
        assert!(!format!("{error:?}").contains("hush"));
    }
}
