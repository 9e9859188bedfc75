//! The thread that computes vectors and scores, and its queue.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

use thiserror::Error;
use tokio::sync::{Semaphore, oneshot};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::encoder::{Encoder, EncoderInput};
use super::fair_queue::FairQueue;

/// Tokens that may wait; past it requests wait before the queue.
const MAX_NUM_QUEUED_TOKENS: u32 = 1 << 20;

/// Why a request got no vectors.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PoolingError {
    /// The batch could not be computed.
    #[error("the batch could not be computed: {0}")]
    Batch(String),
    /// The engine's thread has ended.
    #[error("the engine has stopped")]
    Stopped,
}

impl PoolingError {
    /// A stable name for logs and for the client.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Batch(_) => "engine_error",
            Self::Stopped => "engine_stopped",
        }
    }

    /// Whether another attempt may do better.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Stopped)
    }
}

/// Gauges and counters after the latest batch; counters (`_total`) only grow.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct PoolingStats {
    /// Inputs without a result.
    pub num_waiting_inputs: usize,
    /// Inputs computed.
    pub inputs_total: u64,
    /// Tokens computed.
    pub tokens_total: u64,
    /// Batches computed.
    pub batches_total: u64,
    /// Time computing.
    pub forward_time_total: Duration,
}

type Reply = oneshot::Sender<Result<Vec<Vec<f32>>, PoolingError>>;

struct Command {
    inputs: Vec<EncoderInput>,
    reply: Reply,
}

/// A handle to the thread; clones talk to the same one. The thread ends when all are dropped.
#[derive(Debug, Clone)]
pub struct PoolingEngine {
    commands: mpsc::Sender<Command>,
    places: Arc<Semaphore>,
    stats: Arc<Mutex<PoolingStats>>,
    stopped: CancellationToken,
}

impl PoolingEngine {
    /// Starts the thread; a batch holds up to `budget_tokens`, or one input that is longer.
    ///
    /// # Errors
    /// What the operating system says when it gives no thread.
    pub fn start(encoder: Encoder, budget_tokens: usize) -> std::io::Result<Self> {
        let (sender, commands) = mpsc::channel();
        let stopped = CancellationToken::new();
        let stats = Arc::new(Mutex::new(PoolingStats::default()));
        let batches = Batches {
            encoder,
            commands,
            queue: FairQueue::new(budget_tokens),
            stats: Arc::clone(&stats),
            _ends: stopped.clone().drop_guard(),
        };
        std::thread::Builder::new().name("pooling".to_owned()).spawn(move || batches.run())?;
        let places = Arc::new(Semaphore::new(MAX_NUM_QUEUED_TOKENS as usize));
        Ok(Self { commands: sender, places, stats, stopped })
    }

    /// One vector per input, or a vector of one score. Dropped before the answer, the request is given up.
    ///
    /// # Errors
    /// [`PoolingError`] if a batch failed or the thread has ended.
    pub async fn encode(&self, inputs: Vec<EncoderInput>) -> Result<Vec<Vec<f32>>, PoolingError> {
        if inputs.is_empty() {
            return Ok(Vec::new());
        }
        let num_tokens: usize = inputs.iter().map(|input| input.token_ids.len()).sum();
        let num_places = u32::try_from(num_tokens).unwrap_or(u32::MAX).min(MAX_NUM_QUEUED_TOKENS);
        let _places = self.places.acquire_many(num_places).await.map_err(|_| PoolingError::Stopped)?;
        let (reply, answer) = oneshot::channel();
        self.commands.send(Command { inputs, reply }).map_err(|_| PoolingError::Stopped)?;
        answer.await.unwrap_or(Err(PoolingError::Stopped))
    }

    /// Returns when the thread has ended. Cancel-safe.
    pub async fn stopped(&self) {
        self.stopped.cancelled().await;
    }

    /// Numbers after the latest batch, without waiting for the thread.
    pub fn stats(&self) -> PoolingStats {
        *self.stats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the thread works on.
struct Batches {
    encoder: Encoder,
    commands: mpsc::Receiver<Command>,
    queue: FairQueue<Reply>,
    stats: Arc<Mutex<PoolingStats>>,
    _ends: DropGuard,
}

impl Batches {
    /// Computes until nobody can ask any more or the encoder breaks.
    fn run(mut self) {
        while self.take_commands() {
            self.queue.retain(|reply| !reply.is_closed());
            let places = self.queue.plan();
            if places.is_empty() {
                continue;
            }
            let began = Instant::now();
            let inputs = self.queue.inputs(&places);
            let num_tokens: usize = inputs.iter().map(|input| input.token_ids.len()).sum();
            let computed = catch_unwind(AssertUnwindSafe(|| self.encoder.encode(&inputs)));
            let Ok(computed) = computed else {
                // Its memory may be in any state. Who waits is told by the replies that are dropped.
                tracing::error!("the encoder panicked, the engine stops");
                return;
            };
            self.note(places.len(), num_tokens, began.elapsed());
            match computed {
                Ok(results) => {
                    for (reply, results) in self.queue.complete(&places, results) {
                        tell(reply, Ok(results));
                    }
                }
                Err(error) => {
                    for reply in self.queue.fail(&places) {
                        tell(reply, Err(PoolingError::Batch(error.to_string())));
                    }
                }
            }
        }
    }

    /// Takes in what was asked meanwhile, and waits for something when nothing is left to do; false at the end.
    fn take_commands(&mut self) -> bool {
        if self.queue.is_empty() {
            match self.commands.recv() {
                Ok(Command { inputs, reply }) => self.queue.push(inputs, reply),
                Err(mpsc::RecvError) => return false,
            }
        }
        while let Ok(Command { inputs, reply }) = self.commands.try_recv() {
            self.queue.push(inputs, reply);
        }
        true
    }

    fn note(&self, num_inputs: usize, num_tokens: usize, took: Duration) {
        let mut stats = self.stats.lock().unwrap_or_else(PoisonError::into_inner);
        stats.num_waiting_inputs = self.queue.num_waiting_inputs() - num_inputs;
        stats.inputs_total += num_inputs as u64;
        stats.tokens_total += num_tokens as u64;
        stats.batches_total += 1;
        stats.forward_time_total += took;
    }
}

/// A client that has left meanwhile needs no answer.
fn tell(reply: Reply, answer: Result<Vec<Vec<f32>>, PoolingError>) {
    drop(reply.send(answer));
}
