//! Kills, stops and cuts off every role under load, then checks what the log promises.
//!
//! Owns the site (each role in processes of its own, each with a link to the broker that can be cut, and the database), the clients, and the
//! verdict. It knows the platform from outside: HTTP, signals, the log and the tables. What is done to whom follows
//! from a printed seed; when a process reacts does not, so a seed repeats the blows and not every interleaving.
//! Start reading at [`run`].

mod answer;
mod background;
mod batches;
mod caller;
mod havoc;
mod link;
mod member;
mod postgres;
mod question;
mod site;
mod traffic;
mod verdict;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Parser;

use havoc::Havoc;
use question::Question;
use site::{DatabaseKind, Programs, Site};
use traffic::Traffic;
use verdict::Verdict;

/// Runs real load through separate processes while it kills, stops and cuts off each of them, then checks that nothing was
/// lost, doubled or changed.
#[derive(Debug, Parser)]
#[command(name = "chaos", version)]
struct Arguments {
    /// The jetmill binary.
    #[arg(long)]
    jetmill: PathBuf,
    /// The broker's binary.
    #[arg(long, default_value = ".jetmill/bin/nats-server")]
    nats_server: PathBuf,
    /// The model that answers.
    #[arg(long, default_value = ".jetmill/models/smollm2-135m-instruct-q4_1.gguf")]
    model: PathBuf,
    /// Where the tables are: in a file, or in a PostgreSQL server of the site's own, which is struck like the others.
    #[arg(long, value_enum, default_value_t = DatabaseKind::Sqlite)]
    database: DatabaseKind,
    /// How long blows fall.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Mean time between two blows.
    #[arg(long, default_value_t = 2_000)]
    blow_every_millis: u64,
    /// Clients that always have a stream open.
    #[arg(long, default_value_t = 8)]
    streams: usize,
    /// Determines questions and blows; random when absent.
    #[arg(long)]
    seed: Option<u64>,
    /// Keep the site's directory, with the log of every process.
    #[arg(long)]
    keep: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            say(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<bool> {
    let seed = arguments.seed.unwrap_or_else(rand::random);
    say(&format!("seed {seed}"));
    let programs = Programs {
        jetmill: arguments.jetmill.canonicalize()?,
        nats_server: arguments.nats_server.canonicalize()?,
        model: arguments.model.canonicalize()?,
    };
    let mut site = Site::start(programs, arguments.database).await?;
    let questions = Question::all(seed);
    let expected = traffic::undisturbed(&site.api_urls(), &questions).await?;
    let consumers_before = site.num_consumers().await?;
    say(&format!("{} answers known; blows fall for {} s", expected.len(), arguments.seconds));

    let began = Instant::now();
    let traffic = Traffic::start(site.api_urls(), questions, arguments.streams, seed);
    let until = began + Duration::from_secs(arguments.seconds);
    let mut blows =
        Havoc::new(seed, Duration::from_millis(arguments.blow_every_millis)).rage(&mut site, until).await?;
    let answers = traffic.finish().await;
    blows.ended_alone.extend(site.revive()?);

    let mut verdict = Verdict::of_answers(&answers, &expected);
    verdict.check_record(&mut site, &answers, &expected).await?;
    verdict.check_processes(&blows.ended_alone);
    verdict.check_consumers(consumers_before, site.num_consumers().await?);
    say(&format!("{blows}\n{verdict}"));
    if arguments.keep || !verdict.is_clean() {
        say(&format!("logs: {}", site.keep().display()));
    }
    Ok(verdict.is_clean())
}

#[expect(clippy::print_stdout, reason = "a report on the terminal")]
fn say(text: &str) {
    println!("{text}");
}
