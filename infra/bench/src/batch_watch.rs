//! A batch on a running server from its beginning to its end: how fast, how full the engine, how much memory.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::time::sleep;

use crate::memory;

const POLL: Duration = Duration::from_millis(200);
/// Running sequences that count as all: some end with every step.
const FULL_SHARE: f64 = 0.95;
/// The engine fills at first and empties at last.
const STEADY: std::ops::Range<f64> = 0.1..0.9;
const MEMORY_AT: [f64; 3] = [0.1, 0.5, 0.9];

/// Why a batch could not be watched.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// The server does not answer, or not as expected.
    #[error("the server cannot be watched: {0}")]
    Http(#[from] reqwest::Error),
    /// It ended otherwise than it should.
    #[error("the batch is {status} with {num_failed} lines that failed")]
    Ended {
        /// Its last status.
        status: String,
        /// Lines without an answer.
        num_failed: u64,
    },
}

/// A batch that was completed.
#[derive(Debug, Clone, Serialize)]
pub struct BatchFigures {
    /// Its lines.
    pub num_lines: u64,
    /// From its creation to the end of its files.
    pub seconds: f64,
    /// Of them for writing the files.
    pub finalizing_seconds: f64,
    /// Share of the wall time in which the engine worked, from a tenth to nine tenths of the lines.
    pub busy_share: f64,
    /// Share of the samples in which every sequence that a batch may run was running, or one more waited.
    pub full_share: f64,
    /// What each process had allocated at a tenth, a half and nine tenths of the lines.
    pub memory: Vec<ProcessMemory>,
}

/// Anonymous memory of one process.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ProcessMemory {
    /// Share of the lines that were over.
    pub at_share: f64,
    /// Its name.
    pub process: String,
    /// What it had allocated.
    pub anonymous_bytes: u64,
}

impl BatchFigures {
    /// Share of the wall time in which the engine stepped with full slots.
    #[must_use]
    pub fn utilisation(&self) -> f64 {
        self.busy_share * self.full_share
    }
}

/// The engine as its metrics tell it.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct EngineSample {
    num_running: f64,
    num_waiting: f64,
    busy_seconds: f64,
}

impl EngineSample {
    /// Reads a page of metrics.
    #[must_use]
    pub fn of(page: &str) -> Self {
        let value = |stem: &str| -> f64 {
            let samples = page.lines().filter_map(|line| line.strip_prefix("jetmill:")?.strip_prefix(stem));
            let samples = samples.filter(|rest| rest.starts_with('{'));
            samples.filter_map(|rest| rest.rsplit(' ').next()?.parse::<f64>().ok()).sum()
        };
        let busy = ["schedule", "draft", "forward", "sample"];
        Self {
            num_running: value("num_requests_running"),
            num_waiting: value("num_requests_waiting"),
            busy_seconds: busy.iter().map(|part| value(&format!("engine_{part}_seconds_total"))).sum(),
        }
    }

    /// Sequences that run.
    #[must_use]
    pub fn num_running(&self) -> f64 {
        self.num_running
    }
}

#[derive(Deserialize)]
struct ShownBatch {
    status: String,
    request_counts: ShownCounts,
}

#[derive(Deserialize)]
struct ShownCounts {
    total: u64,
    completed: u64,
    failed: u64,
}

/// A server, and the process whose memory counts.
#[derive(Debug, Clone)]
pub struct BatchWatch {
    client: reqwest::Client,
    url: String,
    pid: Option<u32>,
}

impl BatchWatch {
    /// Watches batches of the server at `url`, which runs as `pid`.
    #[must_use]
    pub fn new(url: &str, pid: Option<u32>) -> Self {
        Self { client: reqwest::Client::new(), url: url.to_owned(), pid }
    }

    /// The engine now.
    pub async fn engine(&self) -> Result<EngineSample, WatchError> {
        let page = self.client.get(format!("{}/metrics", self.url)).send().await?.error_for_status()?;
        Ok(EngineSample::of(&page.text().await?))
    }

    /// Gives a batch up; returns how long it took to end.
    pub async fn cancel(&self, id: &str) -> Result<Duration, WatchError> {
        let began = Instant::now();
        let cancel = self.client.post(format!("{}/v1/batches/{id}/cancel", self.url));
        cancel.send().await?.error_for_status()?;
        loop {
            let batch = self.batch(id).await?;
            match batch.status.as_str() {
                "cancelled" => return Ok(began.elapsed()),
                "completed" | "failed" | "expired" => {
                    let num_failed = batch.request_counts.failed;
                    return Err(WatchError::Ended { status: batch.status, num_failed });
                }
                _ => sleep(POLL).await,
            }
        }
    }

    /// Sees a batch that was just created to its end.
    pub async fn see_through(&self, id: &str, began: Instant) -> Result<BatchFigures, WatchError> {
        let mut steady: Vec<(Instant, EngineSample)> = Vec::new();
        let mut memory = Vec::new();
        let mut finalizing_since = None;
        loop {
            let batch = self.batch(id).await?;
            let ShownCounts { total, completed, failed } = batch.request_counts;
            match batch.status.as_str() {
                "completed" if failed == 0 => {
                    let now = Instant::now();
                    let (busy_share, full_share) = shares(&steady);
                    return Ok(BatchFigures {
                        num_lines: total,
                        seconds: (now - began).as_secs_f64(),
                        finalizing_seconds: (now - finalizing_since.unwrap_or(now)).as_secs_f64(),
                        busy_share,
                        full_share,
                        memory,
                    });
                }
                "completed" | "failed" | "expired" | "cancelled" => {
                    return Err(WatchError::Ended { status: batch.status, num_failed: failed });
                }
                "finalizing" => {
                    finalizing_since.get_or_insert_with(Instant::now);
                }
                _ => {}
            }
            let share = (completed + failed) as f64 / total.max(1) as f64;
            if STEADY.contains(&share) {
                steady.push((Instant::now(), self.engine().await?));
            }
            let num_taken = memory.iter().map(|taken: &ProcessMemory| taken.at_share);
            let last_taken = num_taken.fold(0.0, f64::max);
            let is_due = |at: &&f64| **at > last_taken && share >= **at;
            if let (Some(at), Some(pid)) = (MEMORY_AT.iter().rfind(is_due), self.pid) {
                memory.extend(memory::read_each(pid).into_iter().map(|(process, anonymous_bytes)| {
                    ProcessMemory { at_share: *at, process, anonymous_bytes }
                }));
            }
            sleep(POLL).await;
        }
    }

    async fn batch(&self, id: &str) -> Result<ShownBatch, WatchError> {
        let batch = self.client.get(format!("{}/v1/batches/{id}", self.url)).send().await?;
        Ok(batch.error_for_status()?.json().await?)
    }
}

/// How much of the time the engine worked, and in how many of the samples with full slots.
fn shares(samples: &[(Instant, EngineSample)]) -> (f64, f64) {
    let (Some((began, first)), Some((ended, last))) = (samples.first(), samples.last()) else {
        return (0.0, 0.0);
    };
    let seconds = (*ended - *began).as_secs_f64();
    let busy_share = if seconds > 0.0 { (last.busy_seconds - first.busy_seconds) / seconds } else { 0.0 };
    let most = samples.iter().map(|(_, sample)| sample.num_running).fold(0.0, f64::max);
    let is_full = |sample: &EngineSample| {
        sample.num_running + sample.num_waiting >= most || sample.num_running >= most * FULL_SHARE
    };
    let num_full = samples.iter().filter(|(_, sample)| is_full(sample)).count();
    (busy_share, num_full as f64 / samples.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(num_running: u32, num_waiting: u32, forward: f64) -> String {
        format!(
            "# HELP jetmill:num_requests_running Sequences in the batch.\n\
             jetmill:num_requests_running{{model_name=\"m\"}} {num_running}\n\
             jetmill:num_requests_waiting{{model_name=\"m\"}} {num_waiting}\n\
             jetmill:engine_forward_seconds_total{{model_name=\"m\"}} {forward}\n\
             jetmill:engine_sample_seconds_total{{model_name=\"m\"}} 0.5\n"
        )
    }

    #[test]
    fn the_engine_is_used_when_it_works_and_every_slot_is_taken() {
        let start = Instant::now();
        let second = Duration::from_secs(1);
        let samples: Vec<_> =
            [page(100, 9, 1.0), page(96, 0, 1.8), page(80, 30, 2.7), page(50, 0, 3.4), page(100, 0, 4.6)]
                .iter()
                .zip(0..)
                .map(|(page, second_number)| (start + second * second_number, EngineSample::of(page)))
                .collect();
        let (busy_share, full_share) = shares(&samples);
        assert!((busy_share - 0.9).abs() < 1e-9, "{busy_share}");
        assert!((full_share - 0.8).abs() < 1e-9, "{full_share}");
        assert_eq!(shares(&[]), (0.0, 0.0));
    }
}
