//! A worker dies, hangs or is killed by what it computes, in the middle of streams.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use serde_json::Value;

use crate::client::{Client, Stream, chat, text_of};
use crate::process::Process;
use crate::record::{end_of, kind_of};
use crate::roles::{api, start_broker};
use crate::site::Site;
use crate::wait::{soon, until};

const QUESTION: &str = "Tell me a story about a lighthouse.";
const NUM_TOKENS: u32 = 120;

/// Everything but workers, over one broker.
struct Front {
    site: Site,
    nats: String,
    client: Client,
    _processes: Vec<Process>,
}

impl Front {
    async fn start() -> Self {
        let site = Site::new();
        let (broker, nats) = start_broker(&site);
        let shared = ["--nats", nats.as_str()];
        let roles = ["guardrail", "router", "projector"].map(|role| site.spawn(role, role, &shared));
        let (api, client) = api(&site, "api", &shared).await;
        let processes = [broker, api].into_iter().chain(roles).collect();
        Self { site, nats, client, _processes: processes }
    }

    fn worker(&self, name: &str) -> Process {
        self.site.spawn_with_model(name, "worker", &["--nats", self.nats.as_str(), "--worker-id", name])
    }

    async fn is_ready(&self) {
        until("the api and a worker are ready", async || self.client.is_ready().await.then_some(())).await;
    }

    async fn facts(&self, id: &str) -> Vec<Value> {
        self.site.facts(&["--nats", self.nats.as_str()], id).await
    }

    async fn begin_streams(&self, num_streams: usize) -> Vec<Stream> {
        let streams = (0..num_streams).map(|_| self.client.stream(QUESTION, NUM_TOKENS));
        let mut streams = join_all(streams).await;
        join_all(streams.iter_mut().map(|stream| stream.read_text(20))).await;
        streams
    }

    /// The stream's text is the undisturbed one and stands in the one terminal fact; returns all facts.
    async fn check_whole(&self, stream: Stream, undisturbed: &str) -> Vec<Value> {
        let stream = stream.read_all().await;
        assert_eq!(stream.text, undisturbed, "the stream has no gap and nothing twice");
        assert_eq!(stream.usage["completion_tokens"], NUM_TOKENS);
        let facts = self.facts(&stream.id).await;
        let end = end_of(&facts);
        assert_eq!(end["choices"][0]["text"], stream.text);
        assert_eq!(end["usage"]["num_completion_tokens"], NUM_TOKENS);
        facts
    }
}

fn facts_of<'a>(facts: &'a [Value], kind: &'a str) -> impl Iterator<Item = &'a Value> {
    facts.iter().filter(move |fact| kind_of(fact) == kind).map(move |fact| &fact[kind])
}

/// The workers that were lost under an inference, by heartbeat and not by the delivery's timeout.
fn lost_workers(facts: &[Value]) -> Vec<&str> {
    facts_of(facts, "attempt_failed")
        .map(|failed| {
            assert_eq!(failed["failure"]["code"], "worker_lost", "{failed}");
            failed["worker"].as_str().unwrap()
        })
        .collect()
}

fn check_resumed(facts: &[Value], lost: &str) {
    assert_eq!(lost_workers(facts), [lost]);
    let starts: Vec<&Value> = facts_of(facts, "started").collect();
    assert_eq!(starts.len(), 2, "{starts:?}");
    assert!(starts[1]["num_resumed_tokens"].as_u64() > Some(0), "it did not go on: {starts:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_of_a_killed_worker_go_on_at_another_one() {
    let front = Front::start().await;
    let [first, second] = ["worker-1", "worker-2"].map(|name| front.worker(name));
    front.is_ready().await;
    let (_, undisturbed) = front.client.whole(QUESTION, NUM_TOKENS).await;
    let streams = front.begin_streams(6).await;
    let mut holders = BTreeSet::new();
    for stream in &streams {
        let facts = front.facts(&stream.id).await;
        holders.extend(facts_of(&facts, "started").map(|start| start["worker"].to_string()));
    }
    first.kill().await;
    let mut num_resumed = 0;
    for stream in streams {
        let facts = front.check_whole(stream, text_of(&undisturbed)).await;
        if !lost_workers(&facts).is_empty() {
            check_resumed(&facts, "worker-1");
            num_resumed += 1;
        }
    }
    assert_eq!(num_resumed > 0, holders.contains("\"worker-1\""), "held by {holders:?}");
    drop(second);
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_wait_for_the_only_worker_to_come_back() {
    let front = Front::start().await;
    let worker = front.worker("worker");
    front.is_ready().await;
    let (_, undisturbed) = front.client.whole(QUESTION, NUM_TOKENS).await;
    let streams = front.begin_streams(3).await;
    worker.kill().await;
    let _worker = front.worker("worker");
    for stream in streams {
        check_resumed(&front.check_whole(stream, text_of(&undisturbed)).await, "worker");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_was_stopped_says_nothing_more_of_what_others_have() {
    let front = Front::start().await;
    let stopped = front.worker("worker-1");
    front.is_ready().await;
    let (_, undisturbed) = front.client.whole(QUESTION, NUM_TOKENS).await;
    let streams = front.begin_streams(3).await;
    stopped.stop();
    let other = front.worker("worker-2");
    let mut ids = Vec::new();
    for stream in streams {
        ids.push(stream.id.clone());
        check_resumed(&front.check_whole(stream, text_of(&undisturbed)).await, "worker-1");
    }
    stopped.resume();
    other.kill().await;
    let (_, again) = front.client.whole(QUESTION, NUM_TOKENS).await;
    assert_eq!(text_of(&again), text_of(&undisturbed), "it works again");
    for id in ids {
        assert_eq!(end_of(&front.facts(&id).await)["worker"], "worker-2");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_was_stopped_for_a_while_goes_on_alone() {
    let front = Front::start().await;
    let worker = front.worker("worker");
    front.is_ready().await;
    let (_, undisturbed) = front.client.whole(QUESTION, NUM_TOKENS).await;
    let streams = front.begin_streams(3).await;
    worker.stop();
    until("the worker is given up", async || {
        let facts = front.facts(&streams[0].id).await;
        facts.iter().any(|fact| kind_of(fact) == "attempt_failed").then_some(())
    })
    .await;
    worker.resume();
    for stream in streams {
        check_resumed(&front.check_whole(stream, text_of(&undisturbed)).await, "worker");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_kills_three_workers_is_given_up() {
    let front = Front::start().await;
    // So long a prompt that its worker can be killed before the first token.
    let body = chat(&"lighthouse ".repeat(1_500), 8, false);
    let first = front.worker("worker-0");
    front.is_ready().await;
    let (_, undisturbed) = front.client.whole(QUESTION, NUM_TOKENS).await;
    let known = front.site.rows(&[]).await.len();
    let request = tokio::spawn(front.client.post(&body).send());
    let id = until("the request is recorded", async || {
        let rows = front.site.rows(&[]).await;
        (rows.len() > known).then(|| rows[0]["id"].as_str().unwrap().to_owned())
    })
    .await;
    let mut worker = first;
    for number in 1..=3 {
        until("the next attempt has begun", async || {
            let facts = front.facts(&id).await;
            (facts_of(&facts, "started").count() == number).then_some(())
        })
        .await;
        worker.kill().await;
        worker = front.worker(&format!("worker-{number}"));
    }
    let response = soon("the answer", request).await.unwrap().unwrap();
    assert_eq!(response.status(), 500);
    let answer: Value = response.json().await.unwrap();
    assert_eq!(answer["error"]["code"], "worker_lost", "{answer}");
    let facts = front.facts(&id).await;
    assert_eq!(end_of(&facts)["outcome"], "OUTCOME_FAILED");
    assert_eq!(lost_workers(&facts), ["worker-0", "worker-1", "worker-2"]);
    let (_, again) = front.client.whole(QUESTION, NUM_TOKENS).await;
    assert_eq!(text_of(&again), text_of(&undisturbed), "others are served");
}
