//! What the bus costs: appends, frames, and the four hops of a request, on JetStream and on plain NATS side by side.
//!
//! `cargo run --release -p bus --example hop_cost -- path/to/nats-server`
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a measurement that fails is of no use")]
#![expect(clippy::print_stdout, reason = "its output is the report")]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bus::topology::ConsumerSpec;
use bus::{
    Append, Consumer, EmbeddedServer, EmbeddedServerOptions, EventLog, Expect, JetStreamLog,
    JetStreamOptions, StreamName,
};
use bytes::Bytes;
use futures_util::StreamExt;

const NUM_WARM: usize = 50;
const NUM_ROUNDS: usize = 1_000;
const NUM_APPENDS: usize = 20_000;
const NUM_IN_FLIGHT: usize = 256;
const NUM_FRAMES: usize = 20_000;
const PAYLOAD_BYTES: usize = 2_048;
const FRAME_BYTES: usize = 512;
const WAIT: Duration = Duration::from_secs(30);

#[tokio::main]
async fn main() {
    let binary = std::env::args_os().nth(1).map(PathBuf::from).expect("the path of nats-server");
    let store = tempfile::tempdir().unwrap();
    let server = EmbeddedServer::start(EmbeddedServerOptions::new(binary, store.path())).await.unwrap();
    let mut options = JetStreamOptions::new(server.url(), "hop_cost");
    options.policy = server.policy();
    let log: Arc<dyn EventLog> = Arc::new(JetStreamLog::connect(options).await.unwrap());
    let client = plain_client(server.url()).await;

    let append = append_latency(&log).await;
    let request = plain_request_latency(&client).await;
    report("append, 1 in flight", &append, "a plain request and its answer", &request);

    let num_per_second = append_throughput(&log).await;
    println!("append, {NUM_IN_FLIGHT} in flight: {num_per_second:.0}/s");

    let durable = frames(&log).await;
    let plain = plain_frames(&client).await;
    println!("frames, published and heard: {durable:.0}/s, plain {plain:.0}/s, ratio {:.2}", durable / plain);

    let hops = four_hops(&log).await;
    let plain_hops = plain_four_hops(&client).await;
    report("four hops, 1 in flight", &hops, "plain", &plain_hops);
    server.stop().await.unwrap();
}

/// Percentiles of both in milliseconds, and what the first adds to the median.
fn report(name: &str, times: &[Duration], peer: &str, peer_times: &[Duration]) {
    let percentile = |times: &[Duration], share: f64| {
        let mut sorted = times.to_vec();
        sorted.sort_unstable();
        sorted[((sorted.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3
    };
    let (p50, p99) = (percentile(times, 0.5), percentile(times, 0.99));
    let (peer_p50, peer_p99) = (percentile(peer_times, 0.5), percentile(peer_times, 0.99));
    println!(
        "{name}: p50 {p50:.2} ms, p99 {p99:.2} ms; {peer}: p50 {peer_p50:.2} ms, p99 {peer_p99:.2} ms; \
         difference of p50 {:.2} ms",
        p50 - peer_p50
    );
}

fn fact(subject: String) -> Append {
    let payload = Bytes::from(vec![b'x'; PAYLOAD_BYTES]);
    Append { stream: StreamName::Inference, subject, payload, expect: Expect::FirstOnSubject }
}

async fn append_latency(log: &Arc<dyn EventLog>) -> Vec<Duration> {
    let mut times = Vec::new();
    for index in 0..NUM_WARM + NUM_ROUNDS {
        let started = Instant::now();
        log.append(fact(format!("inference.latency.{index}"))).await.unwrap();
        times.push(started.elapsed());
    }
    times.split_off(NUM_WARM)
}

async fn append_throughput(log: &Arc<dyn EventLog>) -> f64 {
    let started = Instant::now();
    futures_util::stream::iter(0..NUM_APPENDS)
        .for_each_concurrent(NUM_IN_FLIGHT, |index| async move {
            log.append(fact(format!("inference.throughput.{index}"))).await.unwrap();
        })
        .await;
    NUM_APPENDS as f64 / started.elapsed().as_secs_f64()
}

async fn frames(log: &Arc<dyn EventLog>) -> f64 {
    let heard = log.listen("tokens.frames.*".to_owned()).await.unwrap();
    let started = Instant::now();
    let publish = async {
        for _ in 0..NUM_FRAMES {
            let payload = Bytes::from(vec![b'x'; FRAME_BYTES]);
            log.publish(StreamName::Tokens, "tokens.frames.worker".to_owned(), payload).await.unwrap();
        }
    };
    tokio::join!(publish, heard.take(NUM_FRAMES).for_each(|_| std::future::ready(())));
    NUM_FRAMES as f64 / started.elapsed().as_secs_f64()
}

/// The way of a request: requested, admitted, assigned, and the first frame back.
async fn four_hops(log: &Arc<dyn EventLog>) -> Vec<Duration> {
    let mut tasks = Vec::new();
    for (from, to) in [("requested", "admitted"), ("admitted", "assigned"), ("assigned", "")] {
        let consumer = log.consumer(&spec(from)).await.unwrap();
        tasks.push(tokio::spawn(forward(Arc::clone(log), consumer, to)));
    }
    let mut heard = log.listen("tokens.hops.*".to_owned()).await.unwrap();
    let mut times = Vec::new();
    for index in 0..NUM_WARM + NUM_ROUNDS {
        let started = Instant::now();
        let log = Arc::clone(log);
        let append = fact(format!("inference.requested.t.{index}"));
        let appended = tokio::spawn(async move { log.append(append).await.unwrap() });
        heard.next().await.unwrap();
        times.push(started.elapsed());
        appended.await.unwrap();
    }
    tasks.iter().for_each(tokio::task::JoinHandle::abort);
    times.split_off(NUM_WARM)
}

async fn forward(log: Arc<dyn EventLog>, consumer: Consumer, to: &'static str) {
    loop {
        for delivery in consumer.fetch(64, WAIT).await.unwrap() {
            let log = Arc::clone(&log);
            tokio::spawn(async move {
                if to.is_empty() {
                    let payload = delivery.record.payload.slice(..FRAME_BYTES);
                    log.publish(StreamName::Tokens, "tokens.hops.worker".to_owned(), payload).await.unwrap();
                } else {
                    let index = delivery.record.sequence;
                    log.append(fact(format!("inference.{to}.t.{index}"))).await.unwrap();
                }
                delivery.ack().await.unwrap();
            });
        }
    }
}

fn spec(kind: &str) -> ConsumerSpec {
    ConsumerSpec {
        stream: StreamName::Inference,
        name: format!("hop-{kind}"),
        patterns: vec![format!("inference.{kind}.>")],
        ack_wait: WAIT,
        max_deliver: 5,
        max_ack_pending: 8_192,
    }
}

async fn plain_client(url: &str) -> async_nats::Client {
    let (token, address) = url.trim_start_matches("nats://").split_once('@').unwrap();
    async_nats::ConnectOptions::with_token(token.to_owned()).connect(address).await.unwrap()
}

async fn plain_request_latency(client: &async_nats::Client) -> Vec<Duration> {
    let mut questions = client.subscribe("plain.question").await.unwrap();
    let answering = client.clone();
    let task = tokio::spawn(async move {
        while let Some(question) = questions.next().await {
            answering.publish(question.reply.unwrap(), Bytes::from_static(b"{}")).await.unwrap();
        }
    });
    client.flush().await.unwrap();
    let mut times = Vec::new();
    for _ in 0..NUM_WARM + NUM_ROUNDS {
        let started = Instant::now();
        client.request("plain.question", vec![b'x'; PAYLOAD_BYTES].into()).await.unwrap();
        times.push(started.elapsed());
    }
    task.abort();
    times.split_off(NUM_WARM)
}

async fn plain_frames(client: &async_nats::Client) -> f64 {
    let heard = client.subscribe("plain.frames.*").await.unwrap();
    client.flush().await.unwrap();
    let started = Instant::now();
    let publish = async {
        for _ in 0..NUM_FRAMES {
            client.publish("plain.frames.worker", vec![b'x'; FRAME_BYTES].into()).await.unwrap();
        }
    };
    tokio::join!(publish, heard.take(NUM_FRAMES).for_each(|_| std::future::ready(())));
    NUM_FRAMES as f64 / started.elapsed().as_secs_f64()
}

async fn plain_four_hops(client: &async_nats::Client) -> Vec<Duration> {
    let mut tasks = Vec::new();
    for (from, to) in [("plain.1", "plain.2"), ("plain.2", "plain.3"), ("plain.3", "plain.4")] {
        let mut messages = client.subscribe(from).await.unwrap();
        let client = client.clone();
        tasks.push(tokio::spawn(async move {
            while let Some(message) = messages.next().await {
                client.publish(to, message.payload).await.unwrap();
            }
        }));
    }
    let mut heard = client.subscribe("plain.4").await.unwrap();
    client.flush().await.unwrap();
    let mut times = Vec::new();
    for _ in 0..NUM_WARM + NUM_ROUNDS {
        let started = Instant::now();
        client.publish("plain.1", vec![b'x'; PAYLOAD_BYTES].into()).await.unwrap();
        heard.next().await.unwrap();
        times.push(started.elapsed());
    }
    tasks.iter().for_each(tokio::task::JoinHandle::abort);
    times.split_off(NUM_WARM)
}
