//! The auditor's route.

use api::MasterKey;
use bus::{EventLog as _, ReadFrom, StreamName, subjects};
use futures_util::TryStreamExt as _;
use schemas::v1::audit_envelope::Fact;
use serde_json::{Value, json};

use crate::backend::hello;
use crate::client::{CHAT, chat};
use crate::node::Node;

async fn audited() -> Node {
    Node::start_with(hello(), |config| {
        config.master_key = Some(MasterKey::new("sk-right"));
        config.auditor_key = Some(MasterKey::new("sk-auditor"));
    })
    .await
}

impl Node {
    async fn audit(&self, path: &str, key: &str) -> (u16, Value) {
        let request = self.client.get(self.url(&format!("/v1/audit/inferences/{path}"))).bearer_auth(key);
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.json().await.unwrap())
    }

    async fn accesses(&self) -> Vec<(String, String)> {
        let patterns = vec![subjects::all_audit_accesses()];
        let records = self.log.read(StreamName::Audit, patterns, ReadFrom::Start, false).await.unwrap();
        let records: Vec<_> = records.try_collect().await.unwrap();
        let access = |payload: &[u8]| match schemas::decode_audit(payload).unwrap().fact {
            Some(Fact::RecordAccessed(access)) => (access.caller, access.inference_id),
            other => panic!("{other:?}"),
        };
        records.iter().map(|record| access(&record.payload)).collect()
    }
}

#[tokio::test]
async fn an_auditor_reads_a_whole_life_and_is_recorded() {
    let node = audited().await;
    let request = node.client.post(node.url(CHAT)).bearer_auth("sk-right").json(&chat(json!({})));
    let response = request.send().await.unwrap();
    let id = response.headers()["x-jetmill-inference-id"].to_str().unwrap().to_owned();
    assert_eq!(response.status(), 200);

    let (status, life) = node.audit(&id, "sk-auditor").await;
    assert_eq!(status, 200, "{life}");
    assert_eq!((&life["object"], &life["id"]), (&json!("audit.inference"), &json!(id)));
    let kinds: Vec<_> = life["facts"].as_array().unwrap().iter().map(|fact| fact["kind"].clone()).collect();
    assert_eq!((kinds.first(), kinds.last()), (Some(&json!("requested")), Some(&json!("ended"))));
    assert_eq!(life["summary"]["outcome"], "completed");
    assert_eq!(life["summary"]["caller"].as_str().unwrap().len(), 16);
    assert!(life["facts"][0]["envelope"]["requested"]["prompt"].is_object(), "{life}");
    assert!(life["facts"][0]["hash"].as_str().unwrap().len() == 64);
    let accesses = node.accesses().await;
    assert_eq!(accesses.len(), 1);
    assert_eq!((accesses[0].0.len(), &accesses[0].1), (16, &id));

    let missing = "0".repeat(32);
    assert_eq!(node.audit(&missing, "sk-auditor").await.0, 404);
    assert_eq!(node.audit("nonsense", "sk-auditor").await.0, 400);
    assert_eq!(node.accesses().await.len(), 2);
}

#[tokio::test]
async fn only_the_auditors_key_opens_the_audit_and_it_opens_nothing_else() {
    let node = audited().await;
    let id = "0".repeat(32);
    let (status, refused) = node.audit(&id, "sk-right").await;
    assert_eq!((status, &refused["error"]["code"]), (403, &json!("auditor_key_required")));
    assert_eq!(node.audit(&id, "sk-wrong").await.0, 401);
    let models = node.client.get(node.url("/v1/models")).bearer_auth("sk-auditor").send().await.unwrap();
    assert_eq!(models.status(), 401);
    assert!(node.accesses().await.is_empty(), "nothing was read");

    let open = Node::start(hello()).await;
    let (status, refused) = open.audit(&id, "sk-any").await;
    assert_eq!((status, &refused["error"]["code"]), (403, &json!("auditor_key_required")));
}
