//! An engine without its runner: the weights and the cache are released, the rest stays.

use tokio::sync::oneshot;

use crate::engine::error::EngineError;
use crate::engine::step_loop::StepLoop;
use crate::runner::{ModelRunner, RunnerError, RunnerShape, SequenceChunk};
use crate::runner_source::Runners;

const PATH: &str = "asleep";

/// Stands where the runner was.
#[derive(Debug)]
struct Asleep {
    shape: RunnerShape,
}

impl ModelRunner for Asleep {
    fn shape(&self) -> RunnerShape {
        self.shape
    }

    fn forward(&mut self, _: &[SequenceChunk<'_>], _: &mut Vec<f32>) -> Result<(), RunnerError> {
        Err(RunnerError::Device("the weights are released".to_owned()))
    }

    fn copy_block(&mut self, _: u32, _: u32) -> Result<(), RunnerError> {
        Err(RunnerError::Device("the cache is released".to_owned()))
    }

    fn kernel_path(&self) -> &'static str {
        PATH
    }
}

impl StepLoop {
    pub(super) fn is_asleep(&self) -> bool {
        self.runner.kernel_path() == PATH
    }

    /// Drops the runners unless a sequence needs them.
    pub(super) fn fall_asleep(&mut self, reply: oneshot::Sender<bool>) {
        // Without sequences no block is held, so that the prefix cache can be cleared: its blocks are gone.
        let is_free = self.answers.is_empty() && self.scheduler.clear_prefix_cache();
        if is_free && !self.is_asleep() {
            self.runner = Box::new(Asleep { shape: self.shape });
            if let Some(drafter) = &mut self.drafter {
                drafter.release_model();
            }
            self.logits = Vec::new();
            tracing::info!("the engine is asleep: its weights and its cache are released");
        }
        if reply.send(is_free).is_err() {
            tracing::debug!("nobody waits for the engine to fall asleep any more");
        }
    }

    /// Takes runners in the place of those that were dropped.
    pub(super) fn wake(&mut self, runners: Runners, reply: oneshot::Sender<Result<(), EngineError>>) {
        let outcome = if self.is_asleep() { self.take_runners(runners) } else { Ok(()) };
        if reply.send(outcome).is_err() {
            tracing::debug!("nobody waits for the engine to wake any more");
        }
    }

    fn take_runners(&mut self, Runners { target, draft }: Runners) -> Result<(), EngineError> {
        let found = target.shape();
        if found != self.shape {
            let (found, expected) = (format!("{found:?}"), format!("{:?}", self.shape));
            return Err(EngineError::AnotherRunner { found, expected });
        }
        if let Some(drafter) = self.drafter.as_mut().filter(|drafter| drafter.wants_model()) {
            drafter.take_model(draft.ok_or(EngineError::NoDraftModel)?);
        }
        self.runner = target;
        tracing::info!("the engine is awake");
        Ok(())
    }
}
