//! What a step's results change.

use crate::batching::error::BatchingError;
use crate::batching::scheduler::Scheduler;
use crate::batching::state::{FinishReason, SequenceState};
use crate::batching::step_plan::{ScheduledSequence, SequenceProgress, StepPlan, StepResult};

impl Scheduler {
    /// Applies what a step brought, one result per planned sequence in the plan's order. Sequences that ended or were
    /// preempted since it was planned are passed over; a sequence that ends here is forgotten.
    pub fn complete(
        &mut self,
        plan: &StepPlan,
        results: Vec<StepResult>,
    ) -> Result<Vec<SequenceProgress>, BatchingError> {
        if results.len() != plan.sequences.len() {
            return Err(BatchingError::ResultsMismatch {
                planned: plan.sequences.len(),
                completed: results.len(),
            });
        }
        let mut progress = Vec::with_capacity(results.len());
        for (share, result) in plan.sequences.iter().zip(results) {
            if self.is_current(share) {
                progress.push(self.complete_one(share, result)?);
            }
        }
        Ok(progress)
    }

    /// Takes a step back that was not computed to its end: its sequences run on from where it began.
    pub fn give_up(&mut self, plan: &StepPlan) {
        for share in &plan.sequences {
            let is_current = self.is_current(share);
            if let Some(sequence) = self.sequences.get_mut(&share.id).filter(|_| is_current) {
                sequence.retreat(share.first_position);
                self.kv_cache.shrink(share.id, share.first_position);
            }
        }
    }

    /// Whether the sequence runs and has done so since the share was planned.
    fn is_current(&self, share: &ScheduledSequence) -> bool {
        self.sequences.get(&share.id).is_some_and(|sequence| {
            sequence.state() == SequenceState::Running && sequence.num_preemptions() == share.num_preemptions
        })
    }

    fn complete_one(
        &mut self,
        share: &ScheduledSequence,
        result: StepResult,
    ) -> Result<SequenceProgress, BatchingError> {
        let id = share.id;
        let max_sequence_tokens = self.config.max_sequence_tokens();
        let sequence = self.sequences.get_mut(&id).ok_or(BatchingError::UnknownSequence(id))?;
        let sampled = match result {
            StepResult::Failed => {
                self.finish(id, FinishReason::Error)?;
                return Ok(SequenceProgress {
                    id,
                    num_appended_tokens: 0,
                    finish: Some(FinishReason::Error),
                });
            }
            StepResult::Computed => Vec::new(),
            StepResult::Sampled(tokens) => tokens,
        };
        if share.is_sampled == sampled.is_empty() {
            return Err(BatchingError::SampledMismatch {
                id,
                num_computed_tokens: share.first_position + share.num_tokens,
                num_tokens: sequence.tokens().len(),
                was_sampled: !sampled.is_empty(),
            });
        }
        if !sequence.follows_drafts(&sampled) {
            let (num_sampled, num_drafts) = (sampled.len(), share.num_drafts);
            return Err(BatchingError::DraftMismatch { id, num_sampled, num_drafts });
        }
        sequence.settle_drafts(sampled.len().saturating_sub(1));
        let num_computed_tokens = sequence.num_computed_tokens();
        let mut num_appended_tokens = 0;
        let mut finish = None;
        for token in sampled {
            finish = sequence.append(token, max_sequence_tokens);
            num_appended_tokens += 1;
            if finish.is_some() {
                break;
            }
        }
        self.kv_cache.commit(sequence, num_computed_tokens.min(sequence.tokens().len()));
        if share.num_drafts > 0 {
            self.kv_cache.shrink(id, num_computed_tokens);
        }
        if let Some(reason) = finish {
            self.finish(id, reason)?;
        }
        Ok(SequenceProgress { id, num_appended_tokens, finish })
    }
}
