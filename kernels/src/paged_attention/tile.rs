use std::ops::Range;

use super::AttentionInput;
use crate::KvCache;
use crate::disjoint::Disjoint;
use crate::exp::exp;
use crate::kv_cache::MAX_HEAD_DIM;
use crate::lanes::{self, Kernel, Lanes, NUM_LANES};

/// Positions between two corrections of the running maximum. Chunks are counted from position 0, so that they are the
/// same for all rows of a sequence.
const CHUNK_SIZE: usize = 128;
const BLOCKS_PER_CHUNK: usize = CHUNK_SIZE / KvCache::BLOCK_SIZE;

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
            match num_queries - first {
                8.. => first += self.run_queries::<V, 8>(v, first),
                4.. => first += self.run_queries::<V, 4>(v, first),
                3 => first += self.run_queries::<V, 3>(v, first),
                2 => first += self.run_queries::<V, 2>(v, first),
                _ => first += self.run_queries::<V, 1>(v, first),
            }
        }
    }
}

impl AttentionTile<'_> {
    /// Queries `first..first + N` of the tile, counted row by row.
    #[inline(always)]
    fn run_queries<V: Lanes, const N: usize>(&self, v: V, first: usize) -> usize {
        let input = self.input;
        let head_dim = input.heads.head_dim;
        let mut queries: [Query; N] = std::array::from_fn(|i| {
            let row = self.rows.start + (first + i) / self.heads.len();
            let head = self.heads.start + (first + i) % self.heads.len();
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
        let kv_head = self.heads.start / (input.heads.num_heads / self.cache.shape().num_kv_heads);
        let table = input.rows.block_tables[input.rows.rows[self.rows.start].sequence];
        for chunk_start in (start - start % CHUNK_SIZE..end).step_by(CHUNK_SIZE) {
            let first_block = chunk_start / KvCache::BLOCK_SIZE;
            let num_blocks = (end - chunk_start).min(CHUNK_SIZE).div_ceil(KvCache::BLOCK_SIZE);
            let num_unseen_blocks = start.saturating_sub(chunk_start) / KvCache::BLOCK_SIZE;
            let mut blocks = [(&[][..], &[][..]); BLOCKS_PER_CHUNK];
            for index in num_unseen_blocks..num_blocks {
                let block = table[first_block + index] as usize;
                let (keys, block_values) = self.cache.head(input.layer, block, kv_head);
                blocks[index] = (keys, block_values);
                // SAFETY: a block has `[head_dim][16]` keys, and a chunk has room for each block's scores.
                unsafe { score_block(v, keys, &scaled, index * NUM_LANES, &mut weights) };
            }
            let blocks = &blocks[..num_blocks];
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
                unsafe { add_values_of_one(v, blocks, &weights[i], before, (head_dim, &mut values[i])) };
            }
            // SAFETY: as above.
            unsafe { add_values::<V, N>(v, blocks, &weights, common.clone(), (head_dim, &mut values)) };
            for (i, query) in queries.iter().enumerate() {
                let after = common.end..query.visible_in(chunk_start).end;
                // SAFETY: as above.
                unsafe { add_values_of_one(v, blocks, &weights[i], after, (head_dim, &mut values[i])) };
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
}

/// `weights[i][offset + j] = Σ_d queries[i][d]·keys[d][j]`, in order of `d`.
///
/// # Safety
/// `keys` is `[head_dim][16]` with `head_dim ≤ MAX_HEAD_DIM`, and `offset + 16 ≤ CHUNK_SIZE`.
#[inline(always)]
unsafe fn score_block<V: Lanes, const N: usize>(
    v: V,
    keys: &[u16],
    queries: &[[f32; MAX_HEAD_DIM]; N],
    offset: usize,
    weights: &mut [[f32; CHUNK_SIZE]; N],
) {
    let v = v.columns();
    let head_dim = keys.len() / NUM_LANES;
    let mut first_lane = 0;
    while first_lane < NUM_LANES {
        let mut sums = [v.splat(0.0); N];
        for d in 0..head_dim {
            // SAFETY: dimension `d` has 16 keys.
            let keys = unsafe { v.load_f16(keys.as_ptr().add(d * NUM_LANES + first_lane)) };
            for i in 0..N {
                // SAFETY: `d < head_dim ≤ MAX_HEAD_DIM`.
                sums[i] = v.fma(v.splat(unsafe { *queries[i].get_unchecked(d) }), keys, sums[i]);
            }
        }
        for i in 0..N {
            // SAFETY: the block's 16 scores lie within the chunk.
            unsafe { v.store(weights[i].as_mut_ptr().add(offset + first_lane), sums[i]) };
        }
        first_lane += V::Columns::WIDTH;
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

/// [`add_values`] of one query.
///
/// # Safety
/// As there.
#[inline(always)]
unsafe fn add_values_of_one<V: Lanes>(
    v: V,
    blocks: &[(&[u16], &[u16])],
    weights: &[f32; CHUNK_SIZE],
    range: Range<usize>,
    (head_dim, values): (usize, &mut [f32; MAX_HEAD_DIM]),
) {
    let (weights, values) = (std::array::from_ref(weights), std::array::from_mut(values));
    // SAFETY: the caller's contract.
    unsafe { add_values::<V, 1>(v, blocks, weights, range, (head_dim, values)) }
}

/// `values[i][d] += Σ_j weights[i][j]·v[j][d]` over a range of the chunk's positions, in order of `j`.
///
/// # Safety
/// Each block's values are `[16][head_dim]`, and the blocks hold the range.
#[inline(always)]
unsafe fn add_values<V: Lanes, const N: usize>(
    v: V,
    blocks: &[(&[u16], &[u16])],
    weights: &[[f32; CHUNK_SIZE]; N],
    range: Range<usize>,
    (head_dim, values): (usize, &mut [[f32; MAX_HEAD_DIM]; N]),
) {
    if range.is_empty() {
        return;
    }
    let v = v.columns();
    for d in (0..head_dim).step_by(V::Columns::WIDTH) {
        let mut sums = [v.splat(0.0); N];
        for i in 0..N {
            // SAFETY: `d + WIDTH ≤ head_dim ≤ MAX_HEAD_DIM`.
            sums[i] = unsafe { v.load(values[i].as_ptr().add(d)) };
        }
        for j in range.clone() {
            // SAFETY: the blocks hold position `j`, and a value has `head_dim` elements.
            unsafe {
                let (_, block) = blocks.get_unchecked(j / NUM_LANES);
                let value = v.load_f16(block.as_ptr().add(j % NUM_LANES * head_dim + d));
                for i in 0..N {
                    sums[i] = v.fma(v.splat(*weights[i].get_unchecked(j)), value, sums[i]);
                }
            }
        }
        for i in 0..N {
            // SAFETY: as above.
            unsafe { v.store(values[i].as_mut_ptr().add(d), sums[i]) };
        }
    }
}
