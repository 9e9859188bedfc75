//! What the log below holds of what was sealed, and what is left when keys are destroyed.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "broker/server.rs"]
mod server;

use std::fs;
use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bus::topology::ConsumerSpec;
use bus::{
    Append, AppendOutcome, ErasedBy, ErasureScope, EventLog, Expect, FactWriter, MemoryLog, ReadFrom, Record,
    SealedLog, Stamp, StreamName, WrappingKey, erase_content, erasure_of, inferences_of, subjects,
    why_sealed,
};
use futures_util::TryStreamExt as _;
use prost::Message as _;
use schemas::v1::envelope::Fact;
use schemas::v1::prompt::Content;
use schemas::v1::{Choice, ContentKey, Ended, Envelope, Prompt, Requested, Usage};
use schemas::{EventId, FactHash, FactKind, InferenceId, TenantId, WorkerId};
use server::Broker;
use uuid::Uuid;

const STUCK: Duration = Duration::from_secs(30);
const PROMPT: &str = "who hid the marmalade";
const ANSWER: &str = "the badger did, at noon";

async fn in_time<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(STUCK, future).await.unwrap_or_else(|_| panic!("stuck for {STUCK:?}"))
}

fn stamp() -> Stamp {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    Stamp { event_id: EventId::new(Uuid::now_v7()), unix_nanos: now.as_nanos() as u64 }
}

fn tenant() -> TenantId {
    TenantId::slug("t")
}

fn id(number: u128) -> InferenceId {
    InferenceId::new(Uuid::from_u128(number))
}

async fn sealed(below: &Arc<dyn EventLog>) -> Arc<dyn EventLog> {
    Arc::new(in_time(SealedLog::open(Arc::clone(below), None)).await.unwrap())
}

/// Appends; the payload is what was given to the log.
async fn append(log: &Arc<dyn EventLog>, number: u128, fact: Fact) -> (AppendOutcome, bytes::Bytes) {
    let facts = FactWriter::new(Arc::clone(log), Arc::new(stamp), "test", WorkerId::slug("w"));
    let payload = facts.encode(id(number), &tenant(), fact.clone());
    let subject = subjects::fact(fact.kind(), &tenant(), id(number));
    (in_time(facts.append_encoded(subject, payload.clone())).await.unwrap(), payload)
}

fn requested(end_user: &str) -> Fact {
    let prompt = Some(Prompt { content: Some(Content::Text(PROMPT.to_owned())) });
    Fact::Requested(Requested {
        model: "m".to_owned(),
        end_user: end_user.to_owned(),
        prompt,
        ..Requested::default()
    })
}

fn ended() -> Fact {
    let choice = Choice { text: ANSWER.to_owned(), index: 1, ..Choice::default() };
    let usage = Some(Usage { num_completion_tokens: 6, ..Usage::default() });
    Fact::Ended(Ended { choices: vec![choice], usage, ..Ended::default() })
}

async fn fact(log: &Arc<dyn EventLog>, number: u128, kind: FactKind) -> Record {
    let subject = subjects::fact(kind, &tenant(), id(number));
    in_time(log.last(StreamName::Inference, subject)).await.unwrap().unwrap()
}

fn decoded(record: &Record) -> Envelope {
    schemas::decode_envelope(&record.payload).unwrap()
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

/// Whether any file below a directory holds these bytes.
fn is_on_disk(dir: &Path, bytes: &[u8]) -> bool {
    fs::read_dir(dir).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        if path.is_dir() {
            return is_on_disk(&path, bytes);
        }
        // Files come and go under a server that runs.
        fs::read(&path).is_ok_and(|held| held.windows(bytes.len()).any(|window| window == bytes))
    })
}

async fn erase(log: &Arc<dyn EventLog>, scope: ErasureScope) -> u64 {
    let by = ErasedBy { caller: "c", writer: "test", stamp: stamp() };
    in_time(erase_content(log.as_ref(), &tenant(), &scope, by)).await.unwrap()
}

async fn what_is_sealed_is_read_whole_and_stored_without_its_content(below: Arc<dyn EventLog>) {
    let log = sealed(&below).await;
    let (_, request) = append(&log, 1, requested("")).await;
    let (_, end) = append(&log, 1, ended()).await;
    for (kind, payload, text) in [(FactKind::Requested, request, PROMPT), (FactKind::Ended, end, ANSWER)] {
        let (read, stored) = (fact(&log, 1, kind).await, fact(&below, 1, kind).await);
        assert_eq!(read.payload, payload);
        assert!(holds(&payload, text) && !holds(&stored.payload, text));
        assert_eq!(read.stored(), &stored.payload);
        assert_eq!((read.hash(), stored.hash()), (stored.hash(), FactHash::of(&stored.payload)));
        assert!(decoded(&stored).is_sealed() && !decoded(&read).is_sealed());
        let by_sequence = in_time(log.get(StreamName::Inference, read.sequence)).await.unwrap().unwrap();
        assert_eq!(by_sequence.payload, payload);
    }
    let Some(Fact::Ended(end)) = decoded(&fact(&below, 1, FactKind::Ended).await).fact else {
        panic!("no end")
    };
    assert_eq!((end.usage.unwrap().num_completion_tokens, end.choices[0].index), (6, 1));
    // Another process reads it by the key on the stream, and a consumer delivers it whole.
    let other = sealed(&below).await;
    let all = in_time(other.read(StreamName::Inference, Vec::new(), ReadFrom::Start, false)).await.unwrap();
    let all: Vec<Record> = in_time(all.try_collect()).await.unwrap();
    assert!(holds(&all[0].payload, PROMPT) && holds(&all[1].payload, ANSWER));
    let spec = ConsumerSpec {
        stream: StreamName::Inference,
        name: "c".to_owned(),
        patterns: vec!["inference.requested.>".to_owned()],
        ack_wait: STUCK,
        max_deliver: 5,
        max_ack_pending: 10,
    };
    let deliveries =
        in_time(async { other.consumer(&spec).await.unwrap().fetch(1, STUCK).await }).await.unwrap();
    assert!(holds(&deliveries[0].record.payload, PROMPT));
    in_time(deliveries[0].dead_letter("test")).await.unwrap();
    let letter = in_time(log.get(StreamName::DeadLetters, 1)).await.unwrap().unwrap();
    assert!(!holds(&letter.payload, PROMPT));
}

async fn an_erased_inference_is_without_content_for_every_process_and_others_stay(below: Arc<dyn EventLog>) {
    let (one, other) = (sealed(&below).await, sealed(&below).await);
    for number in [1, 2] {
        append(&one, number, requested("")).await;
        append(&other, number, ended()).await;
    }
    let hashes =
        [fact(&below, 1, FactKind::Requested).await.hash(), fact(&below, 1, FactKind::Ended).await.hash()];
    assert_eq!(erase(&one, ErasureScope::Inference(id(1))).await, 1);
    let found = in_time(async {
        // The other process hears of it in its own time.
        while !decoded(&fact(&other, 1, FactKind::Requested).await).is_sealed() {
            tokio::task::yield_now().await;
        }
        [fact(&one, 1, FactKind::Requested).await, fact(&other, 1, FactKind::Ended).await]
    });
    for (record, hash) in found.await.into_iter().zip(hashes) {
        let envelope = decoded(&record);
        assert!(envelope.is_sealed() && !holds(&record.payload, PROMPT) && !holds(&record.payload, ANSWER));
        assert_eq!(record.hash(), hash);
        let erasure = in_time(erasure_of(one.as_ref(), &envelope)).await.unwrap().unwrap();
        assert_eq!(erasure.erased.num_keys, 1);
        let words = in_time(why_sealed(one.as_ref(), &envelope)).await.unwrap().unwrap();
        assert!(
            words.starts_with("content erased on 2") && words.ends_with("Z by the holder of key c"),
            "{words}"
        );
    }
    for log in [&one, &other] {
        assert!(holds(&fact(log, 2, FactKind::Requested).await.payload, PROMPT));
        assert!(holds(&fact(log, 2, FactKind::Ended).await.payload, ANSWER));
    }
    assert_eq!(erase(&one, ErasureScope::Inference(id(1))).await, 0, "a second time nothing is left");
}

async fn what_is_said_of_an_erased_inference_is_kept_without_content(below: Arc<dyn EventLog>) {
    let log = sealed(&below).await;
    append(&log, 1, requested("")).await;
    erase(&log, ErasureScope::Tenant).await;
    append(&log, 1, ended()).await;
    for log in [&log, &below] {
        let record = fact(log, 1, FactKind::Ended).await;
        assert!(decoded(&record).is_sealed() && !holds(&record.payload, ANSWER));
        let Some(Fact::Ended(end)) = decoded(&record).fact else { panic!("no end") };
        assert_eq!(end.usage.unwrap().num_completion_tokens, 6);
    }
    // What comes after the erasure is as readable as ever.
    append(&log, 2, requested("")).await;
    assert!(holds(&fact(&log, 2, FactKind::Requested).await.payload, PROMPT));
}

async fn erasing_an_end_user_leaves_the_others(below: Arc<dyn EventLog>) {
    let log = sealed(&below).await;
    for (number, end_user) in [(1, "aa"), (2, "aa"), (3, "bb"), (4, "")] {
        append(&log, number, requested(end_user)).await;
    }
    let aa = ErasureScope::EndUser("aa".to_owned());
    let inferences = in_time(inferences_of(log.as_ref(), &tenant(), &aa)).await.unwrap();
    assert_eq!(inferences, [id(1), id(2)].into());
    assert_eq!(erase(&log, aa).await, 2);
    for number in 1..=4 {
        let record = fact(&log, number, FactKind::Requested).await;
        assert_eq!(decoded(&record).is_sealed(), number <= 2, "{number}");
        assert_eq!(holds(&record.payload, PROMPT), number > 2, "{number}");
    }
}

async fn the_loser_of_a_race_for_a_request_leaves_no_key_and_breaks_none(below: Arc<dyn EventLog>) {
    let (one, other) = (sealed(&below).await, sealed(&below).await);
    assert!(matches!(append(&one, 1, requested("")).await.0, AppendOutcome::Stored { .. }));
    assert_eq!(append(&other, 1, requested("")).await.0, AppendOutcome::AlreadyThere);
    append(&other, 1, ended()).await;
    assert!(holds(&fact(&one, 1, FactKind::Ended).await.payload, ANSWER));
    let keys = in_time(below.read(StreamName::Keys, Vec::new(), ReadFrom::Start, false)).await.unwrap();
    assert_eq!(in_time(keys.try_collect::<Vec<_>>()).await.unwrap().len(), 1);
}

macro_rules! on_both {
    ($($name:ident)*) => {
        mod memory {
            $(#[tokio::test]
            async fn $name() {
                super::$name(std::sync::Arc::new(super::MemoryLog::new())).await;
            })*
        }

        mod jetstream {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let broker = super::Broker::start().await;
                super::$name(std::sync::Arc::new(broker.connect().await)).await;
            })*
        }
    };
}

on_both! {
    what_is_sealed_is_read_whole_and_stored_without_its_content
    an_erased_inference_is_without_content_for_every_process_and_others_stay
    what_is_said_of_an_erased_inference_is_kept_without_content
    erasing_an_end_user_leaves_the_others
    the_loser_of_a_race_for_a_request_leaves_no_key_and_breaks_none
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_brokers_files_hold_no_content_and_after_an_erasure_no_key() {
    let broker = Broker::start().await;
    let below: Arc<dyn EventLog> = Arc::new(broker.connect().await);
    let log = sealed(&below).await;
    append(&log, 1, requested("")).await;
    append(&log, 1, ended()).await;
    // One that goes through the object store.
    let long = Prompt { content: Some(Content::Text(PROMPT.repeat(20_000))) };
    append(&log, 2, Fact::Requested(Requested { prompt: Some(long), ..Requested::default() })).await;
    assert!(holds(&fact(&log, 2, FactKind::Requested).await.payload, PROMPT));
    let pattern = subjects::keys_of(&tenant(), None, Some(id(1)));
    let keys = in_time(below.read(StreamName::Keys, vec![pattern], ReadFrom::Start, false)).await.unwrap();
    let keys: Vec<Record> = in_time(keys.try_collect()).await.unwrap();
    let key = ContentKey::decode(keys[0].payload.as_ref()).unwrap().key;
    let dir = broker._dir.path();
    assert!(is_on_disk(dir, id(1).to_string().as_bytes()), "the files are where they are looked for");
    assert!(!is_on_disk(dir, PROMPT.as_bytes()) && !is_on_disk(dir, ANSWER.as_bytes()));
    assert!(is_on_disk(dir, &key));
    erase(&log, ErasureScope::Inference(id(1))).await;
    assert!(!is_on_disk(dir, &key), "the key was overwritten");
}

#[tokio::test]
async fn a_wrapped_key_opens_nothing_without_the_key_that_wraps_it() {
    let below: Arc<dyn EventLog> = Arc::new(MemoryLog::new());
    let open = |byte: Option<u8>| {
        SealedLog::open(Arc::clone(&below), byte.map(|byte| WrappingKey::new(&[byte; 32]).unwrap()))
    };
    let log: Arc<dyn EventLog> = Arc::new(open(Some(7)).await.unwrap());
    append(&log, 1, requested("")).await;
    let again: Arc<dyn EventLog> = Arc::new(open(Some(7)).await.unwrap());
    assert!(holds(&fact(&again, 1, FactKind::Requested).await.payload, PROMPT));
    for wrong in [None, Some(8)] {
        let error = open(wrong).await.err().unwrap();
        assert!(error.to_string().contains("encryption.master_key_file"), "{error}");
    }
    let key = below.get(StreamName::Keys, 1).await.unwrap().unwrap();
    assert_eq!(ContentKey::decode(key.payload.as_ref()).unwrap().key.len(), 48);
}

#[tokio::test]
async fn content_that_was_moved_or_changed_is_not_opened() {
    let below: Arc<dyn EventLog> = Arc::new(MemoryLog::new());
    let log = sealed(&below).await;
    append(&log, 1, requested("")).await;
    let mut envelope = decoded(&fact(&below, 1, FactKind::Requested).await);
    envelope.event_id = Uuid::from_u128(7).simple().to_string();
    let moved = Append {
        stream: StreamName::Inference,
        subject: "inference.requested.t.other".to_owned(),
        payload: envelope.encode_to_vec().into(),
        expect: Expect::FirstOnSubject,
    };
    below.append(moved).await.unwrap();
    let error = log.last(StreamName::Inference, "inference.requested.t.other".to_owned()).await.unwrap_err();
    assert!(error.to_string().contains("not what was sealed"), "{error}");
}

/// As when a process and the broker die between the two.
#[tokio::test]
async fn a_request_whose_key_never_came_is_delivered_without_its_content() {
    let below: Arc<dyn EventLog> = Arc::new(MemoryLog::new());
    let (writer, reader) = (sealed(&below).await, sealed(&below).await);
    append(&writer, 1, requested("")).await;
    below.erase(StreamName::Keys, 1).await.unwrap();
    let spec = ConsumerSpec {
        stream: StreamName::Inference,
        name: "c".to_owned(),
        patterns: vec!["inference.requested.>".to_owned()],
        ack_wait: STUCK,
        max_deliver: 5,
        max_ack_pending: 10,
    };
    let consumer = reader.consumer(&spec).await.unwrap();
    let delivery = in_time(async {
        loop {
            if let Some(delivery) = consumer.fetch(1, STUCK).await.unwrap().pop() {
                return delivery;
            }
        }
    });
    let delivery = delivery.await;
    let envelope = decoded(&delivery.record);
    assert!(envelope.is_sealed() && delivery.num_delivered > 1);
    let words = why_sealed(reader.as_ref(), &envelope).await.unwrap().unwrap();
    assert_eq!(words, "the key of its content is not there");
}
