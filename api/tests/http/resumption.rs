//! Clients that come back for the rest of an answer, to another node.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bus::topology::StreamPolicy;
use bus::{EventLog, MemoryLog, ReadFrom, StreamName, subjects};
use futures_util::StreamExt;
use schemas::v1::Outcome;
use schemas::{FactKind, IngressId, TenantId};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::backend::{self, HELLO, Script, hello, script};
use crate::client::{CHAT, COMPLETIONS, Event, chat, completion, parse_events, text_of};
use crate::node::{Node, announce};

const TEXT: &str = "Hello, wörld!";

/// Two nodes on one log.
pub(crate) async fn pair(log: MemoryLog, script: Script) -> (Node, Node) {
    announce(&log, "smol", true).await;
    backend::start(log.clone(), script).await;
    let first = Node::start_bare(log.clone(), |_| {}).await;
    let second = Node::start_bare(log, |config| config.ingress = IngressId::slug("api-2")).await;
    first.wait_until_ready().await;
    second.wait_until_ready().await;
    (first, second)
}

/// Says hello, a token for each permit, and counts how often it was asked.
pub(crate) fn step_by_step() -> (Script, Arc<Semaphore>, Arc<AtomicUsize>) {
    let (permits, num_asked) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicUsize::new(0)));
    let (permits_taken, count) = (Arc::clone(&permits), Arc::clone(&num_asked));
    let script = script(move |asked| {
        let permits = Arc::clone(&permits_taken);
        count.fetch_add(1, Ordering::SeqCst);
        async move {
            for index in 0..HELLO.len() {
                permits.acquire().await.unwrap().forget();
                asked.publish(vec![asked.token(0, index)]).await;
            }
            permits.acquire().await.unwrap().forget();
            asked.publish(vec![asked.finish(0)]).await;
            asked.end_with(Outcome::Completed, None).await;
        }
    });
    (script, permits, num_asked)
}

/// Reads a stream until its first event is whole, and leaves.
async fn first_event(response: reqwest::Response) -> Event {
    assert_eq!(response.status(), 200);
    let mut body = response.bytes_stream();
    let mut text = String::new();
    while !text.contains("\n\n") {
        text.push_str(std::str::from_utf8(&body.next().await.unwrap().unwrap()).unwrap());
    }
    parse_events(&text).remove(0)
}

/// The events of a stream from a position on.
async fn resumed(node: &Node, id: &str, starting_after: &str) -> Vec<Event> {
    let path = format!("/v1/inferences/{id}/stream?starting_after={starting_after}");
    let response = node.get(&path).await;
    let status = response.status();
    let text = response.text().await.unwrap();
    assert_eq!(status, 200, "{text}");
    parse_events(&text)
}

async fn refused(node: &Node, id: &str, starting_after: &str, expected_status: u16) -> Value {
    let path = format!("/v1/inferences/{id}/stream?starting_after={starting_after}");
    let response = node.get(&path).await;
    assert_eq!(response.status(), expected_status, "{starting_after}");
    response.json::<Value>().await.unwrap()["error"].clone()
}

#[tokio::test]
async fn a_stream_goes_on_at_another_node_while_it_is_computed() {
    let (script, permits, num_asked) = step_by_step();
    let (first, second) = pair(MemoryLog::new(), script).await;
    let body =
        chat(json!({"stream": true, "stream_options": {"include_usage": true}, "grace_period_seconds": 600}));
    let post = |node: &Node| node.client.post(node.url(CHAT)).header("idempotency-key", "a key").json(&body);
    permits.add_permits(1);
    let begun = first_event(post(&first).send().await.unwrap()).await;
    assert_eq!(begun.data.as_ref().unwrap()["choices"][0]["delta"]["content"], "Hello");
    let id = begun.id.clone().unwrap();
    let again = post(&second).header("last-event-id", &id).send();
    let (response, ()) = tokio::join!(again, async { permits.add_permits(3) });
    let response = response.unwrap();
    assert!(id.starts_with(response.headers()["x-jetmill-inference-id"].to_str().unwrap()));
    let rest = parse_events(&response.text().await.unwrap());
    assert_eq!(text_of(&rest, 0), ", wörld!");
    assert!(rest.last().unwrap().is_done);
    let first_chunk = rest[0].data.as_ref().unwrap();
    assert!(
        first_chunk["choices"][0]["delta"].get("role").is_none(),
        "the turn was opened before: {first_chunk}"
    );
    let usage = &rest[rest.len() - 2].data.as_ref().unwrap()["usage"];
    assert_eq!(usage["completion_tokens"], 3);
    assert_eq!(num_asked.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn every_position_of_an_ended_answer_leads_to_its_rest() {
    let (first, second) = pair(MemoryLog::new(), hello()).await;
    let response = first.post(CHAT, &chat(json!({"stream": true}))).await;
    let id = response.headers()["x-jetmill-inference-id"].to_str().unwrap().to_owned();
    let whole = parse_events(&response.text().await.unwrap());
    assert_eq!(text_of(&whole, 0), TEXT);
    for node in [&first, &second] {
        assert_eq!(text_of(&resumed(node, &id, "0").await, 0), TEXT);
        for (number, event) in whole.iter().enumerate() {
            let Some(id_of_event) = &event.id else { continue };
            let rest = resumed(node, &id, id_of_event).await;
            assert_eq!(text_of(&whole[..=number], 0) + &text_of(&rest, 0), TEXT, "after event {number}");
            assert!(rest.last().unwrap().is_done);
        }
        for num_tokens in 0..=HELLO.len() {
            let known: String = HELLO[..num_tokens].iter().map(|(_, text)| *text).collect();
            let rest = resumed(node, &id, &num_tokens.to_string()).await;
            assert_eq!(known + &text_of(&rest, 0), TEXT, "after {num_tokens} tokens");
        }
        // Whoever has everything is told that there is no more.
        let last = whole.iter().rev().find_map(|event| event.id.as_ref()).unwrap();
        let rest = resumed(node, &id, last).await;
        assert!(rest.len() == 1 && rest[0].is_done, "{rest:?}");
    }
}

#[tokio::test]
async fn positions_that_are_none_have_clear_refusals() {
    let (first, second) = pair(MemoryLog::new(), hello()).await;
    let response = first.post(CHAT, &chat(json!({"stream": true}))).await;
    let id = response.headers()["x-jetmill-inference-id"].to_str().unwrap().to_owned();
    response.text().await.unwrap();
    assert_eq!(refused(&second, &id, "4", 400).await["code"], "position_past_end");
    assert_eq!(refused(&second, &id, "3-15", 400).await["code"], "position_past_end");
    assert_eq!(refused(&second, &id, "2-9", 400).await["code"], "position_not_found");
    assert_eq!(refused(&second, &id, "x", 400).await["param"], "starting_after");
    assert_eq!(refused(&second, &id, "1.1", 400).await["param"], "starting_after");
    let other = "0198c6f0a1b27c3d8e4f5061728394a5";
    assert_eq!(refused(&second, &id, &format!("{other}:0:1-5"), 400).await["param"], "starting_after");
    for unknown in [other, "no-id"] {
        assert_eq!(refused(&second, unknown, "0", 404).await["code"], "inference_not_found");
    }
    let foreign = Node::start_bare(first.log.clone(), |config| config.tenant = TenantId::slug("other")).await;
    foreign.wait_until_ready().await;
    assert_eq!(refused(&foreign, &id, "0", 404).await["code"], "inference_not_found");
}

#[tokio::test]
async fn an_answer_whose_tokens_are_gone_goes_on_from_its_terminal_fact() {
    // No frame fits into the stream.
    let log = MemoryLog::with_policy(&StreamPolicy { tokens_max_bytes: 1, ..StreamPolicy::default() });
    let (first, second) = pair(log, hello()).await;
    let response = first.post(CHAT, &chat(json!({"stream": true}))).await;
    let id = response.headers()["x-jetmill-inference-id"].to_str().unwrap().to_owned();
    assert_eq!(text_of(&parse_events(&response.text().await.unwrap()), 0), TEXT);
    let rest = resumed(&second, &id, "2-11").await;
    assert_eq!(text_of(&rest, 0), "ld!");
    assert!(rest.last().unwrap().is_done);
    assert_eq!(refused(&second, &id, "2", 400).await["code"], "position_not_found");
    assert_eq!(text_of(&resumed(&second, &id, "0").await, 0), TEXT);
}

#[tokio::test]
async fn several_choices_go_on_each_where_it_stood() {
    let (first, second) = pair(MemoryLog::new(), hello()).await;
    let body = completion(json!({"prompt": ["a", "b"], "n": 2, "stream": true}));
    let post =
        |node: &Node| node.client.post(node.url(COMPLETIONS)).header("idempotency-key", "k").json(&body);
    let whole = parse_events(&post(&first).send().await.unwrap().text().await.unwrap());
    for (number, event) in whole.iter().enumerate().filter(|(_, event)| event.id.is_some()) {
        let response =
            post(&second).header("last-event-id", event.id.as_ref().unwrap()).send().await.unwrap();
        let rest = parse_events(&response.text().await.unwrap());
        let together: Vec<Event> = whole[..=number].iter().chain(&rest).cloned().collect();
        for choice in 0..4 {
            assert_eq!(text_of(&together, choice), TEXT, "choice {choice} after event {number}");
        }
        assert!(rest.last().unwrap().is_done);
    }
}

#[tokio::test]
async fn a_client_that_comes_back_in_time_stops_the_clock() {
    let (script, permits, _) = step_by_step();
    let (first, _second) = pair(MemoryLog::new(), script).await;
    permits.add_permits(1);
    let response = first.post(CHAT, &chat(json!({"stream": true}))).await;
    let id = response.headers()["x-jetmill-inference-id"].to_str().unwrap().to_owned();
    let path = format!("/v1/inferences/{id}/stream");
    let back = first.get(&path).await;
    drop(response);
    permits.add_permits(3);
    assert_eq!(text_of(&parse_events(&back.text().await.unwrap()), 0), TEXT);
    let pattern = subjects::all_of(FactKind::CancelRequested);
    let from = ReadFrom::Start;
    let mut cancels = first.log.read(StreamName::Inference, vec![pattern], from, false).await.unwrap();
    assert!(cancels.next().await.is_none());
}
