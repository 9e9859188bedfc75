//! Integer sums where the processor multiplies bytes to sums of two in 16 bits.

use crate::lanes::Lanes;

/// Adds `factors·Σ_j dot4(quants[j], words(r)[j])` to each row's sums: quants of at most `max`, words of at most ±127, and factors of 16
/// bits in both halves of their lanes. Exact: as many sums of two are added up as 16 bits hold.
#[inline(always)]
pub(super) fn add_products<'a, V: Lanes, const MR: usize, const N: usize>(
    v: V,
    sums: &mut [V::I; MR],
    (quants, max): (&[V::I; N], i32),
    words: impl Fn(usize) -> &'a [i32; N],
    factors: V::I,
) {
    let num_held = (i32::from(i16::MAX) / (2 * max * 127)) as usize;
    let mut pairs = [v.splat_i32(0); MR];
    for (j, &quants) in quants.iter().enumerate() {
        for (r, pairs) in pairs.iter_mut().enumerate() {
            let products = v.mul_pairs(quants, v.splat_i32(words(r)[j]));
            *pairs = if j % num_held == 0 { products } else { v.add_i16(*pairs, products) };
        }
        if (j + 1) % num_held == 0 || j + 1 == N {
            for (sum, &pairs) in sums.iter_mut().zip(&pairs) {
                *sum = v.dot2_i16(*sum, pairs, factors);
            }
        }
    }
}
