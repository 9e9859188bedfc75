//! A worker on a log of its own, in memory: what runs here leaves no trace in the record.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use bus::topology::StreamPolicy;
use bus::{EventLog, FactWriter, LiveMessages, MemoryLog, StreamName, subjects};
use futures_util::StreamExt as _;
use prost::Message as _;
use schemas::v1::envelope::Fact;
use schemas::v1::{
    Assigned, Ended, Outcome, Prompt, RequestSummary, SamplingParams, TokenFrame, TokenLogprobs, WorkClass,
};
use schemas::{FactKind, InferenceId, IngressId, PoolName, WorkerId};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::recorded::Recorded;
use crate::config::Config;
use crate::instance::Journal;
use crate::roles;

/// Candidates that are remembered for each token.
const NUM_LOGPROBS: u32 = 20;
const MIB: u64 = 1 << 20;
/// What was replayed is forgotten after this.
const MAX_AGE: Duration = Duration::from_secs(3_600);

/// A model that answers again what was asked.
pub(crate) struct ReplayEngine {
    log: Arc<dyn EventLog>,
    facts: FactWriter,
    pool: PoolName,
    ingress: IngressId,
    /// What it answers for under its own name, its base model first.
    names: Vec<String>,
    fingerprint: String,
    waiting: Arc<Waiting>,
    worker_ended: CancellationToken,
    _worker: AbortOnDropHandle<()>,
    _hearing: AbortOnDropHandle<()>,
}

/// What came of a replay.
#[derive(Debug)]
pub(crate) struct Replayed {
    pub(crate) ended: Ended,
    /// The candidates for each token, by choice.
    pub(crate) logprobs: BTreeMap<u32, Vec<TokenLogprobs>>,
    pub(crate) took: Duration,
}

/// The inferences under way.
#[derive(Default)]
struct Waiting(Mutex<HashMap<String, Listener>>);

struct Listener {
    logprobs: BTreeMap<u32, Vec<TokenLogprobs>>,
    done: oneshot::Sender<BTreeMap<u32, Vec<TokenLogprobs>>>,
}

impl ReplayEngine {
    /// Loads the configured model.
    pub(crate) async fn start(config: &Config) -> Result<Self> {
        let model = roles::load_model(&config.worker, config).await?;
        let card = model.card().clone();
        let policy = StreamPolicy {
            inference_max_age: MAX_AGE,
            tokens_max_bytes: 64 * MIB,
            ..StreamPolicy::default()
        };
        let log: Arc<dyn EventLog> = Arc::new(MemoryLog::with_policy(&policy));
        let ingress = IngressId::slug("replay");
        let frames = log.listen(subjects::tokens_for(&ingress)).await?;
        let waiting = Arc::new(Waiting::default());
        let hearing = AbortOnDropHandle::new(tokio::spawn(hear(frames, Arc::clone(&waiting))));
        let worker_ended = CancellationToken::new();
        let journal = Journal { log: Arc::clone(&log), configuration: String::new() };
        let worker = roles::worker_role(
            &config.worker,
            &journal,
            model,
            WorkerId::slug("replay"),
            CancellationToken::new(),
        )?;
        let tells = worker_ended.clone().drop_guard();
        let worker = AbortOnDropHandle::new(tokio::spawn(async move {
            let _tells = tells;
            if let Err(error) = worker.await {
                tracing::error!(error = format!("{error:#}"), "the replaying worker ended");
            }
        }));
        let adapters = config.worker.lora_modules.iter().map(|module| module.name.clone());
        let names = std::iter::once(card.name.clone()).chain(card.aliases).chain(adapters).collect();
        let facts = journal.fact_writer("replay", &WorkerId::slug("replay"));
        let pool = PoolName::slug(&card.name);
        let fingerprint = card.engine_fingerprint;
        Ok(Self {
            log,
            facts,
            pool,
            ingress,
            names,
            fingerprint,
            waiting,
            worker_ended,
            _worker: worker,
            _hearing: hearing,
        })
    }

    /// What names the engine, adapters aside.
    pub(crate) fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// Runs an inference again with this prompt, and the seed and parameters that were recorded. Many may run at once.
    pub(crate) async fn run(&self, recorded: &Recorded, prompt: Option<Prompt>) -> Result<Replayed> {
        let (done, heard) = oneshot::channel();
        let listener = Listener { logprobs: BTreeMap::new(), done };
        self.waiting.lock().insert(recorded.id.to_string(), listener);
        let began = Instant::now();
        self.ask(recorded, prompt).await?;
        let logprobs = tokio::select! {
            heard = heard => heard.context("the replay was lost")?,
            () = self.worker_ended.cancelled() => bail!("the replaying worker ended"),
        };
        let took = began.elapsed();
        let ended = self.standing_end(recorded).await?;
        Ok(Replayed { ended, logprobs, took })
    }

    async fn ask(&self, recorded: &Recorded, prompt: Option<Prompt>) -> Result<()> {
        let (id, tenant) = (recorded.id, &recorded.tenant);
        let mut requested = recorded.requested.clone();
        requested.prompt = prompt;
        // It was met or missed then.
        requested.deadline_unix_nanos = 0;
        requested.sampling = requested.sampling.map(|sampling| replayable(sampling, recorded));
        if !self.names.contains(&requested.model) {
            requested.model = self.names.first().cloned().unwrap_or_default();
        }
        let summary = RequestSummary {
            model: requested.model.clone(),
            class: WorkClass::Interactive.into(),
            ingress: self.ingress.to_string(),
            priority: requested.priority,
            content_sequence: self
                .append(id, recorded, FactKind::Requested, Fact::Requested(requested))
                .await?,
            requested_at_unix_nanos: recorded.requested_at_unix_nanos,
            redacted_sequence: 0,
        };
        let assigned = Assigned { attempt: 1, summary: Some(summary), ..Assigned::default() };
        let subject = subjects::assigned(&self.pool, WorkClass::Interactive, id, 1);
        self.facts.append(id, tenant, subject, Fact::Assigned(assigned)).await?;
        Ok(())
    }

    async fn append(&self, id: InferenceId, recorded: &Recorded, kind: FactKind, fact: Fact) -> Result<u64> {
        let subject = subjects::fact(kind, &recorded.tenant, id);
        match self.facts.append(id, &recorded.tenant, subject, fact).await? {
            bus::AppendOutcome::Stored { sequence } => Ok(sequence),
            bus::AppendOutcome::AlreadyThere => bail!("{id} was replayed already"),
        }
    }

    async fn standing_end(&self, recorded: &Recorded) -> Result<Ended> {
        let subject = subjects::fact(FactKind::Ended, &recorded.tenant, recorded.id);
        let record = self.log.last(StreamName::Inference, subject).await?.context("a replay left no end")?;
        match schemas::decode_envelope(&record.payload)?.fact {
            Some(Fact::Ended(ended)) => Ok(ended),
            _ => bail!("a replay left something else than an end"),
        }
    }
}

/// The recorded parameters with the recorded seed and the candidates for each token. An answer that was cancelled is computed no
/// further than it came.
fn replayable(sampling: SamplingParams, recorded: &Recorded) -> SamplingParams {
    let cancelled = recorded.ended.as_ref().filter(|ended| ended.outcome() == Outcome::Cancelled);
    let longest = cancelled.and_then(|ended| ended.choices.iter().map(|choice| choice.token_ids.len()).max());
    let num_came = longest.and_then(|longest| u32::try_from(longest).ok()).filter(|num| *num > 0);
    let max_tokens = num_came.or(sampling.max_tokens);
    SamplingParams {
        seed: recorded.seed.or(sampling.seed),
        logprobs: Some(NUM_LOGPROBS),
        max_tokens,
        min_tokens: max_tokens.map_or(sampling.min_tokens, |max_tokens| sampling.min_tokens.min(max_tokens)),
        ..sampling
    }
}

impl Waiting {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Listener>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn hear(mut frames: LiveMessages, waiting: Arc<Waiting>) {
    while let Some(message) = frames.next().await {
        let Ok(frame) = TokenFrame::decode(message.payload) else { continue };
        let mut waiting = waiting.lock();
        for entry in frame.entries {
            let Some(listener) = waiting.get_mut(&entry.inference_id) else { continue };
            listener.logprobs.entry(entry.choice).or_default().extend(entry.logprobs);
            if entry.end.is_some()
                && let Some(Listener { logprobs, done }) = waiting.remove(&entry.inference_id)
            {
                // Whoever asked may be gone.
                drop(done.send(logprobs));
            }
        }
    }
}
