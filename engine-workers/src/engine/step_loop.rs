//! The loop: schedule, run, postprocess.

mod admission;
mod masks;
mod postprocess;
mod sleep;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use schedulers::batching::batch_turn::BatchTurn;
use schedulers::batching::scheduler::{BatchLimits, Scheduler};
use schedulers::batching::sequence::{Sequence, SequenceId};
use schedulers::batching::step_pace::StepPace;
use schedulers::batching::step_plan::{ScheduledSequence, StepPlan};
use schemas::InferenceId;
use tokio::sync::oneshot;

use crate::detokenizer::TokenTable;
use crate::engine::answer::Answer;
use crate::engine::config::EngineConfig;
use crate::engine::error::EngineError;
use crate::engine::handle::Command;
use crate::engine::inference::Inference;
use crate::engine::locked;
use crate::engine::output::{Replayed, SequenceOutput, StepOutput};
use crate::engine::output_queue::OutputSender;
use crate::engine::stats::EngineStats;
use crate::grammar::mask_thread::MaskThread;
use crate::runner::{Interrupt, LogitRows, ModelRunner, RunnerError, RunnerShape, SequenceChunk};
use crate::sampler::Sampler;
use crate::speculation::drafter::Drafter;

/// For so long after the last interactive request the next one is expected: steps of batches stay short. Who comes later
/// interrupts a long one, which costs what it had computed.
const INTERACTIVE_MEMORY: Duration = Duration::from_secs(2);

/// The engine's state, on its own thread.
pub(super) struct StepLoop {
    runner: Box<dyn ModelRunner>,
    shape: RunnerShape,
    scheduler: Scheduler,
    pace: Option<StepPace>,
    /// When a request that is of no batch came last.
    last_interactive_at: Option<Instant>,
    batch_turn: BatchTurn,
    /// Raised when a request that is of no batch comes.
    interrupt: Interrupt,
    drafter: Option<Drafter>,
    sampler: Sampler,
    /// Started with the first grammar.
    mask_thread: Option<MaskThread>,
    tokens: Arc<TokenTable>,
    commands: mpsc::Receiver<Command>,
    outputs: OutputSender,
    inferences: HashMap<InferenceId, Inference>,
    answers: HashMap<SequenceId, Answer>,
    /// What was resumed since the last step.
    new_replayed: Vec<Replayed>,
    /// Output that waits for the end of the step.
    new_outputs: Vec<SequenceOutput>,
    logits: Vec<f32>,
    next_sequence: u64,
    max_num_held: usize,
    drains: Vec<oneshot::Sender<()>>,
    is_draining: bool,
    stats: EngineStats,
    published_stats: Arc<Mutex<EngineStats>>,
}

impl StepLoop {
    pub(super) fn new(
        (runner, drafter): (Box<dyn ModelRunner>, Option<Drafter>),
        tokens: Arc<TokenTable>,
        config: &EngineConfig,
        channels: (mpsc::Receiver<Command>, OutputSender, Interrupt),
        published_stats: Arc<Mutex<EngineStats>>,
    ) -> Result<Self, EngineError> {
        let shape = runner.shape();
        let (commands, outputs, interrupt) = channels;
        Ok(StepLoop {
            runner,
            shape,
            scheduler: Scheduler::new(config.scheduler_config(&shape))?,
            pace: config.target_step_time.map(StepPace::new),
            last_interactive_at: None,
            batch_turn: BatchTurn::default(),
            interrupt,
            drafter,
            sampler: Sampler::default(),
            mask_thread: None,
            tokens,
            commands,
            outputs,
            inferences: HashMap::new(),
            answers: HashMap::new(),
            new_replayed: Vec::new(),
            new_outputs: Vec::new(),
            logits: Vec::new(),
            next_sequence: 0,
            max_num_held: config.max_num_seqs + config.max_num_queued_requests,
            drains: Vec::new(),
            is_draining: false,
            stats: EngineStats::default(),
            published_stats,
        })
    }

    /// Runs until the engine is shut down; `Err` if it cannot go on.
    pub(super) fn run(&mut self) -> Result<(), EngineError> {
        while self.take_commands()? {
            let plan = self.plan()?;
            let has_lent = self.lend_matchers(&plan);
            let planned_at = Instant::now();
            let outcome = self.forward(&plan)?;
            if has_lent {
                self.take_matchers_back();
            }
            if matches!(outcome, Err(RunnerError::Interrupted)) {
                self.scheduler.give_up(&plan);
                self.batch_turn.note(&self.scheduler, &StepPlan::default(), planned_at);
                continue;
            }
            self.batch_turn.note(&self.scheduler, &plan, planned_at);
            self.postprocess(&plan, outcome)?;
            self.publish()?;
        }
        Ok(())
    }

    fn plan(&mut self) -> Result<StepPlan, EngineError> {
        let started_at = Instant::now();
        let num_running = self.scheduler.running().len();
        if let Some(limit) = self.pace.as_ref().and_then(|pace| pace.max_num_prefill_tokens(num_running)) {
            self.scheduler.limit_shared_prefill(limit);
        }
        self.scheduler.limit_batch_work(self.batch_limits(started_at));
        let mut plan = self.scheduler.schedule()?;
        let planned_at = Instant::now();
        self.stats.schedule_time_total += planned_at - started_at;
        if let Some(drafter) = &mut self.drafter {
            let (answers, sampler, vocab_size) = (&self.answers, &mut self.sampler, self.shape.vocab_size);
            drafter.extend(&mut plan, &mut self.scheduler, &mut |id, offset, logits| {
                // The draft model's vocabulary may be padded to more.
                let num_tokens = logits.len().min(vocab_size);
                answers.get(&id)?.guess(sampler, offset, &mut logits[..num_tokens])
            })?;
            self.stats.draft_time_total += planned_at.elapsed();
        }
        Ok(plan)
    }

    /// Batches leave an eighth of the sequences free, so that who comes next need not take a place from them.
    fn batch_limits(&self, now: Instant) -> BatchLimits {
        let others_come = self.last_interactive_at.is_some_and(|at| at.elapsed() < INTERACTIVE_MEMORY);
        let pace = self.pace.as_ref().filter(|_| others_come);
        let limits = pace.map_or_else(BatchLimits::default, StepPace::batch_limits);
        let max_num_seqs = self.scheduler.config().max_num_seqs;
        BatchLimits {
            max_num_seqs: limits.max_num_seqs.min(max_num_seqs - max_num_seqs / 8),
            is_due: self.batch_turn.is_due(now),
            ..limits
        }
    }

    /// Obeys what was commanded since the last step, and waits for commands while there is nothing to compute. False to
    /// end the engine.
    fn take_commands(&mut self) -> Result<bool, EngineError> {
        self.interrupt.lower();
        loop {
            let is_idle = !self.scheduler.has_work();
            if is_idle {
                self.publish()?;
                self.report_drained();
            }
            let command = match self.commands.try_recv() {
                Ok(command) => command,
                Err(mpsc::TryRecvError::Disconnected) => return Ok(false),
                Err(mpsc::TryRecvError::Empty) if !is_idle => return Ok(true),
                Err(mpsc::TryRecvError::Empty) => match self.commands.recv() {
                    Ok(command) => command,
                    Err(mpsc::RecvError) => return Ok(false),
                },
            };
            match command {
                Command::Submit { request, submitted_at, reply } => {
                    let outcome = self.admit(request.into_inner(), submitted_at)?;
                    let id = outcome.as_ref().ok().copied();
                    // Nobody waits for the answer any more, so nobody will read the output.
                    if let (Err(_), Some(id)) = (reply.send(outcome.map(|_| ())), id) {
                        self.cancel(id)?;
                    }
                }
                Command::Abort(id) => self.cancel(id)?,
                Command::Drain(reply) => {
                    self.is_draining = true;
                    self.drains.push(reply);
                }
                Command::Sleep(reply) => self.fall_asleep(reply),
                Command::Wake { runners, reply } => self.wake(runners, reply),
                Command::Shutdown => return Ok(false),
            }
        }
    }

    /// Computes the step: the logits that it needs are in `self.logits`, in the plan's order.
    fn forward(&mut self, plan: &StepPlan) -> Result<Result<(), RunnerError>, EngineError> {
        if plan.sequences.is_empty() {
            return Err(EngineError::Stalled { num_waiting: self.scheduler.stats().num_waiting });
        }
        let started_at = Instant::now();
        let mut chunks = Vec::with_capacity(plan.sequences.len());
        let mut num_rows = 0;
        for share in &plan.sequences {
            let positions = share.first_position..share.first_position + share.num_tokens;
            let logit_rows = self.logit_rows(share);
            num_rows += num_rows_of(logit_rows, share.num_tokens);
            chunks.push(SequenceChunk {
                tokens: &self.scheduler.sequence(share.id)?.tokens_and_drafts()[positions],
                first_position: share.first_position,
                block_table: self.scheduler.block_table(share.id),
                logit_rows,
                adapter: self.answers.get(&share.id).and_then(Answer::adapter),
            });
        }
        let mut copies = plan.sequences.iter().filter_map(|share| share.copy);
        let copied = copies.try_for_each(|copy| self.runner.copy_block(copy.from.0, copy.to.0));
        let outcome = match (copied, self.is_interruptible(plan, started_at)) {
            (Err(error), _) => Err(error),
            (Ok(()), true) => self.runner.forward_unless(&chunks, &mut self.logits, &self.interrupt),
            (Ok(()), false) => self.runner.forward(&chunks, &mut self.logits),
        };
        let expected = num_rows * self.shape.vocab_size;
        if outcome.is_ok() && self.logits.len() != expected {
            return Err(EngineError::WrongLogits { found: self.logits.len(), expected });
        }
        let took = started_at.elapsed();
        self.stats.forward_time_total += took;
        if matches!(outcome, Err(RunnerError::Interrupted)) {
            return Ok(outcome);
        }
        if let Some(pace) = &mut self.pace {
            let num_prefill_tokens = plan.num_prefill_tokens();
            pace.observe(plan.num_tokens() - num_prefill_tokens, num_prefill_tokens, took);
        }
        if let Some(drafter) = &mut self.drafter {
            drafter.observe(plan, took);
        }
        self.stats.last_iteration_tokens = plan.num_tokens() as u64;
        Ok(outcome)
    }

    /// Whether the step may be given up for a request that comes in it: it is of batches alone, and they had their turn.
    fn is_interruptible(&self, plan: &StepPlan, now: Instant) -> bool {
        let is_of_batch = |id| self.scheduler.sequence(id).is_ok_and(Sequence::is_batch);
        !self.batch_turn.is_due(now) && plan.sequences.iter().all(|share| is_of_batch(share.id))
    }

    /// Which rows of logits a sequence's share of a step needs.
    fn logit_rows(&self, share: &ScheduledSequence) -> LogitRows {
        let scores = self.answers.get(&share.id).and_then(|answer| {
            let inference = self.inferences.get(&answer.inference)?;
            inference.scores.as_ref().filter(|_| inference.leader == Some(share.id))
        });
        let is_scored = scores.is_some_and(|scores| scores.wants_rows_from(share.first_position));
        if is_scored || share.num_drafts > 0 {
            LogitRows::All
        } else if share.is_sampled {
            match self.answers.get(&share.id) {
                Some(answer) if answer.takes_largest() => LogitRows::LargestOfLast,
                _ => LogitRows::Last,
            }
        } else {
            LogitRows::None
        }
    }

    /// Hands the step's output to the reader.
    fn publish(&mut self) -> Result<(), EngineError> {
        self.stats.scheduler = self.scheduler.stats();
        *locked(&self.published_stats) = self.stats;
        if self.new_outputs.is_empty() && self.new_replayed.is_empty() {
            return Ok(());
        }
        let output = StepOutput {
            step: self.stats.scheduler.num_steps_total,
            replayed: std::mem::take(&mut self.new_replayed),
            sequences: std::mem::take(&mut self.new_outputs),
        };
        if self.outputs.push(output) { Ok(()) } else { Err(EngineError::ReceiverGone) }
    }

    fn report_drained(&mut self) {
        if self.answers.is_empty() {
            for reply in self.drains.drain(..) {
                if reply.send(()).is_err() {
                    tracing::debug!("nobody waits for the end of the drain any more");
                }
            }
        }
    }
}

/// Rows of logits that a chunk of `num_tokens` brings.
fn num_rows_of(logit_rows: LogitRows, num_tokens: usize) -> usize {
    match logit_rows {
        LogitRows::None => 0,
        LogitRows::Last | LogitRows::LargestOfLast => 1,
        LogitRows::All => num_tokens,
    }
}
