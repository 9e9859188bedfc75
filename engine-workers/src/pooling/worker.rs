//! The worker of an encoder: assigned facts in, ends with vectors or scores out.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bus::{BusError, Delivery, FactWriter, Handled, Record, serve_deliveries, topology};
use schedulers::routing::{Reached, history_after_loss};
use schemas::v1::{
    AttemptFailed, DeploymentAnnounced, DeploymentWithdrawn, Ended, Failure, FailureKind, Outcome, Started,
    Timings, Usage, WorkClass, control_envelope,
};
use schemas::{FactHash, InferenceId, failure};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::engine::{PoolingEngine, PoolingError};
use super::holding::Computing;
use super::inputs::{PoolingRules, PreparedRequest};
use super::loaded_encoder::LoadedEncoder;
use crate::worker::assignment::Assignment;
use crate::worker::beginnings::Beginnings;
use crate::worker::cancellations::{self, Cancellations};
use crate::worker::fencing::follow_losses;
use crate::worker::listing::keep_listed;
use crate::worker::pulse::Pulse;
use crate::worker::questions::Questions;
use crate::worker::record::{
    append_attempt_failed, append_control, append_started, end, history_after_failure, is_over, priced,
    start_of, worker_lost,
};
use crate::worker::{MAX_NUM_CANCELLATIONS, ModelCard, ModelText, WorkerOptions, locked};

/// An attempt that is delivered while it is held comes once more after so long, when it is over.
const AGAIN_AFTER: Duration = topology::POOL_ACK_WAIT;

/// One worker over one encoder. A request is computed as a whole: one delivery, one question to the engine, one end.
pub struct PoolingWorker {
    facts: FactWriter,
    engine: PoolingEngine,
    text: Arc<ModelText>,
    rules: PoolingRules,
    card: ModelCard,
    options: WorkerOptions,
    pub(super) cancellations: Mutex<Cancellations>,
    pub(super) computing: Mutex<HashMap<InferenceId, Computing>>,
    /// Of both classes: batches are computed beside the others.
    pub(super) beginnings: Beginnings,
    pub(super) pulse: Pulse,
}

/// How an attempt ended.
enum Ending {
    /// For good.
    Ended(Box<Ended>),
    /// Another worker may do better.
    Lost(Failure),
}

impl PoolingWorker {
    /// A worker that has not begun.
    pub fn new(facts: FactWriter, encoder: LoadedEncoder, options: WorkerOptions) -> Self {
        let LoadedEncoder { card, text, rules, engine } = encoder;
        let cancellations = Mutex::new(Cancellations::new(MAX_NUM_CANCELLATIONS));
        Self {
            pulse: Pulse::new(facts.clone(), options.id.clone()),
            beginnings: Beginnings::new(options.num_slots + num_batch_slots(options.num_slots)),
            computing: Mutex::default(),
            facts,
            engine,
            text,
            rules,
            card,
            options,
            cancellations,
        }
    }

    /// Announces the deployment and works until `shutdown`, then finishes what it holds as far as the grace allows. `Err` when
    /// the engine stopped or the broker refuses for good.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), BusError> {
        let worker = Arc::new(self);
        let pool = &worker.options.pool;
        let questions = Arc::new(Questions {
            text: Arc::clone(&worker.text),
            max_model_len_tokens: worker.card.max_model_len_tokens,
        });
        let log = worker.facts.log();
        let helpers = [
            tokio::spawn(Arc::clone(&worker).beat()),
            tokio::spawn(Arc::clone(&worker).hear_cancellations()),
            tokio::spawn(Arc::clone(&worker).hear_losses()),
            tokio::spawn(questions.serve_forever(Arc::clone(log), pool.clone())),
        ];
        let interactive = log.consumer(&topology::pool_consumer(pool, WorkClass::Interactive)).await?;
        let batch = log.consumer(&topology::pool_consumer(pool, WorkClass::Batch)).await?;
        worker.announce().await?;
        let listing = tokio::spawn(Arc::clone(&worker).keep_listed());
        info!(worker = %worker.options.id, model = worker.card.name, "the worker is ready");

        let stop = CancellationToken::new();
        let handle = {
            let worker = Arc::clone(&worker);
            move |delivery| Arc::clone(&worker).handle(delivery)
        };
        let num_slots = worker.options.num_slots;
        let served = tokio::spawn({
            let (stop, num_batch_slots) = (stop.clone(), num_batch_slots(num_slots));
            async move {
                tokio::join!(
                    serve_deliveries(interactive, num_slots, stop.clone(), handle.clone()),
                    serve_deliveries(batch, num_batch_slots, stop, handle),
                );
            }
        });
        let ended = tokio::select! {
            () = shutdown.cancelled() => Ok(()),
            () = worker.engine.stopped() => Err(BusError::Refused("the engine stopped".to_owned())),
        };
        stop.cancel();
        listing.abort();
        let withdrawn = DeploymentWithdrawn { deployment: worker.options.id.to_string() };
        let fact = control_envelope::Fact::DeploymentWithdrawn(withdrawn);
        if let Err(error) = append_control(&worker.facts, &worker.options.id, fact).await {
            warn!(%error, "the deployment could not be withdrawn");
        }
        if tokio::time::timeout(worker.options.grace, served).await.is_err() {
            info!("what is not finished comes to another worker");
        }
        helpers.iter().for_each(tokio::task::JoinHandle::abort);
        worker.pulse.say_last().await;
        ended
    }

    async fn announce(&self) -> Result<u64, BusError> {
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
            tasks: self.rules.tasks(),
            ..DeploymentAnnounced::default()
        };
        let fact = control_envelope::Fact::DeploymentAnnounced(announced);
        append_control(&self.facts, &self.options.id, fact).await
    }

    async fn keep_listed(self: Arc<Self>) {
        keep_listed(&self.facts, &self.options.id, || self.announce()).await;
    }

    async fn beat(self: Arc<Self>) {
        self.pulse.beat(|| self.held_attempts()).await;
    }

    async fn hear_losses(self: Arc<Self>) {
        follow_losses(&self.facts, |inference, attempt| self.let_go(inference, attempt)).await;
    }

    async fn hear_cancellations(self: Arc<Self>) {
        cancellations::follow(&self.facts, |inference| {
            locked(&self.cancellations).insert(inference);
            if let Some(computing) = locked(&self.computing).get(&inference) {
                computing.cancelled.cancel();
            }
        })
        .await;
    }

    async fn handle(self: Arc<Self>, delivery: Arc<Delivery>) -> Result<Handled, BusError> {
        let mut assignment = match Assignment::read(self.facts.log().as_ref(), &delivery).await? {
            Ok(assignment) => assignment,
            Err(reason) => return Ok(Handled::Undeliverable(reason)),
        };
        let address = assignment.address.clone();
        if assignment.is_repeated && is_over(&self.facts, &address, assignment.attempt).await? {
            return Ok(Handled::Done);
        }
        if self.is_held(&assignment) {
            return Ok(Handled::Later(AGAIN_AFTER));
        }
        if assignment.is_redelivered
            && let Some((started, record)) = start_of(&self.facts, &address, assignment.attempt).await?
        {
            self.give_up(&assignment, started, &record).await?;
            return Ok(Handled::Done);
        }
        let Some(computing) = self.hold(&assignment) else { return Ok(Handled::Later(AGAIN_AFTER)) };
        let mut previous = assignment.assigned;
        let ending = tokio::select! {
            ending = self.answer(&mut assignment, &mut previous) => Some(ending),
            () = computing.cancelled.cancelled() => {
                Some(Ending::Ended(Box::new(self.ended(&assignment, Outcome::Cancelled))))
            }
            () = computing.given_up.cancelled() => None,
            never = keep_alive(&delivery) => match never {},
        };
        self.may_speak().await;
        let facts = self.facts.following(previous);
        let settled = match ending.filter(|_| !computing.given_up.is_cancelled()) {
            Some(Ending::Ended(ended)) => {
                let ended = priced(*ended, assignment.requested.price.as_ref());
                end(&facts, &address, ended).await
            }
            Some(Ending::Lost(failure)) => self.lose(&facts, assignment, failure).await,
            None => {
                info!(inference = %address.inference, "letting go of an attempt that was given up");
                Ok(())
            }
        };
        self.forget(&computing);
        settled.map(|()| Handled::Done)
    }

    /// Computes it; `previous` becomes the last fact that was written of it. One that was given up is never answered.
    async fn answer(&self, assignment: &mut Assignment, previous: &mut FactHash) -> Ending {
        let Some(_beginning) = self.begin(assignment).await else { return std::future::pending().await };
        let began = Instant::now();
        let prepared = match self.prepare(assignment).await {
            Ok(prepared) => prepared,
            Err(failure) => return Ending::Ended(Box::new(self.failed(assignment, failure))),
        };
        let num_prompt_tokens = prepared.num_tokens();
        let started = Started {
            attempt: assignment.attempt,
            worker: self.options.id.to_string(),
            num_prompt_tokens,
            engine_fingerprint: self.card.engine_fingerprint.clone(),
            model_digest: self.card.model_digest.clone(),
            ..Started::default()
        };
        let started = append_started(&self.facts, assignment, started, std::future::ready(true));
        let computed = self.engine.encode(prepared.inputs.clone()).await;
        match started.await {
            Ok(started) => *previous = started,
            Err(error) => {
                warn!(inference = %assignment.address.inference, %error, "the start was not written");
            }
        }
        let pooled = match computed {
            Ok(results) => PreparedRequest::finish(prepared, &results),
            Err(error @ PoolingError::Stopped) => return Ending::Lost(engine_failure(&error)),
            Err(error) => Err(engine_failure(&error)),
        };
        match pooled {
            Err(failure) => Ending::Ended(Box::new(self.failed(assignment, failure))),
            Ok(pooled) => Ending::Ended(Box::new(Ended {
                pooled,
                usage: Some(Usage { num_prompt_tokens, ..Usage::default() }),
                timings: Some(Timings {
                    prefill_nanos: u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX),
                    ..Timings::default()
                }),
                ..self.ended(assignment, Outcome::Completed)
            })),
        }
    }

    /// Off the async threads: thousands of texts take a while to tokenize.
    async fn prepare(&self, assignment: &mut Assignment) -> Result<PreparedRequest, Failure> {
        let Some(pooling) = assignment.requested.pooling.take() else {
            let message = format!("model {} does not generate text", self.card.name);
            return Err(failure(FailureKind::InvalidRequest, "unsupported_task", message).at("model"));
        };
        let (rules, text) = (self.rules.clone(), Arc::clone(&self.text));
        let endpoint = assignment.requested.endpoint.clone();
        let prepared =
            tokio::task::spawn_blocking(move || rules.prepare(&text.tokenizer, pooling, &endpoint)).await;
        prepared
            .unwrap_or_else(|error| Err(failure(FailureKind::Internal, "engine_error", error.to_string())))
    }

    async fn lose(
        &self,
        facts: &FactWriter,
        assignment: Assignment,
        failure: Failure,
    ) -> Result<(), BusError> {
        let failed = AttemptFailed {
            attempt: assignment.attempt,
            worker: self.options.id.to_string(),
            failure: Some(failure),
            summary: Some(assignment.summary),
            history: Some(history_after_failure(assignment.history)),
        };
        append_attempt_failed(facts, &assignment.address, failed).await
    }

    /// Another worker began it and brought it to no end.
    async fn give_up(
        &self,
        assignment: &Assignment,
        started: Started,
        record: &Record,
    ) -> Result<(), BusError> {
        let failed = AttemptFailed {
            attempt: assignment.attempt,
            worker: started.worker,
            failure: Some(worker_lost()),
            summary: Some(assignment.summary.clone()),
            history: Some(history_after_loss(assignment.history, Reached::Beginning { num_unproven: None })),
        };
        let facts = self.facts.following(FactHash::of(&record.payload));
        append_attempt_failed(&facts, &assignment.address, failed).await
    }

    fn failed(&self, assignment: &Assignment, failure: Failure) -> Ended {
        Ended { failure: Some(failure), ..self.ended(assignment, Outcome::Failed) }
    }

    fn ended(&self, assignment: &Assignment, outcome: Outcome) -> Ended {
        Ended {
            outcome: outcome.into(),
            attempt: assignment.attempt,
            worker: self.options.id.to_string(),
            engine_fingerprint: self.card.engine_fingerprint.clone(),
            ..Ended::default()
        }
    }
}

/// Batches take up a part of the slots of their own.
fn num_batch_slots(num_slots: usize) -> usize {
    num_slots.div_ceil(8)
}

fn engine_failure(error: &PoolingError) -> Failure {
    failure(FailureKind::Internal, error.code(), error.to_string())
}

/// Restarts the delivery's acknowledgement timeout for as long as it is polled.
async fn keep_alive(delivery: &Delivery) -> Infallible {
    let mut ticks = tokio::time::interval(topology::POOL_ACK_WAIT / 3);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.tick().await;
    loop {
        ticks.tick().await;
        if let Err(error) = delivery.progress().await {
            warn!(%error, "progress could not be told");
        }
    }
}
