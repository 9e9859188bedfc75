use std::ops::Range;

use super::AttentionInput;
use super::chunk::{CHUNK_SIZE, Chunk, add_values, add_values_of_one, score_chunk};
use crate::KvCache;
use crate::disjoint::Disjoint;
use crate::exp::exp;
use crate::kv_cache::MAX_HEAD_DIM;
use crate::lanes::{self, Kernel, Lanes, NUM_LANES};

/// Some neighbouring rows of one sequence by some query heads of one head of the cache.
pub(super) struct AttentionTile<'a> {
    pub(super) input: &'a AttentionInput<'a>,
    pub(super) cache: &'a KvCache,
    pub(super) rows: Range<usize>,
    pub(super) heads: Range<usize>,
    pub(super) out: &'a Disjoint<'a, f32>,
}

/// The state of one query: its running maximum, denominator and weighted sum of values.
struct Query {
    row: usize,
    head: usize,
    /// The positions that it sees.
    visible: Range<usize>,
    max: f32,
    sum: f32,
}

impl Query {
    /// What it sees of a chunk, counted from the chunk's start.
    #[inline(always)]
    fn visible_in(&self, chunk_start: usize) -> Range<usize> {
        let within = |position: usize| position.saturating_sub(chunk_start).min(CHUNK_SIZE);
        within(self.visible.start)..within(self.visible.end)
    }
}

impl Kernel for AttentionTile<'_> {
    #[inline(always)]
    fn run<V: Lanes>(self, v: V) {
        let num_heads = self.heads.len();
        let num_queries = self.rows.len() * num_heads;
        let mut first = 0;
        while first < num_queries {
            first += match num_queries - first {
                // Eight would leave a third of the sums unused where there are twelve.
                7.. if V::Columns::NUM_SUMS.is_multiple_of(8) => self.run_queries::<V, 8>(v, first),
                5.. => self.run_queries::<V, 6>(v, first),
                4 => self.run_queries::<V, 4>(v, first),
                3 => self.run_queries::<V, 3>(v, first),
                2 => self.run_queries::<V, 2>(v, first),
                _ => self.run_queries::<V, 1>(v, first),
            };
        }
    }
}

impl AttentionTile<'_> {
    /// Queries `first..first + N` of the tile, counted row by row; the last one again in place of those that do not exist.
    #[inline(always)]
    fn run_queries<V: Lanes, const N: usize>(&self, v: V, first: usize) -> usize {
        let input = self.input;
        let head_dim = input.heads.head_dim;
        let mut queries: [Query; N] = std::array::from_fn(|i| {
            let index = (first + i).min(self.rows.len() * self.heads.len() - 1);
            let row = self.rows.start + index / self.heads.len();
            let head = self.heads.start + index % self.heads.len();
            let visible = input.visible(&input.rows.rows[row]);
            Query { row, head, visible, max: f32::NEG_INFINITY, sum: 0.0 }
        });
        let mut scaled = [[0.0f32; MAX_HEAD_DIM]; N];
        for (scaled, query) in scaled.iter_mut().zip(&queries) {
            let start = query.row * input.heads.row_stride + input.heads.first + query.head * head_dim;
            for (scaled, q) in scaled.iter_mut().zip(&input.q[start..start + head_dim]) {
                *scaled = q * input.scale;
            }
        }
        let mut values = [[0.0f32; MAX_HEAD_DIM]; N];
        let mut weights = [[0.0f32; CHUNK_SIZE]; N];
        let (mut start, mut end) = (usize::MAX, 0);
        for query in &queries {
            (start, end) = (start.min(query.visible.start), end.max(query.visible.end));
        }
        let table = input.rows.block_tables[input.rows.rows[self.rows.start].sequence];
        for chunk_start in (start - start % CHUNK_SIZE..end).step_by(CHUNK_SIZE) {
            let num_blocks = (end - chunk_start).min(CHUNK_SIZE).div_ceil(KvCache::BLOCK_SIZE);
            let first_seen_block = start.saturating_sub(chunk_start) / KvCache::BLOCK_SIZE;
            let seen_blocks = first_seen_block..num_blocks;
            let blocks = self.chunk(table, chunk_start, seen_blocks.clone());
            // SAFETY: a chunk has room for the scores of its blocks.
            unsafe { score_chunk(v, &blocks, seen_blocks, (head_dim, &scaled), &mut weights) };
            let next_start = chunk_start + CHUNK_SIZE;
            let num_next = end.saturating_sub(next_start).min(CHUNK_SIZE).div_ceil(KvCache::BLOCK_SIZE);
            let blocks = Chunk { next: self.chunk(table, next_start, 0..num_next).keys, ..blocks };
            let mut common = 0..CHUNK_SIZE;
            for (i, query) in queries.iter_mut().enumerate() {
                let visible = query.visible_in(chunk_start);
                common = common.start.max(visible.start)..common.end.min(visible.end);
                if !visible.is_empty() {
                    // SAFETY: at most a chunk is visible.
                    unsafe { soften(v, query, visible, &mut weights[i], &mut values[i][..head_dim]) };
                }
            }
            // Positions that all see go together, those before and after them one by one: an unseen value has no part in
            // a row, not even as zero times it.
            if common.is_empty() {
                common = CHUNK_SIZE..CHUNK_SIZE;
            }
            for (i, query) in queries.iter().enumerate() {
                let visible = query.visible_in(chunk_start);
                let before = visible.start..visible.end.min(common.start);
                // SAFETY: a block has `[16][head_dim]` values, and no range goes beyond the blocks.
                unsafe { add_values_of_one(v, &blocks, &weights[i], before, (head_dim, &mut values[i])) };
            }
            // SAFETY: as above.
            unsafe { add_values::<V, N>(v, &blocks, &weights, common.clone(), (head_dim, &mut values)) };
            for (i, query) in queries.iter().enumerate() {
                let after = common.end..query.visible_in(chunk_start).end;
                // SAFETY: as above.
                unsafe { add_values_of_one(v, &blocks, &weights[i], after, (head_dim, &mut values[i])) };
            }
        }
        for (query, values) in queries.iter().zip(&values) {
            let start = (query.row * input.heads.num_heads + query.head) * head_dim;
            // SAFETY: no other tile has this row and head.
            let out = unsafe { self.out.range(start..start + head_dim) };
            let inverse = 1.0 / query.sum;
            for (out, value) in out.iter_mut().zip(values) {
                *out = value * inverse;
            }
        }
        N
    }

    /// Where the blocks of a chunk lie; of the others, nowhere.
    #[inline(always)]
    fn chunk(&self, table: &[u32], chunk_start: usize, blocks: Range<usize>) -> Chunk {
        let input = self.input;
        let kv_head = self.heads.start / (input.heads.num_heads / self.cache.shape().num_kv_heads);
        let mut chunk = Chunk::default();
        for index in blocks {
            let block = table[chunk_start / KvCache::BLOCK_SIZE + index] as usize;
            let (keys, values) = self.cache.head(input.layer, block, kv_head);
            (chunk.keys[index], chunk.values[index]) = (keys.as_ptr(), values.as_ptr());
        }
        chunk
    }
}

/// Turns the scores of a chunk into weights relative to the running maximum, and corrects what was summed before.
///
/// # Safety
/// `visible` is not empty and lies within a chunk; `values` is a multiple of 16 long.
#[inline(always)]
unsafe fn soften<V: Lanes>(
    v: V,
    query: &mut Query,
    visible: Range<usize>,
    weights: &mut [f32; CHUNK_SIZE],
    values: &mut [f32],
) {
    let start = visible.start - visible.start % NUM_LANES;
    let end = visible.end.next_multiple_of(NUM_LANES);
    weights[start..visible.start].fill(f32::NEG_INFINITY);
    weights[visible.end..end].fill(f32::NEG_INFINITY);
    let mut max = v.splat(query.max);
    for j in (start..end).step_by(NUM_LANES) {
        // SAFETY: `end ≤ CHUNK_SIZE`. A NaN may get lost here, but not in the sum.
        max = v.max(max, unsafe { v.load(weights.as_ptr().add(j)) });
    }
    let max = lanes::max(v, max);
    let broadcast = v.splat(max);
    let mut sums = v.splat(0.0);
    for j in (start..end).step_by(NUM_LANES) {
        // SAFETY: as above.
        unsafe {
            let weight = exp(v, v.sub(v.load(weights.as_ptr().add(j)), broadcast));
            sums = v.add(sums, weight);
            v.store(weights.as_mut_ptr().add(j), weight);
        }
    }
    let sum = lanes::sum(v, sums);
    if query.max == f32::NEG_INFINITY {
        query.sum = sum;
    } else {
        let correction = exp(v, v.sub(v.splat(query.max), broadcast));
        for j in (0..values.len()).step_by(NUM_LANES) {
            // SAFETY: the length is a multiple of 16.
            unsafe {
                let value = v.load(values.as_ptr().add(j));
                v.store(values.as_mut_ptr().add(j), v.mul(value, correction));
            }
        }
        let mut corrections = [0.0; NUM_LANES];
        // SAFETY: the array has 16 elements.
        unsafe { v.store(corrections.as_mut_ptr(), correction) };
        query.sum = query.sum.mul_add(corrections[0], sum);
    }
    query.max = max;
}
