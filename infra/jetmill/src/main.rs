//! The jetmill binary: one program, a subcommand per role, and `serve`, which runs them all.
//!
//! This is the composition root: the only place where every room meets, and where environment, clock and randomness come
//! from. Start reading at [`roles::serve`].

mod batch;
mod broker;
mod cli;
mod config;
mod configuration;
mod instance;
mod logging;
mod model_bench;
mod proof;
mod record;
mod replay;
mod roles;
mod run_batch;
mod shutdown;

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Parser as _;

use crate::cli::{Cli, Command};
use crate::record::{EventsFormat, Listing};

/// How much a replay leaves to other processes of the machine.
const REPLAY_NICENESS: i32 = 10;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let is_replay = matches!(cli.command, Command::Replay(_));
    run(cli).unwrap_or_else(|error| {
        eprintln!("jetmill: {}", in_one_line(&error));
        if is_replay { ExitCode::from(replay::NOT_DONE) } else { ExitCode::FAILURE }
    })
}

/// The error and its causes; a cause that the words before it already tell is left out.
fn in_one_line(error: &anyhow::Error) -> String {
    let mut line = String::new();
    for cause in error.chain().map(|cause| cause.to_string().replace('\n', " ")) {
        if !line.ends_with(&cause) {
            let separator = if line.is_empty() { "" } else { ": " };
            line = line + separator + &cause;
        }
    }
    line
}

fn run(cli: Cli) -> Result<ExitCode> {
    let mut config = cli.settings.resolve()?;
    if matches!(
        cli.command,
        Command::RunBatch(_) | Command::Batch(_) | Command::Bench(_) | Command::Replay(_)
    ) {
        // Its own words are the progress and the result.
        config.log.quieten();
    }
    logging::init(&config.log)?;
    if matches!(cli.command, Command::Replay(_)) {
        // Before there are other threads, which take it over: whoever serves beside this goes first.
        rustix::process::nice(REPLAY_NICENESS).context("cannot be nice to other processes")?;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        match cli.command {
            Command::Serve => roles::serve(&config).await,
            Command::Api => roles::api(&config).await,
            Command::Guardrail => roles::guardrail(&config).await,
            Command::Router => roles::router(&config).await,
            Command::Worker => roles::worker(&config).await,
            Command::Projector => roles::projector(&config).await,
            Command::Jobs => roles::jobs(&config).await,
            Command::Batch(arguments) => batch::run(&config, arguments).await,
            Command::Events { id, json, content } => {
                record::events(&config, id, &EventsFormat { json, content }).await
            }
            Command::Inferences { status, model, limit, json } => {
                record::inferences(&config, Listing { status, model, limit, json }).await
            }
            Command::Audit { command } => proof::run(&config, &command).await,
            Command::Replay(arguments) => return replay::run(&config, &arguments).await,
            Command::Rebuild => record::rebuild(&config).await,
            Command::Bench(arguments) => model_bench::run(&config, &arguments).await,
            Command::RunBatch(arguments) => run_batch::run(&config, &arguments).await,
        }?;
        Ok(ExitCode::SUCCESS)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_told_once() {
        let cause = std::io::Error::other("the disk\nis gone");
        let error = anyhow::Error::new(cause).context("cannot read a: the disk is gone").context("no model");
        assert_eq!(in_one_line(&error), "no model: cannot read a: the disk is gone");
    }
}
