/// Writes a body out for each of up to 16 numbers, or what it keeps for each would live in memory: the compiler does not unroll a loop
/// that long.
macro_rules! for_each {
    ($num:expr, |$index:ident| $body:block) => {
        for_each!($num, $index, $body, 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);
    };
    ($num:expr, $index:ident, $body:block, $($number:literal)*) => {
        $(
            if $number < $num {
                let $index = $number;
                $body
            }
        )*
    };
}

mod block;
mod block_format;
mod block_tiled;
pub(crate) mod float;
mod format;
mod groups;
mod integer;
mod largest;
mod pairs;
mod prefetch;
mod tiled;

use crate::activations::{Activations, InputRows, QuantizedRows};
use crate::disjoint::Disjoint;
use crate::error::{check_shape, count_rows};
use crate::lanes::{Kernel, Lanes, NUM_LANES};
use crate::packed_matrix::Section;
use crate::{KernelError, PackedMatrix, Pool, WeightType};
use block::BlockKernel;
use block_format::{BlockFormat, Q4K, Q5K, Q6K};
use float::{FloatKernel, OfBf16, OfF16, OfF32};
use format::{Format, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0};
use integer::IntegerKernel;

pub use groups::matmul_groups;
pub use largest::{LargestScratch, matmul_largest};

/// Rows of input that pass the weights together: they stay in the second-level cache.
const MAX_ROWS_PER_PASS: usize = 256;

/// Of these, rows that pass some panels before the next rows come: they stay in the first-level cache, and the panels in the second-level one.
const MAX_ROWS_PER_BLOCK: usize = 32;
const MAX_PANEL_BYTES_PER_BLOCK: usize = 256 << 10;

/// Up to so many rows a panel is read once, or one half of the lanes would wait for memory and the other would not use the wait.
const MAX_ROWS_TO_READ_WHOLE: usize = 2;

/// The matrix product with packed weights.
///
/// `out[t,n] = Σ_k x[t,k]·w[n,k]` — `x [tokens, in]`, `out [tokens, out]` f32 row-major, `w [out, in]` packed.
///
/// Quantised weights are multiplied in int8: as many inputs as share a scale of the weights are quantised together ([`Activations`]), their
/// integer sum is exact, and such sums are added in order of `k` in f32. For groups of 32: `acc = fma(isum, scale_w·scale_x, acc)`, then
/// for types with offsets `acc = fma(offset_w, scale_x·Σq_x, acc)`. For blocks of 256 (the K types) the factors of their groups are
/// integers too: with `isum = Σ_g factor_g·Σq_w·q_x` and `msum = Σ_g minimum_g·Σq_x`,
/// `acc = fma(fma(offset_w, msum, scale_w·isum), scale_x, acc)`, `msum` for types with offsets only. Float weights:
/// `acc = fma(w, x, acc)` in order of `k`. One accumulator per output, so an output depends on its row and the weights
/// alone: not on the other rows, the number of threads or the instruction set.
///
/// NaN and infinity in a row make that row's outputs NaN (quantised weights) or spread as IEEE 754 says (float weights).
///
/// # Errors
/// `ShapeMismatch` if `x` is not whole rows of `w.num_cols()`, or `out` not as many of `w.num_rows()`.
///
/// Parity: bit-identical between instruction sets; against the f32 product, in units of `‖x‖·‖w‖/√in` per output, 0.05 for
/// quantised weights (the inputs' rounding to 8 bits) and `1e-5·√in` for floats.
pub fn matmul(
    pool: &Pool,
    x: &[f32],
    w: &PackedMatrix,
    out: &mut [f32],
    scratch: &mut Activations,
) -> Result<(), KernelError> {
    const OP: &str = "matmul";
    let num_rows = count_rows(OP, "x", x.len(), w.num_cols())?;
    check_shape(OP, "out", out.len(), [num_rows, w.num_rows()])?;
    if num_rows == 0 {
        return Ok(());
    }
    let rows = InputRows { x, num_cols: w.num_cols(), ends: &[num_rows] };
    let quantized = scratch.quantize(pool, rows, w.sections.iter().map(|section| section.weight_type));
    let product = Product { x, quantized, w, out: &Disjoint::new(out), first_row: 0, num_rows };
    let num_panels: usize = w.sections.iter().map(Section::num_panels).sum();
    let num_passes = num_rows.div_ceil(MAX_ROWS_PER_PASS);
    for pass in 0..num_passes {
        let rows = pass * MAX_ROWS_PER_PASS..num_rows.min((pass + 1) * MAX_ROWS_PER_PASS);
        pool.for_each_alike(num_panels, &|panels| {
            let rows = rows.clone();
            pool.verified_isa().dispatch(ProductPiece { product, rows, panels });
        });
    }
    Ok(())
}

#[derive(Clone, Copy)]
struct Product<'a> {
    x: &'a [f32],
    quantized: QuantizedRows<'a>,
    w: &'a PackedMatrix,
    out: &'a Disjoint<'a, f32>,
    /// Where the rows of `x` begin in `out`.
    first_row: usize,
    num_rows: usize,
}

/// The outputs of some rows and some panels, counted over all sections.
struct ProductPiece<'a> {
    product: Product<'a>,
    rows: std::ops::Range<usize>,
    panels: std::ops::Range<usize>,
}

/// Computes `MR` rows of one panel, `out[r][lane]`.
trait PanelKernel<V: Lanes>: Copy {
    /// Rows that pass a panel together.
    const MAX_ROWS: usize = V::MAX_TILE_ROWS;

    /// # Safety
    /// `panel` is a whole panel of the kernel's type and of the product's columns; `first_row + MR` rows exist.
    unsafe fn run<const MR: usize>(
        self,
        v: V,
        panel: *const u8,
        first_row: usize,
        out: &mut [[f32; NUM_LANES]; MR],
    );
}

impl Kernel for ProductPiece<'_> {
    #[inline(always)]
    fn run<V: Lanes>(self, v: V) {
        let mut first_panel = 0;
        for section in &self.product.w.sections {
            let end = first_panel + section.num_panels();
            let panels = self.panels.start.max(first_panel)..self.panels.end.min(end);
            if panels.start < panels.end {
                let panels = panels.start - first_panel..panels.end - first_panel;
                self.run_section(v, section, panels);
            }
            first_panel = end;
        }
    }
}

impl ProductPiece<'_> {
    #[inline(always)]
    fn run_section<V: Lanes>(&self, v: V, section: &Section, panels: std::ops::Range<usize>) {
        let num_cols = self.product.w.num_cols();
        let x = self.product.x;
        match section.weight_type {
            WeightType::F32 => self.run_panels(v, section, panels, FloatKernel::<OfF32>::new(x, num_cols)),
            WeightType::F16 => self.run_panels(v, section, panels, FloatKernel::<OfF16>::new(x, num_cols)),
            WeightType::BF16 => self.run_panels(v, section, panels, FloatKernel::<OfBf16>::new(x, num_cols)),
            WeightType::Q8_0 => self.run_integer::<V, Q8_0>(v, section, panels),
            WeightType::Q4_0 => self.run_integer::<V, Q4_0>(v, section, panels),
            WeightType::Q4_1 => self.run_integer::<V, Q4_1>(v, section, panels),
            WeightType::Q5_0 => self.run_integer::<V, Q5_0>(v, section, panels),
            WeightType::Q5_1 => self.run_integer::<V, Q5_1>(v, section, panels),
            WeightType::Q4K => self.run_blocks::<V, Q4K>(v, section, panels),
            WeightType::Q5K => self.run_blocks::<V, Q5K>(v, section, panels),
            WeightType::Q6K => self.run_blocks::<V, Q6K>(v, section, panels),
        }
    }

    #[inline(always)]
    fn run_integer<V: Lanes, P: Format>(&self, v: V, section: &Section, panels: std::ops::Range<usize>) {
        match v.tile_unit() {
            Some(unit) if self.rows.len() >= tiled::MIN_ROWS => {
                tiled::run_panels::<V, P>(v, unit, self, section, panels);
            }
            _ => {
                let rows = self.product.quantized.groups;
                let kernel = IntegerKernel::<P>::new(rows, self.product.w.num_cols());
                self.run_panels(v, section, panels, kernel);
            }
        }
    }

    #[inline(always)]
    fn run_blocks<V: Lanes, P: BlockFormat>(&self, v: V, section: &Section, panels: std::ops::Range<usize>) {
        match v.tile_unit() {
            Some(unit) if self.rows.len() >= P::MIN_UNIT_ROWS => {
                block_tiled::run_panels::<V, P>(v, unit, self, section, panels);
            }
            _ => {
                let rows = self.product.quantized.blocks;
                let kernel = BlockKernel::<P>::new(rows, self.product.w.num_cols());
                self.run_panels(v, section, panels, kernel);
            }
        }
    }

    #[inline(always)]
    fn run_panels<V: Lanes, K: PanelKernel<V>>(
        &self,
        v: V,
        section: &Section,
        panels: std::ops::Range<usize>,
        kernel: K,
    ) {
        let panels_per_block = (MAX_PANEL_BYTES_PER_BLOCK / section.panel_bytes.max(1)).max(1);
        for first_panel in panels.clone().step_by(panels_per_block) {
            let end_panel = panels.end.min(first_panel + panels_per_block);
            for first_row in self.rows.clone().step_by(MAX_ROWS_PER_BLOCK) {
                let rows = first_row..self.rows.end.min(first_row + MAX_ROWS_PER_BLOCK);
                for index in first_panel..end_panel {
                    self.run_panel(v, section, index, (rows.clone(), kernel));
                }
            }
        }
    }

    #[inline(always)]
    fn run_panel<V: Lanes, K: PanelKernel<V>>(
        &self,
        v: V,
        section: &Section,
        index: usize,
        (rows, kernel): (std::ops::Range<usize>, K),
    ) {
        let panel = self.product.w.panel(section, index);
        let first_col = section.first_row + index * NUM_LANES;
        let num_cols = NUM_LANES.min(section.num_rows - index * NUM_LANES);
        let cols = first_col..first_col + num_cols;
        let mut row = rows.start;
        while row < rows.end {
            match (rows.end - row).min(K::MAX_ROWS) {
                16.. => row += self.run_rows::<V, K, 16>(v, kernel, panel, (row, cols.clone())),
                8.. => row += self.run_rows::<V, K, 8>(v, kernel, panel, (row, cols.clone())),
                4.. => row += self.run_rows::<V, K, 4>(v, kernel, panel, (row, cols.clone())),
                2.. => row += self.run_rows::<V, K, 2>(v, kernel, panel, (row, cols.clone())),
                _ => row += self.run_rows::<V, K, 1>(v, kernel, panel, (row, cols.clone())),
            }
        }
    }

    #[inline(always)]
    fn run_rows<V: Lanes, K: PanelKernel<V>, const MR: usize>(
        &self,
        v: V,
        kernel: K,
        panel: *const u8,
        (first_row, cols): (usize, std::ops::Range<usize>),
    ) -> usize {
        debug_assert!(first_row + MR <= self.product.num_rows);
        let mut tile = [[0.0; NUM_LANES]; MR];
        // SAFETY: the panel belongs to the section whose type chose the kernel, and the rows are within the product's.
        unsafe { kernel.run(v, panel, first_row, &mut tile) };
        for (i, values) in tile.iter().enumerate() {
            // SAFETY: the array has 16 elements.
            self.store_outputs(v, unsafe { v.load(values.as_ptr()) }, first_row + i, &cols);
        }
        MR
    }

    /// Writes a row's outputs in the columns of a panel: as many lanes as there are columns.
    #[inline(always)]
    fn store_outputs<V: Lanes>(&self, v: V, lanes: V::F, row: usize, cols: &std::ops::Range<usize>) {
        let start = (self.product.first_row + row) * self.product.w.num_rows();
        // SAFETY: this piece alone has these rows and columns, and it visits them one after the other.
        let outputs = unsafe { self.product.out.range(start + cols.start..start + cols.end) };
        match outputs.as_chunks_mut::<NUM_LANES>() {
            // SAFETY: the array has 16 elements.
            ([outputs], _) => unsafe { v.store(outputs.as_mut_ptr(), lanes) },
            _ => {
                let mut values = [0.0; NUM_LANES];
                // SAFETY: the array has 16 elements.
                unsafe { v.store(values.as_mut_ptr(), lanes) };
                outputs.copy_from_slice(&values[..outputs.len()]);
            }
        }
    }

    /// Reads what was written there before.
    #[inline(always)]
    fn load_outputs<V: Lanes>(&self, v: V, row: usize, cols: &std::ops::Range<usize>) -> V::F {
        let start = (self.product.first_row + row) * self.product.w.num_rows();
        // SAFETY: as for writing.
        let outputs = unsafe { self.product.out.range(start + cols.start..start + cols.end) };
        let mut values = [0.0; NUM_LANES];
        values[..outputs.len()].copy_from_slice(outputs);
        // SAFETY: the array has 16 elements.
        unsafe { v.load(values.as_ptr()) }
    }
}
