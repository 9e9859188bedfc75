//! A worker on a log of its own, in memory: what runs here leaves no trace in the record.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use bus::topology::StreamPolicy;
use bus::{EventLog, FactWriter, LiveMessages, MemoryLog, StreamName, subjects};
use engine_workers::served_model::ServedModel;
use engine_workers::worker::ModelCard;
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
/// It fills the slots that interactive work would leave, and nobody waits for it.
const CLASS: WorkClass = WorkClass::Batch;

/// A model that answers again what was asked.
pub(crate) struct ReplayEngine {
    log: Arc<dyn EventLog>,
    facts: FactWriter,
    pool: PoolName,
    ingress: IngressId,
    card: ModelCard,
    is_encoder: bool,
    adapters: Vec<String>,
    /// Before the facts of what is under way; those before all of these places are forgotten.
    under_way: Mutex<BTreeSet<(u64, InferenceId)>>,
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
        let is_encoder = matches!(model, ServedModel::Encoder(_));
        let policy = StreamPolicy { tokens_max_bytes: 64 * MIB, ..StreamPolicy::default() };
        let log: Arc<dyn EventLog> = Arc::new(MemoryLog::with_policy(&policy));
        let journal = Journal::new(Arc::clone(&log), String::new());
        let ingress = IngressId::slug("replay");
        let frames = log.listen(subjects::tokens_for(&ingress)).await?;
        let waiting = Arc::new(Waiting::default());
        let hearing = AbortOnDropHandle::new(tokio::spawn(hear(frames, Arc::clone(&waiting))));
        let worker_ended = CancellationToken::new();
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
        let adapters = config.worker.lora_modules.iter().map(|module| module.name.clone()).collect();
        let facts = journal.fact_writer("replay", &WorkerId::slug("replay"));
        let pool = PoolName::slug(&card.name);
        Ok(Self {
            log,
            facts,
            pool,
            ingress,
            card,
            is_encoder,
            adapters,
            under_way: Mutex::default(),
            waiting,
            worker_ended,
            _worker: worker,
            _hearing: hearing,
        })
    }

    /// What names the engine, adapters aside.
    pub(crate) fn fingerprint(&self) -> &str {
        &self.card.engine_fingerprint
    }

    /// The name of its model.
    pub(crate) fn model(&self) -> &str {
        &self.card.name
    }

    /// Why it can give no answer to this, if so.
    pub(crate) fn mismatch(&self, recorded: &Recorded) -> Option<String> {
        let name = &self.card.name;
        match (recorded.requested.pooling.is_some(), self.is_encoder) {
            (true, false) => Some(format!("it asks for vectors or scores, and {name} generates text")),
            (false, true) => Some(format!("it asks for text, and {name} gives vectors or scores")),
            _ => None,
        }
    }

    /// Why it cannot give the very same answer, if so.
    pub(crate) fn difference(&self, recorded: &Recorded) -> Option<String> {
        let mismatch = self.mismatch(recorded);
        if mismatch.is_some() {
            return mismatch;
        }
        let digest = recorded.started.as_ref().map(|started| &started.model_digest)?;
        if *digest != self.card.model_digest {
            let (name, own) = (&self.card.name, &self.card.model_digest);
            return Some(format!("it was answered by the model {digest}, and {name} is {own}"));
        }
        let adapter = recorded.adapter().filter(|adapter| !self.answers_for(adapter))?;
        Some(format!("it was answered with the adapter '{adapter}': name it with --lora"))
    }

    /// Whether it knows this name of a model, alias or adapter.
    fn answers_for(&self, name: &str) -> bool {
        self.card.name == name || self.card.aliases.iter().chain(&self.adapters).any(|known| known == name)
    }

    /// Runs an inference again with this prompt, and the seed and parameters that were recorded. Many may run at once.
    pub(crate) async fn run(&self, recorded: &Recorded, prompt: Option<Prompt>) -> Result<Replayed> {
        let (done, heard) = oneshot::channel();
        let listener = Listener { logprobs: BTreeMap::new(), done };
        self.waiting.lock().insert(recorded.id.to_string(), listener);
        let began = Instant::now();
        let begins_at = self.log.last_sequence(StreamName::Inference).await? + 1;
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner).insert((begins_at, recorded.id));
        self.ask(recorded, prompt).await?;
        let logprobs = tokio::select! {
            heard = heard => heard.context("the replay was lost")?,
            () = self.worker_ended.cancelled() => bail!("the replaying worker ended"),
        };
        let took = began.elapsed();
        let ended = self.standing_end(recorded).await?;
        self.forget((begins_at, recorded.id)).await?;
        Ok(Replayed { ended, logprobs, took })
    }

    /// Drops what nothing under way needs: a replay may be long.
    async fn forget(&self, over: (u64, InferenceId)) -> Result<()> {
        let oldest = {
            let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
            under_way.remove(&over);
            under_way.first().copied()
        };
        let (oldest, _) = oldest.unwrap_or(over);
        Ok(self.log.forget_before(StreamName::Inference, oldest).await?)
    }

    async fn ask(&self, recorded: &Recorded, prompt: Option<Prompt>) -> Result<()> {
        let (id, tenant) = (recorded.id, &recorded.tenant);
        let mut requested = recorded.requested.clone();
        requested.prompt = prompt;
        // It was met or missed then.
        requested.deadline_unix_nanos = 0;
        requested.class = CLASS.into();
        requested.sampling = requested.sampling.map(|sampling| replayable(sampling, recorded));
        if !self.answers_for(&requested.model) {
            requested.model.clone_from(&self.card.name);
        }
        let model = requested.model.clone();
        let priority = requested.priority;
        let fact = Fact::Requested(requested);
        let content_sequence = self.append(id, recorded, FactKind::Requested, fact).await?;
        let summary = RequestSummary {
            model,
            class: CLASS.into(),
            ingress: self.ingress.to_string(),
            priority,
            content_sequence,
            requested_at_unix_nanos: recorded.requested_at_unix_nanos,
            redacted_sequence: 0,
        };
        let assigned = Assigned { attempt: 1, summary: Some(summary), ..Assigned::default() };
        let subject = subjects::assigned(&self.pool, CLASS, id, 1);
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
        seed: recorded.seed().or(sampling.seed),
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
