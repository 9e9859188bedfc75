//! More requests than workers can answer: every api judges by what waits in the log.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::client::{Client, chat};
use crate::roles::{api, start_broker};
use crate::site::Site;
use crate::wait::{soon, until};

const QUESTION: &str = "Tell me a story about a lighthouse.";
const MAX_NUM_WAITING: usize = 4;

async fn check_refused(client: &Client) {
    let response = soon("a refusal", client.post(&chat(QUESTION, 5, false)).send()).await.unwrap();
    assert_eq!(response.status(), 429);
    let wait: u64 = response.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=60).contains(&wait), "{wait}");
    assert_eq!(response.json::<Value>().await.unwrap()["error"]["code"], "queue_full");
}

async fn knows_of(client: &Client, num_waiting: usize) {
    let line = format!("jetmill:num_inferences_waiting{{pool=\"smol\"}} {num_waiting}");
    until(&line, async || {
        let page = client.get("/metrics").send().await.ok()?.text().await.ok()?;
        page.lines().any(|found| found == line).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_limit_holds_over_all_apis_and_ends_when_workers_drain_the_queue() {
    let site = Site::new();
    let (_broker, nats) = start_broker(&site);
    let config = site.path("jetmill.toml");
    std::fs::write(&config, format!("[api]\nmax_num_waiting_requests = {MAX_NUM_WAITING}\n")).unwrap();
    let shared = ["--nats", nats.as_str()];
    let limited = ["--nats", nats.as_str(), "--config", config.to_str().unwrap()];
    let _guardrail = site.spawn("guardrail", "guardrail", &shared);
    let _router = site.spawn("router", "router", &shared);
    let worker = site.spawn_with_model("worker-1", "worker", &shared);
    let (_api_1, client_1) = api(&site, "api-1", &limited).await;
    let (_api_2, client_2) = api(&site, "api-2", &limited).await;
    for client in [&client_1, &client_2] {
        until("an api is ready", async || client.is_ready().await.then_some(())).await;
    }
    client_1.whole(QUESTION, 5).await;

    worker.kill().await;
    let background = json!({"endpoint": "/v1/chat/completions", "body": chat(QUESTION, 5, false)});
    for _ in 0..=MAX_NUM_WAITING {
        let response = soon("an acceptance", client_1.post_to("/v1/inferences", &background).send()).await;
        assert_eq!(response.unwrap().status(), 202);
    }
    let clients = [&client_1, &client_2].into_iter().cycle().take(MAX_NUM_WAITING);
    let waiting = clients.map(|client| tokio::spawn(client.post(&chat(QUESTION, 5, false)).send()));
    let waiting: Vec<_> = waiting.collect();
    let (_api_3, client_3) = api(&site, "api-3", &limited).await;
    for client in [&client_1, &client_2, &client_3] {
        knows_of(client, MAX_NUM_WAITING).await;
        check_refused(client).await;
    }

    let _worker = site.spawn_with_model("worker-2", "worker", &shared);
    for response in soon("the answers", join_all(waiting)).await {
        assert_eq!(response.unwrap().unwrap().status(), 200);
    }
    for client in [&client_1, &client_2, &client_3] {
        knows_of(client, 0).await;
        client.whole(QUESTION, 5).await;
    }
}
