//! admitted, attempt_failed → assigned, or the end.

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use bus::{
    BusError, Delivery, EventLog, FactWriter, Handled, InferenceAddress, ReadFrom, Record, StreamName,
    serve_deliveries, subjects, topology,
};
use futures_util::StreamExt as _;
use schemas::v1::envelope::Fact;
use schemas::v1::{Assigned, AttemptHistory, Ended, Failure, Outcome, RequestSummary};
use schemas::{FactHash, InferenceId, TenantId};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::losses::watch_workers;
use super::{Attempt, Deployments, Refusal, Route, RoutingPolicy, route};

const MAX_NUM_IN_FLIGHT: usize = 1024;
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(500);

/// Routes every admitted inference and every lost attempt until `shutdown`. Stateless: any number of replicas share the
/// work, and what each knows of the deployments is a fold of the log.
pub async fn serve(
    facts: FactWriter,
    policy: RoutingPolicy,
    shutdown: CancellationToken,
) -> Result<(), BusError> {
    let consumer = facts.log().consumer(&topology::router_consumer()).await?;
    let deployments = Arc::new(RwLock::new(Deployments::default()));
    let follower =
        tokio::spawn(follow_deployments(Arc::clone(facts.log()), Arc::clone(&deployments), shutdown.clone()));
    let watcher = tokio::spawn(watch_workers(facts.clone(), Arc::clone(&deployments)));
    info!("the router is ready");
    let router = Router { facts, policy, deployments };
    serve_deliveries(consumer, MAX_NUM_IN_FLIGHT, shutdown, move |delivery| {
        let router = router.clone();
        async move { router.route_one(&delivery).await }
    })
    .await;
    follower.abort();
    watcher.abort();
    Ok(())
}

#[derive(Clone)]
struct Router {
    facts: FactWriter,
    policy: RoutingPolicy,
    deployments: Arc<RwLock<Deployments>>,
}

impl Router {
    async fn route_one(&self, delivery: &Delivery) -> Result<Handled, BusError> {
        let Some(pending) = PendingAttempt::read(&delivery.record.payload, delivery.record.sequence) else {
            return Ok(Handled::Undeliverable("neither an admitted fact nor a lost attempt"));
        };
        match self.decide(&pending).await? {
            Ok(route) => self.assign(pending, route).await?,
            Err(Refusal { failure, is_poison }) => {
                self.give_up(pending, failure).await?;
                if is_poison {
                    return Ok(Handled::Undeliverable("its workers were lost while they computed it"));
                }
            }
        }
        Ok(Handled::Done)
    }

    /// A model that nobody serves is looked up in the log once more: its announcement may be newer than what was heard.
    async fn decide(&self, pending: &PendingAttempt) -> Result<Result<Route, Refusal>, BusError> {
        let attempt = Attempt {
            model: &pending.summary.model,
            number: pending.attempt,
            history: &pending.history,
            last_failure: pending.last_failure.as_ref(),
        };
        let decide = |deployments: &Deployments| route(deployments, &self.policy, &attempt);
        let heard = decide(&self.known());
        if heard.is_ok() {
            return Ok(heard);
        }
        let mut fresh = Deployments::default();
        let mut records = deployment_records(self.facts.log().as_ref(), false).await?;
        while let Some(record) = records.next().await {
            apply(&mut fresh, &record?);
        }
        let fresh = fresh.with_silent_of(&self.known());
        Ok(decide(&fresh))
    }

    fn known(&self) -> RwLockReadGuard<'_, Deployments> {
        self.deployments.read().unwrap_or_else(PoisonError::into_inner)
    }

    async fn assign(&self, pending: PendingAttempt, route: Route) -> Result<(), BusError> {
        let class = pending.summary.class();
        let subject = subjects::assigned(&route.pool, class, pending.inference, pending.attempt);
        let assigned = Assigned {
            attempt: pending.attempt,
            deployment: route.deployment,
            pool: route.pool.to_string(),
            summary: Some(pending.summary),
            reasons: route.reasons,
            history: (pending.attempt > 1).then_some(pending.history),
            control_sequence: route.control_sequence,
            silent_deployments: route.silent,
        };
        let facts = self.facts.following(pending.previous);
        facts.append(pending.inference, &pending.tenant, subject, Fact::Assigned(assigned)).await?;
        Ok(())
    }

    async fn give_up(&self, pending: PendingAttempt, failure: Failure) -> Result<(), BusError> {
        let Ok(ingress) = pending.summary.ingress.parse() else { return Ok(()) };
        let address = InferenceAddress { inference: pending.inference, tenant: pending.tenant, ingress };
        let ended = Ended {
            outcome: Outcome::Failed.into(),
            attempt: pending.attempt.saturating_sub(1),
            failure: Some(failure),
            ..Ended::default()
        };
        self.facts.following(pending.previous).end(&address, ended).await
    }
}

struct PendingAttempt {
    inference: InferenceId,
    tenant: TenantId,
    summary: RequestSummary,
    attempt: u32,
    history: AttemptHistory,
    last_failure: Option<Failure>,
    /// The fact that asks for it.
    previous: FactHash,
}

impl PendingAttempt {
    fn read(payload: &[u8], sequence: u64) -> Option<Self> {
        let envelope = schemas::decode_envelope(payload).ok()?;
        let (inference, tenant) = (envelope.inference().ok()?, envelope.tenant().ok()?);
        let (summary, attempt, history, last_failure) = match envelope.fact? {
            Fact::Admitted(admitted) => {
                let mut summary = admitted.summary?;
                if admitted.redacted_prompt.is_some() {
                    summary.redacted_sequence = sequence;
                }
                (summary, 1, AttemptHistory::default(), None)
            }
            Fact::AttemptFailed(failed) => {
                // Written before there was a history: every attempt failed by itself.
                let fallback = AttemptHistory { num_failures: failed.attempt, ..AttemptHistory::default() };
                (failed.summary?, failed.attempt + 1, failed.history.unwrap_or(fallback), failed.failure)
            }
            _ => return None,
        };
        let previous = FactHash::of(payload);
        Some(Self { inference, tenant, summary, attempt, history, last_failure, previous })
    }
}

async fn follow_deployments(
    log: Arc<dyn EventLog>,
    deployments: Arc<RwLock<Deployments>>,
    shutdown: CancellationToken,
) {
    while !shutdown.is_cancelled() {
        match deployment_records(log.as_ref(), true).await {
            Ok(mut records) => {
                while let Some(Ok(record)) = records.next().await {
                    apply(&mut deployments.write().unwrap_or_else(PoisonError::into_inner), &record);
                }
            }
            Err(error) => warn!(%error, "cannot follow the deployments, trying again"),
        }
        tokio::time::sleep(PAUSE_AFTER_FAILURE).await;
    }
}

async fn deployment_records(log: &dyn EventLog, follow: bool) -> Result<bus::Records, BusError> {
    log.read(StreamName::Control, vec![subjects::all_deployments()], ReadFrom::LastPerSubject, follow).await
}

fn apply(deployments: &mut Deployments, record: &Record) {
    match schemas::decode_control(&record.payload) {
        Ok(envelope) => deployments.apply(envelope, record.sequence),
        Err(error) => warn!(%error, "a control fact cannot be read and is passed over"),
    }
}
