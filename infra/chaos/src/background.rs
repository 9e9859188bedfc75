//! Inferences that nobody waits for: asked once, looked at until they have ended.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::answer::{Answer, Way};
use crate::caller::Caller;
use crate::question::Question;

const LOOK_EVERY: Duration = Duration::from_secs(1);
/// What is not answered by then is lost; hundreds of streams may go before.
const PATIENCE: Duration = Duration::from_secs(600);

pub(crate) async fn ask(caller: &mut Caller, index: usize, question: &Question, key: &str) -> Answer {
    match answer(caller, question, key).await {
        Ok((id, completion)) => Answer::whole(Way::Background, index, &id, &completion),
        Err(failure) => Answer::failed(Way::Background, index, failure),
    }
}

async fn answer(caller: &mut Caller, question: &Question, key: &str) -> Result<(String, Value), String> {
    let body = json!({"endpoint": "/v1/chat/completions", "body": question.unstreamed()});
    let accepted = caller
        .settle(|http, url| {
            http.post(format!("{url}/v1/inferences")).header("idempotency-key", key).json(&body)
        })
        .await?;
    let id = read(&accepted)?["id"].as_str().unwrap_or_default().to_owned();
    let deadline = Instant::now() + PATIENCE;
    loop {
        let document =
            read(&caller.settle(|http, url| http.get(format!("{url}/v1/inferences/{id}"))).await?)?;
        match document["status"].as_str() {
            Some("completed") => return Ok((id, document["response"].clone())),
            Some("queued" | "in_progress") if Instant::now() < deadline => {
                tokio::time::sleep(LOOK_EVERY).await;
            }
            _ => return Err(format!("a background inference: {document}")),
        }
    }
}

pub(crate) fn read(text: &str) -> Result<Value, String> {
    serde_json::from_str(text).map_err(|error| format!("{error} in {text}"))
}
