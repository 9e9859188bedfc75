//! A node that serves for one test.

use std::sync::Arc;
use std::time::Duration;

use api::{Api, ApiConfig};
use bus::{Append, EventLog, Expect, FactWriter, LocalFrames, MemoryLog, StreamName, subjects};
use bytes::Bytes;
use prost::Message;
use schemas::v1::{ControlEnvelope, DeploymentAnnounced, DeploymentWithdrawn, control_envelope::Fact};
use schemas::{DeploymentId, IngressId, WrittenBy};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::backend::{self, Script, stamps};

pub(crate) struct Node {
    pub(crate) address: String,
    pub(crate) log: MemoryLog,
    pub(crate) client: reqwest::Client,
    pub(crate) shutdown: CancellationToken,
    pub(crate) served: JoinHandle<()>,
    _stop_on_drop: DropGuard,
}

impl Node {
    /// A node with one model and a back end.
    pub(crate) async fn start(script: Script) -> Self {
        Self::start_with(script, |_| {}).await
    }

    /// The same with other settings.
    pub(crate) async fn start_with(script: Script, change: impl FnOnce(&mut ApiConfig)) -> Self {
        let log = MemoryLog::new();
        announce(&log, "smol", true).await;
        backend::start(log.clone(), script).await;
        let node = Self::start_bare(log, change).await;
        node.wait_until_ready().await;
        node
    }

    /// A node on a log as it stands.
    pub(crate) async fn start_bare(log: MemoryLog, change: impl FnOnce(&mut ApiConfig)) -> Self {
        let seen: Arc<dyn EventLog> = Arc::new(log.clone());
        Self::start_over(log, seen, change).await
    }

    /// A node that sees the log in its own way.
    pub(crate) async fn start_over(
        log: MemoryLog,
        seen: Arc<dyn EventLog>,
        change: impl FnOnce(&mut ApiConfig),
    ) -> Self {
        Self::start_beside(log, seen, LocalFrames::default(), change).await
    }

    /// The same beside workers of its own process.
    pub(crate) async fn start_beside(
        log: MemoryLog,
        seen: Arc<dyn EventLog>,
        frames: LocalFrames,
        change: impl FnOnce(&mut ApiConfig),
    ) -> Self {
        let mut config = ApiConfig::new(IngressId::slug("api-1"));
        config.timeouts.silence = Duration::from_millis(200);
        config.timeouts.shutdown = Duration::from_millis(500);
        config.timeouts.grace = Duration::from_millis(50);
        change(&mut config);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let shutdown = CancellationToken::new();
        let api = Api::new(config, seen, stamps()).with_local_frames(frames);
        let served = tokio::spawn(api.serve(listener, shutdown.clone()));
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let stop_on_drop = shutdown.clone().drop_guard();
        Self { address, log, client, shutdown, served, _stop_on_drop: stop_on_drop }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) async fn wait_until_ready(&self) {
        while !self.client.get(self.url("/health/readiness")).send().await.unwrap().status().is_success() {}
    }
}

/// Announces a deployment that generates, with a vocabulary of 1,000 tokens.
pub(crate) async fn announce(log: &MemoryLog, model: &str, has_chat_template: bool) {
    announce_for(log, model, has_chat_template, &[]).await;
}

/// Withdraws what [`announce`] announced.
pub(crate) async fn withdraw(log: &MemoryLog, model: &str) {
    let deployment = format!("{model}-1");
    let id = DeploymentId::slug(&deployment);
    let facts = FactWriter::new(Arc::new(log.clone()), stamps(), "worker", "test".parse().unwrap());
    let fact = Fact::DeploymentWithdrawn(DeploymentWithdrawn { deployment });
    facts.append_control(&id, fact, Expect::Anything).await.unwrap();
}

/// The same for other tasks.
pub(crate) async fn announce_for(log: &MemoryLog, model: &str, has_chat_template: bool, tasks: &[&str]) {
    let stamp = stamps()();
    let by = WrittenBy { event_id: stamp.event_id, at_unix_nanos: stamp.unix_nanos, writer: "worker/test" };
    let announced = DeploymentAnnounced {
        deployment: format!("{model}-1"),
        pool: model.to_owned(),
        model: model.to_owned(),
        aliases: vec![format!("org/{model}")],
        max_model_len_tokens: 2_048,
        vocab_size: 1_000,
        has_chat_template,
        tasks: tasks.iter().map(|task| (*task).to_owned()).collect(),
        ..DeploymentAnnounced::default()
    };
    let envelope = ControlEnvelope::new(&by, Fact::DeploymentAnnounced(announced));
    let append = Append {
        stream: StreamName::Control,
        subject: subjects::control_deployment(&DeploymentId::slug(&format!("{model}-1"))),
        payload: Bytes::from(envelope.encode_to_vec()),
        expect: Expect::Anything,
    };
    log.append(append).await.unwrap();
}
