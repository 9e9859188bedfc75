//! Requests that kill their worker, at whatever moment, among innocent ones: the router on the memory log, with workers that
//! keep the rules of the real one and die without a word.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bus::{
    Append, Delivery, EventLog, Expect, FactWriter, InferenceAddress, MemoryLog, ReadFrom, Stamp, StreamName,
    subjects, topology,
};
use futures_util::StreamExt as _;
use proptest::prelude::*;
use prost::Message as _;
use schedulers::routing::{self, RoutingPolicy};
use schemas::v1::envelope::Fact;
use schemas::v1::{
    Admitted, Assigned, ControlEnvelope, DeploymentAnnounced, Ended, Heartbeat, HeldAttempt, Outcome,
    RequestSummary, WorkClass, control_envelope,
};
use schemas::{EventId, FactKind, InferenceId, PoolName, TenantId, WrittenBy};
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

const NUM_SLOTS: usize = 16;
const TO_FIRST_TOKEN: Duration = Duration::from_millis(250);
const TO_END: Duration = Duration::from_millis(900);

/// What happens in one run.
#[derive(Debug, Clone)]
struct Scene {
    num_innocent: u128,
    /// For each request that kills, how long after its beginning.
    killers: Vec<Duration>,
    /// When a worker is killed from outside.
    blows: Vec<Duration>,
}

fn is_killer(inference: InferenceId) -> bool {
    inference.uuid().as_u128() >= 1_000
}

struct World {
    log: Arc<dyn EventLog>,
    facts: FactWriter,
    tenant: TenantId,
    pool: PoolName,
    scene: Scene,
}

/// One life of a worker.
struct Life {
    world: Arc<World>,
    name: String,
    incarnation: String,
    held: Mutex<HashMap<InferenceId, HeldAttempt>>,
    beginnings: Arc<Semaphore>,
    changed: Notify,
    death: CancellationToken,
}

impl World {
    fn new(scene: Scene) -> Arc<Self> {
        let log: Arc<dyn EventLog> = Arc::new(MemoryLog::new());
        let counter = AtomicU64::new(1);
        let stamps = Arc::new(move || {
            let next = counter.fetch_add(1, Ordering::Relaxed);
            Stamp { event_id: EventId::new(Uuid::from_u128(u128::from(next))), unix_nanos: next }
        });
        let facts = FactWriter::new(Arc::clone(&log), stamps, "test", "t".parse().unwrap());
        let (tenant, pool) = ("default".parse().unwrap(), "smol".parse().unwrap());
        Arc::new(Self { log, facts, tenant, pool, scene })
    }

    async fn announce(&self, worker: &str) {
        let fact = control_envelope::Fact::DeploymentAnnounced(DeploymentAnnounced {
            deployment: worker.to_owned(),
            pool: self.pool.to_string(),
            model: "smol".to_owned(),
            ..DeploymentAnnounced::default()
        });
        let by = WrittenBy { event_id: EventId::new(Uuid::nil()), at_unix_nanos: 0, writer: "test" };
        let append = Append {
            stream: StreamName::Control,
            subject: subjects::control_deployment(&worker.parse().unwrap()),
            payload: ControlEnvelope::new(&by, fact).encode_to_vec().into(),
            expect: Expect::Anything,
        };
        self.log.append(append).await.unwrap();
    }

    async fn admit(&self, number: u128) {
        let id = InferenceId::new(Uuid::from_u128(number));
        let summary = RequestSummary {
            model: "smol".to_owned(),
            ingress: "api-1".to_owned(),
            ..RequestSummary::default()
        };
        let admitted = Admitted { summary: Some(summary), ..Admitted::default() };
        let subject = subjects::fact(FactKind::Admitted, &self.tenant, id);
        self.facts.append(id, &self.tenant, subject, Fact::Admitted(admitted)).await.unwrap();
    }

    /// A worker that comes back after each of its deaths, until the test is over.
    async fn keep_worker(self: Arc<Self>, number: usize, mut blows: Vec<Duration>) {
        let born = tokio::time::Instant::now();
        for life in 0_u64.. {
            let name = format!("w{number}");
            self.announce(&name).await;
            let life = Arc::new(Life {
                world: Arc::clone(&self),
                name,
                incarnation: Uuid::from_u128(u128::from(life) + 1).to_string(),
                held: Mutex::default(),
                beginnings: Arc::new(Semaphore::new(NUM_SLOTS)),
                changed: Notify::new(),
                death: CancellationToken::new(),
            });
            let blow = async {
                match blows.iter().position(|blow| *blow >= born.elapsed()) {
                    Some(next) => tokio::time::sleep_until(born + blows[next]).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = life.death.cancelled() => {}
                () = blow => life.death.cancel(),
                () = Arc::clone(&life).live() => {}
                () = life.beat() => {}
            }
            blows.retain(|blow| *blow > born.elapsed());
            tokio::time::sleep(Duration::from_millis(400)).await;
        }
    }
}

impl Life {
    async fn live(self: Arc<Self>) {
        let spec = topology::pool_consumer(&self.world.pool, WorkClass::Interactive);
        let consumer = self.world.log.consumer(&spec).await.unwrap();
        let slots = Arc::new(Semaphore::new(NUM_SLOTS));
        loop {
            let slot = Arc::clone(&slots).acquire_owned().await.unwrap();
            for delivery in consumer.fetch(1, Duration::from_secs(30)).await.unwrap() {
                let (life, slot) = (Arc::clone(&self), Arc::clone(&slots).acquire_owned().await);
                tokio::spawn(async move {
                    let death = life.death.clone();
                    death.run_until_cancelled(life.compute(delivery)).await;
                    drop(slot);
                });
            }
            drop(slot);
        }
    }

    async fn compute(&self, delivery: Delivery) {
        let envelope = schemas::decode_envelope(&delivery.record.payload).unwrap();
        let inference = envelope.inference().unwrap();
        let Some(Fact::Assigned(Assigned { attempt, history, .. })) = envelope.fact else { panic!() };
        if self.is_over(inference, attempt).await {
            return delivery.ack().await.unwrap();
        }
        let held = HeldAttempt {
            inference_id: inference.to_string(),
            attempt,
            assigned_sequence: delivery.record.sequence,
            is_waiting: true,
            ..HeldAttempt::default()
        };
        self.set(inference, Some(held.clone()));
        let num_permits = match history.unwrap_or_default().max_num_unproven {
            0 => 1,
            max_num_unproven => NUM_SLOTS.div_ceil(max_num_unproven as usize),
        };
        let beginning = self.beginnings.acquire_many(num_permits as u32).await.unwrap();
        if self.death.is_cancelled() {
            // The dead give their permits back here.
            return;
        }
        let begun = HeldAttempt { is_waiting: false, is_unproven: true, ..held.clone() };
        self.set(inference, Some(begun.clone()));
        self.say(Heartbeat { is_addition: true, ..self.heartbeat(vec![begun]) }).await;
        if is_killer(inference) {
            let index = usize::try_from(inference.uuid().as_u128() - 1_000).unwrap();
            tokio::time::sleep(self.world.scene.killers[index]).await;
            self.death.cancel();
            std::future::pending::<()>().await;
        }
        tokio::time::sleep(TO_FIRST_TOKEN).await;
        drop(beginning);
        self.set(inference, Some(HeldAttempt { is_waiting: false, ..held }));
        tokio::time::sleep(TO_END).await;
        let address = InferenceAddress {
            inference,
            tenant: self.world.tenant.clone(),
            ingress: "api-1".parse().unwrap(),
        };
        let ended = Ended { outcome: Outcome::Completed.into(), attempt, ..Ended::default() };
        self.world.facts.end(&address, ended).await.unwrap();
        delivery.ack().await.unwrap();
        self.set(inference, None);
    }

    async fn is_over(&self, inference: InferenceId, attempt: u32) -> bool {
        let World { log, tenant, .. } = self.world.as_ref();
        let ended = subjects::fact(FactKind::Ended, tenant, inference);
        let given_up = subjects::attempt_fact(FactKind::AttemptFailed, tenant, inference, attempt);
        log.last(StreamName::Inference, ended).await.unwrap().is_some()
            || log.last(StreamName::Inference, given_up).await.unwrap().is_some()
    }

    fn set(&self, inference: InferenceId, held: Option<HeldAttempt>) {
        let mut all = self.held.lock().unwrap();
        match held {
            Some(held) => drop(all.insert(inference, held)),
            None => drop(all.remove(&inference)),
        }
        self.changed.notify_one();
    }

    /// What changes is told a while later, and what happens in between dies with the worker.
    async fn beat(&self) {
        loop {
            let held = self.held.lock().unwrap().values().cloned().collect();
            self.say(self.heartbeat(held)).await;
            tokio::time::sleep(Duration::from_millis(25)).await;
            let pause = tokio::time::sleep(Duration::from_millis(475));
            tokio::select! {
                () = pause => {}
                () = self.changed.notified() => {}
            }
        }
    }

    fn heartbeat(&self, held: Vec<HeldAttempt>) -> Heartbeat {
        Heartbeat {
            worker: self.name.clone(),
            incarnation: self.incarnation.clone(),
            held,
            ..Heartbeat::default()
        }
    }

    async fn say(&self, heartbeat: Heartbeat) {
        let subject = subjects::heartbeat(&self.name.parse().unwrap());
        self.world.log.send(subject, heartbeat.encode_to_vec().into()).await.unwrap();
    }
}

/// Runs it to the end of every inference; each one's last attempt and how it ended.
async fn play(scene: Scene) -> HashMap<InferenceId, (u32, Outcome)> {
    let world = World::new(scene.clone());
    let stop = CancellationToken::new();
    tokio::spawn(routing::serve(world.facts.clone(), RoutingPolicy::default(), stop.clone()));
    for number in 0..2 {
        let blows = scene.blows.iter().skip(number).step_by(2).copied().collect();
        let worker = Arc::clone(&world).keep_worker(number, blows);
        tokio::spawn(stop.clone().run_until_cancelled_owned(worker));
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    let killers = (1_000..).take(scene.killers.len());
    let mut num_left = scene.killers.len();
    for number in (1..=scene.num_innocent).chain(killers) {
        world.admit(number).await;
        num_left += usize::from(number < 1_000);
    }
    let patterns = vec![subjects::all_of(FactKind::Ended)];
    let ends = world.log.read(StreamName::Inference, patterns, ReadFrom::Start, true).await.unwrap();
    let ends = ends.take(num_left).map(|record| {
        let envelope = schemas::decode_envelope(&record.unwrap().payload).unwrap();
        let id = envelope.inference().unwrap();
        let Some(Fact::Ended(ended)) = envelope.fact else { panic!() };
        (id, (ended.attempt, ended.outcome()))
    });
    let ends = tokio::time::timeout(Duration::from_secs(3_600), ends.collect()).await.unwrap();
    stop.cancel();
    ends
}

fn run(scene: Scene) -> HashMap<InferenceId, (u32, Outcome)> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    runtime.unwrap().block_on(play(scene))
}

#[test]
fn a_killer_that_is_alone_is_given_up_after_three_attempts_however_fast_it_is() {
    for millis in [0, 1, 10, 24, 25, 30, 200] {
        let killers = vec![Duration::from_millis(millis)];
        let ends = run(Scene { num_innocent: 0, killers, blows: Vec::new() });
        let ends: Vec<_> = ends.into_values().collect();
        assert_eq!(ends, [(3, Outcome::Failed)], "a killer after {millis} ms");
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 48,
        max_shrink_iters: 20,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]
    #[test]
    fn killers_are_found_and_no_innocent_neighbour_is_taken_for_one(
        num_innocent in 0_u128..40,
        killers in prop::collection::vec(0_u64..240, 0..3),
        blows in prop::collection::vec(0_u64..20_000, 0..8),
    ) {
        let mut blows: Vec<_> = blows.into_iter().map(Duration::from_millis).collect();
        blows.sort();
        let killers: Vec<_> = killers.into_iter().map(Duration::from_millis).collect();
        let num_blows = u32::try_from(blows.len()).unwrap();
        let ends = run(Scene { num_innocent, killers, blows });
        for (id, (attempt, outcome)) in ends {
            if is_killer(id) {
                prop_assert_eq!(outcome, Outcome::Failed);
                prop_assert!(attempt <= 14 + num_blows, "{} attempts", attempt);
            } else {
                prop_assert_eq!(outcome, Outcome::Completed, "{} is innocent", id);
            }
        }
    }
}
