//! Content that is erased: gone from the log, its files, its archives and every command, and the record still proves itself.

use std::path::Path;

use serde_json::Value;

use crate::client::{Client, chat};
use crate::site::Site;

const SECRET: &str = "the marmalade is behind the clock";

async fn ask(client: &Client, user: &str) -> String {
    let mut body = chat(&format!("Repeat: {SECRET} ({user})"), 8, false);
    body["user"] = user.into();
    let response = client.post(&body).send().await.unwrap();
    assert_eq!(response.status(), 200);
    response.headers()["x-jetmill-inference-id"].to_str().unwrap().to_owned()
}

fn is_on_disk(dir: &Path) -> bool {
    std::fs::read_dir(dir).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        if path.is_dir() {
            return is_on_disk(&path);
        }
        let held = std::fs::read(&path).unwrap_or_default();
        held.windows(SECRET.len()).any(|window| window == SECRET.as_bytes())
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn erased_content_is_gone_and_the_record_still_proves_itself() {
    let site = Site::new();
    let config = site.path("jetmill.toml");
    let master = site.path("master.key");
    std::fs::write(&master, "ab".repeat(32)).unwrap();
    std::fs::set_permissions(&master, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let text = format!(
        "[audit]\ncheckpoint_interval_seconds = 1\n[encryption]\nmaster_key_file = \"{}\"\n",
        master.display()
    );
    std::fs::write(&config, text).unwrap();
    let config = ["--config", config.to_str().unwrap()];
    let (process, client) = site.serve(&[&config[..], &["--auditor-key", "sk-auditor"]].concat()).await;
    let [ann, bob, other] = [ask(&client, "ann").await, ask(&client, "bob").await, ask(&client, "").await];
    assert!(!is_on_disk(&site.path("data")), "no prompt is in any file");
    let refused = site.run("events", &[&other, "--content"]).await;
    assert!(!refused.status.success(), "without the master key nothing is read");
    let shown = async |id: &str| site.print("events", &[&[id, "--content"], &config[..]].concat()).await;
    assert!(shown(&ann).await.contains(SECRET));
    let before = site.archive_of_everything("before.jmarchive").await;
    let rows = site.rows_at_the_end(&[], 3).await;

    let url = format!("{}/v1/inferences/{ann}/content", client.url());
    let erased = reqwest::Client::new().delete(url).send().await.unwrap();
    assert_eq!(erased.status(), 200);
    let erase = async |arguments: &[&str]| site.run("erase", &[arguments, &config[..]].concat()).await;
    let asked = erase(&["--user", "bob"]).await;
    let told = String::from_utf8([asked.stdout, asked.stderr].concat()).unwrap();
    assert!(!asked.status.success() && told.contains("1 key would be destroyed"), "{told}");
    assert!(shown(&bob).await.contains(SECRET), "nothing was erased yet");
    let done = erase(&["--user", "bob", "--yes"]).await;
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));

    for id in [&ann, &bob] {
        let text = shown(id).await;
        assert!(text.contains("content erased on 2") && !text.contains(SECRET), "{text}");
        let document: Value =
            client.get(&format!("/v1/inferences/{id}")).send().await.unwrap().json().await.unwrap();
        assert_eq!((&document["status"], &document["response"]), (&"completed".into(), &Value::Null));
        let path = format!("/v1/audit/inferences/{id}");
        let life = client.get(&path).bearer_auth("sk-auditor").send().await.unwrap();
        let life: Value = life.json().await.unwrap();
        assert!(life["is_chained"] == true && life["content_erased"].is_string(), "{life}");
        let replayed = site.run("replay", &[&[id.as_str(), "--verify"], &config[..]].concat()).await;
        let told = String::from_utf8(replayed.stderr).unwrap();
        assert!(
            !replayed.status.success() && told.contains("cannot be replayed: content erased on"),
            "{told}"
        );
    }
    assert!(shown(&other).await.contains(SECRET), "others stay");
    let after = site.archive_of_everything("after.jmarchive").await;
    let key = site.print("audit", &["key"]).await;
    for archive in [&before, &after] {
        site.print("audit", &["verify", archive, "--public-key", key.trim()]).await;
    }
    let accesses = site.print("audit", &["accesses"]).await;
    assert!(accesses.matches("content_erased").count() == 2, "{accesses}");
    site.print("rebuild", &[]).await;
    assert_eq!(site.rows(&[]).await, rows, "the tables are as they were");
    drop(process);
}
