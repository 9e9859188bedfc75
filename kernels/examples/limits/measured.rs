//! The limits of this machine, measured in the same run as what is compared with them.

use std::hint::black_box;
use std::time::Instant;

use kernels::{Isa, Pool};

/// What the machine can do at most, all threads together.
pub(crate) struct Limits {
    /// Bytes a second from memory.
    pub(crate) read_bytes: f64,
    /// Operations a second of int8 dot products in registers.
    pub(crate) int8_ops: f64,
    /// Operations a second of f32 fused multiplications and additions in registers.
    pub(crate) f32_ops: f64,
}

impl Limits {
    pub(crate) fn measure(pool: &Pool) -> Self {
        Self { read_bytes: read_bandwidth(pool), int8_ops: int8_peak(pool), f32_ops: f32_peak(pool) }
    }
}

/// Bytes per second that all threads together read, each its own part of 256 MB.
fn read_bandwidth(pool: &Pool) -> f64 {
    let words = vec![1u64; 32 << 20];
    let mut best = f64::MAX;
    for _ in 0..5 {
        let start = Instant::now();
        pool.run(&|thread| {
            let part = words.len() / thread.count;
            let mut sums = [0u64; 32];
            for chunk in words[thread.index * part..(thread.index + 1) * part].as_chunks::<32>().0 {
                for (sum, word) in sums.iter_mut().zip(chunk) {
                    *sum = sum.wrapping_add(*word);
                }
            }
            black_box(sums);
        });
        best = best.min(start.elapsed().as_secs_f64());
    }
    (words.len() * 8) as f64 / best
}

/// Operations per second of independent dot products in registers.
fn int8_peak(pool: &Pool) -> f64 {
    peak(pool, |isa| match isa {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512Vnni | Isa::AmxInt8 => peaks::int8_avx512(),
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => peaks::int8_avx2(),
        _ => 0.0,
    })
}

fn f32_peak(pool: &Pool) -> f64 {
    peak(pool, |isa| match isa {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512Vnni | Isa::AmxInt8 => peaks::f32_avx512(),
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => peaks::f32_avx2(),
        _ => 0.0,
    })
}

/// Runs `operations`, which returns how many it did, on all threads.
fn peak(pool: &Pool, operations: impl Fn(Isa) -> f64 + Sync) -> f64 {
    let mut best = 0.0f64;
    for _ in 0..5 {
        let per_thread = operations(pool.isa());
        let start = Instant::now();
        pool.run(&|_| {
            black_box(operations(pool.isa()));
        });
        best = best.max(per_thread * pool.num_threads() as f64 / start.elapsed().as_secs_f64());
    }
    best
}

#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "intrinsics, called for the instruction set of a pool only")]
mod peaks {
    use std::arch::x86_64::*;
    use std::hint::black_box;

    const NUM_ROUNDS: usize = 1_000_000;
    const NUM_CHAINS: usize = 12;

    macro_rules! peak {
        ($name:ident, $features:literal, $ops:expr, $zero:expr, $step:expr) => {
            pub(super) fn $name() -> f64 {
                #[target_feature(enable = $features)]
                fn rounds() {
                    let operand = black_box($zero);
                    let mut sums = [$zero; NUM_CHAINS];
                    for _ in 0..NUM_ROUNDS {
                        for sum in &mut sums {
                            *sum = $step(*sum, operand, operand);
                        }
                    }
                    black_box(sums);
                }
                // SAFETY: called for a pool of this instruction set, whose features were detected.
                unsafe { rounds() };
                $ops * (NUM_CHAINS * NUM_ROUNDS) as f64
            }
        };
    }

    peak!(int8_avx512, "avx512f,avx512vnni", 128.0, _mm512_setzero_si512(), _mm512_dpbusd_epi32);
    peak!(f32_avx512, "avx512f", 32.0, _mm512_setzero_ps(), _mm512_fmadd_ps);
    peak!(f32_avx2, "avx2,fma", 16.0, _mm256_setzero_ps(), _mm256_fmadd_ps);
    // Sums of two, added up in 16 bits: what comes after as many as 16 bits hold is left out.
    peak!(int8_avx2, "avx2", 64.0, _mm256_setzero_si256(), |sum, a, _| _mm256_add_epi16(
        sum,
        _mm256_maddubs_epi16(sum, a)
    ));
}
