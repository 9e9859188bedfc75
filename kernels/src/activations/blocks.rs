use super::{InputRows, ROWS_PER_TILE, TilePlace, scale_of};
use crate::disjoint::Disjoint;
use crate::group::{BLOCK_SIZE, GROUP_SIZE, GROUPS_PER_BLOCK};
use crate::lanes::{self, Kernel, Lanes, NUM_LANES};
use crate::pool::Pool;

/// Columns that a matrix unit takes at once, a cache line of quants.
const CHUNK_SIZE: usize = 64;
const CHUNKS_PER_BLOCK: usize = BLOCK_SIZE / CHUNK_SIZE;

/// Rows quantised by blocks of 256.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    quants: Vec<ChunkQuants>,
    factors: Vec<BlockFactors>,
}

/// 64 quants, four in a word, as dot products take them: two groups.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
pub(crate) struct ChunkQuants(pub(crate) [i32; CHUNK_SIZE / 4]);

/// What the integer sums over a block of a row are combined with.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
#[repr(C)]
pub(crate) struct BlockFactors {
    pub(crate) scale: f32,
    /// `−32·Σq` of each 16 elements: where their integer sums start from when the weights are stored with the zero point 32.
    pub(crate) biases_32: [i32; BLOCK_SIZE / NUM_LANES],
    /// `Σq` of each group as `128·high + low`, four groups in a word.
    pub(crate) low: [i32; GROUPS_PER_BLOCK / 4],
    pub(crate) high: [i32; GROUPS_PER_BLOCK / 4],
}

/// Both are followed by what fills a last tile up, so that it can be read whole.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BlockRows<'a> {
    pub(crate) quants: &'a [ChunkQuants],
    pub(crate) factors: &'a [BlockFactors],
    num_rows: usize,
}

impl<'a> BlockRows<'a> {
    pub(super) const NONE: Self = Self { quants: &[], factors: &[], num_rows: 0 };

    pub(super) fn group(&self, rows: std::ops::Range<usize>, num_cols: usize) -> BlockRows<'a> {
        let first = |len: usize, pieces_per_row: usize| (rows.start * pieces_per_row).min(len);
        Self {
            quants: &self.quants[first(self.quants.len(), num_cols / CHUNK_SIZE)..],
            factors: &self.factors[first(self.factors.len(), num_cols / BLOCK_SIZE)..],
            num_rows: rows.len(),
        }
    }

    /// The places of the quants, of which a block has four, and of the factors of `first_row` and the rows after it in its tile.
    #[inline(always)]
    pub(crate) fn places(&self, first_row: usize, num_blocks: usize) -> [TilePlace; 2] {
        [CHUNKS_PER_BLOCK * num_blocks, num_blocks].map(
            #[inline(always)]
            |pieces_per_row| TilePlace::new(first_row, self.num_rows, pieces_per_row),
        )
    }
}

impl Blocks {
    pub(super) fn quantize(&mut self, pool: &Pool, rows: InputRows<'_>) -> BlockRows<'_> {
        let num_rows = rows.num_rows();
        let [chunks_per_row, blocks_per_row] = [rows.num_cols / CHUNK_SIZE, rows.num_cols / BLOCK_SIZE];
        let padded = |pieces_per_row: usize| num_rows * pieces_per_row + ROWS_PER_TILE;
        if self.quants.len() < padded(chunks_per_row) {
            self.quants.resize(padded(chunks_per_row), ChunkQuants([0; CHUNK_SIZE / 4]));
            self.factors.resize(padded(blocks_per_row).max(self.factors.len()), BlockFactors::default());
        }
        let quants = Disjoint::new(&mut self.quants);
        let factors = Disjoint::new(&mut self.factors);
        rows.for_each_tile(pool, &|tile| {
            let x = &rows.x[tile.start * rows.num_cols..tile.end * rows.num_cols];
            // SAFETY: each tile is visited once.
            let (quants, factors) = unsafe {
                (
                    quants.range(tile.start * chunks_per_row..tile.end * chunks_per_row),
                    factors.range(tile.start * blocks_per_row..tile.end * blocks_per_row),
                )
            };
            let num_rows = tile.len();
            pool.verified_isa().dispatch(QuantizeTile { x, num_rows, quants, factors });
        });
        BlockRows { quants: &self.quants, factors: &self.factors, num_rows }
    }
}

struct QuantizeTile<'a> {
    x: &'a [f32],
    num_rows: usize,
    quants: &'a mut [ChunkQuants],
    factors: &'a mut [BlockFactors],
}

impl Kernel for QuantizeTile<'_> {
    #[inline(always)]
    fn run<V: Lanes>(self, v: V) {
        let blocks_per_row = self.factors.len() / self.num_rows;
        for (i, x) in self.x.as_chunks::<BLOCK_SIZE>().0.iter().enumerate() {
            let (row, block) = (i / blocks_per_row, i % blocks_per_row);
            let mut quants = [0i8; BLOCK_SIZE];
            let factors = &mut self.factors[block * self.num_rows + row];
            // SAFETY: the block is a multiple of 16 elements.
            factors.scale = unsafe { quantize_block(v, x, &mut quants) };
            let mut sums = [0i32; GROUPS_PER_BLOCK];
            for (i, (bias, quants)) in
                factors.biases_32.iter_mut().zip(quants.as_chunks::<NUM_LANES>().0).enumerate()
            {
                let sum: i32 = quants.iter().map(|quant| i32::from(*quant)).sum();
                *bias = -32 * sum;
                sums[i * NUM_LANES / GROUP_SIZE] += sum;
            }
            // |Σq| ≤ 32·127, so that both parts fit a byte.
            let high = sums.map(|sum| (sum + 64) >> 7);
            let low: [i8; GROUPS_PER_BLOCK] = std::array::from_fn(|i| (sums[i] - 128 * high[i]) as i8);
            factors.low = bytemuck::cast(low);
            factors.high = bytemuck::cast(high.map(|high| high as i8));
            for (chunk, quants) in quants.as_chunks::<CHUNK_SIZE>().0.iter().enumerate() {
                let at = (block * CHUNKS_PER_BLOCK + chunk) * self.num_rows + row;
                self.quants[at].0 = bytemuck::cast(*quants);
            }
        }
    }
}

/// Writes the quants and returns the scale.
///
/// # Safety
/// `V` has 16 lanes.
#[inline(always)]
unsafe fn quantize_block<V: Lanes>(v: V, x: &[f32; BLOCK_SIZE], quants: &mut [i8; BLOCK_SIZE]) -> f32 {
    // Magnitudes as integers: NaN is larger than infinity, infinity larger than all numbers.
    let magnitude_mask = v.splat_i32(0x7fff_ffff);
    let mut magnitudes = v.splat_i32(0);
    for x in x.as_chunks::<NUM_LANES>().0 {
        // SAFETY: the array has 16 elements.
        let x = unsafe { v.load(x.as_ptr()) };
        magnitudes = v.max_i32(magnitudes, v.and(v.bits(x), magnitude_mask));
    }
    let (scale, inverse) = scale_of(lanes::max_bits(v, magnitudes));
    let Some(inverse) = inverse.map(|inverse| v.splat(inverse)) else {
        *quants = [0; BLOCK_SIZE];
        return scale;
    };
    for (x, quants) in x.as_chunks::<NUM_LANES>().0.iter().zip(quants.as_chunks_mut::<NUM_LANES>().0) {
        // SAFETY: the arrays have 16 elements.
        unsafe { v.store_i8(quants.as_mut_ptr(), v.mul(v.load(x.as_ptr()), inverse)) };
    }
    scale
}
