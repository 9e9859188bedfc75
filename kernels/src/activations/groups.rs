use super::{InputRows, ROWS_PER_TILE, TilePlace, scale_of};
use crate::disjoint::Disjoint;
use crate::group::GROUP_SIZE;
use crate::lanes::{self, Kernel, Lanes, NUM_LANES};
use crate::pool::Pool;

/// Rows quantised by groups of 32.
#[derive(Debug, Default)]
pub(super) struct Groups {
    quants: Vec<Quants>,
    factors: Vec<Factors>,
    biases: Vec<Biases>,
}

/// The 32 quants of a group, four in a word, as dot products take them. No group lies across two cache lines.
#[derive(Debug, Clone, Copy, Default)]
#[repr(C, align(32))]
pub(crate) struct Quants(pub(crate) [i32; GROUP_SIZE / 4]);

/// What a group's integer sums are multiplied by.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
#[repr(C)]
pub(crate) struct Factors {
    pub(crate) scale: f32,
    /// `scale·Σq`, which an offset of the weights is multiplied by.
    pub(crate) scaled_sum: f32,
}

/// Where the integer sums over a group start from when the weights are stored without their sign: `−zero_point·Σq` for the zero
/// points 8, 16 and 128.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
#[repr(C)]
pub(crate) struct Biases {
    pub(crate) bias_8: i32,
    pub(crate) bias_16: i32,
    pub(crate) bias_128: i32,
}

/// All three are followed by what fills a last tile up, so that it can be read whole.
#[derive(Debug, Clone, Copy)]
pub(crate) struct GroupRows<'a> {
    pub(crate) quants: &'a [Quants],
    pub(crate) factors: &'a [Factors],
    pub(crate) biases: &'a [Biases],
    num_rows: usize,
}

impl<'a> GroupRows<'a> {
    pub(super) const NONE: Self = Self { quants: &[], factors: &[], biases: &[], num_rows: 0 };

    pub(super) fn group(&self, rows: std::ops::Range<usize>, num_cols: usize) -> GroupRows<'a> {
        let first = (rows.start * (num_cols / GROUP_SIZE)).min(self.quants.len());
        Self {
            quants: &self.quants[first..],
            factors: &self.factors[first..],
            biases: &self.biases[first..],
            num_rows: rows.len(),
        }
    }

    /// The place of `first_row` and the rows after it in its tile.
    #[inline(always)]
    pub(crate) fn place(&self, first_row: usize, num_groups: usize) -> TilePlace {
        TilePlace::new(first_row, self.num_rows, num_groups)
    }
}

impl Groups {
    pub(super) fn quantize(&mut self, pool: &Pool, rows: InputRows<'_>) -> GroupRows<'_> {
        let groups_per_row = rows.num_cols / GROUP_SIZE;
        let padded = rows.num_rows() * groups_per_row + ROWS_PER_TILE;
        if self.quants.len() < padded {
            self.quants.resize(padded, Quants::default());
            self.factors.resize(padded, Factors::default());
            self.biases.resize(padded, Biases::default());
        }
        let quants = Disjoint::new(&mut self.quants);
        let factors = Disjoint::new(&mut self.factors);
        let biases = Disjoint::new(&mut self.biases);
        rows.for_each_tile(pool, &|tile| {
            let range = tile.start * groups_per_row..tile.end * groups_per_row;
            let x = &rows.x[tile.start * rows.num_cols..tile.end * rows.num_cols];
            // SAFETY: each tile is visited once.
            let (quants, factors, biases) =
                unsafe { (quants.range(range.clone()), factors.range(range.clone()), biases.range(range)) };
            let num_rows = tile.len();
            pool.verified_isa().dispatch(QuantizeTile { x, num_rows, quants, factors, biases });
        });
        GroupRows {
            quants: &self.quants,
            factors: &self.factors,
            biases: &self.biases,
            num_rows: rows.num_rows(),
        }
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
        let groups_per_row = self.quants.len() / self.num_rows;
        for (i, x) in self.x.as_chunks::<GROUP_SIZE>().0.iter().enumerate() {
            let at = i % groups_per_row * self.num_rows + i / groups_per_row;
            let quants = bytemuck::cast_mut(&mut self.quants[at].0);
            // SAFETY: both halves of the group are 16 elements.
            self.factors[at].scale = unsafe { quantize_group(v, x, quants) };
        }
        // In a pass of its own: quants that were just written as a vector cannot be read again at once.
        for ((quants, factors), biases) in self.quants.iter().zip(self.factors).zip(self.biases) {
            let quants: &[i8; GROUP_SIZE] = bytemuck::cast_ref(&quants.0);
            let sum: i32 = quants.iter().map(|quant| i32::from(*quant)).sum();
            factors.scaled_sum = factors.scale * sum as f32;
            *biases = Biases { bias_8: -8 * sum, bias_16: -16 * sum, bias_128: -128 * sum };
        }
    }
}

/// Writes the quants and returns the scale.
///
/// # Safety
/// `V` has 16 lanes.
#[inline(always)]
unsafe fn quantize_group<V: Lanes>(v: V, x: &[f32; GROUP_SIZE], quants: &mut [i8; GROUP_SIZE]) -> f32 {
    // SAFETY: the arrays hold twice 16 elements.
    let (low, high) = unsafe { (v.load(x.as_ptr()), v.load(x.as_ptr().add(NUM_LANES))) };
    // Magnitudes as integers: NaN is larger than infinity, infinity larger than all numbers.
    let magnitude_mask = v.splat_i32(0x7fff_ffff);
    let magnitudes = v.max_i32(v.and(v.bits(low), magnitude_mask), v.and(v.bits(high), magnitude_mask));
    let (scale, inverse) = scale_of(lanes::max_bits(v, magnitudes));
    let Some(inverse) = inverse.map(|inverse| v.splat(inverse)) else {
        *quants = [0; GROUP_SIZE];
        return scale;
    };
    // SAFETY: as above.
    unsafe {
        v.store_i8(quants.as_mut_ptr(), v.mul(low, inverse));
        v.store_i8(quants.as_mut_ptr().add(NUM_LANES), v.mul(high, inverse));
    }
    scale
}
