//! What sequences of batches leave to the others: the first place in the queue, blocks, slots, and steps that are short.

use std::collections::HashSet;

use crate::batching::error::BatchingError;
use crate::batching::scheduler::Scheduler;
use crate::batching::scheduler::open_step::OpenStep;
use crate::batching::sequence::SequenceId;

/// How much of a step batches may take, so that whoever comes next does not wait long for its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchLimits {
    /// Most sequences of batches that run.
    pub max_num_seqs: usize,
    /// Most tokens of their prompts in a step.
    pub max_num_prefill_tokens: usize,
}

impl Default for BatchLimits {
    fn default() -> Self {
        Self { max_num_seqs: usize::MAX, max_num_prefill_tokens: usize::MAX }
    }
}

impl Scheduler {
    /// Bounds what batches take of each coming step; at least one sequence and one token go on.
    pub fn limit_batch_work(&mut self, limits: BatchLimits) {
        self.batch_limits = BatchLimits {
            max_num_seqs: limits.max_num_seqs.max(1),
            max_num_prefill_tokens: limits.max_num_prefill_tokens.max(1),
        };
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

    /// Running sequences of batches that sit the next step out: all while somebody else starts, or else those beyond the
    /// limit. They keep their blocks.
    pub(super) fn resting(&self) -> Result<HashSet<SequenceId>, BatchingError> {
        let num_kept = if self.is_somebody_starting()? { 0 } else { self.batch_limits.max_num_seqs };
        Ok(self.batch_running().skip(num_kept).collect())
    }

    /// Whether the head of the queue may be admitted now; who is of no batch takes the slot of one that is.
    pub(super) fn may_admit(&mut self, head: SequenceId, step: &mut OpenStep) -> Result<bool, BatchingError> {
        if self.sequence(head)?.is_batch() {
            // Those that rest do so for others.
            return Ok(step.plan.preempted.is_empty()
                && step.resting.is_empty()
                && step.batch_prefill_budget_tokens > 0
                && self.running.len() < self.config.max_num_seqs
                && self.batch_running().count() < self.batch_limits.max_num_seqs);
        }
        Ok(self.running.len() < self.config.max_num_seqs || self.gives_way(head, step)?)
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
