use crate::error::{check_shape, count_rows};
use crate::lanes::{self, Kernel, Lanes, NUM_LANES};
use crate::{HeadRows, KernelError, Pool};

/// Root-mean-square normalisation of rows.
///
/// `out[t,c] = x[t,c] / sqrt(mean_c(x[t,c]²) + eps) · weight[c]` — `x, out [tokens, hidden]`, `weight [hidden]`, f32 row-major; squares are
/// summed in 16 f32 lanes, lane `c % 16`, and the lanes as a tree.
///
/// # Errors
/// `ShapeMismatch` if `x` is not whole rows of `weight.len()` or `out` has another shape than `x`.
///
/// Parity 3e-5 for weights of about 1; bit-identical between instruction sets. Source: Zhang & Sennrich 2019.
pub fn rms_norm(
    pool: &Pool,
    x: &[f32],
    weight: &[f32],
    eps: f32,
    out: &mut [f32],
) -> Result<(), KernelError> {
    const OP: &str = "rms_norm";
    let num_cols = weight.len();
    let num_rows = count_rows(OP, "x", x.len(), num_cols)?;
    check_shape(OP, "out", out.len(), [num_rows, num_cols])?;
    pool.for_each_row(out, num_cols, 65_536 / num_cols + 1, &|rows, out| {
        let x = &x[rows.start * num_cols..rows.end * num_cols];
        pool.verified_isa().dispatch(RmsNorm { x, weight, eps, out });
    });
    Ok(())
}

/// Root-mean-square normalisation of heads, in place.
///
/// Each head `x[t,h]` becomes `x[t,h,d] / sqrt(mean_d(x[t,h,d]²) + eps) · weight[d]` — `x [tokens, row_stride]`, heads as `heads`
/// says, `weight [head_dim]`, f32; sums as in [`rms_norm`]. Other elements stay.
///
/// # Errors
/// `ShapeMismatch` if the heads do not lie in whole rows of `x` or `weight` is not as long as a head.
///
/// Parity 3e-5 for weights of about 1; bit-identical between instruction sets. Source: Henry et al. 2020 (QK-norm).
pub fn rms_norm_heads(
    pool: &Pool,
    x: &mut [f32],
    heads: HeadRows,
    weight: &[f32],
    eps: f32,
) -> Result<(), KernelError> {
    const OP: &str = "rms_norm_heads";
    let num_rows = count_rows(OP, "x", x.len(), heads.row_stride)?;
    heads.check(OP, "x", x.len(), num_rows)?;
    check_shape(OP, "weight", weight.len(), [1, heads.head_dim])?;
    let row_size = heads.num_heads * heads.head_dim;
    pool.for_each_row(x, heads.row_stride, 32_768 / row_size.max(1) + 1, &|_, x| {
        for row in x.chunks_exact_mut(heads.row_stride) {
            let row_heads = &mut row[heads.first..heads.first + row_size];
            pool.verified_isa().dispatch(RmsNormHeads { row_heads, weight, eps });
        }
    });
    Ok(())
}

struct RmsNorm<'a> {
    x: &'a [f32],
    weight: &'a [f32],
    eps: f32,
    out: &'a mut [f32],
}

impl Kernel for RmsNorm<'_> {
    #[inline(always)]
    fn run<V: Lanes>(self, v: V) {
        let num_cols = self.weight.len();
        for (x, out) in self.x.chunks_exact(num_cols).zip(self.out.chunks_exact_mut(num_cols)) {
            let factor = factor(v, x, self.eps);
            for ((out, x), weight) in out.iter_mut().zip(x).zip(self.weight) {
                *out = x * factor * weight;
            }
        }
    }
}

struct RmsNormHeads<'a> {
    row_heads: &'a mut [f32],
    weight: &'a [f32],
    eps: f32,
}

impl Kernel for RmsNormHeads<'_> {
    #[inline(always)]
    fn run<V: Lanes>(self, v: V) {
        for head in self.row_heads.chunks_exact_mut(self.weight.len()) {
            let factor = factor(v, head, self.eps);
            for (x, weight) in head.iter_mut().zip(self.weight) {
                *x = *x * factor * weight;
            }
        }
    }
}

/// `1 / sqrt(mean(x²) + eps)`
#[inline(always)]
fn factor<V: Lanes>(v: V, x: &[f32], eps: f32) -> f32 {
    let (whole, rest) = x.as_chunks::<NUM_LANES>();
    let mut squares = v.splat(0.0);
    for x in whole {
        // SAFETY: a chunk is 16 elements.
        let x = unsafe { v.load(x.as_ptr()) };
        squares = v.fma(x, x, squares);
    }
    let mut padded = [0.0; NUM_LANES];
    padded[..rest.len()].copy_from_slice(rest);
    // SAFETY: the array is 16 elements.
    let x_rest = unsafe { v.load(padded.as_ptr()) };
    let mean = lanes::sum(v, v.fma(x_rest, x_rest, squares)) / x.len() as f32;
    1.0 / (mean + eps).sqrt()
}
