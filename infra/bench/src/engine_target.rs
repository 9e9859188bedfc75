//! The engine called directly, in this process: no HTTP, no bus, no tokenizer. What the platform costs is measured against it.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use engine_workers::cpu_runner::options::CpuRunnerOptions;
use engine_workers::engine::config::EngineConfig;
use engine_workers::engine::handle::EngineHandle;
use engine_workers::engine::output::{FinishCause, SequenceOutput};
use engine_workers::engine::output_queue::OutputReceiver;
use engine_workers::engine::request::EngineRequest;
use engine_workers::engine::stats::EngineStats;
use engine_workers::loaded_model::{FormatOptions, LoadedModel, ModelLoadError, ModelLoadOptions};
use engine_workers::worker::ModelText;
use schemas::{InferenceId, SamplingParams};
use tokio::sync::mpsc;

use crate::completion::{Completion, CompletionRequest, Outcome, OutputClock};

/// Why the engine can't be measured.
#[derive(Debug, thiserror::Error)]
pub enum EngineTargetError {
    /// The model.
    #[error(transparent)]
    Load(#[from] Box<ModelLoadError>),
    /// The thread that was to load it.
    #[error("loading the model ended early: {0}")]
    Thread(#[from] tokio::task::JoinError),
}

/// Who waits for the output of which inference.
type Waiting = Arc<Mutex<HashMap<InferenceId, mpsc::UnboundedSender<SequenceOutput>>>>;

/// A running engine with the defaults of `jetmill serve`.
#[derive(Debug, Clone)]
pub struct EngineTarget {
    engine: EngineHandle,
    text: Arc<ModelText>,
    waiting: Waiting,
    num_asked: Arc<AtomicU64>,
}

impl EngineTarget {
    /// Loads the model and starts the engine over it.
    pub async fn load(model: &Path, num_threads: usize) -> Result<Self, EngineTargetError> {
        Self::load_with(model, num_threads, EngineConfig::default()).await
    }

    /// The same with another configuration of the engine.
    pub async fn load_with(
        model: &Path,
        num_threads: usize,
        engine: EngineConfig,
    ) -> Result<Self, EngineTargetError> {
        let options = ModelLoadOptions {
            path: model.to_owned(),
            name: None,
            aliases: Vec::new(),
            formats: FormatOptions::default(),
            runner: CpuRunnerOptions { num_threads, ..CpuRunnerOptions::default() },
            engine,
            digest_cache_dir: None,
        };
        let model = tokio::task::spawn_blocking(|| LoadedModel::load(options).map_err(Box::new)).await??;
        let waiting = Waiting::default();
        tokio::spawn(deliver(model.outputs, Arc::clone(&waiting)));
        Ok(Self { engine: model.engine, text: model.text, waiting, num_asked: Arc::default() })
    }

    /// The engine's counters.
    #[must_use]
    pub fn stats(&self) -> EngineStats {
        self.engine.stats()
    }

    /// The model's tokenizer and templates.
    #[must_use]
    pub fn text(&self) -> &ModelText {
        &self.text
    }

    /// Asks the engine and follows its steps to the end. Times count from `due`.
    pub async fn complete(&self, request: CompletionRequest, due: Instant) -> Outcome {
        match self.follow(request, due).await {
            Ok(completion) => Outcome::Completed(completion),
            Err(reason) => Outcome::Failed(reason),
        }
    }

    async fn follow(&self, request: CompletionRequest, due: Instant) -> Result<Completion, String> {
        let number = self.num_asked.fetch_add(1, Ordering::Relaxed);
        let id: InferenceId = format!("{number:032x}")
            .parse()
            .map_err(|error| format!("no id for request {number}: {error}"))?;
        let sampling = SamplingParams {
            max_tokens: Some(request.num_output_tokens),
            temperature: request.temperature as f32,
            seed: Some(request.seed),
            ignore_eos: true,
            ..SamplingParams::default()
        };
        let (sender, mut outputs) = mpsc::unbounded_channel();
        locked(&self.waiting).insert(id, sender);
        let submitted = self.engine.submit(EngineRequest::new(id, request.prompt, sampling)).await;
        if let Err(error) = submitted {
            locked(&self.waiting).remove(&id);
            return Err(format!("the engine refused: {error}"));
        }
        let mut clock = OutputClock::default();
        while let Some(output) = outputs.recv().await {
            // As in an HTTP stream, output counts once there is text of it.
            if !output.text.is_empty() {
                clock.output_at(due.elapsed());
            }
            let Some(finish) = output.finish else { continue };
            if finish.reason != FinishCause::Length {
                return Err(format!("ended by {:?}", finish.reason));
            }
            let (time_to_first_token, inter_token) = clock.finish().ok_or("the answer has no text")?;
            return Ok(Completion {
                time_to_first_token,
                inter_token,
                total: due.elapsed(),
                num_prompt_tokens: finish.usage.num_prompt_tokens.into(),
                num_cached_tokens: finish.usage.num_cached_prompt_tokens.into(),
                num_output_tokens: finish.usage.num_completion_tokens.into(),
            });
        }
        Err("the engine stopped".to_owned())
    }
}

/// Hands each step's output to those who wait, until the engine ends; then nobody waits any more.
async fn deliver(mut outputs: OutputReceiver, waiting: Waiting) {
    while let Some(step) = outputs.recv().await {
        let mut waiting = locked(&waiting);
        for output in step.sequences {
            let (id, is_last) = (output.id, output.finish.is_some());
            if let Some(sender) = waiting.get(&id) {
                // One who no longer listens has given up on the answer.
                drop(sender.send(output));
            }
            if is_last {
                waiting.remove(&id);
            }
        }
    }
    locked(&waiting).clear();
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
