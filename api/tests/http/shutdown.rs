//! A node that is told to stop.

use std::time::Duration;

use serde_json::json;
use tokio::sync::{Notify, mpsc};

use crate::backend::{cancel_reason, script};
use crate::client::{CHAT, chat, parse_events, text_of};
use crate::node::Node;

#[tokio::test]
async fn a_request_in_flight_finishes() {
    let go_on = std::sync::Arc::new(Notify::new());
    let held = std::sync::Arc::clone(&go_on);
    let (sender, mut asked) = mpsc::unbounded_channel();
    let node = Node::start_with(
        script(move |asked| {
            let (held, sender) = (std::sync::Arc::clone(&held), sender.clone());
            async move {
                sender.send(()).unwrap();
                held.notified().await;
                asked.say_hello().await;
            }
        }),
        |config| config.timeouts.shutdown = Duration::from_secs(30),
    )
    .await;
    let body = chat(json!({}));
    let (answer, ()) = tokio::join!(node.answer(CHAT, &body), async {
        asked.recv().await.unwrap();
        node.shutdown.cancel();
        go_on.notify_one();
    });
    assert_eq!(answer["choices"][0]["message"]["content"], "Hello, wörld!");
    assert!(node.client.get(node.url("/health")).send().await.is_err(), "a new connection was taken");
    node.served.await.unwrap();
}

#[tokio::test]
async fn a_stream_that_does_not_finish_is_ended_with_an_error_and_cancelled() {
    let node = Node::start(script(|asked| async move {
        asked.publish(vec![asked.token(0, 0)]).await;
    }))
    .await;
    let response = node.post(CHAT, &chat(json!({"stream": true}))).await;
    node.shutdown.cancel();
    let events = parse_events(&response.text().await.unwrap());
    assert_eq!(text_of(&events, 0), "Hello");
    assert_eq!(events.last().unwrap().data.as_ref().unwrap()["error"]["code"], "unavailable");
    node.served.await.unwrap();
    assert_eq!(cancel_reason(&node.log, "inference.cancel_requested.>".into()).await, "shutdown");
}

#[tokio::test]
async fn a_stream_that_goes_on_elsewhere_breaks_off_without_an_end() {
    let answers = script(|asked| async move {
        asked.publish(vec![asked.token(0, 0)]).await;
    });
    let node = Node::start_with(answers, |config| config.cancels_at_shutdown = false).await;
    let mut response = node.post(CHAT, &chat(json!({"stream": true}))).await;
    node.shutdown.cancel();
    let mut text = String::new();
    let broken = loop {
        match response.chunk().await {
            Ok(Some(bytes)) => text.push_str(std::str::from_utf8(&bytes).unwrap()),
            Ok(None) => break false,
            Err(_) => break true,
        }
    };
    assert!(broken, "the stream came to its end: {text}");
    assert!(text.contains("Hello") && !text.contains("error"), "{text}");
    node.served.await.unwrap();
}
