//! Reading a stream in order by a short-lived consumer of our own, which is made anew where it broke.

use std::sync::Arc;
use std::time::Duration;

use async_nats::{Client, Message};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::runtime::Handle;
use tokio::time::Instant;

use super::Core;
use super::delivery_subject::DeliverySubject;
use super::link::LinkWatch;
use super::pull_inbox::{PullInbox, PullRequest, Pulled};
use crate::rfc3339::rfc3339;
use crate::{BusError, ReadFrom, Record, Records, StreamName};

const BATCH: usize = 128;
/// The same of chunks, which are large.
const BATCH_OF_CHUNKS: usize = 8;
const PULL: Duration = Duration::from_secs(30);
const HEARTBEAT: Duration = Duration::from_secs(5);
/// Two heartbeats missed and some: the consumer is gone.
const MAX_SILENCE: Duration = Duration::from_secs(12);
/// The broker drops a reader's consumer when it is left alone this long.
const INACTIVE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(100);

/// What to read.
pub(super) struct Reader {
    core: Arc<Core>,
    stream: StreamName,
    patterns: Vec<String>,
    /// Where it goes on.
    from: ReadFrom,
    /// The last sequence to read; `None`: follow.
    end: Option<u64>,
    open: Option<OpenReader>,
    failing_since: Option<Instant>,
}

/// One short-lived consumer.
struct OpenReader {
    inbox: PullInbox,
    watch: LinkWatch,
    client: Client,
    stream: &'static str,
    num_asked: usize,
    consumer_sequence: u64,
    name: String,
    is_exhausted: bool,
}

#[derive(Deserialize)]
struct Created {
    name: String,
    num_pending: u64,
}

/// What the next step of a reading is.
#[expect(
    clippy::large_enum_variant,
    reason = "taken apart at once; a box would cost an allocation per record"
)]
enum Step {
    Record(Message, DeliverySubject),
    /// Nothing more stands before the end.
    Finished,
    /// The consumer broke.
    Broken(&'static str),
}

impl Reader {
    pub(super) fn new(core: Arc<Core>, stream: StreamName, patterns: Vec<String>, from: ReadFrom) -> Self {
        // DEAD_LETTERS also keeps the broker's advisories, which are no records of ours.
        let patterns = if patterns.is_empty() { vec![stream.subjects().to_owned()] } else { patterns };
        Self { core, stream, patterns, from, end: None, open: None, failing_since: None }
    }

    pub(super) const fn until(mut self, last_sequence: u64) -> Self {
        self.end = Some(last_sequence);
        self
    }

    /// Makes the consumer at once, so that "what comes" is what comes from now on.
    pub(super) async fn records(mut self) -> Result<Records, BusError> {
        if self.end != Some(0) {
            self.open = Some(self.open().await?);
        }
        Ok(self.into_stream())
    }

    fn into_stream(self) -> Records {
        stream::unfold(Some(self), |reader| async move {
            let mut reader = reader?;
            match reader.next().await {
                Ok(Some(record)) => Some((Ok(record), Some(reader))),
                Ok(None) => None,
                Err(error) => Some((Err(error), None)),
            }
        })
        .fuse()
        .boxed()
    }

    async fn next(&mut self) -> Result<Option<Record>, BusError> {
        loop {
            if self
                .end
                .is_some_and(|end| end == 0 || matches!(self.from, ReadFrom::Sequence(next) if next > end))
            {
                return Ok(None);
            }
            let mut open = match self.open.take() {
                Some(open) => open,
                None => self.open().await?,
            };
            match open.step(self.end.is_none()).await? {
                Step::Record(message, delivery) => {
                    if self.end.is_some_and(|end| delivery.sequence > end) {
                        return Ok(None);
                    }
                    open.is_exhausted = delivery.num_pending == 0;
                    self.open = Some(open);
                    // Past the first record a reading of last records goes on by sequence only when it must be made
                    // anew; what has been overtaken since is then read too.
                    self.from = ReadFrom::Sequence(delivery.sequence + 1);
                    self.failing_since = None;
                    let stub = Record {
                        sequence: delivery.sequence,
                        subject: message.subject.to_string(),
                        payload: message.payload,
                        stored: None,
                        stored_at_unix_nanos: delivery.stored_at_unix_nanos,
                    };
                    return self.core.resolved(stub, message.headers.as_ref()).await.map(Some);
                }
                Step::Finished => {
                    self.open = Some(open);
                    return Ok(None);
                }
                Step::Broken(reason) => self.pause(reason).await?,
            }
        }
    }

    async fn pause(&mut self, reason: &'static str) -> Result<(), BusError> {
        tracing::debug!(stream = self.stream.as_str(), reason, "a reading begins again where it broke");
        let since = *self.failing_since.get_or_insert_with(Instant::now);
        // A following reader is silent by nature, so only failures without any record in between count.
        if since.elapsed() > self.core.api.patience && !self.core.api.link.is_up() {
            return Err(BusError::Unreachable(reason.to_owned()));
        }
        tokio::time::sleep(PAUSE).await;
        Ok(())
    }

    async fn open(&self) -> Result<OpenReader, BusError> {
        let stream = self.stream.as_str();
        let mut config = json!({
            "ack_policy": "none",
            "replay_policy": "instant",
            "inactive_threshold": INACTIVE.as_nanos() as u64,
            "mem_storage": true,
            "num_replicas": 1,
            "max_deliver": -1,
        });
        match self.patterns.as_slice() {
            [pattern] => config["filter_subject"] = json!(pattern),
            patterns => config["filter_subjects"] = json!(patterns),
        }
        set_start(&mut config, self.from);
        let watch = self.core.api.link.watch();
        let name = format!("reader-{}", self.core.sender.next_id());
        config["name"] = json!(name);
        let request = json!({ "stream_name": stream, "config": config, "action": "" });
        let created: Created = self
            .core
            .api
            .call(&format!("CONSUMER.CREATE.{stream}.{name}"), &request)
            .await?
            .map_err(|error| error.about(stream))?;
        let client = self.core.api.link.client.clone();
        let inbox = PullInbox::open(client.clone(), stream, &created.name).await?;
        let is_exhausted = created.num_pending == 0;
        Ok(OpenReader {
            inbox,
            watch,
            client,
            stream,
            num_asked: 0,
            consumer_sequence: 0,
            name: created.name,
            is_exhausted,
        })
    }
}

impl Drop for OpenReader {
    /// Spares the broker the wait for the consumer's inactivity.
    fn drop(&mut self) {
        let Ok(runtime) = Handle::try_current() else { return };
        let client = self.client.clone();
        let subject = format!("$JS.API.CONSUMER.DELETE.{}.{}", self.stream, self.name);
        runtime.spawn(async move {
            if let Err(error) = client.publish(subject, Bytes::new()).await {
                tracing::debug!(%error, "a reader's consumer stays until it is inactive");
            }
        });
    }
}

impl OpenReader {
    async fn step(&mut self, follow: bool) -> Result<Step, BusError> {
        loop {
            if self.is_exhausted && !follow {
                return Ok(Step::Finished);
            }
            if self.num_asked == 0 {
                let is_of_files = self.stream == StreamName::Files.as_str();
                let num_wanted = if is_of_files { BATCH_OF_CHUNKS } else { BATCH };
                self.inbox.ask(&PullRequest::waiting(num_wanted, PULL, HEARTBEAT)).await?;
                self.num_asked = num_wanted;
            }
            let pulled = tokio::select! {
                pulled = self.inbox.next() => pulled?,
                () = self.watch.renewed() => return Ok(Step::Broken("the connection broke")),
                () = tokio::time::sleep(MAX_SILENCE) => return Ok(Step::Broken("the broker fell silent")),
            };
            match pulled {
                Pulled::Heartbeat => {}
                Pulled::Record(message, delivery) => {
                    self.num_asked = self.num_asked.saturating_sub(1);
                    self.consumer_sequence += 1;
                    if delivery.consumer_sequence != self.consumer_sequence {
                        return Ok(Step::Broken("a record was missed"));
                    }
                    return Ok(Step::Record(message, delivery));
                }
                Pulled::Ended(super::pull_inbox::End::Empty) => self.num_asked = 0,
                Pulled::Ended(_) => return Ok(Step::Broken("the reader's consumer is gone")),
            }
        }
    }
}

fn set_start(config: &mut Value, from: ReadFrom) {
    match from {
        ReadFrom::Start | ReadFrom::Sequence(0) => config["deliver_policy"] = json!("all"),
        ReadFrom::Sequence(sequence) => {
            config["deliver_policy"] = json!("by_start_sequence");
            config["opt_start_seq"] = json!(sequence);
        }
        ReadFrom::UnixNanos(nanos) => {
            config["deliver_policy"] = json!("by_start_time");
            config["opt_start_time"] = json!(rfc3339(nanos));
        }
        ReadFrom::LastPerSubject => config["deliver_policy"] = json!("last_per_subject"),
    }
}
