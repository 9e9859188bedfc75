use std::ops::Range;

use super::{LowRankTerm, blocks};
use crate::WeightType;
use crate::disjoint::Disjoint;
use crate::lanes::{Kernel, Lanes, NUM_LANES};
use crate::matmul::float::{Element, OfBf16, OfF16, OfF32};

/// `out[rows[i], first_col + n] += scale · Σ_r sums[i, r]·B[n, r]` for panels of outputs, counted over the ranges of columns.
/// A panel is one thread's for all terms, so that no two write to one place.
pub(super) struct Up<'a> {
    pub(super) terms: &'a [LowRankTerm<'a>],
    pub(super) sums: &'a [f32],
    pub(super) out: &'a Disjoint<'a, f32>,
    pub(super) row_stride: usize,
    pub(super) first_row: u32,
    pub(super) panels: Range<usize>,
}

impl Kernel for Up<'_> {
    #[inline(always)]
    fn run<V: Lanes>(self, v: V) {
        let (mut first_panel, mut first_sum) = (0, 0);
        for block in blocks(self.terms) {
            let end = first_panel + block[0].update.up.num_panels;
            let panels = self.panels.start.max(first_panel)..self.panels.end.min(end);
            for term in block {
                let sums = &self.sums[first_sum..first_sum + term.num_sums()];
                for panel in panels.clone() {
                    let panel = panel - first_panel;
                    match term.update.up.weight_type {
                        WeightType::F16 => self.run_panel::<V, OfF16>(v, term, (panel, sums)),
                        WeightType::BF16 => self.run_panel::<V, OfBf16>(v, term, (panel, sums)),
                        _ => self.run_panel::<V, OfF32>(v, term, (panel, sums)),
                    }
                }
                first_sum += sums.len();
            }
            first_panel = end;
        }
    }
}

impl Up<'_> {
    #[inline(always)]
    fn run_panel<V: Lanes, E: Element>(&self, v: V, term: &LowRankTerm<'_>, (panel, sums): (usize, &[f32])) {
        let mut row = 0;
        while row + 4 <= term.rows.len() {
            self.run_rows::<V, E, 4>(v, term, (row, panel, sums));
            row += 4;
        }
        while row < term.rows.len() {
            self.run_rows::<V, E, 1>(v, term, (row, panel, sums));
            row += 1;
        }
    }

    #[inline(always)]
    fn run_rows<V: Lanes, E: Element, const MR: usize>(
        &self,
        v: V,
        term: &LowRankTerm<'_>,
        (first, panel, sums): (usize, usize, &[f32]),
    ) {
        let (rank, stride) = (term.update.rank, term.sum_stride());
        let weights = term.update.up.panel(panel);
        let factors: [&[f32]; MR] =
            std::array::from_fn(|i| &sums[(first + i) * stride..(first + i) * stride + rank]);
        let mut sums = [v.splat(0.0); MR];
        for (r, weight) in weights.chunks_exact(NUM_LANES * E::NUM_BYTES).take(rank).enumerate() {
            // SAFETY: a chunk is 16 elements.
            let weight = unsafe { E::load(v, weight.as_ptr()) };
            for i in 0..MR {
                // SAFETY: each slice has `rank` elements.
                let factor = unsafe { *factors[i].get_unchecked(r) };
                sums[i] = v.fma(weight, v.splat(factor), sums[i]);
            }
        }
        let scale = v.splat(term.update.scale);
        let width = NUM_LANES.min(term.update.num_outputs - panel * NUM_LANES);
        for (i, sum) in sums.into_iter().enumerate() {
            let row = (term.rows[first + i] - self.first_row) as usize;
            let start = row * self.row_stride + term.first_col + panel * NUM_LANES;
            // SAFETY: this piece alone has these columns, and it visits one row after the other.
            let out = unsafe { self.out.range(start..start + width) };
            if width == NUM_LANES {
                // SAFETY: the range is 16 elements.
                unsafe {
                    let before = v.load(out.as_ptr());
                    v.store(out.as_mut_ptr(), v.fma(scale, sum, before));
                }
                continue;
            }
            let mut lanes = [0.0; NUM_LANES];
            lanes[..width].copy_from_slice(out);
            // SAFETY: the array is 16 elements.
            unsafe {
                let before = v.load(lanes.as_ptr());
                v.store(lanes.as_mut_ptr(), v.fma(scale, sum, before));
            }
            out.copy_from_slice(&lanes[..width]);
        }
    }
}
