//! A sequence's logits are the same bits alone, in a batch, in chunks, after a recomputation, over shared blocks, with
//! any number of threads and on every instruction set.

#![expect(clippy::unwrap_used, reason = "a test may panic where the set-up fails")]

#[path = "../support/gguf_file.rs"]
mod gguf_file;
mod lora;
#[path = "../support/lora_fixture.rs"]
mod lora_fixture;
mod tiny_model;

use std::path::Path;

use engine_workers::cpu_runner::CpuRunner;
use engine_workers::cpu_runner::options::{CpuRunnerOptions, KvCapacity};
use engine_workers::lora::adapter::LoraAdapter;
use engine_workers::model_file::ModelFile;
use engine_workers::runner::{Interrupt, LogitRows, ModelRunner, RunnerError, SequenceChunk};
use kernels::{Isa, WeightType};
use proptest::prelude::*;
use tiny_model::{Family, Random, TinyModel};

const BLOCK_SIZE: usize = 16;
const MAX_STEP_TOKENS: usize = 96;
/// A whole prompt that is long enough for a matrix unit.
const LONG_PROMPT_TOKENS: usize = 300;

/// Logits of every position of one sequence, as bits: NaN is equal to itself.
type Rows = Vec<Vec<u32>>;

fn load(model: &ModelFile, num_threads: usize, isa: Isa, num_blocks: usize) -> CpuRunner {
    let options = CpuRunnerOptions {
        num_threads,
        kv_capacity: KvCapacity::Blocks(num_blocks),
        max_num_batched_tokens: LONG_PROMPT_TOKENS,
        isa: Some(isa),
        ..CpuRunnerOptions::default()
    };
    CpuRunner::load(model, &options).unwrap()
}

fn rows(logits: &[f32], vocab_size: usize) -> Rows {
    logits.chunks_exact(vocab_size).map(|row| row.iter().map(|logit| logit.to_bits()).collect()).collect()
}

/// The whole sequence in one step, by itself.
fn alone(runner: &mut CpuRunner, tokens: &[u32]) -> Rows {
    alone_with(runner, tokens, None)
}

fn alone_with(runner: &mut CpuRunner, tokens: &[u32], adapter: Option<&LoraAdapter>) -> Rows {
    let block_table: Vec<u32> = (0..tokens.len().div_ceil(BLOCK_SIZE) as u32).collect();
    let chunk = SequenceChunk {
        tokens,
        first_position: 0,
        block_table: &block_table,
        logit_rows: LogitRows::All,
        adapter,
    };
    let mut logits = Vec::new();
    runner.forward(&[chunk], &mut logits).unwrap();
    rows(&logits, runner.shape().vocab_size)
}

/// A sequence on its way through a random schedule.
struct Sequence<'a> {
    tokens: &'a [u32],
    num_computed: usize,
    block_table: Vec<u32>,
}

/// Runs all sequences to their ends in steps of random chunks, in random order, with random preemptions, over blocks
/// in random order, and compares every row of logits with `expected`.
fn check_random_schedule(
    runner: &mut CpuRunner,
    sequences: &[Vec<u32>],
    expected: &[Rows],
    random: &mut Random,
) {
    check_random_schedule_with(runner, sequences, &|_| None, expected, random);
}

/// The same with the adapter of each sequence.
fn check_random_schedule_with<'a>(
    runner: &mut CpuRunner,
    sequences: &[Vec<u32>],
    adapter: &dyn Fn(usize) -> Option<&'a LoraAdapter>,
    expected: &[Rows],
    random: &mut Random,
) {
    let vocab_size = runner.shape().vocab_size;
    let mut free_blocks: Vec<u32> = (0..runner.shape().num_blocks as u32).collect();
    let mut running: Vec<Sequence<'_>> = sequences
        .iter()
        .map(|tokens| Sequence { tokens, num_computed: 0, block_table: Vec::new() })
        .collect();
    let mut num_preemptions_left = sequences.len();
    let mut logits = Vec::new();
    while running.iter().any(|sequence| sequence.num_computed < sequence.tokens.len()) {
        let preempted = random.below(4 * running.len());
        if num_preemptions_left > 0 && preempted < running.len() {
            num_preemptions_left -= 1;
            running[preempted].num_computed = 0;
            free_blocks.append(&mut running[preempted].block_table);
        }
        let moved = &mut running[random.below(sequences.len())].block_table;
        if !moved.is_empty() && !free_blocks.is_empty() && random.below(4) == 0 {
            let block = random.below(moved.len());
            let to = free_blocks.swap_remove(random.below(free_blocks.len()));
            runner.copy_block(moved[block], to).unwrap();
            free_blocks.push(std::mem::replace(&mut moved[block], to));
        }
        let mut budget = MAX_STEP_TOKENS;
        let mut plan = Vec::new();
        let num_sequences = running.len();
        let first = random.below(num_sequences);
        for index in (first..num_sequences).chain(0..first) {
            let sequence = &mut running[index];
            let longest = [1, 3, 20, MAX_STEP_TOKENS][random.below(4)];
            let num_left = sequence.tokens.len() - sequence.num_computed;
            let num_tokens = (1 + random.below(longest)).min(num_left).min(budget);
            if num_tokens == 0 || random.below(5) == 0 {
                continue;
            }
            budget -= num_tokens;
            let end = sequence.num_computed + num_tokens;
            while sequence.block_table.len() < end.div_ceil(BLOCK_SIZE) {
                let block = free_blocks.swap_remove(random.below(free_blocks.len()));
                sequence.block_table.push(block);
            }
            const WISHES: [LogitRows; 4] =
                [LogitRows::None, LogitRows::Last, LogitRows::LargestOfLast, LogitRows::All];
            let logit_rows = WISHES[random.below(4)];
            plan.push((index, sequence.num_computed..end, logit_rows));
        }
        let chunks: Vec<SequenceChunk<'_>> = plan
            .iter()
            .map(|(index, range, logit_rows)| SequenceChunk {
                tokens: &running[*index].tokens[range.clone()],
                first_position: range.start,
                block_table: &running[*index].block_table,
                logit_rows: *logit_rows,
                adapter: adapter(*index),
            })
            .collect();
        let num_spins = (random.below(4) == 0).then(|| random.below(20_000));
        if !ends_before(runner, &chunks, &mut logits, num_spins) {
            continue;
        }
        let mut given = rows(&logits, vocab_size).into_iter();
        for (index, range, logit_rows) in plan {
            let wanted = match logit_rows {
                LogitRows::None => range.end..range.end,
                LogitRows::Last | LogitRows::LargestOfLast => range.end - 1..range.end,
                LogitRows::All => range.clone(),
            };
            for position in wanted {
                let mut given = given.next().unwrap();
                if logit_rows == LogitRows::LargestOfLast {
                    fill_what_is_left_out(&mut given, &expected[index][position]);
                }
                assert!(
                    given == expected[index][position],
                    "sequence {index} differs at position {position}, computed as {range:?}"
                );
            }
            running[index].num_computed = range.end;
        }
        assert_eq!(given.next(), None);
    }
}

/// Puts the expected bits where a logit is −∞ that is not the largest.
fn fill_what_is_left_out(given: &mut [u32], expected: &[u32]) {
    let largest = expected.iter().map(|bits| f32::from_bits(*bits)).fold(f32::NEG_INFINITY, f32::max);
    for (given, expected) in given.iter_mut().zip(expected) {
        if f32::from_bits(*given) == f32::NEG_INFINITY && f32::from_bits(*expected) < largest {
            *given = *expected;
        }
    }
}

/// Computes the step, interrupted after so many turns of a loop: whether it ended before.
fn ends_before(
    runner: &mut CpuRunner,
    chunks: &[SequenceChunk<'_>],
    logits: &mut Vec<f32>,
    num_spins: Option<usize>,
) -> bool {
    let Some(num_spins) = num_spins else {
        runner.forward(chunks, logits).unwrap();
        return true;
    };
    let interrupt = Interrupt::default();
    let outcome = std::thread::scope(|scope| {
        scope.spawn(|| {
            (0..num_spins).for_each(|_| std::hint::spin_loop());
            interrupt.raise();
        });
        runner.forward_unless(chunks, logits, &interrupt)
    });
    assert!(matches!(outcome, Ok(()) | Err(RunnerError::Interrupted)), "{outcome:?}");
    outcome.is_ok()
}

fn random_sequences(count: usize, longest: usize, vocab_size: usize, random: &mut Random) -> Vec<Vec<u32>> {
    (0..count)
        .map(|_| (0..1 + random.below(longest)).map(|_| random.below(vocab_size) as u32).collect())
        .collect()
}

prop_compose! {
    fn tiny_models()(
        family in prop::sample::select(Family::ALL.to_vec()),
        is_tied: bool,
        num_layers in 1usize..=3,
        hidden_size in prop::sample::select(vec![256, 512]),
        ffn_size in prop::sample::select(vec![256, 768]),
        (num_kv_heads, head_dim) in prop::sample::select(vec![(4, 64), (1, 64), (2, 32), (4, 16), (1, 128)]),
        vocab_size in 20usize..80,
        weight_types in prop::collection::vec(prop::sample::select(WeightType::ALL.to_vec()), 1..8),
        seed: u64,
    ) -> TinyModel {
        TinyModel {
            family, num_layers, hidden_size, ffn_size, num_kv_heads, head_dim, vocab_size, is_tied, weight_types,
            has_poisoned_token: false, seed,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn logits_do_not_depend_on_the_schedule_the_threads_or_the_instruction_set(model in tiny_models(), seed: u64) {
        let mut random = Random(seed);
        let file = model.open();
        let sequences = random_sequences(16, 50, model.vocab_size, &mut random);
        let mut baseline = load(&file, 1, Isa::Portable, 8);
        let expected: Vec<Rows> = sequences.iter().map(|tokens| alone(&mut baseline, tokens)).collect();
        let finite = |bits: &u32| f32::from_bits(*bits).is_finite();
        prop_assert!(expected.iter().flatten().flatten().all(finite));
        for (num_threads, isa) in [(1, Isa::detect()), (2, Isa::detect()), (3, Isa::Portable)] {
            let mut runner = load(&file, num_threads, isa, 90);
            check_random_schedule(&mut runner, &sequences, &expected, &mut random);
        }
    }
}

fn plain_model(weight_type: WeightType) -> TinyModel {
    TinyModel {
        family: Family::Llama,
        num_layers: 2,
        hidden_size: 256,
        ffn_size: 512,
        num_kv_heads: 2,
        head_dim: 64,
        vocab_size: 33,
        is_tied: false,
        weight_types: vec![weight_type],
        has_poisoned_token: false,
        seed: 7,
    }
}

#[test]
fn every_weight_type_gives_the_same_bits_on_every_instruction_set() {
    let tokens: Vec<u32> = (0..50).map(|i| i * 7 % 33).collect();
    for weight_type in WeightType::ALL {
        let file = plain_model(weight_type).open();
        let expected = alone(&mut load(&file, 1, Isa::Portable, 4), &tokens);
        for isa in Isa::available() {
            for num_threads in [1, 2] {
                let given = alone(&mut load(&file, num_threads, isa, 4), &tokens);
                assert!(given == expected, "{weight_type:?} on {} with {num_threads} threads", isa.name());
            }
        }
    }
}

#[test]
fn a_long_prompt_in_one_step_gives_the_same_bits_as_in_chunks_on_every_instruction_set() {
    let tokens: Vec<u32> = (0..LONG_PROMPT_TOKENS as u32).map(|i| i * i % 33).collect();
    let num_blocks = LONG_PROMPT_TOKENS.div_ceil(BLOCK_SIZE);
    let mut random = Random(5);
    for weight_type in [WeightType::Q4_1, WeightType::Q6K, WeightType::Q8_0] {
        let file = plain_model(weight_type).open();
        let expected = alone(&mut load(&file, 1, Isa::Portable, num_blocks), &tokens);
        for isa in Isa::available() {
            let mut runner = load(&file, 2, isa, num_blocks);
            let given = alone(&mut runner, &tokens);
            assert!(given == expected, "{weight_type:?} on {}", isa.name());
            let sequences = std::slice::from_ref(&tokens);
            check_random_schedule(&mut runner, sequences, std::slice::from_ref(&expected), &mut random);
        }
    }
}

#[test]
fn every_family_gives_the_same_bits_on_any_schedule() {
    let mut random = Random(11);
    let sequences = random_sequences(8, 60, 33, &mut random);
    for family in Family::ALL {
        let file = TinyModel { family, ..plain_model(WeightType::Q4_1) }.open();
        let mut baseline = load(&file, 1, Isa::Portable, 4);
        let expected: Vec<Rows> = sequences.iter().map(|tokens| alone(&mut baseline, tokens)).collect();
        for isa in Isa::available() {
            let mut runner = load(&file, 2, isa, 40);
            check_random_schedule(&mut runner, &sequences, &expected, &mut random);
        }
    }
}

#[test]
fn sequences_may_share_blocks_that_the_same_step_fills() {
    let file = plain_model(WeightType::Q4_1).open();
    let mut runner = load(&file, 2, Isa::detect(), 8);
    let prefix: Vec<u32> = (0..32).collect();
    let sequences = [[&prefix[..], &[5, 6, 7]].concat(), [&prefix[..], &[9]].concat()];
    let expected = sequences.each_ref().map(|tokens| alone(&mut runner, tokens));
    let chunk = |tokens, first_position, block_table| SequenceChunk {
        tokens,
        first_position,
        block_table,
        logit_rows: LogitRows::Last,
        adapter: None,
    };
    let mut logits = Vec::new();
    let chunks = [chunk(&sequences[0], 0, &[4, 6, 1]), chunk(&sequences[1][32..], 32, &[4, 6, 3])];
    runner.forward(&chunks, &mut logits).unwrap();
    let given = rows(&logits, 33);
    assert!(given[0] == expected[0][34]);
    assert!(given[1] == expected[1][32]);
}

#[test]
fn a_row_that_is_not_finite_stays_in_its_sequence_and_in_its_blocks() {
    for weight_type in [WeightType::Q4_1, WeightType::Q6K, WeightType::F32] {
        let file =
            TinyModel { family: Family::Gemma3, has_poisoned_token: true, ..plain_model(weight_type) }.open();
        let poisoned = [32; 48];
        let mut runner = load(&file, 2, Isa::detect(), 3);
        let healthy: Vec<u32> = (0..20).collect();
        let expected = alone(&mut runner, &healthy);
        let chunk = |tokens, block_table| SequenceChunk {
            tokens,
            first_position: 0,
            block_table,
            logit_rows: LogitRows::Last,
            adapter: None,
        };
        let mut logits = Vec::new();
        runner.forward(&[chunk(&poisoned[..2], &[0]), chunk(&healthy, &[1, 2])], &mut logits).unwrap();
        assert!(logits[..33].iter().all(|logit| logit.is_nan()), "{weight_type:?}");
        assert!(rows(&logits[33..], 33)[0] == expected[19], "{weight_type:?}");
        runner.forward(&[chunk(&poisoned, &[0, 1, 2])], &mut logits).unwrap();
        assert!(logits.iter().all(|logit| logit.is_nan()), "{weight_type:?}");
        assert!(alone(&mut runner, &healthy) == expected, "{weight_type:?}: reused blocks leak");
    }
}

#[test]
fn refused_batch_leaves_the_runner_usable() {
    let file = plain_model(WeightType::Q8_0).open();
    let mut runner = load(&file, 1, Isa::detect(), 4);
    let expected = alone(&mut runner, &[1, 2, 3]);
    let tokens = [1, 99];
    let chunk = SequenceChunk {
        tokens: &tokens,
        first_position: 0,
        block_table: &[0],
        logit_rows: LogitRows::Last,
        adapter: None,
    };
    let outcome = runner.forward(&[chunk], &mut Vec::new());
    assert!(
        matches!(outcome, Err(RunnerError::InvalidBatch(reason)) if reason == "chunk 0 has token 99 of 33")
    );
    assert!(alone(&mut runner, &[1, 2, 3]) == expected);
}

#[test]
fn an_empty_step_gives_no_logits() {
    let mut runner = load(&plain_model(WeightType::F16).open(), 1, Isa::detect(), 4);
    let mut logits = vec![1.0];
    runner.forward(&[], &mut logits).unwrap();
    assert!(logits.is_empty());
}

#[test]
fn smollm2_answers_alike_alone_and_in_any_batch() {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../.jetmill/models/smollm2-135m-instruct-q4_1.gguf");
    assert!(path.exists(), "{} is missing: run infra/test, which fetches it", path.display());
    let file = ModelFile::open(&path).unwrap();
    let mut random = Random(1);
    let sequences = random_sequences(16, 40, file.config().vocab_size, &mut random);
    let mut runner = load(&file, 1, Isa::detect(), 4);
    let expected: Vec<Rows> = sequences.iter().map(|tokens| alone(&mut runner, tokens)).collect();
    let mut runner = load(&file, 2, Isa::detect(), 60);
    check_random_schedule(&mut runner, &sequences, &expected, &mut random);
}
