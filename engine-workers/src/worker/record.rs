//! What every worker writes to the log, whatever its model computes.

use bus::{AppendOutcome, BusError, Expect, FactWriter, InferenceAddress, Record, StreamName, subjects};
use schemas::v1::envelope::Fact;
use schemas::v1::{
    AttemptFailed, AttemptHistory, Ended, Failure, FailureKind, Outcome, Price, Started, control_envelope,
};
use schemas::{DeploymentId, FactHash, FactKind, WorkerId, failure};
use tokio::task::JoinHandle;
use tracing::warn;

use super::PAUSE_AFTER_FAILURE;
use super::assignment::Assignment;

/// Appends a fact about the worker's deployment; returns its sequence.
pub(crate) async fn append_control(
    facts: &FactWriter,
    worker: &WorkerId,
    fact: control_envelope::Fact,
) -> Result<u64, BusError> {
    let deployment = DeploymentId::slug(worker.as_str());
    let appended = facts.append_control(&deployment, fact, Expect::Anything).await?;
    Ok(appended.unwrap_or_default())
}

/// Appends the start of an attempt beside its computation, once it has begun; the task ends when that is durable, or refused
/// for good, and says which fact is now the last one of the attempt.
pub(crate) fn append_started(
    facts: &FactWriter,
    assignment: &Assignment,
    started: Started,
    has_begun: impl Future<Output = bool> + Send + 'static,
) -> JoinHandle<FactHash> {
    let facts = facts.following(assignment.assigned);
    let (address, assigned) = (assignment.address.clone(), assignment.assigned);
    tokio::spawn(async move {
        if !has_begun.await {
            return assigned;
        }
        let subject =
            subjects::attempt_fact(FactKind::Started, &address.tenant, address.inference, started.attempt);
        let payload = facts.encode(address.inference, &address.tenant, Fact::Started(started));
        loop {
            let appended = match facts.append_encoded(subject.clone(), payload.clone()).await {
                Ok(AppendOutcome::Stored { .. }) => Ok(Some(FactHash::of(&payload))),
                // An earlier delivery of the same attempt was begun.
                Ok(AppendOutcome::AlreadyThere) => standing_fact(&facts, subject.clone()).await,
                Err(error) => Err(error),
            };
            match appended {
                Ok(standing) => return standing.unwrap_or(assigned),
                Err(error) => {
                    warn!(inference = %address.inference, %error, "a start could not be written");
                    if !error.is_retryable() {
                        return assigned;
                    }
                    tokio::time::sleep(PAUSE_AFTER_FAILURE).await;
                }
            }
        }
    })
}

async fn standing_fact(facts: &FactWriter, subject: String) -> Result<Option<FactHash>, BusError> {
    let record = facts.log().last(StreamName::Inference, subject).await?;
    Ok(record.map(|record| FactHash::of(&record.payload)))
}

/// Appends that an attempt came to nothing; the router decides what comes next.
pub(crate) async fn append_attempt_failed(
    facts: &FactWriter,
    address: &InferenceAddress,
    failed: AttemptFailed,
) -> Result<(), BusError> {
    let subject = attempt_failed_subject(address, failed.attempt);
    let fact = Fact::AttemptFailed(failed);
    facts.append(address.inference, &address.tenant, subject, fact).await.map(drop)
}

/// The history of an inference after an attempt that failed while its worker lived on.
pub(crate) fn history_after_failure(history: AttemptHistory) -> AttemptHistory {
    AttemptHistory { num_failures: history.num_failures + 1, ..history }
}

/// The failure of an attempt whose worker brought it to no end.
pub(crate) fn worker_lost() -> Failure {
    let message = "the attempt came again, and nobody said what became of it";
    failure(FailureKind::Internal, "worker_lost", message)
}

/// The start of an attempt, with its record, if it has begun anywhere.
pub(crate) async fn start_of(
    facts: &FactWriter,
    address: &InferenceAddress,
    attempt: u32,
) -> Result<Option<(Started, Record)>, BusError> {
    let subject = subjects::attempt_fact(FactKind::Started, &address.tenant, address.inference, attempt);
    let Some(record) = facts.log().last(StreamName::Inference, subject).await? else { return Ok(None) };
    let fact = schemas::decode_envelope(&record.payload).ok().and_then(|envelope| envelope.fact);
    Ok(match fact {
        Some(Fact::Started(started)) => Some((started, record)),
        _ => None,
    })
}

/// Whether an attempt was given up: what its worker still says counts for nothing.
pub(crate) async fn is_given_up(
    facts: &FactWriter,
    address: &InferenceAddress,
    attempt: u32,
) -> Result<bool, BusError> {
    let subject = attempt_failed_subject(address, attempt);
    Ok(facts.log().last(StreamName::Inference, subject).await?.is_some())
}

/// Whether nothing is left to do for an attempt that comes a second time.
pub(crate) async fn is_over(
    facts: &FactWriter,
    address: &InferenceAddress,
    attempt: u32,
) -> Result<bool, BusError> {
    let ended = subjects::fact(FactKind::Ended, &address.tenant, address.inference);
    Ok(facts.log().last(StreamName::Inference, ended).await?.is_some()
        || is_given_up(facts, address, attempt).await?)
}

fn attempt_failed_subject(address: &InferenceAddress, attempt: u32) -> String {
    subjects::attempt_fact(FactKind::AttemptFailed, &address.tenant, address.inference, attempt)
}

/// The end with what it cost. What failed costs nothing.
pub(crate) fn priced(ended: Ended, price: Option<&Price>) -> Ended {
    let usage = ended.usage.as_ref().filter(|_| ended.outcome() != Outcome::Failed);
    let cost = price.zip(usage).map(|(price, usage)| price.cost(usage));
    Ended { cost, ..ended }
}

/// Appends the terminal fact and tells the api node; while the broker is away it tries on, since the delivery stays
/// unacknowledged anyway.
pub(crate) async fn end(
    facts: &FactWriter,
    address: &InferenceAddress,
    ended: Ended,
) -> Result<(), BusError> {
    loop {
        match facts.end(address, ended.clone()).await {
            Err(error) if error.is_retryable() => {
                warn!(inference = %address.inference, %error, "an end could not be written, trying again");
                tokio::time::sleep(PAUSE_AFTER_FAILURE).await;
            }
            settled => return settled,
        }
    }
}
