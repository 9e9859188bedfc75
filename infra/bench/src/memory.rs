//! Resident memory of a process and its children over time.

use std::fs;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;

/// One reading of `/proc`. Linux only: elsewhere there are no samples.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct MemorySample {
    /// Since sampling began.
    pub at_seconds: f64,
    /// Resident, mapped files included.
    pub resident_bytes: u64,
    /// Resident and anonymous: what the process allocated, without mapped weights.
    pub anonymous_bytes: u64,
}

/// Samples until it is dropped.
#[derive(Debug)]
pub struct MemoryWatch {
    samples: Arc<Mutex<Vec<MemorySample>>>,
    task: tokio::task::JoinHandle<()>,
}

impl MemoryWatch {
    /// Watches `pid` and its descendants, one sample a second.
    #[must_use]
    pub fn start(pid: u32) -> Self {
        let samples = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&samples);
        let began = Instant::now();
        let task = tokio::spawn(async move {
            let mut tick = tokio::time::interval(Duration::from_secs(1));
            loop {
                tick.tick().await;
                if let Some((resident_bytes, anonymous_bytes)) = read_tree(pid) {
                    let sample = MemorySample {
                        at_seconds: began.elapsed().as_secs_f64(),
                        resident_bytes,
                        anonymous_bytes,
                    };
                    kept.lock().unwrap_or_else(PoisonError::into_inner).push(sample);
                }
            }
        });
        Self { samples, task }
    }

    /// What was seen so far.
    #[must_use]
    pub fn samples(&self) -> Vec<MemorySample> {
        self.samples.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for MemoryWatch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// How anonymous memory moved: the median of the last fifth of the samples over the median of the second fifth.
/// The first fifth is left out, since pools and caches fill there. `None` with fewer than ten samples.
#[must_use]
pub fn growth(samples: &[MemorySample]) -> Option<f64> {
    let fifth = samples.len() / 5;
    if fifth < 2 {
        return None;
    }
    let median = |part: &[MemorySample]| {
        let mut values: Vec<u64> = part.iter().map(|sample| sample.anonymous_bytes).collect();
        values.sort_unstable();
        values[values.len() / 2] as f64
    };
    Some(median(&samples[samples.len() - fifth..]) / median(&samples[fifth..2 * fifth]).max(1.0))
}

/// Resident and anonymous bytes of a process and its descendants; `None` when it is gone.
#[must_use]
pub fn read_tree(pid: u32) -> Option<(u64, u64)> {
    let (mut resident, mut anonymous) = read_process(pid)?;
    for child in children(pid) {
        if let Some((child_resident, child_anonymous)) = read_tree(child) {
            resident += child_resident;
            anonymous += child_anonymous;
        }
    }
    Some((resident, anonymous))
}

/// Anonymous bytes of a process and of each of its descendants, by their names; those that are gone are left out.
#[must_use]
pub fn read_each(pid: u32) -> Vec<(String, u64)> {
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    let own = read_process(pid).map(|(_, anonymous)| (name.trim_end().to_owned(), anonymous));
    own.into_iter().chain(children(pid).into_iter().flat_map(read_each)).collect()
}

fn children(pid: u32) -> Vec<u32> {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    threads
        .flatten()
        .filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok())
        .flat_map(|list| list.split_whitespace().filter_map(|id| id.parse().ok()).collect::<Vec<u32>>())
        .collect()
}

fn read_process(pid: u32) -> Option<(u64, u64)> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let field = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name))?;
        line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kilobytes| kilobytes * 1024)
    };
    Some((field("VmRSS:")?, field("RssAnon:")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_growth(megabytes: &[u64], expected: Option<f64>) {
        let samples: Vec<MemorySample> = megabytes
            .iter()
            .enumerate()
            .map(|(second, megabytes)| MemorySample {
                at_seconds: second as f64,
                resident_bytes: 0,
                anonymous_bytes: megabytes * 1_000_000,
            })
            .collect();
        assert_eq!(growth(&samples), expected);
    }

    #[test]
    fn growth_compares_the_end_with_the_time_after_warming_up() {
        check_growth(&[1, 5, 10, 10, 10, 10, 10, 10, 10, 10], Some(1.0));
        check_growth(&[1, 1, 10, 10, 10, 10, 10, 10, 20, 20], Some(2.0));
        check_growth(&[1, 2, 3], None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_has_memory_and_a_process_that_is_not_there_has_none() {
        let (resident, anonymous) = read_tree(std::process::id()).unwrap();
        assert!(resident >= anonymous && anonymous > 0);
        assert_eq!(read_tree(u32::MAX), None);
        let each = read_each(std::process::id());
        assert!(each.iter().any(|(name, anonymous)| !name.is_empty() && *anonymous > 0), "{each:?}");
        assert_eq!(read_each(u32::MAX), []);
    }
}
