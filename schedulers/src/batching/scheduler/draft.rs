//! A step while it is being planned.

use crate::batching::sequence::SequenceId;
use crate::batching::step_plan::{ScheduledSequence, StepPlan};

/// A step while it is being planned.
pub(super) struct Draft {
    pub(super) plan: StepPlan,
    pub(super) budget_tokens: usize,
}

impl Draft {
    pub(super) fn push(&mut self, share: ScheduledSequence) {
        self.budget_tokens -= share.num_tokens;
        self.plan.sequences.push(share);
    }

    /// Takes a preempted sequence's share back.
    pub(super) fn withdraw(&mut self, id: SequenceId) {
        if let Some(index) = self.plan.sequences.iter().position(|share| share.id == id) {
            self.budget_tokens += self.plan.sequences.remove(index).num_tokens;
        }
    }
}
