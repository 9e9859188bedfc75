//! How the quants, factors and scales of a panel of blocks come into registers; the layout is that of `packed_matrix::panel`.

use std::marker::PhantomData;

use super::format::Panel;
use super::pairs::Vectors;
use crate::WeightType;
use crate::activations::BlockFactors;
use crate::group::GROUPS_PER_BLOCK;
use crate::lanes::{Lanes, NUM_LANES};
use crate::packed_matrix::panel::{block_bytes, record_bytes, tile_bytes};

/// Weights of 32 columns by `V::WIDTH` rows of a panel, integers all.
pub(super) struct GroupTile<V: Lanes> {
    /// Vector `j` holds columns `4j..4j + 4` of each row.
    pub(super) quants: [V::I; 8],
    /// Of the first and the last 16 columns; the same vector twice unless `BlockFormat::HAS_HALVES`.
    pub(super) factors: [V::I; 2],
}

/// What the integer sums over a block are multiplied by.
pub(super) struct BlockScales<V: Lanes> {
    pub(super) scales: V::F,
    /// Both meaningful if `BlockFormat::HAS_OFFSETS`: what the sum over the groups' minima is multiplied by, and these, four groups in a lane.
    pub(super) offsets: V::F,
    pub(super) minima: [V::I; 2],
}

/// A type whose groups have integer factors and whose blocks have scales.
pub(super) trait BlockFormat: Copy {
    const WEIGHT_TYPE: WeightType;
    const HAS_OFFSETS: bool = false;
    /// The largest number that a quant's bits hold.
    const MAX_QUANT: i32;
    /// Whether the two halves of a group have factors of their own.
    const HAS_HALVES: bool = false;
    /// Whether the high bytes of `split` have a sign.
    const HAS_SIGNED_HIGH: bool = false;
    /// For fewer rows a pass was measured to be as fast without a matrix unit, or faster.
    const MIN_UNIT_ROWS: usize;

    /// Where the integer sums of the halves of a group start, which takes the zero point away.
    fn biases(_factors: &BlockFactors, _group: usize) -> [i32; 2] {
        [0; 2]
    }

    /// Columns `4j..4j + 4` of group `group` of a block.
    ///
    /// # Safety
    /// `panel` is a panel of this type that has the block, `first_lane + V::WIDTH ≤ 16` and `j < 8`.
    unsafe fn quants<V: Lanes>(v: V, panel: Panel, place: (usize, usize), j: usize) -> V::I;

    /// The factors of group `group` of a block, as in [`GroupTile`].
    ///
    /// # Safety
    /// As [`BlockFormat::quants`].
    unsafe fn factors<V: Lanes>(v: V, panel: Panel, place: (usize, usize)) -> [V::I; 2];

    /// The whole group.
    ///
    /// # Safety
    /// As [`BlockFormat::quants`].
    #[inline(always)]
    unsafe fn load<V: Lanes>(v: V, panel: Panel, place: (usize, usize)) -> GroupTile<V> {
        let mut quants = [v.splat_i32(0); 8];
        for_each!(8, |j| {
            // SAFETY: the caller's contract.
            quants[j] = unsafe { Self::quants(v, panel, place, j) };
        });
        // SAFETY: as above.
        GroupTile { quants, factors: unsafe { Self::factors(v, panel, place) } }
    }

    /// # Safety
    /// `panel` is a panel of this type that has the block, and `first_lane + V::WIDTH ≤ 16`.
    unsafe fn load_scales<V: Lanes>(v: V, panel: Panel, block: usize) -> BlockScales<V>;

    /// The quants of a group without their zero point times their factors as two bytes each: `out[low]` unsigned, `out[high]`, vector by vector.
    fn split<V: Lanes>(v: V, tile: &GroupTile<V>, store: impl FnMut(usize, [V::I; 2]));

    /// The products from sums over the low and over the high bytes.
    fn join<V: Lanes>(v: V, low: V::I, high: V::I) -> V::I;
}

/// One half of a group of a panel of this type, or the whole of it.
#[derive(Clone, Copy)]
pub(super) struct GroupPart<P> {
    panel: Panel,
    place: (usize, usize),
    first: usize,
    _format: PhantomData<P>,
}

impl<P: BlockFormat> GroupPart<P> {
    /// The vectors from `first`.
    ///
    /// # Safety
    /// `panel` is a panel of this type that has the group, for as long as this lives, and vectors are as wide as the wanted lanes.
    #[inline(always)]
    pub(super) unsafe fn new(panel: Panel, place: (usize, usize), first: usize) -> Self {
        Self { panel, place, first, _format: PhantomData }
    }
}

impl<V: Lanes, P: BlockFormat> Vectors<V> for GroupPart<P> {
    #[inline(always)]
    fn get(self, v: V, j: usize) -> V::I {
        assert!(self.first + j < 8, "a group has eight vectors");
        // SAFETY: what `new` asks for.
        unsafe { P::quants(v, self.panel, self.place, self.first + j) }
    }
}

impl Panel {
    /// Where a block begins.
    #[inline(always)]
    pub(super) fn block(self, weight_type: WeightType, block: usize) -> *const u8 {
        self.start.wrapping_add(block * block_bytes(weight_type))
    }

    #[inline(always)]
    pub(super) fn quants_of(self, weight_type: WeightType, (block, group): (usize, usize)) -> *const u8 {
        self.block(weight_type, block).wrapping_add(group * tile_bytes(weight_type))
    }

    #[inline(always)]
    fn factors_of(self, weight_type: WeightType, (block, group): (usize, usize)) -> *const u8 {
        let tiles = GROUPS_PER_BLOCK * tile_bytes(weight_type);
        self.block(weight_type, block).wrapping_add(tiles + group * record_bytes(weight_type))
    }

    #[inline(always)]
    fn scales_of(self, weight_type: WeightType, block: usize) -> *const u8 {
        self.factors_of(weight_type, (block, GROUPS_PER_BLOCK))
    }
}

/// Adds the exact sums over a block, scaled, to an output: `fma(fma(offset, msum, scale·isum), scale_x, sum)`.
#[inline(always)]
pub(super) fn add_block<V: Lanes, P: BlockFormat>(
    v: V,
    weights: &BlockScales<V>,
    row: &BlockFactors,
    isum: V::I,
    sum: V::F,
) -> V::F {
    let mut scaled = v.mul(weights.scales, v.to_f32(isum));
    if P::HAS_OFFSETS {
        let (mut low, mut high) = (v.splat_i32(0), v.splat_i32(0));
        for j in 0..2 {
            low = v.dot4_u7(low, weights.minima[j], row.low[j]);
            high = v.dot4_u7(high, weights.minima[j], row.high[j]);
        }
        let msum = v.add_i32(low, v.shl::<7>(high));
        scaled = v.fma(weights.offsets, v.to_f32(msum), scaled);
    }
    v.fma(scaled, v.splat(row.scale), sum)
}

/// A 16-bit number in both halves of each lane.
#[inline(always)]
pub(super) fn both_halves<V: Lanes>(v: V, a: V::I) -> V::I {
    v.or(v.and(a, v.splat_i32(0xffff)), v.shl::<16>(a))
}

/// A type with an f16 scale and a negated f16 offset a block and two 6-bit numbers a group: a factor and a minimum.
macro_rules! with_minima {
    ($name:ident, $quants:ident, max: $max:expr) => {
        #[derive(Clone, Copy)]
        pub(super) struct $name;

        impl BlockFormat for $name {
            const WEIGHT_TYPE: WeightType = WeightType::$name;
            const HAS_OFFSETS: bool = true;
            const MAX_QUANT: i32 = $max;
            const MIN_UNIT_ROWS: usize = 8;

            #[inline(always)]
            unsafe fn quants<V: Lanes>(v: V, panel: Panel, place: (usize, usize), j: usize) -> V::I {
                // SAFETY: the caller gives a panel of this type that has the block.
                unsafe { panel.$quants(v, panel.quants_of(Self::WEIGHT_TYPE, place), j) }
            }

            #[inline(always)]
            unsafe fn factors<V: Lanes>(v: V, panel: Panel, place: (usize, usize)) -> [V::I; 2] {
                // SAFETY: as above.
                [unsafe { panel.factors(v, panel.factors_of(Self::WEIGHT_TYPE, place)) }; 2]
            }

            #[inline(always)]
            unsafe fn load_scales<V: Lanes>(v: V, panel: Panel, block: usize) -> BlockScales<V> {
                // SAFETY: the caller gives a panel of this type that has the block.
                unsafe {
                    let record = panel.scales_of(Self::WEIGHT_TYPE, block);
                    let minima = record.add(4 * NUM_LANES);
                    BlockScales {
                        scales: panel.halves(v, record),
                        offsets: panel.halves(v, record.add(2 * NUM_LANES)),
                        minima: [panel.fours(v, minima), panel.fours(v, minima.add(4 * NUM_LANES))],
                    }
                }
            }

            /// By the low and the high three bits of the factor. A quant has five bits at most, so that a product fits its byte, and two bytes
            /// are multiplied as one number of 16 bits.
            #[inline(always)]
            fn split<V: Lanes>(v: V, tile: &GroupTile<V>, mut store: impl FnMut(usize, [V::I; 2])) {
                let factors = both_halves(v, tile.factors[0]);
                let digit = v.splat_i32(0x0007_0007);
                let (low, high) = (v.and(factors, digit), v.and(v.shr::<3>(factors), digit));
                for (j, quants) in tile.quants.into_iter().enumerate() {
                    store(j, [v.mul_i16(quants, low), v.mul_i16(quants, high)]);
                }
            }

            #[inline(always)]
            fn join<V: Lanes>(v: V, low: V::I, high: V::I) -> V::I {
                v.add_i32(low, v.shl::<3>(high))
            }
        }
    };
}

with_minima!(Q4K, nibbles, max: 15);
with_minima!(Q5K, five_bits, max: 31);

#[derive(Clone, Copy)]
pub(super) struct Q6K;

impl BlockFormat for Q6K {
    const WEIGHT_TYPE: WeightType = WeightType::Q6K;
    const MAX_QUANT: i32 = 63;
    const HAS_HALVES: bool = true;
    const HAS_SIGNED_HIGH: bool = true;
    const MIN_UNIT_ROWS: usize = 16;

    #[inline(always)]
    fn biases(factors: &BlockFactors, group: usize) -> [i32; 2] {
        [factors.biases_32[2 * group], factors.biases_32[2 * group + 1]]
    }

    #[inline(always)]
    unsafe fn quants<V: Lanes>(v: V, panel: Panel, place: (usize, usize), j: usize) -> V::I {
        // SAFETY: the caller gives a panel of this type that has the block.
        unsafe { panel.six_bits(v, panel.quants_of(Self::WEIGHT_TYPE, place), j) }
    }

    #[inline(always)]
    unsafe fn factors<V: Lanes>(v: V, panel: Panel, place: (usize, usize)) -> [V::I; 2] {
        // SAFETY: as above.
        unsafe {
            let record = panel.factors_of(Self::WEIGHT_TYPE, place);
            [panel.factors(v, record), panel.factors(v, record.add(NUM_LANES))]
        }
    }

    #[inline(always)]
    unsafe fn load_scales<V: Lanes>(v: V, panel: Panel, block: usize) -> BlockScales<V> {
        // SAFETY: the caller gives a panel of this type that has the block.
        let scales = unsafe { panel.halves(v, panel.scales_of(Self::WEIGHT_TYPE, block)) };
        BlockScales { scales, offsets: v.splat(0.0), minima: [v.splat_i32(0); 2] }
    }

    /// A product has 13 bits and a sign: even and odd columns are multiplied as numbers of 16 bits, `q·f − 32·f`, and their bytes parted.
    #[inline(always)]
    fn split<V: Lanes>(v: V, tile: &GroupTile<V>, mut store: impl FnMut(usize, [V::I; 2])) {
        let even_bytes = v.splat_i32(0x00ff_00ff);
        let odd_bytes = v.splat_i32(0xff00_ff00_u32 as i32);
        let zero_point = v.splat_i32(0xffe0_ffe0_u32 as i32);
        for half in 0..2 {
            let factors = both_halves(v, tile.factors[half]);
            let bias = v.mul_i16(factors, zero_point);
            for j in 4 * half..4 * half + 4 {
                let quants = tile.quants[j];
                let even = v.add_i16(v.mul_i16(v.and(quants, even_bytes), factors), bias);
                let odd = v.add_i16(v.mul_i16(v.and(v.shr::<8>(quants), even_bytes), factors), bias);
                let low = v.or(v.and(even, even_bytes), v.and(v.shl::<8>(odd), odd_bytes));
                let high = v.or(v.and(v.shr::<8>(even), even_bytes), v.and(odd, odd_bytes));
                store(j, [low, high]);
            }
        }
    }

    #[inline(always)]
    fn join<V: Lanes>(v: V, low: V::I, high: V::I) -> V::I {
        v.add_i32(low, v.shl::<8>(high))
    }
}
