//! The end that was asked for.

use crate::site::Site;
use crate::wait::until;

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_finished_before_the_process_ends_with_success() {
    let site = Site::new();
    let (mut process, client) = site.serve(&[]).await;
    let mut stream = client.stream("Tell me a story.", 120).await;
    stream.read_text(20).await;

    process.terminate();
    until("the server says that it stops", async || (!client.is_ready().await).then_some(())).await;
    let stream = stream.read_all().await;
    assert_eq!(stream.usage["completion_tokens"], 120);

    let status = process.ended().await;
    assert_eq!(status.code(), Some(0), "{}", process.log());
    until("nothing is left behind", async || site.processes().is_empty().then_some(())).await;
    let rows = site.rows(&[]).await;
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0]["status"], "completed", "the tables are up to date at the end");
}
