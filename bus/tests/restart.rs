//! The server dies at the worst moments: what was stored stays, once, and everybody goes on.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "broker/server.rs"]
mod server;

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bus::topology::ConsumerSpec;
use bus::{
    Append, AppendOutcome, BusError, EmbeddedServer, EmbeddedServerOptions, EventLog, Expect, JetStreamLog,
    JetStreamOptions, ReadFrom, Record, StreamName,
};
use futures_util::StreamExt;
use rustix::process::{Pid, Signal, kill_process};
use server::Broker;
use tokio::io::{AsyncBufReadExt, BufReader};

const STUCK: Duration = Duration::from_secs(60);
const NUM_APPENDERS: u64 = 16;
const NUM_KILLS: u64 = 3;
/// Appends between two kills.
const NUM_BETWEEN: u64 = 800;

async fn in_time<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(STUCK, future).await.unwrap_or_else(|_| panic!("stuck for {STUCK:?}"))
}

fn kill(server: &EmbeddedServer) {
    let pid = Pid::from_raw(i32::try_from(server.pid()).unwrap()).unwrap();
    kill_process(pid, Signal::KILL).unwrap();
}

fn fact(subject: String, expect: Expect) -> Append {
    Append { stream: StreamName::Inference, payload: subject.clone().into(), subject, expect }
}

fn consumer_spec() -> ConsumerSpec {
    ConsumerSpec {
        stream: StreamName::Inference,
        name: "c".to_owned(),
        patterns: vec!["inference.requested.>".to_owned()],
        ack_wait: Duration::from_secs(2),
        max_deliver: 100,
        max_ack_pending: 1_000,
    }
}

/// Appends until told to stop; the subjects with the sequences that it was given.
async fn append_until(
    log: JetStreamLog,
    appender: u64,
    stop: Arc<AtomicU64>,
    num: Arc<AtomicU64>,
) -> Vec<(String, u64)> {
    let mut stored = Vec::new();
    for index in 0.. {
        if stop.load(Ordering::Acquire) > 0 {
            break;
        }
        let subject = format!("inference.requested.{appender}.{index}");
        // Both ways to repeat an append without doubling it.
        let expect = if index % 2 == 0 { Expect::FirstOnSubject } else { Expect::Anything };
        match log.append(fact(subject.clone(), expect)).await.unwrap() {
            AppendOutcome::Stored { sequence } => stored.push((subject, sequence)),
            AppendOutcome::AlreadyThere => panic!("{subject} was appended by nobody else"),
        }
        num.fetch_add(1, Ordering::AcqRel);
    }
    stored
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_stored_before_a_kill_is_there_once_and_consumers_go_on() {
    let broker = Broker::start().await;
    let log = broker.connect().await;
    let consumer = in_time(log.consumer(&consumer_spec())).await.unwrap();
    let following = log.read(StreamName::Inference, Vec::new(), ReadFrom::Start, true);
    let following = in_time(following).await.unwrap();
    let (stop, num) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let appenders: Vec<_> = (0..NUM_APPENDERS)
        .map(|appender| {
            tokio::spawn(append_until(log.clone(), appender, Arc::clone(&stop), Arc::clone(&num)))
        })
        .collect();
    for kills in 1..=NUM_KILLS {
        in_time(async {
            while num.load(Ordering::Acquire) < kills * NUM_BETWEEN {
                tokio::task::yield_now().await;
            }
        })
        .await;
        kill(&broker.server);
    }
    in_time(async {
        while num.load(Ordering::Acquire) < (NUM_KILLS + 1) * NUM_BETWEEN {
            tokio::task::yield_now().await;
        }
    })
    .await;
    stop.store(1, Ordering::Release);
    let mut stored = Vec::new();
    for appender in appenders {
        stored.extend(in_time(appender).await.unwrap());
    }
    assert!(log.link_counts().num_reconnects >= NUM_KILLS, "{:?}", log.link_counts());

    let records = log.read(StreamName::Inference, Vec::new(), ReadFrom::Start, false);
    let records: Vec<Record> = in_time(in_time(records).await.unwrap().map(Result::unwrap).collect()).await;
    let mut times: HashMap<&str, Vec<u64>> = HashMap::new();
    for record in &records {
        times.entry(&record.subject).or_default().push(record.sequence);
    }
    for (subject, sequence) in &stored {
        assert_eq!(times[subject.as_str()], [*sequence], "{subject}");
    }
    assert_eq!(records.len(), stored.len(), "nothing stands there that nobody was told of");

    let followed: Vec<u64> =
        in_time(following.take(records.len()).map(|record| record.unwrap().sequence).collect()).await;
    assert_eq!(followed, records.iter().map(|record| record.sequence).collect::<Vec<_>>());

    let mut left: HashMap<String, u64> = stored.into_iter().collect();
    in_time(async {
        while !left.is_empty() {
            for delivery in consumer.fetch(64, STUCK).await.unwrap() {
                left.remove(&delivery.record.subject);
                delivery.ack().await.unwrap();
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fetch_that_waits_survives_a_restart() {
    let broker = Broker::start().await;
    let log = broker.connect().await;
    let consumer = in_time(log.consumer(&consumer_spec())).await.unwrap();
    let waiting = tokio::spawn(async move { consumer.fetch(4, STUCK).await.unwrap().len() });
    kill(&broker.server);
    in_time(log.append(fact("inference.requested.a.1".to_owned(), Expect::FirstOnSubject))).await.unwrap();
    assert_eq!(in_time(waiting).await.unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn published_messages_are_kept_over_a_restart() {
    const NUM: usize = 400;
    let broker = Broker::start().await;
    let log = broker.connect().await;
    for index in 0..NUM {
        if index == NUM / 2 {
            kill(&broker.server);
        }
        in_time(log.publish(StreamName::Tokens, "tokens.a.b".to_owned(), index.to_string().into()))
            .await
            .unwrap();
    }
    in_time(log.close()).await.unwrap();
    assert_eq!(log.link_counts().num_lost_publishes, 0);
    let reader = broker.connect().await;
    let kept = in_time(reader.read(StreamName::Tokens, Vec::new(), ReadFrom::Start, false)).await.unwrap();
    let mut kept: Vec<usize> = in_time(
        kept.map(|record| String::from_utf8_lossy(&record.unwrap().payload).parse::<usize>().unwrap())
            .collect(),
    )
    .await;
    kept.sort_unstable();
    assert_eq!(kept, (0..NUM).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_is_kept_from_one_run_to_the_next() {
    let broker = Broker::start().await;
    let log = broker.connect().await;
    in_time(log.append(fact("inference.requested.a.1".to_owned(), Expect::FirstOnSubject))).await.unwrap();
    let Broker { server, _dir: dir } = broker;
    let store = EmbeddedServerOptions::new(server::binary(), dir.path());

    let error = EmbeddedServer::start(store.clone()).await.unwrap_err();
    assert!(error.to_string().contains("in use by another Jetmill"), "{error}");

    in_time(server.stop()).await.unwrap();
    let server = EmbeddedServer::start(store).await.unwrap();
    let mut options = JetStreamOptions::new(server.url(), "test");
    options.policy = server::small_policy();
    let log = JetStreamLog::connect(options).await.unwrap();
    let outcome =
        in_time(log.append(fact("inference.requested.a.1".to_owned(), Expect::FirstOnSubject))).await;
    assert_eq!(outcome.unwrap(), AppendOutcome::AlreadyThere);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_outlived_its_jetmill_is_ended_before_the_next_starts() {
    let Broker { server, _dir: dir } = Broker::start().await;
    in_time(server.stop()).await.unwrap();
    let mut orphan = tokio::process::Command::new(server::binary())
        .arg("--config")
        .arg(dir.path().canonicalize().unwrap().join("nats-server.conf"))
        .stderr(std::process::Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut log = BufReader::new(orphan.stderr.take().unwrap()).lines();
    in_time(async { while !log.next_line().await.unwrap().unwrap().contains("Server is ready") {} }).await;
    // Draining its log keeps it from ending by a broken pipe instead of by us.
    let drained = tokio::spawn(async move { while let Ok(Some(_)) = log.next_line().await {} });

    let next = EmbeddedServer::start(EmbeddedServerOptions::new(server::binary(), dir.path()));
    let next = in_time(next).await.unwrap();
    assert!(in_time(orphan.wait()).await.is_ok());
    assert_ne!(Some(next.pid()), orphan.id());
    in_time(drained).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_is_not_ours_is_left_alone() {
    let Broker { server, _dir: dir } = Broker::start().await;
    in_time(server.stop()).await.unwrap();
    let mut stranger = tokio::process::Command::new("sleep").arg("600").kill_on_drop(true).spawn().unwrap();
    std::fs::write(dir.path().join("nats-server.pid"), stranger.id().unwrap().to_string()).unwrap();
    let next = EmbeddedServer::start(EmbeddedServerOptions::new(server::binary(), dir.path()));
    in_time(in_time(next).await.unwrap().stop()).await.unwrap();
    assert!(stranger.try_wait().unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_processes_that_start_at_once_agree_on_the_streams() {
    let broker = Broker::start().await;
    let connects = (0..6_u64).map(|index| {
        let mut options = broker.options();
        options.policy.tokens_max_age += Duration::from_secs(index % 2);
        tokio::spawn(async move {
            let log = JetStreamLog::connect(options).await?;
            log.consumer(&consumer_spec()).await.map(drop)
        })
    });
    for connected in in_time(futures_util::future::join_all(connects)).await {
        connected.unwrap().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_stays_away_is_unreachable_and_a_wrong_token_refused() {
    let broker = Broker::start().await;
    let mut options = broker.options();
    options.patience = Duration::from_millis(300);
    let log = JetStreamLog::connect(options.clone()).await.unwrap();

    options.url = broker.server.url().replace("nats://", "nats://not-");
    let error = in_time(JetStreamLog::connect(options.clone())).await.err().unwrap();
    assert!(matches!(error, BusError::Refused(_)), "{error}");
    assert!(!error.to_string().contains('@'), "no secret in '{error}'");

    options.url = broker.server.url().to_owned();
    in_time(broker.server.stop()).await.unwrap();
    let append = log.append(fact("inference.requested.a.1".to_owned(), Expect::FirstOnSubject));
    assert_eq!(in_time(append).await.unwrap_err().code(), "bus_unreachable");
    assert!(!log.is_connected());
    let error = in_time(JetStreamLog::connect(options)).await.err().unwrap();
    assert_eq!(error.code(), "bus_unreachable");
}

#[tokio::test]
async fn what_keeps_a_server_from_starting_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let check = async |options: EmbeddedServerOptions, expected: &str| {
        let error = in_time(EmbeddedServer::start(options)).await.unwrap_err().to_string();
        assert!(error.contains(expected), "'{error}' should say '{expected}'");
    };
    check(EmbeddedServerOptions::new(dir.path().join("none"), dir.path()), "is missing").await;

    let file = dir.path().join("file");
    std::fs::write(&file, "x").unwrap();
    check(EmbeddedServerOptions::new(server::binary(), &file), "cannot be made").await;
    check(EmbeddedServerOptions::new(&file, dir.path()), "cannot be run").await;

    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut options = EmbeddedServerOptions::new(server::binary(), dir.path());
    options.port = Some(listener.local_addr().unwrap().port());
    check(options, "is taken").await;
}
