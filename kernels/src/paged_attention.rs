mod chunk;
mod tile;

use std::ops::Range;

use crate::disjoint::Disjoint;
use crate::error::check_shape;
use crate::{HeadRows, KernelError, KvCache, Pool};
use tile::AttentionTile;

/// One new token: which sequence it belongs to, and where in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttentionRow {
    /// An index into the block tables.
    pub sequence: usize,
    /// The token's position in its sequence, from 0.
    pub position: u32,
}

/// The new tokens of a step, and the blocks that hold each sequence.
#[derive(Debug, Clone, Copy)]
pub struct AttentionRows<'a> {
    /// A row for each token. Rows of one sequence that are neighbours share their work.
    pub rows: &'a [AttentionRow],
    /// For each sequence, the block that holds positions `16·i..16·(i + 1)`.
    pub block_tables: &'a [&'a [u32]],
}

impl AttentionRows<'_> {
    /// The block of a row that was checked, and its slot in the block.
    pub(crate) fn slot(&self, row: &AttentionRow) -> (usize, usize) {
        let position = row.position as usize;
        let block = self.block_tables[row.sequence][position / KvCache::BLOCK_SIZE];
        (block as usize, position % KvCache::BLOCK_SIZE)
    }
}

/// What [`paged_attention`] reads besides the cache.
#[derive(Debug, Clone, Copy)]
pub struct AttentionInput<'a> {
    /// Queries, `[tokens, heads.row_stride]`, f32.
    pub q: &'a [f32],
    /// Where the query heads lie in the rows of `q`.
    pub heads: HeadRows,
    /// The tokens that the rows of `q` belong to.
    pub rows: AttentionRows<'a>,
    /// The layer of the cache.
    pub layer: usize,
    /// The factor of the scores, usually `1/√head_dim`.
    pub scale: f32,
    /// How many positions a token sees, itself included; `None` is all of them.
    pub window: Option<usize>,
}

impl AttentionInput<'_> {
    /// The positions that a row sees.
    pub(crate) fn visible(&self, row: &AttentionRow) -> Range<usize> {
        let end = row.position as usize + 1;
        self.window.map_or(0, |window| end.saturating_sub(window))..end
    }
}

/// Rows of one sequence that share a pass over its keys and values.
const MAX_ROWS_PER_TILE: usize = 8;

/// With fewer tiles one thread waits for another at the end.
const TILES_PER_THREAD: usize = 8;

/// Causal attention of new tokens over a paged cache that already holds their keys and values.
///
/// `out[t,h] = Σ_{p−w<j≤p} softmax_j(scale·q[t,h]·k[j,h/g])·v[j,h/g]` for the token at position `p`, with `g` query heads for each head
/// of the cache, and the window `w` if there is one. Blocks that lie wholly before a row's window are not read for it. `q [tokens, row_stride]` and `out [tokens, heads·head_dim]` f32 row-major, keys and values f16, all sums f32.
///
/// Online softmax over chunks of 128 positions, counted from 0. A score sums over the head's dimensions in order; the denominator in
/// 16 lanes, position `j` in lane `j % 16`, then as a tree; an output over the positions in order. So a row depends on its
/// query and its sequence alone, not on the other rows, the tiling or the instruction set.
///
/// # Errors
/// `ShapeMismatch` if `q`, the heads or `out` do not fit the rows and the cache, `OutOfRange` if the layer, a sequence, a
/// position or a block does not exist, `BadParameter` for a window without positions.
///
/// Parity 1e-5 against softmax in one pass over the same f16 keys and values. Sources: Kwon et al. 2023 (paged), Milakov &
/// Gimelshein 2018 (online).
pub fn paged_attention(
    pool: &Pool,
    input: &AttentionInput<'_>,
    cache: &KvCache,
    out: &mut [f32],
) -> Result<(), KernelError> {
    const OP: &str = "paged_attention";
    let shape = cache.shape();
    let heads = input.heads;
    let num_rows = input.rows.rows.len();
    heads.check(OP, "q", input.q.len(), num_rows)?;
    let is_grouped = shape.num_kv_heads > 0 && heads.num_heads.is_multiple_of(shape.num_kv_heads);
    if heads.head_dim != shape.head_dim || !is_grouped {
        return Err(KernelError::ShapeMismatch {
            op: OP,
            operand: "heads",
            expected: [shape.num_kv_heads, shape.head_dim],
            actual: [heads.num_heads, heads.head_dim],
        });
    }
    let row_size = heads.num_heads * heads.head_dim;
    check_shape(OP, "out", out.len(), [num_rows, row_size])?;
    cache.check(OP, input.layer, input.rows)?;
    if input.window == Some(0) {
        return Err(KernelError::BadParameter {
            op: OP,
            parameter: "window",
            value: 0.to_string(),
            rule: "at least 1 is needed",
        });
    }

    let out = Disjoint::new(out);
    let group_size = heads.num_heads / shape.num_kv_heads;
    let attend = |rows: Range<usize>, heads: Range<usize>| {
        pool.verified_isa().dispatch(AttentionTile { input, cache, rows, heads, out: &out });
    };
    if num_rows * shape.num_kv_heads < 2 * pool.num_threads() {
        // Few rows: each thread gets as many query heads as the others, which share the reading of a cache head's keys and
        // values where neighbours have the same one.
        let num_heads = num_rows * heads.num_heads;
        let heads_per_thread = num_heads.div_ceil(pool.num_threads()).max(1);
        pool.for_each(num_heads.div_ceil(heads_per_thread), 1, &|threads| {
            for thread in threads {
                let mut next = thread * heads_per_thread;
                let end = num_heads.min(next + heads_per_thread);
                while next < end {
                    let (row, head) = (next / heads.num_heads, next % heads.num_heads);
                    let len = (group_size - head % group_size).min(end - next);
                    attend(row..row + 1, head..head + len);
                    next += len;
                }
            }
        });
        return Ok(());
    }
    let rows_per_tile =
        (num_rows * shape.num_kv_heads / (TILES_PER_THREAD * pool.num_threads())).clamp(1, MAX_ROWS_PER_TILE);
    let num_tiles = num_rows.div_ceil(rows_per_tile) * shape.num_kv_heads;
    pool.for_each(num_tiles, 1, &|tiles| {
        for tile in tiles {
            let first_row = tile / shape.num_kv_heads * rows_per_tile;
            let end = num_rows.min(first_row + rows_per_tile);
            let first_head = tile % shape.num_kv_heads * group_size;
            let mut row = first_row;
            while row < end {
                let sequence = input.rows.rows[row].sequence;
                let len = input.rows.rows[row..end].iter().take_while(|row| row.sequence == sequence).count();
                attend(row..row + len, first_head..first_head + group_size);
                row += len;
            }
        }
    });
    Ok(())
}
