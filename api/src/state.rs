//! What the handlers share.

use std::sync::Arc;

use bus::{AppendOutcome, BusError, EventLog, FactWriter, JobLog, StreamName, subjects};
use schemas::v1::envelope::Fact;
use schemas::{FactKind, InferenceId};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::admission::Admission;
use crate::config::ApiConfig;
use crate::deployments::Deployments;
use crate::inference_record::InferenceRecord;
use crate::metrics::Metrics;
use crate::queues::Queues;
use crate::token_dispatcher::TokenDispatcher;

/// The node as its handlers see it.
pub(crate) struct ApiState {
    pub(crate) config: ApiConfig,
    pub(crate) log: Arc<dyn EventLog>,
    pub(crate) facts: FactWriter,
    pub(crate) jobs: JobLog,
    pub(crate) dispatcher: TokenDispatcher,
    pub(crate) deployments: Deployments,
    pub(crate) admission: Admission,
    pub(crate) queues: Queues,
    pub(crate) metrics: Metrics,
    /// Appends that outlive the request they belong to; the node waits for them before it stops.
    pub(crate) background: TaskTracker,
    /// Set when the node was told to stop: it takes no more connections.
    pub(crate) stopping: CancellationToken,
    /// Set when the time for requests to finish is over: what still runs is ended with an error.
    pub(crate) hard_stop: CancellationToken,
}

impl ApiState {
    /// The inferences of this node's tenant.
    pub(crate) fn record(&self) -> InferenceRecord<'_> {
        InferenceRecord { log: self.log.as_ref(), tenant: &self.config.tenant }
    }

    /// Appends a fact that follows the request of an inference; `None` when there is no such request.
    pub(crate) async fn append_after_request(
        &self,
        id: InferenceId,
        fact: Fact,
    ) -> Result<Option<AppendOutcome>, BusError> {
        let tenant = &self.config.tenant;
        let requested = subjects::fact(FactKind::Requested, tenant, id);
        let Some(requested) = self.log.last(StreamName::Inference, requested).await? else {
            return Ok(None);
        };
        let subject = subjects::fact(fact.kind(), tenant, id);
        let facts = self.facts.following(requested.hash());
        facts.append(id, tenant, subject, fact).await.map(Some)
    }
}
