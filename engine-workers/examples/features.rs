//! What grammars and adapters cost a step that others share, and how many vectors an encoder makes.
//!
//! `cargo run --release -p engine-workers --example features -- streams MODEL`
//! `cargo run --release -p engine-workers --example features -- vectors ENCODER`
//!
//! Sixteen streams decode; none, half or all of them are held to a JSON schema, or none, one or four adapters of rank 16
//! are among them (SmolLM2-135M's sizes). The settings take turns in each round, so that what else the machine does falls on all.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a report is what this program is for, and it shares a file with the tests, which may unwrap"
)]

#[path = "../tests/support/lora_fixture.rs"]
mod lora_fixture;

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use engine_workers::cpu_runner::options::{CpuRunnerOptions, KvCapacity};
use engine_workers::detokenizer::TokenTable;
use engine_workers::engine::config::EngineConfig;
use engine_workers::engine::request::EngineRequest;
use engine_workers::grammar::compiled::CompiledGrammar;
use engine_workers::grammar::matcher::GrammarMatcher;
use engine_workers::loaded_model::{FormatOptions, LoadedModel, ModelLoadOptions};
use engine_workers::lora::adapter::LoraAdapter;
use engine_workers::model_file::encoder::EncoderFile;
use engine_workers::pooling::encoder::{Encoder, EncoderInput};
use futures_util::future::join_all;
use lora_fixture::{LoraFixture, SMOLLM2};
use schemas::v1::grammar::Kind;
use schemas::{InferenceId, SamplingParams};
use serde_json::json;

const NUM_STREAMS: usize = 16;
const NUM_TOKENS: u32 = 64;
const NUM_ROUNDS: usize = 2;
const INPUT_TOKENS: u32 = 64;
const LEAST_TIME: Duration = Duration::from_secs(4);

/// What the streams have besides their prompts; each list is shared out in turn.
struct Setting {
    name: &'static str,
    num_constrained: usize,
    num_adapters: usize,
    /// Median times of a step, one for each round.
    steps: Vec<Duration>,
    /// Mean times in the runner, one for each round.
    forwards: Vec<Duration>,
}

struct Bench {
    model: LoadedModel,
    grammar: CompiledGrammar,
    adapters: Vec<Arc<LoraAdapter>>,
    num_requests: u64,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match &arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["streams", model] => streams(Path::new(model)).await,
        ["vectors", encoder] => vectors(Path::new(encoder)),
        _ => Err("usage: features streams MODEL | features vectors ENCODER".into()),
    }
}

async fn streams(path: &Path) -> Result<(), Box<dyn Error>> {
    let mut bench = Bench::load(path)?;
    let setting = |name, num_constrained, num_adapters| Setting {
        name,
        num_constrained,
        num_adapters,
        steps: Vec::new(),
        forwards: Vec::new(),
    };
    let mut settings = [
        setting("plain", 0, 0),
        setting("8 of 16 held to a JSON schema", 8, 0),
        setting("16 of 16 held to a JSON schema", 16, 0),
        setting("1 adapter for all", 0, 1),
        setting("4 adapters, each for 4", 0, 4),
    ];
    let mut constrained_tokens = Vec::new();
    for _ in 0..NUM_ROUNDS {
        for setting in &mut settings {
            let tokens = bench.run(setting).await?;
            if setting.num_constrained == NUM_STREAMS {
                constrained_tokens = tokens;
            }
        }
    }
    println!("{NUM_STREAMS} streams, {NUM_TOKENS} tokens each, {NUM_ROUNDS} rounds; medians, ms a step");
    println!("| streams | step | to plain | of it in the runner |");
    println!("|---|---|---|---|");
    let plain = median(&mut settings[0].steps).as_secs_f64();
    for Setting { name, steps, forwards, .. } in &mut settings {
        let (step, forward) = (median(steps).as_secs_f64(), median(forwards).as_secs_f64());
        println!("| {name} | {:.2} | {:.3} | {:.2} |", step * 1e3, step / plain, forward * 1e3);
    }
    bench.time_masks(&constrained_tokens)
}

impl Bench {
    fn load(path: &Path) -> Result<Self, Box<dyn Error>> {
        let model = LoadedModel::load(ModelLoadOptions {
            path: path.to_owned(),
            name: None,
            aliases: Vec::new(),
            formats: FormatOptions::default(),
            runner: CpuRunnerOptions { kv_capacity: KvCapacity::Blocks(512), ..CpuRunnerOptions::default() },
            engine: EngineConfig { max_num_seqs: NUM_STREAMS, ..EngineConfig::default() },
            digest_cache_dir: None,
        })?;
        let item = json!({"type": "object", "properties": {"name": {"type": "string"}, "n": {"type": "integer"}},
            "required": ["name", "n"], "additionalProperties": false});
        // Longer than any answer here.
        let schema = json!({"type": "array", "minItems": 1000, "items": item});
        let grammar = model.text.grammars.compile(&Kind::JsonSchema(schema.to_string()))?;
        let dir = tempfile::tempdir()?;
        let mut adapters = Vec::new();
        for seed in 1..=4 {
            let dir = dir.path().join(seed.to_string());
            LoraFixture { seed, rank: 16, ..SMOLLM2 }.write(&dir);
            adapters.push(Arc::new(LoraAdapter::load(&dir, &model.config, 16)?));
        }
        Ok(Self { model, grammar, adapters, num_requests: 0 })
    }

    /// Times the steps in which every stream goes on by a token. The tokens of a stream.
    async fn run(&mut self, setting: &mut Setting) -> Result<Vec<u32>, Box<dyn Error>> {
        let mut requests = Vec::new();
        for stream in 0..NUM_STREAMS {
            self.num_requests += 1;
            let id: InferenceId = format!("{:032x}", self.num_requests).parse()?;
            let prompt =
                (0..32).map(|position| 500 + (position * 37 + stream as u32 * 101) % 20_000).collect();
            let sampling = SamplingParams {
                max_tokens: Some(NUM_TOKENS),
                ignore_eos: true,
                seed: Some(stream as u64),
                ..SamplingParams::default()
            };
            let mut request = EngineRequest::new(id, prompt, sampling);
            // Every second one of 8, so that the first and the last ones are not alike.
            let is_constrained = stream * setting.num_constrained % NUM_STREAMS < setting.num_constrained;
            request.grammar = is_constrained.then(|| self.grammar.clone());
            request.adapter =
                (setting.num_adapters > 0).then(|| Arc::clone(&self.adapters[stream % setting.num_adapters]));
            requests.push(request);
        }
        let first = requests[0].id;
        let accepted = join_all(requests.into_iter().map(|request| self.model.engine.submit(request))).await;
        accepted.into_iter().collect::<Result<Vec<()>, _>>()?;

        let (mut steps, mut tokens, mut num_ended) = (Vec::new(), Vec::new(), 0);
        let mut last_full: Option<Instant> = None;
        let mut began = None;
        while num_ended < NUM_STREAMS {
            let Some(step) = self.model.outputs.recv().await else { return Err("the engine stopped".into()) };
            let now = Instant::now();
            let is_full = step.sequences.len() == NUM_STREAMS;
            steps.extend(last_full.filter(|_| is_full).map(|last| now - last));
            last_full = is_full.then_some(now);
            if is_full && began.is_none() {
                began = Some(self.model.engine.stats());
            }
            for output in step.sequences {
                num_ended += usize::from(output.finish.is_some());
                if output.id == first {
                    tokens.extend(output.token_ids);
                }
            }
        }
        let ended = self.model.engine.stats();
        let began = began.ok_or("the streams never ran together")?;
        let num_steps = ended.scheduler.num_steps_total - began.scheduler.num_steps_total;
        setting.forwards.push((ended.forward_time_total - began.forward_time_total) / num_steps as u32);
        setting.steps.push(median(&mut steps));
        Ok(tokens)
    }

    /// What the masks of one stream take by themselves.
    fn time_masks(&self, tokens: &[u32]) -> Result<(), Box<dyn Error>> {
        let tokenizer = &self.model.text.tokenizer;
        let ids = 0..u32::try_from(tokenizer.vocab_size())?;
        let texts = ids.map(|id| (tokenizer.token_bytes(id), tokenizer.is_special(id)));
        let table = Arc::new(TokenTable::new(texts, tokenizer.special_ids().eos.clone()));
        let mut matcher = GrammarMatcher::new(self.grammar.clone(), table, true);
        let mut times = Vec::new();
        for token in tokens {
            let started = Instant::now();
            matcher.mask()?;
            times.push(started.elapsed());
            matcher.advance(*token)?;
        }
        // The first one copies the automaton.
        let mut later = times.split_off(1);
        let sum: Duration = later.iter().sum();
        let (mean, longest) = (sum / later.len() as u32, later.iter().max().copied().unwrap_or_default());
        println!(
            "masks one by one: first {:.0} µs, then p50 {:.0} µs, mean {:.0} µs, longest {:.0} µs",
            times[0].as_secs_f64() * 1e6,
            median(&mut later).as_secs_f64() * 1e6,
            mean.as_secs_f64() * 1e6,
            longest.as_secs_f64() * 1e6,
        );
        Ok(())
    }
}

fn vectors(path: &Path) -> Result<(), Box<dyn Error>> {
    let mut encoder = Encoder::load(&EncoderFile::open(path)?, &CpuRunnerOptions::default())?;
    let input = |number: u32| EncoderInput {
        token_ids: (0..INPUT_TOKENS)
            .map(|position| 1_000 + (position * 37 + number * 101) % 20_000)
            .collect(),
        second_start: INPUT_TOKENS as usize,
    };
    let inputs: Vec<EncoderInput> = (0..32).map(input).collect();
    println!("{} on {}, inputs of {INPUT_TOKENS} tokens", path.display(), encoder.kernel_path());
    for batch in [1, 32] {
        let batch: Vec<&EncoderInput> = inputs[..batch].iter().collect();
        encoder.encode(&batch)?;
        let (began, mut times) = (Instant::now(), Vec::new());
        while began.elapsed() < LEAST_TIME {
            let started = Instant::now();
            encoder.encode(&batch)?;
            times.push(started.elapsed());
        }
        let took = median(&mut times).as_secs_f64();
        println!(
            "batches of {}: {:.0} vectors/s, {:.2} ms each",
            batch.len(),
            batch.len() as f64 / took,
            took * 1e3
        );
    }
    Ok(())
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}
