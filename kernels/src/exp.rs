use crate::lanes::Lanes;

/// `e^x` in each lane.
///
/// `x = n·ln2 + r` with `|r| ≤ ln2/2`, then `2^n` by the exponent bits and `e^r` by the Taylor polynomial of degree 7 in Horner's
/// form, each step one fma. `x` is clamped to `[−87, 88]`, so that the result is a normal number; NaN stays NaN.
/// Relative error ≤ 2e-7. Source: Cody & Waite 1980 for the split of ln2.
#[inline(always)]
pub(crate) fn exp<V: Lanes>(v: V, x: V::F) -> V::F {
    // Adding 1.5·2^23 rounds to an integer, which then stands in the low bits.
    const ROUND: f32 = 12_582_912.0;
    let x = v.max(v.splat(-87.0), v.min(v.splat(88.0), x));
    let shifted = v.fma(x, v.splat(std::f32::consts::LOG2_E), v.splat(ROUND));
    let n = v.sub(shifted, v.splat(ROUND));
    let r = v.fma(n, v.splat(-0.693_359_4), x);
    let r = v.fma(n, v.splat(2.121_944_4e-4), r);
    let mut p = v.splat(1.0 / 5040.0);
    for coefficient in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        p = v.fma(p, r, v.splat(coefficient));
    }
    let exponent = v.add_i32(v.shl::<23>(v.bits(shifted)), v.splat_i32(127 << 23));
    v.mul(p, v.as_f32(exponent))
}

#[cfg(test)]
#[expect(unsafe_code, reason = "vector loads and stores")]
mod tests {
    use super::*;
    use crate::Isa;
    use crate::isa::VerifiedIsa;
    use crate::lanes::{Kernel, NUM_LANES};

    struct Exp<'a>(&'a mut [f32; NUM_LANES]);
    impl Kernel for Exp<'_> {
        #[inline(always)]
        fn run<V: Lanes>(self, v: V) {
            // SAFETY: the array has 16 elements.
            unsafe {
                let x = v.load(self.0.as_ptr());
                v.store(self.0.as_mut_ptr(), exp(v, x));
            }
        }
    }

    fn exp_of(isa: Isa, x: f32) -> f32 {
        let mut lanes = [x; NUM_LANES];
        VerifiedIsa::new(isa).unwrap().dispatch(Exp(&mut lanes));
        lanes[NUM_LANES - 1]
    }

    #[test]
    fn is_within_2e_7_of_the_exact_value_on_every_isa() {
        for step in -8_600..8_790 {
            let x = step as f32 * 0.01;
            let exact = f64::from(x).exp();
            let portable = exp_of(Isa::Portable, x);
            assert!((f64::from(portable) / exact - 1.0).abs() < 2e-7, "{x}: {portable} {exact}");
            for isa in Isa::available() {
                assert_eq!(exp_of(isa, x).to_bits(), portable.to_bits());
            }
        }
    }

    #[test]
    fn edges_are_exact_or_saturate() {
        for isa in Isa::available() {
            assert_eq!(exp_of(isa, 0.0), 1.0);
            assert!(exp_of(isa, f32::NEG_INFINITY) < 2e-38);
            assert!(exp_of(isa, f32::INFINITY) > 1e38);
            assert!(exp_of(isa, f32::NAN).is_nan());
        }
    }
}
