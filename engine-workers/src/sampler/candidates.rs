//! The few most likely tokens, found without sorting the vocabulary.

use std::cmp::Ordering;

use crate::sampler::softmax;

/// A token that may be chosen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Candidate {
    pub(super) logit: f32,
    pub(super) token_id: u32,
}

impl Candidate {
    /// Most likely first, among equals the lowest id.
    fn order(&self, other: &Self) -> Ordering {
        other.logit.total_cmp(&self.logit).then(self.token_id.cmp(&other.token_id))
    }
}

/// Fills `top` with the `k` most likely tokens, most likely first; fewer if fewer are possible.
///
/// One pass that collects what beats the k-th best known so far and cuts back to `k` whenever `2k` are collected. Ids
/// rise, so a later token of equal logit never belongs before an earlier one.
pub(super) fn select_top(logits: &[f32], k: usize, top: &mut Vec<Candidate>) {
    const SLACK: usize = 64;
    top.clear();
    if k == 0 {
        return;
    }
    let mut beat = f32::NEG_INFINITY;
    for (token_id, logit) in (0..).zip(logits) {
        if *logit > beat {
            top.push(Candidate { logit: *logit, token_id });
            if top.len() == 2 * k + SLACK {
                top.select_nth_unstable_by(k - 1, Candidate::order);
                top.truncate(k);
                beat = top[k - 1].logit;
            }
        }
    }
    if top.len() > k {
        top.select_nth_unstable_by(k - 1, Candidate::order);
        top.truncate(k);
    }
    top.sort_unstable_by(Candidate::order);
}

/// Fills `nucleus` with the shortest run of most likely tokens whose probability reaches `top_p`; the maximum of `logits`
/// is 0.
///
/// The tokens within a widening distance of the best are collected until they reach `top_p`; only those are sorted.
pub(super) fn select_nucleus(logits: &[f32], top_p: f32, nucleus: &mut Vec<Candidate>) {
    let total = softmax::sum_exp(logits, 0.0);
    for distance in [3.0, 7.0, 15.0, f32::INFINITY] {
        nucleus.clear();
        let mut sum = 0.0;
        for (token_id, logit) in (0..).zip(logits) {
            if *logit >= -distance && *logit > f32::NEG_INFINITY {
                nucleus.push(Candidate { logit: *logit, token_id });
                sum += f64::from(softmax::exp(*logit));
            }
        }
        if sum >= f64::from(top_p) * total {
            break;
        }
    }
    nucleus.sort_unstable_by(Candidate::order);
    cut_to_nucleus(nucleus, top_p, Some(total));
}

/// Cuts sorted candidates after the first at which the cumulative probability reaches `top_p`; at least one stays.
/// `total` is the weight of the whole distribution, that of the candidates if absent.
pub(super) fn cut_to_nucleus(sorted: &mut Vec<Candidate>, top_p: f32, total: Option<f64>) {
    if top_p >= 1.0 {
        return;
    }
    let total = total.unwrap_or_else(|| sorted.iter().map(|c| f64::from(softmax::exp(c.logit))).sum());
    let enough = f64::from(top_p) * total;
    let mut cumulative = 0.0;
    let num_kept = sorted
        .iter()
        .position(|candidate| {
            cumulative += f64::from(softmax::exp(candidate.logit));
            cumulative >= enough
        })
        .map_or(sorted.len(), |index| index + 1);
    sorted.truncate(num_kept);
}

/// The candidate at `draw` of their cumulative distribution.
pub(super) fn draw_from(candidates: &[Candidate], draw: f64) -> Option<u32> {
    let weight = |candidate: &Candidate| f64::from(softmax::exp(candidate.logit));
    let mut target = draw * candidates.iter().map(weight).sum::<f64>();
    for candidate in candidates {
        target -= weight(candidate);
        if target < 0.0 {
            return Some(candidate.token_id);
        }
    }
    // Rounding may carry the target past the end; a weight that underflowed to 0 stays impossible.
    let possible = candidates.iter().rev().find(|candidate| weight(candidate) > 0.0);
    possible.map(|candidate| candidate.token_id)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sorted(logits: &[f32]) -> Vec<Candidate> {
        let possible = (0..).zip(logits).filter(|(_, logit)| **logit > f32::NEG_INFINITY);
        let mut all: Vec<_> =
            possible.map(|(token_id, logit)| Candidate { logit: *logit, token_id }).collect();
        all.sort_by(Candidate::order);
        all
    }

    /// Few distinct values, so that ties are common.
    fn logits() -> impl Strategy<Value = Vec<f32>> {
        let logit = prop_oneof![
            8 => (-12_i8..=0).prop_map(|x| f32::from(x) / 2.0),
            1 => Just(f32::NEG_INFINITY),
        ];
        prop::collection::vec(logit, 1..600).prop_map(|mut logits| {
            logits[0] = 0.0;
            logits
        })
    }

    proptest! {
        #[test]
        fn top_k_equals_the_head_of_a_full_sort(logits in logits(), k in 1_usize..40) {
            let mut top = Vec::new();
            select_top(&logits, k, &mut top);
            let mut expected = sorted(&logits);
            expected.truncate(k);
            prop_assert_eq!(top, expected);
        }

        #[test]
        fn the_nucleus_equals_that_of_a_full_sort(logits in logits(), top_p in 0.01_f32..0.999) {
            let mut nucleus = Vec::new();
            select_nucleus(&logits, top_p, &mut nucleus);
            let mut expected = sorted(&logits);
            cut_to_nucleus(&mut expected, top_p, Some(softmax::sum_exp(&logits, 0.0)));
            prop_assert_eq!(nucleus, expected);
        }
    }
}
