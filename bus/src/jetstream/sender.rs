//! Appends and publishes: sent in order, acknowledged off the path, repeated after a lost connection without doubling.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_nats::jetstream::stream::RawMessageErrorKind;
use async_nats::{HeaderMap, Message, StatusCode, Subject};
use bytes::Bytes;
use serde::Deserialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use super::api::Api;
use super::failure::{self, ApiError};
use super::link::LinkWatch;
use super::replies::{Replies, Reply};
use crate::{AppendOutcome, BusError, Expect, StreamName};

/// Without an answer for this long a message is sent again.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// A published message is repeated for no longer than every stream remembers its id.
const MAX_PUBLISH_PATIENCE: Duration = Duration::from_secs(20);
const PAUSE_UNTIL_READY: Duration = Duration::from_millis(50);

const EXPECTED_LAST: &str = "Nats-Expected-Last-Subject-Sequence";
/// Tells a repeated append that the record which refuses it is its own.
const APPEND_ID: &str = "Jetmill-Append";
/// The broker drops a second message with the same id within the stream's window.
const MESSAGE_ID: &str = "Nats-Msg-Id";

/// A message on its way into a stream.
pub(super) struct Outgoing {
    pub(super) stream: StreamName,
    subject: Subject,
    headers: HeaderMap,
    payload: Bytes,
    id: String,
}

impl Outgoing {
    /// `id` must be new. The guard makes its own repetition harmless; without it the broker's memory of ids does.
    pub(super) fn new(stream: StreamName, subject: String, expect: Expect, id: String) -> Self {
        let mut headers = HeaderMap::new();
        let expected_last = match expect {
            Expect::FirstOnSubject => Some(0),
            Expect::LastOnSubject(sequence) => Some(sequence),
            Expect::Anything => None,
        };
        match expected_last {
            Some(sequence) => {
                headers.insert(EXPECTED_LAST, sequence.to_string());
                headers.insert(APPEND_ID, id.as_str());
            }
            None => headers.insert(MESSAGE_ID, id.as_str()),
        }
        Self { stream, subject: subject.into(), headers, payload: Bytes::new(), id }
    }

    pub(super) fn with_payload(mut self, payload: Bytes) -> Self {
        self.payload = payload;
        self
    }

    pub(super) fn with_header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.insert(name, value);
        self
    }
}

pub(super) struct Sender {
    api: Arc<Api>,
    replies: Replies,
    window: Arc<Semaphore>,
    id_prefix: String,
    next_id: AtomicU64,
    tasks: TaskTracker,
}

/// One sending whose answer is awaited.
struct Attempt {
    reply: Reply,
    watch: LinkWatch,
}

enum Answer {
    Stored(u64),
    GuardRefused,
    Failed(BusError),
    /// The stream is not ready: the server or its leader is still starting.
    NotReady(String),
    /// None came: the message may be stored or not.
    Lost(String),
}

#[derive(Deserialize)]
struct PubAck {
    error: Option<ApiError>,
    seq: Option<u64>,
}

impl Sender {
    pub(super) async fn open(api: Arc<Api>, max_num_in_flight: usize) -> Result<Self, BusError> {
        let client = &api.link.client;
        let replies = Replies::open(client.clone()).await?;
        // The inbox holds enough randomness to tell this process from every other one.
        let inbox = client.new_inbox();
        let id_prefix = inbox.rsplit_once('.').map_or(inbox.as_str(), |(_, random)| random).to_owned();
        Ok(Self {
            replies,
            window: Arc::new(Semaphore::new(max_num_in_flight)),
            id_prefix,
            next_id: AtomicU64::new(0),
            tasks: TaskTracker::new(),
            api,
        })
    }

    /// An id that no other message has.
    pub(super) fn next_id(&self) -> String {
        format!("{}-{:x}", self.id_prefix, self.next_id.fetch_add(1, Ordering::Relaxed))
    }

    /// Sends and waits for the stream's answer.
    pub(super) async fn append(&self, outgoing: &Outgoing) -> Result<AppendOutcome, BusError> {
        let deadline = Instant::now() + self.api.patience;
        let _permit = self.permit(deadline).await?;
        let attempt = self.attempt(outgoing, deadline).await?;
        self.settle(outgoing, attempt, deadline).await
    }

    /// Sends, and awaits the answer in a task. A connection that breaks in between may bring a message late.
    pub(super) async fn publish(self: &Arc<Self>, outgoing: Outgoing) -> Result<(), BusError> {
        let deadline = Instant::now() + self.api.patience.min(MAX_PUBLISH_PATIENCE);
        let permit = self.permit(deadline).await?;
        let attempt = self.attempt(&outgoing, deadline).await?;
        let sender = Arc::clone(self);
        self.tasks.spawn(async move {
            if let Err(error) = sender.settle(&outgoing, attempt, deadline).await {
                sender.api.link.counters.num_lost_publishes.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(subject = %outgoing.subject, %error, "a published message was not stored");
            }
            drop(permit);
        });
        Ok(())
    }

    /// Waits until everything sent is answered.
    pub(super) async fn drained(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    async fn permit(&self, deadline: Instant) -> Result<OwnedSemaphorePermit, BusError> {
        match tokio::time::timeout_at(deadline, Arc::clone(&self.window).acquire_owned()).await {
            Ok(Ok(permit)) => Ok(permit),
            _ => Err(BusError::Unreachable("too many messages wait for their acknowledgement".to_owned())),
        }
    }

    async fn attempt(&self, outgoing: &Outgoing, deadline: Instant) -> Result<Attempt, BusError> {
        let watch = self.api.link.watch();
        let send =
            self.replies.send(outgoing.subject.clone(), outgoing.headers.clone(), outgoing.payload.clone());
        match tokio::time::timeout_at(deadline, send).await {
            Ok(reply) => Ok(Attempt { reply: reply?, watch }),
            Err(_) => Err(BusError::Unreachable("the connection takes no more messages".to_owned())),
        }
    }

    async fn settle(
        &self,
        outgoing: &Outgoing,
        mut attempt: Attempt,
        deadline: Instant,
    ) -> Result<AppendOutcome, BusError> {
        let mut may_be_stored = false;
        loop {
            let reason = match attempt.answer(outgoing.stream, deadline).await {
                Answer::Stored(sequence) => return Ok(AppendOutcome::Stored { sequence }),
                Answer::GuardRefused if !may_be_stored => return Ok(AppendOutcome::AlreadyThere),
                Answer::GuardRefused => {
                    return Ok(match self.own_sequence(outgoing).await? {
                        Some(sequence) => AppendOutcome::Stored { sequence },
                        None => AppendOutcome::AlreadyThere,
                    });
                }
                Answer::Failed(error) => return Err(error),
                Answer::NotReady(reason) => {
                    tokio::time::sleep(PAUSE_UNTIL_READY).await;
                    reason
                }
                Answer::Lost(reason) => {
                    may_be_stored = true;
                    reason
                }
            };
            if Instant::now() >= deadline {
                return Err(BusError::Unreachable(reason));
            }
            attempt = self.attempt(outgoing, deadline).await?;
        }
    }

    /// Where the record that stands on this subject is, if this very append wrote it.
    async fn own_sequence(&self, outgoing: &Outgoing) -> Result<Option<u64>, BusError> {
        let stream =
            self.api.context.get_stream_no_info(outgoing.stream.as_str()).await.map_err(failure::lost)?;
        self.api
            .patiently(|| async {
                match stream.get_last_raw_message_by_subject(&outgoing.subject).await {
                    Ok(message) => {
                        let id = message.headers.get(APPEND_ID).map(|id| id.as_str());
                        Ok((id == Some(outgoing.id.as_str())).then_some(message.sequence))
                    }
                    Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => Ok(None),
                    Err(error) => Err(failure::lost(error)),
                }
            })
            .await
    }
}

impl Attempt {
    async fn answer(&mut self, stream: StreamName, deadline: Instant) -> Answer {
        let give_up_at = deadline.min(Instant::now() + ANSWER_TIMEOUT);
        tokio::select! {
            biased;
            message = self.reply.received() => match message {
                Ok(message) => read_answer(&message, stream),
                Err(error) => Answer::Failed(error),
            },
            () = self.watch.renewed() => Answer::Lost("the connection broke".to_owned()),
            () = tokio::time::sleep_until(give_up_at) => Answer::Lost("no acknowledgement came".to_owned()),
        }
    }
}

fn read_answer(message: &Message, stream: StreamName) -> Answer {
    if message.status == Some(StatusCode::NO_RESPONDERS) {
        return Answer::NotReady(format!("stream {} does not answer", stream.as_str()));
    }
    match serde_json::from_slice::<PubAck>(&message.payload) {
        Ok(PubAck { error: None, seq: Some(sequence) }) => Answer::Stored(sequence),
        Ok(PubAck { error: Some(error), .. }) if error.is_guard() => Answer::GuardRefused,
        Ok(PubAck { error: Some(error), .. }) if error.is_passing() => Answer::NotReady(error.description),
        Ok(PubAck { error: Some(error), .. }) => Answer::Failed(error.about(stream.as_str())),
        Ok(PubAck { error: None, seq: None }) => {
            Answer::Lost("an acknowledgement without a sequence".to_owned())
        }
        Err(error) => Answer::Lost(format!("an unreadable acknowledgement: {error}")),
    }
}
