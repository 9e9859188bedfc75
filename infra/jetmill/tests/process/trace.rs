//! The page that leads an auditor from an answer to its events says what is so.

use std::path::Path;

use crate::site::{Site, model_file, nats_server};
use crate::wait::soon;

const PAGE: &str = include_str!("../../TRACE.md");
/// Stands between the outputs of the blocks.
const MARK: &str = "--- the next block";

/// The blocks of the page in this language.
fn blocks(language: &str) -> Vec<&'static str> {
    let begin = format!("```{language}\n");
    PAGE.split(begin.as_str()).skip(1).filter_map(|rest| rest.split("```").next()).collect()
}

/// The words of each line; those that differ from run to run are all the same.
fn words(text: &str) -> Vec<String> {
    let word = |word: &str| {
        let is_of_this_run = word.contains(|c: char| c.is_ascii_digit()) || word.contains('/');
        if is_of_this_run { "#".to_owned() } else { word.to_owned() }
    };
    // What the model says depends on the processor.
    let is_answer = |line: &&str| !line.trim().starts_with("choice");
    let line = |line: &str| line.split_whitespace().map(word).collect::<Vec<_>>().join(" ");
    text.trim().lines().filter(is_answer).map(line).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_trace_from_an_answer_to_its_events_is_what_the_page_shows() {
    let (commands, outputs) = (blocks("sh"), blocks("text"));
    assert_eq!(commands.len(), outputs.len());
    let site = Site::new();
    let config = site.priced("jetmill.toml", "0.6");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text + "[audit]\ncheckpoint_interval_seconds = 1\n").unwrap();
    let (_process, client) = site.serve(&["--config", &config, "--auditor-key", "sk-auditor"]).await;
    let program = Path::new(env!("CARGO_BIN_EXE_jetmill")).parent().unwrap();
    let mut command = tokio::process::Command::new("bash");
    command.arg("-euc").arg(commands.join(&format!("echo '{MARK}'\n"))).env_clear();
    command.env("PATH", format!("{}:/usr/local/bin:/usr/bin:/bin", program.display()));
    command.env("URL", client.url()).env("DATA", site.path("data")).env("MODEL", model_file());
    command.env("JETMILL_NATS_SERVER", nats_server()).env("JETMILL_NUM_THREADS", "1");
    command.current_dir(site.path("."));
    let output = soon("the commands of the page", command.kill_on_drop(true).output()).await.unwrap();
    let (found, errors) =
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{found}\n{errors}");
    let mut shown = found.split(MARK).zip(outputs);
    assert!(shown.next().is_some_and(|(answer, _)| !answer.trim().is_empty()));
    for (found, expected) in shown {
        assert_eq!(
            words(found),
            words(expected),
            "the page shows\n{expected}\nand this is\n{found}\n{errors}"
        );
    }
}
