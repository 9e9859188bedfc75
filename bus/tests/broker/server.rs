//! A real broker in a temporary directory.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bus::topology::StreamPolicy;
use bus::{EmbeddedServer, EmbeddedServerOptions, JetStreamLog, JetStreamOptions};
use tempfile::TempDir;

const MIB: u64 = 1 << 20;

/// Small enough to be filled by a test.
pub(crate) fn small_policy() -> StreamPolicy {
    StreamPolicy { inference_max_bytes: 16 * MIB, ..StreamPolicy::within(512 * MIB) }
}

/// The program, which `infra/test` fetches.
pub(crate) fn binary() -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.jetmill/bin/nats-server");
    assert!(path.is_file(), "{} is missing: run infra/test once, which fetches it", path.display());
    path
}

/// A server and its store, both gone when it is dropped.
pub(crate) struct Broker {
    pub(crate) server: EmbeddedServer,
    pub(crate) _dir: TempDir,
}

impl Broker {
    pub(crate) async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut options = EmbeddedServerOptions::new(binary(), dir.path());
        options.max_store_bytes = Some(1_024 * MIB);
        let server = EmbeddedServer::start(options).await.unwrap();
        Self { server, _dir: dir }
    }

    pub(crate) fn options(&self) -> JetStreamOptions {
        let mut options = JetStreamOptions::new(self.server.url(), "test");
        options.policy = small_policy();
        options.patience = Duration::from_secs(30);
        options
    }

    pub(crate) async fn connect(&self) -> JetStreamLog {
        JetStreamLog::connect(self.options()).await.unwrap()
    }
}
