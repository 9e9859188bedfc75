//! The verdict over a long run of many streams.

use crate::memory::growth;
use crate::report::LoadReport;

/// What must hold after a soak.
#[derive(Debug, Clone, Copy)]
pub struct SoakLimits {
    /// Allocated memory at the end over allocated memory after warming up.
    pub max_memory_growth: f64,
}

/// Every way in which the run fell short; none when it passed.
#[must_use]
pub fn shortcomings(report: &LoadReport, limits: SoakLimits) -> Vec<String> {
    let mut found = Vec::new();
    if report.num_completed == 0 {
        found.push("no stream was completed".to_owned());
    }
    if report.num_failed() > 0 {
        found.push(format!("{} streams failed", report.num_failed()));
    }
    match growth(&report.memory) {
        Some(growth) if growth > limits.max_memory_growth => {
            found
                .push(format!("allocated memory grew {growth:.3} ×, at most {} ×", limits.max_memory_growth));
        }
        None if !report.memory.is_empty() => {
            found.push("too few memory samples to judge growth: let it run for longer".to_owned());
        }
        Some(_) | None => {}
    }
    found
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::completion::{Completion, Outcome};
    use crate::load::Measured;
    use crate::memory::MemorySample;

    fn check(outcomes: Vec<Outcome>, anonymous_bytes: &[u64], expected: &[&str]) {
        let memory = anonymous_bytes
            .iter()
            .map(|bytes| MemorySample { at_seconds: 0.0, resident_bytes: 0, anonymous_bytes: *bytes })
            .collect();
        let report = LoadReport::new(Measured { outcomes, elapsed: Duration::from_secs(1) }, memory);
        assert_eq!(shortcomings(&report, SoakLimits { max_memory_growth: 1.1 }), expected);
    }

    fn completed() -> Outcome {
        Outcome::Completed(Completion {
            time_to_first_token: Duration::from_millis(1),
            inter_token: Vec::new(),
            total: Duration::from_millis(2),
            num_prompt_tokens: 1,
            num_cached_tokens: 0,
            num_output_tokens: 1,
        })
    }

    #[test]
    fn a_failed_stream_an_empty_run_and_growing_memory_are_each_named() {
        check(vec![completed()], &[10; 10], &[]);
        check(vec![completed(), Outcome::Failed("x".to_owned())], &[], &["1 streams failed"]);
        check(Vec::new(), &[], &["no stream was completed"]);
        let growing = [10, 10, 10, 10, 10, 10, 10, 10, 20, 20];
        check(vec![completed()], &growing, &["allocated memory grew 2.000 ×, at most 1.1 ×"]);
    }
}
