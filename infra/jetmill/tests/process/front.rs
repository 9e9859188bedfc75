//! Everything but workers, over one broker, and what is checked of the streams that they bring.

use futures_util::future::join_all;
use serde_json::Value;

use crate::client::{Client, Stream};
use crate::process::Process;
use crate::record::{end_of, kind_of};
use crate::roles::{api, start_broker};
use crate::site::Site;
use crate::wait::until;

pub(crate) const QUESTION: &str = "Tell me a story about a lighthouse.";
pub(crate) const NUM_TOKENS: u32 = 120;

/// Everything but workers, over one broker.
pub(crate) struct Front {
    pub(crate) site: Site,
    pub(crate) nats: String,
    pub(crate) client: Client,
    pub(crate) router: Option<Process>,
    _processes: Vec<Process>,
}

impl Front {
    pub(crate) async fn start() -> Self {
        let site = Site::new();
        let (broker, nats) = start_broker(&site);
        let shared = ["--nats", nats.as_str()];
        let router = Some(site.spawn("router", "router", &shared));
        let roles = ["guardrail", "projector"].map(|role| site.spawn(role, role, &shared));
        let (api, client) = api(&site, "api", &shared).await;
        let processes = [broker, api].into_iter().chain(roles).collect();
        Self { site, nats, client, router, _processes: processes }
    }

    pub(crate) fn spawn_router(&self, name: &str) -> Process {
        self.site.spawn(name, "router", &["--nats", self.nats.as_str()])
    }

    pub(crate) fn worker(&self, name: &str) -> Process {
        self.worker_with(name, &[])
    }

    pub(crate) fn worker_with(&self, name: &str, more: &[&str]) -> Process {
        let arguments = [&["--nats", self.nats.as_str(), "--worker-id", name], more].concat();
        self.site.spawn_with_model(name, "worker", &arguments)
    }

    pub(crate) async fn is_ready(&self) {
        until("the api and a worker are ready", async || self.client.is_ready().await.then_some(())).await;
    }

    pub(crate) async fn facts(&self, id: &str) -> Vec<Value> {
        self.site.facts(&["--nats", self.nats.as_str()], id).await
    }

    pub(crate) async fn begin_streams(&self, num_streams: usize) -> Vec<Stream> {
        let streams = (0..num_streams).map(|_| self.client.stream(QUESTION, NUM_TOKENS));
        let mut streams = join_all(streams).await;
        join_all(streams.iter_mut().map(|stream| stream.read_text(20))).await;
        streams
    }

    /// The stream's text is the undisturbed one and stands in the one terminal fact; returns all facts.
    pub(crate) async fn check_whole(&self, stream: Stream, undisturbed: &str) -> Vec<Value> {
        let stream = stream.read_all().await;
        assert_eq!(stream.text, undisturbed, "the stream has no gap and nothing twice");
        assert_eq!(stream.usage["completion_tokens"], NUM_TOKENS);
        let facts = self.facts(&stream.id).await;
        let end = end_of(&facts);
        assert_eq!(end["choices"][0]["text"], stream.text);
        assert_eq!(end["usage"]["num_completion_tokens"], NUM_TOKENS);
        facts
    }
}

pub(crate) fn facts_of<'a>(facts: &'a [Value], kind: &'a str) -> impl Iterator<Item = &'a Value> {
    facts.iter().filter(move |fact| kind_of(fact) == kind).map(move |fact| &fact[kind])
}

/// The workers that were lost under an inference, by heartbeat and not by the delivery's timeout.
pub(crate) fn lost_workers(facts: &[Value]) -> Vec<&str> {
    facts_of(facts, "attempt_failed")
        .map(|failed| {
            assert_eq!(failed["failure"]["code"], "worker_lost", "{failed}");
            failed["worker"].as_str().unwrap()
        })
        .collect()
}
