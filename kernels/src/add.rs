use crate::error::{check_shape, count_rows};
use crate::{KernelError, Pool};

const GRAIN: usize = 65_536;

/// Adds a residual: `out[i] += x[i]` — `x, out` f32 of one shape. Exact to IEEE 754 addition.
///
/// # Errors
/// `ShapeMismatch` if the lengths differ.
pub fn add(pool: &Pool, x: &[f32], out: &mut [f32]) -> Result<(), KernelError> {
    check_shape("add", "x", x.len(), [1, out.len()])?;
    pool.for_each_row(out, 1, GRAIN, &|range, out| {
        for (out, x) in out.iter_mut().zip(&x[range]) {
            *out += x;
        }
    });
    Ok(())
}

/// Adds a bias to each row: `out[t,c] += bias[c]` — `out [tokens, columns]` f32 row-major, `bias [columns]`. Exact to
/// IEEE 754 addition.
///
/// # Errors
/// `ShapeMismatch` if `out` is not whole rows of `bias.len()`.
pub fn add_bias(pool: &Pool, bias: &[f32], out: &mut [f32]) -> Result<(), KernelError> {
    let num_cols = bias.len();
    count_rows("add_bias", "out", out.len(), num_cols)?;
    pool.for_each_row(out, num_cols, GRAIN / num_cols + 1, &|_, out| {
        for row in out.chunks_exact_mut(num_cols) {
            for (out, bias) in row.iter_mut().zip(bias) {
                *out += bias;
            }
        }
    });
    Ok(())
}
