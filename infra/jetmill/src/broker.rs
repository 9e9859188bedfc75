//! The broker of this process: one that the configuration names, or a child of its own.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use audit::History;
use bus::topology::StreamPolicy;
use bus::{EmbeddedServer, EmbeddedServerOptions, EventLog, JetStreamLog, JetStreamOptions, SealedLog};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::config::Config;
use crate::{encryption, instance};

/// Where a running `serve` tells other commands how to reach its broker; readable by its owner alone.
const ADDRESS_FILE: &str = "broker-address";
const DEFAULT_DATA_DIR: &str = "jetmill-data";
/// The address may be that of a `serve` that was killed.
const FIRST_PATIENCE: Duration = Duration::from_secs(1);
const LAST_PATIENCE: Duration = Duration::from_secs(10);

/// A connection, and the child if it is ours.
pub(crate) struct Broker {
    log: JetStreamLog,
    history: History,
    server: Option<EmbeddedServer>,
    dead_letters: JoinHandle<()>,
    stop: CancellationToken,
}

impl Broker {
    /// Connects to the configured broker, or starts one and tells others where it is.
    pub(crate) async fn open(config: &Config) -> Result<Self> {
        if let Some(url) = &config.nats.url {
            let mut options = JetStreamOptions::new(url, instance::name().as_str());
            options.policy = policy(config, StreamPolicy::default());
            options.keeps_existing_streams = !config.decides_on_streams();
            return Self::connect(config, options, None).await;
        }
        Self::embed(config, false).await
    }

    async fn embed(config: &Config, keeps_existing_streams: bool) -> Result<Self> {
        let server = start_server(config).await?;
        write_address(&address_path(config), server.url())?;
        let mut options = JetStreamOptions::new(server.url(), instance::name().as_str());
        options.policy = policy(config, server.policy());
        options.keeps_existing_streams = keeps_existing_streams;
        Self::connect(config, options, Some(server)).await
    }

    /// Connects to the configured broker or to that of a running `serve`; starts one when nobody does.
    async fn open_existing(config: &Config) -> Result<Self> {
        if config.nats.url.is_some() {
            return Self::open(config).await;
        }
        if let Some(broker) = Self::join(config, FIRST_PATIENCE).await {
            return Ok(broker);
        }
        // A command that only looks must not take the archive from a log whose `serve` had one.
        match Self::embed(config, !config.decides_on_streams()).await {
            Ok(broker) => Ok(broker),
            // Mostly because a `serve` holds the store and its broker is busy or on its way back.
            Err(error) => Self::join(config, LAST_PATIENCE).await.ok_or(error),
        }
    }

    /// Does something over such a broker, and closes it whatever comes of that.
    pub(crate) async fn use_existing<T>(
        config: &Config,
        work: impl AsyncFnOnce(&Self) -> Result<T>,
    ) -> Result<T> {
        let broker = Self::open_existing(config).await?;
        let done = work(&broker).await;
        let closed = broker.close().await;
        done.and_then(|done| closed.map(|()| done))
    }

    /// The broker of the `serve` that wrote its address last, if it still answers.
    async fn join(config: &Config, patience: Duration) -> Option<Self> {
        let url = fs::read_to_string(address_path(config)).ok()?;
        let mut options = JetStreamOptions::new(url.trim(), instance::name().as_str());
        options.patience = patience;
        options.keeps_existing_streams = true;
        match JetStreamLog::connect(options).await {
            Ok(log) => Some(Self::over(config, log, None)),
            Err(error) => {
                debug!(%error, "no running broker can be joined");
                None
            }
        }
    }

    async fn connect(
        config: &Config,
        options: JetStreamOptions,
        server: Option<EmbeddedServer>,
    ) -> Result<Self> {
        let log = JetStreamLog::connect(options).await.context("cannot use the broker")?;
        Ok(Self::over(config, log, server))
    }

    fn over(config: &Config, log: JetStreamLog, server: Option<EmbeddedServer>) -> Self {
        let history = History::new(Arc::new(log.clone()), config.archive.directory.clone());
        let stop = CancellationToken::new();
        let (handled, stopped) = (log.clone(), stop.clone());
        let dead_letters = tokio::spawn(async move {
            if let Err(error) = handled.run_dead_letter_handler(stopped).await {
                warn!(%error, "the dead letters are not looked after");
            }
        });
        Self { log, history, server, dead_letters, stop }
    }

    /// The log, and what has left it for the archive, with its content; `Err` without the configured key, if one wraps the
    /// keys of content.
    pub(crate) async fn log(&self, config: &Config) -> Result<Arc<dyn EventLog>> {
        let sealed = SealedLog::open(self.stored_log(), encryption::wrapping_key(config)?).await?;
        Ok(Arc::new(sealed))
    }

    /// The same as it is stored, for whoever needs no content: no key is read for it.
    pub(crate) fn stored_log(&self) -> Arc<dyn EventLog> {
        Arc::new(self.history.clone())
    }

    /// The log without what has left it, for whoever moves it.
    pub(crate) fn log_alone(&self) -> Arc<dyn EventLog> {
        Arc::new(self.log.clone())
    }

    /// With an archive the broker drops nothing by its age, whoever made its streams.
    pub(crate) async fn keep_until_archived(&self, config: &Config) -> Result<()> {
        if config.archive.directory.is_some() {
            self.log.keep_until_archived().await.context("the log cannot be kept until it is archived")?;
        }
        Ok(())
    }

    /// Waits until everything is acknowledged, then ends the child.
    pub(crate) async fn close(self) -> Result<()> {
        self.stop.cancel();
        self.dead_letters.await?;
        self.log.close().await?;
        if let Some(server) = self.server {
            server.stop().await?;
        }
        Ok(())
    }
}

async fn start_server(config: &Config) -> Result<EmbeddedServer> {
    let binary = config.nats.server_binary.clone().or_else(find_server).context(
        "no nats-server was found: name it with --nats-server, put it on the PATH, or name a broker with --nats",
    )?;
    let mut options = EmbeddedServerOptions::new(binary, data_dir(config).join("nats"));
    options.max_store_bytes = config.nats.max_store_bytes.map(Into::into);
    Ok(EmbeddedServer::start(options).await?)
}

#[expect(clippy::disallowed_methods, reason = "the composition root reads the environment")]
fn find_server() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join("nats-server")).find(|candidate| candidate.is_file())
}

fn policy(config: &Config, defaults: StreamPolicy) -> StreamPolicy {
    StreamPolicy {
        num_replicas: config.nats.num_replicas.map_or(defaults.num_replicas, Into::into),
        is_archived: config.archive.directory.is_some(),
        ..config.retention.over(defaults)
    }
}

/// Where this installation keeps its files.
pub(crate) fn data_dir(config: &Config) -> PathBuf {
    config.data_dir.clone().unwrap_or_else(|| PathBuf::from(DEFAULT_DATA_DIR))
}

fn address_path(config: &Config) -> PathBuf {
    data_dir(config).join(ADDRESS_FILE)
}

/// The address holds the broker's token, so only the owner may read it; it is replaced in one step.
fn write_address(path: &Path, url: &str) -> Result<()> {
    let fresh = path.with_extension("new");
    let write = || -> std::io::Result<()> {
        let mut file =
            fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
        file.write_all(url.as_bytes())?;
        fs::rename(&fresh, path)
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}
