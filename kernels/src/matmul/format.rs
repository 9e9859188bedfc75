//! How the quants and scales of a panel of groups come into registers; the layout is that of `packed_matrix::panel`.

use crate::WeightType;
use crate::activations::Biases;
use crate::lanes::{Lanes, NUM_LANES};
use crate::packed_matrix::panel::{NIBBLE_BYTES, record_bytes, tile_bytes};

/// Weights of 32 columns by `V::WIDTH` rows of a panel.
pub(super) struct Tile<V: Lanes> {
    /// Vector `j` holds columns `4j..4j + 4` of each row.
    pub(super) quants: [V::I; 8],
    pub(super) scales: V::F,
    /// Meaningful if `Format::HAS_OFFSETS`.
    pub(super) offsets: V::F,
}

pub(super) trait Format {
    const WEIGHT_TYPE: WeightType;
    const HAS_OFFSETS: bool = false;
    /// The largest number that a quant's bits hold.
    const MAX_QUANT: i32;

    /// Where the integer sums start, which takes the zero point away.
    fn bias(_biases: &Biases, _u8_bias: i32) -> i32 {
        0
    }

    /// # Safety
    /// `panel` is a panel of this type with `num_groups` groups, and `first_lane + V::WIDTH ≤ 16`.
    unsafe fn load<V: Lanes>(v: V, panel: Panel, index: usize) -> Tile<V>;
}

/// Where a panel lies, and which of its lanes are wanted.
#[derive(Clone, Copy)]
pub(super) struct Panel {
    pub(super) start: *const u8,
    pub(super) num_groups: usize,
    pub(super) first_lane: usize,
}

impl Panel {
    #[inline(always)]
    unsafe fn tile(self, weight_type: WeightType, index: usize) -> *const u8 {
        // SAFETY: the group exists.
        unsafe { self.start.add(index * tile_bytes(weight_type)) }
    }

    #[inline(always)]
    unsafe fn record(self, weight_type: WeightType, index: usize) -> *const u8 {
        let tiles = self.num_groups * tile_bytes(weight_type);
        // SAFETY: the group exists.
        unsafe { self.start.add(tiles + index * record_bytes(weight_type)) }
    }

    /// Sixteen rows of f16, of which the wanted ones.
    #[inline(always)]
    pub(super) unsafe fn halves<V: Lanes>(self, v: V, p: *const u8) -> V::F {
        // SAFETY: the record holds 16 of them.
        unsafe { v.load_f16(p.cast::<u16>().add(self.first_lane)) }
    }

    /// Sixteen rows of int8, of which the wanted ones.
    #[inline(always)]
    pub(super) unsafe fn factors<V: Lanes>(self, v: V, p: *const u8) -> V::I {
        // SAFETY: the record holds 16 of them.
        unsafe { v.load_i8(p.cast::<i8>().add(self.first_lane)) }
    }

    /// Sixteen rows of four bytes, of which the wanted ones.
    #[inline(always)]
    pub(super) unsafe fn fours<V: Lanes>(self, v: V, p: *const u8) -> V::I {
        // SAFETY: the record holds 16 of them.
        unsafe { v.load_bytes(p.add(4 * self.first_lane)) }
    }

    #[inline(always)]
    pub(super) unsafe fn nibbles<V: Lanes>(self, v: V, tile: *const u8) -> [V::I; 8] {
        let low = v.splat_i32(0x0f0f_0f0f);
        let mut quants = [v.splat_i32(0); 8];
        for j in 0..4 {
            // SAFETY: a nibble plane is four vectors.
            let both = unsafe { v.load_bytes(tile.add(64 * j + 4 * self.first_lane)) };
            quants[j] = v.and(both, low);
            quants[j + 4] = v.and(v.shr::<4>(both), low);
        }
        quants
    }

    #[inline(always)]
    pub(super) unsafe fn five_bits<V: Lanes>(self, v: V, tile: *const u8) -> [V::I; 8] {
        // SAFETY: a tile of a 5-bit type is a nibble plane and eight masks of 64 bits.
        unsafe {
            let mut quants = self.nibbles(v, tile);
            for (j, quant) in quants.iter_mut().enumerate() {
                let mask = tile.add(NIBBLE_BYTES + 8 * j + self.first_lane / 2);
                *quant = v.or(*quant, v.expand_bits(mask, 16));
            }
            quants
        }
    }

    #[inline(always)]
    pub(super) unsafe fn six_bits<V: Lanes>(self, v: V, tile: *const u8) -> [V::I; 8] {
        // SAFETY: a tile of a 6-bit type is a nibble plane and two vectors of bit pairs.
        unsafe {
            let mut quants = self.nibbles(v, tile);
            let high = v.splat_i32(0x3030_3030);
            for half in 0..2 {
                let pairs = v.load_bytes(tile.add(NIBBLE_BYTES + 64 * half + 4 * self.first_lane));
                let quants = &mut quants[4 * half..];
                quants[0] = v.or(quants[0], v.and(v.shl::<4>(pairs), high));
                quants[1] = v.or(quants[1], v.and(v.shl::<2>(pairs), high));
                quants[2] = v.or(quants[2], v.and(pairs, high));
                quants[3] = v.or(quants[3], v.and(v.shr::<2>(pairs), high));
            }
            quants
        }
    }

    #[inline(always)]
    unsafe fn eight_bits<V: Lanes>(self, v: V, tile: *const u8) -> [V::I; 8] {
        let mut quants = [v.splat_i32(0); 8];
        for (j, quant) in quants.iter_mut().enumerate() {
            // SAFETY: a tile of bytes is eight vectors.
            *quant = unsafe { v.load_bytes(tile.add(64 * j + 4 * self.first_lane)) };
        }
        quants
    }
}

/// A type with one f16 scale a group and a zero point.
macro_rules! symmetric {
    ($name:ident, $quants:ident, |$biases:ident, $u8_bias:ident| $start:expr, max: $max:expr) => {
        #[derive(Clone, Copy)]
        pub(super) struct $name;

        impl Format for $name {
            const WEIGHT_TYPE: WeightType = WeightType::$name;
            const MAX_QUANT: i32 = $max;

            #[inline(always)]
            fn bias($biases: &Biases, $u8_bias: i32) -> i32 {
                $start
            }

            #[inline(always)]
            unsafe fn load<V: Lanes>(v: V, panel: Panel, index: usize) -> Tile<V> {
                // SAFETY: the caller gives a panel of this type that has the group.
                unsafe {
                    let scales = panel.halves(v, panel.record(Self::WEIGHT_TYPE, index));
                    let quants = panel.$quants(v, panel.tile(Self::WEIGHT_TYPE, index));
                    Tile { quants, scales, offsets: v.splat(0.0) }
                }
            }
        }
    };
}

/// A type with an f16 scale and an f16 offset a group.
macro_rules! affine {
    ($name:ident, $quants:ident, max: $max:expr) => {
        #[derive(Clone, Copy)]
        pub(super) struct $name;

        impl Format for $name {
            const WEIGHT_TYPE: WeightType = WeightType::$name;
            const HAS_OFFSETS: bool = true;
            const MAX_QUANT: i32 = $max;

            #[inline(always)]
            unsafe fn load<V: Lanes>(v: V, panel: Panel, index: usize) -> Tile<V> {
                // SAFETY: the caller gives a panel of this type that has the group.
                unsafe {
                    let record = panel.record(Self::WEIGHT_TYPE, index);
                    let scales = panel.halves(v, record);
                    let offsets = panel.halves(v, record.add(2 * NUM_LANES));
                    let quants = panel.$quants(v, panel.tile(Self::WEIGHT_TYPE, index));
                    Tile { quants, scales, offsets }
                }
            }
        }
    };
}

symmetric!(Q4_0, nibbles, |biases, _u8_bias| biases.bias_8, max: 15);
symmetric!(Q5_0, five_bits, |biases, _u8_bias| biases.bias_16, max: 31);
symmetric!(Q8_0, eight_bits, |biases, u8_bias| if u8_bias == 0 { biases.bias_128 } else { 0 }, max: 255);
affine!(Q4_1, nibbles, max: 15);
affine!(Q5_1, five_bits, max: 31);
