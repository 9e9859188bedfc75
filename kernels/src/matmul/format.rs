//! How the quants and scales of a panel of groups come into registers; the layout is that of `packed_matrix::panel`.

use std::marker::PhantomData;

use super::pairs::Vectors;
use crate::WeightType;
use crate::activations::Biases;
use crate::lanes::{Lanes, NUM_LANES};
use crate::packed_matrix::panel::{NIBBLE_BYTES, record_bytes, tile_bytes};

/// What 32 columns of `V::WIDTH` rows of a panel are multiplied by.
pub(super) struct Scales<V: Lanes> {
    pub(super) scales: V::F,
    /// Meaningful if `Format::HAS_OFFSETS`.
    pub(super) offsets: V::F,
}

/// Weights of 32 columns by `V::WIDTH` rows of a panel: vector `j` holds columns `4j..4j + 4` of each row.
///
/// # Safety
/// As [`Format::quants`].
#[inline(always)]
pub(super) unsafe fn all_quants<V: Lanes, P: Format>(v: V, panel: Panel, index: usize) -> [V::I; 8] {
    let mut quants = [v.splat_i32(0); 8];
    for_each!(8, |j| {
        // SAFETY: the caller's contract.
        quants[j] = unsafe { P::quants(v, panel, index, j) };
    });
    quants
}

/// One group of a panel of this type.
#[derive(Clone, Copy)]
pub(super) struct Group<P> {
    panel: Panel,
    index: usize,
    _format: PhantomData<P>,
}

impl<P: Format> Group<P> {
    /// # Safety
    /// `panel` is a panel of this type that has the group, for as long as this lives, and vectors are as wide as the wanted lanes.
    #[inline(always)]
    pub(super) unsafe fn new(panel: Panel, index: usize) -> Self {
        Self { panel, index, _format: PhantomData }
    }
}

impl<V: Lanes, P: Format> Vectors<V> for Group<P> {
    #[inline(always)]
    fn get(self, v: V, j: usize) -> V::I {
        assert!(j < 8, "a group has eight vectors");
        // SAFETY: what `new` asks for.
        unsafe { P::quants(v, self.panel, self.index, j) }
    }
}

pub(super) trait Format: Copy {
    const WEIGHT_TYPE: WeightType;
    const HAS_OFFSETS: bool = false;
    /// The largest number that a quant's bits hold.
    const MAX_QUANT: i32;

    /// Where the integer sums start, which takes the zero point away.
    fn bias(_biases: &Biases, _u8_bias: i32) -> i32 {
        0
    }

    /// Columns `4j..4j + 4` of a group.
    ///
    /// # Safety
    /// `panel` is a panel of this type that has the group, `first_lane + V::WIDTH ≤ 16` and `j < 8`.
    unsafe fn quants<V: Lanes>(v: V, panel: Panel, index: usize, j: usize) -> V::I;

    /// The scales of a group, and its offsets if it has any.
    ///
    /// # Safety
    /// `panel` is a panel of this type that has the group, and `first_lane + V::WIDTH ≤ 16`.
    unsafe fn scales<V: Lanes>(v: V, panel: Panel, index: usize) -> Scales<V>;
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
    pub(super) unsafe fn tile(self, weight_type: WeightType, index: usize) -> *const u8 {
        // SAFETY: the group exists.
        unsafe { self.start.add(index * tile_bytes(weight_type)) }
    }

    #[inline(always)]
    pub(super) unsafe fn record(self, weight_type: WeightType, index: usize) -> *const u8 {
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
    pub(super) unsafe fn nibbles<V: Lanes>(self, v: V, tile: *const u8, j: usize) -> V::I {
        // SAFETY: a nibble plane is four vectors.
        let both = unsafe { v.load_bytes(tile.add(64 * (j % 4) + 4 * self.first_lane)) };
        v.and(if j < 4 { both } else { v.shr::<4>(both) }, v.splat_i32(0x0f0f_0f0f))
    }

    #[inline(always)]
    pub(super) unsafe fn five_bits<V: Lanes>(self, v: V, tile: *const u8, j: usize) -> V::I {
        // SAFETY: a tile of a 5-bit type is a nibble plane and eight masks of 64 bits.
        unsafe {
            let mask = tile.add(NIBBLE_BYTES + 8 * j + self.first_lane / 2);
            v.or(self.nibbles(v, tile, j), v.expand_bits(mask, 16))
        }
    }

    #[inline(always)]
    pub(super) unsafe fn six_bits<V: Lanes>(self, v: V, tile: *const u8, j: usize) -> V::I {
        // SAFETY: a tile of a 6-bit type is a nibble plane and two vectors of bit pairs.
        unsafe {
            let pairs = v.load_bytes(tile.add(NIBBLE_BYTES + 64 * (j / 4) + 4 * self.first_lane));
            let high = match j % 4 {
                0 => v.shl::<4>(pairs),
                1 => v.shl::<2>(pairs),
                2 => pairs,
                _ => v.shr::<2>(pairs),
            };
            v.or(self.nibbles(v, tile, j), v.and(high, v.splat_i32(0x3030_3030)))
        }
    }

    #[inline(always)]
    unsafe fn eight_bits<V: Lanes>(self, v: V, tile: *const u8, j: usize) -> V::I {
        // SAFETY: a tile of bytes is eight vectors.
        unsafe { v.load_bytes(tile.add(64 * j + 4 * self.first_lane)) }
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
            unsafe fn quants<V: Lanes>(v: V, panel: Panel, index: usize, j: usize) -> V::I {
                // SAFETY: the caller gives a panel of this type that has the group.
                unsafe { panel.$quants(v, panel.tile(Self::WEIGHT_TYPE, index), j) }
            }

            #[inline(always)]
            unsafe fn scales<V: Lanes>(v: V, panel: Panel, index: usize) -> Scales<V> {
                // SAFETY: as above.
                let scales = unsafe { panel.halves(v, panel.record(Self::WEIGHT_TYPE, index)) };
                Scales { scales, offsets: v.splat(0.0) }
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
            unsafe fn quants<V: Lanes>(v: V, panel: Panel, index: usize, j: usize) -> V::I {
                // SAFETY: the caller gives a panel of this type that has the group.
                unsafe { panel.$quants(v, panel.tile(Self::WEIGHT_TYPE, index), j) }
            }

            #[inline(always)]
            unsafe fn scales<V: Lanes>(v: V, panel: Panel, index: usize) -> Scales<V> {
                // SAFETY: as above.
                unsafe {
                    let record = panel.record(Self::WEIGHT_TYPE, index);
                    let scales = panel.halves(v, record);
                    Scales { scales, offsets: panel.halves(v, record.add(2 * NUM_LANES)) }
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
