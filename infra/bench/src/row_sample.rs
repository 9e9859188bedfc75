//! One figure of one target for one row.

use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::completion::{Completion, Outcome};
use crate::http_target::HttpTarget;
use crate::load::{self, Load, Pace, Until};
use crate::memory;
use crate::prompt::PromptShape;
use crate::quantiles::Quantiles;
use crate::report::LoadReport;
use crate::row::Workload;
use crate::served_process::{ServedProcess, ServerCommand};
use crate::target::Target;

/// Requests of a sample that measures one stream's rate or its first token.
const NUM_SINGLE_REQUESTS: usize = 3;
const NUM_CACHED_REQUESTS: usize = 8;
const NUM_MEMORY_STREAMS: usize = 32;
/// Memory that grows by less in this time has come to rest.
const SETTLING: Duration = Duration::from_secs(2);
const SETTLED_BYTES: u64 = 2 << 20;
const MAX_SETTLINGS: usize = 30;

/// How much a sample does.
#[derive(Debug, Clone, Copy)]
pub struct SampleSize {
    /// Requests for each stream.
    pub num_requests_per_stream: usize,
    /// Determines all prompts. A seed that comes twice lets a prefix cache answer for the engine.
    pub seed: u64,
}

/// Measures a workload that a running target answers; `Err` tells the cause of the first request that failed.
///
/// [`Workload::Start`] and [`Workload::Memory`] are about processes: see [`start`] and [`memory_beyond`].
pub async fn sample(target: &Target, workload: Workload, size: SampleSize) -> Result<f64, String> {
    match workload {
        Workload::Decode => decode(target, size).await,
        Workload::Prefill => prefill(target, size).await,
        Workload::Streams(num_streams) => streams(target, num_streams, size).await,
        Workload::ArrivalGaps(num_streams) => arrival_gaps(target, num_streams, size).await,
        Workload::CachedPrefix => cached_prefix(target, size).await,
        Workload::Start | Workload::Memory => Err("is measured on a process".to_owned()),
    }
}

/// One short answer that is not counted: pages, caches and compiled code come into being. What goes wrong shows later.
pub async fn warm_up(target: &Target, seed: u64) {
    drop(completions(target, single(64, 0, 8, 1, !seed)).await);
}

async fn decode(target: &Target, size: SampleSize) -> Result<f64, String> {
    let completions = completions(target, single(16, 0, 128, NUM_SINGLE_REQUESTS, size.seed)).await?;
    let rates = completions.iter().map(|completion| {
        let seconds: f64 = completion.inter_token.iter().map(Duration::as_secs_f64).sum();
        (completion.num_output_tokens.saturating_sub(1)) as f64 / seconds
    });
    median(rates.collect()).ok_or_else(|| "nothing was answered".to_owned())
}

async fn prefill(target: &Target, size: SampleSize) -> Result<f64, String> {
    let completions = completions(target, single(512, 0, 2, NUM_SINGLE_REQUESTS, size.seed)).await?;
    let rates = completions
        .iter()
        .map(|completion| completion.num_prompt_tokens as f64 / completion.time_to_first_token.as_secs_f64());
    median(rates.collect()).ok_or_else(|| "nothing was answered".to_owned())
}

async fn streams(target: &Target, num_streams: usize, size: SampleSize) -> Result<f64, String> {
    let load = closed(num_streams, size);
    let measured = load::run(load, |request, due| target.clone().complete(request, due)).await;
    let report = LoadReport::new(measured, Vec::new());
    match report.failures.first_key_value() {
        Some((cause, count)) => Err(format!("{count} × {cause}")),
        None => Ok(report.output_tokens_per_second),
    }
}

async fn arrival_gaps(target: &Target, num_streams: usize, size: SampleSize) -> Result<f64, String> {
    let load = closed(num_streams, size);
    let gaps = Mutex::new(Vec::new());
    let measured = load::run(load, |mut request, due| {
        let index = request.seed.wrapping_sub(size.seed);
        // 64 to 192 tokens, in an order that the same index gives every target.
        request.num_output_tokens = 64 + (index.wrapping_mul(83) % 129) as u32;
        let (target, gaps) = (target.clone(), &gaps);
        async move {
            let outcome = target.complete(request, due).await;
            if let Outcome::Completed(completion) = &outcome
                && index >= num_streams as u64
            {
                gaps.lock().unwrap_or_else(PoisonError::into_inner).extend(completion.inter_token.clone());
            }
            outcome
        }
    })
    .await;
    all_completed(measured.outcomes)?;
    let gaps = gaps.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok(Quantiles::of(gaps).p99_ms)
}

async fn cached_prefix(target: &Target, size: SampleSize) -> Result<f64, String> {
    let load = single(1_032, 1_000, 2, NUM_CACHED_REQUESTS + 1, size.seed);
    let completions = completions(target, load).await?;
    // The first one fills the cache.
    let times =
        completions.iter().skip(1).map(|completion| completion.time_to_first_token.as_secs_f64() * 1e3);
    median(times.collect()).ok_or_else(|| "nothing was answered".to_owned())
}

/// From the start of the process to the first token of its first answer, in milliseconds.
pub async fn start(command: &ServerCommand) -> Result<f64, String> {
    let began = Instant::now();
    let server = ServedProcess::start(command).await.map_err(|error| error.to_string())?;
    let ready = began.elapsed();
    let target = Target::Http(HttpTarget::new(server.url(), &command.model));
    let answered = completions(&target, single(8, 0, 1, 1, 0)).await;
    let stopped = server.stop().await;
    let first = answered?.first().map(|completion| completion.time_to_first_token).unwrap_or_default();
    stopped.map_err(|error| error.to_string())?;
    Ok((ready + first).as_secs_f64() * 1e3)
}

/// Resident megabytes of a server after a load of 32 streams, without the size of its weights' file and its KV cache.
pub async fn memory_beyond(
    server: &ServedProcess,
    target: &Target,
    model: &Path,
    num_kv_bytes: u64,
) -> Result<f64, String> {
    let size = SampleSize { num_requests_per_stream: 1, seed: 0 };
    streams(target, NUM_MEMORY_STREAMS, size).await?;
    let num_weight_bytes = std::fs::metadata(model).map_err(|error| error.to_string())?.len();
    let process = server.pid().ok_or("the server has ended")?;
    let read = || memory::read_tree(process).ok_or("memory can be read on Linux alone");
    // The pages of the KV cache come little by little.
    let (mut resident, _) = read()?;
    for _ in 0..MAX_SETTLINGS {
        sleep(SETTLING).await;
        let before = std::mem::replace(&mut resident, read()?.0);
        if resident <= before + SETTLED_BYTES {
            return Ok((resident as f64 - num_weight_bytes as f64 - num_kv_bytes as f64) / 1e6);
        }
    }
    Err("memory does not come to rest".to_owned())
}

fn closed(num_streams: usize, size: SampleSize) -> Load {
    Load {
        pace: Pace::Closed { num_streams },
        until: Until::NumRequests(num_streams * size.num_requests_per_stream),
        prompts: PromptShape { num_tokens: 256, num_shared_tokens: 0, seed: size.seed },
        num_output_tokens: 128,
        temperature: 0.0,
    }
}

fn single(
    num_tokens: usize,
    num_shared_tokens: usize,
    num_output_tokens: u32,
    num_requests: usize,
    seed: u64,
) -> Load {
    Load {
        pace: Pace::Closed { num_streams: 1 },
        until: Until::NumRequests(num_requests),
        prompts: PromptShape { num_tokens, num_shared_tokens, seed },
        num_output_tokens,
        temperature: 0.0,
    }
}

async fn completions(target: &Target, load: Load) -> Result<Vec<Completion>, String> {
    let measured = load::run(load, |request, due| target.clone().complete(request, due)).await;
    all_completed(measured.outcomes)
}

fn all_completed(outcomes: Vec<Outcome>) -> Result<Vec<Completion>, String> {
    outcomes
        .into_iter()
        .map(|outcome| match outcome {
            Outcome::Completed(completion) => Ok(completion),
            Outcome::Failed(cause) => Err(cause),
        })
        .collect()
}

/// The value in the middle, the upper one of two; `None` of nothing.
#[must_use]
pub fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}
