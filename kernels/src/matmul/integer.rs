use std::marker::PhantomData;

use super::PanelKernel;
use super::format::{Format, Panel};
use crate::activations::QuantizedRows;
use crate::group::GROUP_SIZE;
use crate::lanes::{Lanes, NUM_LANES};

/// The product of quantised rows with a panel of one format.
#[derive(Clone, Copy)]
pub(super) struct IntegerKernel<'a, P> {
    rows: QuantizedRows<'a>,
    num_cols: usize,
    _format: PhantomData<P>,
}

impl<'a, P: Format> IntegerKernel<'a, P> {
    #[inline(always)]
    pub(super) fn new(rows: QuantizedRows<'a>, num_cols: usize) -> Self {
        Self { rows, num_cols, _format: PhantomData }
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
        let quants = self.rows.quants[first_row * self.num_cols..(first_row + MR) * self.num_cols].as_ptr();
        let blocks = self.rows.blocks[first_row * num_groups..(first_row + MR) * num_groups].as_ptr();
        let mut sums = [v.splat(0.0); MR];
        for index in 0..num_groups {
            // SAFETY: the group is within the panel.
            let tile = unsafe { P::load(v, panel, index) };
            for (r, sum) in sums.iter_mut().enumerate() {
                // SAFETY: row `r` has `num_groups` blocks and 32 quants for each.
                let (block, words) = unsafe {
                    (
                        &*blocks.add(r * num_groups + index),
                        quants.add(r * self.num_cols + index * GROUP_SIZE).cast::<i32>(),
                    )
                };
                let biases = P::biases(block, V::U8_BIAS);
                let mut low = v.splat_i32(biases[0]);
                let mut high = v.splat_i32(biases[1]);
                for j in 0..4 {
                    // SAFETY: 32 quants are eight words; they need no alignment.
                    let (first, second) =
                        unsafe { (words.add(j).read_unaligned(), words.add(j + 4).read_unaligned()) };
                    if P::IS_WIDE {
                        low = v.dot4_u8(low, tile.quants[j], first);
                        high = v.dot4_u8(high, tile.quants[j + 4], second);
                    } else {
                        low = v.dot4_u7(low, tile.quants[j], first);
                        high = v.dot4_u7(high, tile.quants[j + 4], second);
                    }
                }
                let scale = v.splat(block.scale);
                if P::HAS_HALVES {
                    *sum = v.fma(v.to_f32(low), v.mul(tile.scales[0], scale), *sum);
                    *sum = v.fma(v.to_f32(high), v.mul(tile.scales[1], scale), *sum);
                } else {
                    let isum = v.to_f32(v.add_i32(low, high));
                    *sum = v.fma(isum, v.mul(tile.scales[0], scale), *sum);
                }
                if P::HAS_OFFSETS {
                    *sum = v.fma(tile.offsets, v.splat(block.scaled_sum), *sum);
                }
            }
        }
        for r in 0..MR {
            // SAFETY: `first_lane + V::WIDTH ≤ 16`.
            unsafe { v.store(out[r].as_mut_ptr().add(panel.first_lane), sums[r]) };
        }
    }
}

impl<V: Lanes, P: Format + Copy> PanelKernel<V> for IntegerKernel<'_, P> {
    #[inline(always)]
    unsafe fn run<const MR: usize>(
        self,
        v: V,
        panel: *const u8,
        first_row: usize,
        out: &mut [[f32; NUM_LANES]; MR],
    ) {
        let num_groups = self.num_cols / GROUP_SIZE;
        let mut first_lane = 0;
        while first_lane < NUM_LANES {
            let panel = Panel { start: panel, num_groups, first_lane };
            // SAFETY: the caller's contract; the width of columns divides 16.
            unsafe { self.run_lanes(v.columns(), panel, first_row, out) };
            first_lane += <V::Columns as Lanes>::WIDTH;
        }
    }
}
