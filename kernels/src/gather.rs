use crate::dequantize::dequantize_row;
use crate::error::check_shape;
use crate::{KernelError, MatrixSource};

/// Looks rows up in an embedding table in GGUF's layout.
///
/// `out[t,:] = table[ids[t],:]` — `table [vocabulary, hidden]` of any type, `ids [tokens]`, `out [tokens, hidden]` f32,
/// row-major. Exact, as [`crate::dequantize`].
///
/// # Errors
/// `OutOfRange` for an id past the table, `ShapeMismatch` or `PartialBlock` for operands that do not fit.
pub fn gather(table: &MatrixSource<'_>, ids: &[u32], out: &mut [f32]) -> Result<(), KernelError> {
    const OP: &str = "gather";
    let row_bytes = table.row_bytes(OP)?;
    check_shape(OP, "out", out.len(), [ids.len(), table.num_cols])?;
    for (row, &id) in out.chunks_exact_mut(table.num_cols.max(1)).zip(ids) {
        let id = id as usize;
        if id >= table.num_rows {
            return Err(KernelError::OutOfRange { op: OP, index_of: "id", index: id, len: table.num_rows });
        }
        dequantize_row(table.weight_type, &table.bytes[id * row_bytes..(id + 1) * row_bytes], row);
    }
    Ok(())
}
