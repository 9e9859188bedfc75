//! Each role in processes of its own, over one broker and one database.

use std::fmt;
use std::fs::{File, Permissions};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use clap::ValueEnum;
use tempfile::TempDir;
use tokio::process::Command;

use crate::link::Link;
use crate::member::Member;
use crate::postgres::Postgres;

/// The name under which clients ask for the model.
pub(crate) const MODEL: &str = "chaos";
/// For a process to be ready, or to end.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);
pub(crate) const POLL: Duration = Duration::from_millis(50);

/// The programs that take part.
#[derive(Debug)]
pub(crate) struct Programs {
    pub(crate) jetmill: PathBuf,
    pub(crate) nats_server: PathBuf,
    pub(crate) model: PathBuf,
}

/// Where the tables are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum DatabaseKind {
    Sqlite,
    Postgres,
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
    Database,
}

impl Role {
    /// How many of each there are.
    const ALL: [(Self, usize); 8] = [
        (Self::Broker, 1),
        (Self::Api, 2),
        (Self::Guardrail, 2),
        (Self::Router, 2),
        (Self::Worker, 2),
        (Self::Projector, 1),
        (Self::Jobs, 2),
        (Self::Database, 1),
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
            Self::Database => "database",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[derive(Debug)]
pub(crate) struct Site {
    dir: TempDir,
    programs: Programs,
    broker: SocketAddr,
    monitor: SocketAddr,
    postgres: Option<Postgres>,
    database_url: String,
    pub(crate) members: Vec<Member>,
}

impl Site {
    /// All roles, ready for requests.
    pub(crate) async fn start(programs: Programs, database: DatabaseKind) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("jetmill-chaos-").tempdir()?;
        let (broker, monitor) = (free_address()?, free_address()?);
        // Streams reserve more than a small disk has, and use next to nothing of it.
        let config = format!(
            "jetstream {{ store_dir: {:?}, max_file_store: 256GB }}\nlisten: \"{broker}\"\nhttp: \"{monitor}\"\n",
            dir.path().join("broker")
        );
        std::fs::write(dir.path().join("broker.conf"), config)?;
        let mut site = Self {
            database_url: format!("sqlite://{}?mode=rwc", dir.path().join("rows.sqlite").display()),
            dir,
            programs,
            broker,
            monitor,
            postgres: None,
            members: Vec::new(),
        };
        if database == DatabaseKind::Postgres {
            site.add_postgres().await?;
        }
        for (role, count) in Role::ALL.into_iter().filter(|(role, _)| *role != Role::Database) {
            for number in 1..=count {
                let link = if role == Role::Broker { None } else { Some(Link::to(broker).await?) };
                let listen = (role == Role::Api).then(free_address).transpose()?;
                site.add(Member { role, name: format!("{role}-{number}"), listen, link, child: None })?;
            }
        }
        for url in site.api_urls() {
            site.wait_until_ready(&format!("{url}/health/readiness")).await?;
        }
        Ok(site)
    }

    async fn add_postgres(&mut self) -> Result<()> {
        // The server runs as another user, who must get to its files.
        std::fs::set_permissions(self.dir.path(), Permissions::from_mode(0o711))?;
        let dir = self.dir.path().join("postgres");
        std::fs::create_dir(&dir)?;
        let address = free_address()?;
        self.postgres = Some(Postgres::make(dir, address).await?);
        let link = Link::to(address).await?;
        self.database_url = Postgres::url(link.address());
        let (role, name) = (Role::Database, Role::Database.to_string());
        self.add(Member { role, name, listen: None, link: Some(link), child: None })
    }

    fn add(&mut self, member: Member) -> Result<()> {
        self.members.push(member);
        self.restart(self.members.len() - 1)
    }

    /// Starts the process of a member that has none.
    pub(crate) fn restart(&mut self, index: usize) -> Result<()> {
        let command = self.command(&self.members[index])?;
        let member = &mut self.members[index];
        let log = File::options().create(true).append(true).open(log_of(self.dir.path(), &member.name))?;
        let mut command = command;
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).kill_on_drop(true).spawn();
        member.child = Some(child.with_context(|| format!("{} cannot be started", member.name))?);
        Ok(())
    }

    /// Starts those anew that ended by themselves, and names them.
    pub(crate) fn revive(&mut self) -> Result<Vec<String>> {
        let mut revived = Vec::new();
        for index in 0..self.members.len() {
            if self.members[index].has_ended()? {
                revived.push(self.members[index].name.clone());
                self.restart(index)?;
            }
        }
        Ok(revived)
    }

    fn command(&self, member: &Member) -> Result<Command> {
        let dir = self.dir.path();
        if let (Role::Database, Some(postgres)) = (member.role, &self.postgres) {
            return postgres.server();
        }
        if member.role == Role::Broker {
            let mut command = Command::new(&self.programs.nats_server);
            command.arg("-c").arg(dir.join("broker.conf"));
            return Ok(command);
        }
        let mut command = Command::new(&self.programs.jetmill);
        command
            .env_clear()
            .current_dir(dir)
            .arg(member.role.name())
            .arg("--data")
            .arg(dir.join(&member.name));
        command.args(["--database", &self.database_url]);
        if let Some(link) = &member.link {
            command.args(["--nats", &format!("nats://{}", link.address())]);
        }
        if let Some(listen) = member.listen {
            command.args(["--listen", &listen.to_string()]);
        }
        if member.role == Role::Worker {
            command.args(["--model-name", MODEL, "--worker-id", &member.name]);
            command.args(["--num-threads", "1", "--kv-cache-mib", "256", "--model"]);
            command.arg(&self.programs.model);
        }
        Ok(command)
    }

    pub(crate) fn database_url(&self) -> &str {
        &self.database_url
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
