use std::ops::Range;

use crate::disjoint::Disjoint;
use crate::error::count_rows;
use crate::lanes::{Kernel, Lanes, NUM_LANES};
use crate::matmul::float::{Element, OfBf16, OfF16, OfF32};
use crate::{KernelError, MatrixSource, Pool, WeightType};

const OP: &str = "low_rank";

/// Sums that one inner product is cut into, so that a single row does not wait for each addition.
const NUM_PARTIAL_SUMS: usize = 4;

/// Rows that pass a panel of `A` together: as many as there are registers for their sums.
const ROWS_PER_ITEM: usize = 2;

/// Vector operations that are worth another thread, about two microseconds.
const OPERATIONS_PER_PIECE: usize = 4_096;

/// A low-rank correction of a matrix product: `scale · B·A`, with `A [rank, in]` and `B [out, rank]` in panels of 16 rows.
///
/// Source: Hu et al. 2021 (LoRA).
#[derive(Debug)]
pub struct LowRank {
    rank: usize,
    num_inputs: usize,
    num_outputs: usize,
    scale: f32,
    down: Panels,
    up: Panels,
}

/// A correction, and where it is added: to some rows of a product, from a column on.
#[derive(Debug, Clone, Copy)]
pub struct LowRankTerm<'a> {
    /// The correction.
    pub update: &'a LowRank,
    /// Numbers of the rows that take part, ascending.
    pub rows: &'a [u32],
    /// The first column that it is added to.
    pub first_col: usize,
}

/// A product that was computed, and what it was computed from.
#[derive(Debug)]
pub struct ProductRows<'a> {
    /// Whole rows of inputs.
    pub x: &'a [f32],
    /// Whole rows of `row_stride`.
    pub out: &'a mut [f32],
    /// Elements from one row of `out` to the next.
    pub row_stride: usize,
    /// The number of the first row of `x` and `out`.
    pub first_row: u32,
}

impl LowRank {
    /// Packs `down [rank, in]` (LoRA's A) and `up [out, rank]` (LoRA's B), each of a float type and kept in it.
    ///
    /// # Errors
    /// `BadParameter` for a quantised type or a rank of 0, `ShapeMismatch` if the ranks differ or bytes are missing.
    pub fn new(down: &MatrixSource<'_>, up: &MatrixSource<'_>, scale: f32) -> Result<Self, KernelError> {
        let rank = down.num_rows;
        if rank == 0 || down.num_cols == 0 || up.num_rows == 0 {
            return Err(KernelError::BadParameter {
                op: OP,
                parameter: "shape",
                value: format!("[{rank}, {}] and [{}, {}]", down.num_cols, up.num_rows, up.num_cols),
                rule: "no dimension may be 0",
            });
        }
        if up.num_cols != rank {
            let (expected, actual) = ([up.num_rows, rank], [up.num_rows, up.num_cols]);
            return Err(KernelError::ShapeMismatch { op: OP, operand: "up", expected, actual });
        }
        Ok(Self {
            rank,
            num_inputs: down.num_cols,
            num_outputs: up.num_rows,
            scale,
            down: Panels::pack(down)?,
            up: Panels::pack(up)?,
        })
    }

    /// Memory that it holds.
    pub fn num_bytes(&self) -> usize {
        self.down.bytes.len() + self.up.bytes.len()
    }
}

/// Adds low-rank corrections to the rows of a product.
///
/// `out[t, first_col + n] += scale · Σ_r (Σ_k x[t,k]·A[r,k])·B[n,r]` for each term and each of its rows `t` — `x [tokens, in]`,
/// `out [tokens, row_stride]` f32 row-major; other rows are not touched. The terms are in the order of their columns: those
/// that begin at one column have as many outputs, and end before the next ones begin. All of them take two runs of the pool,
/// since one alone is too little work to share.
///
/// The inner product over `k` is four f32 sums, of `k mod 4`, each by `fma` in order of `k`, added as
/// `(s0 + s1) + (s2 + s3)`; the product with `B` is one sum by `fma` in order of `r`, and `out = fma(scale, sum, out)`. A
/// row's result depends on the row and the weights alone: not on the other rows and terms, the threads or the instruction set.
///
/// # Errors
/// `ShapeMismatch` if `x` or `out` is not whole rows or terms differ in shape, `OutOfRange` for a row or column outside of
/// them, `BadParameter` for columns that are not in order.
///
/// Parity `2e-6·√(in·rank)` for weights of about 0.1; bit-identical between instruction sets.
pub fn add_low_rank(
    pool: &Pool,
    terms: &[LowRankTerm<'_>],
    product: ProductRows<'_>,
    scratch: &mut Vec<f32>,
) -> Result<(), KernelError> {
    let Some(num_inputs) = terms.first().map(|term| term.update.num_inputs) else { return Ok(()) };
    check(terms, &product, num_inputs)?;
    scratch.clear();
    scratch.resize(terms.iter().map(LowRankTerm::num_sums).sum(), 0.0);

    let ProductRows { x, out, row_stride, first_row } = product;
    let input = Input { x, num_inputs, first_row };
    let sums = &Disjoint::new(scratch);
    let num_items = terms.iter().map(LowRankTerm::num_items).sum();
    let grain = OPERATIONS_PER_PIECE / (ROWS_PER_ITEM * num_inputs) + 1;
    pool.for_each(num_items, grain, &|items| {
        pool.verified_isa().dispatch(Down { terms, input, sums, items });
    });
    let sums = &scratch[..];
    let out = &Disjoint::new(out);
    let num_panels = blocks(terms).map(|block| block[0].update.up.num_panels).sum();
    let num_operations: usize =
        terms.iter().map(|term| term.rows.len() * term.update.rank * term.update.up.num_panels).sum();
    let grain = OPERATIONS_PER_PIECE * num_panels / num_operations.max(1) + 1;
    pool.for_each(num_panels, grain, &|panels| {
        pool.verified_isa().dispatch(Up { terms, sums, out, row_stride, first_row, panels });
    });
    Ok(())
}

/// The terms of each range of columns.
fn blocks<'a, 't>(terms: &'t [LowRankTerm<'a>]) -> impl Iterator<Item = &'t [LowRankTerm<'a>]> {
    terms.chunk_by(|a, b| a.first_col == b.first_col)
}

fn check(terms: &[LowRankTerm<'_>], product: &ProductRows<'_>, num_inputs: usize) -> Result<(), KernelError> {
    let num_rows = count_rows(OP, "x", product.x.len(), num_inputs)?;
    let num_rows = num_rows.min(count_rows(OP, "out", product.out.len(), product.row_stride)?);
    let mut next_col = 0;
    for block in blocks(terms) {
        let (first_col, num_outputs) = (block[0].first_col, block[0].update.num_outputs);
        let end = first_col.saturating_add(num_outputs);
        if end > product.row_stride {
            return Err(out_of_range("column", end - 1, product.row_stride));
        }
        if first_col < next_col {
            return Err(KernelError::BadParameter {
                op: OP,
                parameter: "first_col",
                value: first_col.to_string(),
                rule: "columns must ascend and not overlap",
            });
        }
        next_col = end;
        for term in block {
            let (expected, actual) =
                ([num_outputs, num_inputs], [term.update.num_outputs, term.update.num_inputs]);
            if expected != actual {
                return Err(KernelError::ShapeMismatch { op: OP, operand: "update", expected, actual });
            }
            let relative = |row: u32| (row as usize).wrapping_sub(product.first_row as usize);
            if let Some(row) = term.rows.iter().find(|row| relative(**row) >= num_rows) {
                return Err(out_of_range("row", relative(*row), num_rows));
            }
        }
    }
    Ok(())
}

impl LowRankTerm<'_> {
    /// Elements from the inner sums of a row to those of the next.
    #[inline(always)]
    fn sum_stride(&self) -> usize {
        self.update.rank.next_multiple_of(NUM_LANES)
    }

    fn num_sums(&self) -> usize {
        self.rows.len() * self.sum_stride()
    }

    /// Pairs of rows and panels of `A`.
    fn num_items(&self) -> usize {
        self.rows.len().div_ceil(ROWS_PER_ITEM) * self.update.down.num_panels
    }
}

fn out_of_range(index_of: &'static str, index: usize, len: usize) -> KernelError {
    KernelError::OutOfRange { op: OP, index_of, index, len }
}

/// A float matrix in panels of 16 rows, column by column; the rows past the last are zeros.
#[derive(Debug)]
struct Panels {
    weight_type: WeightType,
    num_panels: usize,
    panel_bytes: usize,
    bytes: Vec<u8>,
}

impl Panels {
    fn pack(source: &MatrixSource<'_>) -> Result<Self, KernelError> {
        let weight_type = source.weight_type;
        if !weight_type.is_float() {
            return Err(KernelError::BadParameter {
                op: OP,
                parameter: "weight_type",
                value: format!("{weight_type:?}"),
                rule: "a float type is needed",
            });
        }
        let row_bytes = source.row_bytes(OP)?;
        let element_bytes = weight_type.block_bytes();
        let num_panels = source.num_rows.div_ceil(NUM_LANES);
        let panel_bytes = source.num_cols * NUM_LANES * element_bytes;
        let mut bytes = vec![0; num_panels * panel_bytes];
        for (index, row) in source.bytes.chunks_exact(row_bytes).enumerate() {
            let lane = index / NUM_LANES * panel_bytes + index % NUM_LANES * element_bytes;
            for (col, element) in row.chunks_exact(element_bytes).enumerate() {
                let at = lane + col * NUM_LANES * element_bytes;
                bytes[at..at + element_bytes].copy_from_slice(element);
            }
        }
        Ok(Self { weight_type, num_panels, panel_bytes, bytes })
    }

    #[inline(always)]
    fn panel(&self, index: usize) -> &[u8] {
        &self.bytes[index * self.panel_bytes..(index + 1) * self.panel_bytes]
    }
}

#[derive(Clone, Copy)]
struct Input<'a> {
    x: &'a [f32],
    num_inputs: usize,
    first_row: u32,
}

/// `sums[i, r] = Σ_k x[rows[i], k]·A[r, k]` for pairs of rows and panels of all terms.
struct Down<'a> {
    terms: &'a [LowRankTerm<'a>],
    input: Input<'a>,
    sums: &'a Disjoint<'a, f32>,
    items: Range<usize>,
}

impl Kernel for Down<'_> {
    #[inline(always)]
    fn run<V: Lanes>(self, v: V) {
        let (mut first_item, mut first_sum) = (0, 0);
        for term in self.terms {
            let end = first_item + term.num_items();
            let items = self.items.start.max(first_item)..self.items.end.min(end);
            for item in items {
                let place = (item - first_item, first_sum);
                match term.update.down.weight_type {
                    WeightType::F16 => self.run_item::<V, OfF16>(v, term, place),
                    WeightType::BF16 => self.run_item::<V, OfBf16>(v, term, place),
                    _ => self.run_item::<V, OfF32>(v, term, place),
                }
            }
            (first_item, first_sum) = (end, first_sum + term.num_sums());
        }
    }
}

impl Down<'_> {
    #[inline(always)]
    fn run_item<V: Lanes, E: Element>(
        &self,
        v: V,
        term: &LowRankTerm<'_>,
        (item, first_sum): (usize, usize),
    ) {
        let num_panels = term.update.down.num_panels;
        let (row, panel) = (item / num_panels * ROWS_PER_ITEM, item % num_panels);
        let place = (row, panel, first_sum);
        if row + 1 < term.rows.len() {
            self.run_rows::<V, E, ROWS_PER_ITEM>(v, term, place);
        } else {
            self.run_rows::<V, E, 1>(v, term, place);
        }
    }

    #[inline(always)]
    fn run_rows<V: Lanes, E: Element, const MR: usize>(
        &self,
        v: V,
        term: &LowRankTerm<'_>,
        (first, panel, first_sum): (usize, usize, usize),
    ) {
        let Input { x, num_inputs, first_row } = self.input;
        let weights = term.update.down.panel(panel);
        let x: [&[f32]; MR] = std::array::from_fn(|i| {
            let row = (term.rows[first + i] - first_row) as usize;
            &x[row * num_inputs..(row + 1) * num_inputs]
        });
        let mut sums = [[v.splat(0.0); NUM_PARTIAL_SUMS]; MR];
        let num_whole = num_inputs / NUM_PARTIAL_SUMS * NUM_PARTIAL_SUMS;
        for k in (0..num_whole).step_by(NUM_PARTIAL_SUMS) {
            for part in 0..NUM_PARTIAL_SUMS {
                step::<V, E, MR>(v, weights, &x, (k + part, part), &mut sums);
            }
        }
        for k in num_whole..num_inputs {
            step::<V, E, MR>(v, weights, &x, (k, k - num_whole), &mut sums);
        }
        for (i, [a, b, c, d]) in sums.into_iter().enumerate() {
            let start = first_sum + (first + i) * term.sum_stride() + panel * NUM_LANES;
            // SAFETY: this item alone has these rows of this panel, and a range of 16 elements takes a vector.
            unsafe {
                let out = self.sums.range(start..start + NUM_LANES);
                v.store(out.as_mut_ptr(), v.add(v.add(a, b), v.add(c, d)));
            }
        }
    }
}

#[inline(always)]
fn step<V: Lanes, E: Element, const MR: usize>(
    v: V,
    weights: &[u8],
    x: &[&[f32]; MR],
    (k, part): (usize, usize),
    sums: &mut [[V::F; NUM_PARTIAL_SUMS]; MR],
) {
    debug_assert!((k + 1) * NUM_LANES * E::NUM_BYTES <= weights.len());
    // SAFETY: a panel holds 16 elements for each column, and `k` is one of them.
    let weight = unsafe { E::load(v, weights.as_ptr().add(k * NUM_LANES * E::NUM_BYTES)) };
    for i in 0..MR {
        // SAFETY: a row has as many elements as the panel has columns.
        let x = unsafe { *x[i].get_unchecked(k) };
        sums[i][part] = v.fma(weight, v.splat(x), sums[i][part]);
    }
}

/// `out[rows[i], first_col + n] += scale · Σ_r sums[i, r]·B[n, r]` for panels of outputs, counted over the ranges of columns.
/// A panel is one thread's for all terms, so that no two write to one place.
struct Up<'a> {
    terms: &'a [LowRankTerm<'a>],
    sums: &'a [f32],
    out: &'a Disjoint<'a, f32>,
    row_stride: usize,
    first_row: u32,
    panels: Range<usize>,
}

impl Kernel for Up<'_> {
    #[inline(always)]
    fn run<V: Lanes>(self, v: V) {
        let (mut first_panel, mut first_sum) = (0, 0);
        for block in blocks(self.terms) {
            let end = first_panel + block[0].update.up.num_panels;
            let panels = self.panels.start.max(first_panel)..self.panels.end.min(end);
            for term in block {
                let sums = &self.sums[first_sum..first_sum + term.num_sums()];
                for panel in panels.clone() {
                    let panel = panel - first_panel;
                    match term.update.up.weight_type {
                        WeightType::F16 => self.run_panel::<V, OfF16>(v, term, (panel, sums)),
                        WeightType::BF16 => self.run_panel::<V, OfBf16>(v, term, (panel, sums)),
                        _ => self.run_panel::<V, OfF32>(v, term, (panel, sums)),
                    }
                }
                first_sum += sums.len();
            }
            first_panel = end;
        }
    }
}

impl Up<'_> {
    #[inline(always)]
    fn run_panel<V: Lanes, E: Element>(&self, v: V, term: &LowRankTerm<'_>, (panel, sums): (usize, &[f32])) {
        let mut row = 0;
        while row + 4 <= term.rows.len() {
            self.run_rows::<V, E, 4>(v, term, (row, panel, sums));
            row += 4;
        }
        while row < term.rows.len() {
            self.run_rows::<V, E, 1>(v, term, (row, panel, sums));
            row += 1;
        }
    }

    #[inline(always)]
    fn run_rows<V: Lanes, E: Element, const MR: usize>(
        &self,
        v: V,
        term: &LowRankTerm<'_>,
        (first, panel, sums): (usize, usize, &[f32]),
    ) {
        let (rank, stride) = (term.update.rank, term.sum_stride());
        let weights = term.update.up.panel(panel);
        let factors: [&[f32]; MR] =
            std::array::from_fn(|i| &sums[(first + i) * stride..(first + i) * stride + rank]);
        let mut sums = [v.splat(0.0); MR];
        for (r, weight) in weights.chunks_exact(NUM_LANES * E::NUM_BYTES).take(rank).enumerate() {
            // SAFETY: a chunk is 16 elements.
            let weight = unsafe { E::load(v, weight.as_ptr()) };
            for i in 0..MR {
                // SAFETY: each slice has `rank` elements.
                let factor = unsafe { *factors[i].get_unchecked(r) };
                sums[i] = v.fma(weight, v.splat(factor), sums[i]);
            }
        }
        let scale = v.splat(term.update.scale);
        let width = NUM_LANES.min(term.update.num_outputs - panel * NUM_LANES);
        for (i, sum) in sums.into_iter().enumerate() {
            let row = (term.rows[first + i] - self.first_row) as usize;
            let start = row * self.row_stride + term.first_col + panel * NUM_LANES;
            // SAFETY: this piece alone has these columns, and it visits one row after the other.
            let out = unsafe { self.out.range(start..start + width) };
            if width == NUM_LANES {
                // SAFETY: the range is 16 elements.
                unsafe {
                    let before = v.load(out.as_ptr());
                    v.store(out.as_mut_ptr(), v.fma(scale, sum, before));
                }
                continue;
            }
            let mut lanes = [0.0; NUM_LANES];
            lanes[..width].copy_from_slice(out);
            // SAFETY: the array is 16 elements.
            unsafe {
                let before = v.load(lanes.as_ptr());
                v.store(lanes.as_mut_ptr(), v.fma(scale, sum, before));
            }
            out.copy_from_slice(&lanes[..width]);
        }
    }
}
