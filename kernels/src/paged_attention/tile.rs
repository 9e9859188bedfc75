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
/// Elements of the cache in a cache line.
const LINE_ELEMENTS: usize = 32;

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
                7.. => self.run_queries::<V, 8>(v, first),
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

/// The blocks of a chunk: keys `[head_dim][16]`, values `[16][head_dim]`, and the keys of the next chunk's blocks.
#[derive(Clone, Copy)]
struct Chunk {
    keys: [*const u16; BLOCKS_PER_CHUNK],
    values: [*const u16; BLOCKS_PER_CHUNK],
    next: [*const u16; BLOCKS_PER_CHUNK],
}

impl Default for Chunk {
    fn default() -> Self {
        let nowhere = [std::ptr::null(); BLOCKS_PER_CHUNK];
        Self { keys: nowhere, values: nowhere, next: nowhere }
    }
}

/// The scores of the seen blocks, some blocks at a time so that there are enough independent sums.
///
/// # Safety
/// The seen blocks exist, of `head_dim ≤ MAX_HEAD_DIM`.
#[inline(always)]
unsafe fn score_chunk<V: Lanes, const N: usize>(
    v: V,
    chunk: &Chunk,
    seen: Range<usize>,
    queries: (usize, &[[f32; MAX_HEAD_DIM]; N]),
    weights: &mut [[f32; CHUNK_SIZE]; N],
) {
    let v = v.columns();
    let mut index = seen.start;
    while index < seen.end {
        // SAFETY: so many blocks are left.
        unsafe {
            match (V::Columns::NUM_SUMS / N).min(seen.end - index) {
                8.. => index += score_blocks::<V::Columns, N, 8>(v, chunk, index, queries, weights),
                4.. => index += score_blocks::<V::Columns, N, 4>(v, chunk, index, queries, weights),
                2.. => index += score_blocks::<V::Columns, N, 2>(v, chunk, index, queries, weights),
                _ => index += score_blocks::<V::Columns, N, 1>(v, chunk, index, queries, weights),
            }
        }
    }
}

/// `weights[i][16·b + j] = Σ_d queries[i][d]·keys[b][d][j]`, in order of `d`, for `B` blocks from `first`. Returns `B`.
///
/// # Safety
/// The blocks exist, of `head_dim ≤ MAX_HEAD_DIM`.
#[inline(always)]
unsafe fn score_blocks<V: Lanes, const N: usize, const B: usize>(
    v: V,
    chunk: &Chunk,
    first: usize,
    (head_dim, queries): (usize, &[[f32; MAX_HEAD_DIM]; N]),
    weights: &mut [[f32; CHUNK_SIZE]; N],
) -> usize {
    let mut first_lane = 0;
    while first_lane < NUM_LANES {
        let mut sums = [[v.splat(0.0); B]; N];
        for d in 0..head_dim {
            let at = d * NUM_LANES + first_lane;
            // SAFETY: dimension `d` has 16 keys in each block.
            let keys: [V::F; B] =
                std::array::from_fn(|b| unsafe { v.load_f16(chunk.keys[first + b].wrapping_add(at)) });
            for i in 0..N {
                // SAFETY: `d < head_dim ≤ MAX_HEAD_DIM`.
                let query = v.splat(unsafe { *queries[i].get_unchecked(d) });
                for b in 0..B {
                    sums[i][b] = v.fma(query, keys[b], sums[i][b]);
                }
            }
            // The values of these blocks come next.
            if at % LINE_ELEMENTS == 0 {
                for b in 0..B {
                    lanes::prefetch(chunk.values[first + b].wrapping_add(at));
                }
            }
        }
        for i in 0..N {
            for b in 0..B {
                // SAFETY: the scores of the blocks lie within the chunk.
                unsafe {
                    v.store(weights[i].as_mut_ptr().add((first + b) * NUM_LANES + first_lane), sums[i][b])
                };
            }
        }
        first_lane += V::WIDTH;
    }
    B
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
    chunk: &Chunk,
    weights: &[f32; CHUNK_SIZE],
    range: Range<usize>,
    (head_dim, values): (usize, &mut [f32; MAX_HEAD_DIM]),
) {
    let (weights, values) = (std::array::from_ref(weights), std::array::from_mut(values));
    // SAFETY: the caller's contract.
    unsafe { add_values::<V, 1>(v, chunk, weights, range, (head_dim, values)) }
}

/// `values[i][d] += Σ_j weights[i][j]·v[j][d]` over a range of the chunk's positions, in order of `j`, some dimensions at a
/// time so that there are enough independent sums.
///
/// # Safety
/// The blocks that hold the range exist, of `head_dim ≤ MAX_HEAD_DIM`.
#[inline(always)]
unsafe fn add_values<V: Lanes, const N: usize>(
    v: V,
    chunk: &Chunk,
    weights: &[[f32; CHUNK_SIZE]; N],
    range: Range<usize>,
    (head_dim, values): (usize, &mut [[f32; MAX_HEAD_DIM]; N]),
) {
    if range.is_empty() {
        return;
    }
    let v = v.columns();
    let mut d = 0;
    while d < head_dim {
        let vectors_left = (head_dim - d) / V::Columns::WIDTH;
        let at = (head_dim, d);
        // SAFETY: so many vectors are left.
        unsafe {
            d += match (V::Columns::NUM_SUMS / N).min(vectors_left) {
                8.. => add_vectors::<V::Columns, N, 8>(v, chunk, weights, &range, (at, values)),
                4.. => add_vectors::<V::Columns, N, 4>(v, chunk, weights, &range, (at, values)),
                2.. => add_vectors::<V::Columns, N, 2>(v, chunk, weights, &range, (at, values)),
                _ => add_vectors::<V::Columns, N, 1>(v, chunk, weights, &range, (at, values)),
            }
        }
    }
}

/// [`add_values`] of `W` vectors of dimensions from `d`. Returns how many dimensions they are.
///
/// # Safety
/// As there, and the vectors end at `head_dim`.
#[inline(always)]
unsafe fn add_vectors<V: Lanes, const N: usize, const W: usize>(
    v: V,
    chunk: &Chunk,
    weights: &[[f32; CHUNK_SIZE]; N],
    range: &Range<usize>,
    ((head_dim, d), values): ((usize, usize), &mut [[f32; MAX_HEAD_DIM]; N]),
) -> usize {
    // SAFETY (all below): the vectors end at `head_dim ≤ MAX_HEAD_DIM`, and the blocks hold the range.
    let mut sums: [[V::F; W]; N] = std::array::from_fn(|i| {
        std::array::from_fn(|w| unsafe { v.load(values[i].as_ptr().add(d + w * V::WIDTH)) })
    });
    let mut j = range.start;
    while j < range.end {
        let (block, next) = (chunk.values[j / NUM_LANES], chunk.next[j / NUM_LANES]);
        let end = range.end.min(j - j % NUM_LANES + NUM_LANES);
        while j < end {
            let at = j % NUM_LANES * head_dim + d;
            let value: [V::F; W] =
                std::array::from_fn(|w| unsafe { v.load_f16(block.wrapping_add(at + w * V::WIDTH)) });
            for i in 0..N {
                let weight = v.splat(unsafe { *weights[i].get_unchecked(j) });
                for w in 0..W {
                    sums[i][w] = v.fma(weight, value[w], sums[i][w]);
                }
            }
            for line in 0..(W * V::WIDTH).div_ceil(LINE_ELEMENTS) {
                lanes::prefetch(next.wrapping_add(at + line * LINE_ELEMENTS));
            }
            j += 1;
        }
    }
    for i in 0..N {
        for w in 0..W {
            // SAFETY: as above.
            unsafe { v.store(values[i].as_mut_ptr().add(d + w * V::WIDTH), sums[i][w]) };
        }
    }
    W * V::WIDTH
}
