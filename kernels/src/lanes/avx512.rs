use std::arch::x86_64::*;

use super::{Kernel, Lanes, TileUnit};

/// One register of sixteen lanes: AVX-512 with VNNI, perhaps with a matrix unit. Only `detect` makes one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Avx512 {
    tile_unit: Option<TileUnit>,
}

impl Avx512 {
    /// The proof that the processor has the instructions.
    pub(crate) fn detect() -> Option<Self> {
        let has_all = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512vnni")
            && is_x86_feature_detected!("fma")
            && is_x86_feature_detected!("f16c");
        has_all.then_some(Self { tile_unit: None })
    }

    /// The same with a matrix unit.
    pub(crate) fn detect_with_tile_unit() -> Option<Self> {
        Self::detect()?;
        Some(Self { tile_unit: Some(TileUnit::detect()?) })
    }

    #[inline]
    pub(crate) fn dispatch<K: Kernel>(self, kernel: K) {
        #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,fma,f16c")]
        fn enter<K: Kernel>(lanes: Avx512, kernel: K) {
            kernel.run(lanes);
        }
        // SAFETY: `self` exists, so the features were detected.
        unsafe { enter(self, kernel) }
    }
}

/// Calls an intrinsic. The value of type `Avx512` at hand proves that the processor has the features.
macro_rules! avx512 {
    ($call:expr) => {{
        // SAFETY: `self` exists, so the features were detected; memory operands are the caller's contract.
        unsafe { $call }
    }};
}

impl Lanes for Avx512 {
    type F = __m512;
    type I = __m512i;
    type Columns = Avx512;
    const WIDTH: usize = 16;
    const MAX_TILE_ROWS: usize = 8;
    const MAX_INTEGER_ROWS: usize = 16;
    const NUM_SUMS: usize = 16;
    const U8_BIAS: i32 = 0;

    #[inline(always)]
    fn columns(self) -> Avx512 {
        self
    }
    #[inline(always)]
    fn tile_unit(self) -> Option<TileUnit> {
        self.tile_unit
    }

    #[inline(always)]
    fn splat(self, x: f32) -> __m512 {
        avx512!(_mm512_set1_ps(x))
    }
    #[inline(always)]
    unsafe fn load(self, p: *const f32) -> __m512 {
        avx512!(_mm512_loadu_ps(p))
    }
    #[inline(always)]
    unsafe fn load_f16(self, p: *const u16) -> __m512 {
        avx512!(_mm512_cvtph_ps(_mm256_loadu_si256(p.cast())))
    }
    #[inline(always)]
    unsafe fn load_bf16(self, p: *const u16) -> __m512 {
        avx512!(_mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(_mm256_loadu_si256(
            p.cast()
        )))))
    }
    #[inline(always)]
    unsafe fn store(self, p: *mut f32, a: __m512) {
        avx512!(_mm512_storeu_ps(p, a))
    }
    #[inline(always)]
    unsafe fn store_f16(self, p: *mut u16, a: __m512) {
        avx512!(_mm256_storeu_si256(p.cast(), _mm512_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(a)))
    }
    #[inline(always)]
    fn add(self, a: __m512, b: __m512) -> __m512 {
        avx512!(_mm512_add_ps(a, b))
    }
    #[inline(always)]
    fn sub(self, a: __m512, b: __m512) -> __m512 {
        avx512!(_mm512_sub_ps(a, b))
    }
    #[inline(always)]
    fn mul(self, a: __m512, b: __m512) -> __m512 {
        avx512!(_mm512_mul_ps(a, b))
    }
    #[inline(always)]
    fn div(self, a: __m512, b: __m512) -> __m512 {
        avx512!(_mm512_div_ps(a, b))
    }
    #[inline(always)]
    fn fma(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        avx512!(_mm512_fmadd_ps(a, b, c))
    }
    #[inline(always)]
    fn max(self, a: __m512, b: __m512) -> __m512 {
        avx512!(_mm512_max_ps(a, b))
    }
    #[inline(always)]
    fn min(self, a: __m512, b: __m512) -> __m512 {
        avx512!(_mm512_min_ps(a, b))
    }

    #[inline(always)]
    fn splat_i32(self, x: i32) -> __m512i {
        avx512!(_mm512_set1_epi32(x))
    }
    #[inline(always)]
    unsafe fn load_bytes(self, p: *const u8) -> __m512i {
        avx512!(_mm512_loadu_si512(p.cast()))
    }
    #[inline(always)]
    unsafe fn load_i8(self, p: *const i8) -> __m512i {
        avx512!(_mm512_cvtepi8_epi32(_mm_loadu_si128(p.cast())))
    }
    #[inline(always)]
    unsafe fn load_i32(self, p: *const i32) -> __m512i {
        avx512!(_mm512_loadu_si512(p.cast()))
    }
    #[inline(always)]
    fn to_f32(self, a: __m512i) -> __m512 {
        avx512!(_mm512_cvtepi32_ps(a))
    }
    #[inline(always)]
    fn bits(self, a: __m512) -> __m512i {
        avx512!(_mm512_castps_si512(a))
    }
    #[inline(always)]
    fn as_f32(self, a: __m512i) -> __m512 {
        avx512!(_mm512_castsi512_ps(a))
    }
    #[inline(always)]
    fn add_i32(self, a: __m512i, b: __m512i) -> __m512i {
        avx512!(_mm512_add_epi32(a, b))
    }
    #[inline(always)]
    fn mul_i32(self, a: __m512i, b: __m512i) -> __m512i {
        avx512!(_mm512_mullo_epi32(a, b))
    }
    #[inline(always)]
    fn add_i16(self, a: __m512i, b: __m512i) -> __m512i {
        avx512!(_mm512_add_epi16(a, b))
    }
    #[inline(always)]
    fn mul_i16(self, a: __m512i, b: __m512i) -> __m512i {
        avx512!(_mm512_mullo_epi16(a, b))
    }
    #[inline(always)]
    fn and(self, a: __m512i, b: __m512i) -> __m512i {
        avx512!(_mm512_and_si512(a, b))
    }
    #[inline(always)]
    fn or(self, a: __m512i, b: __m512i) -> __m512i {
        avx512!(_mm512_or_si512(a, b))
    }
    #[inline(always)]
    fn xor(self, a: __m512i, b: __m512i) -> __m512i {
        avx512!(_mm512_xor_si512(a, b))
    }
    #[inline(always)]
    fn max_i32(self, a: __m512i, b: __m512i) -> __m512i {
        avx512!(_mm512_max_epi32(a, b))
    }
    #[inline(always)]
    fn shl<const N: u32>(self, a: __m512i) -> __m512i {
        avx512!(_mm512_sll_epi32(a, _mm_cvtsi32_si128(N as i32)))
    }
    #[inline(always)]
    fn shr<const N: u32>(self, a: __m512i) -> __m512i {
        avx512!(_mm512_srl_epi32(a, _mm_cvtsi32_si128(N as i32)))
    }
    #[inline(always)]
    unsafe fn store_i8(self, p: *mut i8, a: __m512) {
        avx512!(_mm_storeu_si128(p.cast(), _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(a))))
    }
    #[inline(always)]
    unsafe fn expand_bits(self, p: *const u8, bit: u8) -> __m512i {
        avx512!(_mm512_maskz_set1_epi8(p.cast::<u64>().read_unaligned(), bit as i8))
    }

    #[inline(always)]
    fn sum_lanes(self, a: __m512) -> f32 {
        avx512!({
            let a = _mm256_add_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps::<1>(a));
            let a = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps::<1>(a));
            let a = _mm_add_ps(a, _mm_movehl_ps(a, a));
            _mm_cvtss_f32(_mm_add_ss(a, _mm_movehdup_ps(a)))
        })
    }
    #[inline(always)]
    fn max_lane(self, a: __m512) -> f32 {
        avx512!({
            let a = _mm256_max_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps::<1>(a));
            let a = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps::<1>(a));
            let a = _mm_max_ps(a, _mm_movehl_ps(a, a));
            _mm_cvtss_f32(_mm_max_ss(a, _mm_movehdup_ps(a)))
        })
    }
    #[inline(always)]
    fn max_lane_i32(self, a: __m512i) -> i32 {
        avx512!(_mm512_reduce_max_epi32(a))
    }

    #[inline(always)]
    fn dot4_u7(self, acc: __m512i, w: __m512i, a: i32) -> __m512i {
        avx512!(_mm512_dpbusd_epi32(acc, w, _mm512_set1_epi32(a)))
    }
    #[inline(always)]
    fn dot4_u8(self, acc: __m512i, w: __m512i, a: i32) -> __m512i {
        self.dot4_u7(acc, w, a)
    }
}
