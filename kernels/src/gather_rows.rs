use crate::error::{check_shape, count_rows};
use crate::lanes::{Kernel, Lanes};
use crate::{KernelError, Pool};

/// Copies rows: `out[i,:] = x[rows[i],:]` — `x [tokens, num_cols]`, `out [rows.len(), num_cols]` f32 row-major. Exact.
///
/// # Errors
/// `ShapeMismatch` if an operand is not rows of `num_cols`, `OutOfRange` for a row that `x` does not have.
pub fn gather_rows(
    pool: &Pool,
    x: &[f32],
    rows: &[u32],
    num_cols: usize,
    out: &mut [f32],
) -> Result<(), KernelError> {
    const OP: &str = "gather_rows";
    let num_rows = count_rows(OP, "x", x.len(), num_cols)?;
    check_shape(OP, "out", out.len(), [rows.len(), num_cols])?;
    check_rows(OP, rows, num_rows)?;
    pool.for_each_row(out, num_cols, 32_768 / num_cols + 1, &|range, out| {
        for (row, out) in rows[range].iter().zip(out.chunks_exact_mut(num_cols)) {
            out.copy_from_slice(&x[*row as usize * num_cols..][..num_cols]);
        }
    });
    Ok(())
}

/// Rows with weights, the same number of them for every row of the result.
#[derive(Debug, Clone, Copy)]
pub struct WeightedRows<'a> {
    /// Which rows, `[out rows, terms]`.
    pub rows: &'a [u32],
    /// Their weights, `[out rows, terms]`.
    pub weights: &'a [f32],
    /// How many rows each row of the result is a sum of.
    pub num_terms: usize,
}

/// Adds up weighted rows: `out[t,:] = Σ_j weights[t,j]·x[rows[t,j],:]`, in order of `j`, each term `acc = fma(w, x, acc)` from zero.
///
/// `x [slots, num_cols]`, `out [tokens, num_cols]` f32 row-major.
///
/// # Errors
/// `ShapeMismatch` if an operand is not rows of its width, `OutOfRange` for a row that `x` does not have.
///
/// Parity 1e-6; bit-identical between instruction sets.
pub fn add_weighted_rows(
    pool: &Pool,
    x: &[f32],
    terms: WeightedRows<'_>,
    num_cols: usize,
    out: &mut [f32],
) -> Result<(), KernelError> {
    const OP: &str = "add_weighted_rows";
    let num_slots = count_rows(OP, "x", x.len(), num_cols)?;
    let num_rows = count_rows(OP, "out", out.len(), num_cols)?;
    check_shape(OP, "rows", terms.rows.len(), [num_rows, terms.num_terms])?;
    check_shape(OP, "weights", terms.weights.len(), [num_rows, terms.num_terms])?;
    check_rows(OP, terms.rows, num_slots)?;
    let num_terms = terms.num_terms;
    pool.for_each_row(out, num_cols, 16_384 / (num_cols * num_terms.max(1)) + 1, &|range, out| {
        for (row, out) in range.zip(out.chunks_exact_mut(num_cols)) {
            out.fill(0.0);
            for term in row * num_terms..(row + 1) * num_terms {
                let x = &x[terms.rows[term] as usize * num_cols..][..num_cols];
                pool.verified_isa().dispatch(AddScaled { x, weight: terms.weights[term], out });
            }
        }
    });
    Ok(())
}

struct AddScaled<'a> {
    x: &'a [f32],
    weight: f32,
    out: &'a mut [f32],
}

/// Scalar code: the compiler makes vectors of it, with the same operations per element.
impl Kernel for AddScaled<'_> {
    #[inline(always)]
    fn run<V: Lanes>(self, _v: V) {
        for (out, x) in self.out.iter_mut().zip(self.x) {
            *out = self.weight.mul_add(*x, *out);
        }
    }
}

fn check_rows(op: &'static str, rows: &[u32], num_rows: usize) -> Result<(), KernelError> {
    match rows.iter().find(|row| **row as usize >= num_rows) {
        Some(row) => {
            Err(KernelError::OutOfRange { op, index_of: "row", index: *row as usize, len: num_rows })
        }
        None => Ok(()),
    }
}
