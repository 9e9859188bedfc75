//! When requests of an open loop arrive.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// A Poisson process: gaps are exponential, `−ln(1 − u) / rate`, and determined by the seed.
#[derive(Debug)]
pub struct PoissonArrivals {
    rate_per_second: f64,
    random: StdRng,
    next: Duration,
}

impl PoissonArrivals {
    /// Arrivals at that mean rate, which must be positive and finite.
    pub fn new(rate_per_second: f64, seed: u64) -> Option<Self> {
        (rate_per_second.is_finite() && rate_per_second > 0.0).then(|| Self {
            rate_per_second,
            random: StdRng::seed_from_u64(seed),
            next: Duration::ZERO,
        })
    }
}

impl Iterator for PoissonArrivals {
    type Item = Duration;

    /// The next arrival, as time since the start of the run.
    fn next(&mut self) -> Option<Duration> {
        let uniform: f64 = self.random.random();
        self.next += Duration::from_secs_f64(-(1.0 - uniform).ln() / self.rate_per_second);
        Some(self.next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrivals_come_at_the_mean_rate_and_vary() {
        let times: Vec<Duration> = PoissonArrivals::new(50.0, 1).unwrap().take(10_000).collect();
        let mean_gap = times.last().unwrap().as_secs_f64() / 10_000.0;
        assert!((mean_gap * 50.0 - 1.0).abs() < 0.05, "mean gap {mean_gap}");
        let short = times.windows(2).filter(|pair| (pair[1] - pair[0]).as_secs_f64() < mean_gap).count();
        // An exponential gap is below its mean with probability 1 − 1/e.
        assert!((short as f64 / 10_000.0 - 0.632).abs() < 0.02, "{short} gaps below the mean");
    }

    #[test]
    fn a_rate_that_is_not_positive_has_no_arrivals() {
        assert!(
            [0.0, -1.0, f64::NAN, f64::INFINITY]
                .into_iter()
                .all(|rate| PoissonArrivals::new(rate, 1).is_none())
        );
    }
}
