//! Going on with an answer that another worker has begun.

use std::time::Duration;

use bus::{BusError, ReadFrom, StreamName};
use futures_util::StreamExt as _;
use schedulers::routing::{Reached, history_after_loss};
use schemas::v1::{AttemptFailed, Failure, FailureKind, Started};
use schemas::{FactHash, failure};

use super::assignment::Assignment;
use super::token_scan::{Published, Wanted};
use super::{Worker, record};

/// Clocks of api nodes, workers and the broker may differ by so much.
const CLOCK_SKEW: Duration = Duration::from_secs(5);
/// How many attempts back their engines are looked up.
const MAX_NUM_EARLIER: u32 = 4;

/// A started fact, and when it was stored.
type Start = (Started, u64);

impl Worker {
    /// What earlier attempts published, after which this one goes on. Where tokens are gone from the stream, an engine with the
    /// same fingerprint computes them again and the api drops what it has; for any other the attempt fails.
    pub(super) async fn published_before(
        &self,
        assignment: &Assignment,
        engine_fingerprint: &str,
    ) -> Result<Result<Published, Failure>, BusError> {
        if !assignment.is_repeated {
            return Ok(Ok(Published::default()));
        }
        let first_start = self.start_of(assignment, 1).await?;
        let published = self.read_published(assignment, first_start.as_ref()).await?;
        if published.num_tokens() > 0 && !published.has_hole() {
            return Ok(Ok(published));
        }
        let mut starts: Vec<Start> = first_start.into_iter().collect();
        let recent = assignment.attempt.saturating_sub(MAX_NUM_EARLIER).max(2)..=assignment.attempt;
        for attempt in recent {
            starts.extend(self.start_of(assignment, attempt).await?);
        }
        let is_same_engine =
            starts.iter().all(|(started, _)| started.engine_fingerprint == engine_fingerprint);
        let first_started_at = starts.iter().map(|(_, stored_at)| *stored_at).min();
        if is_same_engine || (!published.has_hole() && self.has_tokens_since(first_started_at).await?) {
            return Ok(Ok(published));
        }
        let message =
            "the tokens that another engine has published are gone, and this one may not repeat them";
        Ok(Err(failure(FailureKind::Internal, "tokens_lost", message)))
    }

    /// Gives up an attempt that another worker began and brought to no end, so that the next one has a number of its own; true
    /// if it was one. This is the second net, for losses that no router has heard of.
    pub(super) async fn give_up_if_begun(&self, assignment: &Assignment) -> Result<bool, BusError> {
        let Assignment { address, attempt, .. } = assignment;
        if !assignment.is_redelivered {
            return Ok(false);
        }
        let Some((started, record)) = record::start_of(&self.facts, address, *attempt).await? else {
            return Ok(false);
        };
        let start = (started, record.stored_at_unix_nanos);
        let published = self.read_published(assignment, Some(&start)).await?;
        let reached = if published.has_token_of(*attempt) {
            Reached::Token
        } else {
            Reached::Beginning { num_unproven: None }
        };
        let failed = AttemptFailed {
            attempt: *attempt,
            worker: start.0.worker,
            failure: Some(record::worker_lost()),
            summary: Some(assignment.summary.clone()),
            history: Some(history_after_loss(assignment.history, reached)),
        };
        let facts = self.facts.following(FactHash::of(&record.payload));
        record::append_attempt_failed(&facts, address, failed).await.map(|()| true)
    }

    async fn read_published(
        &self,
        assignment: &Assignment,
        first_start: Option<&Start>,
    ) -> Result<Published, BusError> {
        let requested_at = assignment.summary.requested_at_unix_nanos;
        let since = first_start.map_or(requested_at, |(_, stored_at)| *stored_at);
        let num_choices = assignment.requested.sampling.as_ref().map_or(1, |sampling| sampling.n.max(1));
        let wanted = Wanted {
            inference: assignment.address.inference,
            ingress: assignment.address.ingress.clone(),
            num_choices: num_choices as usize,
            since_unix_nanos: since.saturating_sub(CLOCK_SKEW.as_nanos() as u64),
        };
        self.token_scan.published(wanted).await
    }

    async fn start_of(&self, assignment: &Assignment, attempt: u32) -> Result<Option<Start>, BusError> {
        let start = record::start_of(&self.facts, &assignment.address, attempt).await?;
        Ok(start.map(|(started, record)| (started, record.stored_at_unix_nanos)))
    }

    /// Whether the token stream still reaches back to this time.
    async fn has_tokens_since(&self, unix_nanos: Option<u64>) -> Result<bool, BusError> {
        let Some(unix_nanos) = unix_nanos else { return Ok(true) };
        let mut records =
            self.facts.log().read(StreamName::Tokens, Vec::new(), ReadFrom::Start, false).await?;
        let oldest = records.next().await.transpose()?;
        Ok(oldest.is_some_and(|record| record.stored_at_unix_nanos <= unix_nanos))
    }
}
