//! The products of queries with the keys and values of a chunk of positions, where attention spends its time.

use std::ops::Range;

use crate::KvCache;
use crate::kv_cache::MAX_HEAD_DIM;
use crate::lanes::{self, Lanes, NUM_LANES};

/// Positions between two corrections of the running maximum. Chunks are counted from position 0, so that they are the
/// same for all rows of a sequence.
pub(super) const CHUNK_SIZE: usize = 128;
pub(super) const BLOCKS_PER_CHUNK: usize = CHUNK_SIZE / KvCache::BLOCK_SIZE;
/// Elements of the cache in a cache line.
const LINE_ELEMENTS: usize = 32;

/// The blocks of a chunk: keys `[head_dim][16]`, values `[16][head_dim]`, and the keys of the next chunk's blocks.
#[derive(Clone, Copy)]
pub(super) struct Chunk {
    pub(super) keys: [*const u16; BLOCKS_PER_CHUNK],
    pub(super) values: [*const u16; BLOCKS_PER_CHUNK],
    pub(super) next: [*const u16; BLOCKS_PER_CHUNK],
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
pub(super) unsafe fn score_chunk<V: Lanes, const N: usize>(
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
            if at.is_multiple_of(LINE_ELEMENTS) {
                for b in 0..B {
                    lanes::prefetch(chunk.values[first + b].wrapping_add(at));
                }
            }
        }
        for (weights, sums) in weights.iter_mut().zip(&sums) {
            for (b, sum) in sums.iter().enumerate() {
                // SAFETY: the scores of the blocks lie within the chunk.
                unsafe { v.store(weights.as_mut_ptr().add((first + b) * NUM_LANES + first_lane), *sum) };
            }
        }
        first_lane += V::WIDTH;
    }
    B
}

/// [`add_values`] of one query.
///
/// # Safety
/// As there.
#[inline(always)]
pub(super) unsafe fn add_values_of_one<V: Lanes>(
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
pub(super) unsafe fn add_values<V: Lanes, const N: usize>(
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
    for (values, sums) in values.iter_mut().zip(&sums) {
        for (w, sum) in sums.iter().enumerate() {
            // SAFETY: as above.
            unsafe { v.store(values.as_mut_ptr().add(d + w * V::WIDTH), *sum) };
        }
    }
    W * V::WIDTH
}
