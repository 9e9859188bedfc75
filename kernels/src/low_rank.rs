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

/// The rows of a step that take part.
#[derive(Debug, Clone, Copy)]
pub struct SelectedRows<'a> {
    /// Whole rows of inputs.
    pub x: &'a [f32],
    /// Numbers of the rows that take part, ascending.
    pub rows: &'a [u32],
    /// The number of the first row of `x` and of the output.
    pub first_row: u32,
}

/// Columns of wider output rows.
#[derive(Debug)]
pub struct OutputColumns<'a> {
    /// Whole rows of `row_stride`.
    pub out: &'a mut [f32],
    /// Elements from one row to the next.
    pub row_stride: usize,
    /// First column.
    pub first: usize,
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

/// Adds a low-rank correction to some rows of a product.
///
/// `out[t, first + n] += scale · Σ_r (Σ_k x[t,k]·A[r,k])·B[n,r]` for each selected row `t` — `x [tokens, in]`,
/// `out [tokens, row_stride]` f32 row-major; the rows that are not selected are not touched.
///
/// The inner product over `k` is four f32 sums, of `k mod 4`, each by `fma` in order of `k`, added as
/// `(s0 + s1) + (s2 + s3)`; the product with `B` is one sum by `fma` in order of `r`, and `out = fma(scale, sum, out)`. A
/// row's result depends on the row and the weights alone: not on the other rows, the threads or the instruction set.
///
/// # Errors
/// `ShapeMismatch` if `x` or `out` is not whole rows, `OutOfRange` for a row or column outside of them.
///
/// Parity `2e-6·√(in·rank)` for weights of about 0.1; bit-identical between instruction sets.
pub fn add_low_rank(
    pool: &Pool,
    update: &LowRank,
    input: SelectedRows<'_>,
    output: OutputColumns<'_>,
    scratch: &mut Vec<f32>,
) -> Result<(), KernelError> {
    let num_rows = count_rows(OP, "x", input.x.len(), update.num_inputs)?;
    let num_out_rows = count_rows(OP, "out", output.out.len(), output.row_stride)?;
    let last_col = output.first.saturating_add(update.num_outputs);
    if last_col > output.row_stride {
        return Err(out_of_range("column", last_col - 1, output.row_stride));
    }
    let len = num_rows.min(num_out_rows);
    let relative = |row: u32| (row as usize).wrapping_sub(input.first_row as usize);
    if let Some(row) = input.rows.iter().find(|row| relative(**row) >= len) {
        return Err(out_of_range("row", relative(*row), len));
    }
    let rank_stride = update.rank.next_multiple_of(NUM_LANES);
    scratch.clear();
    scratch.resize(input.rows.len() * rank_stride, 0.0);

    let num_panels = update.down.num_panels;
    let inner = &Disjoint::new(scratch);
    let num_items = input.rows.len().div_ceil(ROWS_PER_ITEM) * num_panels;
    let grain = OPERATIONS_PER_PIECE / (ROWS_PER_ITEM * update.num_inputs) + 1;
    pool.for_each(num_items, grain, &|items| {
        pool.verified_isa().dispatch(Down { update, input, inner, items });
    });
    let inner = &scratch[..];
    let out = &Disjoint::new(output.out);
    let (row_stride, first) = (output.row_stride, output.first);
    let grain = OPERATIONS_PER_PIECE / (input.rows.len().max(1) * update.rank) + 1;
    pool.for_each(update.up.num_panels, grain, &|panels| {
        pool.verified_isa().dispatch(Up { update, input, inner, out, row_stride, first, panels });
    });
    Ok(())
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

/// `inner[i, r] = Σ_k x[rows[i], k]·A[r, k]` for pairs of rows and panels.
struct Down<'a> {
    update: &'a LowRank,
    input: SelectedRows<'a>,
    inner: &'a Disjoint<'a, f32>,
    items: std::ops::Range<usize>,
}

impl Kernel for Down<'_> {
    #[inline(always)]
    fn run<V: Lanes>(self, v: V) {
        match self.update.down.weight_type {
            WeightType::F16 => self.run_as::<V, OfF16>(v),
            WeightType::BF16 => self.run_as::<V, OfBf16>(v),
            _ => self.run_as::<V, OfF32>(v),
        }
    }
}

impl Down<'_> {
    #[inline(always)]
    fn run_as<V: Lanes, E: Element>(&self, v: V) {
        let num_panels = self.update.down.num_panels;
        for item in self.items.clone() {
            let (first, panel) = (item / num_panels * ROWS_PER_ITEM, item % num_panels);
            if first + 1 < self.input.rows.len() {
                self.run_rows::<V, E, ROWS_PER_ITEM>(v, first, panel);
            } else {
                self.run_rows::<V, E, 1>(v, first, panel);
            }
        }
    }

    #[inline(always)]
    fn run_rows<V: Lanes, E: Element, const MR: usize>(&self, v: V, first: usize, panel: usize) {
        let num_cols = self.update.num_inputs;
        let weights = self.update.down.panel(panel);
        let x: [&[f32]; MR] = std::array::from_fn(|i| {
            let row = (self.input.rows[first + i] - self.input.first_row) as usize;
            &self.input.x[row * num_cols..(row + 1) * num_cols]
        });
        let mut sums = [[v.splat(0.0); NUM_PARTIAL_SUMS]; MR];
        let num_whole = num_cols / NUM_PARTIAL_SUMS * NUM_PARTIAL_SUMS;
        for k in (0..num_whole).step_by(NUM_PARTIAL_SUMS) {
            for part in 0..NUM_PARTIAL_SUMS {
                step::<V, E, MR>(v, weights, &x, (k + part, part), &mut sums);
            }
        }
        for k in num_whole..num_cols {
            step::<V, E, MR>(v, weights, &x, (k, k - num_whole), &mut sums);
        }
        let stride = self.update.rank.next_multiple_of(NUM_LANES);
        for (i, [a, b, c, d]) in sums.into_iter().enumerate() {
            let start = (first + i) * stride + panel * NUM_LANES;
            // SAFETY: this item alone has these rows of this panel, and a range of 16 elements takes a vector.
            unsafe {
                let out = self.inner.range(start..start + NUM_LANES);
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

/// `out[rows[i], first + n] += scale · Σ_r inner[i, r]·B[n, r]` for panels of outputs.
struct Up<'a> {
    update: &'a LowRank,
    input: SelectedRows<'a>,
    inner: &'a [f32],
    out: &'a Disjoint<'a, f32>,
    row_stride: usize,
    first: usize,
    panels: std::ops::Range<usize>,
}

impl Kernel for Up<'_> {
    #[inline(always)]
    fn run<V: Lanes>(self, v: V) {
        match self.update.up.weight_type {
            WeightType::F16 => self.run_as::<V, OfF16>(v),
            WeightType::BF16 => self.run_as::<V, OfBf16>(v),
            _ => self.run_as::<V, OfF32>(v),
        }
    }
}

impl Up<'_> {
    #[inline(always)]
    fn run_as<V: Lanes, E: Element>(&self, v: V) {
        for panel in self.panels.clone() {
            let mut row = 0;
            while row < self.input.rows.len() {
                row += if row + 4 <= self.input.rows.len() {
                    self.run_rows::<V, E, 4>(v, row, panel)
                } else {
                    self.run_rows::<V, E, 1>(v, row, panel)
                };
            }
        }
    }

    #[inline(always)]
    fn run_rows<V: Lanes, E: Element, const MR: usize>(&self, v: V, first: usize, panel: usize) -> usize {
        let rank = self.update.rank;
        let stride = rank.next_multiple_of(NUM_LANES);
        let weights = self.update.up.panel(panel);
        let inner: [&[f32]; MR] =
            std::array::from_fn(|i| &self.inner[(first + i) * stride..(first + i) * stride + rank]);
        let mut sums = [v.splat(0.0); MR];
        for (r, weight) in weights.chunks_exact(NUM_LANES * E::NUM_BYTES).take(rank).enumerate() {
            // SAFETY: a chunk is 16 elements.
            let weight = unsafe { E::load(v, weight.as_ptr()) };
            for i in 0..MR {
                sums[i] = v.fma(weight, v.splat(inner[i][r]), sums[i]);
            }
        }
        let scale = v.splat(self.update.scale);
        let width = NUM_LANES.min(self.update.num_outputs - panel * NUM_LANES);
        for (i, sum) in sums.into_iter().enumerate() {
            let row = (self.input.rows[first + i] - self.input.first_row) as usize;
            let start = row * self.row_stride + self.first + panel * NUM_LANES;
            // SAFETY: this piece alone has these columns, and it visits one row after the other.
            let out = unsafe { self.out.range(start..start + width) };
            let mut lanes = [0.0; NUM_LANES];
            lanes[..width].copy_from_slice(out);
            // SAFETY: the array is 16 elements.
            unsafe {
                let before = v.load(lanes.as_ptr());
                v.store(lanes.as_mut_ptr(), v.fma(scale, sum, before));
            }
            out.copy_from_slice(&lanes[..width]);
        }
        MR
    }
}
