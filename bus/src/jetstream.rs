//! [`JetStreamLog`]: the event log on NATS JetStream.

mod api;
mod claim_check;
mod consumer;
mod dead_letters;
mod delivery_subject;
mod failure;
mod forgetting;
mod link;
mod options;
mod pull_inbox;
mod reader;
mod reconcile;
mod replies;
mod sender;

use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::stream::RawMessageErrorKind;
use async_nats::jetstream::{self, message::StreamMessage, stream};
use async_nats::{HeaderMap, Request, RequestErrorKind};
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt;
use serde_json::json;

use self::api::Api;
use self::claim_check::{ClaimCheck, hash_of_object};
use self::consumer::PullConsumer;
use self::link::Link;
pub use self::link::LinkCounts;
pub use self::options::{Credentials, JetStreamOptions};
use self::reader::Reader;
use self::sender::{Outgoing, Sender};
use crate::limits::{self, CLAIM_CHECK_BYTES};
use crate::topology::ConsumerSpec;
use crate::{
    Append, AppendOutcome, Backlog, BusError, Consumer, DeadLetter, EventLog, Expect, LiveMessage,
    LiveMessages, MissingContent, QueryMessage, QueryMessages, ReadFrom, Record, Records, StreamName,
    StreamState,
};

/// A connection that takes nothing for so long is as good as down.
const SEND_TIMEOUT: Duration = Duration::from_secs(1);

/// The event log on NATS JetStream. Clones share one connection.
#[derive(Clone)]
pub struct JetStreamLog {
    core: Arc<Core>,
}

/// What all handles of one connection share.
struct Core {
    api: Arc<Api>,
    sender: Arc<Sender>,
    claims: ClaimCheck,
    max_record_bytes: usize,
    objects_margin: Duration,
}

impl JetStreamLog {
    /// Connects and brings the streams to their specification. `Err(Unreachable)` when the broker stays away past the
    /// patience, `Err(Refused)` for a wrong login or a stream that cannot be changed.
    pub async fn connect(options: JetStreamOptions) -> Result<Self, BusError> {
        let link = Arc::new(Link::open(&options).await?);
        let context = jetstream::new(link.client.clone());
        let api = Arc::new(Api { link, context, patience: options.patience });
        reconcile::reconcile_streams(&api, &options).await?;
        let objects = reconcile::open_objects(&api).await?;
        let sender = Arc::new(Sender::open(Arc::clone(&api), options.max_num_in_flight).await?);
        let claims = ClaimCheck::new(Arc::clone(&api), objects);
        Ok(Self {
            core: Arc::new(Core {
                api,
                sender,
                claims,
                max_record_bytes: options.max_record_bytes,
                objects_margin: options.policy.objects_margin,
            }),
        })
    }

    /// Takes the age from the log, its objects and its keys, and leaves everything else: from now on facts go only by
    /// [`EventLog::forget_before`], and keys stay.
    pub async fn keep_until_archived(&self) -> Result<(), BusError> {
        let (log, keys) = (StreamName::Inference.as_str(), StreamName::Keys.as_str());
        for stream in [log, reconcile::OBJECTS_STREAM, keys] {
            let config = self.core.info(stream).await?.config;
            if config.max_age.is_zero() {
                continue;
            }
            let kept = stream::Config { max_age: Duration::ZERO, ..config };
            let operation = format!("STREAM.UPDATE.{stream}");
            let updated = self.core.api.call::<serde_json::Value>(&operation, &kept).await?;
            updated.map_err(|error| error.about(stream))?;
        }
        Ok(())
    }

    /// What happened on the connection so far.
    pub fn link_counts(&self) -> LinkCounts {
        self.core.api.link.counts()
    }
}

impl Core {
    /// Appends; a claim-checked payload goes first.
    async fn append(&self, append: Append) -> Result<AppendOutcome, BusError> {
        limits::check_append(&append, self.max_record_bytes)?;
        let Append { stream, subject, payload, expect } = append;
        let id = self.sender.next_id();
        let outgoing = Outgoing::new(stream, subject, expect, id.clone());
        if payload.len() <= CLAIM_CHECK_BYTES {
            return self.sender.append(&outgoing.with_payload(payload)).await;
        }
        let stub = self.claims.check_in(outgoing, &id, &payload).await?;
        let outcome = self.sender.append(&stub).await;
        // After `Unreachable` the stub may stand, so the object stays.
        if matches!(outcome, Ok(AppendOutcome::AlreadyThere) | Err(BusError::Full(_) | BusError::Refused(_)))
        {
            self.claims.discard(&id).await;
        }
        outcome
    }

    async fn dead_letter(&self, spec: &ConsumerSpec, record: &Record, reason: &str) -> Result<(), BusError> {
        let letter = DeadLetter {
            stream: spec.stream.as_str().to_owned(),
            sequence: record.sequence,
            subject: record.subject.clone(),
            consumer: spec.name.clone(),
            reason: reason.to_owned(),
            payload: record.stored().clone(),
        };
        self.append(Append {
            stream: StreamName::DeadLetters,
            subject: DeadLetter::subject_of(spec.stream, &spec.name, record.sequence),
            payload: letter.encode(),
            expect: Expect::FirstOnSubject,
        })
        .await
        .map(drop)
    }

    async fn record(&self, message: Option<StreamMessage>) -> Result<Option<Record>, BusError> {
        let Some(message) = message else { return Ok(None) };
        let stub = Record {
            sequence: message.sequence,
            subject: message.subject.to_string(),
            payload: message.payload,
            stored: None,
            stored_at_unix_nanos: u64::try_from(message.time.unix_timestamp_nanos()).unwrap_or(0),
        };
        self.resolved(stub, Some(&message.headers)).await.map(Some)
    }

    /// The record that a message of a stream stands for; if its content is gone, the error tells what is known without it.
    async fn resolved(&self, stub: Record, headers: Option<&HeaderMap>) -> Result<Record, BusError> {
        match self.claims.resolve(headers, stub.payload).await {
            Ok(payload) => Ok(Record { payload, ..stub }),
            Err(BusError::Object { name, reason, .. }) => {
                let missing = hash_of_object(headers).map(|hash| {
                    Box::new(MissingContent {
                        sequence: stub.sequence,
                        subject: stub.subject,
                        stored_at_unix_nanos: stub.stored_at_unix_nanos,
                        hash,
                    })
                });
                Err(BusError::Object { name, reason, missing })
            }
            Err(error) => Err(error),
        }
    }

    async fn info(&self, stream: &str) -> Result<stream::Info, BusError> {
        let operation = format!("STREAM.INFO.{stream}");
        self.api.call(&operation, &json!({})).await?.map_err(|error| error.about(stream))
    }

    async fn stream_handle(&self, stream: StreamName) -> Result<stream::Stream<()>, BusError> {
        self.api.context.get_stream_no_info(stream.as_str()).await.map_err(failure::lost)
    }
}

fn found(outcome: Result<StreamMessage, stream::RawMessageError>) -> Result<Option<StreamMessage>, BusError> {
    match outcome {
        Ok(message) => Ok(Some(message)),
        Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => Ok(None),
        Err(error) => Err(failure::lost(error)),
    }
}

#[async_trait]
impl EventLog for JetStreamLog {
    async fn append(&self, append: Append) -> Result<AppendOutcome, BusError> {
        self.core.append(append).await
    }

    async fn publish(&self, stream: StreamName, subject: String, payload: Bytes) -> Result<(), BusError> {
        let append = Append { stream, subject, payload, expect: Expect::Anything };
        limits::check_append(&append, self.core.max_record_bytes)?;
        let id = self.core.sender.next_id();
        let outgoing = Outgoing::new(stream, append.subject, Expect::Anything, id.clone());
        let outgoing = if append.payload.len() <= CLAIM_CHECK_BYTES {
            outgoing.with_payload(append.payload)
        } else {
            self.core.claims.check_in(outgoing, &id, &append.payload).await?
        };
        self.core.sender.publish(outgoing).await
    }

    async fn send(&self, subject: String, payload: Bytes) -> Result<(), BusError> {
        limits::check_message(&subject)?;
        if !self.is_connected() {
            return Err(BusError::Unreachable("the connection is down".to_owned()));
        }
        let client = &self.core.api.link.client;
        let sent = async {
            client.publish(subject, payload).await.map_err(failure::lost)?;
            client.flush().await.map_err(failure::lost)
        };
        tokio::time::timeout(SEND_TIMEOUT, sent)
            .await
            .unwrap_or_else(|_| Err(BusError::Unreachable("the connection takes no messages".to_owned())))
    }

    async fn listen(&self, pattern: String) -> Result<LiveMessages, BusError> {
        limits::check_pattern(&pattern)?;
        let client = &self.core.api.link.client;
        let messages = client.subscribe(pattern).await.map_err(failure::lost)?;
        // Only when the server has the subscription is what is published from now on heard.
        self.core.api.patiently(|| async { client.flush().await.map_err(failure::lost) }).await?;
        let core = Arc::clone(&self.core);
        Ok(messages
            .filter_map(move |message| {
                let core = Arc::clone(&core);
                async move {
                    match core.claims.resolve(message.headers.as_ref(), message.payload).await {
                        Ok(payload) => Some(LiveMessage { subject: message.subject.to_string(), payload }),
                        Err(error) => {
                            tracing::warn!(subject = %message.subject, %error, "a live message cannot be loaded");
                            None
                        }
                    }
                }
            })
            .boxed())
    }

    async fn consumer(&self, spec: &ConsumerSpec) -> Result<Consumer, BusError> {
        Ok(Consumer::new(Box::new(PullConsumer::open(Arc::clone(&self.core), spec).await?)))
    }

    async fn backlog(&self, spec: &ConsumerSpec) -> Result<Option<Backlog>, BusError> {
        consumer::backlog(&self.core.api, spec).await
    }

    async fn read(
        &self,
        stream: StreamName,
        patterns: Vec<String>,
        from: ReadFrom,
        follow: bool,
    ) -> Result<Records, BusError> {
        for pattern in &patterns {
            limits::check_pattern(pattern)?;
        }
        let reader = Reader::new(Arc::clone(&self.core), stream, patterns, from);
        if follow {
            return reader.records().await;
        }
        let end = match from {
            // A subject that is written again meanwhile has its last record past the present end.
            ReadFrom::LastPerSubject => u64::MAX,
            _ => self.last_sequence(stream).await?,
        };
        reader.until(end).records().await
    }

    async fn get(&self, stream: StreamName, sequence: u64) -> Result<Option<Record>, BusError> {
        if sequence == 0 {
            return Ok(None);
        }
        let handle = self.core.stream_handle(stream).await?;
        let message =
            self.core.api.patiently(|| async { found(handle.get_raw_message(sequence).await) }).await?;
        self.core.record(message).await
    }

    async fn last(&self, stream: StreamName, subject: String) -> Result<Option<Record>, BusError> {
        let handle = self.core.stream_handle(stream).await?;
        let read = || async { found(handle.get_last_raw_message_by_subject(&subject).await) };
        self.core.record(self.core.api.patiently(read).await?).await
    }

    async fn purge(&self, stream: StreamName, pattern: String) -> Result<(), BusError> {
        limits::check_purge(stream, &pattern)?;
        let operation = format!("STREAM.PURGE.{}", stream.as_str());
        let outcome =
            self.core.api.call::<serde_json::Value>(&operation, &json!({ "filter": pattern })).await?;
        outcome.map(drop).map_err(|error| error.about(stream.as_str()))
    }

    async fn erase(&self, stream: StreamName, sequence: u64) -> Result<(), BusError> {
        limits::check_erase(stream)?;
        let operation = format!("STREAM.MSG.DELETE.{}", stream.as_str());
        let request = json!({ "seq": sequence, "no_erase": false });
        match self.core.api.call::<serde_json::Value>(&operation, &request).await? {
            // An earlier call, whose answer was lost, may have removed it.
            Err(error) if self.get(stream, sequence).await?.is_some() => Err(error.about(stream.as_str())),
            _ => Ok(()),
        }
    }

    async fn forget_before(&self, stream: StreamName, sequence: u64) -> Result<(), BusError> {
        limits::check_forget(stream)?;
        forgetting::forget_before(&self.core, stream, sequence).await
    }

    async fn state(&self, stream: StreamName) -> Result<StreamState, BusError> {
        let info = self.core.info(stream.as_str()).await?;
        let limit = |max_bytes: i64| u64::try_from(max_bytes).unwrap_or(0);
        let mut state = StreamState {
            first_sequence: info.state.first_sequence.max(1),
            last_sequence: info.state.last_sequence,
            num_bytes: info.state.bytes,
            max_bytes: limit(info.config.max_bytes),
            ..StreamState::default()
        };
        if stream == StreamName::Inference {
            let objects = self.core.info(reconcile::OBJECTS_STREAM).await?;
            state.num_object_bytes = objects.state.bytes;
            state.max_object_bytes = limit(objects.config.max_bytes);
        }
        Ok(state)
    }

    async fn last_sequence(&self, stream: StreamName) -> Result<u64, BusError> {
        Ok(self.core.info(stream.as_str()).await?.state.last_sequence)
    }

    async fn ask(&self, subject: String, payload: Bytes, timeout: Duration) -> Result<Bytes, BusError> {
        let request = Request::new().payload(payload).timeout(Some(timeout));
        match self.core.api.link.client.send_request(subject.clone(), request).await {
            Ok(answer) => Ok(answer.payload),
            Err(error) => Err(match error.kind() {
                RequestErrorKind::NoResponders => BusError::NoResponder(subject),
                RequestErrorKind::TimedOut => {
                    BusError::TimedOut { subject, waited_millis: timeout.as_millis() as u64 }
                }
                RequestErrorKind::InvalidSubject => {
                    BusError::Refused(format!("'{subject}' is no literal subject"))
                }
                _ => failure::lost(error),
            }),
        }
    }

    async fn answer(&self, subject: String, group: String) -> Result<QueryMessages, BusError> {
        limits::check_pattern(&subject)?;
        let client = self.core.api.link.client.clone();
        let questions = client.queue_subscribe(subject, group).await.map_err(failure::lost)?;
        self.core.api.patiently(|| async { client.flush().await.map_err(failure::lost) }).await?;
        Ok(questions
            .filter_map(move |message| {
                let client = client.clone();
                std::future::ready(message.reply.map(|reply| QueryMessage {
                    subject: message.subject.to_string(),
                    payload: message.payload,
                    reply: Box::new(move |answer| {
                        tokio::spawn(async move {
                            if let Err(error) = client.publish(reply, answer).await {
                                tracing::warn!(%error, "an answer could not be sent");
                            }
                        });
                    }),
                }))
            })
            .boxed())
    }

    fn is_connected(&self) -> bool {
        self.core.api.link.is_up()
    }

    async fn close(&self) -> Result<(), BusError> {
        self.core.sender.drained().await;
        let client = &self.core.api.link.client;
        if self.is_connected() {
            client.flush().await.map_err(failure::lost)?;
        }
        client.drain().await.map_err(failure::lost)
    }
}
