mod down;
mod panels;
mod up;

use self::down::{Down, Input};
use self::panels::Panels;
use self::up::Up;
use crate::disjoint::Disjoint;
use crate::error::count_rows;
use crate::lanes::NUM_LANES;
use crate::{KernelError, MatrixSource, Pool};

const OP: &str = "low_rank";

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
