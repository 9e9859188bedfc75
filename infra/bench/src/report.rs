//! What a run is reduced to.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::completion::{Completion, Outcome};
use crate::load::Measured;
use crate::memory::MemorySample;
use crate::quantiles::Quantiles;
use crate::table::Table;

/// The figures of one run.
#[derive(Debug, Clone, Serialize)]
pub struct LoadReport {
    /// Streams that ended as they should.
    pub num_completed: usize,
    /// Streams that did not, by cause.
    pub failures: BTreeMap<String, usize>,
    /// From the first request to the end of the last answer.
    pub elapsed_seconds: f64,
    /// Generated tokens of completed streams over the elapsed time.
    pub output_tokens_per_second: f64,
    /// Prompt tokens of completed streams over the elapsed time.
    pub prompt_tokens_per_second: f64,
    /// Completed streams over the elapsed time.
    pub requests_per_second: f64,
    /// Prompt tokens that came from a prefix cache, of all.
    pub cached_prompt_share: f64,
    /// From when a request was due to its first token.
    pub time_to_first_token: Quantiles,
    /// Between events with output.
    pub inter_token: Quantiles,
    /// From when a request was due to the end of its stream.
    pub end_to_end: Quantiles,
    /// Memory of the watched process, if one was watched.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub memory: Vec<MemorySample>,
}

impl LoadReport {
    /// Reduces what was measured.
    #[must_use]
    pub fn new(measured: Measured, memory: Vec<MemorySample>) -> Self {
        let elapsed_seconds = measured.elapsed.as_secs_f64();
        let mut failures = BTreeMap::new();
        let mut completed: Vec<Completion> = Vec::new();
        for outcome in measured.outcomes {
            match outcome {
                Outcome::Completed(completion) => completed.push(completion),
                Outcome::Failed(reason) => *failures.entry(reason).or_insert(0) += 1,
            }
        }
        let sum = |of: fn(&Completion) -> u64| completed.iter().map(of).sum::<u64>() as f64;
        let num_prompt_tokens = sum(|completion| completion.num_prompt_tokens);
        let per_second = |amount: f64| if elapsed_seconds > 0.0 { amount / elapsed_seconds } else { 0.0 };
        Self {
            num_completed: completed.len(),
            failures,
            elapsed_seconds,
            output_tokens_per_second: per_second(sum(|completion| completion.num_output_tokens)),
            prompt_tokens_per_second: per_second(num_prompt_tokens),
            requests_per_second: per_second(completed.len() as f64),
            cached_prompt_share: sum(|completion| completion.num_cached_tokens) / num_prompt_tokens.max(1.0),
            time_to_first_token: Quantiles::of(completed.iter().map(|c| c.time_to_first_token).collect()),
            inter_token: Quantiles::of(
                completed.iter().flat_map(|c| c.inter_token.iter().copied()).collect(),
            ),
            end_to_end: Quantiles::of(completed.iter().map(|completion| completion.total).collect()),
            memory,
        }
    }

    /// How many streams failed.
    #[must_use]
    pub fn num_failed(&self) -> usize {
        self.failures.values().sum()
    }

    /// The report for people.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut table = Table::new(["ms", "p50", "p90", "p99", "max"]);
        let timings = [
            ("time to first token", self.time_to_first_token),
            ("inter-token", self.inter_token),
            ("end to end", self.end_to_end),
        ];
        for (name, quantiles) in timings {
            let values = [quantiles.p50_ms, quantiles.p90_ms, quantiles.p99_ms, quantiles.max_ms];
            table.row(std::iter::once(name.to_owned()).chain(values.map(|value| format!("{value:.1}"))));
        }
        let mut text = format!(
            "{} completed, {} failed in {:.1} s: {:.1} output tok/s, {:.1} prompt tok/s ({:.0} % cached), {:.2} requests/s\n\n{table}",
            self.num_completed,
            self.num_failed(),
            self.elapsed_seconds,
            self.output_tokens_per_second,
            self.prompt_tokens_per_second,
            self.cached_prompt_share * 100.0,
            self.requests_per_second,
        );
        for (reason, count) in &self.failures {
            text.push_str(&format!("\n{count} × {reason}"));
        }
        if let (Some(first), Some(last)) = (self.memory.first(), self.memory.last()) {
            let megabytes = |bytes: u64| bytes as f64 / 1e6;
            text.push_str(&format!(
                "\nmemory: resident {:.0} → {:.0} MB, of it allocated {:.0} → {:.0} MB",
                megabytes(first.resident_bytes),
                megabytes(last.resident_bytes),
                megabytes(first.anonymous_bytes),
                megabytes(last.anonymous_bytes),
            ));
        }
        text
    }
}
