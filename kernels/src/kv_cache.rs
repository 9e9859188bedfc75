use crate::disjoint::Disjoint;
use crate::error::{check_shape, count_rows};
use crate::lanes::{Kernel, Lanes, NUM_LANES};
use crate::paged_attention::AttentionRows;
use crate::zeros::Zeros;
use crate::{KernelError, Pool};

/// The largest head that attention has room for.
pub(crate) const MAX_HEAD_DIM: usize = 256;

/// The size of a [`KvCache`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheShape {
    /// Transformer layers.
    pub num_layers: usize,
    /// Blocks of 16 tokens, each for all layers.
    pub num_blocks: usize,
    /// Heads of keys and values.
    pub num_kv_heads: usize,
    /// Elements in a head: a multiple of 16, at most 256.
    pub head_dim: usize,
}

impl CacheShape {
    /// Memory of one block over all layers.
    pub fn block_bytes(&self) -> usize {
        self.num_layers * self.num_kv_heads * 2 * KvCache::BLOCK_SIZE * self.head_dim * size_of::<u16>()
    }

    /// How many heads lie before this one.
    #[inline(always)]
    fn head_index(&self, layer: usize, block: usize, kv_head: usize) -> usize {
        (block * self.num_layers + layer) * self.num_kv_heads + kv_head
    }
}

/// Keys and values of one layer's new tokens: `[tokens, row_stride]`, the heads of keys from `first_key`, those of values from
/// `first_value`. They may be parts of a fused QKV product.
#[derive(Debug, Clone, Copy)]
pub struct KvRows<'a> {
    /// The rows, f32.
    pub x: &'a [f32],
    /// Elements from one row to the next.
    pub row_stride: usize,
    /// The element of a row where the keys start.
    pub first_key: usize,
    /// The element of a row where the values start.
    pub first_value: usize,
}

/// Keys and values of all layers in blocks of 16 tokens, f16.
///
/// Layout `[block][layer][kv_head]`, then keys `[head_dim][16]` and values `[16][head_dim]`: a score needs one dimension of 16 keys at
/// a time, the weighted sum 16 dimensions of one value. A block is all in one place, so that the first ones need few pages. Memory is
/// backed by a thread of its own in the first seconds.
#[derive(Debug)]
pub struct KvCache {
    data: Zeros,
    shape: CacheShape,
}

impl KvCache {
    /// Tokens in a block.
    pub const BLOCK_SIZE: usize = NUM_LANES;

    /// An empty cache.
    ///
    /// # Errors
    /// `BadParameter` for a head that is not a multiple of 16 up to 256, `OutOfMemory`.
    pub fn new(shape: CacheShape) -> Result<Self, KernelError> {
        let head_dim = shape.head_dim;
        if head_dim == 0 || !head_dim.is_multiple_of(NUM_LANES) || head_dim > MAX_HEAD_DIM {
            return Err(KernelError::BadParameter {
                op: "kv_cache",
                parameter: "head_dim",
                value: head_dim.to_string(),
                rule: "a multiple of 16 up to 256 is needed",
            });
        }
        let num_bytes = [shape.num_layers, shape.num_blocks, shape.num_kv_heads]
            .into_iter()
            .try_fold(4 * Self::BLOCK_SIZE * head_dim, usize::checked_mul)
            .unwrap_or(usize::MAX);
        Ok(Self { data: Zeros::new(num_bytes)?, shape })
    }

    /// The size.
    pub fn shape(&self) -> CacheShape {
        self.shape
    }

    /// Writes keys and values of one layer to the slots that the rows' positions have in their block tables, rounded
    /// to f16 (nearest, ties to even).
    ///
    /// # Errors
    /// `OutOfRange` if a layer, sequence, position or block does not exist, `ShapeMismatch` if `kv` does not have a row for each
    /// of `rows` or the heads do not lie within a row.
    pub fn store(
        &mut self,
        pool: &Pool,
        layer: usize,
        rows: AttentionRows<'_>,
        kv: KvRows<'_>,
    ) -> Result<(), KernelError> {
        const OP: &str = "kv_store";
        self.check(OP, layer, rows)?;
        let shape = self.shape;
        let num_elements = shape.num_kv_heads * shape.head_dim;
        count_rows(OP, "kv", kv.x.len(), kv.row_stride)?;
        check_shape(OP, "kv", kv.x.len(), [rows.rows.len(), kv.row_stride])?;
        let end = kv.first_key.max(kv.first_value).saturating_add(num_elements);
        if end > kv.row_stride {
            return Err(KernelError::ShapeMismatch {
                op: OP,
                operand: "kv",
                expected: [rows.rows.len(), end],
                actual: [rows.rows.len(), kv.row_stride],
            });
        }
        let head_elements = self.head_elements();
        let data = Disjoint::new(self.data.as_mut_slice());
        // Split by heads, since nothing keeps a caller from giving one slot to two rows.
        let grain = if rows.rows.len() < 16 { shape.num_kv_heads } else { 1 };
        pool.for_each(shape.num_kv_heads, grain, &|heads| {
            for (row, x) in rows.rows.iter().zip(kv.x.chunks_exact(kv.row_stride)) {
                let (block, slot) = rows.slot(row);
                for head in heads.clone() {
                    let start = shape.head_index(layer, block, head) * head_elements;
                    let of_head = head * shape.head_dim..(head + 1) * shape.head_dim;
                    // SAFETY: each head is visited by one thread.
                    let block = unsafe { data.range(start..start + head_elements) };
                    let key = &x[kv.first_key..][of_head.clone()];
                    let value = &x[kv.first_value..][of_head];
                    pool.verified_isa().dispatch(StoreHead { key, value, slot, block });
                }
            }
        });
        Ok(())
    }

    /// Copies all layers of a block.
    ///
    /// # Errors
    /// `OutOfRange` if a block does not exist.
    pub fn copy_block(&mut self, from: usize, to: usize) -> Result<(), KernelError> {
        let len = self.shape.num_blocks;
        if let Some(index) = [from, to].into_iter().find(|block| *block >= len) {
            return Err(KernelError::OutOfRange { op: "kv_copy", index_of: "block", index, len });
        }
        let num_elements = self.shape.block_bytes() / size_of::<u16>();
        self.data
            .as_mut_slice()
            .copy_within(from * num_elements..(from + 1) * num_elements, to * num_elements);
        Ok(())
    }

    /// Checks that the layer and everything that the rows refer to exists.
    pub(crate) fn check(
        &self,
        op: &'static str,
        layer: usize,
        rows: AttentionRows<'_>,
    ) -> Result<(), KernelError> {
        let in_range = |index_of, index, len| {
            if index < len { Ok(()) } else { Err(KernelError::OutOfRange { op, index_of, index, len }) }
        };
        in_range("layer", layer, self.shape.num_layers)?;
        // Neighbouring rows of a sequence look at each block of its table once.
        let (mut sequence, mut num_checked) = (usize::MAX, 0);
        for row in rows.rows {
            in_range("sequence", row.sequence, rows.block_tables.len())?;
            if row.sequence != sequence {
                (sequence, num_checked) = (row.sequence, 0);
            }
            let table = rows.block_tables[sequence];
            in_range("position", row.position as usize, table.len() * Self::BLOCK_SIZE)?;
            let num_blocks = row.position as usize / Self::BLOCK_SIZE + 1;
            for &block in table[..num_blocks].iter().skip(num_checked) {
                in_range("block", block as usize, self.shape.num_blocks)?;
            }
            num_checked = num_checked.max(num_blocks);
        }
        Ok(())
    }

    /// Keys `[head_dim][16]` and values `[16][head_dim]` of one head of a block that was checked.
    #[inline(always)]
    pub(crate) fn head(&self, layer: usize, block: usize, kv_head: usize) -> (&[u16], &[u16]) {
        let num_elements = self.head_elements();
        let index = self.shape.head_index(layer, block, kv_head);
        self.data.as_slice()[index * num_elements..][..num_elements].split_at(num_elements / 2)
    }

    fn head_elements(&self) -> usize {
        2 * Self::BLOCK_SIZE * self.shape.head_dim
    }
}

struct StoreHead<'a> {
    key: &'a [f32],
    value: &'a [f32],
    slot: usize,
    block: &'a mut [u16],
}

impl Kernel for StoreHead<'_> {
    #[inline(always)]
    fn run<V: Lanes>(self, v: V) {
        let head_dim = self.key.len();
        let (keys, values) = self.block.split_at_mut(NUM_LANES * head_dim);
        let key_rows = keys.as_chunks_mut::<NUM_LANES>().0;
        for (key, rows) in self.key.as_chunks::<NUM_LANES>().0.iter().zip(key_rows.chunks_mut(NUM_LANES)) {
            let mut halves = [0u16; NUM_LANES];
            // SAFETY: both are 16 elements.
            unsafe { v.store_f16(halves.as_mut_ptr(), v.load(key.as_ptr())) };
            for (row, half) in rows.iter_mut().zip(halves) {
                row[self.slot] = half;
            }
        }
        let value_row = values[self.slot * head_dim..][..head_dim].as_chunks_mut::<NUM_LANES>().0;
        for (value, out) in self.value.as_chunks::<NUM_LANES>().0.iter().zip(value_row) {
            // SAFETY: both are 16 elements.
            unsafe { v.store_f16(out.as_mut_ptr(), v.load(value.as_ptr())) };
        }
    }
}
