use std::marker::PhantomData;

use super::PanelKernel;
use super::format::{Format, Panel, Tile};
use crate::activations::{Biases, Factors, QuantizedRows, Quants};
use crate::group::GROUP_SIZE;
use crate::lanes::{self, Lanes, NUM_LANES};
use crate::packed_matrix::panel;

const CACHE_LINE: usize = 64;

/// Up to so many rows, reading the weights is what takes the time, and the processor's own prefetching stops at each 4 KiB.
const MAX_ROWS_TO_PREFETCH: usize = 4;

/// Bytes between what is read and what is asked for: 1 row reads 1.1 times as fast as without, at 4096 bytes 1.05 times.
const PREFETCH_DISTANCE: usize = 1_536;

macro_rules! for_each_row {
    ($num_rows:ident, |$row:ident| $body:block) => {
        for_each_row!($num_rows, $row, $body, 0 1 2 3 4 5 6 7);
    };
    ($num_rows:ident, $row:ident, $body:block, $($index:literal)*) => {
        $(
            if $index < $num_rows {
                let $row = $index;
                $body
            }
        )*
    };
}

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
        // The rows are within one tile, since tiles of the output are powers of two up to 8 and start at their multiples.
        let place = self.rows.place(first_row, num_groups);
        let end = place.first + num_groups.saturating_sub(1) * place.stride + MR;
        let quants = self.rows.quants[place.first..end].as_ptr();
        let factors = self.rows.factors[place.first..end].as_ptr();
        let biases = self.rows.biases[place.first..end].as_ptr();
        let mut sums = [v.splat(0.0); MR];
        let group_bytes = panel::num_bytes(P::WEIGHT_TYPE, self.num_cols) / num_groups.max(1);
        for index in 0..num_groups {
            if MR <= MAX_ROWS_TO_PREFETCH {
                // Panels lie one after the other, so what follows this one is the next.
                let ahead = panel.start.wrapping_add(index * group_bytes + PREFETCH_DISTANCE);
                for line in 0..group_bytes.div_ceil(CACHE_LINE) {
                    lanes::prefetch(ahead.wrapping_add(line * CACHE_LINE));
                }
            }
            // SAFETY: the group is within the panel.
            let tile = unsafe { P::load(v, panel, index) };
            // Written out row by row, or the sums would live in memory: the compiler does not unroll a loop this long.
            for_each_row!(MR, |r| {
                let at = index * place.stride + r;
                // SAFETY: `at` is before `end`.
                let row = unsafe { (&*quants.add(at), &*factors.add(at), &*biases.add(at)) };
                sums[r] = add_group::<V, P>(v, &tile, row, sums[r]);
            });
        }
        for r in 0..MR {
            // SAFETY: `first_lane + V::WIDTH ≤ 16`.
            unsafe { v.store(out[r].as_mut_ptr().add(panel.first_lane), sums[r]) };
        }
    }
}

/// One row's sums over one tile.
#[inline(always)]
fn add_group<V: Lanes, P: Format>(
    v: V,
    tile: &Tile<V>,
    (words, factors, biases): (&Quants, &Factors, &Biases),
    mut sum: V::F,
) -> V::F {
    let biases = P::biases(biases, V::U8_BIAS);
    let mut low = v.splat_i32(biases[0]);
    let mut high = v.splat_i32(biases[1]);
    for j in 0..4 {
        let (first, second) = (words.0[j], words.0[j + 4]);
        if P::IS_WIDE {
            low = v.dot4_u8(low, tile.quants[j], first);
            high = v.dot4_u8(high, tile.quants[j + 4], second);
        } else {
            low = v.dot4_u7(low, tile.quants[j], first);
            high = v.dot4_u7(high, tile.quants[j + 4], second);
        }
    }
    let scale = v.splat(factors.scale);
    if P::HAS_HALVES {
        sum = v.fma(v.to_f32(low), v.mul(tile.scales[0], scale), sum);
        sum = v.fma(v.to_f32(high), v.mul(tile.scales[1], scale), sum);
    } else {
        sum = v.fma(v.to_f32(v.add_i32(low, high)), v.mul(tile.scales[0], scale), sum);
    }
    if P::HAS_OFFSETS {
        sum = v.fma(tile.offsets, v.splat(factors.scaled_sum), sum);
    }
    sum
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
