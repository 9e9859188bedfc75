//! Frames that are missed live.

use std::time::Duration;

use schemas::v1::{FrameEntry, Outcome};
use serde_json::json;

use crate::backend::{Asked, script};
use crate::client::{CHAT, chat, text_of};
use crate::node::Node;

async fn check<F>(answer: impl Fn(Asked) -> F + Send + Sync + 'static)
where
    F: Future<Output = ()> + Send + 'static,
{
    let node = Node::start(script(answer)).await;
    let events = node.events(CHAT, &chat(json!({"stream": true, "logprobs": true}))).await;
    assert_eq!(text_of(&events, 0), "Hello, wörld!");
    assert!(events.last().unwrap().is_done);
    let num_logprobs = events
        .iter()
        .filter_map(|event| event.data.as_ref()?["choices"][0]["logprobs"]["content"].as_array())
        .flatten()
        .count();
    assert_eq!(num_logprobs, 3);
}

#[tokio::test]
async fn a_frame_missed_in_the_middle_is_read_again() {
    check(|asked| async move {
        asked.publish(vec![asked.token(0, 0)]).await;
        asked.publish_unheard(vec![asked.token(0, 1)]).await;
        asked.publish(vec![asked.token(0, 2)]).await;
        asked.publish(vec![asked.finish(0)]).await;
        asked.end_with(Outcome::Completed, None).await;
    })
    .await;
}

#[tokio::test]
async fn the_first_frame_may_be_missed() {
    check(|asked| async move {
        asked.publish_unheard(vec![asked.token(0, 0)]).await;
        asked.publish(vec![asked.token(0, 1)]).await;
        asked.publish(vec![asked.token(0, 2)]).await;
        asked.publish(vec![asked.finish(0)]).await;
        asked.end_with(Outcome::Completed, None).await;
    })
    .await;
}

#[tokio::test]
async fn an_end_that_was_missed_is_found_by_its_silence() {
    check(|asked| async move {
        asked.publish(vec![asked.token(0, 0)]).await;
        asked.publish(vec![asked.token(0, 1)]).await;
        asked.publish_unheard(vec![asked.token(0, 2)]).await;
        // The finish, the terminal fact and the entry that tells of it.
        asked.log.set_faults(|faults| faults.num_dropped_live = 3);
        asked.publish(vec![asked.finish(0)]).await;
        asked.end_with(Outcome::Completed, None).await;
    })
    .await;
}

#[tokio::test]
async fn frames_that_come_twice_are_taken_once() {
    check(|asked| async move {
        for index in [0, 0, 1, 0, 1, 2, 2] {
            asked.publish(vec![asked.token(0, index)]).await;
        }
        asked.publish(vec![asked.finish(0)]).await;
        asked.publish(vec![asked.finish(0)]).await;
        asked.end_with(Outcome::Completed, None).await;
    })
    .await;
}

#[tokio::test]
async fn the_terminal_fact_completes_an_answer_whose_tokens_are_gone() {
    let node = Node::start(script(|asked| async move {
        asked.publish(vec![asked.token(0, 0)]).await;
        // The second token was never stored.
        asked.publish(vec![asked.token(0, 2)]).await;
        asked.end_with(Outcome::Completed, None).await;
    }))
    .await;
    let events = node.events(CHAT, &chat(json!({"stream": true}))).await;
    assert_eq!(text_of(&events, 0), "Hello, wörld!");
    assert!(events.last().unwrap().is_done);
}

#[tokio::test]
async fn an_answer_that_its_end_does_not_go_on_from_ends_with_an_error() {
    let changed = script(|asked| async move {
        let text = "something longer than what the end tells".to_owned();
        asked.publish(vec![FrameEntry { text, ..asked.token(0, 0) }]).await;
        asked.end_with(Outcome::Completed, None).await;
    });
    let node = Node::start_with(changed, |config| config.timeouts.repair = Duration::from_millis(100)).await;
    let events = node.events(CHAT, &chat(json!({"stream": true}))).await;
    assert_eq!(events.last().unwrap().data.as_ref().unwrap()["error"]["code"], "tokens_lost");
}

#[tokio::test]
async fn what_was_missed_while_disconnected_is_read_again() {
    check(|asked| async move {
        asked.publish(vec![asked.token(0, 0)]).await;
        asked.log.set_faults(|faults| faults.num_dropped_live = 5);
        asked.publish(vec![asked.token(0, 1)]).await;
        asked.publish(vec![asked.token(0, 2)]).await;
        asked.publish(vec![asked.finish(0)]).await;
        asked.end_with(Outcome::Completed, None).await;
    })
    .await;
}
