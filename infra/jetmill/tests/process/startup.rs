//! What is wrong from outside is found at start and said in one line.

use std::net::TcpListener;
use std::time::Duration;

use tokio::time::Instant;

use crate::site::{Site, free_address, model_file};

/// Far more than any of these checks takes, and less than anybody's patience.
const SOON: Duration = Duration::from_secs(30);

/// Runs `jetmill serve` with arguments that it cannot work with.
async fn check(site: &Site, arguments: &[&str], expected: &[&str]) {
    let began = Instant::now();
    let listen = free_address().to_string();
    let defaults = [["--log-level", "warn"], ["--listen", listen.as_str()]];
    let mut all: Vec<&str> =
        defaults.into_iter().filter(|[flag, _]| !arguments.contains(flag)).flatten().collect();
    all.extend(arguments);
    let output = site.run("serve", &all).await;
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {said}");
    assert!(began.elapsed() < SOON, "{arguments:?} took {:?}", began.elapsed());
    let lines: Vec<_> = said.lines().collect();
    let [line] = lines.as_slice() else { panic!("{arguments:?} says more than one line:\n{said}") };
    assert!(line.starts_with("jetmill: "), "{arguments:?}: {line}");
    for part in expected {
        assert!(line.contains(part), "{arguments:?} does not say '{part}': {line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_cannot_be_loaded_is_named() {
    let site = Site::new();
    check(&site, &[], &["no model", "--model"]).await;
    check(&site, &["--model", "nowhere.gguf"], &["nowhere.gguf"]).await;
    let bytes = std::fs::read(model_file()).unwrap();
    for num_bytes in [0, 3, 1_000, 1 << 20, bytes.len() / 2, bytes.len() - 1] {
        let name = format!("first-{num_bytes}.gguf");
        std::fs::write(site.path(&name), &bytes[..num_bytes]).unwrap();
        check(&site, &["--model", &name], &[&name]).await;
    }
    std::fs::write(site.path("junk.gguf"), "this is no model, but long enough to be read as one".repeat(100))
        .unwrap();
    check(&site, &["--model", "junk.gguf"], &["junk.gguf"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_setting_that_cannot_work_is_named() {
    let site = Site::new();
    let model = model_file().display().to_string();
    check(&site, &["--model", &model, "--nats-server", "/nowhere/nats-server"], &["/nowhere/nats-server"])
        .await;
    check(&site, &["--model", &model, "--nats", "nats://127.0.0.1:1"], &["broker", "127.0.0.1:1"]).await;

    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    check(&site, &["--model", &model, "--listen", &address], &[&address, "--listen"]).await;

    std::fs::write(site.path("a-file"), "").unwrap();
    check(&site, &["--model", &model, "--data", "a-file/data"], &["a-file/data"]).await;

    std::fs::write(site.path("wrong.toml"), "[api]\n\nlissen = \"127.0.0.1:80\"\n").unwrap();
    check(&site, &["--model", &model, "--config", "wrong.toml"], &["wrong.toml:3", "lissen"]).await;
    check(&site, &["--model", &model, "--config", "missing.toml"], &["missing.toml"]).await;
    check(&site, &["--model", &model, "--log-level", "a=b=c"], &["a=b=c"]).await;
    check(&site, &["--model", &model, "--database", "mysql://db"], &["mysql"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_directory_serves_one_process_at_a_time() {
    let site = Site::new();
    let (_process, client) = site.serve(&[]).await;
    let model = model_file().display().to_string();
    check(&site, &["--model", &model], &["in use by another Jetmill"]).await;
    client.whole("Are you still there?", 4).await;
}
