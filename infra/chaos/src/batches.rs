//! Batches: a file of questions, handed in once, and the file of their answers.

use std::time::Duration;

use rand::Rng;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::answer::{Answer, Way};
use crate::background::read;
use crate::caller::Caller;
use crate::question::Question;

const NUM_LINES: usize = 12;
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// A batch that is not over by then is lost; it waits for hundreds of streams.
const PATIENCE: Duration = Duration::from_secs(900);
const BOUNDARY: &str = "a-line-that-is-in-no-file";

/// One answer for each line.
pub(crate) async fn ask(caller: &mut Caller, questions: &[Question], key: &str) -> Vec<Answer> {
    let asked: Vec<usize> = (0..NUM_LINES).map(|_| caller.random.random_range(0..questions.len())).collect();
    match rows(caller, questions, &asked, key).await {
        Ok(rows) => asked.iter().enumerate().map(|(line, index)| answer_of(&rows, line, *index)).collect(),
        Err(failure) => vec![Answer::failed(Way::Line, asked[0], failure)],
    }
}

fn answer_of(rows: &[Value], line: usize, index: usize) -> Answer {
    let custom_id = format!("line-{line}");
    let own: Vec<&Value> = rows.iter().filter(|row| row["custom_id"] == custom_id.as_str()).collect();
    let [row] = own.as_slice() else {
        return Answer::failed(Way::Line, index, format!("{} rows for {custom_id}", own.len()));
    };
    let response = &row["response"];
    if response["status_code"] != 200 {
        return Answer::failed(Way::Line, index, row.to_string());
    }
    Answer::whole(Way::Line, index, response["request_id"].as_str().unwrap_or_default(), &response["body"])
}

/// What the output file holds.
async fn rows(
    caller: &mut Caller,
    questions: &[Question],
    asked: &[usize],
    key: &str,
) -> Result<Vec<Value>, String> {
    let lines: String =
        asked.iter().enumerate().map(|(line, index)| line_of(line, &questions[*index])).collect();
    let input = upload(caller, &lines, key).await?;
    let body = json!({
        "input_file_id": input,
        "endpoint": "/v1/chat/completions",
        "completion_window": "24h",
    });
    let created = caller
        .settle(|http, url| http.post(format!("{url}/v1/batches")).header("idempotency-key", key).json(&body))
        .await?;
    let id = read(&created)?["id"].as_str().unwrap_or_default().to_owned();
    let deadline = Instant::now() + PATIENCE;
    let batch = loop {
        let batch = read(&caller.settle(|http, url| http.get(format!("{url}/v1/batches/{id}"))).await?)?;
        match batch["status"].as_str() {
            Some("completed") => break batch,
            Some("validating" | "in_progress" | "finalizing") if Instant::now() < deadline => {
                tokio::time::sleep(LOOK_EVERY).await;
            }
            _ => return Err(format!("a batch: {batch}")),
        }
    };
    let counts = json!({"total": asked.len(), "completed": asked.len(), "failed": 0});
    if batch["request_counts"] != counts {
        return Err(format!("a batch counts wrong: {batch}"));
    }
    let file = batch["output_file_id"].as_str().unwrap_or_default();
    let output = caller.settle(|http, url| http.get(format!("{url}/v1/files/{file}/content"))).await?;
    output.lines().map(read).collect()
}

fn line_of(line: usize, question: &Question) -> String {
    let line = json!({
        "custom_id": format!("line-{line}"),
        "method": "POST",
        "url": "/v1/chat/completions",
        "body": question.unstreamed(),
    });
    format!("{line}\n")
}

async fn upload(caller: &mut Caller, lines: &str, key: &str) -> Result<String, String> {
    let body = format!(
        "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nbatch\r\n\
         --{BOUNDARY}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"in.jsonl\"\r\n\r\n\
         {lines}\r\n--{BOUNDARY}--\r\n"
    );
    let content_type = format!("multipart/form-data; boundary={BOUNDARY}");
    let file = caller
        .settle(|http, url| {
            let request = http.post(format!("{url}/v1/files")).header("idempotency-key", key);
            request.header("content-type", &content_type).body(body.clone())
        })
        .await?;
    Ok(read(&file)?["id"].as_str().unwrap_or_default().to_owned())
}
