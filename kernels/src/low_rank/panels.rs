use super::OP;
use crate::lanes::NUM_LANES;
use crate::{KernelError, MatrixSource, WeightType};

/// A float matrix in panels of 16 rows, column by column; the rows past the last are zeros.
#[derive(Debug)]
pub(super) struct Panels {
    pub(super) weight_type: WeightType,
    pub(super) num_panels: usize,
    panel_bytes: usize,
    pub(super) bytes: Vec<u8>,
}

impl Panels {
    pub(super) fn pack(source: &MatrixSource<'_>) -> Result<Self, KernelError> {
        let weight_type = source.weight_type;
        if !weight_type.is_float() {
            return Err(KernelError::BadParameter {
                op: OP,
                parameter: "weight_type",
                value: format!("{weight_type:?}"),
                rule: "a float type is needed",
            });
        }
        let row_bytes = source.row_bytes(OP)?;
        let element_bytes = weight_type.block_bytes();
        let num_panels = source.num_rows.div_ceil(NUM_LANES);
        let panel_bytes = source.num_cols * NUM_LANES * element_bytes;
        let mut bytes = vec![0; num_panels * panel_bytes];
        for (index, row) in source.bytes.chunks_exact(row_bytes).enumerate() {
            let lane = index / NUM_LANES * panel_bytes + index % NUM_LANES * element_bytes;
            for (col, element) in row.chunks_exact(element_bytes).enumerate() {
                let at = lane + col * NUM_LANES * element_bytes;
                bytes[at..at + element_bytes].copy_from_slice(element);
            }
        }
        Ok(Self { weight_type, num_panels, panel_bytes, bytes })
    }

    #[inline(always)]
    pub(super) fn panel(&self, index: usize) -> &[u8] {
        &self.bytes[index * self.panel_bytes..(index + 1) * self.panel_bytes]
    }
}
