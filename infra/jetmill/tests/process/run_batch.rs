//! A file of requests without a server.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::site::{MODEL, Site, model_file};

const NUM_LINES: usize = 50;

/// 50 lines, three of them bad in different ways: no JSON, a route that is not there, a body that the route refuses.
fn input() -> String {
    let mut text = String::new();
    for number in 1..=NUM_LINES {
        let mut line = json!({
            "custom_id": format!("line-{number}"),
            "method": "POST",
            "url": if number % 2 == 0 { "/v1/completions" } else { "/v1/chat/completions" },
            "body": {"model": MODEL, "temperature": 0, "max_tokens": 1 + number % 3, "ignore_eos": true},
        });
        if number % 2 == 0 {
            line["body"]["prompt"] = json!(format!("{number} is"));
        } else {
            line["body"]["messages"] = json!([{"role": "user", "content": format!("Say {number}.")}]);
        }
        match number {
            7 => text.push_str("this is no JSON\n\n"),
            21 => text.push_str(&format!(
                "{}\n",
                json!({"custom_id": "line-21", "method": "POST", "url": "/v1/models", "body": {}})
            )),
            33 => {
                line["body"]["max_tokens"] = json!("many");
                text.push_str(&format!("{line}\n"));
            }
            _ => text.push_str(&format!("{line}\n")),
        }
    }
    text
}

struct Batch {
    site: Site,
    input: PathBuf,
    output: PathBuf,
}

impl Batch {
    fn new() -> Self {
        let site = Site::new();
        let (input_path, output) = (site.path("in.jsonl"), site.path("out.jsonl"));
        std::fs::write(&input_path, input()).unwrap();
        Self { site, input: input_path, output }
    }

    async fn run(&self) -> std::process::Output {
        let model = model_file().display().to_string();
        let (input, output) = (self.input.display().to_string(), self.output.display().to_string());
        let arguments = [
            "--input",
            &input,
            "--output",
            &output,
            "--model",
            &model,
            "--model-name",
            MODEL,
            "--num-threads",
            "1",
            "--kv-cache-mib",
            "256",
            "--max-num-seqs",
            "8",
        ];
        self.site.run("run-batch", &arguments).await
    }

    fn answers(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(&self.output).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// What an answer says, without what differs between two runs.
fn content(answer: &Value) -> Value {
    let choice = &answer["response"]["body"]["choices"][0];
    json!([answer["custom_id"], answer["error"], choice["message"]["content"], choice["text"]])
}

#[tokio::test(flavor = "multi_thread")]
async fn every_line_is_answered_in_order_and_a_second_run_goes_on_where_the_first_ended() {
    let batch = Batch::new();
    let first = batch.run().await;
    let said = String::from_utf8_lossy(&first.stderr).into_owned();
    assert!(first.status.success(), "{said}");
    assert!(said.contains("47 answered, 3 failed, 0 were there already"), "{said}");
    let answers = batch.answers();
    assert_eq!(answers.len(), NUM_LINES);
    for (number, answer) in (1..).zip(&answers) {
        assert_eq!(answer["id"], format!("batch_req_{number}"));
        match number {
            7 => assert_eq!(
                (&answer["custom_id"], &answer["error"]["code"]),
                (&Value::Null, &json!("invalid_line"))
            ),
            21 => assert_eq!(answer["error"]["code"], "invalid_url"),
            33 => {
                assert_eq!(answer["response"]["status_code"], 400);
                assert_eq!(answer["response"]["body"]["error"]["param"], "max_tokens");
            }
            _ => {
                assert_eq!(answer["custom_id"], format!("line-{number}"));
                assert_eq!(answer["response"]["status_code"], 200, "{answer}");
                assert_eq!(answer["response"]["body"]["usage"]["completion_tokens"], 1 + number % 3);
                assert!(!answer["response"]["request_id"].as_str().unwrap().is_empty());
            }
        }
    }

    // As a kill leaves it: some whole lines, and one that is not.
    let text = std::fs::read_to_string(&batch.output).unwrap();
    let kept: usize = text.split_inclusive('\n').take(40).map(str::len).sum();
    std::fs::write(&batch.output, &text[..kept + 30]).unwrap();
    let second = batch.run().await;
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(second.status.success(), "{said}");
    assert!(said.contains("10 answered, 0 failed, 40 were there already"), "{said}");
    let again = std::fs::read_to_string(&batch.output).unwrap();
    assert_eq!(again[..kept], text[..kept]);
    assert_eq!(
        batch.answers().iter().map(content).collect::<Vec<_>>(),
        answers.iter().map(content).collect::<Vec<_>>()
    );
    // The data directory was named, so that the record of both runs is there.
    assert_eq!(batch.site.rows_at_the_end(&[], 57).await.len(), 57);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_output_of_another_input_is_refused_before_the_model_is_loaded() {
    let batch = Batch::new();
    let other = "{\"custom_id\":\"other\"}\n";
    std::fs::write(&batch.output, other).unwrap();
    let refused = batch.run().await;
    assert!(!refused.status.success());
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("line 1 of") && said.contains("does not answer"), "{said}");
    assert_eq!(std::fs::read_to_string(&batch.output).unwrap(), other);
}
