//! The product of rows quantised by blocks with panels on a matrix unit.
//!
//! A quant times its group's factor fits two bytes. So a panel is unpacked once for many rows into two planes of bytes whose sums
//! over a whole block are exact, and what is left for the vector unit is one multiplication by the scales a block. That of one block is
//! done between the products of the next, piece by piece: the processor does not look far enough ahead to do both at once by itself.

use std::mem::MaybeUninit;
use std::ops::Range;

use super::block_format::{BlockFormat, add_block};
use super::format::Panel;
use super::{MAX_ROWS_PER_PASS, ProductPiece};
use crate::group::{GROUP_SIZE, GROUPS_PER_BLOCK};
use crate::lanes::{self, BlockProducts, Lanes, NUM_LANES, PLANE_BYTES, TILE_ROWS, TILE_SUMS, TileUnit};
use crate::packed_matrix::Section;
use crate::packed_matrix::panel::block_bytes;

/// Blocks of a panel that are unpacked together, so that they stay in the first-level cache beside a tile of rows.
const MAX_BLOCKS: usize = 2;

const CACHE_LINE: usize = 64;

/// Of 64 columns each, which the unit takes at once.
const CHUNKS_PER_BLOCK: usize = 4;
const ROWS_PER_QUARTER: usize = TILE_ROWS / 4;

/// Some blocks of a panel, split as `BlockFormat::split` says.
#[repr(C, align(64))]
struct Planes([[[u8; PLANE_BYTES]; 2]; MAX_BLOCKS]);

/// Of a tile of rows, the sums over the low and the high bytes; twice, so that the unit can write one while the other is read.
#[repr(C, align(64))]
struct Sums([[[i32; TILE_SUMS]; 2]; 2]);

/// The outputs of a panel before its last block.
#[repr(C, align(64))]
struct Outputs([[f32; NUM_LANES]; MAX_ROWS_PER_PASS]);

/// The same sums in the same order as `BlockKernel`, and so the same bits.
#[inline(always)]
pub(super) fn run_panels<V: Lanes, P: BlockFormat>(
    v: V,
    unit: TileUnit,
    piece: &ProductPiece<'_>,
    section: &Section,
    panels: Range<usize>,
) {
    let num_groups = piece.product.w.num_cols() / GROUP_SIZE;
    let num_blocks = num_groups / GROUPS_PER_BLOCK;
    let products = unit.set_up_blocks(piece.rows.len());
    let mut planes = MaybeUninit::<Planes>::uninit();
    let mut sums = MaybeUninit::<Sums>::uninit();
    let mut outputs = Outputs([[0.0; NUM_LANES]; MAX_ROWS_PER_PASS]);
    let outputs = &mut outputs.0[..piece.rows.len()];
    for index in panels {
        let panel = Panel { start: piece.product.w.panel(section, index), num_groups, first_lane: 0 };
        let first_col = section.first_row + index * NUM_LANES;
        let cols = first_col..first_col + NUM_LANES.min(section.num_rows - index * NUM_LANES);
        let product = PanelProduct { piece, panel, cols, products: &products };
        for first_block in (0..num_blocks).step_by(MAX_BLOCKS) {
            let blocks = first_block..num_blocks.min(first_block + MAX_BLOCKS);
            // SAFETY: the panel is of this type and has the blocks, and there is room for them.
            unsafe {
                unpack::<V, P>(v, panel, blocks.clone(), planes.as_mut_ptr());
                product.add::<V, P>(v, blocks, (planes.as_ptr(), sums.as_mut_ptr()), outputs);
            }
        }
    }
}

/// # Safety
/// The panel is of the format's type and has the blocks; `planes` can be written and has room for them.
#[inline(always)]
unsafe fn unpack<V: Lanes, P: BlockFormat>(v: V, panel: Panel, blocks: Range<usize>, planes: *mut Planes) {
    const GROUP_BYTES: usize = PLANE_BYTES / GROUPS_PER_BLOCK;
    for (i, block) in blocks.enumerate() {
        for group in 0..GROUPS_PER_BLOCK {
            // SAFETY: the caller's contract; a group is eight vectors in either plane.
            unsafe {
                let start = (&raw mut (*planes).0[i]).cast::<u8>().add(group * GROUP_BYTES);
                let tile = P::load(v, panel, (block, group));
                P::split(
                    v,
                    &tile,
                    #[inline(always)]
                    |j, [low, high]| {
                        let line = start.add(j * 4 * NUM_LANES);
                        v.store(line.cast(), v.as_f32(low));
                        v.store(line.add(PLANE_BYTES).cast(), v.as_f32(high));
                    },
                );
            }
        }
    }
}

/// All rows of a piece by a panel.
struct PanelProduct<'a> {
    piece: &'a ProductPiece<'a>,
    panel: Panel,
    cols: Range<usize>,
    products: &'a BlockProducts,
}

/// One block of a tile of rows, the first of which are row `first` and its output.
#[derive(Clone, Copy)]
struct Unit {
    first: usize,
    num_rows: usize,
    block: usize,
    sums: *const [i32; TILE_SUMS],
}

impl PanelProduct<'_> {
    /// Adds some blocks to the outputs.
    ///
    /// # Safety
    /// The blocks lie at `planes`, `sums` can be written, and there is an output for each row.
    #[inline(always)]
    unsafe fn add<V: Lanes, P: BlockFormat>(
        &self,
        v: V,
        blocks: Range<usize>,
        (planes, sums): (*const Planes, *mut Sums),
        outputs: &mut [[f32; NUM_LANES]],
    ) {
        let mut before: Option<Unit> = None;
        let mut turn = 0;
        for first in (0..outputs.len()).step_by(TILE_ROWS) {
            let num_rows = (outputs.len() - first).min(TILE_ROWS);
            for (i, block) in blocks.clone().enumerate() {
                // SAFETY: the caller's contract; the sums of the unit before were written.
                unsafe {
                    let sums: *mut [i32; TILE_SUMS] = (&raw mut (*sums).0[turn % 2]).cast();
                    let planes = (&raw const (*planes).0[i]).cast::<u8>();
                    let (quants, step) = self.quants(first, block);
                    self.products.clear();
                    for chunk in 0..CHUNKS_PER_BLOCK {
                        let rows = quants.wrapping_add(chunk * step);
                        let planes = planes.add(chunk * PLANE_BYTES / CHUNKS_PER_BLOCK);
                        // The constant chooses the instruction for the high bytes.
                        if P::HAS_SIGNED_HIGH {
                            self.products.add::<true>(rows, planes, chunk % 2 == 1);
                        } else {
                            self.products.add::<false>(rows, planes, chunk % 2 == 1);
                        }
                        if first == 0 {
                            self.prefetch::<P>(block + 2 * MAX_BLOCKS, chunk);
                        }
                        if let Some(before) = before {
                            self.finish::<V, P>(v, before, chunk, outputs);
                        }
                    }
                    self.products.store(sums);
                    before = Some(Unit { first, num_rows, block, sums });
                }
                turn += 1;
            }
        }
        if let Some(before) = before {
            for chunk in 0..CHUNKS_PER_BLOCK {
                // SAFETY: as above.
                unsafe { self.finish::<V, P>(v, before, chunk, outputs) };
            }
        }
    }

    /// Where a block of the tile of rows that begins with row `first` of the piece lies, and the bytes between its chunks.
    #[inline(always)]
    fn quants(&self, first: usize, block: usize) -> (*const i8, usize) {
        let rows = &self.piece.product.quantized.blocks;
        let num_blocks = self.panel.num_groups / GROUPS_PER_BLOCK;
        let [place, _] = rows.places(self.piece.rows.start + first, num_blocks);
        let first = place.first + block * CHUNKS_PER_BLOCK * place.stride;
        // The unit reads whole tiles, the last one into what follows it.
        let quants = &rows.quants[first..first + (CHUNKS_PER_BLOCK - 1) * place.stride + TILE_ROWS];
        (quants.as_ptr().cast(), place.stride * size_of_val(&quants[0]))
    }

    /// Asks for a quarter of a block. Panels lie one after the other, so what follows this one is the next.
    #[inline(always)]
    fn prefetch<P: BlockFormat>(&self, block: usize, quarter: usize) {
        let num_lines = (block_bytes(P::WEIGHT_TYPE) / CACHE_LINE).div_ceil(CHUNKS_PER_BLOCK);
        let start = self.panel.block(P::WEIGHT_TYPE, block);
        for line in quarter * num_lines..(quarter + 1) * num_lines {
            lanes::prefetch(start.wrapping_add(line * CACHE_LINE));
        }
    }

    /// Adds a quarter of a unit's sums to the outputs. Those of the first block are what there is, those of the last one complete the product.
    ///
    /// # Safety
    /// The unit's sums were written, and before them those of the blocks before.
    #[inline(always)]
    unsafe fn finish<V: Lanes, P: BlockFormat>(
        &self,
        v: V,
        unit: Unit,
        quarter: usize,
        outputs: &mut [[f32; NUM_LANES]],
    ) {
        let rows = &self.piece.product.quantized.blocks;
        let num_blocks = self.panel.num_groups / GROUPS_PER_BLOCK;
        let quarter = quarter * ROWS_PER_QUARTER..unit.num_rows.min((quarter + 1) * ROWS_PER_QUARTER);
        let [_, place] = rows.places(self.piece.rows.start + unit.first + quarter.start, num_blocks);
        let factors = &rows.factors[place.first + unit.block * place.stride..];
        let factors = factors[..quarter.len()].as_ptr();
        let (is_first, is_last) = (unit.block == 0, unit.block + 1 == num_blocks);
        // SAFETY: the caller's contract; the block exists, its rows have factors, and outputs are arrays of 16.
        unsafe {
            let scales = P::load_scales::<V>(v, self.panel, unit.block);
            let sums = unit.sums.cast::<i32>().add(quarter.start * NUM_LANES);
            let outputs = outputs.as_mut_ptr().wrapping_add(unit.first + quarter.start).cast::<f32>();
            for r in 0..quarter.len() {
                let low = v.load_i32(sums.add(r * NUM_LANES));
                let high = v.load_i32(sums.add(TILE_SUMS + r * NUM_LANES));
                let isum = P::join(v, low, high);
                let output = outputs.add(r * NUM_LANES);
                let before = if is_first { v.splat(0.0) } else { v.load(output) };
                let sum = add_block::<V, P>(v, &scales, &*factors.add(r), isum, before);
                if is_last {
                    let row = self.piece.rows.start + unit.first + quarter.start + r;
                    self.piece.store_outputs(v, sum, row, &self.cols);
                } else {
                    v.store(output, sum);
                }
            }
        }
    }
}
