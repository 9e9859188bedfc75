//! Frames from workers of the node's own process: heard when they are made, and again, several steps in one, from the broker.

use std::sync::Arc;

use bus::{LocalFrames, MemoryLog};
use schemas::v1::{FrameEntry, Outcome};
use serde_json::json;

use crate::backend::{self, script};
use crate::client::{CHAT, chat, text_of};
use crate::node::{Node, announce};

/// What the client sees of an answer whose steps are said here, of which the broker tells after the first `num_before` steps and
/// again at the end.
async fn check(num_before: usize) {
    let frames = LocalFrames::default();
    let here = frames.clone();
    let log = MemoryLog::new();
    announce(&log, "smol", true).await;
    let script = script(move |asked| {
        let here = here.clone();
        async move {
            // Text that becomes certain later than its token has no index that tells it from its repetition.
            let late = FrameEntry { text: "?".to_owned(), token_ids: Vec::new(), ..asked.token(0, 2) };
            let late = FrameEntry { first_token_index: 3, logprobs: Vec::new(), ..late };
            let mut steps =
                vec![asked.token(0, 0), asked.token(0, 1), asked.token(0, 2), late, asked.finish(0)];
            let rest = steps.split_off(num_before);
            let mut held = Vec::new();
            for entry in steps {
                held.extend(asked.say_here(&here, vec![entry]));
            }
            asked.publish(held.clone()).await;
            for entry in rest {
                held.extend(asked.say_here(&here, vec![entry]));
            }
            asked.publish(held).await;
            asked.end_with(Outcome::Completed, None).await;
        }
    });
    backend::start(log.clone(), script).await;
    let node = Node::start_beside(log.clone(), Arc::new(log), frames, |_| {}).await;
    node.wait_until_ready().await;
    let events = node.events(CHAT, &chat(json!({"stream": true}))).await;
    assert_eq!(text_of(&events, 0), "Hello, wörld!?");
    assert!(events.last().unwrap().is_done);
}

#[tokio::test]
async fn what_was_heard_here_is_not_heard_again_from_the_broker() {
    for num_before in 0..=5 {
        check(num_before).await;
    }
}
