//! What only a real broker can get wrong: drift of its streams, lost objects, slow listeners.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "broker/server.rs"]
mod server;

use std::future::Future;
use std::time::Duration;

use async_nats::jetstream;
use bus::topology::ConsumerSpec;
use bus::{
    Append, AppendOutcome, BusError, DeadLetter, EventLog, Expect, JetStreamLog, JetStreamOptions, ReadFrom,
    StreamName,
};
use futures_util::StreamExt;
use server::Broker;

const STUCK: Duration = Duration::from_secs(30);

async fn in_time<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(STUCK, future).await.unwrap_or_else(|_| panic!("stuck for {STUCK:?}"))
}

/// A client that does as it likes.
async fn stranger(options: &JetStreamOptions) -> jetstream::Context {
    let (token, address) = options.url.trim_start_matches("nats://").split_once('@').unwrap();
    let connect = async_nats::ConnectOptions::with_token(token.to_owned()).connect(address.to_owned());
    jetstream::new(in_time(connect).await.unwrap())
}

fn large_fact() -> Append {
    Append {
        stream: StreamName::Inference,
        subject: "inference.requested.t.1".to_owned(),
        payload: vec![7; 1_000_000].into(),
        expect: Expect::FirstOnSubject,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_policy_is_applied_and_what_others_set_stays() {
    let broker = Broker::start().await;
    let mut options = broker.options();
    in_time(JetStreamLog::connect(options.clone())).await.unwrap();
    let context = stranger(&options).await;
    let mut config = in_time(context.get_stream("TOKENS")).await.unwrap().cached_info().config.clone();
    config.description = Some("watched by the operators".to_owned());
    in_time(context.update_stream(config)).await.unwrap();

    options.policy.tokens_max_age = Duration::from_secs(77);
    in_time(JetStreamLog::connect(options)).await.unwrap();
    let config = in_time(context.get_stream("TOKENS")).await.unwrap().cached_info().config.clone();
    assert_eq!(config.max_age, Duration::from_secs(77));
    assert_eq!(config.description.as_deref(), Some("watched by the operators"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_refuses_deletes() {
    let broker = Broker::start().await;
    let log = broker.connect().await;
    in_time(log.append(large_fact())).await.unwrap();
    let stream = in_time(stranger(&broker.options()).await.get_stream("INFERENCE")).await.unwrap();
    assert!(in_time(stream.delete_message(1)).await.is_err());
    assert!(in_time(log.get(StreamName::Inference, 1)).await.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_is_too_small_is_told_apart_from_a_full_one() {
    let broker = Broker::start().await;
    let mut options = broker.options();
    options.policy.inference_max_bytes = 1 << 50;
    let error = in_time(JetStreamLog::connect(options)).await.err().unwrap();
    let BusError::Refused(text) = &error else { panic!("{error}") };
    assert!(text.contains("INFERENCE reserves 1125899906842624 bytes"), "{text}");
}

#[tokio::test]
async fn a_broker_without_room_for_more_streams_can_be_joined() {
    let broker = Broker::start().await;
    let first = broker.connect().await;
    let mut greedy = broker.options();
    greedy.policy.inference_max_bytes = 1 << 40;
    greedy.keeps_existing_streams = true;
    let second = in_time(JetStreamLog::connect(greedy)).await.unwrap();
    in_time(second.append(large_fact())).await.unwrap();
    assert_eq!(in_time(first.last_sequence(StreamName::Inference)).await.unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payload_whose_object_is_gone_is_an_error_and_goes_to_the_dead_letters() {
    let broker = Broker::start().await;
    let log = broker.connect().await;
    let consumer = ConsumerSpec {
        stream: StreamName::Inference,
        name: "c".to_owned(),
        patterns: vec!["inference.>".to_owned()],
        ack_wait: STUCK * 4,
        max_deliver: 5,
        max_ack_pending: 100,
    };
    let consumer = in_time(log.consumer(&consumer)).await.unwrap();
    in_time(log.append(large_fact())).await.unwrap();
    let objects =
        in_time(stranger(&broker.options()).await.get_object_store("jetmill-objects")).await.unwrap();
    let mut names = in_time(objects.list()).await.unwrap();
    while let Some(object) = in_time(names.next()).await {
        in_time(objects.delete(object.unwrap().name)).await.unwrap();
    }

    let error = in_time(log.get(StreamName::Inference, 1)).await.unwrap_err();
    assert_eq!(error.code(), "object");
    assert!(in_time(consumer.fetch(1, Duration::from_secs(1))).await.unwrap().is_empty());
    let letters = log.read(StreamName::DeadLetters, Vec::new(), ReadFrom::Start, true);
    let record = in_time(in_time(letters).await.unwrap().next()).await.unwrap().unwrap();
    let letter = DeadLetter::decode(&record.payload).unwrap();
    assert_eq!((letter.reason.as_str(), letter.sequence), ("object", 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_is_archived_has_no_age_of_its_own() {
    let broker = Broker::start().await;
    let options = broker.options();
    let log = in_time(JetStreamLog::connect(options.clone())).await.unwrap();
    let context = stranger(&options).await;
    let configs = async || {
        let mut configs = Vec::new();
        for name in ["INFERENCE", "OBJ_jetmill-objects", "KEYS"] {
            configs.push(in_time(context.get_stream(name)).await.unwrap().cached_info().config.clone());
        }
        configs
    };
    let before = configs().await;
    assert!(before.iter().all(|config| !config.max_age.is_zero()));
    assert!(before[2].max_age > before[0].max_age, "a fact can be read for as long as it is there");
    for _ in 0..2 {
        in_time(log.keep_until_archived()).await.unwrap();
        for (after, before) in configs().await.into_iter().zip(&before) {
            assert!(after.max_age.is_zero());
            assert_eq!(jetstream::stream::Config { max_age: before.max_age, ..after }, *before);
        }
    }
    in_time(JetStreamLog::connect(options)).await.unwrap();
    let after = configs().await;
    assert!(!after[0].max_age.is_zero(), "whoever decides on the streams takes it back");
    assert!(after[2].max_age.is_zero(), "what was archived needs its keys for ever");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn objects_go_with_the_facts_that_name_them() {
    let broker = Broker::start().await;
    let mut options = broker.options();
    options.policy.objects_margin = Duration::from_millis(500);
    let log = in_time(JetStreamLog::connect(options.clone())).await.unwrap();
    let objects = in_time(stranger(&options).await.get_stream("OBJ_jetmill-objects")).await.unwrap();
    let forgetting = async {
        // The first ones go once they are older than what is left by more than the margin.
        for number in 1.. {
            let append = Append { subject: format!("inference.requested.t.{number}"), ..large_fact() };
            log.append(append).await.unwrap();
            log.forget_before(StreamName::Inference, number).await.unwrap();
            if objects.get_info().await.unwrap().state.first_sequence > 1 {
                return number;
            }
        }
        panic!("they stay");
    };
    let number = in_time(forgetting).await;
    let last = in_time(log.get(StreamName::Inference, number)).await.unwrap().unwrap();
    assert_eq!(last.payload.len(), 1_000_000, "what is named stays");
    assert!(in_time(log.get(StreamName::Inference, number - 1)).await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_whose_append_was_refused_does_not_stay() {
    let broker = Broker::start().await;
    let log = broker.connect().await;
    in_time(log.append(large_fact())).await.unwrap();
    assert_eq!(in_time(log.append(large_fact())).await.unwrap(), AppendOutcome::AlreadyThere);
    let objects =
        in_time(stranger(&broker.options()).await.get_object_store("jetmill-objects")).await.unwrap();
    assert_eq!(in_time(in_time(objects.list()).await.unwrap().count()).await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_listener_is_counted_and_the_stream_has_what_it_missed() {
    const NUM: u64 = 200;
    let broker = Broker::start().await;
    let options = JetStreamOptions { max_num_unheard: 16, ..broker.options() };
    let slow = in_time(JetStreamLog::connect(options)).await.unwrap();
    let _heard = in_time(slow.listen("tokens.>".to_owned())).await.unwrap();
    let log = broker.connect().await;
    for index in 0..NUM {
        in_time(log.publish(StreamName::Tokens, "tokens.a.b".to_owned(), index.to_string().into()))
            .await
            .unwrap();
    }
    in_time(async {
        while slow.link_counts().num_slow_consumers == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    in_time(log.close()).await.unwrap();
    assert_eq!(in_time(slow.last_sequence(StreamName::Tokens)).await.unwrap(), NUM);
}
