//! Adapters, sleep and wake: what workers are told, and what clients hear of it.

use std::sync::{Arc, Mutex};

use bus::{Append, EventLog, Expect, MemoryLog, StreamName, subjects};
use bytes::Bytes;
use futures_util::StreamExt;
use prost::Message;
use schemas::v1::{Adapter, ControlEnvelope, DeploymentAnnounced, control_envelope::Fact};
use schemas::{DeploymentId, WorkerId, WrittenBy};
use serde_json::{Value, json};

use crate::backend::{hello, stamps};
use crate::client::{CHAT, chat};
use crate::node::Node;

const LOAD: &str = "/v1/load_lora_adapter";
const UNLOAD: &str = "/v1/unload_lora_adapter";

/// A worker that does what it is told, unless it is to refuse, and announces what it then is.
#[derive(Clone)]
struct FakeWorker {
    log: MemoryLog,
    id: &'static str,
    announced: Arc<Mutex<DeploymentAnnounced>>,
    /// What it was told, in order.
    told: Arc<Mutex<Vec<(String, Value)>>>,
    refuses: bool,
}

impl FakeWorker {
    async fn start(log: &MemoryLog, id: &'static str, refuses: bool) -> Self {
        let announced = DeploymentAnnounced {
            deployment: id.to_owned(),
            pool: "smol".to_owned(),
            model: "smol".to_owned(),
            max_model_len_tokens: 2_048,
            vocab_size: 1_000,
            has_chat_template: true,
            ..DeploymentAnnounced::default()
        };
        let announced = Arc::new(Mutex::new(announced));
        let worker = Self { log: log.clone(), id, announced, told: Arc::default(), refuses };
        for command in ["load_lora", "unload_lora", "sleep", "wake", "is_sleeping"] {
            let subject = subjects::worker_query(&WorkerId::slug(id), command);
            let mut questions = log.answer(subject, id.to_owned()).await.unwrap();
            let worker = worker.clone();
            tokio::spawn(async move {
                while let Some(question) = questions.next().await {
                    let answer =
                        worker.obey(command, serde_json::from_slice(&question.payload).unwrap()).await;
                    (question.reply)(Bytes::from(answer.to_string()));
                }
            });
        }
        worker.announce().await;
        worker
    }

    async fn obey(&self, command: &str, question: Value) -> Value {
        if command == "is_sleeping" {
            return json!({"is_sleeping": self.announced.lock().unwrap().is_asleep});
        }
        self.told.lock().unwrap().push((command.to_owned(), question.clone()));
        if self.refuses {
            return json!({"error": {"code": "lora_tensor", "message": "tensor `x` is not finite",
                "param": "lora_path", "kind": "invalid_request"}});
        }
        {
            let mut announced = self.announced.lock().unwrap();
            let name = question["lora_name"].as_str().unwrap_or_default().to_owned();
            match command {
                "load_lora" => announced.adapters.push(Adapter { name, ..Adapter::default() }),
                "unload_lora" => announced.adapters.retain(|adapter| adapter.name != name),
                other => announced.is_asleep = other == "sleep",
            }
        }
        json!({ "sequence": self.announce().await })
    }

    async fn announce(&self) -> u64 {
        let stamp = stamps()();
        let by =
            WrittenBy { event_id: stamp.event_id, at_unix_nanos: stamp.unix_nanos, writer: "worker/test" };
        let fact = Fact::DeploymentAnnounced(self.announced.lock().unwrap().clone());
        let append = Append {
            stream: StreamName::Control,
            subject: subjects::control_deployment(&DeploymentId::slug(self.id)),
            payload: Bytes::from(ControlEnvelope::new(&by, fact).encode_to_vec()),
            expect: Expect::Anything,
        };
        self.log.append(append).await.unwrap();
        self.log.last_sequence(StreamName::Control).await.unwrap()
    }

    fn told(&self) -> Vec<(String, Value)> {
        self.told.lock().unwrap().clone()
    }
}

/// A node with these workers.
async fn node(workers: &[(&'static str, bool)]) -> (Node, Vec<FakeWorker>) {
    let log = MemoryLog::new();
    let mut all = Vec::new();
    for (id, refuses) in workers {
        all.push(FakeWorker::start(&log, id, *refuses).await);
    }
    crate::backend::start(log.clone(), hello()).await;
    let node = Node::start_bare(log, |_| {}).await;
    node.wait_until_ready().await;
    (node, all)
}

async fn text(node: &Node, path: &str, body: Value) -> (u16, String) {
    let response = node.post(path, &body).await;
    (response.status().as_u16(), response.text().await.unwrap())
}

#[tokio::test]
async fn an_adapter_is_loaded_everywhere_listed_asked_for_and_unloaded() {
    let (node, workers) = node(&[("w1", false), ("w2", false)]).await;
    let load = json!({"lora_name": "sql", "lora_path": "loras/sql"});
    let (status, answer) = text(&node, LOAD, load.clone()).await;
    assert_eq!((status, answer.as_str()), (200, "Success: LoRA adapter 'sql' added successfully."));
    let asked = json!({"lora_name": "sql", "lora_path": "loras/sql", "load_inplace": false});
    for worker in &workers {
        assert_eq!(worker.told(), [("load_lora".to_owned(), asked.clone())]);
    }

    let model: Value = node.get("/v1/models/sql").await.json().await.unwrap();
    assert_eq!((&model["id"], &model["parent"]), (&json!("sql"), &json!("smol")));
    let list: Value = node.get("/v1/models").await.json().await.unwrap();
    let ids: Vec<&str> =
        list["data"].as_array().unwrap().iter().map(|model| model["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["smol", "sql"]);
    assert_eq!(list["data"][0]["parent"], Value::Null);
    let answer = node.answer(CHAT, &chat(json!({"model": "sql"}))).await;
    assert_eq!(answer["model"], "sql");

    let (status, answer) = text(&node, UNLOAD, json!({"lora_name": "sql"})).await;
    assert_eq!((status, answer.as_str()), (200, "Success: LoRA adapter 'sql' removed successfully."));
    assert_eq!(node.post(CHAT, &chat(json!({"model": "sql"}))).await.status(), 404);
    let response = node.post(UNLOAD, &json!({"lora_name": "sql"})).await;
    assert_eq!(response.status(), 404);
    let error: Value = response.json().await.unwrap();
    assert_eq!(
        (&error["error"]["code"], &error["error"]["param"]),
        (&json!("lora_not_found"), &json!("lora_name"))
    );
}

#[tokio::test]
async fn an_adapter_that_one_worker_refuses_is_taken_back_from_the_others() {
    let (node, workers) = node(&[("w1", false), ("w2", true)]).await;
    let (status, answer) = text(&node, LOAD, json!({"lora_name": "sql", "lora_path": "sql"})).await;
    let answer: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!((status, &answer["error"]["code"]), (400, &json!("lora_tensor")));
    let commands: Vec<String> = workers[0].told().into_iter().map(|(command, _)| command).collect();
    assert_eq!(commands, ["load_lora", "unload_lora"]);
    assert_eq!(node.get("/v1/models/sql").await.status(), 404);
}

#[tokio::test]
async fn bad_questions_are_refused_before_a_worker_hears_them() {
    let (node, workers) = node(&[("w1", false)]).await;
    for (path, body, param) in [
        (LOAD, json!({"lora_name": "sql"}), "lora_path"),
        (LOAD, json!({"lora_name": "", "lora_path": "x"}), "lora_name"),
        (LOAD, json!({"lora_name": "sql", "lora_path": 3}), "lora_path"),
        (UNLOAD, json!({}), "lora_name"),
        ("/sleep?level=2", json!({}), "level"),
        ("/wake_up?tags=weights", json!({}), "tags"),
    ] {
        let (status, answer) = text(&node, path, body.clone()).await;
        let answer: Value = serde_json::from_str(&answer).unwrap();
        assert_eq!((status, &answer["error"]["param"]), (400, &json!(param)), "{path} {body}");
    }
    let (status, _) =
        text(&node, LOAD, json!({"lora_name": "a", "lora_path": "b", "base_model_name": "gpt"})).await;
    assert_eq!(status, 404);
    assert!(workers[0].told().is_empty());
}

#[tokio::test]
async fn workers_sleep_and_wake_and_a_dead_one_does_not_hinder() {
    let (node, workers) = node(&[("w1", false), ("w2", false)]).await;
    crate::node::announce(&node.log, "smol", true).await;
    let is_sleeping = async |path: &str| {
        let answer: Value = node.get(path).await.json().await.unwrap();
        answer["is_sleeping"].as_bool().unwrap()
    };
    assert!(!is_sleeping("/is_sleeping").await);
    assert_eq!(text(&node, "/sleep?level=1", json!({})).await, (200, String::new()));
    assert!(workers.iter().all(|worker| worker.announced.lock().unwrap().is_asleep));
    assert!(is_sleeping("/is_sleeping").await, "the dead one is awake in the log alone");
    assert_eq!(text(&node, "/wake_up", json!({})).await, (200, String::new()));
    assert!(!is_sleeping("/is_sleeping").await);
    assert_eq!(node.post("/sleep?model=gpt", &json!({})).await.status(), 404);
}

#[tokio::test]
async fn a_node_whose_only_worker_sleeps_says_so() {
    let (node, _workers) = node(&[("w1", false)]).await;
    assert_eq!(node.post("/sleep", &json!({})).await.status(), 200);
    let answer: Value = node.get("/is_sleeping").await.json().await.unwrap();
    assert_eq!(answer, json!({"is_sleeping": true}));
    assert_eq!(node.post("/wake_up", &json!({})).await.status(), 200);
    let answer: Value = node.get("/is_sleeping").await.json().await.unwrap();
    assert_eq!(answer, json!({"is_sleeping": false}));
}

#[tokio::test]
async fn nobody_sleeps_where_nobody_lives() {
    let log = MemoryLog::new();
    crate::node::announce(&log, "smol", true).await;
    let node = Node::start_bare(log, |_| {}).await;
    node.wait_until_ready().await;
    let response = node.get("/is_sleeping").await;
    assert_eq!(response.status(), 503);
    let answer: Value = response.json().await.unwrap();
    assert_eq!(answer["error"]["code"], "unavailable");
}

#[tokio::test]
async fn administration_needs_the_key() {
    let node =
        Node::start_with(hello(), |config| config.master_key = Some(api::MasterKey::new("sk-1"))).await;
    for path in [LOAD, UNLOAD, "/sleep", "/wake_up"] {
        assert_eq!(node.post(path, &json!({})).await.status(), 401, "{path}");
    }
    assert_eq!(node.get("/is_sleeping").await.status(), 401);
}
