//! Each role as a process of its own, several of most, over one broker and one database.

use std::net::SocketAddr;

use tokio::process::Command;

use crate::client::{Client, text_of};
use crate::postgres_server::PostgresServer;
use crate::process::Process;
use crate::record::{end_of, kind_of};
use crate::site::{Site, free_address, nats_server};
use crate::wait::until;

const QUESTION: &str = "Tell me a story about a lighthouse.";
const NUM_TOKENS: u32 = 100;

pub(crate) fn start_broker(site: &Site) -> (Process, String) {
    let address = free_address();
    // The streams reserve more than a small disk has, and use next to nothing of it.
    let store = site.path("broker");
    let config =
        format!("jetstream {{ store_dir: {store:?}, max_file_store: 64GB }}\nlisten: \"{address}\"\n");
    std::fs::write(site.path("broker.conf"), config).unwrap();
    let mut command = Command::new(nats_server());
    command.arg("-c").arg(site.path("broker.conf"));
    (Process::spawn("broker", site.path("broker.log"), &mut command), format!("nats://{address}"))
}

pub(crate) async fn api(site: &Site, name: &str, shared: &[&str]) -> (Process, Client) {
    let address: SocketAddr = free_address();
    let listen = address.to_string();
    (site.spawn(name, "api", &[&["--listen", listen.as_str()], shared].concat()), Client::new(address))
}

#[tokio::test(flavor = "multi_thread")]
async fn roles_in_their_own_processes_bear_the_loss_of_any_of_them() {
    let site = Site::new();
    let postgres = PostgresServer::start();
    let database = postgres.create_database("jetmill");
    let (_broker, nats) = start_broker(&site);
    let shared = ["--nats", nats.as_str(), "--database", database.as_str()];
    let guardrails = ["guardrail-1", "guardrail-2"].map(|name| site.spawn(name, "guardrail", &shared));
    let routers = ["router-1", "router-2"].map(|name| site.spawn(name, "router", &shared));
    let worker = site.spawn_with_model("worker-1", "worker", &shared);
    let _projector = site.spawn("projector", "projector", &shared);
    let (_api_1, client_1) = api(&site, "api-1", &shared).await;
    let (_api_2, client_2) = api(&site, "api-2", &shared).await;
    until("both apis are ready", async || {
        (client_1.is_ready().await && client_2.is_ready().await).then_some(())
    })
    .await;

    let (_, undisturbed) = client_1.whole(QUESTION, NUM_TOKENS).await;
    let (_, other) = client_2.whole(QUESTION, NUM_TOKENS).await;
    assert_eq!(text_of(&other), text_of(&undisturbed));

    let ([lost_guardrail, _guardrail], [lost_router, _router]) = (guardrails, routers);
    lost_guardrail.kill().await;
    lost_router.kill().await;
    postgres.stop();
    let mut stream_1 = client_1.stream(QUESTION, NUM_TOKENS).await;
    let mut stream_2 = client_2.stream(QUESTION, NUM_TOKENS).await;
    stream_1.read_text(20).await;
    stream_2.read_text(20).await;
    worker.kill().await;
    postgres.resume();
    let _worker = site.spawn_with_model("worker-2", "worker", &shared);
    for stream in [stream_1.read_all().await, stream_2.read_all().await] {
        assert_eq!(stream.text, text_of(&undisturbed), "the stream has no gap and nothing twice");
        assert_eq!(stream.usage["completion_tokens"], NUM_TOKENS);
        let facts = site.facts(&shared, &stream.id).await;
        assert_eq!(end_of(&facts)["choices"][0]["text"], stream.text);
        assert_eq!(facts.iter().map(kind_of).next(), Some("requested"));
    }
    let rows = site.rows_at_the_end(&shared, 4).await;
    assert!(rows.iter().all(|row| row["status"] == "completed"), "{rows:?}");
}
