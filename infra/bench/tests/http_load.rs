//! The load generator against a server that answers as it is told to.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bench::http_target::HttpTarget;
use bench::load::{self, Load, Measured, Pace, Until};
use bench::prompt::PromptShape;
use bench::report::LoadReport;
use bench::row::Workload;
use bench::row_sample::{self, SampleSize};
use bench::target::Target;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Barrier;

const PATIENCE: Duration = Duration::from_secs(20);

/// What the scripted server does with a completion.
#[derive(Clone, Copy)]
enum Script {
    /// As Jetmill: one event a token, with ids.
    Good,
    /// The second token never comes, though usage counts it.
    LosesAToken,
    /// The connection closes after the first token.
    BreaksOff,
    /// Every completion is a 503.
    Refuses,
    /// As a server that knows no event ids.
    WithoutIds,
}

struct Counters {
    /// An answer starts only when that many requests are open at once.
    rendezvous: Barrier,
    num_open: AtomicUsize,
    max_num_open: AtomicUsize,
    num_served: AtomicUsize,
}

async fn serve(script: Script, num_together: usize) -> (String, Arc<Counters>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let counters = Arc::new(Counters {
        rendezvous: Barrier::new(num_together),
        num_open: AtomicUsize::new(0),
        max_num_open: AtomicUsize::new(0),
        num_served: AtomicUsize::new(0),
    });
    let shared = Arc::clone(&counters);
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(answer(socket, script, Arc::clone(&shared)));
        }
    });
    (url, counters)
}

/// Reads one request and answers it; the connection is closed after it.
async fn answer(socket: TcpStream, script: Script, counters: Arc<Counters>) {
    let mut socket = BufReader::new(socket);
    let (mut is_completion, mut num_body_bytes) = (false, 0);
    loop {
        let mut line = String::new();
        if socket.read_line(&mut line).await.unwrap() == 0 {
            return;
        }
        is_completion |= line.starts_with("POST /v1/completions ");
        if let Some(length) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            num_body_bytes = length.trim().parse().unwrap();
        }
        if line == "\r\n" {
            break;
        }
    }
    let mut body = vec![0; num_body_bytes];
    socket.read_exact(&mut body).await.unwrap();
    let text = if is_completion {
        let open = counters.num_open.fetch_add(1, Ordering::SeqCst) + 1;
        counters.max_num_open.fetch_max(open, Ordering::SeqCst);
        counters.num_served.fetch_add(1, Ordering::SeqCst);
        counters.rendezvous.wait().await;
        counters.num_open.fetch_sub(1, Ordering::SeqCst);
        completion(script, &serde_json::from_slice(&body).unwrap())
    } else {
        let list = r#"{"data":[{"id":"scripted"}]}"#;
        format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{list}", list.len())
    };
    socket.write_all(text.as_bytes()).await.unwrap();
    socket.shutdown().await.unwrap();
}

fn completion(script: Script, request: &serde_json::Value) -> String {
    assert_eq!(request["model"], "scripted");
    let num_prompt_tokens = request["prompt"].as_array().unwrap().len();
    let num_tokens = request["max_tokens"].as_u64().unwrap();
    if matches!(script, Script::Refuses) {
        return "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\nConnection: close\r\n\r\nfull"
            .to_owned();
    }
    let mut events = String::new();
    for next in 1..=num_tokens {
        let lost = matches!(script, Script::LosesAToken) && next == 2;
        if lost || (matches!(script, Script::BreaksOff) && next > 1) {
            continue;
        }
        if !matches!(script, Script::WithoutIds) {
            events.push_str(&format!("id: inference:0:{next}\n"));
        }
        let finish = if next == num_tokens { r#""length""# } else { "null" };
        events.push_str(&format!(
            "data: {{\"choices\":[{{\"index\":0,\"text\":\"w\",\"token_ids\":[5],\"finish_reason\":{finish}}}]}}\n\n"
        ));
    }
    if !matches!(script, Script::BreaksOff) {
        events.push_str(&format!(
            "data: {{\"choices\":[],\"usage\":{{\"prompt_tokens\":{num_prompt_tokens},\"completion_tokens\":{num_tokens}}}}}\n\ndata: [DONE]\n\n"
        ));
    }
    format!("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n{events}")
}

async fn measure(
    script: Script,
    pace: Pace,
    num_together: usize,
    is_checked: bool,
) -> (Measured, Arc<Counters>) {
    let (url, counters) = serve(script, num_together).await;
    let mut target = HttpTarget::connect(&url, None, None).await.unwrap();
    if is_checked {
        target = target.with_stream_checks();
    }
    let load = Load {
        pace,
        until: Until::NumRequests(12),
        prompts: PromptShape { num_tokens: 7, num_shared_tokens: 0, seed: 1 },
        num_output_tokens: 4,
        temperature: 0.0,
    };
    let run = load::run(load, |request, due| {
        let target = target.clone();
        async move { target.complete(&request, due).await }
    });
    let measured = tokio::time::timeout(PATIENCE, run).await.unwrap();
    (measured, counters)
}

async fn check_failure(script: Script, expected: &str) {
    let (measured, _) = measure(script, Pace::Closed { num_streams: 3 }, 1, true).await;
    let report = LoadReport::new(measured, Vec::new());
    assert_eq!(report.num_completed, 0);
    assert_eq!(report.failures.into_iter().collect::<Vec<_>>(), [(expected.to_owned(), 12)]);
}

#[tokio::test]
async fn a_closed_loop_keeps_its_streams_busy_and_sends_what_it_was_told() {
    let (measured, counters) = measure(Script::Good, Pace::Closed { num_streams: 4 }, 4, true).await;
    let report = LoadReport::new(measured, Vec::new());
    assert_eq!((report.num_completed, report.num_failed()), (12, 0), "{:?}", report.failures);
    assert_eq!(report.time_to_first_token.count, 12);
    assert_eq!(report.inter_token.count, 36);
    assert_eq!(counters.max_num_open.load(Ordering::SeqCst), 4);
    assert_eq!(counters.num_served.load(Ordering::SeqCst), 12);
    let expected_rate = 48.0 / report.elapsed_seconds;
    assert!((report.output_tokens_per_second - expected_rate).abs() < 1e-6);
    assert!((report.prompt_tokens_per_second - expected_rate * 7.0 / 4.0).abs() < 1e-6);
}

#[tokio::test]
async fn an_open_loop_does_not_wait_for_answers() {
    let (measured, counters) = measure(Script::Good, Pace::Open { rate_per_second: 5_000.0 }, 12, true).await;
    assert_eq!(measured.outcomes.len(), 12);
    assert_eq!(counters.max_num_open.load(Ordering::SeqCst), 12);
}

#[tokio::test]
async fn any_openai_compatible_server_can_be_measured() {
    let (measured, _) = measure(Script::WithoutIds, Pace::Closed { num_streams: 2 }, 2, false).await;
    assert_eq!(LoadReport::new(measured, Vec::new()).num_completed, 12);
}

#[tokio::test]
async fn every_way_to_fail_is_told_apart() {
    check_failure(Script::LosesAToken, "token index advanced by 2 over 1 tokens").await;
    check_failure(Script::BreaksOff, "the stream ended without [DONE]").await;
    check_failure(Script::Refuses, "HTTP 503: full").await;
    check_failure(Script::WithoutIds, "an event with output has no id").await;
}

#[tokio::test]
async fn a_row_sends_all_of_its_work_and_a_failure_is_no_figure() {
    let size = SampleSize { num_requests_per_stream: 3, seed: 9 };
    for (workload, num_expected) in [
        (Workload::Streams(4), 12),
        (Workload::ArrivalGaps(4), 12),
        (Workload::CachedPrefix, 9),
        (Workload::Decode, 3),
    ] {
        let (url, counters) = serve(Script::Good, 1).await;
        let target = Target::Http(HttpTarget::new(&url, "scripted"));
        let figure = row_sample::sample(&target, workload, size).await.unwrap();
        assert!(figure > 0.0, "{workload:?}: {figure}");
        assert_eq!(counters.num_served.load(Ordering::SeqCst), num_expected, "{workload:?}");
        assert!(counters.max_num_open.load(Ordering::SeqCst) <= workload.num_streams(), "{workload:?}");

        let (url, _) = serve(Script::Refuses, 1).await;
        let target = Target::Http(HttpTarget::new(&url, "scripted"));
        let refused = row_sample::sample(&target, workload, size).await.unwrap_err();
        assert!(refused.contains("HTTP 503"), "{workload:?}: {refused}");
    }
}
