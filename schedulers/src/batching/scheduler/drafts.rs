//! Guesses at the tokens that follow, verified in the step that computes them.

use crate::batching::error::BatchingError;
use crate::batching::scheduler::Scheduler;
use crate::batching::step_plan::{ScheduledSequence, StepPlan};

impl Scheduler {
    /// Most drafts that could be of use to this share of a step: none unless it goes on with an answer, and never more
    /// than the answer can have besides the token that follows the last of them.
    pub fn max_num_drafts(&self, share: &ScheduledSequence) -> usize {
        let Ok(sequence) = self.sequence(share.id) else { return 0 };
        if share.is_prefill || !share.is_sampled || share.num_tokens != 1 {
            return 0;
        }
        sequence.max_num_more_tokens(self.config.max_sequence_tokens()).saturating_sub(1)
    }

    /// Appends drafts to the share of a sequence that goes on with its answer, as many as are of use, and as the step's
    /// budget and the free blocks have room for: nobody else's tokens are displaced. Returns how many those are.
    ///
    /// To be called between [`Scheduler::schedule`] and the computation, at most once for a share.
    pub fn add_drafts(
        &mut self,
        plan: &mut StepPlan,
        index: usize,
        drafts: &[u32],
    ) -> Result<usize, BatchingError> {
        let budget_tokens = self.config.max_num_batched_tokens.saturating_sub(plan.num_tokens());
        let Some(share) = plan.sequences.get_mut(index) else { return Ok(0) };
        let end = share.first_position + share.num_tokens;
        let room = self.max_num_drafts(share).min(budget_tokens);
        let num_wanted = drafts.len().min(room);
        let num_drafts = num_wanted.min(self.kv_cache.max_num_tokens(share.id).saturating_sub(end));
        if num_drafts == 0 {
            return Ok(0);
        }
        let Some(new_blocks) = self.kv_cache.allocate(share.id, &[], end + num_drafts) else { return Ok(0) };
        let sequence = self.sequences.get_mut(&share.id).ok_or(BatchingError::UnknownSequence(share.id))?;
        sequence.add_drafts(&drafts[..num_drafts]);
        share.new_blocks.extend(new_blocks);
        share.num_tokens += num_drafts;
        share.num_drafts = num_drafts;
        self.totals.num_scheduled_tokens_total += num_drafts as u64;
        Ok(num_drafts)
    }
}
