use crate::Pool;
use crate::exp::exp;
use crate::lanes::{Kernel, Lanes, NUM_LANES};

/// The logistic function, in place: `x[i] = 1 / (1 + e^−x[i])`, f32.
///
/// Parity 1e-6; bit-identical between instruction sets.
pub fn sigmoid(pool: &Pool, x: &mut [f32]) {
    pool.verified_isa().dispatch(Sigmoid { x });
}

struct Sigmoid<'a> {
    x: &'a mut [f32],
}

impl Kernel for Sigmoid<'_> {
    #[inline(always)]
    fn run<V: Lanes>(self, v: V) {
        for x in self.x.chunks_mut(NUM_LANES) {
            let mut padded = [0.0; NUM_LANES];
            padded[..x.len()].copy_from_slice(x);
            // SAFETY: the array is 16 elements.
            unsafe {
                let value = v.load(padded.as_ptr());
                let denominator = v.add(v.splat(1.0), exp(v, v.sub(v.splat(0.0), value)));
                v.store(padded.as_mut_ptr(), v.div(v.splat(1.0), denominator));
            }
            x.copy_from_slice(&padded[..x.len()]);
        }
    }
}
