//! An auditor with an archive and a public key, and nothing else.

use std::path::Path;

use serde_json::Value;

use crate::client::chat;
use crate::site::{Site, fetched};
use crate::wait::until;

impl Site {
    /// An archive of everything, once everything is signed.
    pub(crate) async fn archive_of_everything(&self, name: &str) -> String {
        let path = self.path(name).display().to_string();
        until("everything is signed", async || {
            let output = self.run("audit", &["export", &path]).await;
            let text = String::from_utf8(output.stdout).unwrap();
            (output.status.success() && !text.contains("not signed")).then_some(())
        })
        .await;
        path
    }

    /// Every fact in the log follows from those before and is signed. Needs a running checkpointer.
    pub(crate) async fn assert_proven(&self) {
        let archive = self.archive_of_everything("proven.jmarchive").await;
        let key = self.print("audit", &["key"]).await;
        self.print("audit", &["verify", &archive, "--public-key", key.trim()]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_verifies_without_the_log_and_an_edited_one_does_not() {
    let site = Site::new();
    let config = site.path("jetmill.toml");
    std::fs::write(&config, "[audit]\ncheckpoint_interval_seconds = 1\nmax_num_checkpoint_records = 3\n")
        .unwrap();
    let (process, client) =
        site.serve(&["--config", config.to_str().unwrap(), "--auditor-key", "sk-auditor"]).await;
    let mut ids = Vec::new();
    for question in ["Hello!", "What is a lighthouse?"] {
        ids.push(client.whole(question, 8).await.0);
    }
    // Content that is too large for a message is kept elsewhere, and is covered all the same.
    let large = chat(&"lighthouse ".repeat(30_000), 8, false);
    assert_eq!(client.post(&large).send().await.unwrap().status(), 400, "it is longer than the context");
    let facts = site.facts(&[], &ids[0]).await;
    assert!(
        facts[0].get("previous_hash").is_none()
            && facts[1..].iter().all(|fact| fact["previous_hash"].is_string())
    );

    let archive = site.archive_of_everything("whole.jmarchive").await;
    let key = site.print("audit", &["key"]).await.trim().to_owned();
    let path = format!("/v1/audit/inferences/{}", ids[0]);
    let life = client.get(&path).bearer_auth("sk-auditor").send().await.unwrap();
    let life: Value = life.json().await.unwrap();
    assert_eq!(life["is_chained"], true, "{life}");
    assert!(life["facts"].as_array().unwrap().iter().all(|fact| fact["proof"]["path"].is_array()), "{life}");
    let accesses = site.print("audit", &["accesses"]).await;
    assert!(accesses.contains(&ids[0]) && accesses.contains("audit export"), "{accesses}");
    let newest: Value =
        serde_json::from_str(&site.print("audit", &["checkpoint", "--since", "1"]).await).unwrap();
    assert!(!newest["consistency_path"].as_array().unwrap().is_empty(), "{newest}");
    let stream = client.stream("Tell me a story.", 60).await;
    drop(stream);
    site.kill_everything().await;
    drop(process);

    let bare = tempfile::tempdir().unwrap();
    let data = bare.path().join("nothing").display().to_string();
    let verify = async |archive: &Path, key: &str| {
        let arguments = ["verify", archive.to_str().unwrap(), "--public-key", key, "--data", &data];
        let output = site.run("audit", &arguments).await;
        (output.status.success(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
    };
    let (is_verified, text) = verify(archive.as_ref(), &key).await;
    assert!(is_verified && text.contains("of 3 inferences"), "{text}");
    let bytes = std::fs::read(&archive).unwrap();
    let edited = site.path("edited.jmarchive");
    std::fs::write(&edited, &bytes[..bytes.len() / 2]).unwrap();
    let (is_verified, text) = verify(&edited, &key).await;
    assert!(!is_verified && text.contains("damaged at sequence") && text.contains("cut off"), "{text}");
    let (is_verified, text) = verify(archive.as_ref(), &"7".repeat(64)).await;
    assert!(!is_verified && !text.contains("panicked"), "{text}");
    let (is_verified, text) = verify(&fetched("bin/nats-server"), &key).await;
    assert!(!is_verified && text.contains("no archive"), "{text}");
    assert!(!Path::new(&data).exists(), "verifying touches nothing");

    // What was under way at the death is signed by the next process, in the same tree.
    let (_process, _client) = site.serve(&["--config", config.to_str().unwrap()]).await;
    let archive = site.archive_of_everything("later.jmarchive").await;
    let (is_verified, text) = verify(archive.as_ref(), &key).await;
    assert!(is_verified && text.contains("of 4 inferences"), "{text}");
}
