//! A place of its own for one test: directory, ports, processes.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Output;

use rustix::process::Pid;
use tempfile::TempDir;
use tokio::process::Command;

use crate::client::Client;
use crate::process::{self, Process};
use crate::wait::{soon, until};

/// The name under which every test asks for the model.
pub(crate) const MODEL: &str = "smol";

/// A file that `infra/test` fetches.
pub(crate) fn fetched(path: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.jetmill").join(path);
    assert!(path.is_file(), "{} is missing: run infra/test, which fetches it", path.display());
    path.canonicalize().unwrap()
}

pub(crate) fn nats_server() -> PathBuf {
    fetched("bin/nats-server")
}

pub(crate) fn model_file() -> PathBuf {
    fetched("models/smollm2-135m-instruct-q4_1.gguf")
}

pub(crate) fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).unwrap()
}

/// A data directory and all processes that work on it; they end with it, whatever happens.
pub(crate) struct Site {
    dir: TempDir,
}

impl Site {
    pub(crate) fn new() -> Self {
        Self { dir: tempfile::Builder::new().prefix("jetmill-process-").tempdir().unwrap() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// `jetmill ROLE` on this site's data directory, without the environment's settings.
    pub(crate) fn command(&self, role: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_jetmill"));
        command.env_clear().arg(role).args(arguments);
        for (flag, default) in [("--data", self.path("data")), ("--nats-server", nats_server())] {
            if !arguments.contains(&flag) {
                command.arg(flag).arg(default);
            }
        }
        command.current_dir(self.dir.path()).kill_on_drop(true);
        command
    }

    /// A role with its log in a file of its own.
    pub(crate) fn spawn(&self, name: &str, role: &str, arguments: &[&str]) -> Process {
        Process::spawn(name, self.path(&format!("{name}.log")), &mut self.command(role, arguments))
    }

    /// A role that has to load the model.
    pub(crate) fn spawn_with_model(&self, name: &str, role: &str, arguments: &[&str]) -> Process {
        let mut command = self.command(role, arguments);
        command.args(["--model-name", MODEL, "--num-threads", "1", "--kv-cache-mib", "256"]);
        command.arg("--model").arg(model_file());
        Process::spawn(name, self.path(&format!("{name}.log")), &mut command)
    }

    /// `jetmill serve` and a client of it, ready for requests.
    pub(crate) async fn serve(&self, arguments: &[&str]) -> (Process, Client) {
        let address = free_address();
        let listen = address.to_string();
        let arguments = [&["--listen", listen.as_str()], arguments].concat();
        let mut process = self.spawn_with_model("serve", "serve", &arguments);
        let client = Client::new(address);
        until("the server is ready", async || {
            process.assert_alive();
            client.is_ready().await.then_some(())
        })
        .await;
        (process, client)
    }

    /// Runs a command to its end.
    pub(crate) async fn run(&self, role: &str, arguments: &[&str]) -> Output {
        soon(&format!("jetmill {role}"), self.command(role, arguments).output()).await.unwrap()
    }

    /// What the command prints; fails unless it succeeds.
    pub(crate) async fn print(&self, role: &str, arguments: &[&str]) -> String {
        let output = self.run(role, arguments).await;
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "jetmill {role} {arguments:?}: {}\n{errors}", output.status);
        String::from_utf8(output.stdout).unwrap()
    }

    /// The embedded broker's process.
    pub(crate) fn broker(&self) -> Pid {
        let pid = std::fs::read_to_string(self.path("data/nats/nats-server.pid")).unwrap();
        pid.trim().parse().ok().and_then(Pid::from_raw).unwrap()
    }

    /// What still runs here.
    pub(crate) fn processes(&self) -> Vec<(Pid, String)> {
        process::naming(self.dir.path())
    }

    /// SIGKILL for everything that runs here, the broker first: it gets no chance to flush in order.
    pub(crate) async fn kill_everything(&self) {
        until("everything is dead", async || {
            // Whoever is killed last may have started another one meanwhile.
            let mut processes = self.processes();
            processes.sort_by_key(|(_, command)| !command.contains("nats-server.conf"));
            processes.iter().for_each(|(pid, _)| process::kill(*pid));
            processes.is_empty().then_some(())
        })
        .await;
    }

    fn print_logs(&self) {
        let files = std::fs::read_dir(self.dir.path()).into_iter().flatten().flatten();
        for path in files.map(|file| file.path()).filter(|path| path.extension().is_some_and(|x| x == "log"))
        {
            let text = String::from_utf8_lossy(&std::fs::read(&path).unwrap_or_default()).into_owned();
            let lines: Vec<_> = text.lines().collect();
            let last = lines[lines.len().saturating_sub(30)..].join("\n");
            eprintln!("--- the end of {}\n{last}", path.display());
        }
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.print_logs();
        }
        self.processes().iter().for_each(|(pid, _)| process::kill(*pid));
    }
}
