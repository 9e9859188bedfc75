mod blocks;
mod groups;

pub(crate) use blocks::{BlockFactors, BlockRows, ChunkQuants};
pub(crate) use groups::{Biases, Factors, GroupRows, Quants};

use blocks::Blocks;
use groups::Groups;

use crate::WeightType;
use crate::group::{BLOCK_SIZE, GROUP_SIZE};
use crate::pool::Pool;

/// Magnitudes below this are quantised to zero: their inverse would not be finite.
const SMALLEST: f32 = 1e-30;

/// Rows that lie together, as a matrix unit takes them.
pub(crate) const ROWS_PER_TILE: usize = 16;

/// Scratch of [`crate::matmul`]: its input rows, quantised as the weights ask for. Keeps its memory from call to call.
///
/// So many elements as share a scale of the weights, 32 or for the K types 256, are stored as `q = round(x·127/amax)` with
/// `scale = amax/127`, where `amax` is the largest magnitude among them; ties round to even. With a NaN or an infinity among them the
/// scale is NaN, so that it is not lost.
///
/// Sixteen rows make a tile, the last of which may have fewer: layouts `[tile][32 columns][row]` and `[tile][64 columns][row]`.
#[derive(Debug, Default)]
pub struct Activations {
    groups: Groups,
    blocks: Blocks,
}

/// Rows of input, and where each group of rows that has tiles of its own ends.
#[derive(Debug, Clone, Copy)]
pub(crate) struct InputRows<'a> {
    pub(crate) x: &'a [f32],
    pub(crate) num_cols: usize,
    pub(crate) ends: &'a [usize],
}

/// Quantised rows, in the ways that were asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct QuantizedRows<'a> {
    pub(crate) groups: GroupRows<'a>,
    pub(crate) blocks: BlockRows<'a>,
}

/// Where the quants of some rows of one tile lie: piece `index` of row `r` of them is element `first + index·stride + r`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TilePlace {
    pub(crate) first: usize,
    pub(crate) stride: usize,
}

impl TilePlace {
    /// The place of `first_row` and the rows after it in its tile, of `num_rows` rows of so many pieces.
    #[inline(always)]
    fn new(first_row: usize, num_rows: usize, pieces_per_row: usize) -> Self {
        let row_in_tile = first_row % ROWS_PER_TILE;
        let tile_start = first_row - row_in_tile;
        let stride = ROWS_PER_TILE.min(num_rows - tile_start);
        Self { first: tile_start * pieces_per_row + row_in_tile, stride }
    }
}

impl<'a> QuantizedRows<'a> {
    /// A group of rows that has tiles of its own.
    pub(crate) fn group(&self, rows: std::ops::Range<usize>, num_cols: usize) -> QuantizedRows<'a> {
        Self { groups: self.groups.group(rows.clone(), num_cols), blocks: self.blocks.group(rows, num_cols) }
    }
}

impl Activations {
    /// An empty scratch; it grows to the largest call.
    pub fn new() -> Self {
        Self::default()
    }

    /// Quantises the rows as weights of these types want them.
    pub(crate) fn quantize(
        &mut self,
        pool: &Pool,
        rows: InputRows<'_>,
        weight_types: impl Iterator<Item = WeightType>,
    ) -> QuantizedRows<'_> {
        let (mut groups, mut blocks) = (GroupRows::NONE, BlockRows::NONE);
        let (mut needs_groups, mut needs_blocks) = (false, false);
        for weight_type in weight_types {
            needs_groups |= weight_type.block_size() == GROUP_SIZE;
            needs_blocks |= weight_type.block_size() == BLOCK_SIZE;
        }
        if needs_groups {
            groups = self.groups.quantize(pool, rows);
        }
        if needs_blocks {
            blocks = self.blocks.quantize(pool, rows);
        }
        QuantizedRows { groups, blocks }
    }
}

impl InputRows<'_> {
    fn num_rows(&self) -> usize {
        self.ends.last().copied().unwrap_or(0)
    }

    /// Calls `f` with the rows of each tile, each once.
    fn for_each_tile(&self, pool: &Pool, f: &(dyn Fn(std::ops::Range<usize>) + Sync)) {
        let groups = || std::iter::once(&0).chain(self.ends).zip(self.ends).map(|(start, end)| *start..*end);
        let num_tiles = groups().map(|rows| rows.len().div_ceil(ROWS_PER_TILE)).sum();
        // About 4 µs a grain.
        let grain = (1_024 * GROUP_SIZE).div_ceil(ROWS_PER_TILE * self.num_cols.max(1));
        pool.for_each(num_tiles, grain, &|tiles| {
            let mut first_tile = 0;
            for group in groups() {
                let end_tile = first_tile + group.len().div_ceil(ROWS_PER_TILE);
                for tile in tiles.start.max(first_tile)..tiles.end.min(end_tile) {
                    let start = group.start + (tile - first_tile) * ROWS_PER_TILE;
                    f(start..group.end.min(start + ROWS_PER_TILE));
                }
                first_tile = end_tile;
            }
        });
    }
}

/// The scale of elements whose largest magnitude is `amax`, and what they are multiplied by; nothing if their quants are zeros.
#[inline(always)]
fn scale_of(amax: f32) -> (f32, Option<f32>) {
    if amax.is_nan() || amax.is_infinite() {
        (f32::NAN, None)
    } else if amax < SMALLEST {
        (0.0, None)
    } else {
        (amax / 127.0, Some(127.0 / amax))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Isa;

    /// The quants and scales of one row, by groups and by blocks, in order of the columns.
    type Row = [(Vec<i8>, Vec<f32>); 2];

    const TYPES: [WeightType; 2] = [WeightType::Q4_1, WeightType::Q4K];

    /// All rows and what else is known about them: factors and biases by group, factors by block.
    type Quantized = (Vec<Row>, Vec<(Vec<(Factors, Biases)>, Vec<BlockFactors>)>);

    fn quantize(pool: &Pool, x: &[f32], num_cols: usize) -> Quantized {
        let mut scratch = Activations::new();
        let ends = &[x.len() / num_cols];
        let rows = scratch.quantize(pool, InputRows { x, num_cols, ends }, TYPES.into_iter());
        let (num_groups, num_blocks) = (num_cols / GROUP_SIZE, num_cols / BLOCK_SIZE);
        let row = |row: usize| {
            let place = rows.groups.place(row, num_groups);
            let at = (0..num_groups).map(move |index| place.first + index * place.stride);
            let group_quants: Vec<i8> =
                at.clone().flat_map(|at| bytemuck::cast::<_, [i8; 32]>(rows.groups.quants[at].0)).collect();
            let factors: Vec<_> = at.map(|at| (rows.groups.factors[at], rows.groups.biases[at])).collect();
            let [chunks, blocks] = rows.blocks.places(row, num_blocks);
            let block_quants: Vec<i8> = (0..num_cols / 64)
                .flat_map(|index| {
                    let at = chunks.first + index * chunks.stride;
                    bytemuck::cast::<_, [i8; 64]>(rows.blocks.quants[at].0)
                })
                .collect();
            let block_factors: Vec<_> = (0..num_blocks)
                .map(|index| rows.blocks.factors[blocks.first + index * blocks.stride])
                .collect();
            let scales = factors.iter().map(|(factors, _)| factors.scale).collect();
            let block_scales = block_factors.iter().map(|factors| factors.scale).collect();
            ([(group_quants, scales), (block_quants, block_scales)], (factors, block_factors))
        };
        (0..ends[0]).map(row).unzip()
    }

    fn quantize_row(isa: Isa, x: &[f32]) -> Row {
        quantize(&Pool::new(1, isa).unwrap(), x, x.len()).0.remove(0)
    }

    #[test]
    fn a_row_is_the_same_in_any_tile() {
        let x: Vec<f32> = (0..37 * 512).map(|i| (i as f32 * 0.37).sin() * (i % 11) as f32).collect();
        let (rows, factors) = quantize(&Pool::new(2, Isa::detect()).unwrap(), &x, 512);
        let alone = Pool::new(1, Isa::Portable).unwrap();
        for (row, x) in x.chunks_exact(512).enumerate() {
            let (expected_rows, expected_factors) = quantize(&alone, x, 512);
            assert_eq!((&rows[row], &factors[row]), (&expected_rows[0], &expected_factors[0]));
        }
    }

    #[test]
    fn largest_magnitude_becomes_127_and_error_is_half_a_step() {
        let x: Vec<f32> = (0..512).map(|i| ((i * 37 % 64) as f32 - 31.5) * 0.173).collect();
        for isa in Isa::available() {
            for (quants, scales) in quantize_row(isa, &x) {
                let size = quants.len() / scales.len();
                for (index, scale) in scales.into_iter().enumerate() {
                    let range = index * size..(index + 1) * size;
                    assert_eq!(quants[range.clone()].iter().map(|q| q.unsigned_abs()).max(), Some(127));
                    for i in range {
                        assert!((f32::from(quants[i]) * scale - x[i]).abs() <= 0.501 * scale);
                    }
                }
            }
        }
    }

    #[test]
    fn every_isa_gives_the_same_quants() {
        let x: Vec<f32> =
            (0..512).map(|i| ((i as f32) * 0.7391).sin() * (i as f32 * 0.1 - 16.0).exp2()).collect();
        let expected = quantize_row(Isa::Portable, &x);
        for isa in Isa::available() {
            assert_eq!(quantize_row(isa, &x), expected, "{}", isa.name());
        }
    }

    #[test]
    fn sums_of_a_block_are_those_of_its_quants() {
        for sign in [1.0, -1.0] {
            // Groups of one number each, the largest included, whose sums are the largest.
            let x: Vec<f32> = (0..256).map(|i| sign * (127 - i / 32 * 18) as f32).collect();
            let (rows, factors) = quantize(&Pool::new(1, Isa::detect()).unwrap(), &x, 256);
            let (quants, factors) = (&rows[0][1].0, &factors[0].1[0]);
            let bytes = |words: [i32; 2]| bytemuck::cast::<_, [i8; 8]>(words).map(i32::from);
            let (low, high) = (bytes(factors.low), bytes(factors.high));
            for group in 0..8 {
                let sums = [0, 16].map(|start| {
                    quants[32 * group + start..][..16].iter().map(|quant| i32::from(*quant)).sum::<i32>()
                });
                assert_eq!(factors.biases_32[2 * group..][..2], sums.map(|sum| -32 * sum));
                assert_eq!(128 * high[group] + low[group], sums[0] + sums[1]);
            }
        }
    }

    #[test]
    fn non_finite_blocks_are_marked_and_tiny_ones_vanish() {
        for isa in Isa::available() {
            for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                let mut x = [1.0; 256];
                x[17] = bad;
                let [groups, blocks] = quantize_row(isa, &x);
                assert!(groups.1[0].is_nan() && groups.1[1] > 0.0 && blocks.1[0].is_nan());
            }
            let nothing = [(vec![0; 256], vec![0.0; 8]), (vec![0; 256], vec![0.0])];
            assert_eq!(quantize_row(isa, &[f32::MIN_POSITIVE; 256]), nothing);
        }
    }
}
