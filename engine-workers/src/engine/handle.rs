//! How the rest of the worker talks to the engine's thread.

use std::sync::{Arc, Mutex, mpsc};
use std::time::Instant;

use schemas::InferenceId;
use tokio::sync::{oneshot, watch};

use crate::engine::error::{EngineError, SubmitError};
use crate::engine::request::{EngineRequest, RequestLimits, ValidRequest};
use crate::engine::stats::EngineStats;
use crate::engine::{EngineStatus, locked};
use crate::runner::Interrupt;
use crate::runner_source::Runners;

/// What the engine's thread is told.
pub(super) enum Command {
    /// Queue a request and say whether it was taken.
    Submit {
        request: Box<ValidRequest>,
        submitted_at: Instant,
        reply: oneshot::Sender<Result<(), SubmitError>>,
    },
    /// Give an inference up.
    Abort(InferenceId),
    /// Take no more requests and say when the last one has ended.
    Drain(oneshot::Sender<()>),
    /// Drop the runners if no sequence is there, and say whether they are gone.
    Sleep(oneshot::Sender<bool>),
    /// Go on with other runners.
    Wake { runners: Runners, reply: oneshot::Sender<Result<(), EngineError>> },
    /// Give everything up and end.
    Shutdown,
}

/// A handle to a running engine; clones talk to the same one.
#[derive(Debug, Clone)]
pub struct EngineHandle {
    commands: mpsc::Sender<Command>,
    interrupt: Interrupt,
    limits: RequestLimits,
    stats: Arc<Mutex<EngineStats>>,
    status: watch::Receiver<EngineStatus>,
}

impl EngineHandle {
    pub(super) fn new(
        (commands, interrupt): (mpsc::Sender<Command>, Interrupt),
        limits: RequestLimits,
        stats: Arc<Mutex<EngineStats>>,
        status: watch::Receiver<EngineStatus>,
    ) -> Self {
        EngineHandle { commands, interrupt, limits, stats, status }
    }

    /// Queues an inference. The request is with the engine once this was polled; the answer comes between two steps, so
    /// that callers with many requests should wait for them together. Dropped before the answer, the request is given up. A
    /// step of batches alone is given up for a request that is of none.
    pub async fn submit(&self, request: EngineRequest) -> Result<(), SubmitError> {
        let is_urgent = !request.is_batch;
        let request = Box::new(self.limits.validate(request)?);
        let (reply, answer) = oneshot::channel();
        self.commands
            .send(Command::Submit { request, submitted_at: Instant::now(), reply })
            .map_err(|_| SubmitError::Stopped)?;
        if is_urgent {
            self.interrupt.raise();
        }
        answer.await.unwrap_or(Err(SubmitError::Stopped))
    }

    /// Gives an inference up: its blocks are free before the next step, and each of its sequences that still runs ends as
    /// cancelled. Without effect on an id that is unknown or has ended.
    pub fn abort(&self, id: InferenceId) -> Result<(), SubmitError> {
        self.commands.send(Command::Abort(id)).map_err(|_| SubmitError::Stopped)
    }

    /// Takes no more requests and returns when the last one has ended.
    pub async fn drain(&self) -> Result<(), SubmitError> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(Command::Drain(reply)).map_err(|_| SubmitError::Stopped)?;
        answer.await.map_err(|_| SubmitError::Stopped)
    }

    /// Drops the runners with their weights and caches, if no sequence is there; false, and nothing changed, if one is.
    /// Requests are refused until [`EngineHandle::wake`]; with the cache goes the prefix cache.
    pub async fn sleep(&self) -> Result<bool, EngineError> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(Command::Sleep(reply)).map_err(|_| EngineError::Stopped)?;
        answer.await.map_err(|_| EngineError::Stopped)
    }

    /// Goes on with a runner of the same shape as the one that was dropped, and with a draft model if it had one; an engine
    /// that is awake keeps its own.
    pub async fn wake(&self, runners: Runners) -> Result<(), EngineError> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(Command::Wake { runners, reply }).map_err(|_| EngineError::Stopped)?;
        answer.await.unwrap_or(Err(EngineError::Stopped))
    }

    /// Gives everything up, ends the engine's thread and returns when the runner is dropped.
    pub async fn shutdown(&self) -> EngineStatus {
        // An engine that has stopped already takes no command and needs none.
        drop(self.commands.send(Command::Shutdown));
        self.stopped().await
    }

    /// Returns when the engine's thread has ended, with the reason. Cancel-safe.
    pub async fn stopped(&self) -> EngineStatus {
        let mut status = self.status.clone();
        match status.wait_for(|status| *status != EngineStatus::Running).await {
            Ok(status) => status.clone(),
            Err(_) => EngineStatus::Crashed("the engine's thread ended without a status".to_owned()),
        }
    }

    /// Whether the engine's thread lives.
    pub fn status(&self) -> EngineStatus {
        self.status.borrow().clone()
    }

    /// Numbers after the latest step, without waiting for the engine.
    pub fn stats(&self) -> EngineStats {
        *locked(&self.stats)
    }

    /// What a request may ask.
    pub fn limits(&self) -> &RequestLimits {
        &self.limits
    }
}
