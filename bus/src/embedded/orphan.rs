//! A server that outlived its Jetmill holds the store; it is ended before the next one starts.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use tokio::time::Instant;

use super::server_config::ServerConfig;
use crate::BusError;

const TERM_PATIENCE: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(20);

/// Ends the server that the pid file names, if that process is really a server of this store.
pub(super) async fn end(config: &ServerConfig) -> Result<(), BusError> {
    let Ok(text) = std::fs::read_to_string(config.pid_path()) else { return Ok(()) };
    let Some(pid) = text.trim().parse().ok().and_then(Pid::from_raw) else { return Ok(()) };
    if !is_ours(pid, &config.path()) {
        return Ok(());
    }
    tracing::warn!(
        pid = pid.as_raw_nonzero().get(),
        "a broker of an earlier run still holds the store and is ended"
    );
    for signal in [Signal::TERM, Signal::KILL] {
        // It may be gone by now, which is what is wanted.
        let is_signalled = kill_process(pid, signal).is_ok();
        let deadline = Instant::now() + TERM_PATIENCE;
        while is_signalled && is_ours(pid, &config.path()) && Instant::now() < deadline {
            tokio::time::sleep(POLL).await;
        }
        if !is_ours(pid, &config.path()) {
            return Ok(());
        }
    }
    Err(BusError::Server(format!("a broker of an earlier run (process {pid}) cannot be ended")))
}

/// Process ids are reused, so only one whose command line names our configuration counts.
fn is_ours(pid: Pid, config_path: &Path) -> bool {
    test_kill_process(pid).is_ok() && command_line(pid).contains(&config_path.display().to_string())
}

fn command_line(pid: Pid) -> String {
    if let Ok(bytes) = std::fs::read(format!("/proc/{pid}/cmdline")) {
        return String::from_utf8_lossy(&bytes).into_owned();
    }
    let output = Command::new("ps").args(["-o", "command=", "-p", &pid.to_string()]).output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default()
}
