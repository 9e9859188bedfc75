//! A step while it is being planned.

use std::collections::HashSet;

use crate::batching::sequence::{Sequence, SequenceId};
use crate::batching::step_plan::{ScheduledSequence, StepPlan};

/// A step while it is being planned.
pub(super) struct OpenStep {
    pub(super) plan: StepPlan,
    pub(super) budget_tokens: usize,
    /// What is left for prefills, within the whole budget.
    pub(super) prefill_budget_tokens: usize,
    /// What is left for prefills of batches, within both.
    pub(super) batch_prefill_budget_tokens: usize,
    /// What prefills of others leave of them.
    pub(super) due_tokens: usize,
    /// Running sequences that sit this step out.
    pub(super) resting: HashSet<SequenceId>,
}

impl OpenStep {
    /// `num_wanted_tokens` of a sequence within what is left for its kind.
    pub(super) fn within(&self, sequence: &Sequence, is_prefill: bool, num_wanted_tokens: usize) -> usize {
        match (is_prefill, sequence.is_batch()) {
            (true, true) => num_wanted_tokens.min(self.batch_prefill_budget_tokens),
            (true, false) if self.due_tokens > 0 => num_wanted_tokens.min(self.num_tokens_for_others()),
            _ => num_wanted_tokens,
        }
    }

    /// What is left for prefills of those that are of no batch.
    pub(super) fn num_tokens_for_others(&self) -> usize {
        self.prefill_budget_tokens.min(self.budget_tokens).saturating_sub(self.due_tokens)
    }

    /// Counts a share against its kind.
    pub(super) fn count(&mut self, sequence: &Sequence, is_prefill: bool, num_tokens: usize) {
        if sequence.is_batch() {
            self.due_tokens = self.due_tokens.saturating_sub(num_tokens);
        }
        if is_prefill && sequence.is_batch() {
            self.batch_prefill_budget_tokens = self.batch_prefill_budget_tokens.saturating_sub(num_tokens);
        }
    }

    pub(super) fn push(&mut self, share: ScheduledSequence) {
        self.budget_tokens -= share.num_tokens;
        if share.is_prefill {
            // A prefill that may not be split takes what it needs.
            self.prefill_budget_tokens = self.prefill_budget_tokens.saturating_sub(share.num_tokens);
        }
        self.plan.sequences.push(share);
    }

    /// Takes a preempted sequence's share back.
    pub(super) fn withdraw(&mut self, id: SequenceId) {
        if let Some(index) = self.plan.sequences.iter().position(|share| share.id == id) {
            let share = self.plan.sequences.remove(index);
            self.budget_tokens += share.num_tokens;
            if share.is_prefill {
                self.prefill_budget_tokens = self.prefill_budget_tokens.saturating_add(share.num_tokens);
            }
        }
    }
}
