//! Each role in processes of its own, over one broker and one database.

use std::fmt;
use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::link::Link;

/// The name under which clients ask for the model.
pub(crate) const MODEL: &str = "chaos";
const PATIENCE: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(50);

/// The programs that take part.
#[derive(Debug)]
pub(crate) struct Programs {
    pub(crate) jetmill: PathBuf,
    pub(crate) nats_server: PathBuf,
    pub(crate) model: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Role {
    Broker,
    Api,
    Guardrail,
    Router,
    Worker,
    Projector,
    Jobs,
}

impl Role {
    /// How many of each there are.
    const ALL: [(Self, usize); 7] = [
        (Self::Broker, 1),
        (Self::Api, 2),
        (Self::Guardrail, 2),
        (Self::Router, 2),
        (Self::Worker, 2),
        (Self::Projector, 1),
        (Self::Jobs, 2),
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Broker => "broker",
            Self::Api => "api",
            Self::Guardrail => "guardrail",
            Self::Router => "router",
            Self::Worker => "worker",
            Self::Projector => "projector",
            Self::Jobs => "jobs",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One process, which can be started again after its death.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) role: Role,
    pub(crate) name: String,
    listen: Option<SocketAddr>,
    link: Option<Link>,
    child: Option<Child>,
}

impl Member {
    fn signal(&self, signal: Signal) -> Result<()> {
        let child = self.child.as_ref().and_then(Child::id);
        let pid = child.and_then(|pid| Pid::from_raw(pid.cast_signed()));
        let pid = pid.with_context(|| format!("{} is not running", self.name))?;
        Ok(kill_process(pid, signal)?)
    }

    /// Stops it where it stands; it goes on after [`Member::resume`].
    pub(crate) fn pause(&self) -> Result<()> {
        self.signal(Signal::STOP)
    }

    pub(crate) fn resume(&self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    /// SIGKILL.
    pub(crate) async fn kill(&mut self) -> Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill().await?;
        }
        Ok(())
    }

    /// SIGTERM, and the end that follows; SIGKILL if none does.
    pub(crate) async fn terminate(&mut self) -> Result<()> {
        self.signal(Signal::TERM)?;
        if let Some(mut child) = self.child.take()
            && tokio::time::timeout(PATIENCE, child.wait()).await.is_err()
        {
            bail!("{} did not end when it was asked to", self.name);
        }
        Ok(())
    }

    /// Cuts its way to the broker for a while; false for the broker itself.
    pub(crate) fn cut_off(&self, duration: Duration) -> bool {
        self.link.as_ref().map(|link| link.cut(duration)).is_some()
    }
}

#[derive(Debug)]
pub(crate) struct Site {
    dir: TempDir,
    programs: Programs,
    broker: SocketAddr,
    monitor: SocketAddr,
    pub(crate) members: Vec<Member>,
}

impl Site {
    /// All roles, ready for requests.
    pub(crate) async fn start(programs: Programs) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("jetmill-chaos-").tempdir()?;
        let (broker, monitor) = (free_address()?, free_address()?);
        // Streams reserve more than a small disk has, and use next to nothing of it.
        let config = format!(
            "jetstream {{ store_dir: {:?}, max_file_store: 256GB }}\nlisten: \"{broker}\"\nhttp: \"{monitor}\"\n",
            dir.path().join("broker")
        );
        std::fs::write(dir.path().join("broker.conf"), config)?;
        let mut site = Self { dir, programs, broker, monitor, members: Vec::new() };
        for (role, count) in Role::ALL {
            for number in 1..=count {
                let link = if role == Role::Broker { None } else { Some(Link::to(broker).await?) };
                let listen = (role == Role::Api).then(free_address).transpose()?;
                let name = format!("{role}-{number}");
                site.members.push(Member { role, name, listen, link, child: None });
                site.restart(site.members.len() - 1)?;
            }
        }
        for url in site.api_urls() {
            site.wait_until_ready(&format!("{url}/health/readiness")).await?;
        }
        Ok(site)
    }

    /// Starts the process of a member that has none.
    pub(crate) fn restart(&mut self, index: usize) -> Result<()> {
        let command = self.command(&self.members[index]);
        let member = &mut self.members[index];
        let log = File::options().create(true).append(true).open(log_of(self.dir.path(), &member.name))?;
        let mut command = command;
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).kill_on_drop(true).spawn();
        member.child = Some(child.with_context(|| format!("{} cannot be started", member.name))?);
        Ok(())
    }

    fn command(&self, member: &Member) -> Command {
        let dir = self.dir.path();
        if member.role == Role::Broker {
            let mut command = Command::new(&self.programs.nats_server);
            command.arg("-c").arg(dir.join("broker.conf"));
            return command;
        }
        let mut command = Command::new(&self.programs.jetmill);
        command
            .env_clear()
            .current_dir(dir)
            .arg(member.role.name())
            .arg("--data")
            .arg(dir.join(&member.name));
        command.args(["--database", &self.database_url()]);
        if let Some(link) = &member.link {
            command.args(["--nats", &link.url()]);
        }
        if let Some(listen) = member.listen {
            command.args(["--listen", &listen.to_string()]);
        }
        if member.role == Role::Worker {
            command.args(["--model-name", MODEL, "--worker-id", &member.name]);
            command.args(["--num-threads", "1", "--kv-cache-mib", "256", "--model"]);
            command.arg(&self.programs.model);
        }
        command
    }

    pub(crate) fn database_url(&self) -> String {
        format!("sqlite://{}?mode=rwc", self.dir.path().join("rows.sqlite").display())
    }

    pub(crate) fn broker_url(&self) -> String {
        format!("nats://{}", self.broker)
    }

    pub(crate) fn api_urls(&self) -> Vec<String> {
        self.members.iter().filter_map(|member| Some(format!("http://{}", member.listen?))).collect()
    }

    async fn wait_until_ready(&self, url: &str) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while !reqwest::get(url).await.is_ok_and(|answer| answer.status().is_success()) {
            if Instant::now() > deadline {
                bail!("{url} was not ready within {} s", PATIENCE.as_secs());
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }

    /// Consumers that the broker keeps until somebody deletes them; those that readers leave behind end by themselves.
    pub(crate) async fn num_consumers(&self) -> Result<usize> {
        let url = format!("http://{}/jsz?consumers=true&config=true", self.monitor);
        self.wait_until_ready(&url).await?;
        let page: serde_json::Value = reqwest::get(url).await?.json().await?;
        let streams = page["account_details"][0]["stream_detail"].as_array();
        let streams = streams.context("the broker's page names no streams")?;
        let consumers = streams.iter().filter_map(|stream| stream["consumer_detail"].as_array()).flatten();
        Ok(consumers
            .filter(|consumer| consumer["config"]["inactive_threshold"].as_u64().unwrap_or(0) == 0)
            .count())
    }

    /// Leaves the directory for whoever wants to look into it.
    pub(crate) fn keep(mut self) -> PathBuf {
        self.dir.disable_cleanup(true);
        self.dir.path().to_owned()
    }
}

fn log_of(dir: &Path, name: &str) -> PathBuf {
    dir.join(format!("{name}.log"))
}

fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}
