//! A durable consumer: a handle, and a task that owns the pull request, so that a cancelled fetch loses nothing.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::ErrorCode;
use async_nats::{Message, Subject};
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::Core;
use super::api::Api;
use super::delivery_subject::DeliverySubject;
use super::failure;
use super::link::LinkWatch;
use super::pull_inbox::{End, PullInbox, PullRequest, Pulled};
use super::reconcile;
use crate::event_log::{ConsumerHandle, DeliveryHandle};
use crate::topology::ConsumerSpec;
use crate::{Backlog, BusError, Delivery, Record};

/// A request at the broker is renewed after this long.
const MAX_PULL: Duration = Duration::from_secs(30);
/// Past the end of a request its end may still be on its way.
const GRACE: Duration = Duration::from_secs(2);
/// Between two records of one answer.
const MAX_GAP: Duration = Duration::from_millis(20);
/// What a cancelled fetch left behind is handed back when no other fetch comes within this.
const MAX_IDLE: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(50);

pub(super) struct PullConsumer {
    fetches: mpsc::Sender<Fetch>,
}

struct Fetch {
    max_num: usize,
    wait: Duration,
    reply: oneshot::Sender<Result<Vec<Delivery>, BusError>>,
}

impl PullConsumer {
    pub(super) async fn open(core: Arc<Core>, spec: &ConsumerSpec) -> Result<Self, BusError> {
        reconcile::reconcile_consumer(&core.api, spec).await?;
        let client = core.api.link.client.clone();
        let inbox = PullInbox::open(client, spec.stream.as_str(), &spec.name).await?;
        let watch = core.api.link.watch();
        let (fetches, received) = mpsc::channel(16);
        let puller =
            Puller { core, spec: Arc::new(spec.clone()), inbox, watch, held: VecDeque::new(), num_asked: 0 };
        tokio::spawn(puller.run(received));
        Ok(Self { fetches })
    }
}

#[async_trait]
impl ConsumerHandle for PullConsumer {
    async fn fetch(&self, max_num: usize, wait: Duration) -> Result<Vec<Delivery>, BusError> {
        if max_num == 0 {
            return Ok(Vec::new());
        }
        let (reply, deliveries) = oneshot::channel();
        self.fetches.send(Fetch { max_num, wait, reply }).await.map_err(|_| task_ended())?;
        deliveries.await.map_err(|_| task_ended())?
    }
}

#[derive(Deserialize)]
struct ConsumerInfo {
    num_pending: u64,
    delivered: Delivered,
}

#[derive(Deserialize)]
struct Delivered {
    consumer_seq: u64,
}

/// What the broker says of a consumer that may not be there.
pub(super) async fn backlog(api: &Api, spec: &ConsumerSpec) -> Result<Option<Backlog>, BusError> {
    let operation = format!("CONSUMER.INFO.{}.{}", spec.stream.as_str(), spec.name);
    match api.call::<ConsumerInfo>(&operation, &json!({})).await? {
        Ok(ConsumerInfo { num_pending, delivered }) => {
            Ok(Some(Backlog { num_waiting: num_pending, num_delivered: delivered.consumer_seq }))
        }
        Err(error) if error.err_code == ErrorCode::CONSUMER_NOT_FOUND.0 => Ok(None),
        Err(error) => Err(error.about(&spec.name)),
    }
}

/// Owns the requests of one consumer.
struct Puller {
    core: Arc<Core>,
    spec: Arc<ConsumerSpec>,
    inbox: PullInbox,
    watch: LinkWatch,
    /// Delivered, and not yet handed to a caller.
    held: VecDeque<(Message, DeliverySubject)>,
    /// Records that the broker may still send for the open request; 0: none is open.
    num_asked: usize,
}

impl Puller {
    async fn run(mut self, mut fetches: mpsc::Receiver<Fetch>) {
        loop {
            let is_idle = self.held.is_empty() && self.num_asked == 0;
            tokio::select! {
                biased;
                fetch = fetches.recv() => match fetch {
                    Some(fetch) => self.serve(fetch).await,
                    None => break,
                },
                pulled = self.inbox.next() => match pulled {
                    Ok(pulled) => { self.take(pulled); }
                    Err(_) => break,
                },
                () = tokio::time::sleep(MAX_IDLE), if !is_idle => self.hand_back().await,
            }
        }
        self.hand_back().await;
    }

    async fn serve(&mut self, fetch: Fetch) {
        let Fetch { max_num, wait, mut reply } = fetch;
        let collected = tokio::select! {
            // The open request and what came for it stay for the next fetch.
            () = reply.closed() => return,
            collected = self.collect(max_num, wait) => collected,
        };
        let sent = match collected {
            Ok(()) => {
                let num = max_num.min(self.held.len());
                let pulled: Vec<_> = self.held.drain(..num).collect();
                let deliveries = self.deliveries(pulled).await;
                reply.send(Ok(deliveries))
            }
            Err(error) => reply.send(Err(error)),
        };
        if let Err(Ok(deliveries)) = sent {
            // Cancelled in the last moment: others may have them at once.
            for delivery in deliveries {
                if let Err(error) = delivery.retry_after(Duration::ZERO).await {
                    tracing::debug!(%error, "a delivery comes again after its timeout");
                }
            }
        }
    }

    /// Waits until something is held or the time is over. Cancel-safe.
    async fn collect(&mut self, max_num: usize, wait: Duration) -> Result<(), BusError> {
        let deadline = Instant::now() + wait;
        let mut has_asked = self.num_asked > 0;
        while self.held.is_empty() {
            if has_asked && self.num_asked == 0 && Instant::now() >= deadline {
                return Ok(());
            }
            if self.num_asked == 0 {
                let left = deadline.saturating_duration_since(Instant::now()).min(MAX_PULL);
                self.ask(PullRequest::one_shot(max_num, left)).await?;
                has_asked = true;
            }
            tokio::select! {
                pulled = self.inbox.next() => match self.take(pulled?) {
                    None | Some(End::Empty) => {}
                    Some(End::OthersWait) => self.queue_up(deadline).await?,
                    Some(End::AskAgain) => pause_until(deadline).await,
                    Some(End::NoConsumer) => {
                        reconcile::reconcile_consumer(&self.core.api, &self.spec).await?;
                        pause_until(deadline).await;
                    }
                },
                () = self.watch.renewed() => self.num_asked = 0,
                () = tokio::time::sleep_until(deadline + if self.core.api.link.is_up() { GRACE } else { Duration::ZERO }) => {
                    self.num_asked = 0;
                }
            }
        }
        self.collect_burst(max_num).await
    }

    /// The rest of an answer that has begun.
    async fn collect_burst(&mut self, max_num: usize) -> Result<(), BusError> {
        while self.num_asked > 0 && self.held.len() < max_num {
            if self.held.back().is_some_and(|(_, delivery)| delivery.num_pending == 0) {
                // The request ends at the broker by itself; its status is read with the next fetch.
                self.num_asked = 0;
                break;
            }
            match tokio::time::timeout(MAX_GAP, self.inbox.next()).await {
                Ok(pulled) => drop(self.take(pulled?)),
                Err(_) => break,
            }
        }
        Ok(())
    }

    async fn ask(&mut self, request: PullRequest) -> Result<(), BusError> {
        self.inbox.ask(&request).await?;
        self.num_asked = request.batch;
        Ok(())
    }

    /// Others wait for what is ready, so a place in the queue is needed instead of an answer at once.
    async fn queue_up(&mut self, deadline: Instant) -> Result<(), BusError> {
        let left = deadline.saturating_duration_since(Instant::now()).min(MAX_PULL);
        if left.is_zero() {
            return Ok(());
        }
        self.ask(PullRequest::waiting(1, left, Duration::ZERO)).await
    }

    fn take(&mut self, pulled: Pulled) -> Option<End> {
        match pulled {
            Pulled::Record(message, delivery) => {
                self.held.push_back((message, delivery));
                self.num_asked = self.num_asked.saturating_sub(1);
                None
            }
            Pulled::Heartbeat => None,
            Pulled::Ended(end) => {
                self.num_asked = 0;
                Some(end)
            }
        }
    }

    /// Lets others have what nobody here asks for any more, and withdraws the open request with its subscription.
    async fn hand_back(&mut self) {
        for (message, _) in self.held.drain(..) {
            if let Some(reply) = message.reply {
                let handle = AckHandle { core: Arc::clone(&self.core), spec: Arc::clone(&self.spec), reply };
                if let Err(error) = handle.retry_after(Duration::ZERO).await {
                    tracing::debug!(%error, "a delivery comes again after its timeout");
                }
            }
        }
        let client = self.core.api.link.client.clone();
        match PullInbox::open(client, self.spec.stream.as_str(), &self.spec.name).await {
            Ok(inbox) => {
                self.inbox = inbox;
                self.num_asked = 0;
            }
            Err(error) => tracing::debug!(%error, "a pull request stays until it expires"),
        }
    }

    /// With their payloads, in order. A record whose object is gone can never be processed and is given up here.
    async fn deliveries(&self, pulled: Vec<(Message, DeliverySubject)>) -> Vec<Delivery> {
        stream::iter(pulled)
            .map(|(message, delivery)| self.delivery(message, delivery))
            .buffered(8)
            .filter_map(std::future::ready)
            .collect()
            .await
    }

    async fn delivery(&self, message: Message, delivery: DeliverySubject) -> Option<Delivery> {
        let handle = AckHandle {
            core: Arc::clone(&self.core),
            spec: Arc::clone(&self.spec),
            reply: message.reply.clone()?,
        };
        let resolved = self.core.claims.resolve(message.headers.as_ref(), message.payload).await;
        let record = |payload| Record {
            sequence: delivery.sequence,
            subject: message.subject.to_string(),
            payload,
            stored: None,
            stored_at_unix_nanos: delivery.stored_at_unix_nanos,
        };
        let error = match resolved {
            Ok(payload) => {
                return Some(Delivery::new(record(payload), delivery.num_delivered, Box::new(handle)));
            }
            Err(error) => error,
        };
        tracing::warn!(sequence = delivery.sequence, %error, "a payload cannot be loaded");
        let settled = if error.is_retryable() {
            handle.retry_after(PAUSE).await
        } else {
            handle.dead_letter(&record(Bytes::new()), error.code()).await
        };
        if let Err(error) = settled {
            tracing::debug!(%error, "a delivery comes again after its timeout");
        }
        None
    }
}

fn task_ended() -> BusError {
    BusError::Unreachable("the consumer's task has ended".to_owned())
}

async fn pause_until(deadline: Instant) {
    tokio::time::sleep_until(deadline.min(Instant::now() + PAUSE)).await;
}

struct AckHandle {
    core: Arc<Core>,
    spec: Arc<ConsumerSpec>,
    reply: Subject,
}

impl AckHandle {
    async fn say(&self, word: Bytes) -> Result<(), BusError> {
        self.core.api.link.client.publish(self.reply.clone(), word).await.map_err(failure::lost)
    }
}

#[async_trait]
impl DeliveryHandle for AckHandle {
    async fn ack(&self) -> Result<(), BusError> {
        self.say(Bytes::from_static(b"+ACK")).await
    }

    async fn retry_after(&self, delay: Duration) -> Result<(), BusError> {
        let word = if delay.is_zero() {
            Bytes::from_static(b"-NAK")
        } else {
            format!("-NAK {{\"delay\": {}}}", delay.as_nanos()).into()
        };
        self.say(word).await
    }

    async fn progress(&self) -> Result<(), BusError> {
        self.say(Bytes::from_static(b"+WPI")).await
    }

    async fn dead_letter(&self, record: &Record, reason: &str) -> Result<(), BusError> {
        self.core.dead_letter(&self.spec, record, reason).await?;
        self.ack().await
    }
}
