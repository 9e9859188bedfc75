//! A PostgreSQL server of the site's own.

use std::net::SocketAddr;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, Result, bail};
use tokio::process::Command;

/// The user "nobody": PostgreSQL refuses to run as root.
const UNPRIVILEGED: u32 = 65_534;
const INSTALLED: &str = "/usr/lib/postgresql";

/// The files of a server, and how to start one over them.
#[derive(Debug)]
pub(crate) struct Postgres {
    dir: PathBuf,
    address: SocketAddr,
}

impl Postgres {
    /// Makes the files, in a directory that is there and that others may look into.
    pub(crate) async fn make(dir: PathBuf, address: SocketAddr) -> Result<Self> {
        if dir.metadata()?.uid() == 0 {
            chown(&dir, Some(UNPRIVILEGED), Some(UNPRIVILEGED))?;
        }
        let made = Self { dir, address };
        let mut command = made.program("initdb")?;
        command.args(["-U", "jetmill", "--auth=trust", "--no-sync", "-E", "UTF8"]).stdout(Stdio::null());
        let status = command.status().await;
        let status = status.context("initdb cannot be started; it comes with the package postgresql")?;
        if !status.success() {
            bail!("initdb: {status}");
        }
        Ok(made)
    }

    /// The server in the foreground. It does without fsync: processes die here, and the machine does not.
    pub(crate) fn server(&self) -> Result<Command> {
        let mut command = self.program("postgres")?;
        command.args(["-F", "-h", &self.address.ip().to_string(), "-p", &self.address.port().to_string()]);
        command.arg("-k").arg(&self.dir);
        Ok(command)
    }

    /// The database that every server has, by way of `address`.
    pub(crate) fn url(address: SocketAddr) -> String {
        format!("postgres://jetmill@{address}/postgres")
    }

    fn program(&self, name: &str) -> Result<Command> {
        let mut command = Command::new(programs().map_or_else(|| name.into(), |dir| dir.join(name)));
        command.current_dir(&self.dir).arg("-D").arg(self.dir.join("data"));
        let owner = self.dir.metadata()?.uid();
        if Path::new("/proc/self").metadata()?.uid() != owner {
            command.uid(owner).gid(owner);
        }
        Ok(command)
    }
}

/// Where Debian keeps the programs of the newest version; `None` leaves it to PATH.
fn programs() -> Option<PathBuf> {
    let versions = std::fs::read_dir(INSTALLED).ok()?;
    let dirs = versions.filter_map(|version| Some(version.ok()?.path().join("bin")));
    dirs.filter(|dir| dir.join("initdb").exists()).max()
}
