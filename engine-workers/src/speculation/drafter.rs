//! Which drafts a step verifies.

use std::collections::HashMap;

use schedulers::batching::error::BatchingError;
use schedulers::batching::scheduler::Scheduler;
use schedulers::batching::sequence::SequenceId;
use schedulers::batching::step_plan::{ScheduledSequence, StepPlan};

use crate::speculation::config::SpeculativeConfig;
use crate::speculation::draft_value::least_chance;
use crate::speculation::prompt_lookup::PromptLookup;

/// Drafts for the running sequences of one engine.
#[derive(Debug)]
pub(crate) struct Drafter {
    config: SpeculativeConfig,
    lookups: HashMap<SequenceId, PromptLookup>,
}

impl Drafter {
    pub(crate) fn new(config: SpeculativeConfig) -> Self {
        Self { config, lookups: HashMap::new() }
    }

    /// Adds drafts to the shares of a planned step that go on with answers, where they are likely enough to pay.
    pub(crate) fn extend(
        &mut self,
        plan: &mut StepPlan,
        scheduler: &mut Scheduler,
    ) -> Result<(), BatchingError> {
        let num_answers = plan.sequences.iter().filter(|share| goes_on(share)).count();
        if num_answers == 0 || num_answers >= self.config.disable_by_batch_size {
            return Ok(());
        }
        let least_chance = least_chance(num_answers);
        for index in 0..plan.sequences.len() {
            let share = &plan.sequences[index];
            if !goes_on(share) {
                continue;
            }
            let (id, max_num_drafts) = (share.id, scheduler.max_num_drafts(share));
            let max_num_drafts = max_num_drafts.min(self.config.num_speculative_tokens);
            let lookup = self.lookups.entry(id).or_insert_with(|| PromptLookup::new(&self.config));
            let drafts = lookup.draft(scheduler.sequence(id)?.tokens(), max_num_drafts, least_chance);
            if !drafts.is_empty() {
                scheduler.add_drafts(plan, index, drafts)?;
            }
        }
        Ok(())
    }

    /// The sequence has ended.
    pub(crate) fn forget(&mut self, id: SequenceId) {
        self.lookups.remove(&id);
    }
}

/// Whether the share goes on with an answer, as opposed to catching up on known tokens.
fn goes_on(share: &ScheduledSequence) -> bool {
    share.is_sampled && !share.is_prefill
}
