//! Randomness as a function: the same (seed, choice, index) gives the same draw, whatever was drawn before.

use schemas::InferenceId;

const DRAW_CONTEXT: &str = "jetmill 2026 sampler draw v1";
const SEED_CONTEXT: &str = "jetmill 2026 sampler seed v1";

/// A draw from `[0, 1)` in steps of 2^-53 for the `token_index`-th token of an answer.
pub fn uniform(seed: u64, choice: u32, token_index: u64) -> f64 {
    let mut hasher = blake3::Hasher::new_derive_key(DRAW_CONTEXT);
    hasher.update(&seed.to_le_bytes());
    hasher.update(&choice.to_le_bytes());
    hasher.update(&token_index.to_le_bytes());
    (first_u64(&hasher) >> 11) as f64 / (1_u64 << 53) as f64
}

/// The seed of an inference whose client gave none; every attempt finds the same.
pub fn default_seed(id: InferenceId) -> u64 {
    let mut hasher = blake3::Hasher::new_derive_key(SEED_CONTEXT);
    hasher.update(id.uuid().as_bytes());
    first_u64(&hasher)
}

fn first_u64(hasher: &blake3::Hasher) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = *hasher.finalize().as_bytes();
    u64::from_le_bytes([a, b, c, d, e, f, g, h])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_are_uniform_over_ten_bins() {
        let mut bins = [0_u32; 10];
        for index in 0..100_000 {
            bins[(uniform(42, 0, index) * 10.0) as usize] += 1;
        }
        // Chi-squared with 9 degrees of freedom; 27.9 is exceeded once in a thousand seeds, and this seed is fixed.
        let chi_squared: f64 = bins.iter().map(|n| (f64::from(*n) - 1e4).powi(2) / 1e4).sum();
        assert!(chi_squared < 27.9, "{chi_squared}: {bins:?}");
    }

    #[test]
    fn seed_choice_and_index_each_change_the_draw() {
        let draws = [uniform(1, 0, 0), uniform(2, 0, 0), uniform(1, 1, 0), uniform(1, 0, 1)];
        for (i, a) in draws.iter().enumerate() {
            assert!(draws[i + 1..].iter().all(|b| a != b), "{draws:?}");
        }
    }

    #[test]
    fn the_function_is_frozen() {
        // Recorded answers are only replayable while this value stays.
        assert_eq!(uniform(7, 1, 3), 0.328_287_102_617_720_2);
    }
}
