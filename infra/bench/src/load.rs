//! The load generator: who asks when, and the outcomes of all that was asked.

use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use crate::arrivals::PoissonArrivals;
use crate::completion::{CompletionRequest, Outcome};
use crate::prompt::PromptShape;

/// When requests are sent.
#[derive(Debug, Clone, Copy)]
pub enum Pace {
    /// Closed loop: that many streams, each asking again as soon as it was answered.
    Closed {
        /// Streams at once.
        num_streams: usize,
    },
    /// Open loop: requests arrive whether or not earlier ones were answered.
    Open {
        /// Mean arrivals a second.
        rate_per_second: f64,
    },
}

/// When no more requests are sent; those under way are still answered.
#[derive(Debug, Clone, Copy)]
pub enum Until {
    /// That many were sent.
    NumRequests(usize),
    /// That much time has passed.
    Elapsed(Duration),
}

/// One run.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// When requests are sent.
    pub pace: Pace,
    /// When that ends.
    pub until: Until,
    /// What is asked.
    pub prompts: PromptShape,
    /// Tokens to generate for each request.
    pub num_output_tokens: u32,
    /// Zero is greedy.
    pub temperature: f64,
}

/// What a run gave.
#[derive(Debug)]
pub struct Measured {
    /// One for each request, in the order of their ends.
    pub outcomes: Vec<Outcome>,
    /// From the first request to the end of the last answer.
    pub elapsed: Duration,
}

/// Runs the load against `complete`, which answers one request that was due at the given moment.
///
/// Request `i` is the same for every target: its prompt and its seed depend only on `load.prompts` and `i`.
/// An open loop whose rate is not positive sends nothing.
pub async fn run<F, Fut>(load: Load, complete: F) -> Measured
where
    F: Fn(CompletionRequest, Instant) -> Fut,
    Fut: Future<Output = Outcome>,
{
    let began = Instant::now();
    let outcomes = match load.pace {
        Pace::Closed { num_streams } => closed(load, num_streams, began, &complete).await,
        Pace::Open { rate_per_second } => open(load, rate_per_second, began, &complete).await,
    };
    Measured { outcomes, elapsed: began.elapsed() }
}

async fn closed<F, Fut>(load: Load, num_streams: usize, began: Instant, complete: &F) -> Vec<Outcome>
where
    F: Fn(CompletionRequest, Instant) -> Fut,
    Fut: Future<Output = Outcome>,
{
    let next = AtomicUsize::new(0);
    let stream = || async {
        let mut outcomes = Vec::new();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if load.until.is_over(index, began.elapsed()) {
                return outcomes;
            }
            outcomes.push(complete(load.request(index), Instant::now()).await);
        }
    };
    let mut streams: FuturesUnordered<_> = (0..num_streams).map(|_| stream()).collect();
    let mut outcomes = Vec::new();
    while let Some(of_one_stream) = streams.next().await {
        outcomes.extend(of_one_stream);
    }
    outcomes
}

async fn open<F, Fut>(load: Load, rate_per_second: f64, began: Instant, complete: &F) -> Vec<Outcome>
where
    F: Fn(CompletionRequest, Instant) -> Fut,
    Fut: Future<Output = Outcome>,
{
    let arrivals = PoissonArrivals::new(rate_per_second, load.prompts.seed).into_iter().flatten();
    let mut outcomes = Vec::new();
    let mut under_way = FuturesUnordered::new();
    for (index, arrival) in arrivals.enumerate() {
        if load.until.is_over(index, arrival) {
            break;
        }
        let due = began + arrival;
        let mut wait = std::pin::pin!(tokio::time::sleep_until(due.into()));
        loop {
            tokio::select! {
                () = &mut wait => break,
                Some(outcome) = under_way.next() => outcomes.push(outcome),
            }
        }
        under_way.push(complete(load.request(index), due));
    }
    while let Some(outcome) = under_way.next().await {
        outcomes.push(outcome);
    }
    outcomes
}

impl Load {
    fn request(&self, index: usize) -> CompletionRequest {
        CompletionRequest {
            prompt: self.prompts.tokens(index),
            num_output_tokens: self.num_output_tokens,
            temperature: self.temperature,
            seed: self.prompts.seed.wrapping_add(index as u64),
        }
    }
}

impl Until {
    fn is_over(self, num_sent: usize, elapsed: Duration) -> bool {
        match self {
            Self::NumRequests(num_requests) => num_sent >= num_requests,
            Self::Elapsed(limit) => elapsed >= limit,
        }
    }
}
