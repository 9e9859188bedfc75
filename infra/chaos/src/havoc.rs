//! The blows, in an order that follows from a seed.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use anyhow::Result;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::site::{Role, Site};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Blow {
    /// SIGKILL, and a new process.
    Kill,
    /// SIGTERM, and a new process.
    Terminate,
    /// SIGSTOP, and SIGCONT a while later.
    Pause,
    /// No way to the broker for a while; for the database: nobody's way to it.
    CutOff,
}

impl Blow {
    fn name(self) -> &'static str {
        match self {
            Self::Kill => "killed",
            Self::Terminate => "ended",
            Self::Pause => "stopped for a while",
            Self::CutOff => "cut off for a while",
        }
    }
}

/// How often what was done to whom.
#[derive(Debug, Default)]
pub(crate) struct Blows {
    counts: BTreeMap<(Blow, Role), usize>,
    /// Who ended although nobody struck it.
    pub(crate) ended_alone: Vec<String>,
}

impl fmt::Display for Blows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total: usize = self.counts.values().sum();
        write!(f, "{total} blows:")?;
        for ((blow, role), count) in &self.counts {
            write!(f, " {role} {} {count} ×,", blow.name())?;
        }
        Ok(())
    }
}

#[derive(Debug)]
pub(crate) struct Havoc {
    random: StdRng,
    mean_interval: Duration,
    blows: Blows,
}

impl Havoc {
    pub(crate) fn new(seed: u64, mean_interval: Duration) -> Self {
        Self { random: StdRng::seed_from_u64(seed ^ 0x5eed), mean_interval, blows: Blows::default() }
    }

    /// Strikes until then. Afterwards every process runs again.
    pub(crate) async fn rage(mut self, site: &mut Site, until: Instant) -> Result<Blows> {
        while Instant::now() < until {
            tokio::time::sleep(self.mean_interval.mul_f64(self.random.random_range(0.5..1.5))).await;
            self.blows.ended_alone.extend(site.revive()?);
            let index = self.random.random_range(0..site.members.len());
            let blow = match self.random.random_range(0..10) {
                0..5 => Blow::Kill,
                5 => Blow::Terminate,
                6 | 7 => Blow::Pause,
                _ => Blow::CutOff,
            };
            self.strike(site, index, blow).await?;
        }
        Ok(self.blows)
    }

    async fn strike(&mut self, site: &mut Site, index: usize, blow: Blow) -> Result<()> {
        let pause = Duration::from_millis(self.random.random_range(100..4_000));
        let member = &mut site.members[index];
        let role = member.role;
        match blow {
            Blow::Kill => {
                member.kill().await?;
                tokio::time::sleep(pause / 4).await;
                site.restart(index)?;
            }
            Blow::Terminate => {
                member.terminate().await?;
                site.restart(index)?;
            }
            Blow::Pause => {
                member.pause()?;
                tokio::time::sleep(pause).await;
                member.resume()?;
            }
            Blow::CutOff => {
                if !member.cut_off(pause) {
                    return Ok(());
                }
            }
        }
        *self.blows.counts.entry((blow, role)).or_default() += 1;
        Ok(())
    }
}
