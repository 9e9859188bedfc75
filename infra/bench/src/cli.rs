//! The command line: arguments in, a report on standard output, progress on standard error.

mod batch;
mod compare;
mod load;
mod run_arguments;
mod soak;
mod spec;
mod table;

use std::io::Write;
use std::path::Path;

use anyhow::Context;
use serde::Serialize;

/// Measures OpenAI-compatible servers. Figures hold for this machine and this run: compare only within one run.
#[derive(Debug, clap::Parser)]
#[command(name = "bench", version)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Load one server, in a closed or an open loop.
    Load(load::LoadArguments),
    /// Many streams for a while: no error, every stream gapless and complete, memory flat. Fails otherwise.
    Soak(soak::SoakArguments),
    /// The platform beside the engine called directly and beside other servers, in one run.
    Compare(compare::CompareArguments),
    /// A batch beside the offline engine, and interactive requests beside a batch.
    Batch(batch::BatchArguments),
    /// An engine with speculative decoding beside one without, over text that repeats its prompt and text that doesn't.
    Spec(spec::SpecArguments),
    /// What must be reached: every row beside the best peer in any format, with the ratio.
    Table(table::TableArguments),
}

/// Runs the command; `false` means that it ran and found that something does not hold.
pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<bool> {
    match arguments.command {
        Command::Load(arguments) => load::run(arguments).await,
        Command::Soak(arguments) => soak::run(arguments).await,
        Command::Compare(arguments) => compare::run(arguments).await,
        Command::Batch(arguments) => batch::run(arguments).await,
        Command::Spec(arguments) => spec::run(arguments).await,
        Command::Table(arguments) => table::run(arguments).await,
    }
}

fn print(text: &str) -> anyhow::Result<()> {
    writeln!(std::io::stdout(), "{text}").context("cannot write to standard output")
}

fn progress(text: &str) -> anyhow::Result<()> {
    writeln!(std::io::stderr(), "{text}").context("cannot write to standard error")
}

fn write_json(path: Option<&Path>, value: &impl Serialize) -> anyhow::Result<()> {
    let Some(path) = path else { return Ok(()) };
    let text = serde_json::to_string_pretty(value)?;
    std::fs::write(path, text + "\n").with_context(|| format!("cannot write {}", path.display()))
}
