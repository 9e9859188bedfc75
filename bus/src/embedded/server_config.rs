//! The configuration file of the embedded server.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::BusError;

/// Payloads above 256 KB go through the object store; this leaves room for headers and other clients.
const MAX_PAYLOAD: &str = "8MB";
/// How much a loss of power can cost; measured to be free against the two minutes of the default.
const SYNC_INTERVAL: &str = "100ms";

/// What the server is told.
pub(super) struct ServerConfig {
    pub(super) port: u16,
    store_dir: PathBuf,
    max_store_bytes: u64,
    token: String,
}

impl ServerConfig {
    /// With a new token.
    pub(super) fn new(store_dir: &Path, port: u16, max_store_bytes: u64) -> Self {
        let token = format!("{:032x}", rand::random::<u128>());
        Self { port, store_dir: store_dir.to_owned(), max_store_bytes, token }
    }

    /// The address for clients, with the token.
    pub(super) fn url(&self) -> String {
        format!("nats://{}@127.0.0.1:{}", self.token, self.port)
    }

    /// Where the configuration stands.
    pub(super) fn path(&self) -> PathBuf {
        self.store_dir.join("nats-server.conf")
    }

    /// Where the server writes its process id.
    pub(super) fn pid_path(&self) -> PathBuf {
        self.store_dir.join("nats-server.pid")
    }

    /// Writes the file, readable by its owner only.
    pub(super) fn write(&self) -> Result<(), BusError> {
        let path = self.path();
        let failed = |error: std::io::Error| {
            BusError::Server(format!("its store cannot be written: {}: {error}", path.display()))
        };
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(true)
            .write(true)
            .mode(0o600)
            .open(&path)
            .map_err(failed)?;
        file.write_all(self.text().as_bytes()).and_then(|()| file.sync_all()).map_err(failed)
    }

    fn text(&self) -> String {
        // The limits of the streams add up to `max_store_bytes`, and the server refuses a stream that reserves more than is left.
        let max_file_store =
            self.max_store_bytes.saturating_add(self.max_store_bytes / 16).saturating_add(1 << 20);
        format!(
            "listen: \"127.0.0.1:{port}\"\n\
             server_name: \"jetmill-embedded\"\n\
             pid_file: {pid_file}\n\
             max_payload: {MAX_PAYLOAD}\n\
             authorization {{ token: \"{token}\" }}\n\
             jetstream {{\n  \
             store_dir: {store_dir}\n  \
             sync_interval: \"{SYNC_INTERVAL}\"\n  \
             max_memory_store: 256MB\n  \
             max_file_store: {max_file_store}\n\
             }}\n",
            port = self.port,
            token = self.token,
            pid_file = quoted(&self.pid_path()),
            store_dir = quoted(&self.store_dir),
        )
    }
}

fn quoted(path: &Path) -> String {
    format!("\"{}\"", path.display().to_string().replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn only_the_owner_reads_the_token() {
        let dir = tempfile::tempdir().unwrap();
        let config = ServerConfig::new(dir.path(), 4_222, 1 << 30);
        config.write().unwrap();
        let mode = std::fs::metadata(config.path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(std::fs::read_to_string(config.path()).unwrap().contains(&config.token));
    }

    #[test]
    fn two_servers_have_two_tokens() {
        let dir = Path::new("/nowhere");
        assert_ne!(ServerConfig::new(dir, 1, 1).url(), ServerConfig::new(dir, 1, 1).url());
    }
}
