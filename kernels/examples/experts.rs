//! A mixture of experts computed by groups, against a loop over the tokens in the same run.
//!
//! `cargo run --release -p kernels --example experts [THREADS]`

#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a report on the terminal")]

use std::time::{Duration, Instant};

use kernels::{
    Activation, Activations, Isa, MatrixSource, PackedMatrix, Pool, WeightType, gate_mul, matmul,
    matmul_groups,
};

const HIDDEN: usize = 2048;
const FFN: usize = 4096;
const NUM_EXPERTS: usize = 8;
const NUM_USED: usize = 2;
const NUM_ROUNDS: usize = 9;

fn main() {
    let num_threads = std::env::args().nth(1).map_or(2, |text| text.parse().unwrap());
    let pool = Pool::new(num_threads, Isa::detect()).unwrap();
    println!(
        "{} threads, {}: {NUM_USED} of {NUM_EXPERTS} experts, {HIDDEN} to {FFN}, medians of {NUM_ROUNDS} rounds",
        pool.num_threads(),
        pool.isa().name()
    );
    for weight_type in [WeightType::Q4K, WeightType::Q8_0] {
        let layer = Layer {
            gate_up: (0..NUM_EXPERTS).map(|_| pack(&pool, weight_type, 2 * FFN, HIDDEN)).collect(),
            down: (0..NUM_EXPERTS).map(|_| pack(&pool, weight_type, HIDDEN, FFN)).collect(),
        };
        println!(
            "\n| {weight_type:?} rows | by groups ms | token by token ms | times as fast |\n|---|---|---|---|"
        );
        for num_rows in [1, 4, 8, 16, 32, 64, 128] {
            compare(&pool, &layer, num_rows);
        }
    }
}

struct Layer {
    gate_up: Vec<PackedMatrix>,
    down: Vec<PackedMatrix>,
}

fn pack(pool: &Pool, weight_type: WeightType, num_rows: usize, num_cols: usize) -> PackedMatrix {
    let num_bytes = num_rows * weight_type.row_bytes(num_cols).unwrap();
    // Small scales whatever they are read as.
    let bytes: Vec<u8> = (0..num_bytes).map(|i| (i * 31 % 17) as u8).collect();
    PackedMatrix::pack(&[MatrixSource { weight_type, num_rows, num_cols, bytes: &bytes }], pool).unwrap()
}

fn compare(pool: &Pool, layer: &Layer, num_rows: usize) {
    let num_slots = num_rows * NUM_USED;
    let x: Vec<f32> = (0..num_slots * HIDDEN).map(|i| ((i * 7919) % 101) as f32 / 50.0 - 1.0).collect();
    // Token `t` has two different experts, pseudorandom; slots are in the order of experts.
    let mut experts: Vec<usize> = (0..num_rows)
        .flat_map(|row| {
            let first = ((row * 2_654_435_761) >> 7) % NUM_EXPERTS;
            [first, (first + 1 + ((row * 40_503) >> 3) % (NUM_EXPERTS - 1)) % NUM_EXPERTS]
        })
        .collect();
    let by_token = experts.clone();
    experts.sort_unstable();
    let ends: Vec<usize> =
        (0..NUM_EXPERTS).map(|expert| experts.partition_point(|other| *other <= expert)).collect();

    let mut scratch = Activations::new();
    let (mut gate_up, mut activated) = (vec![0.0; num_slots * 2 * FFN], vec![0.0; num_slots * FFN]);
    let mut out = vec![0.0; num_slots * HIDDEN];
    let (mut grouped, mut looped) = (Vec::new(), Vec::new());
    for _ in 0..NUM_ROUNDS {
        let start = Instant::now();
        matmul_groups(pool, &x, (&layer.gate_up, &ends), &mut gate_up, &mut scratch).unwrap();
        gate_mul(pool, Activation::Silu, &gate_up, FFN, &mut activated).unwrap();
        matmul_groups(pool, &activated, (&layer.down, &ends), &mut out, &mut scratch).unwrap();
        grouped.push(start.elapsed());

        let start = Instant::now();
        for (slot, expert) in by_token.iter().enumerate() {
            let x = &x[slot * HIDDEN..(slot + 1) * HIDDEN];
            let gate_up = &mut gate_up[..2 * FFN];
            matmul(pool, x, &layer.gate_up[*expert], gate_up, &mut scratch).unwrap();
            gate_mul(pool, Activation::Silu, gate_up, FFN, &mut activated[..FFN]).unwrap();
            let out = &mut out[slot * HIDDEN..(slot + 1) * HIDDEN];
            matmul(pool, &activated[..FFN], &layer.down[*expert], out, &mut scratch).unwrap();
        }
        looped.push(start.elapsed());
    }
    let (grouped, looped) = (median(grouped), median(looped));
    let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
    println!(
        "| {num_rows} | {:.2} | {:.2} | {:.2} |",
        milliseconds(grouped),
        milliseconds(looped),
        looped.as_secs_f64() / grouped.as_secs_f64()
    );
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
