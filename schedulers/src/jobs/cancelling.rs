//! Ends what is under way, when a batch goes no further.

use std::time::Duration;

use bus::{BusError, InferenceAddress, StreamName, subjects};
use futures_util::future::try_join_all;
use schemas::v1::envelope::Fact;
use schemas::v1::{CancelRequested, Ended, FailureKind, Outcome};
use schemas::{FactHash, FactKind, InferenceId, failure};
use tokio::time::Instant;

use super::ends::{Ends, ended_in, is_answered};
use super::run::BatchRun;
use super::window::Window;

/// What no worker has ended by then is ended here: perhaps no worker is there.
const PATIENCE: Duration = Duration::from_secs(10);

impl BatchRun {
    /// Asks for every open inference to be cancelled, and sees each to its end.
    pub(super) async fn cancel_open(&self, window: &mut Window, ends: &mut Ends) -> Result<(), BusError> {
        try_join_all(window.open().map(|id| self.ask_to_cancel(id))).await?;
        let deadline = Instant::now() + PATIENCE;
        while window.open().len() > 0 {
            let Ok(ended) = tokio::time::timeout_at(deadline, ends.next()).await else { break };
            let (id, record) = ended?;
            if let Some(ended) = ended_in(&record) {
                window.end(id, is_answered(&ended));
            }
        }
        try_join_all(window.open().map(|id| self.end_as_cancelled(id))).await?;
        for id in window.open().collect::<Vec<_>>() {
            let ended = super::ends::end_of(self.log().as_ref(), &self.batch.tenant, id).await?;
            window.end(id, ended.is_some_and(|ended| is_answered(&ended)));
        }
        Ok(())
    }

    async fn requested_hash(&self, id: InferenceId) -> Result<Option<FactHash>, BusError> {
        let subject = subjects::fact(FactKind::Requested, &self.batch.tenant, id);
        let record = self.log().last(StreamName::Inference, subject).await?;
        Ok(record.map(|record| record.hash()))
    }

    async fn ask_to_cancel(&self, id: InferenceId) -> Result<(), BusError> {
        let Some(requested) = self.requested_hash(id).await? else { return Ok(()) };
        let tenant = &self.batch.tenant;
        let subject = subjects::fact(FactKind::CancelRequested, tenant, id);
        let cancel = CancelRequested { reason: "batch".to_owned() };
        let facts = self.facts.following(requested);
        facts.append(id, tenant, subject, Fact::CancelRequested(cancel)).await.map(drop)
    }

    async fn end_as_cancelled(&self, id: InferenceId) -> Result<(), BusError> {
        let Some(requested) = self.requested_hash(id).await? else { return Ok(()) };
        let message = "the batch goes no further";
        let ended = Ended {
            outcome: Outcome::Cancelled.into(),
            failure: Some(failure(FailureKind::Overloaded, "cancelled", message)),
            ..Ended::default()
        };
        let address = InferenceAddress {
            inference: id,
            tenant: self.batch.tenant.clone(),
            ingress: self.options.ingress.clone(),
        };
        self.facts.following(requested).end(&address, ended).await
    }
}
