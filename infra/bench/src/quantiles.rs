//! Quantiles of measured durations.

use std::time::Duration;

use serde::Serialize;

/// The quantiles that reports print, in milliseconds. All are zero when nothing was measured.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Quantiles {
    /// How many values there were.
    pub count: usize,
    /// Arithmetic mean.
    pub mean_ms: f64,
    /// Half of the values are at most this.
    pub p50_ms: f64,
    /// Nine in ten are at most this.
    pub p90_ms: f64,
    /// Ninety-nine in a hundred are at most this.
    pub p99_ms: f64,
    /// The largest.
    pub max_ms: f64,
}

impl Quantiles {
    /// Nearest-rank quantiles: `p = values[ceil(q × count) − 1]` of the sorted values, so each is a value that occurred.
    #[must_use]
    pub fn of(mut values: Vec<Duration>) -> Self {
        values.sort_unstable();
        let count = values.len();
        let at = |share: f64| {
            let rank = (share * count as f64).ceil().max(1.0) as usize;
            values.get(rank - 1).map_or(0.0, |value| milliseconds(*value))
        };
        let sum: f64 = values.iter().map(|value| milliseconds(*value)).sum();
        Self {
            count,
            mean_ms: if count == 0 { 0.0 } else { sum / count as f64 },
            p50_ms: at(0.5),
            p90_ms: at(0.9),
            p99_ms: at(0.99),
            max_ms: at(1.0),
        }
    }
}

fn milliseconds(value: Duration) -> f64 {
    value.as_secs_f64() * 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(milliseconds: &[u64], expected: (f64, f64, f64, f64)) {
        let quantiles = Quantiles::of(milliseconds.iter().map(|ms| Duration::from_millis(*ms)).collect());
        let found = (quantiles.p50_ms, quantiles.p90_ms, quantiles.p99_ms, quantiles.max_ms);
        assert_eq!(found, expected);
    }

    #[test]
    fn quantiles_are_values_that_occurred() {
        check(&[], (0.0, 0.0, 0.0, 0.0));
        check(&[4], (4.0, 4.0, 4.0, 4.0));
        check(&[3, 1, 2], (2.0, 3.0, 3.0, 3.0));
        check(&(1..=100).rev().collect::<Vec<_>>(), (50.0, 90.0, 99.0, 100.0));
    }
}
