//! What drafts bring: one engine with and one without them, over the same prompts in turn, and what a step's rows cost.

use std::path::Path;
use std::time::{Duration, Instant};

use engine_workers::cpu_runner::CpuRunner;
use engine_workers::cpu_runner::options::{CpuRunnerOptions, KvCapacity};
use engine_workers::engine::stats::EngineStats;
use engine_workers::model_file::ModelFile;
use engine_workers::runner::{LogitRows, ModelRunner as _, SequenceChunk};
use futures_util::future::join_all;
use schemas::SamplingParams;
use schemas::v1::{ChatPrompt, Prompt, prompt::Content};
use serde::Serialize;

use crate::completion::{Completion, CompletionRequest, Outcome};
use crate::engine_target::EngineTarget;
use crate::table::Table;

const SAMPLE: &str = include_str!("speculation/sample.txt");

/// What the model is asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, clap::ValueEnum)]
pub enum Workload {
    /// To repeat a file.
    Repeat,
    /// To change a name in a file.
    Edit,
    /// To write something that was not there before.
    Story,
}

impl Workload {
    /// Its name in the tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Repeat => "repeat a file",
            Self::Edit => "rename in a file",
            Self::Story => "write a story",
        }
    }

    fn text(self, number: usize) -> String {
        match self {
            Self::Repeat => {
                format!("Repeat file {number} exactly, without a comment on it:\n```rust\n{SAMPLE}```")
            }
            Self::Edit => format!(
                "In file {number}, rename `entries` to `items`. Answer with the whole file:\n```rust\n{SAMPLE}```"
            ),
            Self::Story => {
                format!("Write a story in {} chapters about a lighthouse keeper and the sea.", number + 2)
            }
        }
    }

    fn prompt(self, number: usize) -> Prompt {
        let messages = serde_json::json!([{ "role": "user", "content": self.text(number) }]);
        let chat = ChatPrompt {
            messages_json: messages.to_string(),
            add_generation_prompt: true,
            ..ChatPrompt::default()
        };
        Prompt { content: Some(Content::Chat(chat)) }
    }
}

/// What is measured.
#[derive(Debug, Clone)]
pub struct SpeculationBench {
    /// Kinds of prompts.
    pub workloads: Vec<Workload>,
    /// Numbers of streams, one row of figures each.
    pub num_streams: Vec<usize>,
    /// Tokens of each answer.
    pub num_output_tokens: u32,
    /// How often the engines take turns.
    pub num_rounds: usize,
    /// Zero is greedy.
    pub temperature: f64,
}

/// One workload at one number of streams.
#[derive(Debug, Clone, Serialize)]
pub struct SpeculationFigures {
    workload: Workload,
    num_streams: usize,
    /// Tokens a second of all streams, from the first token of each on.
    plain_tokens_per_second: f64,
    drafted_tokens_per_second: f64,
    num_draft_tokens: u64,
    num_accepted_tokens: u64,
    /// Tokens that a step brought each sequence, with drafts.
    num_tokens_per_step: f64,
}

/// Measures every workload at every number of streams; the engines take turns in each round, and figures are those of the
/// medians of the rounds' times.
pub async fn measure(
    bench: &SpeculationBench,
    plain: &EngineTarget,
    drafted: &EngineTarget,
) -> Result<Vec<SpeculationFigures>, String> {
    let mut figures = Vec::new();
    for workload in bench.workloads.iter().copied() {
        for num_streams in bench.num_streams.iter().copied() {
            figures.push(measure_one(bench, (workload, num_streams), plain, drafted).await?);
        }
    }
    Ok(figures)
}

async fn measure_one(
    bench: &SpeculationBench,
    (workload, num_streams): (Workload, usize),
    plain: &EngineTarget,
    drafted: &EngineTarget,
) -> Result<SpeculationFigures, String> {
    let before = drafted.stats();
    let mut times = [Vec::new(), Vec::new()];
    for round in 0..bench.num_rounds {
        for (target, times) in [plain, drafted].into_iter().zip(&mut times) {
            let numbers = (0..num_streams).map(|stream| round * num_streams + stream);
            let requests: Vec<_> = numbers.map(|number| request(bench, workload, number, target)).collect();
            let requests = requests.into_iter().collect::<Result<Vec<_>, _>>()?;
            let due = Instant::now();
            let outcomes = join_all(requests.into_iter().map(|request| target.complete(request, due))).await;
            times.push(decode_time(outcomes)?);
        }
    }
    let num_tokens = f64::from(bench.num_output_tokens - 1) * num_streams as f64;
    let [plain_time, drafted_time] = times.map(median);
    let after = drafted.stats();
    let since = |count: fn(&EngineStats) -> u64| count(&after) - count(&before);
    let num_accepted_tokens = since(|stats| stats.spec_decode_num_accepted_tokens_total);
    let num_generated = since(|stats| stats.generation_tokens_total);
    Ok(SpeculationFigures {
        workload,
        num_streams,
        plain_tokens_per_second: num_tokens / plain_time.as_secs_f64(),
        drafted_tokens_per_second: num_tokens / drafted_time.as_secs_f64(),
        num_draft_tokens: since(|stats| stats.spec_decode_num_draft_tokens_total),
        num_accepted_tokens,
        num_tokens_per_step: num_generated as f64 / (num_generated - num_accepted_tokens).max(1) as f64,
    })
}

fn request(
    bench: &SpeculationBench,
    workload: Workload,
    number: usize,
    target: &EngineTarget,
) -> Result<CompletionRequest, String> {
    let prompt = target.text().tokens_of(&workload.prompt(number), &SamplingParams::default());
    Ok(CompletionRequest {
        prompt: prompt.map_err(|failure| failure.message)?,
        num_output_tokens: bench.num_output_tokens,
        temperature: bench.temperature,
        seed: number as u64,
    })
}

/// From the first token that any stream had to the end of all.
fn decode_time(outcomes: Vec<Outcome>) -> Result<Duration, String> {
    let completed = outcomes.into_iter().map(|outcome| match outcome {
        Outcome::Completed(completion) => Ok(completion),
        Outcome::Failed(reason) => Err(reason),
    });
    let completed: Vec<Completion> = completed.collect::<Result<_, _>>()?;
    let first = completed.iter().map(|completion| completion.time_to_first_token).min().unwrap_or_default();
    let last = completed.iter().map(|completion| completion.total).max().unwrap_or_default();
    Ok(last.saturating_sub(first))
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

/// The figures as a table.
#[must_use]
pub fn table(figures: &[SpeculationFigures]) -> Table {
    let mut table = Table::new([
        "workload",
        "streams",
        "tok/s without",
        "tok/s with drafts",
        "ratio",
        "drafts accepted",
        "tokens a step",
    ]);
    for row in figures {
        table.row([
            row.workload.name().to_owned(),
            row.num_streams.to_string(),
            format!("{:.1}", row.plain_tokens_per_second),
            format!("{:.1}", row.drafted_tokens_per_second),
            format!("{:.2}", row.drafted_tokens_per_second / row.plain_tokens_per_second),
            format!("{} of {}", row.num_accepted_tokens, row.num_draft_tokens),
            format!("{:.2}", row.num_tokens_per_step),
        ]);
    }
    table
}

/// How long steps of several rows of one sequence take, in steps of one row; every row has logits.
pub fn row_costs(model: &Path, num_threads: usize) -> Result<Vec<(usize, f64)>, String> {
    const NUM_CONTEXT_TOKENS: usize = 256;
    let file = ModelFile::open(model).map_err(|error| error.to_string())?;
    let options =
        CpuRunnerOptions { num_threads, kv_capacity: KvCapacity::Blocks(64), ..CpuRunnerOptions::default() };
    let mut runner = CpuRunner::load(&file, &options).map_err(|error| error.to_string())?;
    let block_table: Vec<u32> = (0..64).collect();
    let mut logits = Vec::new();
    let mut step = |num_rows: usize, first_position: usize| {
        let tokens: Vec<u32> = (0..num_rows as u32).map(|row| 1000 + row * 7).collect();
        let chunk = SequenceChunk {
            tokens: &tokens,
            first_position,
            block_table: &block_table,
            logit_rows: LogitRows::All,
            adapter: None,
        };
        let started_at = Instant::now();
        let outcome = runner.forward(&[chunk], &mut logits);
        outcome.map(|()| started_at.elapsed()).map_err(|error| error.to_string())
    };
    step(NUM_CONTEXT_TOKENS, 0)?;
    let num_rows = [1, 2, 3, 4, 5, 6, 8, 9, 12, 16, 17, 24, 32];
    let mut times = num_rows.map(|_| Vec::new());
    for _ in 0..11 {
        for (num_rows, times) in num_rows.into_iter().zip(&mut times) {
            times.push(step(num_rows, NUM_CONTEXT_TOKENS)?);
        }
    }
    let times = times.map(|times| median(times).as_secs_f64());
    Ok(num_rows.into_iter().zip(times.map(|time| time / times[0])).collect())
}
