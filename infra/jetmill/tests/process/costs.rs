//! What answers cost, and under which configuration they were given.

use serde_json::{Value, json};

use crate::client::Client;
use crate::record::end_of;
use crate::site::{MODEL, Site};

const KEY: &str = "sk-auditor";

impl Site {
    /// A configuration file that prices the model.
    pub(crate) fn priced(&self, name: &str, output: &str) -> String {
        let path = self.path(name);
        let text = format!(
            "[models.{MODEL}.price]\ncurrency = \"EUR\"\ninput = 0.15\ncached_input = 0.05\noutput = {output}\n"
        );
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    }
}

async fn life(client: &Client, id: &str) -> Value {
    let shown = client.get(&format!("/v1/audit/inferences/{id}")).bearer_auth(KEY).send().await.unwrap();
    shown.json().await.unwrap()
}

/// In billionths.
fn expected_nanos(usage: &Value, output: u64) -> u64 {
    let num = |field: &str| usage[field].as_u64().unwrap_or_default();
    let cached = num("num_cached_prompt_tokens");
    (num("num_prompt_tokens") - cached) * 150 + cached * 50 + num("num_completion_tokens") * output
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_costs_what_its_model_cost_when_it_was_asked_for() {
    let site = Site::new();
    let config = site.priced("first.toml", "0.6");
    let (mut process, client) = site.serve(&["--config", &config, "--auditor-key", KEY]).await;
    let first = client.whole("What is a lighthouse?", 12).await.0;
    let facts = site.facts(&[], &first).await;
    let version = facts[0]["configuration"].as_str().unwrap().to_owned();
    assert!(facts.iter().all(|fact| fact["configuration"] == *version), "{facts:#?}");
    assert!(facts[2]["assigned"]["control_sequence"].is_string(), "{facts:#?}");
    let configured = site.print("audit", &["configuration", &version]).await;
    assert!(configured.contains("\"cached_input\":\"0.05\"") && !configured.contains(KEY), "{configured}");
    let shown = life(&client, &first).await;
    assert_eq!(shown["configurations"][&version]["models"][MODEL]["price"]["output"], "0.6", "{shown}");
    process.terminate();
    assert!(process.ended().await.success(), "{}", process.log());

    let config = site.priced("second.toml", "6");
    let (_process, client) = site.serve(&["--config", &config, "--auditor-key", KEY]).await;
    let second = client.whole("What is a lighthouse?", 12).await.0;
    let rows = site.rows_at_the_end(&[], 2).await;
    for (id, row, output) in [(&second, &rows[0], 6_000), (&first, &rows[1], 600)] {
        let facts = site.facts(&[], id).await;
        let expected = expected_nanos(&end_of(&facts)["usage"], output);
        assert_eq!((&row["id"], &row["cost_currency"]), (&json!(id), &json!("EUR")));
        assert_eq!(row["cost_nanos"], expected, "{row}");
        assert_eq!(end_of(&facts)["cost"]["nanos"], expected.to_string());
    }
    let facts = site.facts(&[], &second).await;
    assert_ne!(facts[0]["configuration"], version, "another price is another configuration");
    let text = site.print("events", &[&second]).await;
    assert!(text.contains("cost: 0.0000") && text.contains("of the answer, EUR"), "{text}");
    assert_eq!(life(&client, &second).await["summary"]["cost"]["currency"], "EUR");
    site.print("rebuild", &[]).await;
    assert_eq!(site.rows(&[]).await, rows, "a later price changes nothing that was");
    let unknown = site.run("audit", &["configuration", &"0".repeat(32)]).await;
    assert!(!unknown.status.success());
}
