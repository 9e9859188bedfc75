//! A client that leaves.

use crate::client::chat;
use crate::record::end_of;
use crate::site::Site;
use crate::wait::until;

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_cancels_its_inference_and_frees_the_engine() {
    let site = Site::new();
    let (_process, client) = site.serve(&[]).await;
    let mut body = chat("Tell me a story.", 1_500, true);
    body["grace_period_seconds"] = 0.into();
    let mut stream = client.stream_of(client.post(&body)).await;
    stream.read_text(20).await;
    assert_eq!(client.metric("jetmill:num_requests_running").await, 1.0);
    let id = stream.id.clone();
    drop(stream);

    let rows = site.rows_at_the_end(&[], 1).await;
    assert_eq!((&rows[0]["id"], &rows[0]["status"]), (&id.clone().into(), &"cancelled".into()));
    let facts = site.facts(&[], &id).await;
    let end = end_of(&facts);
    assert_eq!(end["outcome"], "OUTCOME_CANCELLED");
    let num_tokens = end["usage"]["num_completion_tokens"].as_u64().unwrap();
    assert!((1..1_500).contains(&num_tokens), "{num_tokens} tokens are on the bill");
    until("the engine is idle", async || {
        (client.metric("jetmill:num_requests_running").await == 0.0).then_some(())
    })
    .await;
}
