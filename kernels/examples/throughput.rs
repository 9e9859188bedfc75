//! How fast the matrix product is against the limits of this machine, for SmolLM2-135M's shapes.
//!
//! `cargo run --release -p kernels --example throughput [threads] [type, rows or instruction set …]`
//!
//! Prints, for each weight type and number of rows, the rows per second through all products of the model, and the rate as a share of
//! the limit: bytes per second against the memory's read bandwidth for one row, operations per second against the peak of the
//! int8 (or f32) multiply for more.

use std::io::Write;
use std::time::Instant;

#[path = "limits/measured.rs"]
mod measured;

use kernels::{Activations, Isa, KernelError, MatrixSource, PackedMatrix, Pool, WeightType, matmul};
use measured::Limits;

/// Outputs and inputs of a layer's products.
const LAYER: [[usize; 2]; 4] = [[960, 576], [576, 576], [3072, 576], [576, 1536]];
const NUM_LAYERS: usize = 30;
const HEAD: [usize; 2] = [49_152, 576];
const NUM_TRIALS: usize = 7;
const NUM_ROWS: [usize; 7] = [1, 4, 8, 16, 32, 128, 512];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let num_threads = arguments.next().map_or(Ok(2), |threads| threads.parse())?;
    let names: Vec<String> = arguments.collect();
    let is_wanted = |name: &str, all: &[String]| {
        names.iter().any(|wanted| wanted == name) || !names.iter().any(|wanted| all.contains(wanted))
    };
    let all_isas: Vec<String> = Isa::available().iter().map(|isa| isa.name().to_owned()).collect();
    let all_types: Vec<String> =
        WeightType::ALL.iter().map(|weight_type| format!("{weight_type:?}")).collect();
    let all_rows: Vec<String> = NUM_ROWS.iter().map(usize::to_string).collect();
    let rows: Vec<usize> =
        NUM_ROWS.into_iter().filter(|num_rows| is_wanted(&num_rows.to_string(), &all_rows)).collect();
    let mut out = std::io::stdout().lock();
    for isa in Isa::available()
        .into_iter()
        .rev()
        .filter(|isa| *isa != Isa::Portable && is_wanted(isa.name(), &all_isas))
    {
        let pool = Pool::new(num_threads, isa)?;
        let limits = Limits::measure(&pool);
        writeln!(
            out,
            "{}, {num_threads} threads: memory reads {:.1} GB/s, int8 peak {:.0} GOP/s, f32 peak {:.0} GFLOP/s",
            isa.name(),
            limits.read_bytes / 1e9,
            limits.int8_ops / 1e9,
            limits.f32_ops / 1e9
        )?;
        writeln!(out, "type      MB     rows   rows/s     GB/s  of limit    GOP/s  of limit")?;
        for weight_type in WeightType::ALL {
            if is_wanted(&format!("{weight_type:?}"), &all_types) {
                report(&mut out, &pool, weight_type, (&rows, &limits))?;
            }
        }
    }
    Ok(())
}

fn report(
    out: &mut impl Write,
    pool: &Pool,
    weight_type: WeightType,
    (rows, limits): (&[usize], &Limits),
) -> Result<(), Box<dyn std::error::Error>> {
    // K types need columns in blocks of 256, which 576 is not; 768 takes its place.
    let cols = |num_cols: usize| num_cols.next_multiple_of(weight_type.block_size().max(64));
    let mut layers = Vec::new();
    for _ in 0..NUM_LAYERS {
        for [num_rows, num_cols] in LAYER {
            layers.push(random_matrix(pool, weight_type, [num_rows, cols(num_cols)])?);
        }
    }
    let head = random_matrix(pool, weight_type, [HEAD[0], cols(HEAD[1])])?;
    let num_bytes: usize = layers.iter().chain([&head]).map(PackedMatrix::num_bytes).sum();
    let peak = if weight_type.is_float() { limits.f32_ops } else { limits.int8_ops };
    let mut scratch = Activations::new();
    for &num_rows in rows {
        // A prefill computes logits for its last row only.
        let matrices: Vec<&PackedMatrix> =
            if num_rows < 512 { layers.iter().chain([&head]).collect() } else { layers.iter().collect() };
        let num_elements: usize = matrices.iter().map(|w| w.num_rows() * w.num_cols()).sum();
        let x: Vec<f32> = (0..num_rows * cols(1536)).map(|i| (i as f32 * 0.37).sin()).collect();
        let mut y = vec![0.0; num_rows * if num_rows < 512 { HEAD[0] } else { 3072 }];
        let seconds = fewest_seconds(|| {
            for w in matrices.iter() {
                let y = &mut y[..num_rows * w.num_rows()];
                matmul(pool, &x[..num_rows * w.num_cols()], w, y, &mut scratch)?;
            }
            Ok(())
        })?;
        let read = num_bytes as f64 / seconds;
        let ops = 2.0 * num_rows as f64 * num_elements as f64 / seconds;
        writeln!(
            out,
            "{:6} {:6.1}  {num_rows:6} {:8.1} {:8.1} {:8.1}% {:8.1} {:8.1}%",
            format!("{weight_type:?}"),
            num_bytes as f64 / 1e6,
            num_rows as f64 / seconds,
            read / 1e9,
            100.0 * read / limits.read_bytes,
            ops / 1e9,
            100.0 * ops / peak
        )?;
    }
    Ok(())
}

fn random_matrix(
    pool: &Pool,
    weight_type: WeightType,
    [num_rows, num_cols]: [usize; 2],
) -> Result<PackedMatrix, KernelError> {
    let num_bytes = weight_type.row_bytes(num_cols).unwrap_or(0) * num_rows;
    // Any bytes will do, as long as no float is a NaN or so small that the processor slows down.
    let bytes: Vec<u8> = (0..num_bytes).map(|i| 0x30 + (i * 7 % 13) as u8).collect();
    PackedMatrix::pack(&[MatrixSource { weight_type, num_rows, num_cols, bytes: &bytes }], pool)
}

/// Of several trials, the one that was disturbed least.
fn fewest_seconds(mut f: impl FnMut() -> Result<(), KernelError>) -> Result<f64, KernelError> {
    let mut seconds = f64::MAX;
    for _ in 0..NUM_TRIALS {
        let start = Instant::now();
        f()?;
        seconds = seconds.min(start.elapsed().as_secs_f64());
    }
    Ok(seconds)
}
