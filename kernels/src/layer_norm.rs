use crate::error::{check_shape, count_rows};
use crate::lanes::{self, Kernel, Lanes, NUM_LANES};
use crate::{KernelError, Pool};

/// What [`layer_norm`] has learnt.
#[derive(Debug, Clone, Copy)]
pub struct LayerNorm<'a> {
    /// Scales, `[hidden]`.
    pub weight: &'a [f32],
    /// Offsets, `[hidden]`.
    pub bias: &'a [f32],
    /// Keeps the root away from zero.
    pub eps: f32,
}

/// Layer normalisation of rows, in place.
///
/// `x[t,c] = (x[t,c] − mean) / sqrt(var + eps) · weight[c] + bias[c]` with `mean = mean_c(x[t,c])` and `var = mean_c((x[t,c] − mean)²)` —
/// `x [tokens, hidden]`, `weight, bias [hidden]`, f32 row-major; both sums in 16 f32 lanes, lane `c % 16`, and the lanes as a tree.
///
/// # Errors
/// `ShapeMismatch` if `x` is not whole rows of `weight.len()` or `bias` has another length.
///
/// Parity 5e-5 for weights of about 1; bit-identical between instruction sets. Source: Ba, Kiros & Hinton 2016.
pub fn layer_norm(pool: &Pool, norm: LayerNorm<'_>, x: &mut [f32]) -> Result<(), KernelError> {
    const OP: &str = "layer_norm";
    let num_cols = norm.weight.len();
    count_rows(OP, "x", x.len(), num_cols)?;
    check_shape(OP, "bias", norm.bias.len(), [1, num_cols])?;
    pool.for_each_row(x, num_cols, 16_384 / num_cols + 1, &|_, rows| {
        pool.verified_isa().dispatch(NormalizeRows { norm, rows });
    });
    Ok(())
}

struct NormalizeRows<'a> {
    norm: LayerNorm<'a>,
    rows: &'a mut [f32],
}

impl Kernel for NormalizeRows<'_> {
    #[inline(always)]
    fn run<V: Lanes>(self, v: V) {
        let LayerNorm { weight, bias, eps } = self.norm;
        let num_cols = weight.len();
        for row in self.rows.chunks_exact_mut(num_cols) {
            let mean = lanes::sum(v, sum_of(v, row, 0.0, |x| x)) / num_cols as f32;
            let squares = sum_of(v, row, mean, |x| {
                let difference = v.sub(x, v.splat(mean));
                v.mul(difference, difference)
            });
            let factor = 1.0 / (lanes::sum(v, squares) / num_cols as f32 + eps).sqrt();
            for ((x, weight), bias) in row.iter_mut().zip(weight).zip(bias) {
                *x = (*x - mean) * factor * weight + bias;
            }
        }
    }
}

/// The sums of `term` over each lane; `padding` fills up the last vector and must have a term of zero.
#[inline(always)]
fn sum_of<V: Lanes>(v: V, row: &[f32], padding: f32, term: impl Fn(V::F) -> V::F) -> V::F {
    let (whole, rest) = row.as_chunks::<NUM_LANES>();
    let mut sums = v.splat(0.0);
    for x in whole {
        // SAFETY: a chunk is 16 elements.
        sums = v.add(sums, term(unsafe { v.load(x.as_ptr()) }));
    }
    let mut padded = [padding; NUM_LANES];
    padded[..rest.len()].copy_from_slice(rest);
    // SAFETY: the array is 16 elements.
    v.add(sums, term(unsafe { v.load(padded.as_ptr()) }))
}
