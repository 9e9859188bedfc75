//! Tokens per second of a model on this machine, and where the time goes.
//!
//! `cargo run --release -p engine-workers --example score -- MODEL [THREADS]`
//!
//! Decoding at one sequence reads all weights for every token, so its limit is the memory's read bandwidth, which is
//! measured in the same run.

#![expect(clippy::print_stdout, reason = "printing is what this program is for")]

use std::error::Error;
use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use engine_workers::cpu_runner::CpuRunner;
use engine_workers::cpu_runner::operation_times::{Operation, OperationTimes};
use engine_workers::cpu_runner::options::{CpuRunnerOptions, KvCapacity};
use engine_workers::model_file::ModelFile;
use engine_workers::runner::{LogitRows, ModelRunner, SequenceChunk};

const BLOCK_SIZE: usize = 16;
const CONTEXT_TOKENS: usize = 256;
const PREFILL_TOKENS: usize = 512;
const DECODE_STEPS: usize = 32;
const BATCHES: [usize; 4] = [1, 8, 16, 32];
/// Tokens of a prompt beside answers.
const MIXED_PREFILLS: [usize; 5] = [16, 32, 64, 128, 256];
const NUM_MIXED_ANSWERS: usize = 16;

struct Score {
    runner: CpuRunner,
    block_tables: Vec<Vec<u32>>,
    logits: Vec<f32>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().ok_or("usage: score MODEL [THREADS]")?;
    let mut options =
        CpuRunnerOptions { max_num_batched_tokens: PREFILL_TOKENS, ..CpuRunnerOptions::default() };
    if let Some(threads) = arguments.next() {
        options.num_threads = threads.parse().map_err(|_| "THREADS is not a number")?;
    }
    let blocks_per_sequence = (PREFILL_TOKENS + DECODE_STEPS).div_ceil(BLOCK_SIZE);
    let num_sequences = BATCHES.iter().copied().max().unwrap_or(1);
    options.kv_capacity = KvCapacity::Blocks(num_sequences * blocks_per_sequence);

    let start = Instant::now();
    let model = ModelFile::open(Path::new(&path))?;
    let runner = CpuRunner::load(&model, &options)?;
    drop(model);
    let bandwidth = read_bandwidth(options.num_threads);
    let weight_bytes = runner.num_weight_bytes() as f64;
    println!(
        "{path}: {} threads on {}, loaded in {:.2} s; {:.0} MB a token, memory reads {:.1} GB/s: at most {:.0} tok/s at \
         one sequence",
        options.num_threads,
        runner.kernel_path(),
        start.elapsed().as_secs_f64(),
        weight_bytes / 1e6,
        bandwidth / 1e9,
        bandwidth / weight_bytes,
    );
    let block_tables = (0..num_sequences)
        .map(|sequence| {
            (0..blocks_per_sequence).map(|block| (sequence * blocks_per_sequence + block) as u32).collect()
        })
        .collect();
    let mut score = Score { runner, block_tables, logits: Vec::new() };
    score.step(0, 0, 1)?;

    score.report(&format!("prefill {PREFILL_TOKENS}"), PREFILL_TOKENS, 3, |score, _| {
        score.step(0, 0, PREFILL_TOKENS)
    })?;
    for batch in BATCHES {
        for sequence in 0..batch {
            score.prefill(sequence)?;
        }
        let limit = if batch == 1 { bandwidth / weight_bytes } else { 0.0 };
        let rate = score.report(&format!("decode {batch}"), batch, DECODE_STEPS, |score, step| {
            score.step(batch, CONTEXT_TOKENS + step, 0)
        })?;
        if limit > 0.0 {
            println!("  {:.0} % of what the memory allows", 100.0 * rate / limit);
        }
    }
    for num_prompt_tokens in MIXED_PREFILLS {
        let name = format!("{NUM_MIXED_ANSWERS} answers beside {num_prompt_tokens} tokens of a prompt");
        score.report(&name, NUM_MIXED_ANSWERS + num_prompt_tokens, 9, |score, step| {
            score.step(NUM_MIXED_ANSWERS, CONTEXT_TOKENS + step, num_prompt_tokens)
        })?;
    }
    Ok(())
}

impl Score {
    fn prefill(&mut self, sequence: usize) -> Result<(), Box<dyn Error>> {
        let tokens = tokens(CONTEXT_TOKENS);
        let block_table = &self.block_tables[sequence];
        let chunk = SequenceChunk {
            tokens: &tokens,
            first_position: 0,
            block_table,
            logit_rows: LogitRows::None,
            adapter: None,
        };
        Ok(self.runner.forward(&[chunk], &mut self.logits)?)
    }

    /// One step of a token at `position` for each of the first sequences, and of the first tokens of a prompt for the next.
    fn step(
        &mut self,
        num_answers: usize,
        position: usize,
        num_prompt_tokens: usize,
    ) -> Result<(), Box<dyn Error>> {
        let tokens = tokens(num_prompt_tokens.max(1));
        let chunk = |sequence: usize, num_tokens: usize, first_position: usize| SequenceChunk {
            tokens: &tokens[..num_tokens],
            first_position,
            block_table: &self.block_tables[sequence],
            logit_rows: LogitRows::Last,
            adapter: None,
        };
        let mut chunks: Vec<SequenceChunk<'_>> =
            (0..num_answers).map(|sequence| chunk(sequence, 1, position)).collect();
        if num_prompt_tokens > 0 {
            chunks.push(chunk(num_answers, num_prompt_tokens, 0));
        }
        Ok(self.runner.forward(&chunks, &mut self.logits)?)
    }

    /// Prints and returns the tokens per second of the median step.
    fn report(
        &mut self,
        name: &str,
        tokens_per_step: usize,
        num_steps: usize,
        mut step: impl FnMut(&mut Self, usize) -> Result<(), Box<dyn Error>>,
    ) -> Result<f64, Box<dyn Error>> {
        let before = self.runner.operation_times().clone();
        let mut durations = Vec::new();
        for index in 0..num_steps {
            let start = Instant::now();
            step(self, index)?;
            durations.push(start.elapsed());
        }
        durations.sort_unstable();
        let median = durations.get(num_steps / 2).copied().unwrap_or(Duration::MAX);
        let rate = tokens_per_step as f64 / median.as_secs_f64();
        println!("{name}: {rate:.1} tok/s, {:.2} ms a step", median.as_secs_f64() * 1e3);
        println!("  {}", breakdown(&self.runner.operation_times().since(&before)));
        Ok(rate)
    }
}

fn breakdown(times: &OperationTimes) -> String {
    let sum = times.sum().as_secs_f64();
    let share = |operation| 100.0 * times.total(operation).as_secs_f64() / sum;
    Operation::ALL.map(|operation| format!("{operation:?} {:.1} %", share(operation))).join(", ")
}

fn tokens(count: usize) -> Vec<u32> {
    (0..count as u32).map(|index| 100 + index * 37 % 1000).collect()
}

/// Bytes per second that all threads together read from memory that no cache holds; the best of some passes.
fn read_bandwidth(num_threads: usize) -> f64 {
    let words_per_thread = (256 << 20) / 8 / num_threads;
    let parts: Vec<Vec<u64>> =
        (0..num_threads).map(|thread| vec![thread as u64 + 1; words_per_thread]).collect();
    let mut best = Duration::MAX;
    for _ in 0..5 {
        let start = Instant::now();
        std::thread::scope(|scope| {
            for part in &parts {
                scope.spawn(|| black_box(part.iter().fold(0, |sum: u64, word| sum.wrapping_add(*word))));
            }
        });
        best = best.min(start.elapsed());
    }
    (words_per_thread * num_threads * 8) as f64 / best.as_secs_f64()
}
