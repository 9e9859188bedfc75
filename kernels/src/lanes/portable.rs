use half::f16;

use super::{Lanes, NUM_LANES};

/// Plain arrays: the meaning of every operation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Portable;

macro_rules! each_lane {
    ($i:ident => $value:expr) => {
        std::array::from_fn(
            #[inline(always)]
            |$i| $value,
        )
    };
}

/// Two 16-bit numbers in one of 32 bits, each by itself.
#[inline(always)]
fn each_half(a: i32, b: i32, f: impl Fn(i16, i16) -> i16) -> i32 {
    let low = f(a as i16, b as i16) as u16;
    let high = f((a >> 16) as i16, (b >> 16) as i16) as u16;
    (u32::from(low) | u32::from(high) << 16) as i32
}

impl Lanes for Portable {
    type F = [f32; NUM_LANES];
    type I = [i32; NUM_LANES];
    type Columns = Portable;
    const WIDTH: usize = NUM_LANES;
    const NUM_SUMS: usize = 8;
    const MAX_TILE_ROWS: usize = 1;
    const U8_BIAS: i32 = 0;

    #[inline(always)]
    fn columns(self) -> Portable {
        self
    }

    #[inline(always)]
    fn splat(self, x: f32) -> Self::F {
        [x; NUM_LANES]
    }
    #[inline(always)]
    unsafe fn load(self, p: *const f32) -> Self::F {
        // SAFETY: the caller gives 16 readable elements.
        unsafe { p.cast::<Self::F>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn load_f16(self, p: *const u16) -> Self::F {
        // SAFETY: the caller gives 16 readable elements.
        let halves = unsafe { p.cast::<[u16; NUM_LANES]>().read_unaligned() };
        each_lane!(i => f16::from_bits(halves[i]).to_f32())
    }
    #[inline(always)]
    unsafe fn load_bf16(self, p: *const u16) -> Self::F {
        // SAFETY: the caller gives 16 readable elements.
        let halves = unsafe { p.cast::<[u16; NUM_LANES]>().read_unaligned() };
        each_lane!(i => f32::from_bits(u32::from(halves[i]) << 16))
    }
    #[inline(always)]
    unsafe fn store(self, p: *mut f32, a: Self::F) {
        // SAFETY: the caller gives 16 writable elements.
        unsafe { p.cast::<Self::F>().write_unaligned(a) }
    }
    #[inline(always)]
    unsafe fn store_f16(self, p: *mut u16, a: Self::F) {
        let halves: [u16; NUM_LANES] = each_lane!(i => f16::from_f32(a[i]).to_bits());
        // SAFETY: the caller gives 16 writable elements.
        unsafe { p.cast::<[u16; NUM_LANES]>().write_unaligned(halves) }
    }
    #[inline(always)]
    fn add(self, a: Self::F, b: Self::F) -> Self::F {
        each_lane!(i => a[i] + b[i])
    }
    #[inline(always)]
    fn sub(self, a: Self::F, b: Self::F) -> Self::F {
        each_lane!(i => a[i] - b[i])
    }
    #[inline(always)]
    fn mul(self, a: Self::F, b: Self::F) -> Self::F {
        each_lane!(i => a[i] * b[i])
    }
    #[inline(always)]
    fn div(self, a: Self::F, b: Self::F) -> Self::F {
        each_lane!(i => a[i] / b[i])
    }
    #[inline(always)]
    fn fma(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F {
        each_lane!(i => a[i].mul_add(b[i], c[i]))
    }
    #[inline(always)]
    fn max(self, a: Self::F, b: Self::F) -> Self::F {
        each_lane!(i => if a[i] > b[i] { a[i] } else { b[i] })
    }
    #[inline(always)]
    fn min(self, a: Self::F, b: Self::F) -> Self::F {
        each_lane!(i => if a[i] < b[i] { a[i] } else { b[i] })
    }

    #[inline(always)]
    fn splat_i32(self, x: i32) -> Self::I {
        [x; NUM_LANES]
    }
    #[inline(always)]
    unsafe fn load_bytes(self, p: *const u8) -> Self::I {
        // SAFETY: the caller gives 64 readable bytes.
        let bytes = unsafe { p.cast::<[[u8; 4]; NUM_LANES]>().read_unaligned() };
        each_lane!(i => i32::from_le_bytes(bytes[i]))
    }
    #[inline(always)]
    unsafe fn load_i8(self, p: *const i8) -> Self::I {
        // SAFETY: the caller gives 16 readable bytes.
        let bytes = unsafe { p.cast::<[i8; NUM_LANES]>().read_unaligned() };
        each_lane!(i => i32::from(bytes[i]))
    }
    #[inline(always)]
    unsafe fn load_i32(self, p: *const i32) -> Self::I {
        // SAFETY: the caller gives 16 readable numbers.
        unsafe { p.cast::<[i32; NUM_LANES]>().read_unaligned() }
    }
    #[inline(always)]
    fn to_f32(self, a: Self::I) -> Self::F {
        each_lane!(i => a[i] as f32)
    }
    #[inline(always)]
    fn bits(self, a: Self::F) -> Self::I {
        each_lane!(i => a[i].to_bits() as i32)
    }
    #[inline(always)]
    fn as_f32(self, a: Self::I) -> Self::F {
        each_lane!(i => f32::from_bits(a[i] as u32))
    }
    #[inline(always)]
    fn add_i32(self, a: Self::I, b: Self::I) -> Self::I {
        each_lane!(i => a[i].wrapping_add(b[i]))
    }
    #[inline(always)]
    fn mul_i32(self, a: Self::I, b: Self::I) -> Self::I {
        each_lane!(i => a[i].wrapping_mul(b[i]))
    }
    #[inline(always)]
    fn add_i16(self, a: Self::I, b: Self::I) -> Self::I {
        each_lane!(i => each_half(a[i], b[i], i16::wrapping_add))
    }
    #[inline(always)]
    fn mul_i16(self, a: Self::I, b: Self::I) -> Self::I {
        each_lane!(i => each_half(a[i], b[i], i16::wrapping_mul))
    }
    #[inline(always)]
    fn and(self, a: Self::I, b: Self::I) -> Self::I {
        each_lane!(i => a[i] & b[i])
    }
    #[inline(always)]
    fn or(self, a: Self::I, b: Self::I) -> Self::I {
        each_lane!(i => a[i] | b[i])
    }
    #[inline(always)]
    fn xor(self, a: Self::I, b: Self::I) -> Self::I {
        each_lane!(i => a[i] ^ b[i])
    }
    #[inline(always)]
    fn max_i32(self, a: Self::I, b: Self::I) -> Self::I {
        each_lane!(i => a[i].max(b[i]))
    }
    #[inline(always)]
    fn shl<const N: u32>(self, a: Self::I) -> Self::I {
        each_lane!(i => a[i] << N)
    }
    #[inline(always)]
    fn shr<const N: u32>(self, a: Self::I) -> Self::I {
        each_lane!(i => ((a[i] as u32) >> N) as i32)
    }
    #[inline(always)]
    unsafe fn store_i8(self, p: *mut i8, a: Self::F) {
        let bytes: [i8; NUM_LANES] = each_lane!(i => a[i].round_ties_even() as i8);
        // SAFETY: the caller gives 16 writable bytes.
        unsafe { p.cast::<[i8; NUM_LANES]>().write_unaligned(bytes) }
    }
    #[inline(always)]
    unsafe fn expand_bits(self, p: *const u8, bit: u8) -> Self::I {
        // SAFETY: the caller gives 8 readable bytes.
        let mask = u64::from_le_bytes(unsafe { p.cast::<[u8; 8]>().read_unaligned() });
        each_lane!(i => {
            let bytes: [u8; 4] = each_lane!(byte => if mask >> (4 * i + byte) & 1 == 1 { bit } else { 0 });
            i32::from_le_bytes(bytes)
        })
    }

    #[inline(always)]
    fn dot4_u7(self, acc: Self::I, w: Self::I, a: i32) -> Self::I {
        self.dot4_u8(acc, w, a)
    }
    #[inline(always)]
    fn dot4_u8(self, acc: Self::I, w: Self::I, a: i32) -> Self::I {
        let a = a.to_le_bytes();
        each_lane!(i => {
            let w = w[i].to_le_bytes();
            let product = |j: usize| i32::from(w[j]) * i32::from(a[j] as i8);
            acc[i] + ((product(0) + product(1)) + (product(2) + product(3)))
        })
    }
}
