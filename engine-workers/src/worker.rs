//! The worker: assigned facts in, tokens and ends out.
//!
//! [`Worker::run`] starts its tasks over one shared state: `intake` takes assignments for the slots that are free, `pump`
//! publishes what the engine says, and small ones hear cancellations and lost attempts, keep deliveries alive, tell that
//! the worker lives and answer questions.
//! Every inference ends by one path, `Worker::end`.

mod abandonment;
mod active;
mod administration;
mod answer;
pub(crate) mod assignment;
pub(crate) mod beginnings;
pub(crate) mod cancellations;
pub(crate) mod fencing;
mod frame_outlet;
mod frames;
mod holding;
mod intake;
pub(crate) mod listing;
mod model_text;
pub(crate) mod pulse;
mod pump;
pub(crate) mod questions;
pub(crate) mod record;
mod resumption;
mod spoken_tools;
mod token_scan;
mod tool_request;
mod upkeep;
mod wakefulness;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bus::{BusError, FactWriter, InferenceAddress, LocalFrames};
use schemas::v1::{Adapter, DeploymentAnnounced, DeploymentWithdrawn, Ended, control_envelope};
use schemas::{FactHash, InferenceId, PoolName, WorkerId};
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

pub use self::model_text::{ModelText, OutputFormats};
pub use self::wakefulness::SleepOptions;

use self::active::ActiveInferences;
use self::beginnings::Beginnings;
use self::cancellations::Cancellations;
use self::pulse::Pulse;
use self::questions::Questions;
use self::token_scan::TokenScan;
use self::wakefulness::Wakefulness;
use crate::engine::handle::EngineHandle;
use crate::engine::output_queue::OutputReceiver;
use crate::lora::adapter::LoraAdapter;
use crate::lora::registry::AdapterRegistry;

/// Lines of batches wait at the engine for the sequences that end, so that it is never without work.
const NUM_BATCH_SLOTS_PER_SLOT: usize = 2;
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(500);
pub(crate) const MAX_NUM_CANCELLATIONS: usize = 65_536;

/// What the model is called and can do.
#[derive(Debug, Clone)]
pub struct ModelCard {
    /// The name that clients ask for.
    pub name: String,
    /// Other names for it.
    pub aliases: Vec<String>,
    /// Longest prompt and answer together.
    pub max_model_len_tokens: usize,
    /// Number of token ids.
    pub vocab_size: usize,
    /// Build, kernel path, model digest and quantisation.
    pub engine_fingerprint: String,
    /// Digest of the model's files.
    pub model_digest: String,
}

/// Who this worker is and how much it takes.
#[derive(Debug, Clone)]
pub struct WorkerOptions {
    /// Its stable name.
    pub id: WorkerId,
    /// The workers that share its work.
    pub pool: PoolName,
    /// Interactive inferences that it holds at once; those beyond the engine's running sequences wait in its queue, as
    /// do as many again and more of batches.
    pub num_slots: usize,
    /// How long work under way may take after shutdown begins; then it is handed back.
    pub grace: Duration,
}

/// One worker over one engine.
pub struct Worker {
    facts: FactWriter,
    engine: EngineHandle,
    text: Arc<ModelText>,
    card: ModelCard,
    options: WorkerOptions,
    active: Mutex<ActiveInferences>,
    /// Told whenever an inference leaves `active`.
    left: Notify,
    cancellations: Mutex<Cancellations>,
    slots: Arc<Semaphore>,
    beginnings: Beginnings,
    batch_beginnings: Beginnings,
    pulse: Pulse,
    token_scan: TokenScan,
    batch_slots: Arc<Semaphore>,
    adapters: Option<Arc<AdapterRegistry>>,
    wakefulness: Wakefulness,
    local_frames: LocalFrames,
    /// Held while the deployment is announced, so that the last announcement tells the last state; true once withdrawn.
    is_withdrawn: tokio::sync::Mutex<bool>,
}

pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Worker {
    /// A worker that has not begun.
    pub fn new(
        facts: FactWriter,
        engine: EngineHandle,
        text: Arc<ModelText>,
        card: ModelCard,
        options: WorkerOptions,
    ) -> Self {
        let slots = Arc::new(Semaphore::new(options.num_slots));
        let batch_slots = Arc::new(Semaphore::new(options.num_slots * NUM_BATCH_SLOTS_PER_SLOT));
        Self {
            pulse: Pulse::new(facts.clone(), options.id.clone()),
            token_scan: TokenScan::new(Arc::clone(facts.log())),
            beginnings: Beginnings::new(options.num_slots),
            batch_beginnings: Beginnings::new(options.num_slots * NUM_BATCH_SLOTS_PER_SLOT),
            facts,
            engine,
            text,
            card,
            options,
            active: Mutex::new(ActiveInferences::new()),
            left: Notify::new(),
            cancellations: Mutex::new(Cancellations::new(MAX_NUM_CANCELLATIONS)),
            slots,
            batch_slots,
            adapters: None,
            wakefulness: Wakefulness::new(None),
            local_frames: LocalFrames::default(),
            is_withdrawn: tokio::sync::Mutex::new(false),
        }
    }

    /// Answers for these adapters too.
    pub fn with_adapters(self, adapters: AdapterRegistry) -> Self {
        Self { adapters: Some(Arc::new(adapters)), ..self }
    }

    /// Speaks to the api nodes of this process through `frames`.
    pub fn with_local_frames(self, frames: LocalFrames) -> Self {
        Self { local_frames: frames, ..self }
    }

    /// Can be told to sleep.
    pub fn with_sleep(self, options: SleepOptions) -> Self {
        Self { wakefulness: Wakefulness::new(Some(options)), ..self }
    }

    /// Announces the deployment and works until `shutdown`, then finishes or hands back what it holds. `Err` when the
    /// engine stopped or the broker refuses for good.
    pub async fn run(self, outputs: OutputReceiver, shutdown: CancellationToken) -> Result<(), BusError> {
        let worker = Arc::new(self);
        let questions = Arc::new(Questions {
            text: Arc::clone(&worker.text),
            max_model_len_tokens: worker.card.max_model_len_tokens,
        });
        let helpers = [
            tokio::spawn(Arc::clone(&worker).hear_cancellations()),
            tokio::spawn(Arc::clone(&worker).watch_clients()),
            tokio::spawn(Arc::clone(&worker).keep_deliveries_alive()),
            tokio::spawn(Arc::clone(&worker).beat()),
            tokio::spawn(Arc::clone(&worker).hear_losses()),
            tokio::spawn(Arc::clone(&worker).hear_administration()),
            tokio::spawn(Arc::clone(&worker).sleep_when_idle()),
            tokio::spawn(
                questions.serve_forever(Arc::clone(worker.facts.log()), worker.options.pool.clone()),
            ),
        ];
        let engine_stopped = CancellationToken::new();
        let pump = tokio::spawn(Arc::clone(&worker).pump(outputs, engine_stopped.clone()));
        worker.announce().await?;
        let listing = tokio::spawn(Arc::clone(&worker).keep_listed());
        info!(worker = %worker.options.id, model = worker.card.name, "the worker is ready");

        let taken = tokio::select! {
            taken = Arc::clone(&worker).intake(shutdown.clone()) => taken,
            () = engine_stopped.cancelled() => Err(BusError::Refused("the engine stopped".to_owned())),
        };
        listing.abort();
        if let Err(error) = worker.withdraw().await {
            warn!(%error, "the deployment could not be withdrawn");
        }
        worker.finish_or_hand_back().await;
        worker.engine.shutdown().await;
        if let Err(error) = pump.await {
            warn!(%error, "the pump ended badly");
        }
        helpers.iter().for_each(tokio::task::JoinHandle::abort);
        worker.pulse.say_last().await;
        taken
    }

    /// Stops an inference in the engine; one that is not there, or an engine that has stopped, needs no stopping.
    fn abort(&self, inference: InferenceId) {
        if let Err(error) = self.engine.abort(inference) {
            debug!(%inference, %error, "nothing to abort");
        }
    }

    /// The fingerprint of what computes with an adapter, or without.
    fn fingerprint(&self, adapter: Option<&LoraAdapter>) -> String {
        match adapter {
            Some(adapter) => format!("{}+lora-{}", self.card.engine_fingerprint, adapter.short_digest()),
            None => self.card.engine_fingerprint.clone(),
        }
    }

    /// Says what can be asked for now; returns where that stands in the log. A deployment that was withdrawn stays so.
    async fn announce(&self) -> Result<u64, BusError> {
        let is_withdrawn = self.is_withdrawn.lock().await;
        if *is_withdrawn {
            return Err(BusError::Refused("the worker stops".to_owned()));
        }
        let adapters = self.adapters.iter().flat_map(|adapters| adapters.all());
        let announced = DeploymentAnnounced {
            deployment: self.options.id.to_string(),
            pool: self.options.pool.to_string(),
            model: self.card.name.clone(),
            aliases: self.card.aliases.clone(),
            max_model_len_tokens: u32::try_from(self.card.max_model_len_tokens).unwrap_or(u32::MAX),
            num_slots: u32::try_from(self.options.num_slots).unwrap_or(u32::MAX),
            engine_fingerprint: self.card.engine_fingerprint.clone(),
            model_digest: self.card.model_digest.clone(),
            vocab_size: u32::try_from(self.card.vocab_size).unwrap_or(u32::MAX),
            has_chat_template: self.text.template.is_some(),
            tasks: vec!["generate".to_owned()],
            adapters: adapters
                .map(|(name, adapter)| Adapter {
                    name,
                    digest: adapter.digest().to_owned(),
                    rank: u32::try_from(adapter.rank()).unwrap_or(u32::MAX),
                })
                .collect(),
            is_asleep: self.wakefulness.is_asleep(),
        };
        self.append_control(control_envelope::Fact::DeploymentAnnounced(announced)).await
    }

    async fn keep_listed(self: Arc<Self>) {
        listing::keep_listed(&self.facts, &self.options.id, || self.announce()).await;
    }

    async fn withdraw(&self) -> Result<u64, BusError> {
        *self.is_withdrawn.lock().await = true;
        let withdrawn = DeploymentWithdrawn { deployment: self.options.id.to_string() };
        self.append_control(control_envelope::Fact::DeploymentWithdrawn(withdrawn)).await
    }

    async fn append_control(&self, fact: control_envelope::Fact) -> Result<u64, BusError> {
        record::append_control(&self.facts, &self.options.id, fact).await
    }

    /// Ends an inference; `previous` is its last fact before.
    async fn end(
        &self,
        address: &InferenceAddress,
        previous: FactHash,
        ended: Ended,
    ) -> Result<(), BusError> {
        record::end(&self.facts.following(previous), address, ended).await
    }
}
