use crate::Pool;
use crate::exp::exp;
use crate::lanes::{Kernel, Lanes, NUM_LANES};

const GRAIN: usize = 8_192;

/// The Gaussian error linear unit, in place: the exact one, not the approximation by tanh.
///
/// `x[i] = x[i]·Φ(x[i]) = max(x[i], 0) − |x[i]|·q` with the tail `q = Φ(−|x[i]|) = ½·erfc(|x[i]|/√2)` — `x` f32 of any shape.
/// `erfc(z) = (a1·t + … + a5·t⁵)·e^(−z²)` with `t = 1 / (1 + p·z)`, in Horner's form by fma. NaN and infinity become NaN.
///
/// Parity 3e-6 for inputs up to 12; bit-identical between instruction sets. Sources: Hendrycks & Gimpel 2016; Abramowitz & Stegun
/// 1964, 7.1.26.
pub fn gelu(pool: &Pool, x: &mut [f32]) {
    pool.for_each_row(x, 1, GRAIN, &|_, x| pool.verified_isa().dispatch(Gelu { x }));
}

struct Gelu<'a> {
    x: &'a mut [f32],
}

impl Kernel for Gelu<'_> {
    #[inline(always)]
    fn run<V: Lanes>(self, v: V) {
        let (whole, rest) = self.x.as_chunks_mut::<NUM_LANES>();
        for x in whole {
            gelu_lanes(v, x);
        }
        if !rest.is_empty() {
            let mut padded = [0.0; NUM_LANES];
            padded[..rest.len()].copy_from_slice(rest);
            gelu_lanes(v, &mut padded);
            rest.copy_from_slice(&padded[..rest.len()]);
        }
    }
}

#[inline(always)]
fn gelu_lanes<V: Lanes>(v: V, lanes: &mut [f32; NUM_LANES]) {
    const P: f32 = 0.327_591_1;
    const A: [f32; 5] = [1.061_405_4, -1.453_152, 1.421_413_7, -0.284_496_74, 0.254_829_6];
    // SAFETY: the array has 16 elements.
    let x = unsafe { v.load(lanes.as_ptr()) };
    let magnitude = v.as_f32(v.and(v.bits(x), v.splat_i32(0x7fff_ffff)));
    let denominator = v.fma(magnitude, v.splat(P * std::f32::consts::FRAC_1_SQRT_2), v.splat(1.0));
    let t = v.div(v.splat(1.0), denominator);
    let mut polynomial = v.splat(A[0]);
    for a in &A[1..] {
        polynomial = v.fma(polynomial, t, v.splat(*a));
    }
    let bell = exp(v, v.mul(v.mul(x, v.splat(-0.5)), x));
    let tail = v.mul(v.mul(v.mul(polynomial, t), v.splat(0.5)), bell);
    // The second operand of `max` wins when the first is NaN, and so does a NaN second.
    let positive = v.max(v.splat(0.0), x);
    // SAFETY: as above.
    unsafe { v.store(lanes.as_mut_ptr(), v.sub(positive, v.mul(magnitude, tail))) };
}
