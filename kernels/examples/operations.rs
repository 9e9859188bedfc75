//! How fast each operation but the whole matrix product is against the limits of this machine, for SmolLM2-135M's shapes.
//!
//! `cargo run --release -p kernels --example operations [threads]`
//!
//! Attention is set against the f32 peak, and with one row a sequence against the memory's read bandwidth, as is the largest product of a row by
//! the bytes of the high halves, beside all products by those of the matrix; what moves numbers
//! rather than computing them, against a copy of as many bytes by the same threads, in the same caches.

#[path = "limits/measured.rs"]
mod measured;

use std::hint::black_box;
use std::io::Write;
use std::time::Instant;

use kernels::{
    Activation, Activations, AttentionInput, AttentionRow, AttentionRows, CacheShape, FullAttentionInput,
    HeadRows, HighHalves, Isa, KernelError, KvCache, KvRows, LargestScratch, LayerNorm, LowRank, LowRankTerm,
    MatrixSource, PackedMatrix, Pool, ProductRows, RopeScaling, RopeStyle, RopeTable, WeightType, add,
    add_low_rank, full_attention, gate_mul, gelu, layer_norm, matmul, matmul_largest, paged_attention,
    rms_norm, rope,
};
use measured::Limits;

const HIDDEN: usize = 576;
const FFN: usize = 1536;
const NUM_HEADS: usize = 9;
const NUM_KV_HEADS: usize = 3;
const HEAD_DIM: usize = 64;
const NUM_LAYERS: usize = 30;
const RANK: usize = 16;
const QKV: usize = (NUM_HEADS + 2 * NUM_KV_HEADS) * HEAD_DIM;
const NUM_TRIALS: usize = 15;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// A measured operation.
struct Measured {
    name: String,
    seconds: f64,
    /// Operations or bytes of one call, the unit they are told in, and how many a second the machine allows.
    amount: f64,
    unit: &'static str,
    limit: f64,
}

fn main() -> Outcome<()> {
    let num_threads = std::env::args().nth(1).map_or(Ok(2), |threads| threads.parse())?;
    let pool = Pool::new(num_threads, Isa::detect())?;
    let limits = Limits::measure(&pool);
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "{}, {num_threads} threads: memory reads {:.1} GB/s, int8 peak {:.0} GOP/s, f32 peak {:.0} GFLOP/s\n\n| operation | µs | rate | of limit |\n|---|---|---|---|",
        pool.isa().name(),
        limits.read_bytes / 1e9,
        limits.int8_ops / 1e9,
        limits.f32_ops / 1e9
    )?;
    let mut all = Vec::new();
    for (num_sequences, rows, context) in
        [(1, 1, 256), (1, 1, 2048), (32, 1, 256), (1, 32, 1032), (1, 512, 512)]
    {
        all.push(attention(&pool, &limits, num_sequences, (rows, context))?);
    }
    all.push(attention_in_both_directions(&pool, &limits)?);
    all.extend(largest(&pool, &limits)?);
    for rows in [1, 32, 512] {
        all.push(low_rank(&pool, &limits, rows)?);
        all.extend(by_bytes(&pool, rows)?);
    }
    for Measured { name, seconds, amount, unit, limit } in all {
        let rate = amount / seconds;
        writeln!(
            out,
            "| {name} | {:.1} | {:.1} {unit} | {:.0} % |",
            seconds * 1e6,
            rate / 1e9,
            100.0 * rate / limit
        )?;
    }
    Ok(())
}

/// The last `num_rows` positions of each of some sequences of `context` positions, one layer after the other, so that keys
/// and values come from where they lie in a step.
fn attention(
    pool: &Pool,
    limits: &Limits,
    num_sequences: usize,
    (num_rows, context): (usize, usize),
) -> Outcome<Measured> {
    let blocks_each = context.div_ceil(KvCache::BLOCK_SIZE);
    let shape = CacheShape {
        num_layers: NUM_LAYERS,
        num_blocks: num_sequences * blocks_each,
        num_kv_heads: NUM_KV_HEADS,
        head_dim: HEAD_DIM,
    };
    let mut cache = KvCache::new(shape)?;
    let tables: Vec<Vec<u32>> = (0..num_sequences)
        .map(|sequence| (0..blocks_each).map(|block| (sequence * blocks_each + block) as u32).collect())
        .collect();
    let block_tables: Vec<&[u32]> = tables.iter().map(Vec::as_slice).collect();
    let rows_from = |first: usize| -> Vec<AttentionRow> {
        (0..num_sequences)
            .flat_map(|sequence| {
                (first..context).map(move |position| AttentionRow { sequence, position: position as u32 })
            })
            .collect()
    };
    let everything = rows_from(0);
    let kv = wave(everything.len() * QKV);
    for layer in 0..NUM_LAYERS {
        let first_key = NUM_HEADS * HEAD_DIM;
        let kv =
            KvRows { x: &kv, row_stride: QKV, first_key, first_value: first_key + NUM_KV_HEADS * HEAD_DIM };
        cache.store(pool, layer, AttentionRows { rows: &everything, block_tables: &block_tables }, kv)?;
    }
    let rows = rows_from(context - num_rows);
    let q = wave(rows.len() * QKV);
    let mut y = vec![0.0; rows.len() * NUM_HEADS * HEAD_DIM];
    let heads = HeadRows { row_stride: QKV, first: 0, num_heads: NUM_HEADS, head_dim: HEAD_DIM };
    let mut layer = 0;
    let seconds = fewest_seconds(|| {
        for _ in 0..NUM_LAYERS {
            let input = AttentionInput {
                q: &q,
                heads,
                rows: AttentionRows { rows: &rows, block_tables: &block_tables },
                layer,
                scale: 0.125,
                window: None,
            };
            paged_attention(pool, &input, &cache, &mut y)?;
            layer = (layer + 1) % NUM_LAYERS;
        }
        Ok(())
    })? / NUM_LAYERS as f64;
    let num_pairs: usize = rows.iter().map(|row| row.position as usize + 1).sum();
    let name = format!("attention, {num_sequences} × {num_rows} rows, context {context}");
    Ok(if num_rows == 1 {
        let amount = (num_pairs * NUM_KV_HEADS * HEAD_DIM * 2 * size_of::<u16>()) as f64;
        Measured { name, seconds, amount, unit: "GB/s", limit: limits.read_bytes }
    } else {
        let amount = (num_pairs * NUM_HEADS * HEAD_DIM * 4) as f64;
        Measured { name, seconds, amount, unit: "GFLOP/s", limit: limits.f32_ops }
    })
}

/// As an encoder of 12 heads of 32 does, 32 texts of 64 tokens.
fn attention_in_both_directions(pool: &Pool, limits: &Limits) -> Outcome<Measured> {
    const TEXTS: usize = 32;
    const TOKENS: usize = 64;
    const HEADS: usize = 12;
    const DIM: usize = 32;
    let qkv = wave(TEXTS * TOKENS * 3 * HEADS * DIM);
    let starts: Vec<usize> = (0..=TEXTS).map(|text| text * TOKENS).collect();
    let mut y = vec![0.0; TEXTS * TOKENS * HEADS * DIM];
    let input = FullAttentionInput { qkv: &qkv, num_heads: HEADS, head_dim: DIM, starts: &starts };
    let seconds = fewest_seconds(|| full_attention(pool, &input, &mut y))?;
    let amount = (TEXTS * TOKENS * TOKENS * HEADS * DIM * 4) as f64;
    let name = format!("attention both ways, {TEXTS} × {TOKENS} rows");
    Ok(Measured { name, seconds, amount, unit: "GFLOP/s", limit: limits.f32_ops })
}

/// All products of a row with an output matrix of bytes, and the largest of them. Several matrices take turns, or one would stay in the cache.
fn largest(pool: &Pool, limits: &Limits) -> Outcome<[Measured; 3]> {
    const VOCABULARY: usize = 49_152;
    const NUM_MATRICES: usize = 4;
    // SplitMix64 (Steele, Lea and Flood 2014): rows that resemble each other would have products close together.
    let random_byte = |i: usize| {
        let z = (i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z >> 56) as u8
    };
    let mut bytes: Vec<u8> = (0..VOCABULARY * HIDDEN / 32 * 34).map(random_byte).collect();
    bytes.chunks_exact_mut(34).for_each(|block| block[..2].copy_from_slice(&[0, 0x18]));
    let source =
        MatrixSource { weight_type: WeightType::Q8_0, num_rows: VOCABULARY, num_cols: HIDDEN, bytes: &bytes };
    let mut matrices = Vec::new();
    for _ in 0..NUM_MATRICES {
        let w = PackedMatrix::pack(&[source], pool)?;
        let high = HighHalves::of(&w, pool)?.ok_or("the scales are positive")?;
        matrices.push((w, high));
    }
    // Along a row of the matrix one product stands out; otherwise the largest ones lie close together.
    let row = &bytes[VOCABULARY / 2 * (HIDDEN / 32 * 34)..][..HIDDEN / 32 * 34];
    let along: Vec<f32> = row
        .chunks_exact(34)
        .flat_map(|block| block[2..].iter().map(|quant| f32::from(*quant as i8)))
        .collect();
    let (x, mut out) = (wave(HIDDEN), vec![0.0; VOCABULARY]);
    let (mut quantized, mut scratch) = (Activations::new(), LargestScratch::default());
    let mut turns = matrices.iter().cycle();
    let all = fewest_seconds(|| match turns.next() {
        Some((w, _)) => matmul(pool, &x, w, &mut out, &mut quantized),
        None => Ok(()),
    })?;
    let mut largest = |x: &[f32]| {
        fewest_seconds(|| match turns.next() {
            Some((w, high)) => matmul_largest(pool, x, (w, high), &mut out, &mut scratch).map(|_| ()),
            None => Ok(()),
        })
    };
    let (one, none) = (largest(&along)?, largest(&x)?);
    let measured = |name: &str, seconds: f64, num_bytes: usize| Measured {
        name: format!("{name} of {VOCABULARY} products, 1 row"),
        seconds,
        amount: num_bytes as f64,
        unit: "GB/s",
        limit: limits.read_bytes,
    };
    let (w, high) = &matrices[0];
    Ok([
        measured("all", all, w.num_bytes()),
        measured("largest, which stands out,", one, high.num_bytes()),
        measured("largest, where none stands out,", none, high.num_bytes()),
    ])
}

/// The correction of a query projection; its factors are bf16.
fn low_rank(pool: &Pool, limits: &Limits, num_rows: usize) -> Outcome<Measured> {
    let bytes: Vec<u8> = (0..RANK * HIDDEN).flat_map(|i| [(i % 7) as u8, 0x3c]).collect();
    let factor = |num_rows, num_cols| MatrixSource {
        weight_type: WeightType::BF16,
        num_rows,
        num_cols,
        bytes: &bytes,
    };
    let update = LowRank::new(&factor(RANK, HIDDEN), &factor(HIDDEN, RANK), 0.5)?;
    let x = wave(num_rows * HIDDEN);
    let rows: Vec<u32> = (0..num_rows as u32).collect();
    let mut y = vec![0.0; num_rows * HIDDEN];
    let terms = [LowRankTerm { update: &update, rows: &rows, first_col: 0 }];
    let mut scratch = Vec::new();
    let seconds = fewest_seconds(|| {
        let product = ProductRows { x: &x, out: &mut y, row_stride: HIDDEN, first_row: 0 };
        add_low_rank(pool, &terms, product, &mut scratch)
    })?;
    let amount = (num_rows * 4 * RANK * HIDDEN) as f64;
    let name = format!("low-rank correction, {num_rows} rows");
    Ok(Measured { name, seconds, amount, unit: "GFLOP/s", limit: limits.f32_ops })
}

/// What moves numbers: bytes read and written, against a copy of the same number of bytes.
fn by_bytes(pool: &Pool, num_rows: usize) -> Outcome<Vec<Measured>> {
    let measured = |name: &str, num_bytes: usize, seconds: f64| {
        let amount = num_bytes as f64;
        let limit = amount / copy_seconds(pool, num_bytes / 2);
        Measured { name: format!("{name}, {num_rows} rows"), seconds, amount, unit: "GB/s", limit }
    };
    let weight = wave(FFN);
    let x = wave(num_rows * 2 * FFN);
    let mut y = wave(num_rows * 2 * FFN);
    let hidden = num_rows * HIDDEN;
    let table = RopeTable::new(HEAD_DIM, 1e4, &RopeScaling::None, RopeStyle::Halves, 2048)?;
    let heads = HeadRows { num_heads: NUM_HEADS + NUM_KV_HEADS, ..HeadRows::dense(NUM_HEADS, HEAD_DIM) };
    let heads = HeadRows { row_stride: QKV, ..heads };
    let positions: Vec<u32> = (0..num_rows as u32).collect();
    let norm = LayerNorm { weight: &weight[..HIDDEN], bias: &x[..HIDDEN], eps: 1e-5 };

    let rms = fewest_seconds(|| rms_norm(pool, &x[..hidden], &weight[..HIDDEN], 1e-5, &mut y[..hidden]))?;
    let layer = fewest_seconds(|| layer_norm(pool, norm, &mut y[..hidden]))?;
    let residual = fewest_seconds(|| add(pool, &x[..hidden], &mut y[..hidden]))?;
    let gated = fewest_seconds(|| gate_mul(pool, Activation::Silu, &x, FFN, &mut y[..num_rows * FFN]))?;
    // In place and over again: what is small would vanish.
    let mut large: Vec<f32> = x.iter().map(|x| x + 10.0).collect();
    let bent = fewest_seconds(|| {
        gelu(pool, &mut large[..num_rows * FFN]);
        Ok(())
    })?;
    let turned = fewest_seconds(|| rope(pool, &mut large[..num_rows * QKV], heads, &positions, &table))?;
    Ok(vec![
        measured("RMS norm", 8 * hidden, rms),
        measured("layer norm", 8 * hidden, layer),
        measured("residual", 12 * hidden, residual),
        measured("SiLU gate", 12 * num_rows * FFN, gated),
        measured("GELU", 8 * num_rows * FFN, bent),
        measured("rotary positions", 8 * num_rows * (NUM_HEADS + NUM_KV_HEADS) * HEAD_DIM, turned),
    ])
}

/// How long all threads together take to copy so many bytes.
fn copy_seconds(pool: &Pool, num_bytes: usize) -> f64 {
    let parts: Vec<std::sync::Mutex<(Vec<u8>, Vec<u8>)>> = (0..pool.num_threads())
        .map(|_| (vec![1; num_bytes / pool.num_threads()], vec![2; num_bytes / pool.num_threads()]).into())
        .collect();
    // A row is copied faster than two threads meet.
    if num_bytes < 65_536 {
        let (from, mut to) = (vec![1_u8; num_bytes], vec![2_u8; num_bytes]);
        return fewest(|| black_box(&mut to).copy_from_slice(black_box(&from)));
    }
    fewest(|| {
        pool.run(&|thread| {
            if let Ok(mut part) = parts[thread.index].lock() {
                let (from, to) = &mut *part;
                black_box(to).copy_from_slice(black_box(from));
            }
        });
    })
}

fn fewest_seconds(mut f: impl FnMut() -> Result<(), KernelError>) -> Result<f64, KernelError> {
    let mut outcome = Ok(());
    let seconds = fewest(|| {
        if outcome.is_ok() {
            outcome = f();
        }
    });
    outcome.map(|()| seconds)
}

/// Of several trials of many calls each, the one that was disturbed least; seconds a call.
fn fewest(mut f: impl FnMut()) -> f64 {
    let start = Instant::now();
    f();
    let calls = (2e-3 / start.elapsed().as_secs_f64().max(1e-9)).clamp(1.0, 10_000.0) as usize;
    let trials = (0..NUM_TRIALS).map(|_| {
        let start = Instant::now();
        (0..calls).for_each(|_| f());
        start.elapsed().as_secs_f64() / calls as f64
    });
    trials.fold(f64::INFINITY, f64::min)
}

fn wave(len: usize) -> Vec<f32> {
    (0..len).map(|i| (i as f32 * 0.37).sin()).collect()
}
