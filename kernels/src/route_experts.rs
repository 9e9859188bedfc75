use crate::error::{check_shape, count_rows};
use crate::exp::exp;
use crate::lanes::{Kernel, Lanes, NUM_LANES};
use crate::{KernelError, Pool};

/// The experts that compute each token, and their weights.
#[derive(Debug)]
pub struct ExpertPicks<'a> {
    /// How many experts a token has.
    pub num_used: usize,
    /// Whether weights are divided by the sum of the token's, so that they add up to 1.
    pub normalizes: bool,
    /// The experts, best first, `[tokens, num_used]`.
    pub experts: &'a mut [u32],
    /// Their weights, `[tokens, num_used]`.
    pub weights: &'a mut [f32],
}

/// Chooses experts by the router's scores.
///
/// For each token the `num_used` experts with the largest `scores[t,e]`, the lower index first where two are equal, with weights
/// `e^(s_e − max) / Σ_j e^(s_j − max)`, the sum over all experts in order, or over the chosen ones, best first, if
/// `normalizes`. `scores [tokens, experts]`, f32 row-major. A token with a NaN among its scores gets NaN weights.
///
/// # Errors
/// `BadParameter` if more experts are to be used than there are, or none; `ShapeMismatch` if an operand is not rows of its width.
///
/// Parity 2e-6; bit-identical between instruction sets. Source: Shazeer et al. 2017.
pub fn route_experts(
    pool: &Pool,
    scores: &[f32],
    num_experts: usize,
    picks: ExpertPicks<'_>,
) -> Result<(), KernelError> {
    const OP: &str = "route_experts";
    let num_used = picks.num_used;
    if num_used == 0 || num_used > num_experts {
        return Err(KernelError::BadParameter {
            op: OP,
            parameter: "num_used",
            value: num_used.to_string(),
            rule: "1 to the number of experts is needed",
        });
    }
    let num_rows = count_rows(OP, "scores", scores.len(), num_experts)?;
    check_shape(OP, "experts", picks.experts.len(), [num_rows, num_used])?;
    check_shape(OP, "weights", picks.weights.len(), [num_rows, num_used])?;
    let chosen = picks.experts.chunks_exact_mut(num_used).zip(picks.weights.chunks_exact_mut(num_used));
    for (scores, (experts, weights)) in scores.chunks_exact(num_experts).zip(chosen) {
        choose(scores, experts);
        let sum_over_all = !picks.normalizes;
        pool.verified_isa().dispatch(Weigh { scores, sum_over_all, experts, weights });
    }
    Ok(())
}

/// Writes the indexes of the largest scores, best first. NaN is never larger, so a row of NaN gives the first experts.
fn choose(scores: &[f32], experts: &mut [u32]) {
    for rank in 0..experts.len() {
        let (chosen, rest) = experts.split_at_mut(rank);
        let free = (0u32..).zip(scores).filter(|(expert, _)| !chosen.contains(expert));
        let best = free.reduce(|best, next| if next.1 > best.1 { next } else { best });
        if let (Some(slot), Some((expert, _))) = (rest.first_mut(), best) {
            *slot = expert;
        }
    }
}

struct Weigh<'a> {
    scores: &'a [f32],
    sum_over_all: bool,
    experts: &'a [u32],
    weights: &'a mut [f32],
}

impl Kernel for Weigh<'_> {
    #[inline(always)]
    fn run<V: Lanes>(self, v: V) {
        let best = self.scores[self.experts[0] as usize];
        let power = |scores: &[f32; NUM_LANES]| {
            let mut powers = [0.0; NUM_LANES];
            // SAFETY: both are 16 elements.
            unsafe {
                let scores = v.load(scores.as_ptr());
                v.store(powers.as_mut_ptr(), exp(v, v.sub(scores, v.splat(best))));
            }
            powers
        };
        for (experts, weights) in self.experts.chunks(NUM_LANES).zip(self.weights.chunks_mut(NUM_LANES)) {
            let mut scores = [0.0; NUM_LANES];
            for (score, expert) in scores.iter_mut().zip(experts) {
                *score = self.scores[*expert as usize];
            }
            weights.copy_from_slice(&power(&scores)[..weights.len()]);
        }
        let mut sum = 0.0;
        if self.sum_over_all {
            for chunk in self.scores.chunks(NUM_LANES) {
                let mut scores = [0.0; NUM_LANES];
                scores[..chunk.len()].copy_from_slice(chunk);
                for power in &power(&scores)[..chunk.len()] {
                    sum += power;
                }
            }
        } else {
            for weight in &*self.weights {
                sum += weight;
            }
            // A score that is NaN is never chosen before the others, and must not be lost.
            if self.scores.iter().any(|score| score.is_nan()) {
                sum = f32::NAN;
            }
        }
        for weight in self.weights {
            *weight /= sum;
        }
    }
}
