//! [`EmbeddedServer`]: a `nats-server` child with a store of its own, for a Jetmill that is given no broker.

mod orphan;
mod process;
mod server_config;

use std::fmt;
use std::fs::{File, OpenOptions, TryLockError};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use self::process::{Exit, ServerProcess};
use self::server_config::ServerConfig;
use crate::BusError;
use crate::topology::StreamPolicy;

/// The streams together when nothing else is said, if the disk has twice as much.
const DEFAULT_STORE_BYTES: u64 = 20 << 30;
const NUM_PORT_ATTEMPTS: usize = 3;
const MIN_RESTART_PAUSE: Duration = Duration::from_millis(100);
/// Time for somebody to make room on the disk.
const STORE_PAUSE: Duration = Duration::from_secs(1);
const MAX_RESTART_PAUSE: Duration = Duration::from_secs(5);

/// Where the server is and what it may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EmbeddedServerOptions {
    /// The `nats-server` program.
    pub binary: PathBuf,
    /// Its store, made when it is missing; one Jetmill at a time.
    pub store_dir: PathBuf,
    /// What the streams may take together; by default 20 GiB, at most half of the disk.
    pub max_store_bytes: Option<u64>,
    /// Its port on the loopback; by default a free one.
    pub port: Option<u16>,
    /// How long it may take to recover its store.
    pub ready_timeout: Duration,
}

impl EmbeddedServerOptions {
    /// The defaults.
    pub fn new(binary: impl Into<PathBuf>, store_dir: impl Into<PathBuf>) -> Self {
        Self {
            binary: binary.into(),
            store_dir: store_dir.into(),
            max_store_bytes: None,
            port: None,
            ready_timeout: Duration::from_secs(120),
        }
    }
}

/// A running server. It is started again when it dies, and ends with this handle or with this process.
pub struct EmbeddedServer {
    url: String,
    policy: StreamPolicy,
    pid: Arc<AtomicU32>,
    stop: CancellationToken,
    supervisor: AbortOnDropHandle<Result<(), BusError>>,
    _lock: StoreLock,
}

impl fmt::Debug for EmbeddedServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddedServer").field("pid", &self.pid()).finish_non_exhaustive()
    }
}

impl EmbeddedServer {
    /// Starts the server and waits until it takes connections. `Err(Server)` says what stands in the way: the program is
    /// missing, the store cannot be written or belongs to another Jetmill, the port is taken, the disk is full.
    pub async fn start(options: EmbeddedServerOptions) -> Result<Self, BusError> {
        if !options.binary.is_file() {
            let text = format!("the program {} is missing; infra/run fetches it", options.binary.display());
            return Err(BusError::Server(text));
        }
        let store_dir = make_store(&options.store_dir)?;
        let lock = lock_store(&store_dir)?;
        let max_store_bytes = match options.max_store_bytes {
            Some(bytes) => bytes,
            None => DEFAULT_STORE_BYTES.min(disk_bytes(&store_dir)? / 2),
        };
        let (config, process) = start_on_some_port(&options, &store_dir, max_store_bytes).await?;
        let pid = Arc::new(AtomicU32::new(process.pid()));
        let stop = CancellationToken::new();
        let url = config.url();
        tracing::info!(port = config.port, store = %store_dir.display(), "the embedded broker is ready");
        let supervisor = Supervisor {
            binary: options.binary,
            config,
            ready_timeout: options.ready_timeout,
            pid: Arc::clone(&pid),
            stop: stop.clone(),
        };
        Ok(Self {
            url,
            policy: StreamPolicy::within(max_store_bytes),
            pid,
            stop,
            supervisor: AbortOnDropHandle::new(tokio::spawn(supervisor.run(process))),
            _lock: lock,
        })
    }

    /// Its address with the token that this process made up for it: a secret.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Stream limits that fit its store.
    pub const fn policy(&self) -> StreamPolicy {
        self.policy
    }

    /// The process that runs now; another one after a restart.
    pub fn pid(&self) -> u32 {
        self.pid.load(Ordering::Acquire)
    }

    /// Ends it in order: it flushes its store and exits.
    pub async fn stop(self) -> Result<(), BusError> {
        self.stop.cancel();
        self.supervisor.await.map_err(|error| BusError::Server(format!("its supervisor failed: {error}")))?
    }
}

/// Keeps the server running until it is told to stop.
struct Supervisor {
    binary: PathBuf,
    config: ServerConfig,
    ready_timeout: Duration,
    pid: Arc<AtomicU32>,
    stop: CancellationToken,
}

impl Supervisor {
    async fn run(self, mut process: ServerProcess) -> Result<(), BusError> {
        loop {
            let first_pause = match process.watch(&self.stop).await? {
                Exit::Stopped => return Ok(()),
                Exit::Died(reason) => {
                    tracing::error!(%reason, "the embedded broker died and is started again");
                    Duration::ZERO
                }
                Exit::StoreFailed(reason) => {
                    tracing::error!(%reason, "the embedded broker cannot write: is its disk full? It is started again");
                    STORE_PAUSE
                }
            };
            drop(process);
            tokio::time::sleep(first_pause).await;
            let mut pause = MIN_RESTART_PAUSE;
            process = loop {
                match ServerProcess::start(&self.binary, &self.config, self.ready_timeout).await {
                    Ok(process) => break process,
                    Err(error) => tracing::error!(%error, "the embedded broker cannot be started again yet"),
                }
                tokio::select! {
                    () = self.stop.cancelled() => return Ok(()),
                    () = tokio::time::sleep(pause) => pause = (pause * 2).min(MAX_RESTART_PAUSE),
                }
            };
            self.pid.store(process.pid(), Ordering::Release);
            tracing::info!("the embedded broker is ready again");
        }
    }
}

async fn start_on_some_port(
    options: &EmbeddedServerOptions,
    store_dir: &Path,
    max_store_bytes: u64,
) -> Result<(ServerConfig, ServerProcess), BusError> {
    let mut num_attempts = 0;
    loop {
        num_attempts += 1;
        let port = free_port(options.port)?;
        let config = ServerConfig::new(store_dir, port, max_store_bytes);
        orphan::end(&config).await?;
        config.write()?;
        match ServerProcess::start(&options.binary, &config, options.ready_timeout).await {
            Ok(process) => return Ok((config, process)),
            // Somebody took the port between our look and the server's.
            Err(BusError::Server(text))
                if text.contains("address already in use")
                    && options.port.is_none()
                    && num_attempts < NUM_PORT_ATTEMPTS => {}
            Err(error) => return Err(error),
        }
    }
}

fn free_port(wanted: Option<u16>) -> Result<u16, BusError> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, wanted.unwrap_or(0)))
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .map_err(|error| match wanted {
            Some(port) => BusError::Server(format!("port {port} is taken: {error}")),
            None => BusError::Server(format!("no port is free: {error}")),
        })
}

fn make_store(store_dir: &Path) -> Result<PathBuf, BusError> {
    std::fs::create_dir_all(store_dir).and_then(|()| store_dir.canonicalize()).map_err(|error| {
        BusError::Server(format!("its store {} cannot be made: {error}", store_dir.display()))
    })
}

/// The store is ours while this lives.
struct StoreLock(File);

impl Drop for StoreLock {
    /// Closing is not enough: a child that is being forked this moment still has the file open.
    fn drop(&mut self) {
        if let Err(error) = self.0.unlock() {
            tracing::warn!(%error, "the store stays locked until this process ends");
        }
    }
}

fn lock_store(store_dir: &Path) -> Result<StoreLock, BusError> {
    let path = store_dir.join("jetmill.lock");
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(|error| {
        BusError::Server(format!("its store cannot be written: {}: {error}", path.display()))
    })?;
    match file.try_lock() {
        Ok(()) => Ok(StoreLock(file)),
        Err(TryLockError::WouldBlock) => {
            Err(BusError::Server(format!("its store {} is in use by another Jetmill", store_dir.display())))
        }
        Err(TryLockError::Error(error)) => {
            Err(BusError::Server(format!("{} cannot be locked: {error}", path.display())))
        }
    }
}

fn disk_bytes(path: &Path) -> Result<u64, BusError> {
    let disk = rustix::fs::statvfs(path).map_err(|error| {
        BusError::Server(format!("the disk of {} cannot be read: {error}", path.display()))
    })?;
    Ok(disk.f_blocks * disk.f_frsize)
}
