//! What must be seen by nobody but those it is meant for.

use crate::client::{chat, text_of};
use crate::site::Site;

const KEY: &str = "sk-a-key-that-nobody-may-see";
const SECRET: &str = "xylophone marmalade";

#[tokio::test(flavor = "multi_thread")]
async fn keys_prompts_and_answers_stay_out_of_logs_tables_and_metrics() {
    let site = Site::new();
    let (mut process, client) = site.serve(&["--master-key", KEY, "--log-level", "trace"]).await;
    let question = format!("Repeat after me: {SECRET}.");
    let body = chat(&question, 16, false);

    let response = client.post(&body).bearer_auth(KEY).send().await.unwrap();
    assert_eq!(response.status(), 200);
    let answer: serde_json::Value = response.json().await.unwrap();
    let answer_text = text_of(&answer).to_owned();
    assert!(answer_text.len() > 10, "{answer_text}");

    for request in [client.post(&body), client.post(&body).bearer_auth("sk-wrong-key")] {
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 401);
        let error = response.text().await.unwrap();
        assert!(error.contains("authentication_error"), "{error}");
        assert!(!error.contains(KEY) && !error.contains("sk-wrong-key"), "{error}");
    }
    let metrics = client.get("/metrics").bearer_auth(KEY).send().await.unwrap().text().await.unwrap();
    site.rows_at_the_end(&[], 1).await;
    process.terminate();
    assert!(process.ended().await.success());

    let log = process.log();
    assert!(log.contains("TRACE"), "the log tells everything");
    let tables = std::fs::read(site.path("data/jetmill.db")).unwrap();
    let tables = String::from_utf8_lossy(&tables);
    for secret in [KEY, "sk-wrong-key", SECRET, &answer_text] {
        for (place, text) in [("log", log.as_str()), ("tables", &tables), ("metrics", &metrics)] {
            let line = text.lines().find(|line| line.contains(secret));
            assert_eq!(line, None, "the {place} tells '{secret}'");
        }
    }
}
