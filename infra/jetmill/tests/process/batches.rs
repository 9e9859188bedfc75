//! Files and batches over HTTP, and what is left of a batch when everything dies.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::client::Client;
use crate::site::{MODEL, Site};
use crate::wait::{soon, until};

fn line(number: usize, num_tokens: u32) -> Value {
    json!({
        "custom_id": format!("line-{number}"),
        "method": "POST",
        "url": "/v1/chat/completions",
        "body": {
            "model": MODEL,
            "messages": [{"role": "user", "content": format!("Say {number}.")}],
            "temperature": 0,
            "max_tokens": num_tokens,
            "ignore_eos": true,
        },
    })
}

fn text_of(lines: &[Value]) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect()
}

impl Client {
    async fn upload(&self, text: &str) -> String {
        const BOUNDARY: &str = "a-line-that-is-in-no-file";
        let body = format!(
            "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nbatch\r\n\
             --{BOUNDARY}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"in.jsonl\"\r\n\r\n\
             {text}\r\n--{BOUNDARY}--\r\n"
        );
        let content_type = format!("multipart/form-data; boundary={BOUNDARY}");
        answer(self.post_text("/v1/files", &content_type, body)).await["id"].as_str().unwrap().to_owned()
    }

    async fn begin_batch(&self, text: &str) -> String {
        let input = self.upload(text).await;
        let body = json!({
            "input_file_id": input,
            "endpoint": "/v1/chat/completions",
            "completion_window": "24h",
        });
        let batch = answer(self.post_to("/v1/batches", &body)).await;
        assert_eq!(batch["status"], "validating");
        batch["id"].as_str().unwrap().to_owned()
    }

    async fn batch(&self, id: &str) -> Value {
        answer(self.get(&format!("/v1/batches/{id}"))).await
    }

    async fn ended_batch(&self, id: &str) -> Value {
        until("the batch is over", async || {
            let batch = self.batch(id).await;
            let status = batch["status"].as_str().unwrap();
            ["completed", "failed", "expired", "cancelled"].contains(&status).then_some(batch)
        })
        .await
    }

    async fn rows_of(&self, file: &Value) -> Vec<Value> {
        let Some(file) = file.as_str() else { return Vec::new() };
        let response = soon("a file", self.get(&format!("/v1/files/{file}/content")).send()).await.unwrap();
        let text = soon("a file's bytes", response.text()).await.unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

async fn answer(request: reqwest::RequestBuilder) -> Value {
    let response = soon("an answer", request.send()).await.unwrap();
    let status = response.status();
    let text = soon("an answer's body", response.text()).await.unwrap();
    assert_eq!(status, 200, "{text}");
    serde_json::from_str(&text).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_tells_what_its_route_tells() {
    let site = Site::new();
    let (_process, client) = site.serve(&["--max-num-seqs", "8"]).await;
    let mut asked = line(1, 3);
    let more =
        json!({"logprobs": true, "top_logprobs": 2, "prompt_logprobs": 1, "return_token_ids": true, "n": 2});
    asked["body"].as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let id = client.begin_batch(&text_of(&[asked.clone()])).await;
    let batch = client.ended_batch(&id).await;
    let rows = client.rows_of(&batch["output_file_id"]).await;
    let alone = answer(client.post_to("/v1/chat/completions", &asked["body"])).await;
    let told = &rows[0]["response"]["body"];
    for field in ["choices", "prompt_logprobs", "prompt_token_ids", "object", "model"] {
        assert_eq!(told[field], alone[field], "{field} in {told}");
    }
    assert_eq!(told["choices"][1]["logprobs"]["content"].as_array().unwrap().len(), 3);
}

fn ids_of(rows: &[Value]) -> Vec<&str> {
    rows.iter().map(|row| row["custom_id"].as_str().unwrap_or("-")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_line_has_its_row_and_a_bad_one_is_not_the_end() {
    let site = Site::new();
    let (_process, client) = site.serve(&["--max-num-seqs", "8"]).await;
    let mut lines: Vec<Value> = (1..=12).map(|number| line(number, 3)).collect();
    lines[3]["body"]["max_tokens"] = json!("many");
    lines[5]["url"] = json!("/v1/completions");
    lines[7]["custom_id"] = json!("line-2");
    lines[8]["body"]["n"] = json!(2);
    lines[9]["method"] = json!("GET");
    let mut text = text_of(&lines[..6]);
    text.push_str("this is no JSON\n\n");
    text.push_str(&text_of(&lines[6..]));
    let id = client.begin_batch(&text).await;
    let batch = client.ended_batch(&id).await;
    assert_eq!(batch["status"], "completed", "{batch}");
    assert_eq!(batch["request_counts"], json!({"total": 13, "completed": 8, "failed": 5}));
    for time in ["created_at", "in_progress_at", "finalizing_at", "completed_at", "expires_at"] {
        assert!(batch[time].is_u64(), "{time} in {batch}");
    }
    let answered = client.rows_of(&batch["output_file_id"]).await;
    let expected = ["line-1", "line-2", "line-3", "line-5", "line-7", "line-9", "line-11", "line-12"];
    assert_eq!(ids_of(&answered), expected);
    let (_, alone) = client.whole("Say 3.", 3).await;
    for (row, custom_id) in answered.iter().zip(expected) {
        let response = &row["response"];
        assert_eq!((&response["status_code"], &row["error"]), (&json!(200), &Value::Null));
        let num_choices = if custom_id == "line-9" { 2 } else { 1 };
        assert_eq!(response["body"]["choices"].as_array().unwrap().len(), num_choices);
        assert_eq!(response["body"]["usage"]["completion_tokens"], 3 * num_choices);
        let request_id = response["request_id"].as_str().unwrap();
        assert_eq!(response["body"]["id"], format!("chatcmpl-{request_id}"));
    }
    // What a client would have been told, but for what differs between two requests.
    let mut batched = answered[2]["response"]["body"].clone();
    for varying in ["id", "created", "usage"] {
        batched[varying] = alone[varying].clone();
    }
    assert_eq!(batched, alone);
    let failed = client.rows_of(&batch["error_file_id"]).await;
    assert_eq!(ids_of(&failed), ["line-4", "line-6", "-", "line-2", "line-10"]);
    let codes: Vec<&str> = failed
        .iter()
        .map(|row| {
            row["error"]["code"].as_str().or(row["response"]["body"]["error"]["param"].as_str()).unwrap()
        })
        .collect();
    assert_eq!(
        codes,
        ["max_tokens", "mismatched_url", "invalid_line", "duplicate_custom_id", "invalid_method"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_survives_the_death_of_everything_and_answers_each_line_once() {
    const NUM_LINES: usize = 120;
    let site = Site::new();
    let (process, client) = site.serve(&["--max-num-seqs", "4"]).await;
    let lines: Vec<Value> = (1..=NUM_LINES).map(|number| line(number, 8)).collect();
    let id = client.begin_batch(&text_of(&lines)).await;
    until("a part is answered", async || {
        let counts = client.batch(&id).await["request_counts"].clone();
        (counts["completed"].as_u64().unwrap() >= 20).then_some(())
    })
    .await;
    site.kill_everything().await;
    drop((process, client));

    let (process, client) = site.serve(&["--max-num-seqs", "4"]).await;
    let before = client.batch(&id).await;
    assert_eq!(before["status"], "in_progress", "{before}");
    assert!(before["request_counts"]["completed"].as_u64().unwrap() >= 20, "{before}");
    until("more is answered", async || {
        let counts = client.batch(&id).await["request_counts"].clone();
        (counts["completed"].as_u64().unwrap() >= 60).then_some(())
    })
    .await;
    site.kill_everything().await;
    drop((process, client));

    let (_process, client) = site.serve(&["--max-num-seqs", "4"]).await;
    let batch = client.ended_batch(&id).await;
    assert_eq!(batch["status"], "completed", "{batch}");
    assert_eq!(batch["request_counts"], json!({"total": NUM_LINES, "completed": NUM_LINES, "failed": 0}));
    assert_eq!(batch["error_file_id"], Value::Null);
    let rows = client.rows_of(&batch["output_file_id"]).await;
    let expected: Vec<String> = (1..=NUM_LINES).map(|number| format!("line-{number}")).collect();
    assert_eq!(ids_of(&rows), expected);
    let requests: BTreeSet<&str> =
        rows.iter().map(|row| row["response"]["request_id"].as_str().unwrap()).collect();
    assert_eq!(requests.len(), NUM_LINES);
    // Nothing was asked for twice: the record holds one inference for each line.
    let recorded = site.rows_at_the_end(&[], NUM_LINES).await;
    assert_eq!(recorded.len(), NUM_LINES);
    assert!(recorded.iter().all(|row| row["status"] == "completed"), "{recorded:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_batch_keeps_what_has_ended_and_names_the_rest() {
    const NUM_LINES: usize = 60;
    let site = Site::new();
    let (_process, client) = site.serve(&["--max-num-seqs", "2"]).await;
    let lines: Vec<Value> = (1..=NUM_LINES).map(|number| line(number, 20)).collect();
    let id = client.begin_batch(&text_of(&lines)).await;
    until("a part is answered", async || {
        let counts = client.batch(&id).await["request_counts"].clone();
        (counts["completed"].as_u64().unwrap() >= 3).then_some(())
    })
    .await;
    let url = format!("/v1/batches/{id}/cancel");
    let cancelling = answer(client.post_to(&url, &Value::Null)).await;
    assert_eq!(cancelling["status"], "cancelling");
    let batch = client.ended_batch(&id).await;
    assert_eq!(batch["status"], "cancelled", "{batch}");
    assert!(batch["cancelling_at"].is_u64() && batch["cancelled_at"].is_u64(), "{batch}");
    let again = soon("a refusal", client.post_to(&url, &Value::Null).send()).await.unwrap();
    assert_eq!(again.status(), 409);
    let answered = client.rows_of(&batch["output_file_id"]).await;
    let failed = client.rows_of(&batch["error_file_id"]).await;
    assert!(answered.len() >= 3 && !failed.is_empty());
    let mut ids: Vec<&str> = ids_of(&answered).into_iter().chain(ids_of(&failed)).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!((ids.len(), answered.len() + failed.len()), (NUM_LINES, NUM_LINES));
    assert!(failed.iter().all(|row| row["error"]["code"] == "batch_cancelled"), "{failed:?}");
    site.assert_proven().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_submits_watches_and_fetches() {
    let site = Site::new();
    let (_process, client) = site.serve(&["--max-num-seqs", "4"]).await;
    let url = client.url();
    let input = site.path("in.jsonl");
    let mut lines: Vec<Value> = (1..=6).map(|number| line(number, 2)).collect();
    lines[4]["body"]["model"] = json!("nobody");
    std::fs::write(&input, text_of(&lines)).unwrap();
    let input = input.display().to_string();
    let batch = async |arguments: &[&str]| {
        let output = site.run("batch", &[arguments, &["--url", &url]].concat()).await;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.success(), said, errors)
    };
    let (is_ok, said, errors) = batch(&["submit", &input]).await;
    assert!(is_ok, "{errors}");
    let id = said.trim().to_owned();
    let (is_ok, said, errors) = batch(&["watch", &id]).await;
    assert!(is_ok && said.contains("is completed: 5 answered, 1 failed"), "{said}{errors}");
    let (output, failed) = (site.path("out.jsonl"), site.path("failed.jsonl"));
    let (output_path, failed_path) = (output.display().to_string(), failed.display().to_string());
    let (is_ok, _, errors) = batch(&["fetch", &id, "--output", &output_path, "--errors", &failed_path]).await;
    assert!(is_ok, "{errors}");
    assert_eq!(std::fs::read_to_string(&output).unwrap().lines().count(), 5);
    let failed: Value = serde_json::from_str(std::fs::read_to_string(&failed).unwrap().trim()).unwrap();
    assert_eq!(failed["custom_id"], "line-5");
    assert_eq!(failed["response"]["status_code"], 404);
    let (is_ok, _, errors) = batch(&["cancel", &id]).await;
    assert!(!is_ok && errors.contains("cannot be cancelled"), "{errors}");
    let (is_ok, _, errors) = batch(&["watch", "batch_unknown"]).await;
    assert!(!is_ok && errors.contains("no such batch"), "{errors}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fetch_that_breaks_off_leaves_what_was_there() {
    let site = Site::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    // A server that dies within a file.
    tokio::spawn(async move {
        let batch = r#"{"id": "b", "status": "completed", "output_file_id": "f",
            "request_counts": {"total": 9, "completed": 9, "failed": 0}}"#;
        loop {
            let (mut connection, _) = listener.accept().await.unwrap();
            let mut request = [0; 4096];
            let num_bytes = connection.read(&mut request).await.unwrap();
            let is_file = String::from_utf8_lossy(&request[..num_bytes]).contains("/content");
            let (length, body) = if is_file { (1000, "{\"half\"") } else { (batch.len(), batch) };
            let answer =
                format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}");
            connection.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    let path = site.path("out.jsonl");
    std::fs::write(&path, "of yesterday").unwrap();
    let shown = path.display().to_string();
    let output = site.run("batch", &["fetch", "b", "--output", &shown, "--url", &url]).await;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("broke off"), "{said}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "of yesterday");
}

#[tokio::test(flavor = "multi_thread")]
async fn erasing_a_person_names_the_files_that_still_tell_of_them() {
    let site = Site::new();
    let (_process, client) = site.serve(&["--max-num-seqs", "8"]).await;
    let mut batches = Vec::new();
    for user in ["ann", "bob"] {
        let mut asked = line(1, 3);
        asked["body"]["user"] = user.into();
        let id = client.begin_batch(&text_of(&[asked])).await;
        batches.push(client.ended_batch(&id).await);
    }
    let told = site.print("erase", &["--user", "ann", "--yes"]).await;
    for file in ["input_file_id", "output_file_id"] {
        let [of_ann, of_bob] = [0, 1].map(|number: usize| batches[number][file].as_str().unwrap());
        assert!(told.contains(of_ann) && !told.contains(of_bob), "{file} of {batches:?} in {told}");
    }
    let told = site.print("erase", &["--user", "ann", "--yes"]).await;
    assert!(told.contains("0 keys destroyed") && !told.contains("file-"), "{told}");
}
