//! Which drafts a step verifies.

use std::collections::HashMap;
use std::time::Duration;

use schedulers::batching::error::BatchingError;
use schedulers::batching::scheduler::Scheduler;
use schedulers::batching::sequence::SequenceId;
use schedulers::batching::step_plan::{ScheduledSequence, StepPlan};

use crate::runner::ModelRunner;
use crate::speculation::config::SpeculativeConfig;
use crate::speculation::draft_model::{DraftModel, Wish};
use crate::speculation::draft_value::least_chance;
use crate::speculation::prompt_lookup::PromptLookup;

/// Weight of the newest measurement in the running mean of a step's time.
const NEWEST: f64 = 0.2;

/// `choose(sequence, offset, logits)`: a token from a draft model's logits as the sequence itself would pick it, `offset`
/// tokens on.
pub(crate) type Choose<'a> = dyn FnMut(SequenceId, usize, &mut [f32]) -> Option<u32> + 'a;

/// Drafts for the running sequences of one engine. They decide how many tokens a step brings, never which.
#[derive(Debug)]
pub(crate) struct Drafter {
    config: SpeculativeConfig,
    source: Source,
    /// Mean time of steps that go on with answers alone.
    step: Option<Duration>,
}

#[derive(Debug)]
enum Source {
    Lookups(HashMap<SequenceId, PromptLookup>),
    Model(Box<DraftModel>),
    /// The draft model failed, or is released while the engine sleeps.
    None,
}

impl Drafter {
    /// Drafts by the model if there is one, or else by lookups.
    pub(crate) fn new(config: SpeculativeConfig, model: Option<Box<dyn ModelRunner>>) -> Self {
        let source = match model {
            Some(runner) => Source::Model(Box::new(DraftModel::new(runner))),
            None => Source::Lookups(HashMap::new()),
        };
        Self { config, source, step: None }
    }

    /// Adds drafts to the shares of a planned step that go on with answers, where they are likely enough to pay.
    pub(crate) fn extend(
        &mut self,
        plan: &mut StepPlan,
        scheduler: &mut Scheduler,
        choose: &mut Choose<'_>,
    ) -> Result<(), BatchingError> {
        let answers: Vec<usize> =
            (0..plan.sequences.len()).filter(|index| goes_on(&plan.sequences[*index])).collect();
        if answers.is_empty() || answers.len() >= self.config.disable_by_batch_size {
            return Ok(());
        }
        let least_chance = least_chance(answers.len());
        let mut wishes = Vec::with_capacity(answers.len());
        for share in answers.iter().map(|index| &plan.sequences[*index]) {
            let max_num_drafts = scheduler.max_num_drafts(share).min(self.config.num_speculative_tokens);
            let tokens = scheduler.sequence(share.id)?.tokens();
            wishes.push(Wish { id: share.id, tokens, max_num_drafts, least_chance });
        }
        let drafts = match &mut self.source {
            Source::Lookups(lookups) => {
                let draft = |wish: &Wish<'_>| {
                    let lookup = lookups.entry(wish.id).or_insert_with(|| PromptLookup::new(&self.config));
                    lookup.draft(wish.tokens, wish.max_num_drafts, wish.least_chance).to_vec()
                };
                wishes.iter().map(draft).collect()
            }
            Source::Model(model) => {
                let mut choose =
                    |wish: &Wish<'_>, offset: usize, logits: &mut [f32]| choose(wish.id, offset, logits);
                model.draft(&wishes, self.step, &mut choose).unwrap_or_else(|error| {
                    tracing::error!(%error, "the draft model failed; the engine goes on without drafts");
                    self.source = Source::None;
                    Vec::new()
                })
            }
            Source::None => Vec::new(),
        };
        for (index, drafts) in answers.into_iter().zip(drafts) {
            if !drafts.is_empty() {
                scheduler.add_drafts(plan, index, &drafts)?;
            }
        }
        Ok(())
    }

    /// The planned step took so long.
    pub(crate) fn observe(&mut self, plan: &StepPlan, took: Duration) {
        if plan.sequences.iter().all(goes_on) {
            let mean = self.step.map_or(took, |mean| mean.mul_f64(1.0 - NEWEST) + took.mul_f64(NEWEST));
            self.step = Some(mean);
        }
    }

    /// Drops the draft model, as it holds memory that its owner wants back.
    pub(crate) fn release_model(&mut self) {
        if self.wants_model() {
            self.source = Source::None;
        }
    }

    /// Drafts by this model from now on.
    pub(crate) fn take_model(&mut self, runner: Box<dyn ModelRunner>) {
        self.source = Source::Model(Box::new(DraftModel::new(runner)));
    }

    /// Whether drafts are to come from a model.
    pub(crate) fn wants_model(&self) -> bool {
        !matches!(self.source, Source::Lookups(_))
    }

    /// The sequence has ended.
    pub(crate) fn forget(&mut self, id: SequenceId) {
        match &mut self.source {
            Source::Lookups(lookups) => drop(lookups.remove(&id)),
            Source::Model(model) => model.forget(id),
            Source::None => {}
        }
    }
}

/// Whether the share goes on with an answer, as opposed to catching up on known tokens.
fn goes_on(share: &ScheduledSequence) -> bool {
    share.is_sampled && !share.is_prefill
}
