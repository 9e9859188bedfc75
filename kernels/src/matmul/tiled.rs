//! The product of rows quantised by groups with panels on a matrix unit: the integer sums of 16 rows by 16 outputs at a time.

use std::mem::MaybeUninit;
use std::ops::Range;

use super::ProductPiece;
use super::format::{Format, Panel, all_quants};
use crate::activations::{Factors, Quants};
use crate::group::{GROUP_SIZE, zero_point};
use crate::lanes::{Lanes, NUM_LANES, TILE_ROWS, TILE_SUMS, TileProducts, TileUnit};
use crate::packed_matrix::Section;

/// For fewer rows a pass was measured to be as fast without the unit, or faster.
pub(super) const MIN_ROWS: usize = 256;

/// Groups of a panel that are unpacked together, so that they stay in the first-level cache beside a tile of rows.
const MAX_GROUPS: usize = 32;

/// Some groups of a panel: signed quants, `[group][8 vectors of 4 columns by 16 outputs]`, and their scales as f32.
#[repr(C, align(64))]
struct Unpacked {
    quants: [[i8; NUM_LANES * GROUP_SIZE]; MAX_GROUPS],
    scales: [[f32; NUM_LANES]; MAX_GROUPS],
    offsets: [[f32; NUM_LANES]; MAX_GROUPS],
}

#[repr(C, align(64))]
struct Sums([[i32; TILE_SUMS]; 2]);

/// The same sums in the same order as `IntegerKernel`, and so the same bits.
#[inline(always)]
pub(super) fn run_panels<V: Lanes, P: Format>(
    v: V,
    unit: TileUnit,
    piece: &ProductPiece<'_>,
    section: &Section,
    panels: Range<usize>,
) {
    let num_groups = piece.product.w.num_cols() / GROUP_SIZE;
    let num_chunks = num_groups.div_ceil(MAX_GROUPS).max(1);
    let chunk_size = num_groups.div_ceil(num_chunks).max(1);
    let products = unit.set_up();
    let mut unpacked = MaybeUninit::<Unpacked>::uninit();
    let mut sums = MaybeUninit::<Sums>::uninit();
    for index in panels {
        let panel = Panel { start: piece.product.w.panel(section, index), num_groups, first_lane: 0 };
        let first_col = section.first_row + index * NUM_LANES;
        let cols = first_col..first_col + NUM_LANES.min(section.num_rows - index * NUM_LANES);
        for first_group in (0..num_groups).step_by(chunk_size) {
            let groups = first_group..num_groups.min(first_group + chunk_size);
            // SAFETY: the panel has the groups, and a chunk has room for them.
            unsafe { unpack::<V, P>(v, panel, groups.clone(), unpacked.as_mut_ptr()) };
            for row in piece.rows.clone().step_by(TILE_ROWS) {
                let tile = RowTile { piece, row, groups: groups.clone(), cols: cols.clone() };
                let operands = (unpacked.as_ptr(), sums.as_mut_ptr());
                // SAFETY: all groups of the chunk were unpacked.
                unsafe {
                    match piece.rows.end - row {
                        13.. => tile.add::<V, P, 16>(v, &products, operands),
                        9.. => tile.add::<V, P, 12>(v, &products, operands),
                        5.. => tile.add::<V, P, 8>(v, &products, operands),
                        _ => tile.add::<V, P, 4>(v, &products, operands),
                    }
                }
            }
        }
    }
}

/// # Safety
/// The panel is of the format's type and has the groups; `out` can be written and has room for them.
#[inline(always)]
unsafe fn unpack<V: Lanes, P: Format>(v: V, panel: Panel, groups: Range<usize>, out: *mut Unpacked) {
    // Bytes below 128 − zero point plus that cannot carry, and the flip of the highest bit takes 128 away.
    let zero_point = zero_point(P::WEIGHT_TYPE) as u8;
    let shift = v.splat_i32(i32::from_ne_bytes([128 - zero_point; 4]));
    let sign = v.splat_i32(i32::from_ne_bytes([128; 4]));
    for (i, index) in groups.enumerate() {
        // SAFETY: the caller's contract.
        unsafe {
            let weights = P::scales(v, panel, index);
            let quants = (&raw mut (*out).quants[i]).cast::<f32>();
            for (j, vector) in all_quants::<V, P>(v, panel, index).into_iter().enumerate() {
                let signed = if zero_point == 0 { vector } else { v.xor(v.add_i32(vector, shift), sign) };
                v.store(quants.add(j * NUM_LANES), v.as_f32(signed));
            }
            v.store((&raw mut (*out).scales[i]).cast(), weights.scales);
            if P::HAS_OFFSETS {
                v.store((&raw mut (*out).offsets[i]).cast(), weights.offsets);
            }
        }
    }
}

/// The outputs of up to 16 rows of one tile by one panel, summed over some groups.
struct RowTile<'a> {
    piece: &'a ProductPiece<'a>,
    row: usize,
    groups: Range<usize>,
    cols: Range<usize>,
}

/// The integer sums of a tile of rows over a group.
///
/// # Safety
/// `a` is a tile of rows, 32 bytes each; the group was unpacked; `sums` can be written.
#[inline(always)]
unsafe fn multiply(
    products: &TileProducts,
    a: *const i8,
    (unpacked, index): (*const Unpacked, usize),
    sums: *mut Sums,
) -> *const i32 {
    // SAFETY: the caller's contract.
    unsafe {
        let b = (&raw const (*unpacked).quants[index]).cast::<i8>();
        // Two places, so that the unit can write one while the other is read.
        let out = (&raw mut (*sums).0[index % 2]).cast();
        products.multiply((a, GROUP_SIZE), b, out);
        out
    }
}

/// Adds a tile of integer sums by their scales, and the offsets.
///
/// # Safety
/// The sums were written and the group was unpacked.
#[inline(always)]
unsafe fn add_sums<V: Lanes, P: Format, const MR: usize>(
    v: V,
    sums: *const i32,
    (unpacked, index): (*const Unpacked, usize),
    factors: &[Factors],
    accumulators: &mut [V::F; MR],
) {
    // SAFETY: the caller's contract.
    unsafe {
        let scales = v.load((&raw const (*unpacked).scales[index]).cast());
        let offsets = if P::HAS_OFFSETS {
            v.load((&raw const (*unpacked).offsets[index]).cast())
        } else {
            v.splat(0.0)
        };
        for_each!(MR, |r| {
            let sum = v.to_f32(v.load_i32(sums.add(r * NUM_LANES)));
            let scale = v.mul(scales, v.splat(factors.get_unchecked(r).scale));
            accumulators[r] = v.fma(sum, scale, accumulators[r]);
            if P::HAS_OFFSETS {
                let scaled_sum = v.splat(factors.get_unchecked(r).scaled_sum);
                accumulators[r] = v.fma(offsets, scaled_sum, accumulators[r]);
            }
        });
    }
}

impl RowTile<'_> {
    /// Adds the groups to the outputs of the rows that exist; `MR` is at least as many.
    ///
    /// # Safety
    /// The groups lie at `operands.0`; `operands.1` can be written.
    #[inline(always)]
    unsafe fn add<V: Lanes, P: Format, const MR: usize>(
        self,
        v: V,
        products: &TileProducts,
        (unpacked, sums): (*const Unpacked, *mut Sums),
    ) {
        let rows = &self.piece.product.quantized.groups;
        let num_rows = MR.min(self.piece.rows.end - self.row);
        let num_groups = self.piece.product.w.num_cols() / GROUP_SIZE;
        let place = rows.place(self.row, num_groups);
        // The unit reads whole tiles, the last one into what follows it.
        let first = place.first + self.groups.start * place.stride;
        let end = first + (self.groups.len() - 1) * place.stride + TILE_ROWS;
        let quants: *const Quants = rows.quants[first..end].as_ptr();
        let factors: *const Factors = rows.factors[first..end].as_ptr();

        // Indexed by constants only, or the accumulators would live in memory.
        let mut accumulators = [v.splat(0.0); MR];
        if self.groups.start > 0 {
            for_each!(MR, |r| {
                if r < num_rows {
                    accumulators[r] = self.piece.load_outputs(v, self.row + r, &self.cols);
                }
            });
        }
        for (index, _) in self.groups.clone().enumerate() {
            // SAFETY: the tile of rows and the group exist, and `end` is past the last factor.
            unsafe {
                let a = quants.add(index * place.stride).cast::<i8>();
                let factors = std::slice::from_raw_parts(factors.add(index * place.stride), MR);
                let group = (unpacked, index);
                let sums = multiply(products, a, group, sums);
                add_sums::<V, P, MR>(v, sums, group, factors, &mut accumulators);
            }
        }
        for_each!(MR, |r| {
            if r < num_rows {
                self.piece.store_outputs(v, accumulators[r], self.row + r, &self.cols);
            }
        });
    }
}
