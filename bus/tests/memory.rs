//! What only the memory log does: faults on order, a clock that can be paused, runs that repeat exactly.

use std::time::Duration;

use bus::topology::{ConsumerSpec, StreamPolicy};
use bus::{Append, AppendOutcome, BusError, EventLog, Expect, MemoryLog, ReadFrom, StreamName};
use futures_util::{FutureExt, StreamExt};

const HOUR: Duration = Duration::from_secs(3_600);

fn fact(id: u64) -> Append {
    Append {
        stream: StreamName::Inference,
        subject: format!("inference.requested.t.{id}"),
        payload: id.to_string().into(),
        expect: Expect::FirstOnSubject,
    }
}

fn spec() -> ConsumerSpec {
    ConsumerSpec {
        stream: StreamName::Inference,
        name: "c".to_owned(),
        patterns: vec!["inference.requested.>".to_owned()],
        ack_wait: HOUR,
        max_deliver: 2,
        max_ack_pending: 3,
    }
}

#[tokio::test]
async fn a_lost_acknowledgement_leaves_the_record_and_the_guard_finds_it() {
    let log = MemoryLog::new();
    log.set_faults(|faults| faults.num_lost_acks = 1);
    assert_eq!(log.append(fact(1)).await.unwrap_err().code(), "bus_unreachable");
    assert_eq!(log.append(fact(1)).await.unwrap(), AppendOutcome::AlreadyThere);
    assert_eq!(log.append(fact(2)).await.unwrap(), AppendOutcome::Stored { sequence: 2 });
}

#[tokio::test]
async fn a_refused_append_stores_nothing() {
    let log = MemoryLog::new();
    let full = BusError::Full("INFERENCE".to_owned());
    log.set_faults(|faults| faults.refuse_appends = Some(full.clone()));
    assert_eq!(log.append(fact(1)).await, Err(full));
    log.set_faults(|faults| faults.refuse_appends = None);
    assert_eq!(log.append(fact(1)).await.unwrap(), AppendOutcome::Stored { sequence: 1 });
}

#[tokio::test]
async fn a_dropped_live_message_is_still_kept() {
    let log = MemoryLog::new();
    let mut heard = log.listen("tokens.>".to_owned()).await.unwrap();
    log.set_faults(|faults| faults.num_dropped_live = 1);
    for text in ["lost", "heard"] {
        log.publish(StreamName::Tokens, "tokens.a.b".to_owned(), text.into()).await.unwrap();
    }
    assert_eq!(heard.next().await.unwrap().payload, "heard");
    assert!(heard.next().now_or_never().is_none());
    assert_eq!(log.get(StreamName::Tokens, 1).await.unwrap().unwrap().payload, "lost");
}

#[tokio::test]
async fn a_disconnected_log_is_unreachable_until_it_is_back() {
    let log = MemoryLog::new();
    let consumer = log.consumer(&spec()).await.unwrap();
    log.set_faults(|faults| faults.is_disconnected = true);
    assert!(!log.is_connected());
    assert_eq!(log.append(fact(1)).await.unwrap_err().code(), "bus_unreachable");
    assert!(consumer.fetch(1, HOUR).await.is_err());
    log.set_faults(|faults| faults.is_disconnected = false);
    log.append(fact(1)).await.unwrap();
    assert_eq!(consumer.fetch(1, HOUR).await.unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn redelivery_keeps_the_paused_clocks_time() {
    let log = MemoryLog::new();
    let consumer = log.consumer(&spec()).await.unwrap();
    log.append(fact(1)).await.unwrap();
    let started = tokio::time::Instant::now();
    let first = consumer.fetch(1, HOUR).await.unwrap();
    first[0].retry_after(HOUR / 2).await.unwrap();
    let second = consumer.fetch(1, HOUR).await.unwrap();
    assert_eq!((second[0].num_delivered, started.elapsed()), (2, HOUR / 2));
    assert!(consumer.fetch(1, HOUR * 2).await.unwrap().is_empty(), "its deliveries are exhausted");
    assert_eq!(log.last_sequence(StreamName::DeadLetters).await.unwrap(), 1);
}

#[tokio::test]
async fn no_more_is_unacknowledged_than_the_consumer_allows() {
    let log = MemoryLog::new();
    let consumer = log.consumer(&spec()).await.unwrap();
    for id in 0..5 {
        log.append(fact(id)).await.unwrap();
    }
    let first = consumer.fetch(10, Duration::ZERO).await.unwrap();
    assert_eq!(first.len(), 3);
    assert!(consumer.fetch(10, Duration::ZERO).await.unwrap().is_empty());
    first[1].ack().await.unwrap();
    assert_eq!(consumer.fetch(10, Duration::ZERO).await.unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_is_older_than_its_stream_keeps_is_gone() {
    let policy = StreamPolicy { inference_max_age: HOUR, ..StreamPolicy::default() };
    let log = MemoryLog::starting_at(&policy, 1_000);
    log.append(fact(1)).await.unwrap();
    tokio::time::advance(HOUR / 2).await;
    log.append(fact(2)).await.unwrap();
    tokio::time::advance(HOUR / 2).await;
    let records = log.read(StreamName::Inference, Vec::new(), ReadFrom::Start, false).await.unwrap();
    let sequences: Vec<u64> = records.map(|record| record.unwrap().sequence).collect().await;
    assert_eq!(sequences, [2]);
    assert_eq!(log.append(fact(1)).await.unwrap(), AppendOutcome::Stored { sequence: 3 });
    let second = log.get(StreamName::Inference, 2).await.unwrap().unwrap();
    assert_eq!(second.stored_at_unix_nanos, 1_000 + (HOUR / 2).as_nanos() as u64);
}
