//! Notices workers that are gone, and gives their attempts up.

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use bus::{BusError, Expect, FactWriter, LiveMessages, StreamName, subjects};
use futures_util::{StreamExt as _, stream};
use prost::Message as _;
use schemas::v1::envelope::Fact;
use schemas::v1::{
    AttemptFailed, DeploymentWithdrawn, FailureKind, Heartbeat, HeldAttempt, control_envelope,
};
use schemas::{DeploymentId, FactHash, FactKind, WorkerId, failure};
use tokio::time::{Instant, MissedTickBehavior};
use tracing::{debug, info, warn};

use super::Deployments;
use super::blame::{Reached, history_after_loss};
use super::withdrawal::{self, Overdue};
use super::worker_watch::{Hearing, LostWorker, WorkerWatch};

const TICK: Duration = Duration::from_millis(100);
/// Past this a process was held up.
const MAX_TICK: Duration = Duration::from_millis(400);
/// A question to the broker that comes back later than this was held up, and so may be what others say.
const MAX_ECHO: Duration = Duration::from_millis(600);
const MAX_NUM_AT_ONCE: usize = 32;
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(500);

/// Watches the workers for ever and tells `deployments` which are silent. It hears itself as it hears them, so that it
/// takes no trouble of its own for theirs.
pub(super) async fn watch_workers(facts: FactWriter, deployments: Arc<RwLock<Deployments>>) {
    let incarnation = facts.stamp().event_id.to_string();
    let mut watcher = Watcher {
        subject: subjects::heartbeat(&WorkerId::slug(&format!("router-{incarnation}"))),
        incarnation,
        facts,
        deployments,
        watch: WorkerWatch::default(),
        withdrawn: BTreeSet::new(),
        started_at: Instant::now(),
    };
    loop {
        match watcher.facts.log().listen(subjects::all_heartbeats()).await {
            Ok(heartbeats) => watcher.watch(heartbeats).await,
            Err(error) => warn!(%error, "cannot hear the workers, trying again"),
        }
        watcher.pass(TICK, Hearing::Broken);
        tokio::time::sleep(PAUSE_AFTER_FAILURE).await;
    }
}

struct Watcher {
    facts: FactWriter,
    deployments: Arc<RwLock<Deployments>>,
    watch: WorkerWatch,
    /// Those whose withdrawal was begun here.
    withdrawn: BTreeSet<Overdue>,
    /// Where this process speaks to itself.
    subject: String,
    incarnation: String,
    started_at: Instant,
}

impl Watcher {
    /// Returns when the subscription breaks.
    async fn watch(&mut self, mut heartbeats: LiveMessages) {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut ticked_at = Instant::now();
        // When what came back last was said.
        let mut heard_at = Instant::now();
        loop {
            tokio::select! {
                // What was said is heard before time passes.
                biased;
                message = heartbeats.next() => {
                    let Some(message) = message else { return };
                    let Ok(heartbeat) = Heartbeat::decode(message.payload) else { continue };
                    if heartbeat.incarnation == self.incarnation {
                        heard_at = self.started_at + Duration::from_nanos(heartbeat.uptime_nanos);
                    } else if !heartbeat.worker.is_empty()
                        && let Some(lost) = self.watch.hear(heartbeat)
                    {
                        self.give_up(lost);
                    }
                }
                _ = ticks.tick() => {
                    let elapsed = ticked_at.elapsed();
                    ticked_at = Instant::now();
                    let hearing = if !self.facts.log().is_connected() {
                        Hearing::Broken
                    } else if elapsed > MAX_TICK || heard_at.elapsed() > MAX_ECHO {
                        Hearing::Late
                    } else {
                        Hearing::Whole
                    };
                    self.pass(elapsed, hearing);
                    self.speak().await;
                }
            }
        }
    }

    async fn speak(&self) {
        let own = Heartbeat {
            incarnation: self.incarnation.clone(),
            uptime_nanos: u64::try_from(self.started_at.elapsed().as_nanos()).unwrap_or(u64::MAX),
            ..Heartbeat::default()
        };
        if let Err(error) = self.facts.log().send(self.subject.clone(), own.encode_to_vec().into()).await {
            debug!(%error, "nothing is heard while the broker is away");
        }
    }

    fn pass(&mut self, elapsed: Duration, hearing: Hearing) {
        for lost in self.watch.pass(elapsed, hearing) {
            self.give_up(lost);
        }
        let mut deployments = self.deployments.write().unwrap_or_else(PoisonError::into_inner);
        let ids: BTreeSet<String> = deployments.ids().map(str::to_owned).collect();
        self.watch.expect(&ids);
        deployments.set_silent(ids.into_iter().filter(|id| self.watch.is_silent(id)).collect());
        let overdue = withdrawal::overdue(&deployments, |id| self.watch.silence(id));
        drop(deployments);
        // What is withdrawn is gone from the deployments once that is read; until then it is not tried again.
        self.withdrawn.retain(|known| overdue.contains(known));
        for overdue in overdue {
            if self.withdrawn.insert(overdue.clone()) {
                let facts = self.facts.clone();
                tokio::spawn(async move { withdraw(&facts, overdue).await });
            }
        }
    }

    fn give_up(&self, lost: LostWorker) {
        let LostWorker { worker, held } = lost;
        warn!(worker, num_attempts = held.len(), "a worker is lost");
        let reached = how_far(&held);
        let facts = self.facts.clone();
        tokio::spawn(async move {
            stream::iter(held.into_iter().zip(reached))
                .for_each_concurrent(MAX_NUM_AT_ONCE, |(held, reached)| {
                    give_up(&facts, &worker, held, reached)
                })
                .await;
        });
    }
}

/// Withdraws a deployment in its worker's place, unless it was announced anew or withdrawn meanwhile.
async fn withdraw(facts: &FactWriter, overdue: Overdue) {
    let Overdue { deployment, announced_sequence } = overdue;
    let id = DeploymentId::slug(&deployment);
    loop {
        let withdrawn = DeploymentWithdrawn { deployment: deployment.clone() };
        let fact = control_envelope::Fact::DeploymentWithdrawn(withdrawn);
        match facts.append_control(&id, fact, Expect::LastOnSubject(announced_sequence)).await {
            Err(error) if error.is_retryable() => {
                warn!(deployment, %error, "a silent worker's deployment is withdrawn later");
                tokio::time::sleep(PAUSE_AFTER_FAILURE).await;
            }
            Err(error) => return warn!(deployment, %error, "a silent worker's deployment stays listed"),
            Ok(Some(_)) => return info!(deployment, "a silent worker's deployment is withdrawn"),
            Ok(None) => return,
        }
    }
}

/// How far each of a worker's attempts had come. While one that is of no batch begins, none of a batch is computed.
fn how_far(held: &[HeldAttempt]) -> Vec<Reached> {
    let num_of =
        |is_batch: bool| held.iter().filter(|held| held.is_unproven && held.is_batch == is_batch).count();
    let (num_unproven, num_unproven_of_batch) = (num_of(false), num_of(true));
    let how_far = |held: &HeldAttempt| match (held.is_unproven, held.is_batch) {
        (true, false) => Reached::Beginning { num_unproven: Some(num_unproven) },
        (true, true) if num_unproven == 0 => Reached::Beginning { num_unproven: Some(num_unproven_of_batch) },
        (true, true) => Reached::Nothing,
        (false, _) if held.is_waiting => Reached::Nothing,
        (false, _) => Reached::Token,
    };
    held.iter().map(how_far).collect()
}

/// While the broker is away it tries on; an attempt that cannot be given up comes again by its delivery.
async fn give_up(facts: &FactWriter, worker: &str, held: HeldAttempt, reached: Reached) {
    loop {
        match try_give_up(facts, worker, &held, reached).await {
            Err(error) if error.is_retryable() => {
                warn!(inference = held.inference_id, %error, "a lost attempt is given up later");
                tokio::time::sleep(PAUSE_AFTER_FAILURE).await;
            }
            Err(error) => {
                warn!(inference = held.inference_id, %error, "a lost attempt cannot be given up");
                return;
            }
            Ok(()) => return,
        }
    }
}

async fn try_give_up(
    facts: &FactWriter,
    worker: &str,
    held: &HeldAttempt,
    reached: Reached,
) -> Result<(), BusError> {
    let Some(record) = facts.log().get(StreamName::Inference, held.assigned_sequence).await? else {
        return Ok(());
    };
    let Ok(envelope) = schemas::decode_envelope(&record.payload) else { return Ok(()) };
    let (Ok(inference), Ok(tenant)) = (envelope.inference(), envelope.tenant()) else { return Ok(()) };
    let Some(Fact::Assigned(assigned)) = envelope.fact else { return Ok(()) };
    let ended = subjects::fact(FactKind::Ended, &tenant, inference);
    if assigned.attempt != held.attempt || facts.log().last(StreamName::Inference, ended).await?.is_some() {
        return Ok(());
    }
    let message = "the worker fell silent and was given up";
    let failed = AttemptFailed {
        attempt: held.attempt,
        worker: worker.to_owned(),
        failure: Some(failure(FailureKind::Internal, "worker_lost", message)),
        summary: assigned.summary,
        history: Some(history_after_loss(assigned.history.unwrap_or_default(), reached)),
    };
    let started = subjects::attempt_fact(FactKind::Started, &tenant, inference, held.attempt);
    let previous = facts.log().last(StreamName::Inference, started).await?.unwrap_or(record);
    let facts = facts.following(FactHash::of(&previous.payload));
    let subject = subjects::attempt_fact(FactKind::AttemptFailed, &tenant, inference, held.attempt);
    facts.append(inference, &tenant, subject, Fact::AttemptFailed(failed)).await.map(drop)
}
