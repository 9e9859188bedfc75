//! The keys of content: made, kept on the KEYS stream, and held in memory while they are in use.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use prost::Message as _;
use schemas::v1::{ContentKey, Envelope, Requested, envelope::Fact};
use schemas::{FactKind, InferenceId, TenantId};

use super::cipher::{Cipher, KEY_BYTES, random};
use crate::{Append, AppendOutcome, BusError, EventLog, Expect, StreamName, subject_pattern, subjects};

/// Inferences whose keys are held, about 1 KB each; those of older ones are read again.
const MAX_NUM_HELD: usize = 4_096;
const RANDOM_BYTES: usize = 8;

/// A key that wraps the keys of content, so that the broker's files alone open nothing. Its `Debug` shows nothing of it.
#[derive(Debug)]
pub struct WrappingKey {
    cipher: Cipher,
    fingerprint: String,
}

impl WrappingKey {
    /// The key of these random bytes.
    pub fn new(bytes: &[u8; KEY_BYTES]) -> Option<Self> {
        let fingerprint = blake3::derive_key("jetmill wrapping key fingerprint v1", bytes);
        let fingerprint = blake3::Hash::from_bytes(fingerprint).to_hex()[..16].to_owned();
        Some(Self { cipher: Cipher::new(bytes)?, fingerprint })
    }
}

/// A key under the subject where it is kept.
#[derive(Debug)]
pub(super) struct HeldKey {
    pub(super) subject: String,
    pub(super) cipher: Cipher,
}

/// The key for what is to be sealed.
pub(super) enum WritingKey {
    /// The inference's own.
    Held(Arc<HeldKey>),
    /// A new one, which must be appended with what it seals.
    Fresh(Arc<HeldKey>, Append),
    /// The inference's own is gone, so its content must go too.
    Destroyed(String),
}

pub(super) struct KeyRing {
    log: Arc<dyn EventLog>,
    wrapping: Option<WrappingKey>,
    held: Mutex<Held>,
}

/// First in, first out: an inference writes and reads within minutes of its request.
#[derive(Default)]
struct Held {
    by_subject: HashMap<String, Arc<HeldKey>>,
    /// The keys of requests that are in the log: what is said of the inference later is sealed with them.
    by_inference: HashMap<InferenceId, Arc<HeldKey>>,
    order: VecDeque<(InferenceId, String)>,
    /// Counts the times that keys were dropped, so that one that was being read meanwhile is not held again.
    num_drops: u64,
}

impl KeyRing {
    /// `Err(Refused)` if the keys on the stream were wrapped by another key than this.
    pub(super) async fn open(
        log: Arc<dyn EventLog>,
        wrapping: Option<WrappingKey>,
    ) -> Result<Self, BusError> {
        let subject = subjects::master_key();
        if let Some(WrappingKey { fingerprint, .. }) = &wrapping {
            let append = Append {
                stream: StreamName::Control,
                subject: subject.clone(),
                payload: Bytes::from(fingerprint.clone()),
                expect: Expect::FirstOnSubject,
            };
            log.append(append).await?;
        }
        let standing = log.last(StreamName::Control, subject).await?;
        let own = wrapping.as_ref().map(|wrapping| wrapping.fingerprint.as_bytes());
        if standing.as_ref().map(|record| record.payload.as_ref()) != own {
            let text = "the keys of content are wrapped by another master key than this process has: name the file \
                        with encryption.master_key_file";
            return Err(BusError::Refused(text.to_owned()));
        }
        Ok(Self { log, wrapping, held: Mutex::default() })
    }

    /// The key for a fact that is to be appended.
    pub(super) async fn for_writing(&self, envelope: &Envelope) -> Result<WritingKey, BusError> {
        let (inference, tenant) = ids_of(envelope)?;
        if let Some(Fact::Requested(requested)) = &envelope.fact {
            return self.fresh(inference, &tenant, requested);
        }
        if let Some(held) = self.lock().by_inference.get(&inference) {
            return Ok(WritingKey::Held(Arc::clone(held)));
        }
        let requested = subjects::fact(FactKind::Requested, &tenant, inference);
        let requested = self.log.last(StreamName::Inference, requested).await?;
        let requested = requested.and_then(|record| schemas::decode_envelope(&record.payload).ok());
        match requested.and_then(|envelope| envelope.sealed) {
            Some(sealed) => Ok(match self.find(inference, &sealed.key, true).await? {
                Some(held) => WritingKey::Held(held),
                None => WritingKey::Destroyed(sealed.key),
            }),
            // Nobody asked, or before content was sealed.
            None => self.fresh(inference, &tenant, &Requested::default()),
        }
    }

    /// The key that opens a fact; `None` when it is not, or not yet, there.
    pub(super) async fn for_reading(
        &self,
        envelope: &Envelope,
        subject: &str,
    ) -> Result<Option<Arc<HeldKey>>, BusError> {
        let (inference, tenant) = ids_of(envelope)?;
        if !subject_pattern::is_match(&subjects::keys_of(&tenant, None, Some(inference)), subject) {
            return Err(BusError::Refused(format!("'{subject}' is no key of inference {inference}")));
        }
        let is_request = matches!(envelope.fact, Some(Fact::Requested(_)));
        self.find(inference, subject, is_request).await
    }

    /// Forgets the keys on these subjects.
    pub(super) fn forget(&self, pattern: &str) {
        self.lock().drop_matching(pattern);
    }

    fn fresh(
        &self,
        inference: InferenceId,
        tenant: &TenantId,
        requested: &Requested,
    ) -> Result<WritingKey, BusError> {
        let key: [u8; KEY_BYTES] = random()?;
        let end_user = Some(requested.end_user.as_str()).filter(|end_user| is_fingerprint(end_user));
        let unique = u64::from_le_bytes(random::<RANDOM_BYTES>()?);
        let subject = subjects::key(tenant, end_user, inference, unique);
        let kept = match &self.wrapping {
            Some(wrapping) => {
                let wrapped = wrapping.cipher.seal(&key, &subject)?;
                ContentKey { key: wrapped.ciphertext, nonce: wrapped.nonce.to_vec() }
            }
            None => ContentKey { key: key.to_vec(), nonce: Vec::new() },
        };
        let append = Append {
            stream: StreamName::Keys,
            subject: subject.clone(),
            payload: Bytes::from(kept.encode_to_vec()),
            expect: Expect::FirstOnSubject,
        };
        let cipher = Cipher::new(&key).ok_or_else(|| no_key(&subject))?;
        let held = Arc::new(HeldKey { subject, cipher });
        self.lock().hold(inference, &held, false);
        Ok(WritingKey::Fresh(held, append))
    }

    async fn find(
        &self,
        inference: InferenceId,
        subject: &str,
        is_of_request: bool,
    ) -> Result<Option<Arc<HeldKey>>, BusError> {
        let num_drops = {
            let mut all = self.lock();
            if let Some(held) = all.by_subject.get(subject).cloned() {
                all.hold(inference, &held, is_of_request);
                return Ok(Some(held));
            }
            all.num_drops
        };
        let Some(record) = self.log.last(StreamName::Keys, subject.to_owned()).await? else {
            return Ok(None);
        };
        let ContentKey { key, nonce } =
            ContentKey::decode(record.payload.as_ref()).map_err(|_| no_key(subject))?;
        let key = match &self.wrapping {
            _ if nonce.is_empty() => key,
            Some(wrapping) => wrapping.cipher.open(&nonce, key, subject).ok_or_else(|| no_key(subject))?,
            None => return Err(no_key(subject)),
        };
        let cipher = Cipher::new(&key).ok_or_else(|| no_key(subject))?;
        let held = Arc::new(HeldKey { subject: subject.to_owned(), cipher });
        let mut all = self.lock();
        if all.num_drops == num_drops {
            all.hold(inference, &held, is_of_request);
        }
        Ok(Some(held))
    }

    /// What is said of the inference from now on is sealed with the key of its request, which is in the log.
    pub(super) fn settle(&self, inference: InferenceId, held: &Arc<HeldKey>) {
        let mut all = self.lock();
        if all.by_subject.contains_key(&held.subject) {
            all.hold(inference, held, true);
        }
    }

    /// Takes back a key that nothing was sealed with after all.
    pub(super) async fn discard(&self, held: &HeldKey, appended: AppendOutcome) {
        self.lock().drop_one(&held.subject);
        if let AppendOutcome::Stored { sequence } = appended
            && let Err(error) = self.log.erase(StreamName::Keys, sequence).await
        {
            tracing::debug!(%error, "a key that seals nothing stays");
        }
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    fn hold(&mut self, inference: InferenceId, key: &Arc<HeldKey>, is_of_request: bool) {
        if self.by_subject.insert(key.subject.clone(), Arc::clone(key)).is_none() {
            self.order.push_back((inference, key.subject.clone()));
        }
        if is_of_request {
            self.by_inference.insert(inference, Arc::clone(key));
        }
        while self.order.len() > MAX_NUM_HELD
            && let Some((inference, subject)) = self.order.pop_front()
        {
            self.by_subject.remove(&subject);
            self.by_inference.remove(&inference);
        }
    }

    fn drop_one(&mut self, subject: &str) {
        self.by_subject.remove(subject);
        // It came a moment ago, so it is among the last.
        if let Some(place) = self.order.iter().rposition(|(_, held)| held == subject) {
            self.order.remove(place);
        }
    }

    fn drop_matching(&mut self, pattern: &str) {
        self.num_drops += 1;
        let is_kept = |subject: &str| !subject_pattern::is_match(pattern, subject);
        self.by_subject.retain(|subject, _| is_kept(subject));
        self.by_inference.retain(|_, held| is_kept(&held.subject));
        self.order.retain(|(_, subject)| is_kept(subject));
    }
}

fn ids_of(envelope: &Envelope) -> Result<(InferenceId, TenantId), BusError> {
    let ids = envelope.inference().and_then(|inference| Ok((inference, envelope.tenant()?)));
    ids.map_err(|error| BusError::Refused(error.to_string()))
}

/// Whether it can be a token of a subject.
fn is_fingerprint(text: &str) -> bool {
    !text.is_empty() && text.len() <= 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn no_key(subject: &str) -> BusError {
    BusError::Refused(format!("the record on '{subject}' holds no key that this process can use"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MemoryLog;
    use schemas::{EventId, WrittenBy};
    use uuid::Uuid;

    fn requested(number: u128) -> Envelope {
        let by = WrittenBy { event_id: EventId::new(Uuid::nil()), at_unix_nanos: 0, writer: "test" };
        let inference = InferenceId::new(Uuid::from_u128(number));
        Envelope::new(&by, inference, &TenantId::slug("t"), Fact::Requested(Requested::default()))
    }

    #[tokio::test]
    async fn keys_that_seal_nothing_take_no_room_from_those_that_do() {
        let ring = KeyRing::open(Arc::new(MemoryLog::new()), None).await.unwrap();
        let Ok(WritingKey::Fresh(kept, _)) = ring.for_writing(&requested(1)).await else { unreachable!() };
        for _ in 0..2 * MAX_NUM_HELD {
            let Ok(WritingKey::Fresh(key, _)) = ring.for_writing(&requested(2)).await else { unreachable!() };
            ring.discard(&key, AppendOutcome::AlreadyThere).await;
        }
        let held = ring.lock();
        assert!(held.by_subject.contains_key(&kept.subject));
        assert_eq!((held.by_subject.len(), held.order.len()), (1, 1));
    }
}
