//! Passes over a row of logits. The exponential is our own, so that a draw does not depend on the platform's libm.

/// Elements whose sum is kept in f32 lanes before it joins an f64 total.
const CHUNK: usize = 512;
const LANES: usize = 16;

/// First token whose logit is NaN or +∞; −∞ is a valid way to exclude a token.
pub(super) fn first_invalid(logits: &[f32]) -> Option<u32> {
    let is_invalid = |x: f32| x.is_nan() || x == f32::INFINITY;
    let any = logits.chunks(CHUNK).any(|chunk| chunk.iter().fold(false, |any, x| any | is_invalid(*x)));
    if !any {
        return None;
    }
    logits.iter().position(|x| is_invalid(*x)).map(|index| index as u32)
}

/// Lowest id among the greatest logits; `None` if all are −∞.
pub(super) fn first_maximum(logits: &[f32]) -> Option<u32> {
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let (chunks, rest) = logits.as_chunks::<LANES>();
    for chunk in chunks {
        for (lane, x) in lanes.iter_mut().zip(chunk) {
            *lane = if *x > *lane { *x } else { *lane };
        }
    }
    let max = lanes.iter().chain(rest).fold(f32::NEG_INFINITY, |max, x| if *x > max { *x } else { max });
    if max == f32::NEG_INFINITY {
        return None;
    }
    logits.iter().position(|x| *x == max).map(|index| index as u32)
}

/// `x[i] = (x[i] − shift) · scale`, the maximum first, so that a small temperature cannot overflow.
pub(super) fn shift_and_scale(logits: &mut [f32], shift: f32, scale: f32) {
    for x in logits {
        *x = (*x - shift) * scale;
    }
}

/// `x[i] = −∞` where `x[i] < least`.
pub(super) fn mask_below(logits: &mut [f32], least: f32) {
    for x in logits {
        *x = if *x < least { f32::NEG_INFINITY } else { *x };
    }
}

/// `exp(x)` for `x ≤ 0`, 0 below −87; relative error under 2e-7. Range reduction by ln 2 in two parts and the degree-6
/// polynomial of Cephes `expf` (Moshier 1989).
pub(super) fn exp(x: f32) -> f32 {
    /// 1.5 · 2^23: adding it rounds to an integer and leaves that integer in the low bits.
    const ROUND: f32 = 12_582_912.0;
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    let clamped = if x < -87.0 { -87.0 } else { x };
    let rounded = clamped * std::f32::consts::LOG2_E + ROUND;
    let n = rounded - ROUND;
    let r = clamped - n * LN_2_HIGH - n * LN_2_LOW;
    let mut p = 1.987_569_1e-4_f32;
    for coefficient in [1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5] {
        p = p * r + coefficient;
    }
    let mantissa = p * r * r + r + 1.0;
    let exponent = rounded.to_bits().wrapping_sub(ROUND.to_bits()).wrapping_add(127) << 23;
    if x < -87.0 { 0.0 } else { mantissa * f32::from_bits(exponent) }
}

/// `Σ exp(x[i] − max)` of one chunk: lanes in f32, their sum in f64, in an order that only depends on the length.
fn chunk_sum(chunk: &[f32], max: f32) -> f64 {
    let mut lanes = [0.0_f32; LANES];
    let (groups, rest) = chunk.as_chunks::<LANES>();
    for group in groups {
        for (lane, x) in lanes.iter_mut().zip(group) {
            *lane += exp(*x - max);
        }
    }
    let tail: f64 = rest.iter().map(|x| f64::from(exp(*x - max))).sum();
    lanes.iter().map(|lane| f64::from(*lane)).sum::<f64>() + tail
}

/// `Σ exp(x[i] − max)`.
pub(super) fn sum_exp(logits: &[f32], max: f32) -> f64 {
    logits.chunks(CHUNK).map(|chunk| chunk_sum(chunk, max)).sum()
}

/// The token at `draw` of the cumulative distribution of `logits`, whose maximum is 0; `None` if all are −∞.
pub(super) fn draw_from_all(logits: &[f32], draw: f64, chunk_sums: &mut Vec<f64>) -> Option<u32> {
    chunk_sums.clear();
    chunk_sums.extend(logits.chunks(CHUNK).map(|chunk| chunk_sum(chunk, 0.0)));
    let mut target = draw * chunk_sums.iter().sum::<f64>();
    let mut last_possible = None;
    let mut is_inside = false;
    for (index, sum) in chunk_sums.iter().enumerate().filter(|(_, sum)| **sum > 0.0) {
        last_possible = Some(index);
        is_inside = target < *sum;
        if is_inside {
            break;
        }
        target -= sum;
    }
    // Rounding may carry the target past the end; the last token with any probability is taken then.
    if !is_inside {
        target = f64::INFINITY;
    }
    let first = last_possible? * CHUNK;
    let chunk = &logits[first..logits.len().min(first + CHUNK)];
    let mut chosen = None;
    let mut cumulative = 0.0;
    for (offset, x) in chunk.iter().enumerate() {
        let weight = f64::from(exp(*x));
        if weight > 0.0 {
            chosen = Some((first + offset) as u32);
            cumulative += weight;
            if target < cumulative {
                break;
            }
        }
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_within_its_tolerance() {
        let mut x = 0.0_f32;
        while x > -87.0 {
            let expected = f64::from(x).exp();
            let relative = (f64::from(exp(x)) - expected).abs() / expected;
            assert!(relative < 2e-7, "exp({x}) is off by {relative:e}");
            x -= 0.0137;
        }
        assert_eq!(exp(0.0), 1.0);
        assert_eq!(exp(-87.5), 0.0);
        assert_eq!(exp(f32::NEG_INFINITY), 0.0);
    }

    #[test]
    fn the_first_of_equal_maxima_wins_wherever_it_is() {
        for len in [1, 5, 16, 17, 100] {
            for first in 0..len {
                let mut logits = vec![-1.0_f32; len];
                logits[first..].fill(2.0);
                assert_eq!(first_maximum(&logits), Some(first as u32));
            }
        }
        assert_eq!(first_maximum(&[f32::NEG_INFINITY; 20]), None);
        assert_eq!(first_maximum(&[]), None);
    }

    #[test]
    fn invalid_logits_are_found_wherever_they_are() {
        for index in [0, 15, 511, 512, 700] {
            for bad in [f32::NAN, f32::INFINITY] {
                let mut logits = vec![f32::NEG_INFINITY; 701];
                assert_eq!(first_invalid(&logits), None);
                logits[index] = bad;
                assert_eq!(first_invalid(&logits), Some(index as u32));
            }
        }
    }

    #[test]
    fn a_draw_at_either_end_hits_a_possible_token() {
        let mut logits = vec![f32::NEG_INFINITY; 1300];
        logits[600] = 0.0;
        logits[601] = -1.0;
        let mut sums = Vec::new();
        assert_eq!(draw_from_all(&logits, 0.0, &mut sums), Some(600));
        assert_eq!(draw_from_all(&logits, 1.0 - f64::EPSILON, &mut sums), Some(601));
        assert_eq!(draw_from_all(&logits, 1.0, &mut sums), Some(601));
    }
}
