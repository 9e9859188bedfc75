//! The engine: sequences in, tokens and text out, one step after another.
//!
//! A handle, a command enum and a thread. The loop is in [`step_loop`]: schedule, run, postprocess. What a sequence
//! answers is decided by pure code, in `schedulers::batching` and [`crate::sampler`]; here are the clock, the channels
//! and the runner. Sampling and text stay on this thread: a token's text costs under a microsecond, and a stop string must
//! be found before the next step is planned.

pub mod step_loop;

mod answer;
pub mod config;
pub mod error;
pub mod handle;
mod inference;
pub mod output;
pub mod output_queue;
pub mod request;
pub mod stats;
pub mod thinking;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError, mpsc};

use tokio::sync::watch;

use crate::detokenizer::TokenTable;
use crate::engine::config::EngineConfig;
use crate::engine::error::EngineError;
use crate::engine::handle::EngineHandle;
use crate::engine::output_queue::{OutputReceiver, output_queue};
use crate::engine::request::RequestLimits;
use crate::engine::stats::EngineStats;
use crate::engine::step_loop::StepLoop;
use crate::runner::{Interrupt, ModelRunner};
use crate::speculation::config::{SpeculativeConfig, SpeculativeMethod};
use crate::speculation::drafter::Drafter;

/// Whether the engine's thread lives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EngineStatus {
    /// It takes requests, or drains.
    Running,
    /// It was shut down.
    ShutDown,
    /// It ended by a defect: what it was.
    Crashed(String),
}

/// Starts engines.
#[derive(Debug)]
pub struct Engine;

impl Engine {
    /// Starts the engine's thread over `runner`. The engine ends when it is shut down, when all its handles are dropped,
    /// or when the receiver of its output is.
    pub fn start(
        runner: Box<dyn ModelRunner>,
        tokens: Arc<TokenTable>,
        config: EngineConfig,
    ) -> Result<(EngineHandle, OutputReceiver), EngineError> {
        Self::start_with_draft_model(runner, None, tokens, config)
    }

    /// The same with a runner of the smaller model that [`SpeculativeMethod::Draft`] asks for.
    ///
    /// [`SpeculativeMethod::Draft`]: crate::speculation::config::SpeculativeMethod::Draft
    pub fn start_with_draft_model(
        runner: Box<dyn ModelRunner>,
        draft_runner: Option<Box<dyn ModelRunner>>,
        tokens: Arc<TokenTable>,
        config: EngineConfig,
    ) -> Result<(EngineHandle, OutputReceiver), EngineError> {
        let drafter = match &config.speculative {
            Some(speculative) => Some(drafter(speculative, draft_runner)?),
            None => None,
        };
        let shape = runner.shape();
        let limits = RequestLimits::new(&shape, &tokens, config.sampling_limits);
        let stats = Arc::new(Mutex::new(EngineStats::default()));
        let (command_sender, commands) = mpsc::channel();
        let (outputs, receiver) = output_queue();
        let (status, watched_status) = watch::channel(EngineStatus::Running);
        let interrupt = Interrupt::default();
        let channels = (commands, outputs, interrupt.clone());
        let mut step_loop = StepLoop::new((runner, drafter), tokens, &config, channels, Arc::clone(&stats))?;
        std::thread::Builder::new()
            .name("engine".to_owned())
            .spawn(move || {
                let outcome = run_to_the_end(&mut step_loop);
                // The runner may have been left in any state; its destructor must not take the report along.
                if catch_unwind(AssertUnwindSafe(|| drop(step_loop))).is_err() {
                    tracing::error!("the runner panicked while it was dropped");
                }
                status.send_replace(outcome);
            })
            .map_err(EngineError::Thread)?;
        Ok((EngineHandle::new((command_sender, interrupt), limits, stats, watched_status), receiver))
    }
}

fn drafter(config: &SpeculativeConfig, runner: Option<Box<dyn ModelRunner>>) -> Result<Drafter, EngineError> {
    config.check()?;
    if runner.is_none() && matches!(config.method, SpeculativeMethod::Draft { .. }) {
        return Err(EngineError::NoDraftModel);
    }
    Ok(Drafter::new(config.clone(), runner))
}

/// Runs the loop and, if it broke, ends every sequence with the reason.
fn run_to_the_end(step_loop: &mut StepLoop) -> EngineStatus {
    let reason = match catch_unwind(AssertUnwindSafe(|| step_loop.run())) {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(error.to_string()),
        Err(payload) => Some(format!("the engine panicked: {}", panic_message(payload.as_ref()))),
    };
    if let Some(reason) = &reason {
        tracing::error!(%reason, "the engine stopped");
    }
    let status = reason.clone().map_or(EngineStatus::ShutDown, EngineStatus::Crashed);
    step_loop.end_all(reason);
    status
}

fn panic_message(payload: &(dyn std::any::Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a message")
}

/// A panic while the lock was held leaves whole values behind: each is replaced in one assignment.
fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
