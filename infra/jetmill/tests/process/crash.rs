//! Ends that nobody asked for.

use futures_util::future::join_all;
use serde_json::Value;

use crate::client::{Client, Stream, patient_chat, text_of};
use crate::process::kill;
use crate::record::end_of;
use crate::site::Site;
use crate::wait::until;

const QUESTION: &str = "Tell me a story about a lighthouse.";

async fn begin_streams(client: &Client, num_streams: usize, num_tokens: u32) -> Vec<Stream> {
    let body = patient_chat(QUESTION, num_tokens, true);
    let mut streams = join_all((0..num_streams).map(|_| client.stream_of(client.post(&body)))).await;
    join_all(streams.iter_mut().map(|stream| stream.read_text(20))).await;
    streams
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_accepted_survives_the_death_of_every_process_and_ends_once() {
    const NUM_STREAMS: usize = 8;
    const NUM_WAITING: usize = 4;
    const NUM_TOKENS: u32 = 60;
    let site = Site::new();
    // More are asked than the engine runs at once, so that some are accepted and nothing more.
    let (process, client) = site.serve(&["--max-num-seqs", "8"]).await;
    let undisturbed = client.whole(QUESTION, NUM_TOKENS).await;
    let mut streams = begin_streams(&client, NUM_STREAMS, NUM_TOKENS).await;
    let waiting: Vec<_> = (0..NUM_WAITING)
        .map(|_| tokio::spawn(client.post(&patient_chat(QUESTION, NUM_TOKENS, false)).send()))
        .collect();
    let num_accepted = 1 + NUM_STREAMS + NUM_WAITING;
    let rows = until("every request is accepted", async || {
        let rows = site.rows(&[]).await;
        (rows.len() == num_accepted).then_some(rows)
    })
    .await;
    let mut seen: Vec<(&str, Vec<Value>)> = Vec::new();
    for row in [rows.first(), rows.last()].into_iter().flatten() {
        let id = row["id"].as_str().unwrap();
        seen.push((id, site.facts(&[], id).await));
    }
    assert!(rows.iter().any(|row| row["status"] == "started"), "nothing is under way: {rows:?}");
    site.kill_everything().await;
    let are_done = join_all(streams.iter_mut().map(Stream::read_what_comes)).await;
    drop((process, client, waiting));

    // The second death comes while the first one is being made up for.
    let (process, client) = site.serve(&["--max-num-seqs", "8"]).await;
    let late = begin_streams(&client, 1, NUM_TOKENS).await;
    site.kill_everything().await;
    drop((process, client));

    let (_process, client) = site.serve(&["--max-num-seqs", "8"]).await;
    // Clients go on where they were, though they may have heard more than the log held when everything died.
    for (before, _) in streams.iter().zip(are_done).filter(|(_, is_done)| !is_done) {
        let path = format!("/v1/inferences/{}/stream?starting_after={}", before.id, before.last_event_id);
        let after = client.stream_of(client.get(&path)).await.read_all().await;
        assert_eq!(format!("{}{}", before.text, after.text), text_of(&undisturbed.1));
    }
    let rows = site.rows_at_the_end(&[], num_accepted + late.len()).await;
    assert_eq!(rows.len(), num_accepted + late.len());
    for id in streams.iter().chain(&late).map(|stream| &stream.id).chain([&undisturbed.0]) {
        assert!(rows.iter().any(|row| row["id"] == *id), "{id} is lost");
    }
    for row in &rows {
        let id = row["id"].as_str().unwrap();
        let facts = site.facts(&[], id).await;
        let end = end_of(&facts);
        assert_eq!(end["outcome"], "OUTCOME_COMPLETED", "{end}");
        assert_eq!(end["choices"][0]["text"], text_of(&undisturbed.1));
        if let Some((_, before)) = seen.iter().find(|(seen, _)| *seen == id) {
            assert_eq!(facts[..before.len()], before[..], "facts of {id} are lost or changed");
        }
    }
    site.assert_proven().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_go_on_when_the_broker_dies_and_comes_back() {
    const NUM_TOKENS: u32 = 100;
    let site = Site::new();
    let (_process, client) = site.serve(&[]).await;
    let (_, undisturbed) = client.whole(QUESTION, NUM_TOKENS).await;
    let streams = begin_streams(&client, 4, NUM_TOKENS).await;
    let first_broker = site.broker();
    kill(first_broker);

    for stream in join_all(streams.into_iter().map(Stream::read_all)).await {
        assert_eq!(stream.text, text_of(&undisturbed));
        assert_eq!(stream.usage["completion_tokens"], NUM_TOKENS);
        end_of(&site.facts(&[], &stream.id).await);
    }
    assert_ne!(site.broker(), first_broker);
    let rows = site.rows_at_the_end(&[], 5).await;
    assert!(rows.iter().all(|row| row["status"] == "completed"), "{rows:?}");
}
