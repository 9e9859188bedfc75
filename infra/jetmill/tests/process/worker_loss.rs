//! A worker dies, hangs or is killed by what it computes, in the middle of streams.

use serde_json::{Value, json};

use crate::client::{chat, text_of};
use crate::front::{Front, NUM_TOKENS, QUESTION, facts_of, lost_workers};
use crate::record::{end_of, kind_of};
use crate::site::MODEL;
use crate::wait::{soon, until};

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
    let facts = front.facts(&streams[0].id).await;
    let holder = facts_of(&facts, "started").next().unwrap()["worker"].as_str().unwrap().to_owned();
    let (lost, _kept) = if holder == "worker-1" { (first, second) } else { (second, first) };
    lost.kill().await;
    for (number, stream) in streams.into_iter().enumerate() {
        let facts = front.check_whole(stream, text_of(&undisturbed)).await;
        let was_lost = !lost_workers(&facts).is_empty();
        if was_lost {
            check_resumed(&facts, &holder);
        }
        assert!(was_lost || number > 0, "the first stream was at {holder} when it died: {facts:#?}");
    }
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

#[tokio::test(flavor = "multi_thread")]
async fn a_loss_that_no_router_has_heard_of_is_found_by_the_delivery_that_comes_again() {
    let mut front = Front::start().await;
    let lost = front.worker("worker-1");
    front.is_ready().await;
    let (_, undisturbed) = front.client.whole(QUESTION, NUM_TOKENS).await;
    let mut streams = front.begin_streams(2).await;
    front.router.take().unwrap().kill().await;
    lost.kill().await;
    let _worker = front.worker("worker-2");
    for stream in &streams {
        until("the delivery comes again", async || {
            let facts = front.facts(&stream.id).await;
            facts.iter().any(|fact| kind_of(fact) == "attempt_failed").then_some(())
        })
        .await;
    }
    front.router = Some(front.spawn_router("router-2"));
    for stream in streams.drain(..) {
        let facts = front.check_whole(stream, text_of(&undisturbed)).await;
        check_resumed(&facts, "worker-1");
        let failed = facts_of(&facts, "attempt_failed").next().unwrap();
        assert!(failed["failure"]["message"].as_str().unwrap().contains("came again"), "{failed}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_dies_while_its_model_thinks_leaves_the_same_thoughts_and_the_same_answer() {
    let front = Front::start().await;
    let thinker = |name: &str| front.worker_with(name, &["--reasoning-parser", "qwen3"]);
    let worker = thinker("worker-1");
    front.is_ready().await;
    let thought = json!({"role": "assistant", "content": "<think>\nThe story needs"});
    let body = json!({
        "model": MODEL, "messages": [{"role": "user", "content": QUESTION}, thought],
        "continue_final_message": true, "thinking_token_budget": 60, "max_tokens": NUM_TOKENS,
        "temperature": 0, "ignore_eos": true, "stream": true, "stream_options": {"include_usage": true},
    });
    let undisturbed = front.client.stream_of(front.client.post(&body)).await.read_all().await;
    assert!(!undisturbed.text.is_empty() && undisturbed.reasoning.len() > 60, "{:?}", undisturbed.text);
    let mut stream = front.client.stream_of(front.client.post(&body)).await;
    stream.read_reasoning(20).await;
    assert!(stream.text.is_empty(), "it still thinks");
    worker.kill().await;
    let _worker = thinker("worker-2");
    let stream = stream.read_all().await;
    assert_eq!((&stream.reasoning, &stream.text), (&undisturbed.reasoning, &undisturbed.text));
    assert_eq!(stream.usage, undisturbed.usage);
    let facts = front.facts(&stream.id).await;
    check_resumed(&facts, "worker-1");
    assert_eq!(end_of(&facts)["choices"][0]["reasoning"], stream.reasoning);
}
