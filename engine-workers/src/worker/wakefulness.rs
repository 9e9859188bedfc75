//! Sleep and wake: the weights and the cache are released while requests wait in the log.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use schemas::failure;
use schemas::v1::{Failure, FailureKind};
use tokio::sync::{Mutex, watch};
use tracing::{info, warn};

use super::{PAUSE_AFTER_FAILURE, Worker, locked};
use crate::loaded_model::ModelLoadError;
use crate::runner_source::RunnerSource;

/// Between two attempts to put an engine to sleep that is about to be free.
const PAUSE_WHILE_BUSY: Duration = Duration::from_millis(10);

/// How a worker may sleep.
#[derive(Debug, Clone)]
pub struct SleepOptions {
    /// Where the weights come back from.
    pub source: RunnerSource,
    /// Whether it sleeps when it is told to.
    pub obeys: bool,
    /// Falls asleep by itself after so long without work, and wakes for the next request.
    pub after_idle: Option<Duration>,
}

/// Whether a worker is awake.
#[derive(Debug)]
pub(super) struct Wakefulness {
    options: Option<SleepOptions>,
    /// True from the moment it takes no more work.
    is_asleep: watch::Sender<bool>,
    /// Whether the next request wakes it; a worker that was told to sleep waits to be told to wake.
    wakes_on_demand: AtomicBool,
    /// Held by whoever changes the state.
    changing: Mutex<()>,
    /// Counts the inferences that were taken up.
    taken: watch::Sender<u64>,
}

impl Wakefulness {
    /// Awake; without options it cannot sleep.
    pub(super) fn new(options: Option<SleepOptions>) -> Self {
        Self {
            options,
            is_asleep: watch::Sender::new(false),
            wakes_on_demand: AtomicBool::new(false),
            changing: Mutex::new(()),
            taken: watch::Sender::new(0),
        }
    }

    pub(super) fn is_asleep(&self) -> bool {
        *self.is_asleep.borrow()
    }

    /// An inference was taken up.
    pub(super) fn count_taken(&self) {
        self.taken.send_modify(|num_taken| *num_taken += 1);
    }

    /// Returns once work may be looked for: when awake, or when work would wake it. Cancel-safe.
    pub(super) async fn may_fetch(&self) {
        let mut is_asleep = self.is_asleep.subscribe();
        // The sender lives as long as this does.
        let awake =
            is_asleep.wait_for(|is_asleep| !is_asleep || self.wakes_on_demand.load(Ordering::Acquire));
        drop(awake.await);
    }
}

impl Worker {
    /// Takes no more work, finishes what it has and releases weights and cache. Returns where its announcement stands.
    pub(super) async fn fall_asleep(&self, wakes_on_demand: bool) -> Result<u64, Failure> {
        let options = self.wakefulness.options.as_ref();
        if options.is_none_or(|options| !options.obeys && !wakes_on_demand) {
            return Err(not_enabled());
        }
        let _exclusive = self.wakefulness.changing.lock().await;
        self.wakefulness.wakes_on_demand.store(wakes_on_demand, Ordering::Release);
        self.wakefulness.is_asleep.send_replace(true);
        loop {
            self.all_left().await;
            match self.engine.sleep().await {
                Ok(true) => break,
                Ok(false) => tokio::time::sleep(PAUSE_WHILE_BUSY).await,
                Err(error) => return Err(internal(error.code(), error.to_string())),
            }
        }
        info!(wakes_on_demand, "the worker is asleep");
        self.announce().await.map_err(|error| internal("not_announced", error.to_string()))
    }

    /// Loads the weights again and goes on. Returns where its announcement stands.
    pub(super) async fn wake(&self) -> Result<u64, Failure> {
        let Some(options) = self.wakefulness.options.clone() else { return Err(not_enabled()) };
        let _exclusive = self.wakefulness.changing.lock().await;
        if self.wakefulness.is_asleep() {
            let loaded = tokio::task::spawn_blocking(move || options.source.load()).await;
            let runners = loaded
                .map_err(|error| internal("model_not_loaded", error.to_string()))?
                .map_err(|error| not_loaded(&error))?;
            self.engine.wake(runners).await.map_err(|error| internal(error.code(), error.to_string()))?;
            self.wakefulness.is_asleep.send_replace(false);
            info!("the worker is awake");
        }
        self.announce().await.map_err(|error| internal("not_announced", error.to_string()))
    }

    /// Whether work that came can be begun; wakes for it if it may.
    pub(super) async fn is_ready_for_work(&self) -> bool {
        if !self.wakefulness.is_asleep() {
            return true;
        }
        if !self.wakefulness.wakes_on_demand.load(Ordering::Acquire) {
            return false;
        }
        match self.wake().await {
            Ok(_) => true,
            Err(failure) => {
                warn!(code = failure.code, reason = failure.message, "the worker cannot wake");
                // What it cannot begin comes again at once.
                tokio::time::sleep(PAUSE_AFTER_FAILURE).await;
                false
            }
        }
    }

    /// Falls asleep whenever nothing was asked for so long; for ever.
    pub(super) async fn sleep_when_idle(self: Arc<Self>) {
        let after_idle = self.wakefulness.options.as_ref().and_then(|options| options.after_idle);
        let Some(after_idle) = after_idle else { return };
        loop {
            let mut taken = self.wakefulness.taken.subscribe();
            self.all_left().await;
            if tokio::time::timeout(after_idle, taken.changed()).await.is_ok() {
                continue;
            }
            if !locked(&self.active).is_empty() {
                continue;
            }
            if !self.wakefulness.is_asleep()
                && let Err(failure) = self.fall_asleep(true).await
            {
                warn!(code = failure.code, reason = failure.message, "the worker cannot fall asleep");
            }
            let mut is_asleep = self.wakefulness.is_asleep.subscribe();
            drop(is_asleep.wait_for(|is_asleep| !is_asleep).await);
        }
    }
}

fn not_enabled() -> Failure {
    let message = "sleep is not enabled: set worker.enable_sleep";
    failure(FailureKind::NotFound, "sleep_not_enabled", message)
}

fn not_loaded(error: &ModelLoadError) -> Failure {
    if error.is_retryable() {
        let message = format!("the model sleeps on, as its weights cannot be loaded now: {error}");
        failure(FailureKind::Overloaded, error.code(), message)
    } else {
        internal(error.code(), error.to_string())
    }
}

fn internal(code: &str, message: String) -> Failure {
    failure(FailureKind::Internal, code, message)
}
