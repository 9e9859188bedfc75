//! Room for one sequence at the cost of another.

use crate::batching::block_table::BlockId;
use crate::batching::config::Policy;
use crate::batching::error::BatchingError;
use crate::batching::scheduler::Scheduler;
use crate::batching::scheduler::open_step::OpenStep;
use crate::batching::sequence::SequenceId;
use crate::batching::waiting_queue::ServiceOrder;

impl Scheduler {
    /// Blocks for the sequence's first `num_tokens` tokens, taken from victims if need be; `None` if it was the last
    /// victim itself.
    pub(super) fn make_room(
        &mut self,
        id: SequenceId,
        num_tokens: usize,
        step: &mut OpenStep,
    ) -> Result<Option<Vec<BlockId>>, BatchingError> {
        loop {
            if let Some(new_blocks) = self.kv_cache.allocate(id, &[], num_tokens) {
                return Ok(Some(new_blocks));
            }
            let victim = self.victim()?;
            self.preempt(victim, step)?;
            if victim == id {
                return Ok(None);
            }
        }
    }

    /// Who gives its blocks up: one of a batch if there is any, or else the last of the running under fcfs, the worst
    /// (priority, arrival) under priority.
    fn victim(&self) -> Result<SequenceId, BatchingError> {
        if let Some(id) = self.batch_victim() {
            return Ok(id);
        }
        let last = match self.config.policy {
            Policy::Fcfs => self.running.last().copied(),
            Policy::Priority => self.running.iter().copied().max_by_key(|id| {
                self.sequences.get(id).map(|sequence| ServiceOrder::of(sequence, Policy::Priority))
            }),
        };
        last.ok_or_else(|| BatchingError::InvalidConfig("no running sequence to preempt".to_owned()))
    }

    pub(super) fn preempt(&mut self, id: SequenceId, step: &mut OpenStep) -> Result<(), BatchingError> {
        let sequence = self.sequences.get_mut(&id).ok_or(BatchingError::UnknownSequence(id))?;
        sequence.preempt()?;
        self.kv_cache.free(id);
        self.running.retain(|other| *other != id);
        self.waiting.insert(sequence, self.config.policy);
        step.withdraw(id);
        step.plan.preempted.push(id);
        self.totals.num_preemptions_total += 1;
        Ok(())
    }
}
