//! Two or more targets over the same work, in turn, in one run.

use serde::Serialize;

use crate::completion::Outcome;
use crate::load::{self, Load, Pace, Until};
use crate::prompt::PromptShape;
use crate::quantiles::Quantiles;
use crate::report::LoadReport;
use crate::table::Table;
use crate::target::Target;

/// A target with the name that the table gives it. The first of a comparison is the one the others are measured against.
#[derive(Debug, Clone)]
pub struct Contender {
    /// The heading of its columns.
    pub name: String,
    /// What answers.
    pub target: Target,
}

/// The work of a comparison.
#[derive(Debug, Clone)]
pub struct Comparison {
    /// Numbers of streams, one row each.
    pub num_streams: Vec<usize>,
    /// Length of each prompt.
    pub num_prompt_tokens: usize,
    /// Tokens generated for each.
    pub num_output_tokens: u32,
    /// Requests for each stream in a round.
    pub num_requests_per_stream: usize,
    /// How often the targets take turns. Each figure is the median over the rounds.
    pub num_rounds: usize,
    /// Determines all prompts.
    pub seed: u64,
}

/// The figures of one target at one number of streams: medians over the rounds.
#[derive(Debug, Clone, Serialize)]
pub struct Figures {
    /// Which target.
    pub name: String,
    /// How many streams at once.
    pub num_streams: usize,
    /// Generated tokens over the elapsed time.
    pub output_tokens_per_second: f64,
    /// p50 of the time to the first token.
    pub first_token_p50_ms: f64,
    /// p50 of the gaps between tokens.
    pub inter_token_p50_ms: f64,
    /// p99 of the gaps between tokens.
    pub inter_token_p99_ms: f64,
    /// Streams that failed, over all rounds.
    pub num_failed: usize,
}

/// What a target answers to one request at a time, with nothing else under way.
#[derive(Debug, Clone, Serialize)]
pub struct FirstToken {
    /// Which target.
    pub name: String,
    /// Time to the first token.
    pub time_to_first_token: Quantiles,
}

/// Runs every number of streams, the targets taking turns in each round so that a slow minute hits all of them.
pub async fn throughput(comparison: &Comparison, contenders: &[Contender]) -> Vec<Figures> {
    let mut figures = Vec::new();
    for &num_streams in &comparison.num_streams {
        let mut reports: Vec<Vec<LoadReport>> = vec![Vec::new(); contenders.len()];
        for round in 0..comparison.num_rounds {
            let load = comparison.load(num_streams, round);
            for (contender, reports) in contenders.iter().zip(&mut reports) {
                let measured =
                    load::run(load, |request, due| contender.target.clone().complete(request, due)).await;
                reports.push(LoadReport::new(measured, Vec::new()));
            }
        }
        let named = contenders.iter().zip(reports);
        figures
            .extend(named.map(|(contender, reports)| Figures::new(&contender.name, num_streams, &reports)));
    }
    figures
}

/// Asks each target for one short answer at a time, in turn, `num_pairs` times. What is left between two targets is
/// what the way to the engine adds to the first token, since the engine's own share is small and the same.
pub async fn first_token(
    contenders: &[Contender],
    num_pairs: usize,
    seed: u64,
) -> Result<Vec<FirstToken>, String> {
    let mut times = vec![Vec::new(); contenders.len()];
    for index in 0..num_pairs {
        let load = Load {
            pace: Pace::Closed { num_streams: 1 },
            until: Until::NumRequests(1),
            prompts: PromptShape {
                num_tokens: 8,
                num_shared_tokens: 0,
                seed: seed.wrapping_add(index as u64),
            },
            num_output_tokens: 2,
            temperature: 0.0,
        };
        for (contender, times) in contenders.iter().zip(&mut times) {
            let measured =
                load::run(load, |request, due| contender.target.clone().complete(request, due)).await;
            for outcome in measured.outcomes {
                match outcome {
                    Outcome::Completed(completion) => times.push(completion.time_to_first_token),
                    Outcome::Failed(reason) => return Err(format!("{}: {reason}", contender.name)),
                }
            }
        }
    }
    let named = contenders.iter().zip(times);
    Ok(named
        .map(|(contender, times)| FirstToken {
            name: contender.name.clone(),
            time_to_first_token: Quantiles::of(times),
        })
        .collect())
}

impl Comparison {
    fn load(&self, num_streams: usize, round: usize) -> Load {
        Load {
            pace: Pace::Closed { num_streams },
            until: Until::NumRequests(num_streams * self.num_requests_per_stream),
            prompts: PromptShape {
                num_tokens: self.num_prompt_tokens,
                num_shared_tokens: 0,
                // No prompt comes twice, or a prefix cache would answer for the engine.
                seed: self.seed.wrapping_add((num_streams * 1_000 + round) as u64),
            },
            num_output_tokens: self.num_output_tokens,
            temperature: 0.0,
        }
    }
}

impl Figures {
    fn new(name: &str, num_streams: usize, reports: &[LoadReport]) -> Self {
        let median = |of: fn(&LoadReport) -> f64| {
            let mut values: Vec<f64> = reports.iter().map(of).collect();
            values.sort_unstable_by(f64::total_cmp);
            values.get(values.len() / 2).copied().unwrap_or(0.0)
        };
        Self {
            name: name.to_owned(),
            num_streams,
            output_tokens_per_second: median(|report| report.output_tokens_per_second),
            first_token_p50_ms: median(|report| report.time_to_first_token.p50_ms),
            inter_token_p50_ms: median(|report| report.inter_token.p50_ms),
            inter_token_p99_ms: median(|report| report.inter_token.p99_ms),
            num_failed: reports.iter().map(LoadReport::num_failed).sum(),
        }
    }
}

/// The table for `infra/bench/README.md`: each target beside the first one at the same number of streams.
#[must_use]
pub fn throughput_table(figures: &[Figures]) -> Table {
    let mut table = Table::new([
        "streams",
        "target",
        "output tok/s",
        "ratio",
        "first token p50 ms",
        "inter-token p50 ms",
        "p99 ms",
        "failed",
    ]);
    for figure in figures {
        let base = figures.iter().find(|base| base.num_streams == figure.num_streams).unwrap_or(figure);
        table.row([
            figure.num_streams.to_string(),
            figure.name.clone(),
            format!("{:.1}", figure.output_tokens_per_second),
            format!("{:.3}", figure.output_tokens_per_second / base.output_tokens_per_second),
            format!("{:.1}", figure.first_token_p50_ms),
            format!("{:.1}", figure.inter_token_p50_ms),
            format!("{:.1}", figure.inter_token_p99_ms),
            figure.num_failed.to_string(),
        ]);
    }
    table
}

/// The table of first tokens, each beside the first target's.
#[must_use]
pub fn first_token_table(figures: &[FirstToken]) -> Table {
    let mut table = Table::new(["target", "first token p50 ms", "p99 ms", "added p50 ms"]);
    let base = figures.first().map_or(0.0, |first| first.time_to_first_token.p50_ms);
    for figure in figures {
        let quantiles = figure.time_to_first_token;
        table.row([
            figure.name.clone(),
            format!("{:.2}", quantiles.p50_ms),
            format!("{:.2}", quantiles.p99_ms),
            format!("{:+.2}", quantiles.p50_ms - base),
        ]);
    }
    table
}
