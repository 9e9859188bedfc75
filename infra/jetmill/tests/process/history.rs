//! A year later: the log has forgotten, the archive has not, and nobody notices.

use std::path::PathBuf;

use serde_json::Value;

use crate::client::{Client, chat};
use crate::process::Process;
use crate::site::{MODEL, Site, model_file};
use crate::wait::until;

impl Site {
    fn archive(&self) -> PathBuf {
        self.path("archive")
    }

    /// `jetmill serve` with an archive of small segments, whose log keeps what is archived for so long; 0: for ever.
    async fn serve_archiving(&self, log_max_age_seconds: u64) -> (Process, Client) {
        let config = self.path("jetmill.toml");
        let archive = self.archive();
        let text = format!(
            "[audit]\ncheckpoint_interval_seconds = 1\nmax_num_checkpoint_records = 4\n\
             [retention]\nlog_max_age_seconds = {log_max_age_seconds}\n\
             [archive]\ndirectory = {archive:?}\nmax_num_segment_records = 6\nmax_segment_age_seconds = 0\n"
        );
        std::fs::write(&config, text).unwrap();
        self.serve(&["--config", config.to_str().unwrap(), "--auditor-key", "sk-auditor"]).await
    }

    /// Waits until so many facts are archived, or more.
    async fn until_archived(&self, client: &Client, num_facts: usize) {
        until("everything is archived", async || {
            let archived = client.metric("jetmill_archive_last_sequence").await;
            (archived >= num_facts as f64).then_some(())
        })
        .await;
    }

    /// What each command says.
    async fn answers(&self, ids: &[String]) -> Vec<String> {
        let archive = self.archive().display().to_string();
        let with_archive = ["--archive", archive.as_str()];
        let mut answers = Vec::new();
        for id in ids {
            answers.push(self.print("events", &[&[id, "--json"], &with_archive[..]].concat()).await);
            answers
                .push(self.print("events", &[&[id.as_str(), "--content"], &with_archive[..]].concat()).await);
        }
        answers.push(self.print("inferences", &["--json"]).await);
        self.print("rebuild", &with_archive).await;
        answers.push(self.print("inferences", &["--json"]).await);
        let exported = self.path("exported.jmarchive").display().to_string();
        answers.push(self.print("audit", &[&["export", &exported], &with_archive[..]].concat()).await);
        let key = self.print("audit", &["key"]).await;
        answers.push(self.print("audit", &["verify", &exported, "--public-key", key.trim()]).await);
        answers
    }

    async fn verify_archive(&self) -> (bool, String) {
        let key = self.print("audit", &["key"]).await;
        let archive = self.archive().display().to_string();
        let output = self.run("audit", &["verify", &archive, "--public-key", key.trim()]).await;
        (output.status.success(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
    }

    fn segments(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.archive()).unwrap();
        let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        files.sort_unstable();
        files
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_is_full_for_want_of_an_archive_says_why_and_goes_on() {
    let site = Site::new();
    let config = site.path("jetmill.toml");
    let archive = site.archive();
    std::fs::write(&archive, "this is no directory").unwrap();
    let text = format!(
        "[audit]\ncheckpoint_interval_seconds = 1\n[retention]\nlog_max_bytes = 600000\n\
         [archive]\ndirectory = {archive:?}\nlog_min_age_seconds = 0\n"
    );
    std::fs::write(&config, text).unwrap();
    let (_process, client) = site.serve(&["--config", config.to_str().unwrap()]).await;
    // Longer than the model's context, and so answered at once.
    let large = chat(&"lighthouse ".repeat(10_000), 8, false);
    let ask = async || client.post(&large).send().await.unwrap().status().as_u16();
    let mut num_accepted = 0;
    while ask().await == 400 {
        num_accepted += 1;
    }
    assert!((2..7).contains(&num_accepted), "{num_accepted}");
    assert_eq!(ask().await, 503, "the log is full");
    until("it says why", async || {
        let is_failing = client.metric("jetmill_archive_is_failing").await == 1.0;
        let log = std::fs::read_to_string(site.path("serve.log")).unwrap();
        (is_failing && log.contains("the archive cannot be written, and the log has hardly any room left"))
            .then_some(())
    })
    .await;
    assert_eq!(client.metric("jetmill_log_first_sequence").await, 1.0, "nothing is lost");

    std::fs::remove_file(&archive).unwrap();
    until("there is room again", async || (ask().await == 400).then_some(())).await;
    assert_eq!(client.metric("jetmill_archive_is_failing").await, 0.0);
    let (is_verified, text) = site.verify_archive().await;
    assert!(is_verified, "{text}");
}

async fn life(client: &Client, id: &str) -> Value {
    let path = format!("/v1/audit/inferences/{id}");
    client.get(&path).bearer_auth("sk-auditor").send().await.unwrap().json().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_left_the_log_is_answered_as_before() {
    let site = Site::new();
    let (process, client) = site.serve_archiving(0).await;
    let mut ids = Vec::new();
    for question in ["Hello!", "What is a lighthouse?"] {
        ids.push(client.whole(question, 8).await.0);
    }
    // Content that is too large for a message leaves the object store with its fact.
    let large = client.post(&chat(&"lighthouse ".repeat(30_000), 8, false)).send().await.unwrap();
    assert_eq!(large.status(), 400, "it is longer than the context");
    ids.push(large.headers()["x-jetmill-inference-id"].to_str().unwrap().to_owned());
    let mut num_facts = 0;
    for id in &ids {
        num_facts += site.facts(&[], id).await.len();
    }
    site.until_archived(&client, num_facts).await;
    let before = site.answers(&ids).await;
    let life_before = life(&client, &ids[0]).await;
    site.kill_everything().await;
    drop(process);

    let (process, client) = site.serve_archiving(1).await;
    until("the log is empty", async || {
        (client.metric("jetmill_log_first_sequence").await > num_facts as f64).then_some(())
    })
    .await;
    assert_eq!(client.metric("jetmill_archive_is_failing").await, 0.0);
    let after = site.answers(&ids).await;
    for (after, before) in after.iter().zip(&before) {
        assert_eq!(after, before);
    }
    assert_eq!(life(&client, &ids[0]).await, life_before);
    let status = client.get(&format!("/v1/inferences/{}", ids[0])).send().await.unwrap().status();
    assert_eq!(status, 200, "it is old, and not forgotten");

    let (is_verified, text) = site.verify_archive().await;
    assert!(is_verified && text.contains(&format!("{num_facts} facts")), "{text}");
    let archive = site.archive().display().to_string();
    let model = model_file().display().to_string();
    let fixed = ["--model", &model, "--model-name", MODEL, "--num-threads", "1", "--kv-cache-mib", "256"];
    let arguments = [&fixed[..], &["--from", "0", "--sample", "2", "--archive", &archive]].concat();
    let replayed = site.print("replay", &arguments).await;
    let is_whole = replayed.contains("1 of 1 match, 1 had nothing to run again");
    assert!(is_whole || replayed.contains("2 of 2 match"), "{replayed}");

    let blind = site.run("events", &[&ids[0]]).await;
    let text = String::from_utf8_lossy(&blind.stderr).into_owned();
    assert!(!blind.status.success() && text.contains("no directory of the archive"), "{text}");
    let lost = site.segments().remove(0);
    let name = lost.file_name().unwrap().to_str().unwrap().to_owned();
    assert!(site.print("audit", &["segments"]).await.lines().next().unwrap().contains(&name));
    std::fs::rename(&lost, site.path("hidden")).unwrap();
    let missing = site.run("events", &[&ids[0], "--archive", &archive]).await;
    let text = String::from_utf8_lossy(&missing.stderr).into_owned();
    assert!(!missing.status.success() && text.contains(&name), "{text}");
    let (is_verified, text) = site.verify_archive().await;
    assert!(!is_verified && text.contains("segment-0000000001"), "{text}");
    drop(process);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archivist_that_is_killed_loses_nothing_and_doubles_nothing() {
    let site = Site::new();
    let mut ids = Vec::new();
    for round in 0..4 {
        let (process, client) = site.serve_archiving(0).await;
        for number in 0..3 {
            ids.push(client.whole(&format!("Question {number} of round {round}"), 2).await.0);
        }
        // It is killed wherever it is with these facts.
        site.kill_everything().await;
        drop(process);
    }
    let (_process, client) = site.serve_archiving(0).await;
    let mut num_facts = 0;
    for id in &ids {
        num_facts += site.facts(&[], id).await.len();
    }
    site.until_archived(&client, num_facts).await;
    let (is_verified, text) = site.verify_archive().await;
    assert!(is_verified && text.contains(&format!("{num_facts} facts")), "{text}");
    let num_segments = client.metric("jetmill_archive_segments").await;
    assert_eq!(site.segments().len() as f64, num_segments, "{:?}", site.segments());
}
