use std::marker::PhantomData;

use super::block_format::{BlockFormat, GroupPart, GroupTile, add_block, both_halves};
use super::format::Panel;
use super::pairs::add_products;
use super::prefetch::prefetch_group;
use super::{MAX_ROWS_TO_READ_WHOLE, PanelKernel};
use crate::activations::{BlockFactors, BlockRows, ChunkQuants};
use crate::group::{GROUP_SIZE, GROUPS_PER_BLOCK};
use crate::lanes::{Lanes, NUM_LANES};
use crate::packed_matrix::panel::block_bytes;

const WORDS_PER_GROUP: usize = GROUP_SIZE / 4;

/// The product of rows quantised by blocks with a panel of one format.
#[derive(Clone, Copy)]
pub(super) struct BlockKernel<'a, P> {
    rows: BlockRows<'a>,
    num_cols: usize,
    _format: PhantomData<P>,
}

impl<'a, P: BlockFormat> BlockKernel<'a, P> {
    #[inline(always)]
    pub(super) fn new(rows: BlockRows<'a>, num_cols: usize) -> Self {
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
        let num_blocks = panel.num_groups / GROUPS_PER_BLOCK;
        // The rows are within one tile, since tiles of the output are powers of two up to 8 and start at their multiples.
        let [chunks, blocks] = self.rows.places(first_row, num_blocks);
        let quants: &[ChunkQuants] = &self.rows.quants[chunks.first..];
        let quants = quants[..(panel.num_groups / 2).saturating_sub(1) * chunks.stride + MR].as_ptr();
        let factors: &[BlockFactors] = &self.rows.factors[blocks.first..];
        let factors = factors[..num_blocks.saturating_sub(1) * blocks.stride + MR].as_ptr();
        let mut sums = [v.splat(0.0); MR];
        let group_bytes = block_bytes(P::WEIGHT_TYPE) / GROUPS_PER_BLOCK;
        for block in 0..num_blocks {
            // SAFETY: the slices above reach to the last row of the last block.
            let factors = |r: usize| unsafe { &*factors.add(block * blocks.stride + r) };
            let mut isums = [v.splat_i32(0); MR];
            for group in 0..GROUPS_PER_BLOCK {
                let index = block * GROUPS_PER_BLOCK + group;
                prefetch_group::<V, MR>(panel, (index, group_bytes), first_row);
                // SAFETY: the group is within the slice above.
                let first_words = unsafe {
                    let first = quants.add(index / 2 * chunks.stride).cast::<i32>();
                    first.add(index % 2 * WORDS_PER_GROUP)
                };
                // SAFETY: as above.
                let words = |r: usize| unsafe {
                    &*first_words.add(r * 2 * WORDS_PER_GROUP).cast::<[i32; WORDS_PER_GROUP]>()
                };
                let biases = |r: usize| P::biases(factors(r), group);
                let place = (block, group);
                if V::HAS_FOUR_ROWS && P::MAX_QUANT == 15 && MR == 4 {
                    // SAFETY: the group is within the panel, and four rows have it.
                    unsafe {
                        let tile = panel.quants_of(P::WEIGHT_TYPE, place);
                        let pairs = v.nibble_sums::<{ size_of::<ChunkQuants>() }>(tile, first_words);
                        let factors = both_halves(v, P::factors(v, panel, place)[0]);
                        for (isum, pairs) in isums.iter_mut().zip(pairs) {
                            *isum = v.dot2_i16(*isum, pairs, factors);
                        }
                    }
                    continue;
                }
                if V::HAS_PAIRS {
                    // SAFETY: the group is within the panel.
                    unsafe { add_groups::<V, P, MR>(v, (panel, place), (words, biases), &mut isums) };
                    continue;
                }
                // SAFETY: the group is within the panel.
                let tile = unsafe { P::load(v, panel, place) };
                for_each!(MR, |r| {
                    isums[r] = add_group::<V, P>(v, &tile, (words(r), biases(r)), isums[r]);
                });
            }
            // SAFETY: the block is within the panel.
            let scales = unsafe { P::load_scales(v, panel, block) };
            for_each!(MR, |r| {
                sums[r] = add_block::<V, P>(v, &scales, factors(r), isums[r], sums[r]);
            });
        }
        for r in 0..MR {
            // SAFETY: `first_lane + V::WIDTH ≤ 16`.
            unsafe { v.store(out[r].as_mut_ptr().add(panel.first_lane), sums[r]) };
        }
    }
}

/// One row's sum over a group times the group's factors, which are added to what came before.
#[inline(always)]
fn add_group<V: Lanes, P: BlockFormat>(
    v: V,
    tile: &GroupTile<V>,
    (words, biases): (&[i32; WORDS_PER_GROUP], [i32; 2]),
    isum: V::I,
) -> V::I {
    let mut low = v.splat_i32(biases[0]);
    let mut high = v.splat_i32(biases[1]);
    for j in 0..4 {
        low = v.dot4_u7(low, tile.quants[j], words[j]);
        high = v.dot4_u7(high, tile.quants[j + 4], words[j + 4]);
    }
    if P::HAS_HALVES {
        let isum = v.add_i32(isum, v.mul_i32(low, tile.factors[0]));
        v.add_i32(isum, v.mul_i32(high, tile.factors[1]))
    } else {
        v.add_i32(isum, v.mul_i32(v.add_i32(low, high), tile.factors[0]))
    }
}

/// The same for all rows where sums of two are added up first.
///
/// # Safety
/// The group is within the panel.
#[inline(always)]
unsafe fn add_groups<'a, V: Lanes, P: BlockFormat, const MR: usize>(
    v: V,
    (panel, place): (Panel, (usize, usize)),
    (words, biases): (impl Fn(usize) -> &'a [i32; WORDS_PER_GROUP], impl Fn(usize) -> [i32; 2]),
    isums: &mut [V::I; MR],
) {
    // SAFETY: the caller's contract.
    let factors = unsafe { P::factors(v, panel, place) };
    if !P::HAS_HALVES {
        // SAFETY: as above.
        let group = unsafe { GroupPart::<P>::new(panel, place, 0) };
        let factors = both_halves(v, factors[0]);
        add_products::<V, MR, 8>(v, isums, (group, P::MAX_QUANT), words, factors);
        return;
    }
    for_each!(2, |half| {
        for_each!(MR, |r| {
            let start = v.mul_i32(v.splat_i32(biases(r)[half]), factors[half]);
            isums[r] = v.add_i32(isums[r], start);
        });
        // SAFETY: as above.
        let group = unsafe { GroupPart::<P>::new(panel, place, 4 * half) };
        let words = |r: usize| &words(r).as_chunks::<4>().0[half];
        add_products::<V, MR, 4>(v, isums, (group, P::MAX_QUANT), words, both_halves(v, factors[half]));
    });
}

impl<V: Lanes, P: BlockFormat> PanelKernel<V> for BlockKernel<'_, P> {
    #[inline(always)]
    unsafe fn run<const MR: usize>(
        self,
        v: V,
        panel: *const u8,
        first_row: usize,
        out: &mut [[f32; NUM_LANES]; MR],
    ) {
        let num_groups = self.num_cols / GROUP_SIZE;
        if V::HAS_PAIRS && MR <= MAX_ROWS_TO_READ_WHOLE || V::HAS_FOUR_ROWS && P::MAX_QUANT == 15 {
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
