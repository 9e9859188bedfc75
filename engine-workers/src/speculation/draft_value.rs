//! Whether a draft is worth its row.

/// Rows whose computation takes as long as what a step takes whatever its size, chiefly reading the weights.
const FIXED_COST_ROWS: f64 = 6.0;

/// The least chance of being right at which a draft pays in a step with `num_rows` other rows.
///
/// A step of `n` rows takes `F + n` (in rows, `F` = [`FIXED_COST_ROWS`]) and brings about `n` tokens, so a token is worth
/// `(F + n) / n` and a draft's row costs 1: it pays if `chance · (F + n) / n > 1`.
pub(crate) fn least_chance(num_rows: usize) -> f64 {
    let num_rows = num_rows as f64;
    num_rows / (num_rows + FIXED_COST_ROWS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drafts_must_be_surer_in_larger_steps() {
        assert!(least_chance(1) < 0.2);
        assert!(least_chance(64) > 0.9);
    }
}
