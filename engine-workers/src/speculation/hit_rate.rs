//! How often guesses were right lately.

/// What an old guess still weighs when a new one comes; a dozen guesses decide.
const DECAY: f64 = 0.92;

/// The share of guesses that were right, the newest weighing most.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct HitRate {
    num_hits: f64,
    num_guesses: f64,
}

impl HitRate {
    /// As if three guesses had had this share of hits.
    pub(crate) const fn expected(rate: f64) -> Self {
        Self { num_hits: 3.0 * rate, num_guesses: 3.0 }
    }

    /// One more guess.
    pub(crate) fn add(&mut self, is_hit: bool) {
        self.num_hits = self.num_hits * DECAY + f64::from(u8::from(is_hit));
        self.num_guesses = self.num_guesses * DECAY + 1.0;
    }

    /// The share, 0 to 1.
    pub(crate) fn get(self) -> f64 {
        self.num_hits / self.num_guesses
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_follows_the_latest_guesses() {
        let mut rate = HitRate::expected(0.5);
        assert_eq!(rate.get(), 0.5);
        (0..50).for_each(|_| rate.add(true));
        assert!(rate.get() > 0.95);
        (0..12).for_each(|_| rate.add(false));
        assert!(rate.get() < 0.5);
    }
}
