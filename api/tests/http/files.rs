//! Files and batches as a node takes them in and shows them; who answers batches is tested elsewhere.

use bus::{EventLog, ReadFrom, StreamName};
use futures_util::{StreamExt as _, stream};
use reqwest::{Body, Response};
use schemas::TenantId;
use schemas::v1::job_envelope::Fact;
use serde_json::{Value, json};

use crate::backend::silence;
use crate::node::Node;

const BOUNDARY: &str = "a-line-that-is-in-no-file";

fn form(fields: &[(&str, &str)]) -> String {
    let mut form = String::new();
    for (name, content) in fields {
        let filename = if *name == "file" { "; filename=\"in.jsonl\"" } else { "" };
        form.push_str(&format!(
            "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"{filename}\r\n\r\n{content}\r\n"
        ));
    }
    form + &format!("--{BOUNDARY}--\r\n")
}

impl Node {
    async fn upload(&self, body: impl Into<Body>) -> Response {
        let content_type = format!("multipart/form-data; boundary={BOUNDARY}");
        let request = self.client.post(self.url("/v1/files")).header("content-type", content_type);
        request.body(body).send().await.unwrap()
    }

    async fn uploaded(&self, fields: &[(&str, &str)]) -> Value {
        let response = self.upload(form(fields)).await;
        assert_eq!(response.status(), 200);
        response.json().await.unwrap()
    }

    async fn num_chunks(&self) -> usize {
        let records = self.log.read(StreamName::Files, Vec::new(), ReadFrom::Start, false).await.unwrap();
        records.count().await
    }

    /// Waits for what the node does after its answer.
    async fn chunks_go(&self) {
        while self.num_chunks().await > 0 {
            tokio::task::yield_now().await;
        }
    }

    async fn status(&self, path: &str) -> u16 {
        self.get(path).await.status().as_u16()
    }
}

async fn check_refused(node: &Node, body: impl Into<Body>, status: u16, expected: &str) {
    let response = node.upload(body).await;
    assert_eq!(response.status(), status, "{expected}");
    let error: Value = response.json().await.unwrap();
    let error = &error["error"];
    assert!(error["param"] == expected || error["code"] == expected, "{error}, not {expected}");
    node.chunks_go().await;
}

#[tokio::test]
async fn a_file_in_bad_form_is_refused_and_leaves_nothing() {
    let node = Node::start(silence()).await;
    check_refused(&node, form(&[("file", "x")]), 400, "purpose").await;
    check_refused(&node, form(&[("purpose", "batch")]), 400, "file").await;
    check_refused(&node, form(&[("file", "x"), ("purpose", "fun")]), 400, "purpose").await;
    check_refused(&node, form(&[("file", "x"), ("file", "y"), ("purpose", "batch")]), 400, "file").await;
    check_refused(&node, form(&[("file", "x"), ("purpose", "batch"), ("more", "z")]), 400, "more").await;
    check_refused(&node, form(&[("purpose", &"x".repeat(2_000))]), 400, "invalid_form").await;
    let whole = form(&[("purpose", "batch"), ("file", "0123456789")]);
    check_refused(&node, whole[..whole.len() - 20].to_owned(), 400, "invalid_form").await;
    let expiry = [("purpose", "batch"), ("file", "x"), ("expires_after[seconds]", "5")];
    check_refused(&node, form(&expiry), 400, "expires_after[seconds]").await;
    let response = node.post("/v1/files", &json!({"purpose": "batch"})).await;
    assert_eq!(response.status(), 400);
}

#[tokio::test]
async fn a_file_over_the_limit_is_refused_while_it_streams_in() {
    let limit = 1_u64 << 20;
    let node = Node::start_with(silence(), |config| config.limits.max_file_bytes = limit).await;
    let fits = "x".repeat(limit as usize);
    let file = node.uploaded(&[("purpose", "batch"), ("file", &fits)]).await;
    assert_eq!(file["bytes"], limit);
    let deleted = node.client.delete(node.url(&format!("/v1/files/{}", file["id"].as_str().unwrap())));
    assert_eq!(deleted.send().await.unwrap().status(), 200);
    check_refused(&node, form(&[("purpose", "batch"), ("file", &(fits + "x"))]), 413, "body_too_large").await;
    // Without a length, and 64 times too long.
    let head =
        format!("--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"x\"\r\n\r\n");
    let parts = stream::once(async { head }).chain(stream::repeat("x".repeat(1 << 16)).take(64 * 16));
    let body = Body::wrap_stream(parts.map(Ok::<_, std::io::Error>));
    check_refused(&node, body, 413, "body_too_large").await;
}

#[tokio::test]
async fn a_tenant_sees_nothing_of_another_ones_files_and_batches() {
    let node = Node::start(silence()).await;
    let file = node.uploaded(&[("purpose", "batch"), ("file", "{}")]).await;
    let file = file["id"].as_str().unwrap().to_owned();
    let body = json!({"input_file_id": file, "endpoint": "/v1/chat/completions", "completion_window": "24h"});
    let batch = node.answer("/v1/batches", &body).await;
    assert_eq!((&batch["status"], &batch["object"]), (&json!("validating"), &json!("batch")));
    let batch = batch["id"].as_str().unwrap().to_owned();
    let paths =
        [format!("/v1/files/{file}"), format!("/v1/files/{file}/content"), format!("/v1/batches/{batch}")];
    let other = Node::start_bare(node.log.clone(), |config| config.tenant = TenantId::slug("other")).await;
    other.wait_until_ready().await;
    for path in &paths {
        assert_eq!((node.status(path).await, other.status(path).await), (200, 404), "{path}");
    }
    for path in ["/v1/files", "/v1/batches"] {
        let list: Value = other.get(path).await.json().await.unwrap();
        assert_eq!(list["data"], json!([]));
    }
    assert_eq!(other.post("/v1/batches", &body).await.status(), 404);
    assert_eq!(other.post(&format!("/v1/batches/{batch}/cancel"), &json!(null)).await.status(), 404);
    let delete = |node: &Node| node.client.delete(node.url(&paths[0])).send();
    assert_eq!(delete(&other).await.unwrap().status(), 404);
    // A batch that runs reads its file.
    assert_eq!(delete(&node).await.unwrap().status(), 409);
    let cancelling = node.answer(&format!("/v1/batches/{batch}/cancel"), &json!(null)).await;
    assert_eq!(cancelling["status"], "cancelling");
    let again = node.answer(&format!("/v1/batches/{batch}/cancel"), &json!(null)).await;
    assert_eq!(again["cancelling_at"], cancelling["cancelling_at"]);
}

#[tokio::test]
async fn a_key_makes_one_file_and_one_batch() {
    let node = Node::start(silence()).await;
    let upload = async |key: &str, content: &str| {
        let request = node.client.post(node.url("/v1/files")).header("idempotency-key", key);
        let content_type = format!("multipart/form-data; boundary={BOUNDARY}");
        let request = request.header("content-type", content_type);
        let response = request.body(form(&[("purpose", "batch"), ("file", content)])).send().await.unwrap();
        (response.status().as_u16(), response.json::<Value>().await.unwrap())
    };
    let first = upload("k", "{}").await;
    assert_eq!(first.0, 200);
    assert_eq!(upload("k", "{}").await, first);
    assert_eq!(upload("k", "[]").await.0, 422);
    assert_eq!(upload("k", "{}\n").await.0, 422);
    assert_ne!(upload("l", "{}").await.1["id"], first.1["id"]);
    let content = node.get(&format!("/v1/files/{}/content", first.1["id"].as_str().unwrap())).await;
    assert_eq!(content.text().await.unwrap(), "{}");

    let create = async |metadata: Value| {
        let body = json!({
            "input_file_id": first.1["id"],
            "endpoint": "/v1/chat/completions",
            "completion_window": "24h",
            "metadata": metadata,
        });
        let request = node.client.post(node.url("/v1/batches")).header("idempotency-key", "k");
        let response = request.json(&body).send().await.unwrap();
        (response.status().as_u16(), response.json::<Value>().await.unwrap())
    };
    let batch = create(json!({"a": "1"})).await;
    assert_eq!(batch.0, 200);
    assert_eq!(create(json!({"a": "1"})).await, batch);
    assert_eq!(create(json!({"a": "2"})).await.0, 422);
}

#[tokio::test]
async fn the_log_knows_which_uploads_have_not_ended() {
    let node = Node::start_with(silence(), |config| config.limits.max_file_bytes = 4).await;
    let num_open = async || {
        let facts =
            node.log.read(StreamName::Jobs, vec!["jobs.file.*.*.upload".to_owned()], ReadFrom::Start, false);
        let facts: Vec<_> = facts.await.unwrap().map(|fact| fact.unwrap().payload).collect().await;
        let facts = facts.iter().map(|payload| schemas::decode_job(payload).unwrap().fact.unwrap());
        let is_open = |fact: &Fact| matches!(fact, Fact::FileUploadBegun(_));
        let (open, ended): (Vec<_>, Vec<_>) = facts.partition(is_open);
        (open.len(), ended.len())
    };
    check_refused(&node, form(&[("purpose", "batch"), ("file", "12345")]), 413, "body_too_large").await;
    while num_open().await != (0, 1) {
        tokio::task::yield_now().await;
    }
    node.uploaded(&[("purpose", "batch"), ("file", "{}")]).await;
    assert_eq!(num_open().await, (0, 2));
    // What came with a key serves its next attempt, and is told to the sweeper until then.
    let request = node.client.post(node.url("/v1/files")).header("idempotency-key", "k");
    let request = request.header("content-type", format!("multipart/form-data; boundary={BOUNDARY}"));
    let refused = request.body(form(&[("purpose", "fun"), ("file", "{}")])).send().await.unwrap();
    assert_eq!((refused.status().as_u16(), num_open().await), (400, (1, 2)));
}
