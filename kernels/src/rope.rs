use crate::error::{check_shape, count_rows};
use crate::lanes::{Kernel, Lanes};
use crate::{KernelError, Pool, RopeStyle, RopeTable};

/// Where the heads lie in the rows of a matrix, so that Q or K can be used inside of a fused QKV product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeadRows {
    /// Elements from one row to the next.
    pub row_stride: usize,
    /// The element of a row where the first head starts.
    pub first: usize,
    /// Heads, one after the other.
    pub num_heads: usize,
    /// Elements in a head.
    pub head_dim: usize,
}

impl HeadRows {
    /// Rows that consist of heads only.
    pub fn dense(num_heads: usize, head_dim: usize) -> Self {
        Self { row_stride: num_heads * head_dim, first: 0, num_heads, head_dim }
    }

    /// Checks that `len` elements are `num_rows` rows and the heads lie within each.
    pub(crate) fn check(
        &self,
        op: &'static str,
        operand: &'static str,
        len: usize,
        num_rows: usize,
    ) -> Result<(), KernelError> {
        count_rows(op, operand, len, self.row_stride)?;
        check_shape(op, operand, len, [num_rows, self.row_stride])?;
        let end = self.first + self.num_heads * self.head_dim;
        if end > self.row_stride {
            return Err(KernelError::ShapeMismatch {
                op,
                operand,
                expected: [num_rows, end],
                actual: [num_rows, self.row_stride],
            });
        }
        Ok(())
    }
}

/// Rotary position embedding, in place.
///
/// For each pair `(a, b)` of a head's first `table.num_dims()` elements, with the angle of the row's position:
/// `a' = a·cos − b·sin`, `b' = a·sin + b·cos`, each as `fma(a, _, ±(b·_))`. `x [tokens, row_stride]` f32, heads as `heads` says, `positions
/// [tokens]`. Other elements stay.
///
/// # Errors
/// `ShapeMismatch` if the heads do not lie in the rows, there are not as many positions as rows, or heads are
/// smaller than the table's dimensions; `OutOfRange` for a position past the table.
///
/// Parity 2e-6 for elements of about 1; bit-identical between instruction sets. Source: Su et al. 2021.
pub fn rope(
    pool: &Pool,
    x: &mut [f32],
    heads: HeadRows,
    positions: &[u32],
    table: &RopeTable,
) -> Result<(), KernelError> {
    const OP: &str = "rope";
    heads.check(OP, "x", x.len(), positions.len())?;
    if table.num_dims() > heads.head_dim {
        return Err(KernelError::ShapeMismatch {
            op: OP,
            operand: "table",
            expected: [table.num_positions(), heads.head_dim],
            actual: [table.num_positions(), table.num_dims()],
        });
    }
    for &position in positions {
        let (index, len) = (position as usize, table.num_positions());
        if index >= len {
            return Err(KernelError::OutOfRange { op: OP, index_of: "position", index, len });
        }
    }
    let row_size = heads.num_heads * heads.head_dim;
    pool.for_each_row(x, heads.row_stride, 32_768 / row_size.max(1) + 1, &|rows, x| {
        for (row, x) in rows.zip(x.chunks_exact_mut(heads.row_stride)) {
            let row_heads = &mut x[heads.first..heads.first + row_size];
            if let Some((cosines, sines)) = table.row(positions[row] as usize) {
                let head_dim = heads.head_dim;
                let style = table.style();
                pool.verified_isa().dispatch(Rotate { row_heads, head_dim, style, cosines, sines });
            }
        }
    });
    Ok(())
}

struct Rotate<'a> {
    row_heads: &'a mut [f32],
    head_dim: usize,
    style: RopeStyle,
    cosines: &'a [f32],
    sines: &'a [f32],
}

/// Scalar code: the compiler makes vectors of it, with the same operations per element.
impl Kernel for Rotate<'_> {
    #[inline(always)]
    fn run<V: Lanes>(self, _v: V) {
        let num_pairs = self.cosines.len();
        for head in self.row_heads.chunks_exact_mut(self.head_dim) {
            match self.style {
                RopeStyle::Halves => {
                    let (first, second) = head[..2 * num_pairs].split_at_mut(num_pairs);
                    let angles = self.cosines.iter().zip(self.sines);
                    for ((a, b), (cosine, sine)) in first.iter_mut().zip(second).zip(angles) {
                        (*a, *b) = rotate(*a, *b, *cosine, *sine);
                    }
                }
                RopeStyle::Interleaved => {
                    let angles = self.cosines.iter().zip(self.sines);
                    for ([a, b], (cosine, sine)) in head.as_chunks_mut::<2>().0.iter_mut().zip(angles) {
                        (*a, *b) = rotate(*a, *b, *cosine, *sine);
                    }
                }
            }
        }
    }
}

#[inline(always)]
fn rotate(a: f32, b: f32, cosine: f32, sine: f32) -> (f32, f32) {
    (a.mul_add(cosine, -(b * sine)), a.mul_add(sine, b * cosine))
}
