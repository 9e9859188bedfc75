use half::f16;
use kernels::{Isa, Pool, WeightType};

/// Numbers that depend on a seed only (SplitMix64).
pub(crate) struct Numbers(u64);

impl Numbers {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.bits() % end as u64) as usize
    }

    /// Roughly normal.
    pub(crate) fn float(&mut self) -> f32 {
        let uniform = |bits: u64| (bits >> 40) as f32 / (1 << 24) as f32 - 0.5;
        uniform(self.bits()) + uniform(self.bits()) + uniform(self.bits())
    }

    pub(crate) fn floats(&mut self, len: usize) -> Vec<f32> {
        (0..len).map(|_| self.float()).collect()
    }

    /// Whole blocks of a type: any quants, scales and offsets of ordinary size.
    pub(crate) fn weights(&mut self, weight_type: WeightType, num_elements: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        for _ in 0..num_elements / weight_type.block_size() {
            let mut block: Vec<u8> = (0..weight_type.block_bytes()).map(|_| self.bits() as u8).collect();
            let scales: &[usize] = match weight_type {
                WeightType::F32 => {
                    block.copy_from_slice(&(self.float() * 0.1).to_le_bytes());
                    &[]
                }
                WeightType::BF16 => {
                    block.copy_from_slice(&half::bf16::from_f32(self.float() * 0.1).to_le_bytes());
                    &[]
                }
                WeightType::F16 | WeightType::Q8_0 | WeightType::Q4_0 | WeightType::Q5_0 => &[0],
                WeightType::Q4_1 | WeightType::Q5_1 | WeightType::Q4K | WeightType::Q5K => &[0, 2],
                WeightType::Q6K => &[208],
            };
            for &at in scales {
                let scale = f16::from_f32(self.float() * 0.01);
                block[at..at + 2].copy_from_slice(&scale.to_le_bytes());
            }
            bytes.extend(block);
        }
        bytes
    }
}

/// A pool for each instruction set, with one and with two threads.
pub(crate) fn pools() -> Vec<Pool> {
    let mut pools = Vec::new();
    for isa in Isa::available() {
        pools.extend([1, 2].map(|num_threads| Pool::new(num_threads, isa).unwrap()));
    }
    pools
}

/// Equality of bits, where NaN equals NaN.
#[track_caller]
pub(crate) fn assert_same(actual: &[f32], expected: &[f32], what: &str) {
    assert_eq!(actual.len(), expected.len(), "{what}");
    for (i, (a, e)) in actual.iter().zip(expected).enumerate() {
        assert!(
            a.to_bits() == e.to_bits() || (a.is_nan() && e.is_nan()),
            "{what}: element {i} is {a}, not {e}"
        );
    }
}

#[track_caller]
pub(crate) fn assert_close(actual: &[f32], expected: &[f32], tolerance: f32) {
    assert_eq!(actual.len(), expected.len());
    for (i, (a, e)) in actual.iter().zip(expected).enumerate() {
        assert!((a - e).abs() <= tolerance, "element {i} is {a}, not {e} ± {tolerance}");
    }
}
