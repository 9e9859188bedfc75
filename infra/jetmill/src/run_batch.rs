//! `jetmill run-batch`: a file of requests in, a file of answers out, by the roles in this process.
//!
//! Each line goes the way of a client's request, the record included. Answers come in the order of their lines, and only a
//! window of lines is in memory.

mod output_file;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use api::{BatchOutcome, LocalCaller};
use clap::Args;
use futures_util::{StreamExt as _, stream};
use indicatif::{ProgressBar, ProgressStyle};
use schedulers::jobs::{Line, LineReader};
use tokio::fs::File;
use tokio::io::BufReader;

use self::output_file::OutputFile;
use crate::config::Config;
use crate::roles::LocalSite;
use crate::shutdown;

/// Lines under way for each sequence of a step: while a long answer holds up the file, the others keep the engine full.
const LINES_PER_SLOT: usize = 4;
const MAX_NUM_ATTEMPTS: u32 = 6;
const FIRST_PAUSE: Duration = Duration::from_millis(250);

/// What is answered, and where to.
#[derive(Debug, Args)]
pub(crate) struct RunBatch {
    /// A file of lines {"custom_id", "method", "url", "body"}, as OpenAI's batches have them.
    #[arg(short, long)]
    input: PathBuf,
    /// Where the answers go, one line each, in the order of the input. Lines that it has already are not asked again.
    #[arg(short, long)]
    output: PathBuf,
}

/// What came of the lines of this run.
#[derive(Debug, Default)]
struct Tally {
    num_answered: u64,
    num_failed: u64,
    num_completion_tokens: u64,
}

/// Answers every line that has no answer yet. A bad line is an error in the output and not the end of the run.
pub(crate) async fn run(config: &Config, arguments: &RunBatch) -> Result<()> {
    let signal = shutdown::on_signal()?;
    let shown = arguments.input.display();
    let file = File::open(&arguments.input).await.with_context(|| format!("cannot open {shown}"))?;
    let num_bytes = file.metadata().await?.len();
    let mut input = LineReader::new(BufReader::new(file), config.api.max_body_bytes.get());
    let (mut output, num_answers) = OutputFile::open(&arguments.output, &mut input).await?;

    let bar = progress_bar(num_bytes, num_answers)?;
    let site = LocalSite::start(config).await?;
    let began = Instant::now();
    let answered = tokio::select! {
        answered = answer_all(&site, input, &mut output, (num_answers, &bar)) => answered.map(Some),
        () = signal.cancelled() => Ok(None),
        error = site.ended_early() => Err(error),
    };
    bar.finish_and_clear();
    let closed = site.close().await;
    let Some(tally) = answered? else {
        bail!("stopped; the same command goes on where this one ended");
    };
    closed?;
    let seconds = began.elapsed().as_secs_f64();
    eprintln!(
        "{} answered, {} failed, {num_answers} were there already; {} tokens in {seconds:.1} s ({:.1} a second)",
        tally.num_answered,
        tally.num_failed,
        tally.num_completion_tokens,
        tally.num_completion_tokens as f64 / seconds,
    );
    Ok(())
}

async fn answer_all<R: tokio::io::AsyncBufRead + Unpin>(
    site: &LocalSite,
    input: LineReader<R>,
    output: &mut OutputFile,
    (num_answers, bar): (u64, &ProgressBar),
) -> Result<Tally> {
    let window = site.num_slots().saturating_mul(LINES_PER_SLOT).clamp(1, site.max_num_requests());
    let lines = stream::try_unfold((input, num_answers), |(mut input, number)| async move {
        let read = input.next().await.context("cannot read the input")?;
        Ok(read.map(|(line, _)| {
            let at = input.num_bytes_read();
            ((number + 1, line, at), (input, number + 1))
        }))
    });
    let mut outcomes = std::pin::pin!(
        lines
            .map(|line: Result<(u64, Line, u64)>| async {
                let (number, line, at) = line?;
                Ok::<_, anyhow::Error>((answer(site.caller(), number, line).await, at))
            })
            .buffered(window)
    );
    let mut tally = Tally::default();
    while let Some(outcome) = outcomes.next().await {
        let (outcome, at) = outcome?;
        *(if outcome.is_answered { &mut tally.num_answered } else { &mut tally.num_failed }) += 1;
        tally.num_completion_tokens += outcome.num_completion_tokens;
        output.write(outcome.line).await?;
        bar.set_position(at);
        bar.set_message(format!("{} answered, {} failed", tally.num_answered, tally.num_failed));
    }
    Ok(tally)
}

/// One line's outcome; a node that is busy is asked again for a while.
async fn answer(caller: &LocalCaller, number: u64, line: Line) -> BatchOutcome {
    let line = match line {
        Line::Whole(line) => line,
        Line::TooLong => return api::too_long(number),
    };
    let mut pause = FIRST_PAUSE;
    for _ in 1..MAX_NUM_ATTEMPTS {
        let outcome = caller.batch_line(number, &line).await;
        if !outcome.is_retryable {
            return outcome;
        }
        tokio::time::sleep(pause).await;
        pause *= 2;
    }
    caller.batch_line(number, &line).await
}

/// By bytes of the input, since its lines are counted by nobody; drawn on a terminal alone.
fn progress_bar(num_bytes: u64, num_answers: u64) -> Result<ProgressBar> {
    let style = ProgressStyle::with_template("{bar:40} {percent:>3} % {elapsed}, {eta} left: {msg}")?;
    let bar = ProgressBar::new(num_bytes).with_style(style);
    bar.set_message(format!("loading the model; {num_answers} lines are answered already"));
    bar.enable_steady_tick(Duration::from_millis(500));
    Ok(bar)
}
