//! Going on with an answer that another worker has begun.

use std::time::Duration;

use bus::{BusError, ReadFrom, StreamName, subjects};
use futures_util::StreamExt as _;
use schemas::v1::envelope::Fact;
use schemas::v1::{Failure, FailureKind, Started};
use schemas::{FactKind, failure};

use super::Worker;
use super::assignment::Assignment;
use super::token_scan::{Published, Wanted};

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
        let requested_at = assignment.summary.requested_at_unix_nanos;
        let since = first_start.as_ref().map_or(requested_at, |(_, stored_at)| *stored_at);
        let num_choices = assignment.requested.sampling.as_ref().map_or(1, |sampling| sampling.n.max(1));
        let wanted = Wanted {
            inference: assignment.address.inference,
            ingress: assignment.address.ingress.clone(),
            num_choices: num_choices as usize,
            since_unix_nanos: since.saturating_sub(CLOCK_SKEW.as_nanos() as u64),
        };
        let published = self.token_scan.published(wanted).await?;
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

    async fn start_of(&self, assignment: &Assignment, attempt: u32) -> Result<Option<Start>, BusError> {
        let address = &assignment.address;
        let subject = subjects::attempt_fact(FactKind::Started, &address.tenant, address.inference, attempt);
        let Some(record) = self.facts.log().last(StreamName::Inference, subject).await? else {
            return Ok(None);
        };
        let fact = schemas::decode_envelope(&record.payload).ok().and_then(|envelope| envelope.fact);
        Ok(match fact {
            Some(Fact::Started(started)) => Some((started, record.stored_at_unix_nanos)),
            _ => None,
        })
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
