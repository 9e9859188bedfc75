//! One request through everything, and what is on record afterwards.

use serde_json::{Value, json};

use crate::client::text_of;
use crate::record::{end_of, kind_of};
use crate::site::{MODEL, Site};

const LIFE: [&str; 5] = ["requested", "admitted", "assigned", "started", "ended"];
const QUESTION: &str = "Name the planets of the solar system.";

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_the_same_streamed_whole_and_on_record() {
    let site = Site::new();
    let (mut process, client) = site.serve(&["--log-format", "json"]).await;

    let (whole_id, whole) = client.whole(QUESTION, 24).await;
    let streamed = client.stream(QUESTION, 24).await.read_all().await;
    assert!(!text_of(&whole).is_empty());
    assert_eq!(streamed.text, text_of(&whole));
    assert_eq!(whole["choices"][0]["finish_reason"], "length");
    for usage in [&whole["usage"], &streamed.usage] {
        assert_eq!(usage["completion_tokens"], 24);
        let num_prompt_tokens = usage["prompt_tokens"].as_u64().unwrap();
        assert!(num_prompt_tokens > 10, "{usage}");
        assert_eq!(usage["total_tokens"], num_prompt_tokens + 24);
    }

    for id in [&whole_id, &streamed.id] {
        let facts = site.facts(&[], id).await;
        assert_eq!(facts.iter().map(kind_of).collect::<Vec<_>>(), LIFE);
        assert_eq!(facts[0]["requested"]["model"], MODEL);
        assert!(facts[0]["requested"]["prompt"].to_string().contains(QUESTION));
        let fingerprint = &facts[3]["started"]["engine_fingerprint"];
        assert_eq!(fingerprint, &whole["system_fingerprint"]);
        assert!(fingerprint.as_str().unwrap().contains("-q4_1+-"), "{fingerprint}");
        let end = end_of(&facts);
        assert_eq!(end["outcome"], "OUTCOME_COMPLETED");
        assert_eq!(end["choices"][0]["text"], streamed.text);
        assert_eq!(end["choices"][0]["token_ids"].as_array().unwrap().len(), 24);
        assert_lines_tell_the_life(&site.print("events", &[id]).await);
    }

    let rows = site.rows_at_the_end(&[], 2).await;
    assert_eq!(rows.iter().map(|row| &row["id"]).collect::<Vec<_>>(), [&streamed.id, &whole_id]);
    for row in &rows {
        assert_eq!(row["status"], "completed");
        assert_eq!(row["num_completion_tokens"], 24);
    }
    site.print("rebuild", &[]).await;
    assert_eq!(site.rows(&[]).await, rows);

    process.terminate();
    assert!(process.ended().await.success(), "{}", process.log());
    assert_logs_are_json(&process.log());
}

/// One numbered line a fact, in order, without content: sequence, time since the one before, kind. Details stand below it.
fn assert_lines_tell_the_life(text: &str) {
    let words = text.lines().map(|line| line.split_whitespace().collect::<Vec<&str>>());
    let lines: Vec<Vec<&str>> = words.filter(|words| words[0].parse::<u64>().is_ok()).collect();
    assert_eq!(lines[0][1], LIFE[0], "{text}");
    let kinds: Vec<_> = lines.iter().skip(1).map(|words| words[3]).collect();
    assert_eq!(kinds, LIFE[1..], "{text}");
    for words in lines.iter().skip(1) {
        let millis: f64 = words[1].strip_prefix('+').unwrap().parse().unwrap();
        assert!(millis >= 0.0 && words[2] == "ms", "{text}");
    }
    assert!(!text.contains(QUESTION), "{text}");
}

fn assert_logs_are_json(log: &str) {
    assert!(!log.is_empty());
    for line in log.lines() {
        let parsed: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert_ne!(parsed["level"], json!(null), "{line}");
    }
}
