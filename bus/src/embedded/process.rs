//! One run of the server program.

use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, Command};
use tokio_util::sync::CancellationToken;

use super::server_config::ServerConfig;
use crate::BusError;

/// What it logs when its disk is full or broken.
const STORE_FAILED: [&str; 2] = ["critical write error", "will be DISABLED"];

/// How long the server may take to flush and exit.
const STOP_PATIENCE: Duration = Duration::from_secs(20);

/// Waits for the end of its input, which comes when this process dies however it dies, and then ends the server.
const WATCHDOG: &str = "read -r _; kill -TERM \"$1\"";

/// How a run ended.
pub(super) enum Exit {
    /// As it was told.
    Stopped,
    /// By itself, with its last words.
    Died(String),
    /// Ended by us because its store takes nothing more: a full disk, mostly.
    StoreFailed(String),
}

/// The child; killed when this is dropped.
pub(super) struct ServerProcess {
    child: Child,
    log: Lines<BufReader<ChildStderr>>,
    last_words: String,
    _watchdog: Option<Child>,
}

impl ServerProcess {
    /// Starts the program and waits until it is ready.
    pub(super) async fn start(
        binary: &Path,
        config: &ServerConfig,
        timeout: Duration,
    ) -> Result<Self, BusError> {
        let failed = |text: String| BusError::Server(format!("{} {text}", binary.display()));
        let mut child = Command::new(binary)
            .arg("--config")
            .arg(config.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            // An interrupt from the terminal is for us: the server goes last.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| failed(format!("cannot be run: {error}")))?;
        let stderr = child.stderr.take().ok_or_else(|| failed("has no log".to_owned()))?;
        let mut process = Self {
            _watchdog: child.id().and_then(watchdog),
            child,
            log: BufReader::new(stderr).lines(),
            last_words: String::new(),
        };
        match tokio::time::timeout(timeout, process.ready()).await {
            Ok(true) => Ok(process),
            Ok(false) => {
                let status = process.child.wait().await.ok();
                Err(failed(process.obituary(status)))
            }
            Err(_) => Err(failed(format!("was not ready within {} s", timeout.as_secs()))),
        }
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id().unwrap_or(0)
    }

    /// Passes its log on until it dies, or until `stop`, upon which it is ended in order.
    pub(super) async fn watch(&mut self, stop: &CancellationToken) -> Result<Exit, BusError> {
        loop {
            tokio::select! {
                () = stop.cancelled() => return self.stop().await.map(|()| Exit::Stopped),
                line = self.log.next_line() => match line {
                    Ok(Some(line)) => {
                        self.heed(&line);
                        if STORE_FAILED.iter().any(|words| line.contains(words)) {
                            // A stream that could not be written once takes nothing more until it is started again.
                            self.stop().await?;
                            return Ok(Exit::StoreFailed(self.last_words.clone()));
                        }
                    }
                    _ => {
                        let status = self.child.wait().await.ok();
                        return Ok(Exit::Died(self.obituary(status)));
                    }
                },
            }
        }
    }

    async fn stop(&mut self) -> Result<(), BusError> {
        if let Some(pid) = self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw) {
            // It may have died this moment; the wait below notices.
            kill_process(pid, Signal::TERM).ok();
        }
        let log = &mut self.log;
        let exited = async {
            // A full pipe would keep it from exiting.
            while let Ok(Some(_)) = log.next_line().await {}
            self.child.wait().await
        };
        match tokio::time::timeout(STOP_PATIENCE, exited).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(BusError::Server(format!("its end cannot be awaited: {error}"))),
            Err(_) => {
                tracing::warn!("the embedded broker does not stop and is killed");
                self.child
                    .kill()
                    .await
                    .map_err(|error| BusError::Server(format!("cannot be killed: {error}")))
            }
        }
    }

    async fn ready(&mut self) -> bool {
        while let Ok(Some(line)) = self.log.next_line().await {
            self.heed(&line);
            if line.contains("Server is ready") {
                return true;
            }
        }
        false
    }

    fn heed(&mut self, line: &str) {
        let (level, text) = read_line(line);
        match level {
            "FTL" | "ERR" => {
                self.last_words = text.to_owned();
                tracing::error!(target: "nats_server", "{text}");
            }
            "WRN" => tracing::warn!(target: "nats_server", "{text}"),
            "INF" => tracing::debug!(target: "nats_server", "{text}"),
            // Before its log is set up it writes bare lines.
            _ => {
                self.last_words = text.to_owned();
                tracing::debug!(target: "nats_server", "{text}");
            }
        }
    }

    fn obituary(&self, status: Option<ExitStatus>) -> String {
        let status = status.map_or_else(|| "exited".to_owned(), |status| format!("ended with {status}"));
        if self.last_words.is_empty() { status } else { format!("{status}: {}", self.last_words) }
    }
}

/// Level and text of `[pid] date time [LVL] text`.
fn read_line(line: &str) -> (&str, &str) {
    let words = line.split_once("] ").map_or(line, |(_, rest)| rest);
    match words.split_once('[').and_then(|(_, rest)| rest.split_once("] ")) {
        Some((level, text)) if level.len() == 3 => (level, text),
        _ => ("", line),
    }
}

/// Without a shell the next start ends a server that is left behind.
fn watchdog(server_pid: u32) -> Option<Child> {
    Command::new("/bin/sh")
        .args(["-c", WATCHDOG, "jetmill-watchdog", &server_pid.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .inspect_err(|error| tracing::debug!(%error, "no watchdog for the embedded broker"))
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_lines_are_told_apart() {
        let check = |line: &str, expected: (&str, &str)| assert_eq!(read_line(line), expected);
        check("[17] 2026/01/02 03:04:05.678901 [INF] Server is ready", ("INF", "Server is ready"));
        check("[17] 2026/01/02 03:04:05.678901 [FTL] no [x] y", ("FTL", "no [x] y"));
        check("nats-server: a.conf:3:1: bad", ("", "nats-server: a.conf:3:1: bad"));
    }
}
