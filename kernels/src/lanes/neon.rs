use std::arch::aarch64::*;
use std::arch::asm;
use std::arch::is_aarch64_feature_detected;

use super::twice::Twice;
use super::{Kernel, Lanes};

/// Four registers of four lanes: NEON with its int8 dot products (Armv8.2 DotProd).
pub(crate) type Neon = Twice<Twice<NeonQuarter>>;

/// One register of four lanes. Only `Neon::detect` makes one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NeonQuarter(());

impl Neon {
    /// The proof that the processor has the instructions.
    pub(crate) fn detect() -> Option<Self> {
        let has_all = is_aarch64_feature_detected!("neon") && is_aarch64_feature_detected!("dotprod");
        has_all.then_some(Twice(Twice(NeonQuarter(()))))
    }

    #[inline]
    pub(crate) fn dispatch<K: Kernel>(self, kernel: K) {
        #[target_feature(enable = "neon,dotprod")]
        fn enter<K: Kernel>(lanes: Neon, kernel: K) {
            kernel.run(lanes);
        }
        // SAFETY: `self` exists, so the features were detected.
        unsafe { enter(self, kernel) }
    }
}

/// Calls an intrinsic. The value of type `NeonQuarter` at hand proves that the processor has NEON and DotProd.
macro_rules! neon {
    ($call:expr) => {{
        // SAFETY: `self` exists, so the features were detected; memory operands are the caller's contract.
        unsafe { $call }
    }};
}

impl NeonQuarter {
    /// `acc + Σ_{i<4} w[i]·a[i]` in each lane, both signed.
    #[inline(always)]
    fn dot4(self, acc: int32x4_t, w: int32x4_t, a: i32) -> int32x4_t {
        let mut sums = acc;
        // SAFETY: `self` exists, so DotProd was detected; registers only.
        unsafe {
            asm!(
                ".arch_extension dotprod",
                "sdot {sums:v}.4s, {w:v}.16b, {a:v}.16b",
                sums = inout(vreg) sums,
                w = in(vreg) w,
                a = in(vreg) vdupq_n_s32(a),
                options(pure, nomem, nostack, preserves_flags),
            );
        }
        sums
    }
}

impl Lanes for NeonQuarter {
    type F = float32x4_t;
    type I = int32x4_t;
    type Columns = NeonQuarter;
    const WIDTH: usize = 4;
    const MAX_TILE_ROWS: usize = 4;
    const NUM_SUMS: usize = 8;
    const U8_BIAS: i32 = 128;

    #[inline(always)]
    fn columns(self) -> NeonQuarter {
        self
    }

    #[inline(always)]
    fn splat(self, x: f32) -> float32x4_t {
        neon!(vdupq_n_f32(x))
    }
    #[inline(always)]
    unsafe fn load(self, p: *const f32) -> float32x4_t {
        neon!(vld1q_f32(p))
    }
    #[inline(always)]
    unsafe fn load_f16(self, p: *const u16) -> float32x4_t {
        let halves = neon!(vld1_u16(p));
        let wide: float32x4_t;
        // SAFETY: `self` exists, so NEON was detected; registers only.
        unsafe {
            asm!(
                "fcvtl {wide:v}.4s, {halves:v}.4h",
                wide = lateout(vreg) wide,
                halves = in(vreg) halves,
                options(pure, nomem, nostack, preserves_flags),
            );
        }
        wide
    }
    #[inline(always)]
    unsafe fn load_bf16(self, p: *const u16) -> float32x4_t {
        neon!(vreinterpretq_f32_u32(vshll_n_u16::<16>(vld1_u16(p))))
    }
    #[inline(always)]
    unsafe fn store(self, p: *mut f32, a: float32x4_t) {
        neon!(vst1q_f32(p, a))
    }
    #[inline(always)]
    unsafe fn store_f16(self, p: *mut u16, a: float32x4_t) {
        let halves: uint16x4_t;
        // SAFETY: `self` exists, so NEON was detected; registers only.
        unsafe {
            asm!(
                "fcvtn {halves:v}.4h, {a:v}.4s",
                halves = lateout(vreg) halves,
                a = in(vreg) a,
                options(pure, nomem, nostack, preserves_flags),
            );
        }
        neon!(vst1_u16(p, halves))
    }
    #[inline(always)]
    fn add(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        neon!(vaddq_f32(a, b))
    }
    #[inline(always)]
    fn sub(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        neon!(vsubq_f32(a, b))
    }
    #[inline(always)]
    fn mul(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        neon!(vmulq_f32(a, b))
    }
    #[inline(always)]
    fn div(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        neon!(vdivq_f32(a, b))
    }
    #[inline(always)]
    fn fma(self, a: float32x4_t, b: float32x4_t, c: float32x4_t) -> float32x4_t {
        neon!(vfmaq_f32(c, a, b))
    }
    // `fmax` and `fmin` would give NaN when either operand is.
    #[inline(always)]
    fn max(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        neon!(vbslq_f32(vcgtq_f32(a, b), a, b))
    }
    #[inline(always)]
    fn min(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        neon!(vbslq_f32(vcltq_f32(a, b), a, b))
    }

    #[inline(always)]
    fn splat_i32(self, x: i32) -> int32x4_t {
        neon!(vdupq_n_s32(x))
    }
    #[inline(always)]
    unsafe fn load_bytes(self, p: *const u8) -> int32x4_t {
        neon!(vreinterpretq_s32_u8(vld1q_u8(p)))
    }
    #[inline(always)]
    unsafe fn load_i8(self, p: *const i8) -> int32x4_t {
        neon!({
            let bytes = vcreate_s8(u64::from(p.cast::<u32>().read_unaligned()));
            vmovl_s16(vget_low_s16(vmovl_s8(bytes)))
        })
    }
    #[inline(always)]
    unsafe fn load_i32(self, p: *const i32) -> int32x4_t {
        neon!(vld1q_s32(p))
    }
    #[inline(always)]
    fn to_f32(self, a: int32x4_t) -> float32x4_t {
        neon!(vcvtq_f32_s32(a))
    }
    #[inline(always)]
    fn bits(self, a: float32x4_t) -> int32x4_t {
        neon!(vreinterpretq_s32_f32(a))
    }
    #[inline(always)]
    fn as_f32(self, a: int32x4_t) -> float32x4_t {
        neon!(vreinterpretq_f32_s32(a))
    }
    #[inline(always)]
    fn add_i32(self, a: int32x4_t, b: int32x4_t) -> int32x4_t {
        neon!(vaddq_s32(a, b))
    }
    #[inline(always)]
    fn mul_i32(self, a: int32x4_t, b: int32x4_t) -> int32x4_t {
        neon!(vmulq_s32(a, b))
    }
    #[inline(always)]
    fn add_i16(self, a: int32x4_t, b: int32x4_t) -> int32x4_t {
        neon!(vreinterpretq_s32_s16(vaddq_s16(vreinterpretq_s16_s32(a), vreinterpretq_s16_s32(b))))
    }
    #[inline(always)]
    fn mul_i16(self, a: int32x4_t, b: int32x4_t) -> int32x4_t {
        neon!(vreinterpretq_s32_s16(vmulq_s16(vreinterpretq_s16_s32(a), vreinterpretq_s16_s32(b))))
    }
    #[inline(always)]
    fn and(self, a: int32x4_t, b: int32x4_t) -> int32x4_t {
        neon!(vandq_s32(a, b))
    }
    #[inline(always)]
    fn or(self, a: int32x4_t, b: int32x4_t) -> int32x4_t {
        neon!(vorrq_s32(a, b))
    }
    #[inline(always)]
    fn xor(self, a: int32x4_t, b: int32x4_t) -> int32x4_t {
        neon!(veorq_s32(a, b))
    }
    #[inline(always)]
    fn max_i32(self, a: int32x4_t, b: int32x4_t) -> int32x4_t {
        neon!(vmaxq_s32(a, b))
    }
    #[inline(always)]
    fn shl<const N: u32>(self, a: int32x4_t) -> int32x4_t {
        neon!(vshlq_s32(a, vdupq_n_s32(N as i32)))
    }
    #[inline(always)]
    fn shr<const N: u32>(self, a: int32x4_t) -> int32x4_t {
        neon!(vreinterpretq_s32_u32(vshlq_u32(vreinterpretq_u32_s32(a), vdupq_n_s32(-(N as i32)))))
    }
    #[inline(always)]
    unsafe fn store_i8(self, p: *mut i8, a: float32x4_t) {
        neon!({
            let words = vmovn_s32(vcvtnq_s32_f32(a));
            let bytes = vmovn_s16(vcombine_s16(words, words));
            p.cast::<u32>().write_unaligned(vget_lane_u32::<0>(vreinterpret_u32_s8(bytes)));
        })
    }
    #[inline(always)]
    unsafe fn expand_bits(self, p: *const u8, bit: u8) -> int32x4_t {
        neon!({
            let mask = vcombine_u8(vdup_n_u8(p.read()), vdup_n_u8(p.add(1).read()));
            let bit_of_lane = vreinterpretq_u8_u64(vdupq_n_u64(0x8040_2010_0804_0201));
            let is_set = vtstq_u8(mask, bit_of_lane);
            vreinterpretq_s32_u8(vandq_u8(is_set, vdupq_n_u8(bit)))
        })
    }

    #[inline(always)]
    fn dot4_u7(self, acc: int32x4_t, w: int32x4_t, a: i32) -> int32x4_t {
        self.dot4(acc, w, a)
    }
    #[inline(always)]
    fn dot4_u8(self, acc: int32x4_t, w: int32x4_t, a: i32) -> int32x4_t {
        let signed = neon!(veorq_s32(w, vdupq_n_s32(0x8080_8080_u32 as i32)));
        self.dot4(acc, signed, a)
    }
}
