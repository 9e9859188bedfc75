use std::marker::PhantomData;

use super::format::{Format, Group, Panel, Scales, all_quants};
use super::pairs::add_products;
use super::prefetch::prefetch_group;
use super::{MAX_ROWS_TO_READ_WHOLE, PanelKernel};
use crate::activations::{Biases, Factors, GroupRows, Quants};
use crate::group::GROUP_SIZE;
use crate::lanes::{Lanes, NUM_LANES, PanelGroup};
use crate::packed_matrix::panel;

/// The product of quantised rows with a panel of one format.
#[derive(Clone, Copy)]
pub(super) struct IntegerKernel<'a, P> {
    rows: GroupRows<'a>,
    num_cols: usize,
    _format: PhantomData<P>,
}

/// Where a group of several rows begins for the first of them; that of the next group is `stride` further.
struct RowPointers {
    quants: *const Quants,
    factors: *const Factors,
    biases: *const Biases,
    stride: usize,
}

impl<'a, P: Format> IntegerKernel<'a, P> {
    #[inline(always)]
    pub(super) fn new(rows: GroupRows<'a>, num_cols: usize) -> Self {
        Self { rows, num_cols, _format: PhantomData }
    }

    #[inline(always)]
    fn adds_pairs<V: Lanes>() -> bool {
        V::HAS_PAIRS && P::MAX_QUANT <= 127
    }

    /// Of `MR` rows from `first_row`.
    #[inline(always)]
    fn row_pointers<const MR: usize>(self, first_row: usize, num_groups: usize) -> RowPointers {
        // The rows are within one tile, since tiles of the output are powers of two up to 16 and start at their multiples.
        let place = self.rows.place(first_row, num_groups);
        let end = place.first + num_groups.saturating_sub(1) * place.stride + MR;
        RowPointers {
            quants: self.rows.quants[place.first..end].as_ptr(),
            factors: self.rows.factors[place.first..end].as_ptr(),
            biases: self.rows.biases[place.first..end].as_ptr(),
            stride: place.stride,
        }
    }

    /// # Safety
    /// As `PanelKernel::run`, for a type of four or eight bits.
    #[inline(always)]
    unsafe fn run_four_rows<V: Lanes>(
        self,
        v: V,
        panel: Panel,
        first_row: usize,
        out: &mut [[f32; NUM_LANES]; 4],
    ) {
        let rows = self.row_pointers::<4>(first_row, panel.num_groups);
        let group_bytes = panel::num_bytes(P::WEIGHT_TYPE, self.num_cols) / panel.num_groups.max(1);
        *out = [[0.0; NUM_LANES]; 4];
        for index in 0..panel.num_groups {
            prefetch_group::<V, 4>(panel, (index, group_bytes), first_row);
            // SAFETY: the group is within the panel, and the rows have it.
            unsafe {
                let at = index * rows.stride;
                let group = PanelGroup {
                    tile: panel.tile(P::WEIGHT_TYPE, index),
                    scales: panel.record(P::WEIGHT_TYPE, index),
                    words: rows.quants.add(at).cast(),
                    factors: rows.factors.add(at),
                    biases: rows.biases.add(at),
                };
                if P::MAX_QUANT == 255 {
                    v.add_bytes(group, out);
                } else if P::HAS_OFFSETS {
                    v.add_nibbles::<true>(group, out);
                } else {
                    v.add_nibbles::<false>(group, out);
                }
            }
        }
    }

    /// # Safety
    /// As `PanelKernel::run`, for the lanes from `first_lane`.
    #[inline(always)]
    unsafe fn run_lanes<V: Lanes, const MR: usize>(
        self,
        v: V,
        panel: Panel,
        first_row: usize,
        out: &mut [[f32; NUM_LANES]; MR],
    ) {
        let num_groups = panel.num_groups;
        let rows = self.row_pointers::<MR>(first_row, num_groups);
        let mut sums = [v.splat(0.0); MR];
        let group_bytes = panel::num_bytes(P::WEIGHT_TYPE, self.num_cols) / num_groups.max(1);
        for index in 0..num_groups {
            prefetch_group::<V, MR>(panel, (index, group_bytes), first_row);
            // SAFETY: the group and the row exist.
            let row = |r: usize| unsafe {
                let at = index * rows.stride + r;
                (&*rows.quants.add(at), &*rows.factors.add(at), &*rows.biases.add(at))
            };
            if Self::adds_pairs::<V>() {
                let mut isums = std::array::from_fn(|r| v.splat_i32(P::bias(row(r).2, V::U8_BIAS)));
                let ones = v.splat_i32(0x0001_0001);
                // SAFETY: the group is within the panel.
                let group = unsafe { Group::<P>::new(panel, index) };
                add_products::<V, MR, 8>(v, &mut isums, (group, P::MAX_QUANT), |r| &row(r).0.0, ones);
                // SAFETY: the group is within the panel.
                let scales = unsafe { P::scales(v, panel, index) };
                for_each!(MR, |r| {
                    sums[r] = add_scaled::<V, P>(v, &scales, row(r).1, isums[r], sums[r]);
                });
                continue;
            }
            // SAFETY: the group is within the panel.
            let (quants, scales) =
                unsafe { (all_quants::<V, P>(v, panel, index), P::scales(v, panel, index)) };
            // Written out row by row, or the sums would live in memory: the compiler does not unroll a loop this long.
            for_each!(MR, |r| {
                let isum = group_sum::<V, P>(v, &quants, (row(r).0, row(r).2));
                sums[r] = add_scaled::<V, P>(v, &scales, row(r).1, isum, sums[r]);
            });
        }
        for r in 0..MR {
            // SAFETY: `first_lane + V::WIDTH ≤ 16`.
            unsafe { v.store(out[r].as_mut_ptr().add(panel.first_lane), sums[r]) };
        }
    }
}

/// One row's integer sums over one group.
#[inline(always)]
fn group_sum<V: Lanes, P: Format>(v: V, quants: &[V::I; 8], (words, biases): (&Quants, &Biases)) -> V::I {
    let mut isum = v.splat_i32(P::bias(biases, V::U8_BIAS));
    for (&quants, &word) in quants.iter().zip(&words.0) {
        isum = if P::MAX_QUANT > 127 { v.dot4_u8(isum, quants, word) } else { v.dot4_u7(isum, quants, word) };
    }
    isum
}

#[inline(always)]
fn add_scaled<V: Lanes, P: Format>(
    v: V,
    weights: &Scales<V>,
    factors: &Factors,
    isum: V::I,
    mut sum: V::F,
) -> V::F {
    sum = v.fma(v.to_f32(isum), v.mul(weights.scales, v.splat(factors.scale)), sum);
    if P::HAS_OFFSETS {
        sum = v.fma(weights.offsets, v.splat(factors.scaled_sum), sum);
    }
    sum
}

impl<V: Lanes, P: Format> PanelKernel<V> for IntegerKernel<'_, P> {
    const MAX_ROWS: usize = V::MAX_INTEGER_ROWS;

    #[inline(always)]
    unsafe fn run<const MR: usize>(
        self,
        v: V,
        panel: *const u8,
        first_row: usize,
        out: &mut [[f32; NUM_LANES]; MR],
    ) {
        let num_groups = self.num_cols / GROUP_SIZE;
        if V::HAS_FOUR_ROWS
            && matches!(P::MAX_QUANT, 15 | 255)
            && let Ok(out) = <&mut [_; 4]>::try_from(&mut out[..])
        {
            let panel = Panel { start: panel, num_groups, first_lane: 0 };
            // SAFETY: the caller's contract.
            unsafe { self.run_four_rows(v, panel, first_row, out) };
            return;
        }
        if Self::adds_pairs::<V>() || V::HAS_PAIRS && MR <= MAX_ROWS_TO_READ_WHOLE {
            let panel = Panel { start: panel, num_groups, first_lane: 0 };
            // SAFETY: the caller's contract.
            unsafe { self.run_lanes(v, panel, first_row, out) };
            return;
        }
        let mut first_lane = 0;
        while first_lane < NUM_LANES {
            let panel = Panel { start: panel, num_groups, first_lane };
            // SAFETY: the caller's contract; the width of columns divides 16.
            unsafe { self.run_lanes(v.columns(), panel, first_row, out) };
            first_lane += <V::Columns as Lanes>::WIDTH;
        }
    }
}
