use crate::disjoint::Disjoint;
use crate::group::GROUP_SIZE;
use crate::lanes::{self, Kernel, Lanes, NUM_LANES};
use crate::pool::Pool;

/// Magnitudes below this are quantised to zero: their inverse would not be finite.
const SMALLEST: f32 = 1e-30;

/// Rows that lie together, as a matrix unit takes them.
pub(crate) const ROWS_PER_TILE: usize = 16;

/// Scratch of [`crate::matmul`]: its input rows, quantised. Keeps its memory from call to call.
///
/// Each block of 32 elements is stored as `q = round(x·127/amax)` with `scale = amax/127`, where `amax` is the largest magnitude
/// of the block; ties round to even. A block with a NaN or an infinity gets the scale NaN, so that it is not lost.
///
/// Sixteen rows make a tile, the last of which may have fewer: layout `[tile][block][row]`.
#[derive(Debug, Default)]
pub struct Activations {
    quants: Vec<Quants>,
    factors: Vec<Factors>,
    biases: Vec<Biases>,
}

/// The 32 quants of a block, four in a word, as dot products take them. No block lies across two cache lines.
#[derive(Debug, Clone, Copy, Default)]
#[repr(C, align(32))]
pub(crate) struct Quants(pub(crate) [i32; GROUP_SIZE / 4]);

/// What a block's integer sums are multiplied by.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
#[repr(C)]
pub(crate) struct Factors {
    pub(crate) scale: f32,
    /// `scale·Σq`, which an offset of the weights is multiplied by.
    pub(crate) scaled_sum: f32,
}

/// Where the integer sums over a block start from when the weights are stored without their sign.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
#[repr(C)]
pub(crate) struct Biases {
    /// `−zero_point·Σq` for the zero points 8, 16 and 128.
    pub(crate) bias_8: i32,
    pub(crate) bias_16: i32,
    pub(crate) bias_128: i32,
    /// `−32·Σq` of the first and the last 16 elements.
    pub(crate) biases_32: [i32; 2],
}

/// Quantised rows. All three are followed by what fills a last tile up, so that it can be read whole.
#[derive(Debug, Clone, Copy)]
pub(crate) struct QuantizedRows<'a> {
    pub(crate) quants: &'a [Quants],
    pub(crate) factors: &'a [Factors],
    pub(crate) biases: &'a [Biases],
    pub(crate) num_rows: usize,
}

/// Where the blocks of some rows of one tile lie: block `index` of row `r` of them is element `first + index·stride + r`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TilePlace {
    pub(crate) first: usize,
    pub(crate) stride: usize,
}

impl<'a> QuantizedRows<'a> {
    /// What rows of floats have.
    pub(crate) const NONE: Self = Self { quants: &[], factors: &[], biases: &[], num_rows: 0 };

    /// A group of rows that has tiles of its own.
    pub(crate) fn group(&self, rows: std::ops::Range<usize>, blocks_per_row: usize) -> QuantizedRows<'a> {
        let first = (rows.start * blocks_per_row).min(self.quants.len());
        Self {
            quants: &self.quants[first..],
            factors: &self.factors[first..],
            biases: &self.biases[first..],
            num_rows: rows.len(),
        }
    }

    /// The place of `first_row` and the rows after it in its tile.
    #[inline(always)]
    pub(crate) fn place(&self, first_row: usize, blocks_per_row: usize) -> TilePlace {
        let row_in_tile = first_row % ROWS_PER_TILE;
        let tile_start = first_row - row_in_tile;
        let stride = ROWS_PER_TILE.min(self.num_rows - tile_start);
        TilePlace { first: tile_start * blocks_per_row + row_in_tile, stride }
    }
}

impl Activations {
    /// An empty scratch; it grows to the largest call.
    pub fn new() -> Self {
        Self::default()
    }

    pub(crate) fn quantize(&mut self, pool: &Pool, x: &[f32], num_cols: usize) -> QuantizedRows<'_> {
        self.quantize_groups(pool, x, num_cols, &[x.len() / num_cols.max(1)])
    }

    /// Rows up to each of the ascending `ends` in tiles of their own.
    pub(crate) fn quantize_groups(
        &mut self,
        pool: &Pool,
        x: &[f32],
        num_cols: usize,
        ends: &[usize],
    ) -> QuantizedRows<'_> {
        let blocks_per_row = num_cols / GROUP_SIZE;
        let num_rows = ends.last().copied().unwrap_or(0);
        let padded = num_rows * blocks_per_row + ROWS_PER_TILE;
        if self.quants.len() < padded {
            self.quants.resize(padded, Quants::default());
            self.factors.resize(padded, Factors::default());
            self.biases.resize(padded, Biases::default());
        }
        let quants = Disjoint::new(&mut self.quants);
        let factors = Disjoint::new(&mut self.factors);
        let biases = Disjoint::new(&mut self.biases);
        let groups = || std::iter::once(&0).chain(ends).zip(ends).map(|(start, end)| *start..*end);
        let num_tiles = groups().map(|rows| rows.len().div_ceil(ROWS_PER_TILE)).sum();
        // About 4 µs a grain.
        let grain = (1_024usize).div_ceil(ROWS_PER_TILE * blocks_per_row.max(1));
        pool.for_each(num_tiles, grain, &|tiles| {
            let mut first_tile = 0;
            for group in groups() {
                let end_tile = first_tile + group.len().div_ceil(ROWS_PER_TILE);
                for tile in tiles.start.max(first_tile)..tiles.end.min(end_tile) {
                    let start = group.start + (tile - first_tile) * ROWS_PER_TILE;
                    let rows = start..group.end.min(start + ROWS_PER_TILE);
                    let range = rows.start * blocks_per_row..rows.end * blocks_per_row;
                    let x = &x[rows.start * num_cols..rows.end * num_cols];
                    // SAFETY: each tile is visited once.
                    let (quants, factors, biases) = unsafe {
                        (quants.range(range.clone()), factors.range(range.clone()), biases.range(range))
                    };
                    let num_rows = rows.len();
                    pool.verified_isa().dispatch(QuantizeTile { x, num_rows, quants, factors, biases });
                }
                first_tile = end_tile;
            }
        });
        QuantizedRows { quants: &self.quants, factors: &self.factors, biases: &self.biases, num_rows }
    }
}

struct QuantizeTile<'a> {
    x: &'a [f32],
    num_rows: usize,
    quants: &'a mut [Quants],
    factors: &'a mut [Factors],
    biases: &'a mut [Biases],
}

impl Kernel for QuantizeTile<'_> {
    #[inline(always)]
    fn run<V: Lanes>(self, v: V) {
        let blocks_per_row = self.quants.len() / self.num_rows;
        for (i, x) in self.x.as_chunks::<GROUP_SIZE>().0.iter().enumerate() {
            let at = i % blocks_per_row * self.num_rows + i / blocks_per_row;
            let quants = bytemuck::cast_mut(&mut self.quants[at].0);
            // SAFETY: both halves of the block are 16 elements.
            self.factors[at].scale = unsafe { quantize_block(v, x, quants) };
        }
        // In a pass of its own: quants that were just written as a vector cannot be read again at once.
        for ((quants, factors), biases) in self.quants.iter().zip(self.factors).zip(self.biases) {
            let mut sums = [0i32; 2];
            let quants: &[i8; GROUP_SIZE] = bytemuck::cast_ref(&quants.0);
            for (sum, quants) in sums.iter_mut().zip(quants.as_chunks::<NUM_LANES>().0) {
                *sum = quants.iter().map(|quant| i32::from(*quant)).sum();
            }
            let sum = sums[0] + sums[1];
            factors.scaled_sum = factors.scale * sum as f32;
            *biases = Biases {
                bias_8: -8 * sum,
                bias_16: -16 * sum,
                bias_128: -128 * sum,
                biases_32: [-32 * sums[0], -32 * sums[1]],
            };
        }
    }
}

/// Writes the quants and returns the scale.
///
/// # Safety
/// `V` has 16 lanes.
#[inline(always)]
unsafe fn quantize_block<V: Lanes>(v: V, x: &[f32; GROUP_SIZE], quants: &mut [i8; GROUP_SIZE]) -> f32 {
    // SAFETY: the arrays hold twice 16 elements.
    let (low, high) = unsafe { (v.load(x.as_ptr()), v.load(x.as_ptr().add(NUM_LANES))) };
    // Magnitudes as integers: NaN is larger than infinity, infinity larger than all numbers.
    let magnitude_mask = v.splat_i32(0x7fff_ffff);
    let magnitudes = v.max_i32(v.and(v.bits(low), magnitude_mask), v.and(v.bits(high), magnitude_mask));
    let amax = lanes::max_bits(v, magnitudes);
    if amax.is_nan() || amax.is_infinite() {
        *quants = [0; GROUP_SIZE];
        return f32::NAN;
    }
    if amax < SMALLEST {
        *quants = [0; GROUP_SIZE];
        return 0.0;
    }
    let inverse = v.splat(127.0 / amax);
    // SAFETY: as above.
    unsafe {
        v.store_i8(quants.as_mut_ptr(), v.mul(low, inverse));
        v.store_i8(quants.as_mut_ptr().add(NUM_LANES), v.mul(high, inverse));
    }
    amax / 127.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Isa;

    fn quantize(isa: Isa, x: &[f32]) -> (Vec<i8>, Vec<Factors>, Vec<Biases>) {
        let pool = Pool::new(1, isa).unwrap();
        let mut scratch = Activations::new();
        let rows = scratch.quantize(&pool, x, x.len());
        let num_blocks = x.len() / GROUP_SIZE;
        let words =
            rows.quants[..num_blocks].iter().flat_map(|quants| bytemuck::cast::<_, [i8; 32]>(quants.0));
        let quants = words.collect();
        (quants, rows.factors[..num_blocks].to_vec(), rows.biases[..num_blocks].to_vec())
    }

    #[test]
    fn a_row_is_the_same_in_any_tile() {
        let pool = Pool::new(2, Isa::detect()).unwrap();
        let x: Vec<f32> = (0..37 * 96).map(|i| (i as f32 * 0.37).sin() * (i % 11) as f32).collect();
        let mut scratch = Activations::new();
        let rows = scratch.quantize(&pool, &x, 96);
        for row in 0..37 {
            let (quants, factors, biases) = quantize(Isa::Portable, &x[row * 96..(row + 1) * 96]);
            let place = rows.place(row, 3);
            for index in 0..3 {
                let at = place.first + index * place.stride;
                assert_eq!(
                    bytemuck::cast_ref::<_, [i8; 32]>(&rows.quants[at].0),
                    &quants[32 * index..][..32]
                );
                assert_eq!((rows.factors[at], rows.biases[at]), (factors[index], biases[index]));
            }
        }
    }

    #[test]
    fn largest_magnitude_becomes_127_and_error_is_half_a_step() {
        let x: Vec<f32> = (0..64).map(|i| ((i * 37 % 64) as f32 - 31.5) * 0.173).collect();
        for isa in Isa::available() {
            let (quants, factors, _) = quantize(isa, &x);
            for (b, block) in factors.iter().enumerate() {
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
            let nothing = (vec![0; 32], vec![Factors::default()], vec![Biases::default()]);
            assert_eq!(quantize(isa, &[f32::MIN_POSITIVE; 32]), nothing);
        }
    }
}
