//! A worker's sign of life, and how it learns that it is not heard.
//!
//! A worker speaks for an attempt only while it hears its own heartbeats come back from the broker: one that was paused or
//! cut off for longer than [`LEASE`] may have been given up, and looks first.

use std::time::Duration;

use bus::{BusError, FactWriter, LiveMessages, subjects};
use futures_util::StreamExt as _;
use prost::Message as _;
use schemas::WorkerId;
use schemas::v1::{Heartbeat, HeldAttempt};
use tokio::sync::{Mutex, Notify, watch};
use tokio::time::{Instant, MissedTickBehavior};
use tracing::{debug, warn};

use super::PAUSE_AFTER_FAILURE;

const INTERVAL: Duration = Duration::from_millis(500);
/// What changes within this time is told by one heartbeat.
const MIN_INTERVAL: Duration = Duration::from_millis(25);
/// A worker that has not heard itself for so long does not speak; below what the routers take for its end.
const LEASE: Duration = Duration::from_secs(1);

/// The heartbeats of one process.
pub(crate) struct Pulse {
    facts: FactWriter,
    worker: WorkerId,
    incarnation: String,
    started_at: Instant,
    /// When the last heartbeat that came back was sent.
    heard_at: watch::Sender<Instant>,
    changed: Notify,
    /// Held from the look at what is held until that is said: what is said later is newer.
    speaking: Mutex<()>,
    /// Held by whoever looks what was given up while this worker was not heard.
    pub(super) regaining: Mutex<()>,
}

impl Pulse {
    /// A worker that counts as heard for now.
    pub(crate) fn new(facts: FactWriter, worker: WorkerId) -> Self {
        let now = Instant::now();
        Self {
            incarnation: facts.stamp().event_id.to_string(),
            facts,
            worker,
            started_at: now,
            heard_at: watch::Sender::new(now),
            changed: Notify::new(),
            speaking: Mutex::default(),
            regaining: Mutex::default(),
        }
    }

    pub(super) fn facts(&self) -> &FactWriter {
        &self.facts
    }

    /// What is held has changed: says so soon.
    pub(crate) fn note_change(&self) {
        self.changed.notify_one();
    }

    /// Whether the broker has heard this worker lately.
    pub(crate) fn is_heard(&self) -> bool {
        self.heard_at.borrow().elapsed() < LEASE
    }

    /// Returns once the broker hears this worker. Cancel-safe.
    pub(crate) async fn heard(&self) {
        let mut heard_at = self.heard_at.subscribe();
        // The sender lives as long as this does.
        drop(heard_at.wait_for(|heard_at| heard_at.elapsed() < LEASE).await);
    }

    /// Says that an attempt begins; returns when that is on its way whatever becomes of this process, so that what brings
    /// its worker down, however fast, is known to have begun. While the broker is away nothing begins. `begun` tells of what is
    /// held beside it too if that must be known: whatever else is held stays as it was said before.
    pub(crate) async fn say_begun(&self, begun: impl Fn() -> Vec<HeldAttempt>) {
        loop {
            let speaking = self.speaking.lock().await;
            let heartbeat = Heartbeat { is_addition: true, ..self.heartbeat(begun()) };
            let said = self.say(heartbeat).await;
            drop(speaking);
            let Err(error) = said else { return };
            debug!(%error, "a beginning waits until it can be said");
            tokio::time::sleep(PAUSE_AFTER_FAILURE).await;
        }
    }

    /// Says what is held, for ever.
    pub(crate) async fn beat(&self, held: impl Fn() -> Vec<HeldAttempt>) {
        loop {
            match self.facts.log().listen(subjects::heartbeat(&self.worker)).await {
                Ok(own) => self.beat_and_listen(own, &held).await,
                Err(error) => warn!(%error, "cannot listen to the own heartbeat, trying again"),
            }
            tokio::time::sleep(PAUSE_AFTER_FAILURE).await;
        }
    }

    /// Says that silence will mean nothing.
    pub(crate) async fn say_last(&self) {
        if let Err(error) = self.say(Heartbeat { is_last: true, ..self.heartbeat(Vec::new()) }).await {
            warn!(%error, "the last heartbeat was not sent");
        }
    }

    /// Returns when the subscription breaks.
    async fn beat_and_listen(&self, mut own: LiveMessages, held: &impl Fn() -> Vec<HeldAttempt>) {
        let mut ticks = tokio::time::interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut said_at = Instant::now();
        loop {
            tokio::select! {
                message = own.next() => {
                    let Some(message) = message else { return };
                    self.hear(&message.payload);
                    continue;
                }
                _ = ticks.tick() => {}
                () = self.changed.notified() => tokio::time::sleep_until(said_at + MIN_INTERVAL).await,
            }
            said_at = Instant::now();
            let speaking = self.speaking.lock().await;
            // While the connection is down nothing can be said, which is what the others notice.
            drop(self.say(self.heartbeat(held())).await);
            drop(speaking);
        }
    }

    fn heartbeat(&self, held: Vec<HeldAttempt>) -> Heartbeat {
        Heartbeat {
            worker: self.worker.to_string(),
            incarnation: self.incarnation.clone(),
            held,
            uptime_nanos: u64::try_from(self.started_at.elapsed().as_nanos()).unwrap_or(u64::MAX),
            ..Heartbeat::default()
        }
    }

    async fn say(&self, heartbeat: Heartbeat) -> Result<(), BusError> {
        let subject = subjects::heartbeat(&self.worker);
        self.facts.log().send(subject, heartbeat.encode_to_vec().into()).await
    }

    /// What comes back was heard when it was sent, however long it lay on the way back.
    fn hear(&self, payload: &[u8]) {
        let Ok(heartbeat) = Heartbeat::decode(payload) else { return };
        if heartbeat.incarnation == self.incarnation {
            self.heard_at.send_replace(self.started_at + Duration::from_nanos(heartbeat.uptime_nanos));
        }
    }
}
