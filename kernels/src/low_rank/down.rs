use std::ops::Range;

use super::{LowRankTerm, ROWS_PER_ITEM};
use crate::WeightType;
use crate::disjoint::Disjoint;
use crate::lanes::{Kernel, Lanes, NUM_LANES};
use crate::matmul::float::{Element, OfBf16, OfF16, OfF32};

/// Sums that one inner product is cut into, so that a single row does not wait for each addition.
const NUM_PARTIAL_SUMS: usize = 4;

/// The rows that are corrected.
#[derive(Clone, Copy)]
pub(super) struct Input<'a> {
    pub(super) x: &'a [f32],
    pub(super) num_inputs: usize,
    pub(super) first_row: u32,
}

/// `sums[i, r] = Σ_k x[rows[i], k]·A[r, k]` for pairs of rows and panels of all terms.
pub(super) struct Down<'a> {
    pub(super) terms: &'a [LowRankTerm<'a>],
    pub(super) input: Input<'a>,
    pub(super) sums: &'a Disjoint<'a, f32>,
    pub(super) items: Range<usize>,
}

impl Kernel for Down<'_> {
    #[inline(always)]
    fn run<V: Lanes>(self, v: V) {
        let (mut first_item, mut first_sum) = (0, 0);
        for term in self.terms {
            let end = first_item + term.num_items();
            let items = self.items.start.max(first_item)..self.items.end.min(end);
            for item in items {
                let place = (item - first_item, first_sum);
                match term.update.down.weight_type {
                    WeightType::F16 => self.run_item::<V, OfF16>(v, term, place),
                    WeightType::BF16 => self.run_item::<V, OfBf16>(v, term, place),
                    _ => self.run_item::<V, OfF32>(v, term, place),
                }
            }
            (first_item, first_sum) = (end, first_sum + term.num_sums());
        }
    }
}

impl Down<'_> {
    #[inline(always)]
    fn run_item<V: Lanes, E: Element>(
        &self,
        v: V,
        term: &LowRankTerm<'_>,
        (item, first_sum): (usize, usize),
    ) {
        let num_panels = term.update.down.num_panels;
        let (row, panel) = (item / num_panels * ROWS_PER_ITEM, item % num_panels);
        let place = (row, panel, first_sum);
        if row + 1 < term.rows.len() {
            self.run_rows::<V, E, ROWS_PER_ITEM>(v, term, place);
        } else {
            self.run_rows::<V, E, 1>(v, term, place);
        }
    }

    #[inline(always)]
    fn run_rows<V: Lanes, E: Element, const MR: usize>(
        &self,
        v: V,
        term: &LowRankTerm<'_>,
        (first, panel, first_sum): (usize, usize, usize),
    ) {
        let Input { x, num_inputs, first_row } = self.input;
        let weights = term.update.down.panel(panel);
        let x: [&[f32]; MR] = std::array::from_fn(|i| {
            let row = (term.rows[first + i] - first_row) as usize;
            &x[row * num_inputs..(row + 1) * num_inputs]
        });
        let mut sums = [[v.splat(0.0); NUM_PARTIAL_SUMS]; MR];
        let num_whole = num_inputs / NUM_PARTIAL_SUMS * NUM_PARTIAL_SUMS;
        for k in (0..num_whole).step_by(NUM_PARTIAL_SUMS) {
            for part in 0..NUM_PARTIAL_SUMS {
                step::<V, E, MR>(v, weights, &x, (k + part, part), &mut sums);
            }
        }
        for k in num_whole..num_inputs {
            step::<V, E, MR>(v, weights, &x, (k, k - num_whole), &mut sums);
        }
        for (i, [a, b, c, d]) in sums.into_iter().enumerate() {
            let start = first_sum + (first + i) * term.sum_stride() + panel * NUM_LANES;
            // SAFETY: this item alone has these rows of this panel, and a range of 16 elements takes a vector.
            unsafe {
                let out = self.sums.range(start..start + NUM_LANES);
                v.store(out.as_mut_ptr(), v.add(v.add(a, b), v.add(c, d)));
            }
        }
    }
}

#[inline(always)]
fn step<V: Lanes, E: Element, const MR: usize>(
    v: V,
    weights: &[u8],
    x: &[&[f32]; MR],
    (k, part): (usize, usize),
    sums: &mut [[V::F; NUM_PARTIAL_SUMS]; MR],
) {
    debug_assert!((k + 1) * NUM_LANES * E::NUM_BYTES <= weights.len());
    // SAFETY: a panel holds 16 elements for each column, and `k` is one of them.
    let weight = unsafe { E::load(v, weights.as_ptr().add(k * NUM_LANES * E::NUM_BYTES)) };
    for i in 0..MR {
        // SAFETY: a row has as many elements as the panel has columns.
        let x = unsafe { *x[i].get_unchecked(k) };
        sums[i][part] = v.fma(weight, v.splat(x), sums[i][part]);
    }
}
