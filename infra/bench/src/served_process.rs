//! A server that a comparison starts and stops itself.

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

const STOP: Duration = Duration::from_secs(15);
/// Short, since the time to be ready is measured too.
const POLL: Duration = Duration::from_millis(5);

/// Why a server could not be started.
#[derive(Debug, thiserror::Error)]
pub enum ServedProcessError {
    /// Files or the program itself.
    #[error("cannot start {program}: {source}")]
    Start {
        /// The program's path.
        program: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// It ended before it answered.
    #[error("{program} ended before it was ready; the end of its output:\n{log}")]
    Ended {
        /// The program's path.
        program: String,
        /// The last lines.
        log: String,
    },
    /// It did not answer in time.
    #[error("{program} was not ready after {seconds} s; the end of its output:\n{log}")]
    NotReady {
        /// The program's path.
        program: String,
        /// How long it was waited for.
        seconds: u64,
        /// The last lines.
        log: String,
    },
}

/// The command line of a server, with its port still to be chosen.
#[derive(Debug, Clone)]
pub struct ServerCommand {
    /// The program.
    pub program: PathBuf,
    /// Its arguments; `{address}`, `{port}` and `{folder}` (an empty one of its own) are filled in.
    pub arguments: Vec<String>,
    /// The path that answers 200 once the server is ready.
    pub ready_path: &'static str,
    /// The name under which it knows its model.
    pub model: String,
    /// How long it may take to be ready.
    pub patience: Duration,
}

/// A running server with a folder of its own, both gone after [`ServedProcess::stop`].
#[derive(Debug)]
pub struct ServedProcess {
    child: Child,
    url: String,
    folder: TempDir,
}

impl ServedProcess {
    /// Starts it on a free port and waits until it is ready.
    pub async fn start(command: &ServerCommand) -> Result<Self, ServedProcessError> {
        let program = command.program.display().to_string();
        let failed = |source| ServedProcessError::Start { program: program.clone(), source };
        let folder = tempfile::tempdir().map_err(failed)?;
        let port = free_port().map_err(failed)?;
        let address = format!("127.0.0.1:{port}");
        let fill = |argument: &String| {
            argument
                .replace("{address}", &address)
                .replace("{port}", &port.to_string())
                .replace("{folder}", &folder.path().display().to_string())
        };
        let log = File::create(log_path(folder.path())).map_err(failed)?;
        let mut child = Command::new(&command.program)
            .args(command.arguments.iter().map(fill))
            .stdin(Stdio::null())
            .stdout(log.try_clone().map_err(failed)?)
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        let url = format!("http://{address}");
        let ready_url = format!("{url}{}", command.ready_path);
        let client = reqwest::Client::new();
        let deadline = Instant::now() + command.patience;
        while Instant::now() < deadline {
            if child.try_wait().map_err(failed)?.is_some() {
                return Err(ServedProcessError::Ended { program, log: log_end(folder.path()) });
            }
            if client.get(&ready_url).send().await.is_ok_and(|response| response.status().is_success()) {
                return Ok(Self { child, url, folder });
            }
            sleep(POLL).await;
        }
        let log = log_end(folder.path());
        Err(ServedProcessError::NotReady { program, seconds: command.patience.as_secs(), log })
    }

    /// `http://host:port`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Its process id while it runs.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// The end of what it printed.
    #[must_use]
    pub fn log_end(&self) -> String {
        log_end(self.folder.path())
    }

    /// Asks it to end, so that it can end its own children, and kills it if it doesn't.
    pub async fn stop(mut self) -> Result<(), std::io::Error> {
        if let Some(pid) = self.child.id() {
            Command::new("kill").args(["-TERM", &pid.to_string()]).status().await?;
            if timeout(STOP, self.child.wait()).await.is_err() {
                self.child.kill().await?;
            }
        }
        self.folder.close()
    }
}

fn free_port() -> Result<u16, std::io::Error> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

fn log_path(folder: &Path) -> PathBuf {
    folder.join("server.log")
}

fn log_end(folder: &Path) -> String {
    let text = fs::read_to_string(log_path(folder)).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(15)..].join("\n")
}
