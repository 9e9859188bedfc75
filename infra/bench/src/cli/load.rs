//! `bench load`.

use std::path::PathBuf;
use std::time::Duration;

use bench::http_target::HttpTarget;
use bench::load::{self, Load, Pace, Until};
use bench::memory::MemoryWatch;
use bench::prompt::PromptShape;
use bench::report::LoadReport;

/// The server, and the work that it gets.
#[derive(Debug, clap::Args)]
pub(crate) struct LoadArguments {
    /// The server, for example http://127.0.0.1:8080 (HTTP only).
    #[arg(long)]
    pub(crate) url: String,
    /// The model to ask for; the first one that the server lists if it isn't given.
    #[arg(long)]
    pub(crate) model: Option<String>,
    /// The key to send as a bearer token.
    #[arg(long, env = "BENCH_API_KEY", hide_env_values = true)]
    pub(crate) api_key: Option<String>,
    /// Closed loop: this many streams, each asking again as soon as it was answered.
    #[arg(long, default_value_t = 16, conflicts_with = "rate")]
    concurrency: usize,
    /// Open loop: Poisson arrivals, this many a second on average, whether or not earlier ones were answered.
    #[arg(long)]
    rate: Option<f64>,
    /// Stop sending after this many requests.
    #[arg(long, conflicts_with = "duration_seconds")]
    num_requests: Option<usize>,
    /// Stop sending after this long.
    #[arg(long, default_value_t = 30)]
    duration_seconds: u64,
    /// Length of each prompt.
    #[arg(long, default_value_t = 256)]
    prompt_tokens: usize,
    /// How many tokens at the start all prompts share.
    #[arg(long, default_value_t = 0)]
    shared_prefix_tokens: usize,
    /// Tokens to generate for each; end-of-text is ignored.
    #[arg(long, default_value_t = 128)]
    output_tokens: u32,
    /// Sampling temperature; zero is greedy.
    #[arg(long, default_value_t = 0.0)]
    temperature: f64,
    /// Determines prompts, arrivals and sampling.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Requests to send, one at a time, before anything is counted.
    #[arg(long, default_value_t = 1)]
    warm_up_requests: usize,
    /// Watch the memory of this process and its children.
    #[arg(long)]
    pub(crate) pid: Option<u32>,
    /// Also write the report here, as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
}

pub(crate) async fn run(arguments: LoadArguments) -> anyhow::Result<bool> {
    if arguments.rate.is_some_and(|rate| !(rate.is_finite() && rate > 0.0)) {
        anyhow::bail!("--rate must be a positive number");
    }
    let target =
        HttpTarget::connect(&arguments.url, arguments.model.clone(), arguments.api_key.clone()).await?;
    warm_up(&target, &arguments).await?;
    let watch = arguments.pid.map(MemoryWatch::start);
    let measured = load::run(arguments.load(), |request, due| {
        let target = target.clone();
        async move { target.complete(&request, due).await }
    })
    .await;
    let report = LoadReport::new(measured, watch.map(|watch| watch.samples()).unwrap_or_default());
    super::print(&report.to_text())?;
    super::write_json(arguments.json.as_deref(), &report)?;
    Ok(report.num_failed() == 0)
}

async fn warm_up(target: &HttpTarget, arguments: &LoadArguments) -> anyhow::Result<()> {
    let warm_up = Load {
        pace: Pace::Closed { num_streams: 1 },
        until: Until::NumRequests(arguments.warm_up_requests),
        // Other prompts than those that are counted, or the prefix cache would know them.
        prompts: PromptShape { num_tokens: 32, num_shared_tokens: 0, seed: !arguments.seed },
        num_output_tokens: 4,
        temperature: 0.0,
    };
    let measured = load::run(warm_up, |request, due| {
        let target = target.clone();
        async move { target.complete(&request, due).await }
    })
    .await;
    let report = LoadReport::new(measured, Vec::new());
    match report.failures.into_keys().next() {
        Some(reason) => anyhow::bail!("the server failed while warming up: {reason}"),
        None => Ok(()),
    }
}

impl LoadArguments {
    fn load(&self) -> Load {
        Load {
            pace: match self.rate {
                Some(rate_per_second) => Pace::Open { rate_per_second },
                None => Pace::Closed { num_streams: self.concurrency },
            },
            until: match self.num_requests {
                Some(num_requests) => Until::NumRequests(num_requests),
                None => Until::Elapsed(Duration::from_secs(self.duration_seconds)),
            },
            prompts: PromptShape {
                num_tokens: self.prompt_tokens,
                num_shared_tokens: self.shared_prefix_tokens,
                seed: self.seed,
            },
            num_output_tokens: self.output_tokens,
            temperature: self.temperature,
        }
    }
}
