//! Telling workers what to do, each by its name.

use bus::subjects;
use futures_util::future::join_all;
use schemas::WorkerId;
use serde::{Deserialize, Serialize};

use crate::deployments::Deployment;
use crate::error::ApiError;
use crate::state::ApiState;
use crate::worker_query::ask;

/// What a worker answers when it has done it.
#[derive(Debug, Deserialize)]
struct Done {
    /// Where its new announcement stands in the log.
    sequence: u64,
}

/// What a worker answers when it is asked whether it sleeps.
#[derive(Debug, Deserialize)]
struct Wakefulness {
    is_sleeping: bool,
}

/// What became of a command to several workers.
#[derive(Debug)]
pub(crate) struct Told {
    /// The workers that did it.
    pub(crate) succeeded: Vec<(String, Deployment)>,
    /// The first refusal.
    failed: Option<ApiError>,
}

/// Tells every worker and waits until all have answered and this node has heard what they announced. One that is listed
/// and does not live is passed over, unless it is the only one.
pub(crate) async fn tell_all(
    state: &ApiState,
    workers: &[(String, Deployment)],
    command: &str,
    question: &impl Serialize,
) -> Told {
    let patience = state.config.timeouts.administration;
    let answers = workers.iter().map(|(id, _)| async move {
        let worker: WorkerId = id.parse().map_err(|_| ApiError::Internal)?;
        ask::<Done>(state, subjects::worker_query(&worker, command), question, patience).await
    });
    let mut told = Told { succeeded: Vec::new(), failed: None };
    let mut absent = None;
    let mut last_sequence = 0;
    for (worker, answer) in workers.iter().zip(join_all(answers).await) {
        match answer {
            Ok(Done { sequence }) => {
                last_sequence = last_sequence.max(sequence);
                told.succeeded.push(worker.clone());
            }
            Err(error @ ApiError::Unavailable { .. }) => absent = Some(error),
            Err(error) => told.failed = told.failed.or(Some(error)),
        }
    }
    if told.succeeded.is_empty() {
        told.failed = told.failed.or(absent).or_else(|| Some(nobody()));
    } else if tokio::time::timeout(state.config.timeouts.query, state.deployments.heard(last_sequence))
        .await
        .is_err()
    {
        tracing::warn!(last_sequence, "an announcement was not heard in time");
    }
    told
}

/// Whether all workers sleep of those that live; `Err` if none does.
pub(crate) async fn all_sleep(state: &ApiState, workers: &[(String, Deployment)]) -> Result<bool, ApiError> {
    let patience = state.config.timeouts.query;
    let answers = workers.iter().map(|(id, _)| async move {
        let worker: WorkerId = id.parse().map_err(|_| ApiError::Internal)?;
        let subject = subjects::worker_query(&worker, "is_sleeping");
        ask::<Wakefulness>(state, subject, &serde_json::json!({}), patience).await
    });
    let mut all_sleep = None;
    for answer in join_all(answers).await {
        match answer {
            Ok(Wakefulness { is_sleeping }) => all_sleep = Some(all_sleep.unwrap_or(true) && is_sleeping),
            Err(ApiError::Unavailable { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    all_sleep.ok_or_else(nobody)
}

fn nobody() -> ApiError {
    ApiError::unavailable("no worker is up")
}

impl Told {
    /// Whether some workers did it and others refused.
    pub(crate) fn has_failed_after_success(&self) -> bool {
        self.failed.is_some() && !self.succeeded.is_empty()
    }

    /// The first refusal, if there was one.
    pub(crate) fn into_result(self) -> Result<(), ApiError> {
        self.failed.map_or(Ok(()), Err)
    }
}
