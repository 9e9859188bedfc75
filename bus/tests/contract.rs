//! What every event log keeps to: one suite, run against memory and against a real broker.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "broker/server.rs"]
mod server;

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bus::topology::ConsumerSpec;
use bus::{
    Append, AppendOutcome, Backlog, BusError, Consumer, DEFAULT_MAX_RECORD_BYTES, DeadLetter, Delivery,
    EventLog, Expect, FileWriter, JobLog, MemoryLog, ReadFrom, Record, SealedLog, Stamp, StreamName,
};
use bytes::Bytes;
use futures_util::StreamExt;
use schemas::batch::BatchStatus;
use schemas::v1::job_envelope::Fact;
use schemas::v1::{BatchCreated, BatchProgressed, FileCreated, FileDeleted};
use schemas::{EventId, FileId, TenantId};
use server::Broker;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

/// Nothing here takes long: what does is stuck.
const STUCK: Duration = Duration::from_secs(30);
/// Longer than any of these tests: what comes back was handed back.
const LONG: Duration = Duration::from_secs(120);

struct Fixture {
    log: Arc<dyn EventLog>,
    _dead_letter_handler: Option<AbortOnDropHandle<Result<(), BusError>>>,
    _broker: Option<Broker>,
}

impl Fixture {
    fn memory() -> Self {
        let log = Arc::new(MemoryLog::with_policy(&server::small_policy()));
        Self { log, _dead_letter_handler: None, _broker: None }
    }

    async fn sealed(self) -> Self {
        let log = SealedLog::open(self.log, None).await.unwrap();
        Self { log: Arc::new(log), ..self }
    }

    async fn jetstream() -> Self {
        let broker = Broker::start().await;
        let log = broker.connect().await;
        let handler = {
            let log = log.clone();
            tokio::spawn(async move { log.run_dead_letter_handler(CancellationToken::new()).await })
        };
        Self {
            log: Arc::new(log),
            _dead_letter_handler: Some(AbortOnDropHandle::new(handler)),
            _broker: Some(broker),
        }
    }
}

macro_rules! contract {
    ($($name:ident)*) => {
        mod memory {
            $(#[tokio::test]
            async fn $name() {
                super::$name(super::Fixture::memory().log).await;
            })*
        }

        mod sealed_memory {
            $(#[tokio::test]
            async fn $name() {
                super::$name(super::Fixture::memory().sealed().await.log).await;
            })*
        }

        mod jetstream {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let fixture = super::Fixture::jetstream().await;
                super::$name(std::sync::Arc::clone(&fixture.log)).await;
            })*
        }

        mod sealed_jetstream {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let fixture = super::Fixture::jetstream().await.sealed().await;
                super::$name(std::sync::Arc::clone(&fixture.log)).await;
            })*
        }
    };
}

contract! {
    the_beginning_of_the_log_can_be_forgotten
    a_guarded_subject_has_one_winner
    records_are_read_in_the_order_of_their_sequences
    a_reading_starts_where_it_is_told
    a_reading_that_has_ended_stays_ended
    a_following_reading_sees_what_comes
    the_last_record_of_each_subject_is_read
    get_and_last_find_what_stands
    a_fetch_returns_what_is_ready_without_waiting_for_more
    a_fetch_of_nothing_is_empty
    a_waiting_fetch_gets_what_comes
    what_is_not_acknowledged_comes_again
    what_is_acknowledged_does_not_come_again
    progress_keeps_a_delivery
    what_is_handed_back_comes_again
    replicas_share_a_consumer
    a_cancelled_fetch_loses_nothing
    the_backlog_is_what_was_never_delivered
    what_exhausts_its_deliveries_goes_to_the_dead_letters
    what_is_given_up_goes_to_the_dead_letters_and_not_back
    a_large_payload_reaches_every_reader
    a_payload_over_the_limit_is_refused
    a_subject_of_another_stream_is_refused
    a_full_stream_refuses_and_keeps_what_it_has
    only_keys_can_be_erased_and_then_they_are_gone
    a_purge_removes_what_matches_and_frees_its_subjects
    a_change_has_one_winner
    a_stream_of_last_facts_keeps_one_of_each_subject
    a_file_is_read_as_it_was_written
    files_and_batches_are_what_their_facts_tell
    published_messages_are_heard_and_kept_in_order
    appended_records_are_heard
    what_is_sent_is_heard_and_not_kept
    a_question_is_answered_by_one_of_a_group
    a_question_is_heard_by_every_group_and_the_first_answer_counts
    a_question_without_responder_fails_at_once
    an_unanswered_question_times_out
    many_appends_are_in_flight_at_once
}

fn fact(subject: &str, payload: impl Into<Bytes>) -> Append {
    Append {
        stream: StreamName::Inference,
        subject: format!("inference.{subject}"),
        payload: payload.into(),
        expect: Expect::FirstOnSubject,
    }
}

async fn in_time<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(STUCK, future).await.unwrap_or_else(|_| panic!("stuck for {STUCK:?}"))
}

async fn store(log: &Arc<dyn EventLog>, subject: &str, payload: impl Into<Bytes>) -> u64 {
    match in_time(log.append(fact(subject, payload))).await.unwrap() {
        AppendOutcome::Stored { sequence } => sequence,
        AppendOutcome::AlreadyThere => panic!("{subject} is there already"),
    }
}

async fn read_all(
    log: &Arc<dyn EventLog>,
    stream: StreamName,
    patterns: &[&str],
    from: ReadFrom,
) -> Vec<Record> {
    let patterns = patterns.iter().map(|pattern| (*pattern).to_owned()).collect();
    let records = in_time(log.read(stream, patterns, from, false)).await.unwrap();
    in_time(records.map(Result::unwrap).collect()).await
}

fn spec(name: &str, ack_wait: Duration) -> ConsumerSpec {
    ConsumerSpec {
        stream: StreamName::Inference,
        name: name.to_owned(),
        patterns: vec!["inference.requested.>".to_owned(), "inference.admitted.>".to_owned()],
        ack_wait,
        max_deliver: 10,
        max_ack_pending: 1_000,
    }
}

async fn fetch_one(consumer: &Consumer) -> Delivery {
    let mut deliveries = in_time(consumer.fetch(1, STUCK)).await.unwrap();
    assert_eq!(deliveries.len(), 1, "one delivery was asked for and is there");
    deliveries.remove(0)
}

fn texts(records: &[Record]) -> Vec<String> {
    records.iter().map(|record| String::from_utf8_lossy(&record.payload).into_owned()).collect()
}

async fn the_beginning_of_the_log_can_be_forgotten(log: Arc<dyn EventLog>) {
    let empty = in_time(log.state(StreamName::Inference)).await.unwrap();
    assert_eq!((empty.first_sequence, empty.last_sequence, empty.num_bytes), (1, 0, 0));
    for number in 1..=5 {
        assert_eq!(store(&log, &format!("requested.t.{number}"), vec![7; 300_000]).await, number);
    }
    let consumer = in_time(log.consumer(&spec("slow", LONG))).await.unwrap();
    let full = in_time(log.state(StreamName::Inference)).await.unwrap();
    assert!(full.num_bytes > 0 && full.max_bytes > full.num_bytes, "{full:?}");
    for _ in 0..2 {
        in_time(log.forget_before(StreamName::Inference, 4)).await.unwrap();
        let state = in_time(log.state(StreamName::Inference)).await.unwrap();
        assert_eq!((state.first_sequence, state.last_sequence), (4, 5));
        assert!(state.num_bytes < full.num_bytes, "{state:?}");
    }
    let left = read_all(&log, StreamName::Inference, &[], ReadFrom::Start).await;
    assert_eq!(left.iter().map(|record| record.sequence).collect::<Vec<_>>(), [4, 5]);
    assert!(left.iter().all(|record| record.payload.len() == 300_000));
    assert_eq!(fetch_one(&consumer).await.record.sequence, 4, "what is gone is not delivered");
    assert_eq!(store(&log, "requested.t.1", "again").await, 6, "its subject is free");

    in_time(log.forget_before(StreamName::Inference, 7)).await.unwrap();
    let state = in_time(log.state(StreamName::Inference)).await.unwrap();
    assert_eq!((state.first_sequence, state.last_sequence), (7, 6));
    let refused = in_time(log.forget_before(StreamName::Audit, 1)).await;
    assert!(matches!(refused, Err(BusError::Refused(_))), "{refused:?}");
}

async fn a_guarded_subject_has_one_winner(log: Arc<dyn EventLog>) {
    let appends = (0..50).map(|index| {
        let log = Arc::clone(&log);
        tokio::spawn(async move { log.append(fact("ended.t.1", format!("{index}"))).await.unwrap() })
    });
    let outcomes = in_time(futures_util::future::join_all(appends)).await;
    let num_stored = outcomes
        .into_iter()
        .filter(|outcome| matches!(outcome.as_ref().unwrap(), AppendOutcome::Stored { .. }))
        .count();
    assert_eq!(num_stored, 1);
    assert_eq!(read_all(&log, StreamName::Inference, &[], ReadFrom::Start).await.len(), 1);
}

async fn records_are_read_in_the_order_of_their_sequences(log: Arc<dyn EventLog>) {
    assert!(read_all(&log, StreamName::Inference, &[], ReadFrom::Start).await.is_empty());
    assert_eq!(in_time(log.last_sequence(StreamName::Inference)).await.unwrap(), 0);
    let mut sequences = Vec::new();
    for index in 0..300 {
        sequences.push(store(&log, &format!("requested.t.{index}"), format!("{index}")).await);
    }
    let records = read_all(&log, StreamName::Inference, &[], ReadFrom::Start).await;
    assert_eq!(records.iter().map(|record| record.sequence).collect::<Vec<_>>(), sequences);
    assert_eq!(texts(&records), (0..300).map(|index| index.to_string()).collect::<Vec<_>>());
    assert_eq!(in_time(log.last_sequence(StreamName::Inference)).await.unwrap(), 300);
    assert!(records.windows(2).all(|pair| pair[0].stored_at_unix_nanos <= pair[1].stored_at_unix_nanos));
}

async fn a_reading_starts_where_it_is_told(log: Arc<dyn EventLog>) {
    for subject in ["requested.t.1", "admitted.t.1", "requested.t.2", "ended.t.1"] {
        store(&log, subject, subject.to_owned()).await;
    }
    let read = |patterns: &'static [&'static str], from: ReadFrom| {
        let log = Arc::clone(&log);
        async move { texts(&read_all(&log, StreamName::Inference, patterns, from).await) }
    };
    assert_eq!(read(&[], ReadFrom::Sequence(3)).await, ["requested.t.2", "ended.t.1"]);
    assert!(read(&[], ReadFrom::Sequence(5)).await.is_empty());
    assert_eq!(
        read(&["inference.*.t.1"], ReadFrom::Start).await,
        ["requested.t.1", "admitted.t.1", "ended.t.1"]
    );
    assert_eq!(
        read(&["inference.requested.t.1", "inference.ended.t.1"], ReadFrom::Start).await,
        ["requested.t.1", "ended.t.1"]
    );
    assert!(read(&["inference.failed.>"], ReadFrom::Start).await.is_empty());
    let third = in_time(log.get(StreamName::Inference, 3)).await.unwrap().unwrap();
    let since = ReadFrom::UnixNanos(third.stored_at_unix_nanos);
    assert!(read(&[], since).await.contains(&"requested.t.2".to_owned()));
    assert!(read(&[], ReadFrom::UnixNanos(third.stored_at_unix_nanos + 3_600_000_000_000)).await.is_empty());
}

async fn a_following_reading_sees_what_comes(log: Arc<dyn EventLog>) {
    store(&log, "requested.t.1", "first").await;
    let patterns = vec!["inference.requested.>".to_owned()];
    let mut records =
        in_time(log.read(StreamName::Inference, patterns, ReadFrom::Start, true)).await.unwrap();
    assert_eq!(in_time(records.next()).await.unwrap().unwrap().payload, "first");
    store(&log, "ended.t.1", "not asked for").await;
    for index in 2..200 {
        store(&log, &format!("requested.t.{index}"), format!("{index}")).await;
    }
    for index in 2..200 {
        assert_eq!(in_time(records.next()).await.unwrap().unwrap().payload, index.to_string());
    }
}

async fn the_last_record_of_each_subject_is_read(log: Arc<dyn EventLog>) {
    let append = |id: &str, payload: &str| {
        let append = Append {
            stream: StreamName::Control,
            subject: format!("control.deployment.{id}"),
            payload: Bytes::from(payload.to_owned()),
            expect: Expect::Anything,
        };
        let log = Arc::clone(&log);
        async move { in_time(log.append(append)).await.unwrap() }
    };
    for (id, payload) in [("a", "a1"), ("b", "b1"), ("a", "a2"), ("c", "c1")] {
        append(id, payload).await;
    }
    let records =
        read_all(&log, StreamName::Control, &["control.deployment.*"], ReadFrom::LastPerSubject).await;
    assert_eq!(texts(&records), ["b1", "a2", "c1"]);
    let following = log.read(StreamName::Control, Vec::new(), ReadFrom::LastPerSubject, true);
    let following = in_time(following).await.unwrap();
    append("b", "b2").await;
    let heard: Vec<Record> = in_time(following.take(4).map(Result::unwrap).collect()).await;
    assert_eq!(texts(&heard[1..]), ["a2", "c1", "b2"]);
}

async fn get_and_last_find_what_stands(log: Arc<dyn EventLog>) {
    let sequence = store(&log, "ended.t.1", "end").await;
    let record = in_time(log.get(StreamName::Inference, sequence)).await.unwrap().unwrap();
    assert_eq!((record.sequence, record.subject.as_str()), (sequence, "inference.ended.t.1"));
    assert_eq!(record.payload, "end");
    assert!(record.stored_at_unix_nanos > 1_600_000_000_000_000_000);
    let last =
        in_time(log.last(StreamName::Inference, "inference.ended.t.1".to_owned())).await.unwrap().unwrap();
    assert_eq!(last.sequence, sequence);
    assert!(in_time(log.get(StreamName::Inference, sequence + 1)).await.unwrap().is_none());
    assert!(in_time(log.get(StreamName::Inference, 0)).await.unwrap().is_none());
    assert!(
        in_time(log.last(StreamName::Inference, "inference.ended.t.2".to_owned())).await.unwrap().is_none()
    );
}

async fn a_fetch_returns_what_is_ready_without_waiting_for_more(log: Arc<dyn EventLog>) {
    let consumer = in_time(log.consumer(&spec("c", LONG))).await.unwrap();
    for index in 0..3 {
        store(&log, &format!("requested.t.{index}"), index.to_string()).await;
    }
    store(&log, "ended.t.1", "not asked for").await;
    let mut payloads = Vec::new();
    while payloads.len() < 3 {
        for delivery in in_time(consumer.fetch(64, LONG)).await.unwrap() {
            assert_eq!(delivery.num_delivered, 1);
            assert!(delivery.record.sequence > 0 && delivery.record.stored_at_unix_nanos > 0);
            payloads.push(delivery.record.payload.clone());
            delivery.ack().await.unwrap();
        }
    }
    assert_eq!(payloads, ["0", "1", "2"]);
    for index in 3..13 {
        store(&log, &format!("admitted.t.{index}"), index.to_string()).await;
    }
    assert_eq!(in_time(consumer.fetch(4, LONG)).await.unwrap().len(), 4, "never more than asked for");
}

async fn a_reading_that_has_ended_stays_ended(log: Arc<dyn EventLog>) {
    store(&log, "requested.t.1", "1").await;
    let mut records =
        in_time(log.read(StreamName::Inference, Vec::new(), ReadFrom::Start, false)).await.unwrap();
    assert!(in_time(records.next()).await.is_some());
    for _ in 0..3 {
        assert!(in_time(records.next()).await.is_none());
    }
}

async fn a_fetch_of_nothing_is_empty(log: Arc<dyn EventLog>) {
    let consumer = in_time(log.consumer(&spec("c", LONG))).await.unwrap();
    assert!(in_time(consumer.fetch(8, Duration::ZERO)).await.unwrap().is_empty());
    assert!(in_time(consumer.fetch(8, Duration::from_millis(50))).await.unwrap().is_empty());
    store(&log, "requested.t.1", "1").await;
    assert!(in_time(consumer.fetch(0, LONG)).await.unwrap().is_empty());
    // What a slow broker has not answered with when its time is over is ready for a later fetch.
    let ready = async {
        loop {
            let ready = consumer.fetch(8, Duration::ZERO).await.unwrap();
            if !ready.is_empty() {
                return ready;
            }
        }
    };
    assert_eq!(in_time(ready).await.len(), 1);
}

async fn a_waiting_fetch_gets_what_comes(log: Arc<dyn EventLog>) {
    let consumer = in_time(log.consumer(&spec("c", LONG))).await.unwrap();
    for round in 0..20 {
        let subject = format!("requested.t.{round}");
        let (deliveries, _) = tokio::join!(in_time(consumer.fetch(8, LONG)), store(&log, &subject, "come"));
        let deliveries = deliveries.unwrap();
        assert_eq!(deliveries[0].record.subject, format!("inference.{subject}"));
        deliveries[0].ack().await.unwrap();
    }
}

async fn what_is_not_acknowledged_comes_again(log: Arc<dyn EventLog>) {
    let consumer = in_time(log.consumer(&spec("c", Duration::from_millis(500)))).await.unwrap();
    store(&log, "requested.t.1", "1").await;
    assert_eq!(fetch_one(&consumer).await.num_delivered, 1);
    let again = fetch_one(&consumer).await;
    assert_eq!((again.num_delivered, again.record.sequence), (2, 1));
    again.ack().await.unwrap();
}

async fn what_is_acknowledged_does_not_come_again(log: Arc<dyn EventLog>) {
    let ack_wait = Duration::from_secs(1);
    let consumer = in_time(log.consumer(&spec("c", ack_wait))).await.unwrap();
    store(&log, "requested.t.1", "1").await;
    fetch_one(&consumer).await.ack().await.unwrap();
    assert!(in_time(consumer.fetch(1, ack_wait * 2)).await.unwrap().is_empty());
}

async fn progress_keeps_a_delivery(log: Arc<dyn EventLog>) {
    let ack_wait = Duration::from_secs(2);
    let consumer = in_time(log.consumer(&spec("c", ack_wait))).await.unwrap();
    store(&log, "requested.t.1", "1").await;
    let delivery = fetch_one(&consumer).await;
    for _ in 0..6 {
        assert!(in_time(consumer.fetch(1, ack_wait / 4)).await.unwrap().is_empty());
        delivery.progress().await.unwrap();
    }
    assert_eq!(fetch_one(&consumer).await.num_delivered, 2);
}

async fn what_is_handed_back_comes_again(log: Arc<dyn EventLog>) {
    let consumer = in_time(log.consumer(&spec("c", LONG))).await.unwrap();
    store(&log, "requested.t.1", "1").await;
    fetch_one(&consumer).await.retry_after(Duration::ZERO).await.unwrap();
    let second = fetch_one(&consumer).await;
    assert_eq!(second.num_delivered, 2);
    second.retry_after(Duration::from_millis(200)).await.unwrap();
    assert_eq!(fetch_one(&consumer).await.num_delivered, 3);
}

async fn replicas_share_a_consumer(log: Arc<dyn EventLog>) {
    let opened = futures_util::future::join_all((0..4).map(|_| {
        let log = Arc::clone(&log);
        async move { log.consumer(&spec("shared", LONG)).await.unwrap() }
    }));
    let consumers = in_time(opened).await;
    let workers: Vec<_> = consumers
        .into_iter()
        .map(|consumer| {
            tokio::spawn(async move {
                let mut taken = Vec::new();
                loop {
                    let deliveries = consumer.fetch(8, Duration::from_millis(1_500)).await.unwrap();
                    if deliveries.is_empty() {
                        return taken;
                    }
                    for delivery in deliveries {
                        taken.push(delivery.record.sequence);
                        delivery.ack().await.unwrap();
                    }
                }
            })
        })
        .collect();
    for index in 0..200 {
        store(&log, &format!("requested.t.{index}"), "x").await;
    }
    let taken: Vec<u64> =
        in_time(futures_util::future::join_all(workers)).await.into_iter().flat_map(Result::unwrap).collect();
    assert_eq!(taken.len(), 200, "each record goes to one replica");
    assert_eq!(taken.into_iter().collect::<BTreeSet<_>>().len(), 200);
}

async fn a_cancelled_fetch_loses_nothing(log: Arc<dyn EventLog>) {
    let consumer = in_time(log.consumer(&spec("c", LONG))).await.unwrap();
    for round in 0..10 {
        let subject = format!("requested.t.{round}");
        tokio::select! {
            biased;
            _ = consumer.fetch(4, LONG) => panic!("nothing is there to fetch"),
            () = tokio::task::yield_now() => {}
        }
        store(&log, &subject, "x").await;
        let delivery = fetch_one(&consumer).await;
        assert_eq!(delivery.record.subject, format!("inference.{subject}"));
        delivery.ack().await.unwrap();
    }
    // What another replica's cancelled fetch had asked for is not kept from us either.
    let other = in_time(log.consumer(&spec("c", LONG))).await.unwrap();
    assert!(tokio::time::timeout(Duration::from_millis(100), other.fetch(4, LONG)).await.is_err());
    store(&log, "requested.t.last", "x").await;
    assert_eq!(fetch_one(&consumer).await.record.subject, "inference.requested.t.last");
}

async fn the_backlog_is_what_was_never_delivered(log: Arc<dyn EventLog>) {
    let spec = spec("backlog", LONG);
    for subject in ["requested.t.1", "requested.t.2", "ended.t.1"] {
        store(&log, subject, "x").await;
    }
    let check = async |num_waiting: u64, num_delivered: u64| {
        let found = in_time(log.backlog(&spec)).await.unwrap();
        assert_eq!(found, Some(Backlog { num_waiting, num_delivered }));
    };
    assert_eq!(in_time(log.backlog(&spec)).await.unwrap(), None, "nobody has opened it");
    let consumer = in_time(log.consumer(&spec)).await.unwrap();
    check(2, 0).await;
    in_time(fetch_one(&consumer).await.ack()).await.unwrap();
    check(1, 1).await;
    store(&log, "admitted.t.1", "x").await;
    check(2, 1).await;
    let (second, third) = (fetch_one(&consumer).await, fetch_one(&consumer).await);
    check(0, 3).await;
    in_time(third.ack()).await.unwrap();
    in_time(second.retry_after(Duration::ZERO)).await.unwrap();
    in_time(fetch_one(&consumer).await.ack()).await.unwrap();
    check(0, 4).await;
}

async fn first_dead_letter(log: &Arc<dyn EventLog>, consumer: &Consumer) -> DeadLetter {
    let mut letters =
        in_time(log.read(StreamName::DeadLetters, Vec::new(), ReadFrom::Start, true)).await.unwrap();
    let record = in_time(async {
        loop {
            tokio::select! {
                record = letters.next() => return record.unwrap().unwrap(),
                // A broker gives a record up when it would deliver it once more, so somebody must ask.
                fetched = consumer.fetch(1, STUCK) => assert!(fetched.unwrap().is_empty()),
            }
        }
    })
    .await;
    DeadLetter::decode(&record.payload).unwrap()
}

async fn what_exhausts_its_deliveries_goes_to_the_dead_letters(log: Arc<dyn EventLog>) {
    let spec = ConsumerSpec { max_deliver: 2, ..spec("c", Duration::from_millis(300)) };
    let consumer = in_time(log.consumer(&spec)).await.unwrap();
    let sequence = store(&log, "requested.t.1", "poison").await;
    for expected in 1..=2 {
        assert_eq!(fetch_one(&consumer).await.num_delivered, expected);
    }
    let letter = first_dead_letter(&log, &consumer).await;
    assert_eq!(letter.payload, "poison");
    assert_eq!((letter.sequence, letter.consumer.as_str()), (sequence, "c"));
    assert_eq!((letter.stream.as_str(), letter.subject.as_str()), ("INFERENCE", "inference.requested.t.1"));
}

async fn what_is_given_up_goes_to_the_dead_letters_and_not_back(log: Arc<dyn EventLog>) {
    let consumer = in_time(log.consumer(&spec("c", Duration::from_secs(1)))).await.unwrap();
    store(&log, "requested.t.1", "poison").await;
    fetch_one(&consumer).await.dead_letter("cannot be decoded").await.unwrap();
    let letter = first_dead_letter(&log, &consumer).await;
    assert_eq!(
        (letter.reason.as_str(), letter.payload),
        ("cannot be decoded", Bytes::from_static(b"poison"))
    );
    assert!(in_time(consumer.fetch(1, Duration::from_secs(2))).await.unwrap().is_empty());
}

async fn a_large_payload_reaches_every_reader(log: Arc<dyn EventLog>) {
    let payload: Bytes =
        (0..5_000_000_u32).map(|index| (index.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let mut heard = in_time(log.listen("inference.requested.>".to_owned())).await.unwrap();
    let consumer = in_time(log.consumer(&spec("c", LONG))).await.unwrap();
    let sequence = store(&log, "requested.t.1", payload.clone()).await;
    assert_eq!(
        in_time(log.append(fact("requested.t.1", payload.clone()))).await.unwrap(),
        AppendOutcome::AlreadyThere
    );
    assert!(fetch_one(&consumer).await.record.payload == payload, "by the consumer");
    assert!(in_time(heard.next()).await.unwrap().payload == payload, "live");
    let read = read_all(&log, StreamName::Inference, &[], ReadFrom::Start).await;
    assert!(read.len() == 1 && read[0].payload == payload, "by the reading");
    let record = in_time(log.get(StreamName::Inference, sequence)).await.unwrap().unwrap();
    assert!(record.payload == payload, "by its sequence");
    let last = in_time(log.last(StreamName::Inference, "inference.requested.t.1".to_owned()))
        .await
        .unwrap()
        .unwrap();
    assert!(last.payload == payload, "as the last");
}

async fn a_payload_over_the_limit_is_refused(log: Arc<dyn EventLog>) {
    let payload = vec![0; DEFAULT_MAX_RECORD_BYTES + 1];
    let error = in_time(log.append(fact("requested.t.1", payload))).await.unwrap_err();
    assert_eq!(error.code(), "too_large");
    assert_eq!(in_time(log.last_sequence(StreamName::Inference)).await.unwrap(), 0);
}

async fn a_subject_of_another_stream_is_refused(log: Arc<dyn EventLog>) {
    for subject in
        ["tokens.a.b", "inference", "inference.*.t.1", "inference.requested..1", "inference.a b", ""]
    {
        let append = Append { subject: subject.to_owned(), ..fact("x", "x") };
        assert!(matches!(in_time(log.append(append)).await, Err(BusError::Refused(_))), "{subject}");
    }
    assert!(in_time(log.listen("a..b".to_owned())).await.is_err());
}

async fn a_full_stream_refuses_and_keeps_what_it_has(log: Arc<dyn EventLog>) {
    let payload = Bytes::from(vec![7; 200_000]);
    let mut num_stored = 0;
    let error = loop {
        match in_time(log.append(fact(&format!("requested.t.{num_stored}"), payload.clone()))).await {
            Ok(_) => num_stored += 1,
            Err(error) => break error,
        }
        assert!(num_stored < 1_000, "it never fills");
    };
    assert_eq!(error, BusError::Full("INFERENCE".to_owned()));
    assert!(error.is_retryable());
    assert_eq!(in_time(log.last_sequence(StreamName::Inference)).await.unwrap(), num_stored);
    assert!(in_time(log.get(StreamName::Inference, 1)).await.unwrap().is_some());
}

async fn only_keys_can_be_erased_and_then_they_are_gone(log: Arc<dyn EventLog>) {
    let stream = StreamName::Keys;
    let key = |name: &str| Append {
        stream,
        subject: format!("keys.t.{name}"),
        payload: "k".into(),
        expect: Expect::FirstOnSubject,
    };
    let mut sequences = Vec::new();
    for name in ["a", "b"] {
        let stored = in_time(log.append(key(name))).await.unwrap();
        let AppendOutcome::Stored { sequence } = stored else { panic!("{name} is there already") };
        sequences.push(sequence);
    }
    in_time(log.erase(stream, sequences[0])).await.unwrap();
    in_time(log.erase(stream, sequences[0])).await.unwrap();
    assert!(in_time(log.get(stream, sequences[0])).await.unwrap().is_none());
    assert!(in_time(log.last(stream, "keys.t.a".to_owned())).await.unwrap().is_none());
    assert_eq!(read_all(&log, stream, &[], ReadFrom::Start).await.len(), 1);
    assert!(matches!(in_time(log.append(key("a"))).await.unwrap(), AppendOutcome::Stored { .. }));
    let sequence = store(&log, "requested.t.1", "x").await;
    let refused = in_time(log.erase(StreamName::Inference, sequence)).await.unwrap_err();
    assert_eq!(refused.code(), "bus_refused");
}

async fn a_purge_removes_what_matches_and_frees_its_subjects(log: Arc<dyn EventLog>) {
    let chunk = |subject: &str| Append {
        stream: StreamName::Files,
        subject: format!("files.{subject}"),
        payload: Bytes::from_static(b"x"),
        expect: Expect::FirstOnSubject,
    };
    for subject in ["t.a.0", "t.a.1", "t.b.0"] {
        in_time(log.append(chunk(subject))).await.unwrap();
    }
    in_time(log.purge(StreamName::Files, "files.t.a.*".to_owned())).await.unwrap();
    assert!(in_time(log.last(StreamName::Files, "files.t.a.1".to_owned())).await.unwrap().is_none());
    assert!(in_time(log.last(StreamName::Files, "files.t.b.0".to_owned())).await.unwrap().is_some());
    let again = in_time(log.append(chunk("t.a.0"))).await.unwrap();
    assert!(matches!(again, AppendOutcome::Stored { .. }));
    assert_eq!(in_time(log.append(chunk("t.b.0"))).await.unwrap(), AppendOutcome::AlreadyThere);
    for (stream, pattern) in [(StreamName::Inference, "inference.>"), (StreamName::Files, "inference.>")] {
        let refused = in_time(log.purge(stream, pattern.to_owned())).await;
        assert_eq!(refused.unwrap_err().code(), "bus_refused");
    }
}

async fn a_change_has_one_winner(log: Arc<dyn EventLog>) {
    let change = |expect| Append {
        stream: StreamName::Control,
        subject: "control.deployment.a".to_owned(),
        payload: Bytes::from_static(b"x"),
        expect,
    };
    let early = in_time(log.append(change(Expect::LastOnSubject(7)))).await.unwrap();
    assert_eq!(early, AppendOutcome::AlreadyThere, "nothing stands there");
    let AppendOutcome::Stored { sequence } = in_time(log.append(change(Expect::Anything))).await.unwrap()
    else {
        panic!("refused without a guard");
    };
    let both = [(); 2].map(|()| log.append(change(Expect::LastOnSubject(sequence))));
    let outcomes = in_time(futures_util::future::join_all(both)).await;
    let is_stored =
        |outcome: &&Result<AppendOutcome, BusError>| matches!(outcome, Ok(AppendOutcome::Stored { .. }));
    assert_eq!(outcomes.iter().filter(is_stored).count(), 1, "{outcomes:?}");
    let late = in_time(log.append(change(Expect::LastOnSubject(sequence)))).await.unwrap();
    assert_eq!(late, AppendOutcome::AlreadyThere);
}

async fn a_stream_of_last_facts_keeps_one_of_each_subject(log: Arc<dyn EventLog>) {
    let progress = |subject: &str, text: &'static str| Append {
        stream: StreamName::Jobs,
        subject: format!("jobs.{subject}"),
        payload: Bytes::from_static(text.as_bytes()),
        expect: Expect::Anything,
    };
    for text in ["1", "2", "3"] {
        in_time(log.append(progress("a", text))).await.unwrap();
        in_time(log.append(progress("b", text))).await.unwrap();
    }
    let records = in_time(log.read(StreamName::Jobs, Vec::new(), ReadFrom::Start, false)).await.unwrap();
    let texts: Vec<Bytes> = records.map(|record| record.unwrap().payload).collect().await;
    assert_eq!(texts, ["3", "3"]);
}

async fn a_file_is_read_as_it_was_written(log: Arc<dyn EventLog>) {
    let (tenant, file): (TenantId, FileId) = ("t".parse().unwrap(), "file-1".parse().unwrap());
    let bytes: Vec<u8> = (0..1_000_000_u32).flat_map(|number| number.to_le_bytes()).take(1_000_000).collect();
    let mut writer = FileWriter::new(Arc::clone(&log), tenant.clone(), file.clone());
    for part in bytes.chunks(70_001) {
        in_time(writer.write(part)).await.unwrap();
    }
    let written = in_time(writer.finish()).await.unwrap();
    assert_eq!((written.num_bytes, written.num_chunks), (1_000_000, 4));
    let read = async |num_chunks| {
        let parts = in_time(bus::read_file(log.as_ref(), &tenant, &file, num_chunks)).await.unwrap();
        in_time(parts.collect::<Vec<_>>()).await.into_iter().collect::<Result<Vec<_>, _>>()
    };
    assert_eq!(read(written.num_chunks).await.unwrap().concat(), bytes);
    assert_eq!(read(5).await.unwrap_err().code(), "object");
    in_time(bus::purge_file(log.as_ref(), &tenant, &file)).await.unwrap();
    assert_eq!(read(written.num_chunks).await.unwrap_err().code(), "object");
}

async fn files_and_batches_are_what_their_facts_tell(log: Arc<dyn EventLog>) {
    let stamps = Arc::new(|| Stamp { event_id: EventId::new(uuid::Uuid::nil()), unix_nanos: 7 });
    let jobs = JobLog::new(log, stamps, "api", &"a".parse().unwrap());
    let (tenant, other): (TenantId, TenantId) = ("t".parse().unwrap(), "u".parse().unwrap());
    for (tenant, file) in [(&tenant, "file-1"), (&tenant, "file-2"), (&other, "file-3")] {
        let created = FileCreated { file: file.to_owned(), ..FileCreated::default() };
        in_time(jobs.append(tenant, Fact::FileCreated(created))).await.unwrap();
    }
    let deleted = FileDeleted { file: "file-1".to_owned() };
    in_time(jobs.append(&tenant, Fact::FileDeleted(deleted))).await.unwrap();
    let files = in_time(jobs.files(&tenant)).await.unwrap();
    assert_eq!(files.iter().map(|file| file.id.as_str()).collect::<Vec<_>>(), ["file-2"]);
    let found = async |tenant, file: &str| {
        in_time(jobs.file(tenant, &file.parse().unwrap())).await.unwrap().is_some()
    };
    assert_eq!(
        (found(&tenant, "file-1").await, found(&tenant, "file-2").await, found(&other, "file-2").await),
        (false, true, false)
    );

    let batch = "batch_1".to_owned();
    let created =
        BatchCreated { batch: batch.clone(), input_file: "file-2".to_owned(), ..BatchCreated::default() };
    let first = in_time(jobs.append(&tenant, Fact::BatchCreated(created.clone()))).await.unwrap();
    assert!(matches!(first, AppendOutcome::Stored { .. }));
    let second = in_time(jobs.append(&tenant, Fact::BatchCreated(created))).await.unwrap();
    assert_eq!(second, AppendOutcome::AlreadyThere);
    for num_lines_over in [3, 8] {
        let progressed =
            BatchProgressed { batch: batch.clone(), num_lines_over, ..BatchProgressed::default() };
        in_time(jobs.append(&tenant, Fact::BatchProgressed(progressed))).await.unwrap();
    }
    let id = batch.parse().unwrap();
    let found = in_time(jobs.batch(&tenant, &id)).await.unwrap().unwrap();
    assert_eq!(
        (found.status(), found.progress.as_ref().unwrap().num_lines_over),
        (BatchStatus::InProgress, 8)
    );
    assert_eq!(in_time(jobs.batches(&tenant)).await.unwrap(), [found]);
    assert_eq!(in_time(jobs.batch(&other, &id)).await.unwrap(), None);
    let malformed = BatchCreated { batch: "a.b".to_owned(), ..BatchCreated::default() };
    let refused = in_time(jobs.append(&tenant, Fact::BatchCreated(malformed))).await;
    assert_eq!(refused.unwrap_err().code(), "bus_refused");
}

async fn published_messages_are_heard_and_kept_in_order(log: Arc<dyn EventLog>) {
    const NUM: usize = 3_000;
    let mut heard = in_time(log.listen("tokens.api.*".to_owned())).await.unwrap();
    for index in 0..NUM {
        let subject = "tokens.api.worker".to_owned();
        in_time(log.publish(StreamName::Tokens, subject, index.to_string().into())).await.unwrap();
    }
    for index in 0..NUM {
        let message = in_time(heard.next()).await.unwrap();
        assert_eq!(
            (message.subject.as_str(), message.payload),
            ("tokens.api.worker", index.to_string().into())
        );
    }
    let kept = log.read(StreamName::Tokens, Vec::new(), ReadFrom::Start, true);
    let kept: Vec<Record> =
        in_time(in_time(kept).await.unwrap().take(NUM).map(Result::unwrap).collect()).await;
    assert_eq!(texts(&kept), (0..NUM).map(|index| index.to_string()).collect::<Vec<_>>());
}

async fn appended_records_are_heard(log: Arc<dyn EventLog>) {
    let mut heard = in_time(log.listen("inference.ended.>".to_owned())).await.unwrap();
    store(&log, "requested.t.1", "not asked for").await;
    store(&log, "ended.t.1", "end").await;
    assert_eq!(in_time(heard.next()).await.unwrap().payload, "end");
}

async fn what_is_sent_is_heard_and_not_kept(log: Arc<dyn EventLog>) {
    let mut heard = in_time(log.listen("heartbeat.*".to_owned())).await.unwrap();
    in_time(log.send("heartbeat.w1".to_owned(), "alive".into())).await.unwrap();
    let message = in_time(heard.next()).await.unwrap();
    assert_eq!((message.subject.as_str(), message.payload), ("heartbeat.w1", "alive".into()));
    for stream in StreamName::ALL {
        assert_eq!(in_time(log.last_sequence(stream)).await.unwrap(), 0);
    }
    for subject in ["tokens.api.w1", "heartbeat.*", ""] {
        let refused = in_time(log.send(subject.to_owned(), Bytes::new())).await;
        assert!(matches!(refused, Err(BusError::Refused(_))), "{subject}: {refused:?}");
    }
}

async fn a_question_is_answered_by_one_of_a_group(log: Arc<dyn EventLog>) {
    let mut answerers = Vec::new();
    for _ in 0..2 {
        let mut questions =
            in_time(log.answer("query.pool.tokenize".to_owned(), "g".to_owned())).await.unwrap();
        answerers.push(AbortOnDropHandle::new(tokio::spawn(async move {
            while let Some(question) = questions.next().await {
                let answer = [b"answer to ", question.payload.as_ref()].concat();
                (question.reply)(answer.into());
            }
        })));
    }
    for index in 0..20 {
        let question = Bytes::from(index.to_string());
        let answer = in_time(log.ask("query.pool.tokenize".to_owned(), question, STUCK)).await.unwrap();
        assert_eq!(answer, format!("answer to {index}"));
    }
}

async fn a_question_is_heard_by_every_group_and_the_first_answer_counts(log: Arc<dyn EventLog>) {
    let subject = || "query.ingress.awaited".to_owned();
    let mut silent = in_time(log.answer(subject(), "first".to_owned())).await.unwrap();
    let mut speaking = in_time(log.answer(subject(), "second".to_owned())).await.unwrap();
    let asked = log.ask(subject(), "?".into(), STUCK);
    let answered = async {
        // One group hears it and leaves the answer to the other.
        let heard = in_time(silent.next()).await.unwrap();
        (in_time(speaking.next()).await.unwrap().reply)("here".into());
        drop(heard);
    };
    let (answer, ()) = tokio::join!(in_time(asked), answered);
    assert_eq!(answer.unwrap(), "here");
}

async fn a_question_without_responder_fails_at_once(log: Arc<dyn EventLog>) {
    let error = in_time(log.ask("query.pool.tokenize".to_owned(), "?".into(), LONG)).await.unwrap_err();
    assert_eq!(error, BusError::NoResponder("query.pool.tokenize".to_owned()));
}

async fn an_unanswered_question_times_out(log: Arc<dyn EventLog>) {
    let _questions = in_time(log.answer("query.pool.tokenize".to_owned(), "g".to_owned())).await.unwrap();
    let timeout = Duration::from_millis(50);
    let error = in_time(log.ask("query.pool.tokenize".to_owned(), "?".into(), timeout)).await.unwrap_err();
    assert_eq!(error, BusError::TimedOut { subject: "query.pool.tokenize".to_owned(), waited_millis: 50 });
}

async fn many_appends_are_in_flight_at_once(log: Arc<dyn EventLog>) {
    let appends = (0..2_500).map(|index| {
        let log = Arc::clone(&log);
        tokio::spawn(async move { log.append(fact(&format!("requested.t.{index}"), "x")).await.unwrap() })
    });
    let sequences: BTreeSet<u64> = in_time(futures_util::future::join_all(appends))
        .await
        .into_iter()
        .map(|outcome| match outcome.unwrap() {
            AppendOutcome::Stored { sequence } => sequence,
            AppendOutcome::AlreadyThere => panic!("every subject is its own"),
        })
        .collect();
    assert_eq!(sequences, (1..=2_500).collect());
    in_time(log.close()).await.unwrap();
}
