//! What sequences of batches leave to the others: the first place in the queue, blocks, slots, and steps that are short. A
//! small share is theirs: a sixteenth of the slots, and a step when they have rested for long.

use std::collections::HashSet;

use crate::batching::error::BatchingError;
use crate::batching::scheduler::Scheduler;
use crate::batching::scheduler::open_step::OpenStep;
use crate::batching::sequence::SequenceId;

/// One slot in so many is for batches, while they have work.
const SLOTS_PER_BATCH_SLOT: usize = 16;
/// One token in so many of a step that is due is not for the prompts of others.
const TOKENS_PER_DUE_TOKEN: usize = 4;

/// How much of a step batches may take, so that whoever comes next does not wait long for its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchLimits {
    /// Most sequences of batches that run.
    pub max_num_seqs: usize,
    /// Most tokens of their prompts in a step.
    pub max_num_prefill_tokens: usize,
    /// Whether they take part in the step even if somebody else starts.
    pub is_due: bool,
}

impl Default for BatchLimits {
    fn default() -> Self {
        Self { max_num_seqs: usize::MAX, max_num_prefill_tokens: usize::MAX, is_due: false }
    }
}

impl Scheduler {
    /// Bounds what batches take of each coming step; at least one sequence and one token go on.
    pub fn limit_batch_work(&mut self, limits: BatchLimits) {
        self.batch_limits = BatchLimits {
            max_num_seqs: limits.max_num_seqs.max(1),
            max_num_prefill_tokens: limits.max_num_prefill_tokens.max(1),
            is_due: limits.is_due,
        };
    }

    /// Whether a sequence of a batch runs or could.
    pub fn has_batch_work(&self) -> bool {
        self.batch_running().next().is_some() || self.waiting.of_batches().next().is_some()
    }

    /// Whether a sequence that is of no batch waits, or has not come to its first token.
    fn is_somebody_starting(&self) -> Result<bool, BatchingError> {
        let head = self.waiting.head().into_iter();
        for (id, is_waiting) in head.map(|id| (id, true)).chain(self.running.iter().map(|id| (*id, false))) {
            let sequence = self.sequence(id)?;
            if !sequence.is_batch() && (is_waiting || sequence.is_prefilling()) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Running sequences of batches that sit the next step out: all while somebody else starts and it is not their turn, or
    /// else those beyond the limit. They keep their blocks.
    pub(super) fn resting(&self) -> Result<HashSet<SequenceId>, BatchingError> {
        let BatchLimits { max_num_seqs, is_due, .. } = self.batch_limits;
        let num_kept = if !is_due && self.is_somebody_starting()? { 0 } else { max_num_seqs };
        Ok(self.batch_running().skip(num_kept).collect())
    }

    /// Tokens of a step with `budget_tokens` for prompts that are not for those of others.
    pub(super) fn num_due_tokens(&self, budget_tokens: usize) -> usize {
        let is_due = self.batch_limits.is_due && self.config.enable_chunked_prefill && self.has_batch_work();
        if is_due { budget_tokens.min(self.config.max_num_batched_tokens) / TOKENS_PER_DUE_TOKEN } else { 0 }
    }

    /// Who is admitted next: the head of the queue, or else the first of batches when it is their turn.
    pub(super) fn next_admitted(&mut self, step: &mut OpenStep) -> Result<Option<SequenceId>, BatchingError> {
        let Some(head) = self.waiting.head() else { return Ok(None) };
        let may_begin = self.sequence(head)?.is_batch() || step.num_tokens_for_others() > 0;
        if may_begin && self.may_admit(head, step)? {
            return Ok(Some(head));
        }
        let of_batch = self.waiting.of_batches().next();
        match of_batch {
            Some(id) if id != head && self.batch_limits.is_due && self.may_admit(id, step)? => Ok(Some(id)),
            _ => Ok(None),
        }
    }

    /// Whether a queued sequence may be admitted now; who is of no batch takes the slot of one that is, beyond the share of
    /// batches.
    fn may_admit(&mut self, id: SequenceId, step: &mut OpenStep) -> Result<bool, BatchingError> {
        let num_batch = self.batch_running().count();
        let max_num_seqs = self.config.max_num_seqs;
        if self.sequence(id)?.is_batch() {
            // Those that rest do so for others.
            return Ok(step.plan.preempted.is_empty()
                && step.resting.is_empty()
                && step.batch_prefill_budget_tokens > 0
                && self.running.len() < max_num_seqs
                && num_batch < self.batch_limits.max_num_seqs);
        }
        let share = max_num_seqs / SLOTS_PER_BATCH_SLOT;
        let num_kept = share.min(num_batch + self.waiting.of_batches().take(share).count());
        if self.running.len() - num_batch >= max_num_seqs - num_kept {
            return Ok(false);
        }
        Ok(self.running.len() < max_num_seqs || self.gives_way(id, step)?)
    }

    /// Whether a sequence of a batch gave its blocks and its slot up for `head`.
    pub(super) fn gives_way(&mut self, head: SequenceId, step: &mut OpenStep) -> Result<bool, BatchingError> {
        match self.batch_victim() {
            Some(victim) if !self.sequence(head)?.is_batch() => {
                self.preempt(victim, step)?;
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    /// The last of the running that is of a batch.
    pub(super) fn batch_victim(&self) -> Option<SequenceId> {
        self.batch_running().last()
    }

    fn batch_running(&self) -> impl Iterator<Item = SequenceId> {
        let is_batch = |id: &SequenceId| self.sequences.get(id).is_some_and(|sequence| sequence.is_batch());
        self.running.iter().copied().filter(is_batch)
    }
}
