//! An api node that dies while its clients read.

use futures_util::future::join_all;

use crate::client::{chat, patient_chat, text_of};
use crate::record::{end_of, kind_of};
use crate::roles::{api, start_broker};
use crate::site::Site;
use crate::wait::{soon, until};

const QUESTION: &str = "Tell me a story about a lighthouse.";
const NUM_TOKENS: u32 = 200;
const NUM_STREAMS: usize = 4;
const KEY: &str = "idempotency-key";

#[tokio::test(flavor = "multi_thread")]
async fn streams_go_on_at_another_api_and_are_the_same_text() {
    let site = Site::new();
    let (_broker, nats) = start_broker(&site);
    let shared = ["--nats", nats.as_str()];
    let _guardrail = site.spawn("guardrail", "guardrail", &shared);
    let _router = site.spawn("router", "router", &shared);
    let _worker = site.spawn_with_model("worker", "worker", &shared);
    let (api_1, client_1) = api(&site, "api-1", &shared).await;
    let (_api_2, client_2) = api(&site, "api-2", &shared).await;
    until("both apis are ready", async || {
        (client_1.is_ready().await && client_2.is_ready().await).then_some(())
    })
    .await;
    let (_, undisturbed) = client_2.whole(QUESTION, NUM_TOKENS).await;

    let body = patient_chat(QUESTION, NUM_TOKENS, true);
    let whole_body = patient_chat(QUESTION, NUM_TOKENS, false);
    let begin = |number: usize| client_1.stream_of(client_1.post(&body).header(KEY, format!("key-{number}")));
    let mut streams = join_all((0..NUM_STREAMS).map(begin)).await;
    let unanswered = tokio::spawn(client_1.post(&whole_body).header(KEY, "whole").send());
    join_all(streams.iter_mut().map(|stream| stream.read_text(20))).await;
    api_1.kill().await;
    join_all(streams.iter_mut().map(crate::client::Stream::read_until_broken)).await;
    assert!(unanswered.await.unwrap().is_err(), "the api answered after its death");

    for (number, before) in streams.iter().enumerate() {
        assert!(before.text.len() < text_of(&undisturbed).len(), "nothing was left to resume");
        let request = if number % 2 == 0 {
            let key = format!("key-{number}");
            client_2.post(&body).header(KEY, key).header("last-event-id", &before.last_event_id)
        } else {
            let path = format!("/v1/inferences/{}/stream?starting_after={}", before.id, before.last_event_id);
            client_2.get(&path)
        };
        let after = client_2.stream_of(request).await.read_all().await;
        assert_eq!(after.id, before.id);
        assert_eq!(format!("{}{}", before.text, after.text), text_of(&undisturbed));
        assert_eq!(after.usage["completion_tokens"], NUM_TOKENS);
        let facts = site.facts(&shared, &before.id).await;
        assert_eq!(facts.iter().filter(|fact| kind_of(fact) == "requested").count(), 1);
        assert_eq!(end_of(&facts)["choices"][0]["text"], text_of(&undisturbed));
    }

    // Whether or not the first node had appended it: the second one answers under the same id, each time.
    let mut ids = Vec::new();
    for _ in 0..2 {
        let response =
            soon("an answer", client_2.post(&whole_body).header(KEY, "whole").send()).await.unwrap();
        assert_eq!(response.status(), 200);
        ids.push(response.headers()["x-jetmill-inference-id"].to_str().unwrap().to_owned());
        let answer: serde_json::Value = response.json().await.unwrap();
        assert_eq!(text_of(&answer), text_of(&undisturbed));
    }
    assert_eq!(ids[0], ids[1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_inference_whose_api_died_is_cancelled_when_nobody_comes_back() {
    let site = Site::new();
    let (_broker, nats) = start_broker(&site);
    let shared = ["--nats", nats.as_str()];
    let _guardrail = site.spawn("guardrail", "guardrail", &shared);
    let _router = site.spawn("router", "router", &shared);
    let _worker = site.spawn_with_model("worker", "worker", &shared);
    let (api_1, client) = api(&site, "api-1", &shared).await;
    until("the api is ready", async || client.is_ready().await.then_some(())).await;
    let mut body = chat(QUESTION, 1_800, true);
    body["grace_period_seconds"] = 1.into();
    // More than the fastest machine computes before the worker gives up on the node.
    body["n"] = 8.into();
    let mut stream = client.stream_of(client.post(&body)).await;
    stream.read_text(20).await;
    api_1.kill().await;
    let facts = until("the inference has ended", async || {
        let facts = site.facts(&shared, &stream.id).await;
        facts.iter().any(|fact| kind_of(fact) == "ended").then_some(facts)
    })
    .await;
    let cancel = facts.iter().find(|fact| kind_of(fact) == "cancel_requested").unwrap();
    assert_eq!(cancel["cancel_requested"]["reason"], "client_gone");
    assert_eq!(end_of(&facts)["outcome"], "OUTCOME_CANCELLED");
}
