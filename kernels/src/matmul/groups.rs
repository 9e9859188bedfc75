use super::{MAX_ROWS_PER_PASS, Product, ProductPiece};
use crate::activations::{Activations, InputRows};
use crate::disjoint::Disjoint;
use crate::error::{check_shape, count_rows};
use crate::packed_matrix::Section;
use crate::{KernelError, PackedMatrix, Pool};

/// The product of groups of rows, each with packed weights of its own.
///
/// `out[t,n] = Σ_k x[t,k]·w_g[n,k]` for the rows `t` of group `g`: those from `ends[g − 1]` (0 for the first) up to `ends[g]`. `x [tokens, in]`,
/// `out [tokens, out]` f32 row-major; all weights have one shape. Each group's weights are read once, and a row's outputs have
/// the bits that [`crate::matmul`] gives them.
///
/// # Errors
/// `ShapeMismatch` if there is not an end for each matrix, the matrices differ in shape, or the rows are not `x`'s and `out`'s;
/// `OutOfRange` if the ends are not ascending.
///
/// Parity: equal to `matmul` group by group.
pub fn matmul_groups(
    pool: &Pool,
    x: &[f32],
    (weights, ends): (&[PackedMatrix], &[usize]),
    out: &mut [f32],
    scratch: &mut Activations,
) -> Result<(), KernelError> {
    const OP: &str = "matmul_groups";
    check_shape(OP, "ends", ends.len(), [1, weights.len()])?;
    let Some(first) = weights.first() else { return check_shape(OP, "x", x.len(), [0, 0]) };
    let shape = [first.num_rows(), first.num_cols()];
    let num_rows = count_rows(OP, "x", x.len(), shape[1])?;
    check_shape(OP, "out", out.len(), [num_rows, shape[0]])?;
    if let Some(other) = weights.iter().find(|w| [w.num_rows(), w.num_cols()] != shape) {
        return Err(KernelError::ShapeMismatch {
            op: OP,
            operand: "weights",
            expected: shape,
            actual: [other.num_rows(), other.num_cols()],
        });
    }
    let mut previous = 0;
    for &end in ends {
        if end < previous || end > num_rows {
            return Err(KernelError::OutOfRange { op: OP, index_of: "end", index: end, len: num_rows + 1 });
        }
        previous = end;
    }

    let types = weights.iter().flat_map(|w| &w.sections).map(|section| section.weight_type);
    let quantized = scratch.quantize(pool, InputRows { x, num_cols: shape[1], ends }, types);
    let out = &Disjoint::new(out);
    let num_panels = |w: &PackedMatrix| w.sections.iter().map(Section::num_panels).sum::<usize>();
    let groups = || {
        let starts = std::iter::once(&0).chain(ends);
        weights.iter().zip(starts.zip(ends)).filter(|(_, (start, end))| start < end)
    };
    let num_items: usize = groups().map(|(w, _)| num_panels(w)).sum();
    let grain = (num_items / (pool.num_threads() * 6)).clamp(1, 64);
    pool.for_each(num_items, grain, &|items| {
        let mut first_item = 0;
        for (w, (&start, &end)) in groups() {
            let num_panels = num_panels(w);
            let panels = items.start.max(first_item)..items.end.min(first_item + num_panels);
            if panels.start < panels.end {
                let num_rows = end - start;
                let quantized = quantized.group(start..end, shape[1]);
                let x = &x[start * shape[1]..end * shape[1]];
                let product = Product { x, quantized, w, out, first_row: start, num_rows };
                for row in (0..num_rows).step_by(MAX_ROWS_PER_PASS) {
                    let rows = row..num_rows.min(row + MAX_ROWS_PER_PASS);
                    let panels = panels.start - first_item..panels.end - first_item;
                    pool.verified_isa().dispatch(ProductPiece { product, rows, panels });
                }
            }
            first_item += num_panels;
        }
    });
    Ok(())
}
