use crate::dequantize::dequantize_row;
use crate::error::check_shape;
use crate::lanes::NUM_LANES;
use crate::packed_matrix::panel;
use crate::{KernelError, MatrixSource, PackedMatrix};

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

/// The same from a table that is packed: one that is the output matrix as well need not be held twice. A row's panel is read for it.
///
/// # Errors
/// `OutOfRange` for an id past the table, `ShapeMismatch` for an `out` that does not fit, `BadParameter` unless
/// [`PackedMatrix::has_whole_elements`].
pub fn gather_packed(table: &PackedMatrix, ids: &[u32], out: &mut [f32]) -> Result<(), KernelError> {
    const OP: &str = "gather_packed";
    let &[section] = &table.sections[..] else { return Err(no_whole_elements(OP, "several types")) };
    if !section.weight_type.has_whole_elements() {
        return Err(no_whole_elements(OP, &format!("{:?}", section.weight_type)));
    }
    check_shape(OP, "out", out.len(), [ids.len(), table.num_cols()])?;
    for (row, &id) in out.chunks_exact_mut(table.num_cols().max(1)).zip(ids) {
        let id = id as usize;
        if id >= table.num_rows() {
            return Err(KernelError::OutOfRange { op: OP, index_of: "id", index: id, len: table.num_rows() });
        }
        let panel = table.panel_bytes(&section, id / NUM_LANES);
        panel::read_row(section.weight_type, panel, id % NUM_LANES, row);
    }
    Ok(())
}

fn no_whole_elements(op: &'static str, value: &str) -> KernelError {
    let rule = "rows are read back from floats and from bytes";
    KernelError::BadParameter { op, parameter: "table", value: value.to_owned(), rule }
}
