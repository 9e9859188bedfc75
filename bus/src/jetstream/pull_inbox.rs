//! Pull requests and what comes back: one subscription for the life of a consumer instead of one per request.

use std::time::Duration;

use async_nats::{Client, Message, Subscriber};
use futures_util::StreamExt;
use serde::Serialize;

use super::delivery_subject::DeliverySubject;
use super::failure;
use crate::BusError;

/// What is asked of a consumer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) struct PullRequest {
    pub(super) batch: usize,
    /// Nanoseconds that the request waits at the broker; 0: not at all.
    #[serde(skip_serializing_if = "is_zero")]
    expires: u64,
    /// With `expires`: ends as soon as the records that are ready are delivered, at least one. Without: ends at once.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    no_wait: bool,
    #[serde(skip_serializing_if = "is_zero")]
    idle_heartbeat: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl PullRequest {
    /// Up to `batch` records as soon as one is there.
    pub(super) fn one_shot(batch: usize, wait: Duration) -> Self {
        Self { batch, expires: nanos(wait), no_wait: true, idle_heartbeat: 0 }
    }

    /// `batch` records, waiting until all have come.
    pub(super) fn waiting(batch: usize, wait: Duration, heartbeat: Duration) -> Self {
        Self { batch, expires: nanos(wait), no_wait: false, idle_heartbeat: nanos(heartbeat) }
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// What comes to the inbox.
#[expect(
    clippy::large_enum_variant,
    reason = "taken apart at once; a box would cost an allocation per record"
)]
pub(super) enum Pulled {
    Record(Message, DeliverySubject),
    Heartbeat,
    Ended(End),
}

/// Why a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// Nothing (more) is ready, or its time is over.
    Empty,
    /// Others wait for what is ready.
    OthersWait,
    /// The consumer is not there, or its server is starting.
    NoConsumer,
    /// The broker wants it asked again: a new leader, a full queue.
    AskAgain,
}

pub(super) struct PullInbox {
    client: Client,
    subscriber: Subscriber,
    prefix: String,
    next_token: u64,
    subject: String,
}

impl PullInbox {
    pub(super) async fn open(client: Client, stream: &str, consumer: &str) -> Result<Self, BusError> {
        let prefix = format!("{}.", client.new_inbox());
        let subscriber = client.subscribe(format!("{prefix}*")).await.map_err(failure::lost)?;
        let subject = format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}");
        Ok(Self { client, subscriber, prefix, next_token: 0, subject })
    }

    /// Sends a request; statuses of earlier ones are ignored from here on.
    pub(super) async fn ask(&mut self, request: &PullRequest) -> Result<(), BusError> {
        let body = serde_json::to_vec(request).map_err(|error| BusError::Refused(error.to_string()))?;
        self.next_token += 1;
        let inbox = format!("{}{}", self.prefix, self.next_token);
        self.client.publish_with_reply(self.subject.clone(), inbox, body.into()).await.map_err(failure::lost)
    }

    /// The next thing that comes; `Err` when the connection is closed for good. Cancel-safe.
    pub(super) async fn next(&mut self) -> Result<Pulled, BusError> {
        loop {
            let message = self.subscriber.next().await;
            let message =
                message.ok_or_else(|| BusError::Unreachable("the connection is closed".to_owned()))?;
            if let Some(pulled) = self.read(message) {
                return Ok(pulled);
            }
        }
    }

    fn read(&self, message: Message) -> Option<Pulled> {
        let Some(status) = message.status.map(|status| status.as_u16()) else {
            let delivery = DeliverySubject::parse(message.reply.as_deref()?)?;
            return Some(Pulled::Record(message, delivery));
        };
        let token = message.subject.strip_prefix(self.prefix.as_str())?;
        if token.parse() != Ok(self.next_token) {
            return None;
        }
        let description = message.description.as_deref().unwrap_or_default();
        Some(match status {
            100 => Pulled::Heartbeat,
            404 => Pulled::Ended(End::Empty),
            408 if description.contains("Requests Pending") => Pulled::Ended(End::OthersWait),
            408 => Pulled::Ended(End::Empty),
            503 => Pulled::Ended(End::NoConsumer),
            409 if description.contains("Consumer Deleted") => Pulled::Ended(End::NoConsumer),
            _ => Pulled::Ended(End::AskAgain),
        })
    }
}
