//! `bench soak`.

use std::path::PathBuf;
use std::time::Duration;

use bench::http_target::HttpTarget;
use bench::load::{self, Load, Pace, Until};
use bench::memory::{MemoryWatch, growth};
use bench::prompt::PromptShape;
use bench::report::LoadReport;
use bench::soak::{SoakLimits, shortcomings};

/// The server, how much it must bear, and for how long.
#[derive(Debug, clap::Args)]
pub(crate) struct SoakArguments {
    /// A Jetmill server: its event ids are checked.
    #[arg(long)]
    url: String,
    /// The key to send as a bearer token.
    #[arg(long, env = "BENCH_API_KEY", hide_env_values = true)]
    api_key: Option<String>,
    /// Streams at once.
    #[arg(long, default_value_t = 200)]
    concurrency: usize,
    /// How long to keep asking; streams under way then are read to their end.
    #[arg(long, default_value_t = 120)]
    duration_seconds: u64,
    /// Length of each prompt.
    #[arg(long, default_value_t = 32)]
    prompt_tokens: usize,
    /// Tokens to generate for each.
    #[arg(long, default_value_t = 32)]
    output_tokens: u32,
    /// The server's process, whose memory, with its children's, must stay flat.
    #[arg(long)]
    pid: Option<u32>,
    /// Allocated memory at the end over allocated memory after warming up, at most.
    #[arg(long, default_value_t = 1.1)]
    max_memory_growth: f64,
    /// Also write the report here, as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
}

pub(crate) async fn run(arguments: SoakArguments) -> anyhow::Result<bool> {
    let target = HttpTarget::connect(&arguments.url, None, arguments.api_key.clone()).await?;
    let target = target.with_stream_checks();
    let watch = arguments.pid.map(MemoryWatch::start);
    let load = Load {
        pace: Pace::Closed { num_streams: arguments.concurrency },
        until: Until::Elapsed(Duration::from_secs(arguments.duration_seconds)),
        prompts: PromptShape { num_tokens: arguments.prompt_tokens, num_shared_tokens: 0, seed: 1 },
        num_output_tokens: arguments.output_tokens,
        temperature: 1.0,
    };
    let measured = load::run(load, |request, due| {
        let target = target.clone();
        async move { target.complete(&request, due).await }
    })
    .await;
    let report = LoadReport::new(measured, watch.map(|watch| watch.samples()).unwrap_or_default());
    super::print(&report.to_text())?;
    if let Some(growth) = growth(&report.memory) {
        super::print(&format!("allocated memory: {growth:.3} × of what it was after warming up"))?;
    }
    super::write_json(arguments.json.as_deref(), &report)?;
    let limits = SoakLimits { max_memory_growth: arguments.max_memory_growth };
    let shortcomings = shortcomings(&report, limits);
    for shortcoming in &shortcomings {
        super::print(&format!("FAILED: {shortcoming}"))?;
    }
    if shortcomings.is_empty() {
        super::print("passed: every stream gapless and complete")?;
    }
    Ok(shortcomings.is_empty())
}
