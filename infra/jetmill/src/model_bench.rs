//! `jetmill bench`: what this machine makes of a model, the engine alone.

mod read_bandwidth;

use std::fmt::Write as _;
use std::io::Write as _;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use engine_workers::engine::output::FinishCause;
use engine_workers::engine::request::EngineRequest;
use engine_workers::loaded_model::LoadedModel;
use engine_workers::served_model::ServedModel;
use futures_util::future::try_join_all;
use schemas::{InferenceId, SamplingParams};
use serde::Serialize;

use self::read_bandwidth::read_bandwidth;
use crate::config::{Config, SpeculativeMethodName};
use crate::roles;

/// Vocabularies keep control tokens below this.
const FIRST_ORDINARY_TOKEN: usize = 1_000;
const NUM_DECODE_PROMPT_TOKENS: usize = 16;

/// What is measured.
#[derive(Debug, Args)]
pub(crate) struct ModelBench {
    /// Lengths of prompts whose first token is waited for.
    #[arg(long, value_delimiter = ',', default_value = "128,512")]
    prompts: Vec<usize>,
    /// Numbers of sequences that decode at once.
    #[arg(long, value_delimiter = ',', default_value = "1,8,32")]
    batches: Vec<usize>,
    /// Tokens that each of them generates.
    #[arg(long, default_value_t = 96)]
    output_tokens: u32,
    /// How often; figures are medians.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// One JSON object instead of a table.
    #[arg(long)]
    json: bool,
}

/// One line of the result.
#[derive(Debug, Clone, Serialize)]
struct Rate {
    /// Length of the prompt, or how many sequences decode.
    size: usize,
    tokens_per_second: f64,
    /// Of the time, what the forward passes took; the rest is planning, sampling and text.
    forward_share: f64,
    /// Weights read a second; of decoding alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    weight_bytes_per_second: Option<f64>,
}

#[derive(Debug, Serialize)]
struct Report {
    model: String,
    engine: String,
    num_threads: usize,
    load_seconds: f64,
    memory_bytes_per_second: f64,
    prefill: Vec<Rate>,
    decode: Vec<Rate>,
    num_weight_bytes: u64,
    num_resident_bytes: Option<u64>,
}

/// When the sequences of a run got their tokens.
struct Run {
    until_all_began: Duration,
    after: Duration,
    num_tokens_after: usize,
    forward_share: f64,
}

/// Measures and prints.
pub(crate) async fn run(config: &Config, arguments: &ModelBench) -> Result<()> {
    let began = Instant::now();
    let mut worker = config.worker.clone();
    if worker.speculative.draft_model.is_none() {
        // Answers to prompts without sense repeat themselves, which drafts would turn into speed. It can be asked for.
        worker.speculative.method.get_or_insert(SpeculativeMethodName::None);
    }
    let ServedModel::Generator(mut model) = roles::load_model(&worker, config).await? else {
        bail!("jetmill bench measures models that generate text, this one gives vectors or scores");
    };
    let load_seconds = began.elapsed().as_secs_f64();
    let num_weight_bytes = model.num_weight_bytes as u64;
    let mut number = 0;
    measure(&mut model, (1, NUM_DECODE_PROMPT_TOKENS, 2), &mut number).await.context("warming up")?;

    let mut prefill = Vec::new();
    for &size in &arguments.prompts {
        let (mut rates, mut shares) = (Vec::new(), Vec::new());
        for _ in 0..arguments.rounds {
            let run = measure(&mut model, (1, size, 1), &mut number).await?;
            rates.push(size as f64 / run.until_all_began.as_secs_f64());
            shares.push(run.forward_share);
        }
        let (tokens_per_second, forward_share) = (median(rates), median(shares));
        prefill.push(Rate { size, tokens_per_second, forward_share, weight_bytes_per_second: None });
    }
    let mut decode = Vec::new();
    for &size in &arguments.batches {
        let (mut rates, mut shares) = (Vec::new(), Vec::new());
        for _ in 0..arguments.rounds {
            let shape = (size, NUM_DECODE_PROMPT_TOKENS, arguments.output_tokens);
            let run = measure(&mut model, shape, &mut number).await?;
            rates.push(run.num_tokens_after as f64 / run.after.as_secs_f64());
            shares.push(run.forward_share);
        }
        let (tokens_per_second, forward_share) = (median(rates), median(shares));
        let steps_per_second = tokens_per_second / size as f64;
        let bytes_per_step = if size == 1 { model.num_greedy_weight_bytes as u64 } else { num_weight_bytes };
        let weight_bytes_per_second = Some(steps_per_second * bytes_per_step as f64);
        decode.push(Rate { size, tokens_per_second, forward_share, weight_bytes_per_second });
    }
    let num_resident_bytes = resident_bytes();
    let num_threads = roles::num_threads(&config.worker);
    // After the model, whose memory would otherwise not be where it is in service.
    let memory_bytes_per_second = tokio::task::spawn_blocking(move || read_bandwidth(num_threads)).await?;
    let report = Report {
        model: model.card.name.clone(),
        engine: model.card.engine_fingerprint.clone(),
        num_threads,
        load_seconds,
        memory_bytes_per_second,
        prefill,
        decode,
        num_weight_bytes,
        num_resident_bytes,
    };
    let text = if arguments.json { serde_json::to_string_pretty(&report)? } else { report.to_text()? };
    writeln!(std::io::stdout(), "{text}").context("cannot write to standard output")
}

/// Runs that many sequences of so many prompt and answer tokens to their end.
async fn measure(
    model: &mut LoadedModel,
    (num_sequences, num_prompt_tokens, num_output_tokens): (usize, usize, u32),
    number: &mut usize,
) -> Result<Run> {
    let requests: Vec<EngineRequest> = (0..num_sequences)
        .map(|_| {
            *number += 1;
            request(*number, num_prompt_tokens, num_output_tokens, model.card.vocab_size)
        })
        .collect::<Result<_>>()?;
    let engine = model.engine.clone();
    let forward_before = engine.stats().forward_time_total;
    let began = Instant::now();
    let submit = try_join_all(requests.into_iter().map(|request| model.engine.submit(request)));
    let outputs = &mut model.outputs;
    let follow = async {
        let (mut num_began, mut num_ended, mut num_tokens_after) = (0, 0, 0);
        let mut until_all_began = None;
        while num_ended < num_sequences {
            let step = outputs.recv().await.context("the engine stopped")?;
            if until_all_began.is_some() {
                num_tokens_after += step.sequences.iter().map(|output| output.token_ids.len()).sum::<usize>();
            }
            for output in step.sequences {
                num_began += usize::from(output.first_token_index == 0 && !output.token_ids.is_empty());
                if let Some(finish) = output.finish {
                    num_ended += 1;
                    if finish.reason != FinishCause::Length {
                        bail!("a sequence ended by {:?}", finish.reason);
                    }
                }
            }
            if num_began == num_sequences && until_all_began.is_none() {
                until_all_began = Some(began.elapsed());
            }
        }
        let until_all_began = until_all_began.context("a sequence ended without a token")?;
        let elapsed = began.elapsed();
        let forward = engine.stats().forward_time_total - forward_before;
        let forward_share = forward.as_secs_f64() / elapsed.as_secs_f64();
        Ok(Run { until_all_began, after: elapsed - until_all_began, num_tokens_after, forward_share })
    };
    let (submitted, run) = tokio::join!(submit, follow);
    submitted?;
    run
}

/// A request whose prompt is its own from the first token on, so that no prefix cache answers for the engine.
fn request(
    number: usize,
    num_prompt_tokens: usize,
    num_output_tokens: u32,
    vocab_size: usize,
) -> Result<EngineRequest> {
    let num_ordinary = vocab_size.saturating_sub(FIRST_ORDINARY_TOKEN).max(1);
    let prompt = (0..num_prompt_tokens).map(|index| {
        let token = FIRST_ORDINARY_TOKEN + (number * 7_919 + index * 104_729) % num_ordinary;
        u32::try_from(token.min(vocab_size.saturating_sub(1))).unwrap_or(0)
    });
    let id: InferenceId = format!("{number:032x}").parse().context("no id")?;
    let sampling = SamplingParams {
        max_tokens: Some(num_output_tokens),
        temperature: 0.0,
        ignore_eos: true,
        ..SamplingParams::default()
    };
    Ok(EngineRequest::new(id, prompt.collect(), sampling))
}

impl Report {
    fn to_text(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        let bandwidth = self.memory_bytes_per_second;
        writeln!(text, "{} on {}, {} threads", self.model, self.engine, self.num_threads)?;
        writeln!(text, "loaded in {:.2} s; memory reads {:.1} GB/s\n", self.load_seconds, bandwidth / 1e9)?;
        for rate in &self.prefill {
            let share = rate.forward_share * 100.0;
            writeln!(
                text,
                "prefill {:>6} tokens    {:>8.1} tok/s   forward {share:>3.0} %",
                rate.size, rate.tokens_per_second
            )?;
        }
        for rate in &self.decode {
            let read = rate.weight_bytes_per_second.unwrap_or_default();
            writeln!(
                text,
                "decode  {:>6} sequences {:>8.1} tok/s   forward {:>3.0} %   weights {:>5.1} GB/s, {:>3.0} % of the memory's",
                rate.size,
                rate.tokens_per_second,
                rate.forward_share * 100.0,
                read / 1e9,
                read / bandwidth * 100.0
            )?;
        }
        write!(text, "\nweights {:.0} MB", self.num_weight_bytes as f64 / 1e6)?;
        if let Some(resident) = self.num_resident_bytes {
            write!(text, ", resident {:.0} MB with the KV cache", resident as f64 / 1e6)?;
        }
        Ok(text)
    }
}

/// What of this process is in memory; Linux alone tells.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? << 10)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}
