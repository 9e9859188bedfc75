use half::f16;
use kernels::{
    AttentionInput, AttentionRow, AttentionRows, CacheShape, HeadRows, KernelError, KvCache, KvRows, Pool,
    paged_attention, reference,
};
use proptest::prelude::*;

use crate::numbers::{Numbers, assert_close, assert_same, pools};

/// Sequences with all their keys and values, and blocks for them in a shuffled order.
struct Case {
    shape: CacheShape,
    num_heads: usize,
    window: Option<usize>,
    keys: Vec<Vec<f32>>,
    values: Vec<Vec<f32>>,
    block_tables: Vec<Vec<u32>>,
    numbers: Numbers,
}

impl Case {
    fn new(num_kv_heads: usize, group_size: usize, head_dim: usize, lens: &[usize], seed: u64) -> Self {
        let mut numbers = Numbers::new(seed);
        let blocks_of = |len: usize| len.div_ceil(KvCache::BLOCK_SIZE);
        let num_blocks = lens.iter().map(|&len| blocks_of(len)).sum::<usize>() + 2;
        let mut free: Vec<u32> = (0..num_blocks as u32).collect();
        for i in (1..free.len()).rev() {
            let other = numbers.below(i + 1);
            free.swap(i, other);
        }
        let row_size = num_kv_heads * head_dim;
        let mut rounded = |len: usize| -> Vec<f32> {
            numbers.floats(len * row_size).into_iter().map(|x| f16::from_f32(x).to_f32()).collect()
        };
        let keys = lens.iter().map(|&len| rounded(len)).collect();
        let values = lens.iter().map(|&len| rounded(len)).collect();
        let block_tables = lens.iter().map(|&len| free.split_off(free.len() - blocks_of(len))).collect();
        let shape = CacheShape { num_layers: 2, num_blocks, num_kv_heads, head_dim };
        Self {
            shape,
            num_heads: num_kv_heads * group_size,
            window: None,
            keys,
            values,
            block_tables,
            numbers,
        }
    }

    fn filled_cache(&self, pool: &Pool) -> KvCache {
        let mut cache = KvCache::new(self.shape).unwrap();
        let row_size = self.shape.num_kv_heads * self.shape.head_dim;
        let tables: Vec<&[u32]> = self.block_tables.iter().map(Vec::as_slice).collect();
        for sequence in 0..self.keys.len() {
            let rows: Vec<AttentionRow> = (0..self.keys[sequence].len() / row_size)
                .map(|position| AttentionRow { sequence, position: position as u32 })
                .collect();
            // Key, a hole, value: as in a fused product.
            let mut x = Vec::new();
            for (key, value) in
                self.keys[sequence].chunks_exact(row_size).zip(self.values[sequence].chunks_exact(row_size))
            {
                x.extend_from_slice(key);
                x.push(f32::NAN);
                x.extend_from_slice(value);
            }
            let kv = KvRows { x: &x, row_stride: 2 * row_size + 1, first_key: 0, first_value: row_size + 1 };
            let rows = AttentionRows { rows: &rows, block_tables: &tables };
            cache.store(pool, 1, rows, kv).unwrap();
        }
        cache
    }

    fn queries(&mut self, num_rows: usize) -> Vec<f32> {
        self.numbers.floats(num_rows * self.num_heads * self.shape.head_dim)
    }

    fn heads(&self) -> HeadRows {
        HeadRows::dense(self.num_heads, self.shape.head_dim)
    }

    fn attend(&self, pool: &Pool, cache: &KvCache, rows: &[AttentionRow], q: &[f32]) -> Vec<f32> {
        let tables: Vec<&[u32]> = self.block_tables.iter().map(Vec::as_slice).collect();
        let rows = AttentionRows { rows, block_tables: &tables };
        let scale = 2.0 / (self.shape.head_dim as f32).sqrt();
        let mut out = vec![f32::NAN; q.len()];
        let input = AttentionInput { q, heads: self.heads(), rows, layer: 1, scale, window: self.window };
        paged_attention(pool, &input, cache, &mut out).unwrap();
        out
    }

    fn expected(&self, rows: &[AttentionRow], q: &[f32]) -> Vec<f32> {
        let rows = AttentionRows { rows, block_tables: &[] };
        let scale = 2.0 / (self.shape.head_dim as f32).sqrt();
        let input = AttentionInput { q, heads: self.heads(), rows, layer: 1, scale, window: self.window };
        reference::attention(&input, &self.keys, &self.values, self.shape.num_kv_heads)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn mixed_rows_are_near_the_reference_and_the_same_everywhere(
        num_kv_heads in 1usize..4,
        group_size in 1usize..8,
        head_chunks in 1usize..6,
        lens in prop::collection::vec(1usize..300, 1..4),
        window in prop::option::of(1usize..200),
        seed in any::<u64>(),
    ) {
        let mut case = Case::new(num_kv_heads, group_size, 16 * head_chunks, &lens, seed);
        case.window = window;
        // A stretch of each sequence (prefill), or its last token (decode).
        let mut rows = Vec::new();
        for (sequence, &len) in lens.iter().enumerate() {
            let num_rows = if case.numbers.below(2) == 0 { 1 } else { 1 + case.numbers.below(len.min(20)) };
            rows.extend((len - num_rows..len).map(|position| AttentionRow { sequence, position: position as u32 }));
        }
        let q = case.queries(rows.len());
        let expected = case.expected(&rows, &q);
        let row_size = case.num_heads * case.shape.head_dim;
        let mut first = None;
        for pool in pools() {
            let cache = case.filled_cache(&pool);
            let out = case.attend(&pool, &cache, &rows, &q);
            assert_close(&out, &expected, 1e-5);
            assert_same(&out, first.get_or_insert(out.clone()), "attention");
            for (i, row) in rows.iter().enumerate() {
                let range = i * row_size..(i + 1) * row_size;
                let alone = case.attend(&pool, &cache, &[*row], &q[range.clone()]);
                assert_same(&alone, &out[range], "alone");
            }
        }
    }
}

#[test]
fn chunks_of_a_prefill_give_the_rows_of_the_whole() {
    let len = 270;
    let mut case = Case::new(3, 3, 64, &[len], 7);
    let rows: Vec<AttentionRow> =
        (0..len).map(|position| AttentionRow { sequence: 0, position: position as u32 }).collect();
    let q = case.queries(len);
    let row_size = case.num_heads * case.shape.head_dim;
    for pool in pools() {
        let cache = case.filled_cache(&pool);
        let whole = case.attend(&pool, &cache, &rows, &q);
        assert_close(&whole, &case.expected(&rows, &q), 1e-5);
        for chunk in [1, 5, 16, 100] {
            let mut parts = Vec::new();
            for (rows, q) in rows.chunks(chunk).zip(q.chunks(chunk * row_size)) {
                parts.extend(case.attend(&pool, &cache, rows, q));
            }
            assert_same(&parts, &whole, "chunks");
        }
    }
}

#[test]
fn later_tokens_cannot_spoil_a_row() {
    let mut case = Case::new(1, 2, 32, &[20], 8);
    let q = case.queries(2);
    let rows = [AttentionRow { sequence: 0, position: 9 }, AttentionRow { sequence: 0, position: 10 }];
    let pool = &pools()[0];
    let clean = case.attend(pool, &case.filled_cache(pool), &rows, &q);
    case.keys[0][10 * 32] = f32::NAN;
    case.values[0][10 * 32..].fill(f32::INFINITY);
    for pool in pools() {
        let out = case.attend(&pool, &case.filled_cache(&pool), &rows, &q);
        assert_same(&out[..64], &clean[..64], "position 9");
        assert!(out[64..].iter().all(|value| value.is_nan()));
    }
}

#[test]
fn tokens_before_the_window_cannot_spoil_a_row() {
    for window in [1, 20, 130, 299] {
        let num_spoilt = 300 - window;
        let mut case = Case::new(1, 2, 32, &[300], 9);
        case.window = Some(window);
        let q = case.queries(2);
        let rows = [298, 299].map(|position| AttentionRow { sequence: 0, position });
        let pool = &pools()[0];
        let clean = case.attend(pool, &case.filled_cache(pool), &rows, &q);
        assert_close(&clean, &case.expected(&rows, &q), 1e-5);
        case.keys[0][..num_spoilt * 32].fill(f32::NAN);
        case.values[0][..num_spoilt * 32].fill(f32::NEG_INFINITY);
        for pool in pools() {
            let out = case.attend(&pool, &case.filled_cache(&pool), &rows, &q);
            assert_same(&out[64..], &clean[64..], "position 299");
            assert!(out[..64].iter().all(|value| value.is_nan()), "window {window}");
        }
    }
}

#[test]
fn a_copied_block_stands_for_the_one_it_was_copied_from() {
    let pool = &pools()[0];
    let mut case = Case::new(2, 3, 32, &[40], 7);
    let rows: Vec<AttentionRow> = (36..40).map(|position| AttentionRow { sequence: 0, position }).collect();
    let q = case.queries(rows.len());
    let mut cache = case.filled_cache(pool);
    let expected = case.attend(pool, &cache, &rows, &q);
    let unused: Vec<u32> =
        (0..case.shape.num_blocks as u32).filter(|block| !case.block_tables[0].contains(block)).collect();
    for (index, to) in unused.into_iter().enumerate() {
        let from = std::mem::replace(&mut case.block_tables[0][index], to);
        assert_ne!(case.attend(pool, &cache, &rows, &q), expected);
        cache.copy_block(from as usize, to as usize).unwrap();
        assert_same(&case.attend(pool, &cache, &rows, &q), &expected, "a copy");
    }
    let len = case.shape.num_blocks;
    for (from, to) in [(0, len), (len, 0)] {
        let refused = KernelError::OutOfRange { op: "kv_copy", index_of: "block", index: len, len };
        assert_eq!(cache.copy_block(from, to), Err(refused));
    }
}

#[test]
fn what_does_not_exist_is_refused() {
    let pool = &pools()[0];
    let mut cache =
        KvCache::new(CacheShape { num_layers: 1, num_blocks: 4, num_kv_heads: 2, head_dim: 16 }).unwrap();
    let (x, table) = ([0.0; 64], [3u32, 4]);
    let mut store = |layer, sequence, position| {
        let rows = [AttentionRow { sequence, position }];
        let rows = AttentionRows { rows: &rows, block_tables: &[&table] };
        cache.store(pool, layer, rows, KvRows { x: &x, row_stride: 64, first_key: 0, first_value: 32 })
    };
    assert_eq!(store(0, 0, 15), Ok(()));
    for (layer, sequence, position, expected) in
        [(1, 0, 0, "layer 1"), (0, 1, 0, "sequence 1"), (0, 0, 32, "position 32"), (0, 0, 16, "block 4")]
    {
        let error = store(layer, sequence, position).unwrap_err();
        assert!(matches!(error, KernelError::OutOfRange { .. }));
        assert!(error.to_string().contains(expected), "{error}");
    }
    let rows = [AttentionRow { sequence: 0, position: 0 }];
    let rows = AttentionRows { rows: &rows, block_tables: &[&table] };
    for (num_heads, head_dim) in [(3, 16), (2, 32)] {
        let heads = HeadRows::dense(num_heads, head_dim);
        let q = vec![0.0; heads.row_stride];
        let input = AttentionInput { q: &q, heads, rows, layer: 0, scale: 1.0, window: None };
        let error = paged_attention(pool, &input, &cache, &mut vec![0.0; q.len()]).unwrap_err();
        assert!(matches!(error, KernelError::ShapeMismatch { operand: "heads", .. }));
    }
    let (heads, q) = (HeadRows::dense(2, 16), [0.0; 32]);
    let input = AttentionInput { q: &q, heads, rows, layer: 0, scale: 1.0, window: Some(0) };
    let error = paged_attention(pool, &input, &cache, &mut [0.0; 32]).unwrap_err();
    assert_eq!(error.to_string(), "paged_attention: window is 0, at least 1 is needed");
    let shape = CacheShape { num_layers: 1, num_blocks: 1, num_kv_heads: 1, head_dim: 40 };
    assert!(matches!(KvCache::new(shape), Err(KernelError::BadParameter { .. })));
    let shape = CacheShape { num_layers: usize::MAX / 64, num_blocks: 1, num_kv_heads: 1, head_dim: 16 };
    assert!(matches!(KvCache::new(shape), Err(KernelError::OutOfMemory { .. })));
}
