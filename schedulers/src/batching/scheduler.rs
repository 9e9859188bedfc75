//! Which tokens of which sequences the next step computes.

mod batch_work;
mod completion;
mod drafts;
mod open_step;
mod preemption;

use std::collections::HashMap;

use crate::batching::admission::Rejection;
use crate::batching::config::SchedulerConfig;
use crate::batching::error::BatchingError;
use crate::batching::kv_cache_manager::KvCacheManager;
use crate::batching::kv_event::KvEvent;
use crate::batching::scheduler::open_step::OpenStep;
use crate::batching::sequence::{NewSequence, Sequence, SequenceId};
use crate::batching::state::{FinishReason, SequenceState};
use crate::batching::stats::SchedulerStats;
use crate::batching::step_plan::{BlockCopy, ScheduledSequence, StepPlan};
use crate::batching::waiting_queue::WaitingQueue;
pub use batch_work::BatchLimits;

/// Sequences that wait, run and are preempted over one KV cache.
///
/// The caller's loop is `plan = schedule(); compute(plan); complete(plan, results)`. Sequences may be added and finished
/// at any moment, also between the two.
#[derive(Debug)]
pub struct Scheduler {
    config: SchedulerConfig,
    sequences: HashMap<SequenceId, Sequence>,
    waiting: WaitingQueue,
    num_held: usize,
    num_held_tokens: usize,
    running: Vec<SequenceId>,
    kv_cache: KvCacheManager,
    next_arrival: u64,
    max_num_shared_prefill_tokens: usize,
    batch_limits: BatchLimits,
    totals: SchedulerStats,
}

impl Scheduler {
    /// An idle scheduler; `Err(InvalidConfig)` if no step could ever work.
    pub fn new(config: SchedulerConfig) -> Result<Self, BatchingError> {
        config.check()?;
        Ok(Scheduler {
            kv_cache: KvCacheManager::new(&config),
            config,
            sequences: HashMap::new(),
            waiting: WaitingQueue::default(),
            num_held: 0,
            num_held_tokens: 0,
            running: Vec::new(),
            next_arrival: 0,
            max_num_shared_prefill_tokens: usize::MAX,
            batch_limits: BatchLimits::default(),
            totals: SchedulerStats::default(),
        })
    }

    /// Queues a sequence, or says why it cannot be queued.
    pub fn add(&mut self, new: NewSequence) -> Result<(), Rejection> {
        if self.sequences.contains_key(&new.id) {
            return Err(Rejection::DuplicateSequence(new.id));
        }
        self.check_admission(1, new.tokens.len())?;
        let sequence = Sequence::new(new, self.next_arrival);
        self.next_arrival += 1;
        if sequence.state().is_ready() {
            self.waiting.insert(&sequence, self.config.policy);
        } else {
            self.num_held += 1;
            self.num_held_tokens += sequence.tokens().len();
        }
        self.sequences.insert(sequence.id(), sequence);
        Ok(())
    }

    /// Whether `num_sequences` of `num_tokens` each may queue together.
    pub fn check_admission(&self, num_sequences: usize, num_tokens: usize) -> Result<(), Rejection> {
        let config = &self.config;
        if num_tokens == 0 {
            return Err(Rejection::EmptyPrompt);
        }
        if num_tokens >= config.max_model_len_tokens {
            let max_prompt_tokens = config.max_model_len_tokens - 1;
            return Err(Rejection::PromptTooLong { num_tokens, max_prompt_tokens });
        }
        if num_tokens >= config.max_sequence_tokens() {
            let num_needed_blocks = (num_tokens + 1).div_ceil(config.block_size_tokens);
            return Err(Rejection::NeverFits { num_needed_blocks, num_blocks: config.num_blocks });
        }
        let (num_queued, num_queued_tokens) = (self.num_waiting(), self.num_waiting_tokens());
        let max_num_queued_requests = config.max_num_queued_requests;
        if num_queued + num_sequences > max_num_queued_requests {
            return Err(Rejection::TooManyQueuedRequests { num_queued, max_num_queued_requests });
        }
        let (num_tokens, max_num_queued_tokens) = (num_tokens * num_sequences, config.max_num_queued_tokens);
        if num_queued > 0 && num_queued_tokens + num_tokens > max_num_queued_tokens {
            return Err(Rejection::TooManyQueuedTokens {
                num_queued_tokens,
                num_tokens,
                max_num_queued_tokens,
            });
        }
        Ok(())
    }

    /// What the sequence waited for is there: it may run.
    pub fn mark_ready(&mut self, id: SequenceId) -> Result<(), BatchingError> {
        let sequence = self.sequences.get_mut(&id).ok_or(BatchingError::UnknownSequence(id))?;
        sequence.become_state(SequenceState::Waiting)?;
        self.num_held -= 1;
        self.num_held_tokens -= sequence.tokens().len();
        self.waiting.insert(sequence, self.config.policy);
        Ok(())
    }

    /// Ends a sequence from outside and frees its blocks at once; false if it is unknown, as after its own end.
    pub fn finish(&mut self, id: SequenceId, reason: FinishReason) -> Result<bool, BatchingError> {
        let Some(mut sequence) = self.sequences.remove(&id) else { return Ok(false) };
        let state = sequence.state();
        let outcome = sequence.become_state(SequenceState::Finished(reason));
        if outcome.is_err() {
            self.sequences.insert(id, sequence);
            return outcome.map(|()| false);
        }
        match state {
            SequenceState::Running => self.running.retain(|other| *other != id),
            SequenceState::Waiting | SequenceState::Preempted => {
                self.waiting.remove(&sequence, self.config.policy);
            }
            SequenceState::WaitingForGrammar | SequenceState::WaitingForRemoteKv => {
                self.num_held -= 1;
                self.num_held_tokens -= sequence.tokens().len();
            }
            SequenceState::Finished(_) => {}
        }
        self.kv_cache.free(id);
        Ok(true)
    }

    /// Gives a sequence up; false if it is unknown.
    pub fn abort(&mut self, id: SequenceId) -> Result<bool, BatchingError> {
        self.finish(id, FinishReason::Cancelled)
    }

    /// Most tokens of prefills, all together and at least 1, in each coming step that also goes on with answers. It
    /// bounds how long a prompt holds up the answers of others.
    pub fn limit_shared_prefill(&mut self, max_num_tokens: usize) {
        self.max_num_shared_prefill_tokens = max_num_tokens.max(1);
    }

    /// Plans the next step and counts its tokens as computed. An empty plan means that nothing can run.
    pub fn schedule(&mut self) -> Result<StepPlan, BatchingError> {
        let resting = self.resting()?;
        let mut goes_on = false;
        for id in self.running.iter().filter(|id| !resting.contains(id)) {
            goes_on |= !self.sequence(*id)?.is_prefilling();
        }
        let prefill_budget_tokens = if goes_on { self.max_num_shared_prefill_tokens } else { usize::MAX };
        let mut step = OpenStep {
            plan: StepPlan::default(),
            budget_tokens: self.config.max_num_batched_tokens,
            prefill_budget_tokens,
            due_tokens: self.num_due_tokens(prefill_budget_tokens),
            batch_prefill_budget_tokens: self.batch_limits.max_num_prefill_tokens,
            resting,
        };
        self.schedule_running(&mut step)?;
        if step.plan.preempted.is_empty() {
            self.schedule_waiting(&mut step)?;
        }
        for share in &mut step.plan.sequences {
            let sequence =
                self.sequences.get_mut(&share.id).ok_or(BatchingError::UnknownSequence(share.id))?;
            sequence.advance(share.num_tokens);
            share.is_sampled = sequence.num_computed_tokens() == sequence.tokens().len();
            self.totals.num_scheduled_tokens_total += share.num_tokens as u64;
        }
        self.totals.num_steps_total += u64::from(!step.plan.sequences.is_empty());
        Ok(step.plan)
    }

    fn schedule_running(&mut self, step: &mut OpenStep) -> Result<(), BatchingError> {
        let mut index = 0;
        while step.budget_tokens > 0 {
            let Some(&id) = self.running.get(index) else { break };
            if step.resting.contains(&id) {
                index += 1;
                continue;
            }
            let sequence = self.sequence(id)?;
            let is_prefill = sequence.is_prefilling();
            let num_wanted_tokens = step.within(sequence, is_prefill, sequence.num_wanted_tokens());
            let num_tokens = self.share_of_step(num_wanted_tokens, is_prefill, step, self.running.len());
            let (first_position, num_preemptions) =
                (sequence.num_computed_tokens(), sequence.num_preemptions());
            if num_tokens > 0
                && let Some(new_blocks) = self.make_room(id, first_position + num_tokens, step)?
            {
                step.push(ScheduledSequence {
                    id,
                    first_position,
                    num_tokens,
                    num_drafts: 0,
                    new_blocks,
                    copy: None,
                    is_prefill,
                    is_sampled: false,
                    num_preemptions,
                });
                step.count(self.sequence(id)?, is_prefill, num_tokens);
            }
            // Preemption may have removed sequences before this one, or this one.
            index = self.running.iter().position(|other| *other == id).map_or(index, |at| at + 1);
        }
        Ok(())
    }

    fn schedule_waiting(&mut self, step: &mut OpenStep) -> Result<(), BatchingError> {
        while step.budget_tokens > 0 {
            let Some(id) = self.next_admitted(step)? else { break };
            let num_sharing = self.running.len() + 1;
            let sequence = self.sequences.get_mut(&id).ok_or(BatchingError::UnknownSequence(id))?;
            let hits = self.kv_cache.find_longest_prefix(sequence);
            let num_hit_tokens = hits.num_tokens;
            let (num_all_tokens, num_preemptions) = (sequence.tokens().len(), sequence.num_preemptions());
            let num_wanted_tokens =
                step.within(sequence, true, sequence.capped(num_all_tokens - num_hit_tokens));
            let num_tokens = self.share_of_step(num_wanted_tokens, true, step, num_sharing);
            if num_tokens == 0 {
                break;
            }
            let Some(new_blocks) = self.kv_cache.allocate(id, &hits.blocks, num_hit_tokens + num_tokens)
            else {
                if self.gives_way(id, step)? {
                    continue;
                }
                break;
            };
            let sequence = self.sequences.get_mut(&id).ok_or(BatchingError::UnknownSequence(id))?;
            self.waiting.remove(sequence, self.config.policy);
            sequence.admit(num_hit_tokens)?;
            self.running.push(id);
            if self.config.enable_prefix_caching {
                self.totals.prefix_cache_queries_total += num_all_tokens as u64;
                self.totals.prefix_cache_hits_total += num_hit_tokens as u64;
            }
            step.push(ScheduledSequence {
                id,
                first_position: num_hit_tokens,
                num_tokens,
                num_drafts: 0,
                copy: hits.next.zip(new_blocks.first()).map(|(from, to)| BlockCopy { from, to: *to }),
                new_blocks: hits.blocks.into_iter().chain(new_blocks).collect(),
                is_prefill: true,
                is_sampled: false,
                num_preemptions,
            });
            step.count(self.sequence(id)?, true, num_tokens);
        }
        Ok(())
    }

    /// `num_wanted_tokens` within the budget and, if others share the step, within the threshold for long prefills; 0 if
    /// it may not be split and does not fit.
    fn share_of_step(
        &self,
        num_wanted_tokens: usize,
        is_prefill: bool,
        step: &OpenStep,
        num_sharing: usize,
    ) -> usize {
        if !self.config.enable_chunked_prefill {
            return if num_wanted_tokens <= step.budget_tokens { num_wanted_tokens } else { 0 };
        }
        let budget_tokens =
            if is_prefill { step.budget_tokens.min(step.prefill_budget_tokens) } else { step.budget_tokens };
        let threshold = match self.config.long_prefill_token_threshold {
            Some(threshold) if num_sharing > 1 => threshold,
            _ => usize::MAX,
        };
        num_wanted_tokens.min(budget_tokens).min(threshold)
    }

    /// The sequence, while it is queued or runs.
    pub fn sequence(&self, id: SequenceId) -> Result<&Sequence, BatchingError> {
        self.sequences.get(&id).ok_or(BatchingError::UnknownSequence(id))
    }

    /// Blocks of the sequence in the order of its positions, as a runner takes them.
    pub fn block_table(&self, id: SequenceId) -> &[u32] {
        self.kv_cache.block_table(id)
    }

    /// Whether a step could compute something, now or after other sequences end.
    pub fn has_work(&self) -> bool {
        !self.running.is_empty() || !self.waiting.is_empty()
    }

    /// Forgets all cached content; false while a sequence holds blocks.
    pub fn clear_prefix_cache(&mut self) -> bool {
        self.kv_cache.clear_prefix_cache()
    }

    /// Changes of the prefix cache since the last call; empty unless they are recorded.
    pub fn take_kv_events(&mut self) -> Vec<KvEvent> {
        self.kv_cache.take_events()
    }

    /// Numbers for metrics.
    pub fn stats(&self) -> SchedulerStats {
        SchedulerStats {
            num_running: self.running.len(),
            num_waiting: self.num_waiting(),
            num_waiting_tokens: self.num_waiting_tokens(),
            num_blocks: self.kv_cache.pool().num_blocks(),
            num_free_blocks: self.kv_cache.pool().num_free_blocks(),
            ..self.totals
        }
    }

    /// The configuration.
    pub fn config(&self) -> &SchedulerConfig {
        &self.config
    }

    /// The KV cache.
    pub fn kv_cache(&self) -> &KvCacheManager {
        &self.kv_cache
    }

    /// Running sequences in their order.
    pub fn running(&self) -> &[SequenceId] {
        &self.running
    }

    /// The queue of sequences that are ready to run.
    pub fn waiting(&self) -> &WaitingQueue {
        &self.waiting
    }

    /// All sequences that are queued or run, in no order.
    pub fn sequences(&self) -> impl Iterator<Item = &Sequence> {
        self.sequences.values()
    }

    fn num_waiting(&self) -> usize {
        self.waiting.len() + self.num_held
    }

    fn num_waiting_tokens(&self) -> usize {
        self.waiting.num_tokens() + self.num_held_tokens
    }
}

#[cfg(test)]
mod random_operations;
#[cfg(test)]
mod tests;
