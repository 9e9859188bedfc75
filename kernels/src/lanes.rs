//! Sixteen numbers at a time, with the same meaning on every instruction set.
//!
//! A kernel is written once over [`Lanes`] and compiled for each implementation. Every operation is one IEEE 754
//! operation (or exact integer arithmetic) per lane and no operation adds across lanes in an order of its own, so
//! all implementations give the same bits. A value that implements `Lanes` is the proof that the processor has
//! the instructions.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;
mod portable;
mod tile_unit;
#[cfg(any(target_arch = "aarch64", target_arch = "x86_64"))]
mod twice;

#[cfg(target_arch = "x86_64")]
pub(crate) use avx2::Avx2;
#[cfg(target_arch = "x86_64")]
pub(crate) use avx512::Avx512;
#[cfg(target_arch = "aarch64")]
pub(crate) use neon::Neon;
pub(crate) use portable::Portable;
pub(crate) use tile_unit::{BlockProducts, PLANE_BYTES, TILE_ROWS, TILE_SUMS, TileProducts, TileUnit};

use crate::activations::{Biases, Factors};

/// Lanes of the kernels that reduce, and columns of a weight panel.
pub(crate) const NUM_LANES: usize = 16;

/// A computation that is compiled once per instruction set.
pub(crate) trait Kernel {
    /// Must be `#[inline(always)]`, as must all that it calls, or the instructions of `V` are out of reach.
    fn run<V: Lanes>(self, v: V);
}

/// A group of a panel, and what belongs to it of four rows that lie one behind the other.
#[derive(Clone, Copy)]
#[cfg_attr(not(target_arch = "x86_64"), expect(dead_code, reason = "AVX2 alone reads it"))]
pub(crate) struct PanelGroup {
    /// The layout is that of `packed_matrix::panel`.
    pub(crate) tile: *const u8,
    /// f16 scales, and offsets if there are any.
    pub(crate) scales: *const u8,
    /// `activations::Quants`.
    pub(crate) words: *const i32,
    pub(crate) factors: *const Factors,
    pub(crate) biases: *const Biases,
}

/// Vector operations. `F` holds `WIDTH` f32 and `I` holds `WIDTH` i32 or four times as many bytes.
///
/// Functions that take pointers need `WIDTH` readable (or writable) elements there; no alignment.
pub(crate) trait Lanes: Copy + Send + Sync {
    type F: Copy;
    type I: Copy;
    /// The same instruction set at the width that the matrix product runs at.
    type Columns: Lanes;
    const WIDTH: usize;
    /// Rows that pass a panel together: as many as there are registers for their sums.
    const MAX_TILE_ROWS: usize;
    /// The same where one register a row is all that is needed beside a group's weights.
    const MAX_INTEGER_ROWS: usize = Self::MAX_TILE_ROWS;
    /// Sums that attention keeps in registers: enough to hide the latency of an fma.
    const NUM_SUMS: usize;
    /// Bytes between the weights that are read and those that are asked for, where reading takes the time: 1 row reads 1.1 times as fast as
    /// without on a Sapphire Rapids, from its last-level cache; at 4096 bytes 1.05 times.
    const READ_AHEAD: usize = 1_536;
    /// What `dot4_u8` subtracts from each weight by itself.
    const U8_BIAS: i32;
    /// Whether `dot4_u7` takes steps of its own for the sums of two and of four, so that adding up sums of two first pays.
    const HAS_PAIRS: bool = false;
    /// Whether the products of four rows with some types are written out.
    const HAS_FOUR_ROWS: bool = false;

    fn columns(self) -> Self::Columns;
    /// The matrix unit that stands beside the lanes, if there is one to use.
    #[inline(always)]
    fn tile_unit(self) -> Option<TileUnit> {
        None
    }

    fn splat(self, x: f32) -> Self::F;
    unsafe fn load(self, p: *const f32) -> Self::F;
    unsafe fn load_f16(self, p: *const u16) -> Self::F;
    unsafe fn load_bf16(self, p: *const u16) -> Self::F;
    unsafe fn store(self, p: *mut f32, a: Self::F);
    /// Rounds to the nearest, ties to even.
    unsafe fn store_f16(self, p: *mut u16, a: Self::F);
    fn add(self, a: Self::F, b: Self::F) -> Self::F;
    fn sub(self, a: Self::F, b: Self::F) -> Self::F;
    fn mul(self, a: Self::F, b: Self::F) -> Self::F;
    fn div(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a·b + c` with one rounding.
    fn fma(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F;
    /// `if a > b { a } else { b }`: the second operand when either is NaN.
    fn max(self, a: Self::F, b: Self::F) -> Self::F;
    /// `if a < b { a } else { b }`: the second operand when either is NaN.
    fn min(self, a: Self::F, b: Self::F) -> Self::F;

    fn splat_i32(self, x: i32) -> Self::I;
    unsafe fn load_bytes(self, p: *const u8) -> Self::I;
    /// `WIDTH` signed bytes, each in an i32.
    unsafe fn load_i8(self, p: *const i8) -> Self::I;
    unsafe fn load_i32(self, p: *const i32) -> Self::I;
    fn to_f32(self, a: Self::I) -> Self::F;
    fn bits(self, a: Self::F) -> Self::I;
    fn as_f32(self, a: Self::I) -> Self::F;
    fn add_i32(self, a: Self::I, b: Self::I) -> Self::I;
    /// The low 32 bits of the products.
    fn mul_i32(self, a: Self::I, b: Self::I) -> Self::I;
    /// Sums of the two 16-bit halves of each lane, each by itself.
    fn add_i16(self, a: Self::I, b: Self::I) -> Self::I;
    /// The low 16 bits of the products of such halves.
    fn mul_i16(self, a: Self::I, b: Self::I) -> Self::I;
    fn and(self, a: Self::I, b: Self::I) -> Self::I;
    fn or(self, a: Self::I, b: Self::I) -> Self::I;
    fn xor(self, a: Self::I, b: Self::I) -> Self::I;
    /// The larger of two non-negative numbers.
    fn max_i32(self, a: Self::I, b: Self::I) -> Self::I;
    fn shl<const N: u32>(self, a: Self::I) -> Self::I;
    /// Shift to the right by zeros.
    fn shr<const N: u32>(self, a: Self::I) -> Self::I;
    /// Rounds to the nearest integer, ties to even, and writes the low bytes. `|a| ≤ 127`.
    unsafe fn store_i8(self, p: *mut i8, a: Self::F);
    /// In each byte `i` of the lanes: `bit` if bit `i` of the mask at `p` is set, else zero.
    unsafe fn expand_bits(self, p: *const u8, bit: u8) -> Self::I;

    /// The sum of all lanes as a balanced tree over the lanes `i` and `i + 8`, `i + 4`, `i + 2`, `i + 1`.
    #[inline(always)]
    fn sum_lanes(self, a: Self::F) -> f32 {
        fold_lanes(self, a, |a, b| a + b)
    }
    /// The largest lane, by [`Lanes::max`] in the same tree.
    #[inline(always)]
    fn max_lane(self, a: Self::F) -> f32 {
        fold_lanes(self, a, |a, b| if a > b { a } else { b })
    }
    /// The largest of non-negative integers.
    #[inline(always)]
    fn max_lane_i32(self, a: Self::I) -> i32 {
        fold_lanes(self, self.as_f32(a), |a, b| f32::from_bits(a.to_bits().max(b.to_bits()))).to_bits() as i32
    }

    /// `acc + Σ_{i<4} w[i]·a[i]` in each lane: four bytes of weights ≤ 127 and the four signed bytes of `a`.
    fn dot4_u7(self, acc: Self::I, w: Self::I, a: i32) -> Self::I;
    /// The same with any unsigned byte, each reduced by `U8_BIAS`.
    fn dot4_u8(self, acc: Self::I, w: Self::I, a: i32) -> Self::I;
    /// `w[2i]·a[2i] + w[2i+1]·a[2i+1]` in each i16: bytes of weights ≤ 127 and signed bytes. Where `HAS_PAIRS`.
    #[inline(always)]
    fn mul_pairs(self, _w: Self::I, _a: Self::I) -> Self::I {
        unreachable!("there are no pairs")
    }
    /// `sum + mul_pairs(w, a)` i16 by i16, with the same word `a` in all lanes. Where `HAS_PAIRS`.
    #[inline(always)]
    fn add_pairs(self, sum: Self::I, w: Self::I, a: &i32) -> Self::I {
        self.add_i16(sum, self.mul_pairs(w, self.splat_i32(*a)))
    }
    /// The same for two vectors.
    #[inline(always)]
    fn add_two_pairs(self, sums: [Self::I; 2], w: [Self::I; 2], a: &i32) -> [Self::I; 2] {
        [self.add_pairs(sums[0], w[0], a), self.add_pairs(sums[1], w[1], a)]
    }
    /// Sums of two as by `add_pairs`, over a tile of 4-bit weights and the eight words of each of four rows, `ROW_BYTES` apart. 16 bits
    /// hold them. Where `HAS_FOUR_ROWS`.
    #[inline(always)]
    unsafe fn nibble_sums<const ROW_BYTES: usize>(
        self,
        _tile: *const u8,
        _words: *const i32,
    ) -> [Self::I; 4] {
        unreachable!("there are no products of four rows")
    }
    /// The same for two vectors.
    #[inline(always)]
    unsafe fn two_nibble_sums<const ROW_BYTES: usize>(
        self,
        _tile: *const u8,
        _words: *const i32,
    ) -> [[Self::I; 2]; 4] {
        unreachable!("there are no products of four rows")
    }
    /// Adds the products of a group of 4-bit weights with four rows to their outputs. Where `HAS_FOUR_ROWS`.
    #[inline(always)]
    unsafe fn add_nibbles<const HAS_OFFSETS: bool>(
        self,
        _group: PanelGroup,
        _out: &mut [[f32; NUM_LANES]; 4],
    ) {
        unreachable!("there are no products of four rows")
    }
    /// The same of bytes, each reduced by `U8_BIAS`. Where `HAS_FOUR_ROWS`.
    #[inline(always)]
    unsafe fn add_bytes(self, _group: PanelGroup, _out: &mut [[f32; NUM_LANES]; 4]) {
        unreachable!("there are no products of four rows")
    }
    /// `acc + a[0]·b[0] + a[1]·b[1]` in each lane, of its two i16. Where `HAS_PAIRS`.
    #[inline(always)]
    fn dot2_i16(self, _acc: Self::I, _a: Self::I, _b: Self::I) -> Self::I {
        unreachable!("there are no pairs")
    }
}

/// The sum of 16 lanes as a balanced tree over the lanes `i` and `i + 8`, `i + 4`, `i + 2`, `i + 1`.
#[inline(always)]
pub(crate) fn sum<V: Lanes>(v: V, a: V::F) -> f32 {
    v.sum_lanes(a)
}

/// The largest of 16 lanes.
#[inline(always)]
pub(crate) fn max<V: Lanes>(v: V, a: V::F) -> f32 {
    v.max_lane(a)
}

/// The largest of 16 non-negative integers, as the bits of an f32.
#[inline(always)]
pub(crate) fn max_bits<V: Lanes>(v: V, a: V::I) -> f32 {
    f32::from_bits(v.max_lane_i32(a) as u32)
}

#[inline(always)]
fn fold_lanes<V: Lanes>(v: V, a: V::F, f: impl Fn(f32, f32) -> f32) -> f32 {
    let mut lanes = [0.0f32; NUM_LANES];
    // SAFETY: the array holds the 16 lanes that an implementation has at most.
    unsafe { v.store(lanes.as_mut_ptr(), a) };
    let mut half = V::WIDTH / 2;
    while half > 0 {
        for i in 0..half {
            lanes[i] = f(lanes[i], lanes[i + half]);
        }
        half /= 2;
    }
    lanes[0]
}

/// Asks for a cache line that will be read soon. Any address will do.
#[inline(always)]
pub(crate) fn prefetch<T>(p: *const T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch is a hint and never faults.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(p.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _no_such_hint = p;
}
