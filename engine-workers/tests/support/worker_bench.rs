//! One worker between the memory log and an engine over a real model.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bus::{EventLog, FactWriter, LiveMessages, MemoryLog, ReadFrom, Stamp, StreamName, subjects};
use engine_workers::cpu_runner::options::{CpuRunnerOptions, KvCapacity};
use engine_workers::engine::config::EngineConfig;
use engine_workers::loaded_model::{FormatOptions, LoadedModel, ModelLoadOptions};
use engine_workers::model_file::config::ModelConfig;
use engine_workers::runner_source::RunnerSource;
use engine_workers::worker::{Worker, WorkerOptions};
use futures_util::StreamExt as _;
use prost::Message as _;
use schemas::v1::envelope::Fact;
use schemas::v1::{
    Assigned, DeploymentAnnounced, Ended, FrameEntry, Outcome, Prompt, RequestSummary, Requested, TokenFrame,
    WorkClass, control_envelope, prompt::Content,
};
use schemas::{EventId, FactKind, InferenceId, IngressId, PoolName, SamplingParams, TenantId};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

const MODEL: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../.jetmill/models/smollm2-135m-instruct-q4_1.gguf");

fn load() -> LoadedModel {
    assert!(Path::new(MODEL).exists(), "the model is missing: run infra/test, which fetches it");
    LoadedModel::load(ModelLoadOptions {
        path: MODEL.into(),
        name: Some("smol".to_owned()),
        aliases: Vec::new(),
        formats: FormatOptions::default(),
        runner: CpuRunnerOptions {
            num_threads: 2,
            kv_capacity: KvCapacity::Blocks(128),
            max_model_len_tokens: Some(512),
            ..CpuRunnerOptions::default()
        },
        engine: EngineConfig { max_num_seqs: 8, ..EngineConfig::default() },
        digest_cache_dir: None,
    })
    .unwrap()
}

/// An attempt at an inference, by its own tenant and api node.
#[derive(Debug, Clone)]
pub(crate) struct Attempt {
    pub(crate) number: u32,
    pub(crate) inference: InferenceId,
    pub(crate) tenant: TenantId,
    pub(crate) ingress: IngressId,
    pub(crate) model: String,
}

/// A worker `w1`, its log, and what an api node would hear.
pub(crate) struct Bench {
    pub(crate) log: Arc<dyn EventLog>,
    pub(crate) facts: FactWriter,
    pub(crate) frames: LiveMessages,
    pub(crate) tenant: TenantId,
    pub(crate) pool: PoolName,
    pub(crate) shutdown: CancellationToken,
    pub(crate) worker: JoinHandle<Result<(), bus::BusError>>,
}

impl Bench {
    pub(crate) async fn new(grace: Duration) -> Self {
        Self::with(grace, |worker, _, _| worker).await
    }

    pub(crate) async fn with(
        grace: Duration,
        change: impl FnOnce(Worker, ModelConfig, RunnerSource) -> Worker,
    ) -> Self {
        let log: Arc<dyn EventLog> = Arc::new(MemoryLog::new());
        let counter = AtomicU64::new(1);
        let stamps = Arc::new(move || {
            let next = counter.fetch_add(1, Ordering::Relaxed);
            Stamp { event_id: EventId::new(Uuid::from_u128(u128::from(next))), unix_nanos: next }
        });
        let facts = FactWriter::new(Arc::clone(&log), stamps, "worker", "w1".parse().unwrap());
        let frames = log.listen("tokens.api-1.*".to_owned()).await.unwrap();
        let model = load();
        let pool: PoolName = "smol".parse().unwrap();
        let options = WorkerOptions { id: "w1".parse().unwrap(), pool: pool.clone(), num_slots: 8, grace };
        let worker = Worker::new(facts.clone(), model.engine, model.text, model.card, options);
        let worker = change(worker, model.config, model.source);
        let shutdown = CancellationToken::new();
        let worker = tokio::spawn(worker.run(model.outputs, shutdown.clone()));
        Self { log, facts, frames, tenant: "default".parse().unwrap(), pool, shutdown, worker }
    }

    pub(crate) async fn assign(
        &self,
        number: u128,
        content: Content,
        sampling: SamplingParams,
    ) -> InferenceId {
        self.assign_to("smol", number, content, sampling).await
    }

    pub(crate) async fn assign_to(
        &self,
        model: &str,
        number: u128,
        content: Content,
        sampling: SamplingParams,
    ) -> InferenceId {
        let id = InferenceId::new(Uuid::from_u128(number));
        let attempt = Attempt {
            number: 1,
            inference: id,
            tenant: self.tenant.clone(),
            ingress: "api-1".parse().unwrap(),
            model: model.to_owned(),
        };
        self.assign_attempt(&attempt, content, sampling).await;
        id
    }

    pub(crate) async fn assign_attempt(&self, attempt: &Attempt, content: Content, sampling: SamplingParams) {
        let Attempt { number, inference, tenant, ingress, model } = attempt.clone();
        let requested = Requested {
            model: model.clone(),
            ingress: ingress.to_string(),
            prompt: Some(Prompt { content: Some(content) }),
            sampling: Some(sampling.into()),
            ..Requested::default()
        };
        let subject = subjects::fact(FactKind::Requested, &tenant, inference);
        self.facts.append(inference, &tenant, subject.clone(), Fact::Requested(requested)).await.unwrap();
        let content_sequence = self.log.last(StreamName::Inference, subject).await.unwrap().unwrap().sequence;
        let summary = RequestSummary {
            model,
            ingress: ingress.to_string(),
            content_sequence,
            ..RequestSummary::default()
        };
        let assigned = Assigned { attempt: number, summary: Some(summary), ..Assigned::default() };
        let subject = subjects::assigned(&self.pool, WorkClass::Interactive, inference, number);
        self.facts.append(inference, &tenant, subject, Fact::Assigned(assigned)).await.unwrap();
    }

    /// The next attempt at an inference whose earlier one was assigned here.
    pub(crate) async fn reassign(&self, attempt: &Attempt) {
        let Attempt { number, inference, tenant, .. } = attempt;
        let subject = subjects::assigned(&self.pool, WorkClass::Interactive, *inference, number - 1);
        let earlier = self.log.last(StreamName::Inference, subject).await.unwrap().unwrap();
        let Some(Fact::Assigned(earlier)) = schemas::decode_envelope(&earlier.payload).unwrap().fact else {
            panic!("not an assignment");
        };
        let assigned = Assigned { attempt: *number, ..earlier };
        let subject = subjects::assigned(&self.pool, WorkClass::Interactive, *inference, *number);
        self.facts.append(*inference, tenant, subject, Fact::Assigned(assigned)).await.unwrap();
    }

    pub(crate) async fn next_entries(&mut self) -> Vec<FrameEntry> {
        TokenFrame::decode(self.frames.next().await.unwrap().payload).unwrap().entries
    }

    /// Text per choice, up to the terminal entry; indexes must be contiguous.
    pub(crate) async fn answer(&mut self, id: InferenceId) -> (BTreeMap<u32, (String, Vec<u32>)>, Outcome) {
        let mut choices: BTreeMap<u32, (String, Vec<u32>)> = BTreeMap::new();
        loop {
            for entry in self.next_entries().await {
                if entry.inference_id != id.to_string() {
                    continue;
                }
                if let Some(end) = entry.end {
                    return (choices, end.outcome());
                }
                let choice = choices.entry(entry.choice).or_default();
                assert_eq!(choice.1.len(), entry.first_token_index as usize, "indexes are contiguous");
                choice.0.push_str(&entry.text);
                choice.1.extend(entry.token_ids);
            }
        }
    }

    pub(crate) async fn ended(&self, id: InferenceId) -> Ended {
        self.ended_of(id, &self.tenant).await
    }

    pub(crate) async fn ended_of(&self, id: InferenceId, tenant: &TenantId) -> Ended {
        let subject = subjects::fact(FactKind::Ended, tenant, id);
        let record = self.log.last(StreamName::Inference, subject).await.unwrap().unwrap();
        match schemas::decode_envelope(&record.payload).unwrap().fact {
            Some(Fact::Ended(ended)) => ended,
            other => panic!("{other:?}"),
        }
    }

    /// Tells the worker something by its name.
    pub(crate) async fn tell(&self, command: &str, question: serde_json::Value) -> serde_json::Value {
        let subject = subjects::worker_query(&"w1".parse().unwrap(), command);
        loop {
            // The worker subscribes while it starts.
            let patience = Duration::from_secs(60);
            match self.log.ask(subject.clone(), question.to_string().into(), patience).await {
                Err(bus::BusError::NoResponder(_)) => tokio::task::yield_now().await,
                answer => break serde_json::from_slice(&answer.unwrap()).unwrap(),
            }
        }
    }

    /// What the worker announced at this place of the log.
    pub(crate) async fn announced(&self, answer: &serde_json::Value) -> DeploymentAnnounced {
        let sequence = answer["sequence"].as_u64().unwrap_or_else(|| panic!("{answer}"));
        let record = self.log.get(StreamName::Control, sequence).await.unwrap().unwrap();
        match schemas::decode_control(&record.payload).unwrap().fact {
            Some(control_envelope::Fact::DeploymentAnnounced(announced)) => announced,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn num_facts(&self, kind: FactKind) -> usize {
        let patterns = vec![subjects::all_of(kind)];
        let records = self.log.read(StreamName::Inference, patterns, ReadFrom::Start, false).await.unwrap();
        records.count().await
    }
}

pub(crate) fn text(text: &str) -> Content {
    Content::Text(text.to_owned())
}

pub(crate) fn greedy(max_tokens: u32) -> SamplingParams {
    SamplingParams {
        temperature: 0.0,
        max_tokens: Some(max_tokens),
        ignore_eos: true,
        ..SamplingParams::default()
    }
}
