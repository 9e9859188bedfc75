use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::arena::Region;
use crate::disjoint::Disjoint;
use crate::error::check_shape;
use crate::lanes::NUM_LANES;
use crate::{KernelError, Pool, WeightType};

pub(crate) mod panel;

/// A weight matrix in GGUF's layout: `num_rows` rows (output features) of `num_cols` elements.
#[derive(Debug, Clone, Copy)]
pub struct MatrixSource<'a> {
    /// How the elements are stored.
    pub weight_type: WeightType,
    /// Output features.
    pub num_rows: usize,
    /// Input features.
    pub num_cols: usize,
    /// The rows, one after the other.
    pub bytes: &'a [u8],
}

impl MatrixSource<'_> {
    /// Checks the shape and returns the length of a row in bytes.
    pub(crate) fn row_bytes(&self, op: &'static str) -> Result<usize, KernelError> {
        let row_bytes = self.weight_type.row_bytes(self.num_cols).ok_or(KernelError::PartialBlock {
            op,
            weight_type: self.weight_type,
            num_cols: self.num_cols,
            block_size: self.weight_type.block_size(),
        })?;
        check_shape(op, "bytes", self.bytes.len(), [self.num_rows, row_bytes])?;
        Ok(row_bytes)
    }
}

/// A weight matrix `[num_rows, num_cols]`, packed for [`crate::matmul`].
///
/// Sixteen rows make a panel: element `k` of all sixteen lies side by side, so that they fill the lanes of a vector and a
/// lane's sum runs over `k` in order. Quantised types keep their quants (4, 5, 6 or 8 bits) and exact scales; a panel
/// holds its quants, then its scales. The memory is in 2 MiB pages where the system allows.
#[derive(Debug)]
pub struct PackedMatrix {
    pub(crate) sections: Vec<Section>,
    num_rows: usize,
    num_cols: usize,
    region: Region,
}

/// Rows of one type within a matrix.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Section {
    pub(crate) weight_type: WeightType,
    pub(crate) first_row: usize,
    pub(crate) num_rows: usize,
    pub(crate) panel_bytes: usize,
    offset: usize,
}

impl Section {
    pub(crate) fn num_panels(&self) -> usize {
        self.num_rows.div_ceil(NUM_LANES)
    }
}

/// The high halves of the quants of a matrix of bytes, laid out like a 4-bit type with the same scales: half of the matrix's bytes, for
/// [`crate::matmul_largest`].
#[derive(Debug)]
pub struct HighHalves(pub(crate) PackedMatrix);

impl HighHalves {
    /// Bytes of those of a matrix; 0 if it has none.
    pub fn num_bytes_of(weight_type: WeightType, [num_rows, num_cols]: [usize; 2]) -> usize {
        match weight_type {
            WeightType::Q8_0 => num_rows.div_ceil(NUM_LANES) * panel::num_bytes(WeightType::Q4_0, num_cols),
            _ => 0,
        }
    }

    /// What a product with one row reads of them.
    pub fn num_bytes(&self) -> usize {
        self.0.num_bytes()
    }

    /// Nothing if the matrix is not one of `Q8_0` throughout, or a scale is negative or not finite.
    ///
    /// # Errors
    /// `OutOfMemory`.
    pub fn of(w: &PackedMatrix, pool: &Pool) -> Result<Option<Self>, KernelError> {
        let &[section] = &w.sections[..] else { return Ok(None) };
        if section.weight_type != WeightType::Q8_0 {
            return Ok(None);
        }
        let panel_bytes = panel::num_bytes(WeightType::Q4_0, w.num_cols);
        let mut region = pool.arena().allocate(section.num_panels() * panel_bytes)?;
        let panels = Disjoint::new(region.as_uninit());
        let are_valid = AtomicBool::new(true);
        pool.for_each(section.num_panels(), 16, &|range| {
            for index in range {
                // SAFETY: each panel of the high halves is visited once.
                let high = unsafe { panels.range(index * panel_bytes..(index + 1) * panel_bytes) };
                high.fill(MaybeUninit::new(0));
                // SAFETY: just written.
                if !panel::pack_high_halves(w.panel_bytes(&section, index), w.num_cols, unsafe {
                    high.assume_init_mut()
                }) {
                    are_valid.store(false, Ordering::Relaxed);
                }
            }
        });
        let section = Section { weight_type: WeightType::Q4_0, panel_bytes, offset: 0, ..section };
        let high =
            PackedMatrix { sections: vec![section], num_rows: w.num_rows, num_cols: w.num_cols, region };
        Ok(are_valid.into_inner().then_some(Self(high)))
    }
}

impl PackedMatrix {
    /// Packs sources that share their input features on top of each other: Q, K and V, or gate and up, become one
    /// matrix. Each keeps its own type.
    ///
    /// # Errors
    /// `ShapeMismatch` if the sources have different `num_cols` or bytes of another length than their shape asks for,
    /// `PartialBlock` if rows do not divide into blocks, `OutOfMemory`.
    pub fn pack(sources: &[MatrixSource<'_>], pool: &Pool) -> Result<Self, KernelError> {
        const OP: &str = "pack";
        let num_cols = sources.first().map_or(0, |source| source.num_cols);
        let mut sections = Vec::with_capacity(sources.len());
        let (mut num_rows, mut num_bytes) = (0, 0usize);
        for source in sources {
            if source.num_cols != num_cols {
                return Err(KernelError::ShapeMismatch {
                    op: OP,
                    operand: "source",
                    expected: [source.num_rows, num_cols],
                    actual: [source.num_rows, source.num_cols],
                });
            }
            source.row_bytes(OP)?;
            let section = Section {
                weight_type: source.weight_type,
                first_row: num_rows,
                num_rows: source.num_rows,
                panel_bytes: panel::num_bytes(source.weight_type, num_cols),
                offset: num_bytes,
            };
            num_rows += source.num_rows;
            num_bytes += section.num_panels() * section.panel_bytes;
            sections.push(section);
        }
        let mut region = pool.arena().allocate(num_bytes)?;
        let memory = region.as_uninit();
        for (section, source) in sections.iter().zip(sources) {
            let end = section.offset + section.num_panels() * section.panel_bytes;
            let panels = Disjoint::new(&mut memory[section.offset..end]);
            pool.for_each(section.num_panels(), 4, &|range| {
                for index in range {
                    // SAFETY: each panel is visited once.
                    let panel = unsafe {
                        panels.range(index * section.panel_bytes..(index + 1) * section.panel_bytes)
                    };
                    panel.fill(MaybeUninit::new(0));
                    // SAFETY: just written.
                    panel::pack(source, index, unsafe { panel.assume_init_mut() });
                }
            });
        }
        Ok(Self { sections, num_rows, num_cols, region })
    }

    /// Output features.
    pub fn num_rows(&self) -> usize {
        self.num_rows
    }

    /// Input features.
    pub fn num_cols(&self) -> usize {
        self.num_cols
    }

    /// What a product with one row reads.
    pub fn num_bytes(&self) -> usize {
        self.region.num_bytes()
    }

    /// Whether rows can be read back by [`crate::gather_packed`]: floats and bytes of one type.
    pub fn has_whole_elements(&self) -> bool {
        matches!(self.sections[..], [section] if section.weight_type.has_whole_elements())
    }

    /// A panel's bytes.
    pub(crate) fn panel_bytes(&self, section: &Section, index: usize) -> &[u8] {
        assert!(index < section.num_panels());
        // SAFETY: `pack` wrote all panels of all sections.
        unsafe { std::slice::from_raw_parts(self.panel(section, index), section.panel_bytes) }
    }

    /// The start of a panel, `section.panel_bytes` long.
    #[inline]
    pub(crate) fn panel(&self, section: &Section, index: usize) -> *const u8 {
        debug_assert!(index < section.num_panels());
        // SAFETY: `pack` made room for all panels of all sections.
        unsafe { self.region.as_ptr().add(section.offset + index * section.panel_bytes) }
    }
}
