//! One process of the site.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::Child;

use crate::link::Link;
use crate::site::{PATIENCE, POLL, Role};

/// One process, which can be started again after its death.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) role: Role,
    pub(crate) name: String,
    pub(crate) listen: Option<SocketAddr>,
    pub(crate) link: Option<Link>,
    pub(crate) child: Option<Child>,
}

impl Member {
    fn pid(&self) -> Result<Pid> {
        let pid = self.child.as_ref().and_then(Child::id).and_then(|pid| Pid::from_raw(pid.cast_signed()));
        pid.with_context(|| format!("{} is not running", self.name))
    }

    /// Stops it where it stands, and what it started; it goes on after [`Member::resume`].
    pub(crate) fn pause(&self) -> Result<()> {
        let pid = self.pid()?;
        kill_process(pid, Signal::STOP)?;
        signal_all(&children_of(pid)?, Signal::STOP)
    }

    pub(crate) fn resume(&self) -> Result<()> {
        let pid = self.pid()?;
        signal_all(&children_of(pid)?, Signal::CONT)?;
        Ok(kill_process(pid, Signal::CONT)?)
    }

    /// SIGKILL for it and what it started, as if the machine had gone.
    pub(crate) async fn kill(&mut self) -> Result<()> {
        let pid = self.pid()?;
        // A server of a database starts anew what dies below it.
        kill_process(pid, Signal::STOP)?;
        let children = children_of(pid)?;
        signal_all(&children, Signal::KILL)?;
        if let Some(mut child) = self.child.take() {
            child.kill().await?;
        }
        // It does not start while one of those still has its memory.
        while children.iter().any(|child| !is_gone(*child)) {
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }

    /// Asks it to end, and waits for that.
    pub(crate) async fn terminate(&mut self) -> Result<()> {
        // At a SIGTERM PostgreSQL would wait until nobody is connected any more.
        let signal = if self.role == Role::Database { Signal::INT } else { Signal::TERM };
        kill_process(self.pid()?, signal)?;
        if let Some(mut child) = self.child.take()
            && tokio::time::timeout(PATIENCE, child.wait()).await.is_err()
        {
            bail!("{} did not end when it was asked to", self.name);
        }
        Ok(())
    }

    /// Whether it ended and nobody made it.
    pub(crate) fn has_ended(&mut self) -> Result<bool> {
        Ok(self.child.as_mut().map(Child::try_wait).transpose()?.flatten().is_some())
    }

    /// Cuts its way to the broker for a while, or everybody's to the database; false for the broker itself.
    pub(crate) fn cut_off(&self, duration: Duration) -> bool {
        self.link.as_ref().map(|link| link.cut(duration)).is_some()
    }
}

/// The processes that a process started and that are there.
fn children_of(pid: Pid) -> Result<Vec<Pid>> {
    let pid = pid.as_raw_nonzero();
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))?;
    Ok(children.split_whitespace().filter_map(|pid| Pid::from_raw(pid.parse().ok()?)).collect())
}

fn signal_all(pids: &[Pid], signal: Signal) -> Result<()> {
    for pid in pids {
        match kill_process(*pid, signal) {
            Ok(()) | Err(Errno::SRCH) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Whether it ended; one that nobody asked for its end has no memory left.
fn is_gone(pid: Pid) -> bool {
    let memory = std::fs::read_to_string(format!("/proc/{}/statm", pid.as_raw_nonzero()));
    memory.map_or(true, |pages| pages.starts_with("0 "))
}
