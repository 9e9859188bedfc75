//! `jetmill batch`: batches on a running server, over its HTTP api.

mod client;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Deserialize;
use tokio::fs::File;
use tokio::io::{AsyncWriteExt as _, BufReader};

use self::client::{BatchClient, ShownBatch};
use crate::config::{Config, Secret};

const POLL: Duration = Duration::from_secs(1);
/// The first line of a file tells its endpoint; it is no longer than this.
const MAX_LINE_BYTES: usize = 16 << 20;

/// What is asked of which server.
#[derive(Debug, Args)]
pub(crate) struct BatchCommand {
    #[command(subcommand)]
    action: Action,
    /// The server [default: where the configuration lets the api listen].
    #[arg(long, global = true, env = "JETMILL_URL")]
    url: Option<String>,
    /// The key to send [default: the master key of the configuration].
    #[arg(long, global = true, env = "JETMILL_API_KEY", hide_env_values = true)]
    api_key: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Uploads a file of requests and begins a batch; prints the batch's id.
    Submit {
        /// Lines {"custom_id", "method", "url", "body"}.
        file: PathBuf,
        /// The route that every line asks for [default: the url of the first line].
        #[arg(long)]
        endpoint: Option<String>,
        /// When the batch expires.
        #[arg(long, default_value = "24h")]
        window: String,
        /// Stays until the batch is over.
        #[arg(long)]
        watch: bool,
    },
    /// Shows how far a batch is until it is over; fails unless it was completed.
    Watch {
        /// The batch.
        id: String,
    },
    /// Writes the answers of a batch that is over, and the lines without one.
    Fetch {
        /// The batch.
        id: String,
        /// Where the answers go [default: ID_output.jsonl].
        #[arg(short, long)]
        output: Option<PathBuf>,
        /// Where the lines without an answer go, if there are any [default: ID_error.jsonl].
        #[arg(short, long)]
        errors: Option<PathBuf>,
    },
    /// Gives a batch up; what has ended is kept.
    Cancel {
        /// The batch.
        id: String,
    },
}

/// Only what tells the endpoint.
#[derive(Deserialize)]
struct FirstLine {
    url: String,
}

/// Does it and says what came of it.
pub(crate) async fn run(config: &Config, command: BatchCommand) -> Result<()> {
    let url = command.url.unwrap_or_else(|| format!("http://{}", config.api.listen));
    let key = command.api_key.filter(|key| !key.is_empty()).map(Secret::from);
    let client = BatchClient::new(&url, key.or_else(|| config.api.master_key.clone()))?;
    match command.action {
        Action::Submit { file, endpoint, window, watch } => {
            let endpoint = match endpoint {
                Some(endpoint) => endpoint,
                None => endpoint_of(&file).await?,
            };
            let input = client.upload(&file).await?;
            let batch = client.create(&input, &endpoint, &window).await?;
            say(&batch.id)?;
            if watch { see_through(&client, &batch.id).await } else { Ok(()) }
        }
        Action::Watch { id } => see_through(&client, &id).await,
        Action::Fetch { id, output, errors } => fetch(&client, &id, output, errors).await,
        Action::Cancel { id } => {
            let batch = client.cancel(&id).await?;
            say(&format!("{} is {}", batch.id, batch.status))
        }
    }
}

async fn endpoint_of(file: &Path) -> Result<String> {
    let shown = file.display();
    let source = File::open(file).await.with_context(|| format!("cannot open {shown}"))?;
    let mut lines = schedulers::jobs::LineReader::new(BufReader::new(source), MAX_LINE_BYTES);
    while let Some((line, _)) = lines.next().await.with_context(|| format!("cannot read {shown}"))? {
        if let schedulers::jobs::Line::Whole(line) = line
            && let Ok(FirstLine { url }) = serde_json::from_slice(&line)
        {
            return Ok(url);
        }
    }
    bail!("no line of {shown} has a url; name the route with --endpoint")
}

/// Draws a bar on a terminal until the batch is over.
async fn see_through(client: &BatchClient, id: &str) -> Result<()> {
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} {elapsed}, {eta} left: {msg}")?;
    let bar = ProgressBar::new(0).with_style(style);
    bar.enable_steady_tick(POLL / 2);
    let batch = loop {
        let batch = client.batch(id).await?;
        let counts = &batch.request_counts;
        bar.set_length(counts.total);
        bar.set_position(counts.completed + counts.failed);
        bar.set_message(format!("{}, {} failed", batch.status, counts.failed));
        if batch.is_over() {
            break batch;
        }
        tokio::time::sleep(POLL).await;
    };
    bar.finish_and_clear();
    let ShownBatch { status, request_counts: counts, .. } = &batch;
    say(&format!("{id} is {status}: {} answered, {} failed", counts.completed, counts.failed))?;
    match batch.first_error() {
        _ if status == "completed" => Ok(()),
        Some(error) => bail!("the batch is {status}: {error}"),
        None => bail!("the batch is {status}"),
    }
}

async fn fetch(
    client: &BatchClient,
    id: &str,
    output: Option<PathBuf>,
    errors: Option<PathBuf>,
) -> Result<()> {
    let batch = client.batch(id).await?;
    if !batch.is_over() {
        bail!("the batch is {}; its files are written when it is over", batch.status);
    }
    let files = [(&batch.output_file_id, output, "output"), (&batch.error_file_id, errors, "error")];
    for (file, path, word) in files {
        let Some(file) = file else { continue };
        let path = path.unwrap_or_else(|| PathBuf::from(format!("{id}_{word}.jsonl")));
        download(client, file, &path).await?;
        say(&path.display().to_string())?;
    }
    Ok(())
}

/// Writes a file beside its place, and puts it there when it is whole; what is no file, as a pipe or a link, is written at once.
async fn download(client: &BatchClient, file: &str, path: &Path) -> Result<()> {
    let is_file = tokio::fs::symlink_metadata(path).await.map_or(true, |there| there.is_file());
    let written = if is_file { path.with_added_extension("part") } else { path.to_owned() };
    let shown = written.display();
    let mut content = client.content(file).await?;
    let mut target = File::create(&written).await.with_context(|| format!("cannot create {shown}"))?;
    while let Some(bytes) = content.chunk().await.context("the file broke off; fetch it again")? {
        target.write_all(&bytes).await.with_context(|| format!("cannot write {shown}"))?;
    }
    target.flush().await.with_context(|| format!("cannot write {shown}"))?;
    if is_file {
        tokio::fs::rename(&written, path).await.with_context(|| format!("cannot rename {shown}"))?;
    }
    Ok(())
}

fn say(line: &str) -> Result<()> {
    Ok(writeln!(std::io::stdout(), "{line}")?)
}
