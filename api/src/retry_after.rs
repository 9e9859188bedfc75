//! When a client that was refused should come back.

use std::time::Duration;

const MIN: Duration = Duration::from_secs(1);
const MAX: Duration = Duration::from_secs(60);
/// When nothing was measured yet.
const UNKNOWN: Duration = Duration::from_secs(5);

/// Time until `num` more are gone, when `num_gone` went within `window`; between 1 and 60 s. The longer none went, the
/// longer it may take.
pub(crate) fn retry_after(num: u64, num_gone: u64, window: Duration) -> Duration {
    if num_gone == 0 {
        return window.clamp(UNKNOWN, MAX);
    }
    let seconds = (window.as_secs_f64() * num as f64 / num_gone as f64).ceil();
    Duration::from_secs(seconds.min(60.0) as u64).clamp(MIN, MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(num: u64, num_gone: u64, window_seconds: u64, expected_seconds: u64) {
        let found = retry_after(num, num_gone, Duration::from_secs(window_seconds));
        assert_eq!(found.as_secs(), expected_seconds);
    }

    #[test]
    fn the_wait_follows_the_measured_rate() {
        check(1, 10, 100, 10);
        check(3, 10, 100, 30);
        check(1, 64, 1, 1);
        check(1, 1, 100_000, 60);
        check(1, 0, 0, 5);
        check(1, 0, 20, 20);
        check(1, 0, 100, 60);
    }
}
