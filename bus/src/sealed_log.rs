//! [`SealedLog`]: any event log, with the content of facts sealed before it gets there.
//!
//! A fact with content is stored without it, beside the whole of it as only its key can open: readers of this log get the
//! whole, and never notice; readers of the log below get what stands there. Each inference has a key of its own on the KEYS
//! stream, and whoever destroys that record destroys the content wherever it was copied to.

mod cipher;
mod erasure;
mod key_ring;

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt as _;
use prost::Message as _;
use schemas::v1::audit_envelope::Fact as AuditFact;
use schemas::v1::envelope::Fact;
use schemas::v1::{Envelope, Sealed};
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

pub use self::erasure::{
    ErasedBy, Erasure, ErasureScope, erase_content, erasure_of, inferences_of, num_keys, why_sealed,
};
pub use self::key_ring::WrappingKey;
use self::key_ring::{HeldKey, KeyRing, WritingKey};
use crate::event_log::ConsumerHandle;
use crate::topology::ConsumerSpec;
use crate::{
    Append, AppendOutcome, Backlog, BusError, Consumer, Delivery, EventLog, LiveMessages, QueryMessages,
    ReadFrom, Record, Records, StreamName, StreamState, subjects,
};

/// A key is sent before what it seals, but another stream stores it: it is waited for if the fact is no older than this.
const MAX_AGE_OF_FRESH: Duration = Duration::from_secs(60);
const MAX_WAIT: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(20);
/// Deliveries after which a key is not waited for any more.
const MAX_NUM_DELIVERED: u64 = 3;

/// An event log whose facts are sealed in the log below. Live messages are not: nothing that is heard there is opened.
pub struct SealedLog {
    below: Arc<dyn EventLog>,
    sealing: Arc<Sealing>,
    _erasures: AbortOnDropHandle<()>,
}

struct Sealing {
    below: Arc<dyn EventLog>,
    keys: KeyRing,
}

/// A record as it was found to be.
enum Opened {
    /// With its content, or one that has none.
    Whole(Record),
    /// Its key was destroyed.
    Erased(Record),
    /// Its key is not there, and nobody destroyed it.
    WithoutKey(Record),
}

impl SealedLog {
    /// Seals what goes into `below`. `Err(Refused)` if the keys there are wrapped by another key than this.
    pub async fn open(below: Arc<dyn EventLog>, wrapping: Option<WrappingKey>) -> Result<Self, BusError> {
        let keys = KeyRing::open(Arc::clone(&below), wrapping).await?;
        let sealing = Arc::new(Sealing { below: Arc::clone(&below), keys });
        let next_sequence = below.last_sequence(StreamName::Audit).await? + 1;
        let erasures = sealing.erasures(next_sequence).await?;
        let following = tokio::spawn(Arc::clone(&sealing).follow(erasures, next_sequence));
        Ok(Self { below, sealing, _erasures: AbortOnDropHandle::new(following) })
    }

    /// The record as readers of this log get it. What cannot be opened because its key is destroyed stays as it is stored,
    /// without its content.
    pub async fn opened(&self, record: Record) -> Result<Record, BusError> {
        Ok(self.sealing.open(record).await?.into_record())
    }
}

impl Sealing {
    /// Forgets what any process destroys, for as long as it is polled.
    async fn follow(self: Arc<Self>, mut erasures: Records, mut next_sequence: u64) {
        loop {
            match erasures.next().await {
                Some(Ok(record)) => {
                    self.heed(&record.payload);
                    next_sequence = record.sequence + 1;
                }
                broken => {
                    let error = broken.and_then(Result::err);
                    tracing::warn!(?error, "erasures are not heard of for now");
                    tokio::time::sleep(MAX_WAIT).await;
                    if let Ok(again) = self.erasures(next_sequence).await {
                        erasures = again;
                    }
                }
            }
        }
    }

    async fn erasures(&self, next_sequence: u64) -> Result<Records, BusError> {
        let (patterns, from) = (vec![subjects::all_erasures()], ReadFrom::Sequence(next_sequence));
        self.below.read(StreamName::Audit, patterns, from, true).await
    }

    /// Forgets the keys that an erasure destroyed.
    fn heed(&self, payload: &[u8]) {
        let fact = schemas::decode_audit(payload).ok().and_then(|envelope| envelope.fact);
        if let Some(AuditFact::ContentErased(erased)) = fact
            && let Some(pattern) = erasure::erased_keys(&erased)
        {
            self.keys.forget(&pattern);
        }
    }

    async fn append(&self, append: Append) -> Result<AppendOutcome, BusError> {
        let below = self.below.as_ref();
        let Ok(mut public) = schemas::decode_envelope(&append.payload) else {
            return below.append(append).await;
        };
        if !public.clear_content() {
            return below.append(append).await;
        }
        match self.keys.for_writing(&public).await? {
            WritingKey::Held(key) => below.append(sealed(append, public, &key)?).await,
            WritingKey::Destroyed(key) => {
                public.sealed = Some(Sealed { key, ..Sealed::default() });
                below.append(Append { payload: public.encode_to_vec().into(), ..append }).await
            }
            WritingKey::Fresh(key, append_key) => {
                let inference = public.inference().map_err(|error| BusError::Refused(error.to_string()))?;
                let is_request = matches!(&public.fact, Some(Fact::Requested(_)));
                let append = sealed(append, public, &key)?;
                // Sent one behind the other on one connection: no second round trip, and where the fact is its key is.
                let (kept, stored) = tokio::join!(below.append(append_key), below.append(append));
                let kept = kept?;
                match stored {
                    Ok(AppendOutcome::AlreadyThere) => self.keys.discard(&key, kept).await,
                    Ok(AppendOutcome::Stored { .. }) if is_request => self.keys.settle(inference, &key),
                    _ => {}
                }
                stored
            }
        }
    }

    async fn open(&self, record: Record) -> Result<Opened, BusError> {
        let Ok(mut public) = schemas::decode_envelope(&record.payload) else {
            return Ok(Opened::Whole(record));
        };
        let Some(sealed) = &mut public.sealed else { return Ok(Opened::Whole(record)) };
        let ciphertext = std::mem::take(&mut sealed.ciphertext);
        let (subject, nonce) = (sealed.key.clone(), sealed.nonce.clone());
        if ciphertext.is_empty() {
            return Ok(Opened::Erased(record));
        }
        let stored_at = UNIX_EPOCH + Duration::from_nanos(record.stored_at_unix_nanos);
        let began_at = Instant::now();
        let key = loop {
            if let Some(key) = self.keys.for_reading(&public, &subject).await? {
                break key;
            }
            if erasure_of(self.below.as_ref(), &public).await?.is_some() {
                return Ok(Opened::Erased(record));
            }
            let is_fresh =
                SystemTime::now().duration_since(stored_at).map_or(true, |age| age < MAX_AGE_OF_FRESH);
            if !is_fresh || began_at.elapsed() >= MAX_WAIT {
                return Ok(Opened::WithoutKey(record));
            }
            tokio::time::sleep(PAUSE).await;
        };
        let payload = key.cipher.open(&nonce, ciphertext, &about(&public)).ok_or_else(|| {
            let sequence = record.sequence;
            BusError::Refused(format!(
                "the content of the record at sequence {sequence} is not what was sealed"
            ))
        })?;
        Ok(Opened::Whole(Record { payload: payload.into(), stored: Some(record.payload), ..record }))
    }
}

impl Opened {
    fn into_record(self) -> Record {
        match self {
            Self::Whole(record) | Self::Erased(record) | Self::WithoutKey(record) => record,
        }
    }
}

fn sealed(append: Append, mut public: Envelope, key: &HeldKey) -> Result<Append, BusError> {
    let bytes = key.cipher.seal(&append.payload, &about(&public))?;
    let nonce = bytes.nonce.to_vec();
    public.sealed = Some(Sealed { key: key.subject.clone(), nonce, ciphertext: bytes.ciphertext });
    Ok(Append { payload: public.encode_to_vec().into(), ..append })
}

/// What is authenticated with a fact's content, so that it cannot be moved to another fact.
fn about(envelope: &Envelope) -> String {
    let kind = envelope.fact.as_ref().map_or("", |fact| fact.kind().as_str());
    format!("{}/{}/{kind}", envelope.inference_id, envelope.event_id)
}

struct OpeningConsumer {
    below: Consumer,
    sealing: Arc<Sealing>,
}

#[async_trait]
impl ConsumerHandle for OpeningConsumer {
    async fn fetch(&self, max_num: usize, wait: Duration) -> Result<Vec<Delivery>, BusError> {
        let deliveries = self.below.fetch(max_num, wait).await?;
        let opened = deliveries.into_iter().map(|delivery| async move {
            let Delivery { record, num_delivered, handle } = delivery;
            let sequence = record.sequence;
            match self.sealing.open(record).await {
                Ok(Opened::WithoutKey(_)) if num_delivered <= MAX_NUM_DELIVERED => {
                    tracing::warn!(sequence, "the key of a record is not there yet");
                }
                Ok(opened) => return Some(Delivery { record: opened.into_record(), num_delivered, handle }),
                Err(error) => tracing::warn!(sequence, %error, "a record cannot be opened"),
            }
            if let Err(error) = handle.retry_after(MAX_WAIT).await {
                tracing::debug!(%error, "a delivery comes again after its timeout");
            }
            None
        });
        let opened: Vec<_> = futures_util::future::join_all(opened).await;
        Ok(opened.into_iter().flatten().collect())
    }
}

#[async_trait]
impl EventLog for SealedLog {
    async fn append(&self, append: Append) -> Result<AppendOutcome, BusError> {
        match append.stream {
            StreamName::Inference => self.sealing.append(append).await,
            StreamName::Audit => {
                let payload = append.payload.clone();
                let outcome = self.below.append(append).await?;
                // What this process erased it must not read in the next moment.
                self.sealing.heed(&payload);
                Ok(outcome)
            }
            _ => self.below.append(append).await,
        }
    }

    async fn publish(&self, stream: StreamName, subject: String, payload: Bytes) -> Result<(), BusError> {
        self.below.publish(stream, subject, payload).await
    }

    async fn send(&self, subject: String, payload: Bytes) -> Result<(), BusError> {
        self.below.send(subject, payload).await
    }

    async fn listen(&self, pattern: String) -> Result<LiveMessages, BusError> {
        self.below.listen(pattern).await
    }

    async fn consumer(&self, spec: &ConsumerSpec) -> Result<Consumer, BusError> {
        let below = self.below.consumer(spec).await?;
        if spec.stream != StreamName::Inference {
            return Ok(below);
        }
        Ok(Consumer::new(Box::new(OpeningConsumer { below, sealing: Arc::clone(&self.sealing) })))
    }

    async fn backlog(&self, spec: &ConsumerSpec) -> Result<Option<Backlog>, BusError> {
        self.below.backlog(spec).await
    }

    async fn read(
        &self,
        stream: StreamName,
        patterns: Vec<String>,
        from: ReadFrom,
        follow: bool,
    ) -> Result<Records, BusError> {
        let records = self.below.read(stream, patterns, from, follow).await?;
        if stream != StreamName::Inference {
            return Ok(records);
        }
        let sealing = Arc::clone(&self.sealing);
        let opened = records.then(move |record| {
            let sealing = Arc::clone(&sealing);
            async move { Ok(sealing.open(record?).await?.into_record()) }
        });
        Ok(opened.boxed())
    }

    async fn get(&self, stream: StreamName, sequence: u64) -> Result<Option<Record>, BusError> {
        match self.below.get(stream, sequence).await? {
            Some(record) if stream == StreamName::Inference => self.opened(record).await.map(Some),
            record => Ok(record),
        }
    }

    async fn last(&self, stream: StreamName, subject: String) -> Result<Option<Record>, BusError> {
        match self.below.last(stream, subject).await? {
            Some(record) if stream == StreamName::Inference => self.opened(record).await.map(Some),
            record => Ok(record),
        }
    }

    async fn purge(&self, stream: StreamName, pattern: String) -> Result<(), BusError> {
        self.below.purge(stream, pattern).await
    }

    async fn erase(&self, stream: StreamName, sequence: u64) -> Result<(), BusError> {
        self.below.erase(stream, sequence).await
    }

    async fn forget_before(&self, stream: StreamName, sequence: u64) -> Result<(), BusError> {
        self.below.forget_before(stream, sequence).await
    }

    async fn state(&self, stream: StreamName) -> Result<StreamState, BusError> {
        self.below.state(stream).await
    }

    async fn last_sequence(&self, stream: StreamName) -> Result<u64, BusError> {
        self.below.last_sequence(stream).await
    }

    async fn ask(&self, subject: String, payload: Bytes, timeout: Duration) -> Result<Bytes, BusError> {
        self.below.ask(subject, payload, timeout).await
    }

    async fn answer(&self, subject: String, group: String) -> Result<QueryMessages, BusError> {
        self.below.answer(subject, group).await
    }

    fn is_connected(&self) -> bool {
        self.below.is_connected()
    }

    async fn close(&self) -> Result<(), BusError> {
        self.below.close().await
    }
}
