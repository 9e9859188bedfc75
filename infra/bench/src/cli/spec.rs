//! `bench spec`.

use std::path::PathBuf;

use bench::engine_target::EngineTarget;
use bench::speculation::{self, SpeculationBench, Workload};
use bench::table::Table;
use engine_workers::engine::config::EngineConfig;
use engine_workers::speculation::config::{SpeculativeConfig, SpeculativeMethod};

/// What is drafted, over which work.
#[derive(Debug, clap::Args)]
pub(crate) struct SpecArguments {
    /// The model.
    #[arg(long)]
    model: PathBuf,
    /// Kinds of prompts.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "repeat,edit,story")]
    workloads: Vec<Workload>,
    /// A smaller model that drafts, instead of the n-grams.
    #[arg(long)]
    draft_model: Option<PathBuf>,
    /// Numbers of streams, one row each.
    #[arg(long, value_delimiter = ',', default_value = "1,4,16")]
    streams: Vec<usize>,
    /// Tokens generated for each.
    #[arg(long, default_value_t = 128)]
    output_tokens: u32,
    /// How often the engines take turns.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Zero is greedy.
    #[arg(long, default_value_t = 0.0)]
    temperature: f64,
    /// Most drafts of a sequence in one step.
    #[arg(long)]
    num_speculative_tokens: Option<usize>,
    /// Sequences in a step from which on nothing is drafted.
    #[arg(long)]
    disable_by_batch_size: Option<usize>,
    /// Compute threads of each engine.
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Only say what a step's rows cost.
    #[arg(long)]
    only_rows: bool,
    /// Also write the figures here, as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
}

pub(crate) async fn run(arguments: SpecArguments) -> anyhow::Result<bool> {
    if arguments.only_rows {
        return print_row_costs(arguments.model, arguments.threads).await;
    }
    let defaults = SpeculativeConfig::default();
    let speculative = SpeculativeConfig {
        num_speculative_tokens: arguments.num_speculative_tokens.unwrap_or(defaults.num_speculative_tokens),
        disable_by_batch_size: arguments.disable_by_batch_size.unwrap_or(defaults.disable_by_batch_size),
        method: arguments.draft_model.map_or(defaults.method, |model| SpeculativeMethod::Draft { model }),
        ..defaults
    };
    let engine = |speculative| EngineConfig { speculative, ..EngineConfig::default() };
    let plain = EngineTarget::load_with(&arguments.model, arguments.threads, engine(None)).await?;
    let drafted =
        EngineTarget::load_with(&arguments.model, arguments.threads, engine(Some(speculative))).await?;
    let bench = SpeculationBench {
        workloads: arguments.workloads,
        num_streams: arguments.streams,
        num_output_tokens: arguments.output_tokens,
        num_rounds: arguments.rounds,
        temperature: arguments.temperature,
    };
    let figures = speculation::measure(&bench, &plain, &drafted).await.map_err(anyhow::Error::msg)?;
    super::print(&speculation::table(&figures).to_string())?;
    super::write_json(arguments.json.as_deref(), &figures)?;
    Ok(true)
}

async fn print_row_costs(model: PathBuf, num_threads: usize) -> anyhow::Result<bool> {
    let costs = tokio::task::spawn_blocking(move || speculation::row_costs(&model, num_threads)).await?;
    let mut table = Table::new(["rows of a step", "time, in steps of one row"]);
    for (num_rows, cost) in costs.map_err(anyhow::Error::msg)? {
        table.row([num_rows.to_string(), format!("{cost:.2}")]);
    }
    super::print(&table.to_string())?;
    Ok(true)
}
