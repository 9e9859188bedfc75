//! Integer sums where the processor multiplies bytes to sums of two in 16 bits.

use crate::lanes::Lanes;

/// Vectors of quants. A closure would not do: the compiler may leave it out of the function that has the instructions.
pub(super) trait Vectors<V: Lanes>: Copy {
    /// Vector `j` of the `N` that [`add_products`] asks for. Must be `#[inline(always)]`.
    fn get(self, v: V, j: usize) -> V::I;
}

/// Adds `factors·Σ_j dot4(quants[j], words(r)[j])` to each row's sums: quants of at most `max`, words of at most ±127, and factors of 16
/// bits in both halves of their lanes. Exact: as many sums of two are added up as 16 bits hold. Each vector of quants is asked for when
/// it is needed, so that few are in registers at a time.
#[inline(always)]
pub(super) fn add_products<'a, V: Lanes, const MR: usize, const N: usize>(
    v: V,
    sums: &mut [V::I; MR],
    (quants, max): (impl Vectors<V>, i32),
    words: impl Fn(usize) -> &'a [i32; N],
    factors: V::I,
) {
    let num_held = (i32::from(i16::MAX) / (2 * max * 127)) as usize;
    let mut pairs = [v.splat_i32(0); MR];
    for_each!(N, |i| {
        // Vectors `j` and `j + N / 2` may lie in the same bytes.
        let j = i / 2 + i % 2 * (N / 2);
        let quants = quants.get(v, j);
        if i % num_held == 0 {
            pairs = [v.splat_i32(0); MR];
        }
        for_each!(MR, |r| {
            pairs[r] = v.add_pairs(pairs[r], quants, &words(r)[j]);
        });
        if (i + 1) % num_held == 0 || i + 1 == N {
            for_each!(MR, |r| {
                sums[r] = v.dot2_i16(sums[r], pairs[r], factors);
            });
        }
    });
}
