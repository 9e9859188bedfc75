use half::{bf16, f16};

use crate::error::check_shape;
use crate::group::{GROUP_SIZE, read_group, zero_point};
use crate::{KernelError, WeightType};

/// Turns weights in GGUF's block layout into f32.
///
/// `out[i] = scale·(quant[i] − zero_point) + offset` with the scale and offset of the element's group. `bytes` holds
/// whole blocks, `out [elements]`. Exact: each product fits an f32 and the sum rounds once, as in ggml.
///
/// # Errors
/// `PartialBlock` if `out.len()` does not divide into blocks, `ShapeMismatch` if `bytes` has another length.
///
/// Parity: equal to `reference::dequantize`. Source: ggml's block structures.
pub fn dequantize(weight_type: WeightType, bytes: &[u8], out: &mut [f32]) -> Result<(), KernelError> {
    const OP: &str = "dequantize";
    let row_bytes = weight_type.row_bytes(out.len()).ok_or(KernelError::PartialBlock {
        op: OP,
        weight_type,
        num_cols: out.len(),
        block_size: weight_type.block_size(),
    })?;
    check_shape(OP, "bytes", bytes.len(), [1, row_bytes])?;
    dequantize_row(weight_type, bytes, out);
    Ok(())
}

/// The same for operands that are known to fit.
pub(crate) fn dequantize_row(weight_type: WeightType, bytes: &[u8], out: &mut [f32]) {
    match weight_type {
        WeightType::F32 => {
            for (value, bytes) in out.iter_mut().zip(bytes.as_chunks().0) {
                *value = f32::from_le_bytes(*bytes);
            }
        }
        WeightType::F16 => {
            for (value, bytes) in out.iter_mut().zip(bytes.as_chunks().0) {
                *value = f16::from_le_bytes(*bytes).to_f32();
            }
        }
        WeightType::BF16 => {
            for (value, bytes) in out.iter_mut().zip(bytes.as_chunks().0) {
                *value = bf16::from_le_bytes(*bytes).to_f32();
            }
        }
        _ => {
            let zero_point = zero_point(weight_type);
            for (index, values) in out.chunks_exact_mut(GROUP_SIZE).enumerate() {
                let group = read_group(weight_type, bytes, index);
                for (i, value) in values.iter_mut().enumerate() {
                    let quant = (i32::from(group.quants[i]) - zero_point) as f32;
                    *value = group.scales[i / 16] * quant + group.offset;
                }
            }
        }
    }
}
