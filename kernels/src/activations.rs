use crate::disjoint::Disjoint;
use crate::group::GROUP_SIZE;
use crate::lanes::{self, Kernel, Lanes, NUM_LANES};
use crate::pool::Pool;

/// Magnitudes below this are quantised to zero: their inverse would not be finite.
const SMALLEST: f32 = 1e-30;

/// Scratch of [`crate::matmul`]: its input rows, quantised. Keeps its memory from call to call.
///
/// Each block of 32 elements is stored as `q = round(x·127/amax)` with `scale = amax/127`, where `amax` is the largest magnitude
/// of the block; ties round to even. A block with a NaN or an infinity gets the scale NaN, so that it is not lost.
#[derive(Debug, Default)]
pub struct Activations {
    quants: Vec<Quants>,
    blocks: Vec<Block>,
}

/// The 32 quants of a block, four in a word, as dot products take them.
pub(crate) type Quants = [i32; GROUP_SIZE / 4];

/// What a row's block contributes besides its 32 quants.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
#[repr(C)]
pub(crate) struct Block {
    pub(crate) scale: f32,
    /// `scale·Σq`, which an offset of the weights is multiplied by.
    pub(crate) scaled_sum: f32,
    /// `−zero_point·Σq` for the zero points 8, 16 and 128, where the integer sums start from.
    pub(crate) bias_8: i32,
    pub(crate) bias_16: i32,
    pub(crate) bias_128: i32,
    /// `−32·Σq` of the first and the last 16 elements.
    pub(crate) biases_32: [i32; 2],
    _pad: i32,
}

/// Quantised rows, both `[rows, columns / 32]`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct QuantizedRows<'a> {
    pub(crate) quants: &'a [Quants],
    pub(crate) blocks: &'a [Block],
}

impl Activations {
    /// An empty scratch; it grows to the largest call.
    pub fn new() -> Self {
        Self::default()
    }

    pub(crate) fn quantize(&mut self, pool: &Pool, x: &[f32], num_cols: usize) -> QuantizedRows<'_> {
        let num_blocks = x.len() / GROUP_SIZE;
        if self.blocks.len() < num_blocks {
            self.quants.resize(num_blocks, Quants::default());
            self.blocks.resize(num_blocks, Block::default());
        }
        let quants = Disjoint::new(&mut self.quants[..num_blocks]);
        let blocks = Disjoint::new(&mut self.blocks[..num_blocks]);
        let blocks_per_row = num_cols / GROUP_SIZE;
        // About 4 µs a grain.
        let grain = (1_024usize).div_ceil(blocks_per_row.max(1));
        pool.for_each(x.len() / num_cols.max(1), grain, &|rows| {
            let range = rows.start * blocks_per_row..rows.end * blocks_per_row;
            // SAFETY: each row is visited once.
            let (quants, blocks) = unsafe { (quants.range(range.clone()), blocks.range(range.clone())) };
            let x = &x[range.start * GROUP_SIZE..range.end * GROUP_SIZE];
            pool.verified_isa().dispatch(Quantize { x, quants, blocks });
        });
        QuantizedRows { quants: &self.quants[..num_blocks], blocks: &self.blocks[..num_blocks] }
    }
}

struct Quantize<'a> {
    x: &'a [f32],
    quants: &'a mut [Quants],
    blocks: &'a mut [Block],
}

impl Kernel for Quantize<'_> {
    #[inline(always)]
    fn run<V: Lanes>(self, v: V) {
        let x = self.x.as_chunks::<GROUP_SIZE>().0;
        for ((x, quants), block) in x.iter().zip(self.quants).zip(self.blocks) {
            let quants = bytemuck::cast_mut(quants);
            // SAFETY: both halves of the block are 16 elements.
            unsafe { quantize_block(v, x, quants, block) };
        }
    }
}

/// # Safety
/// `V` has 16 lanes.
#[inline(always)]
unsafe fn quantize_block<V: Lanes>(
    v: V,
    x: &[f32; GROUP_SIZE],
    quants: &mut [i8; GROUP_SIZE],
    block: &mut Block,
) {
    // SAFETY: the arrays hold twice 16 elements.
    let (low, high) = unsafe { (v.load(x.as_ptr()), v.load(x.as_ptr().add(NUM_LANES))) };
    // Magnitudes as integers: NaN is larger than infinity, infinity larger than all numbers.
    let magnitude_mask = v.splat_i32(0x7fff_ffff);
    let magnitudes = v.max_i32(v.and(v.bits(low), magnitude_mask), v.and(v.bits(high), magnitude_mask));
    let amax = lanes::max_bits(v, magnitudes);
    if amax.is_nan() || amax.is_infinite() {
        *quants = [0; GROUP_SIZE];
        *block = Block { scale: f32::NAN, scaled_sum: f32::NAN, ..Block::default() };
        return;
    }
    if amax < SMALLEST {
        *quants = [0; GROUP_SIZE];
        *block = Block::default();
        return;
    }
    let inverse = v.splat(127.0 / amax);
    // SAFETY: as above.
    unsafe {
        v.store_i8(quants.as_mut_ptr(), v.mul(low, inverse));
        v.store_i8(quants.as_mut_ptr().add(NUM_LANES), v.mul(high, inverse));
    }
    let scale = amax / 127.0;
    let mut sums = [0i32; 2];
    for (sum, quants) in sums.iter_mut().zip(quants.as_chunks::<NUM_LANES>().0) {
        for quant in quants {
            *sum += i32::from(*quant);
        }
    }
    let sum = sums[0] + sums[1];
    *block = Block {
        scale,
        scaled_sum: scale * sum as f32,
        bias_8: -8 * sum,
        bias_16: -16 * sum,
        bias_128: -128 * sum,
        biases_32: [-32 * sums[0], -32 * sums[1]],
        _pad: 0,
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Isa;

    fn quantize(isa: Isa, x: &[f32]) -> (Vec<i8>, Vec<Block>) {
        let pool = Pool::new(1, isa).unwrap();
        let mut scratch = Activations::new();
        let rows = scratch.quantize(&pool, x, x.len());
        (bytemuck::cast_slice(rows.quants).to_vec(), rows.blocks.to_vec())
    }

    #[test]
    fn largest_magnitude_becomes_127_and_error_is_half_a_step() {
        let x: Vec<f32> = (0..64).map(|i| ((i * 37 % 64) as f32 - 31.5) * 0.173).collect();
        for isa in Isa::available() {
            let (quants, blocks) = quantize(isa, &x);
            for (b, block) in blocks.iter().enumerate() {
                let range = b * 32..(b + 1) * 32;
                assert_eq!(quants[range.clone()].iter().map(|q| q.unsigned_abs()).max(), Some(127));
                for i in range {
                    assert!((f32::from(quants[i]) * block.scale - x[i]).abs() <= 0.501 * block.scale);
                }
            }
        }
    }

    #[test]
    fn every_isa_gives_the_same_quants() {
        let x: Vec<f32> =
            (0..320).map(|i| ((i as f32) * 0.7391).sin() * (i as f32 * 0.1 - 16.0).exp2()).collect();
        let expected = quantize(Isa::Portable, &x);
        for isa in Isa::available() {
            assert_eq!(quantize(isa, &x), expected, "{}", isa.name());
        }
    }

    #[test]
    fn non_finite_blocks_are_marked_and_tiny_ones_vanish() {
        for isa in Isa::available() {
            for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                let mut x = [1.0; 32];
                x[17] = bad;
                assert!(quantize(isa, &x).1[0].scale.is_nan());
            }
            assert_eq!(quantize(isa, &[f32::MIN_POSITIVE; 32]), (vec![0; 32], vec![Block::default()]));
        }
    }
}
