//! Random operations on a scheduler, with every invariant checked after each.

use std::collections::HashMap;

use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

use super::*;
use crate::batching::block_hash::CacheKey;
use crate::batching::config::Policy;
use crate::batching::sequence::AwaitedInput;
use crate::batching::step_plan::StepResult;
use crate::batching::stop_rules::StopRules;

#[derive(Debug, Clone)]
enum Operation {
    /// A prompt from a family of common prefixes.
    Add {
        family: u32,
        num_tokens: usize,
        max_tokens: usize,
        priority: i32,
        salt: bool,
        awaits: bool,
        is_batch: bool,
    },
    /// Bounds what batches take.
    Limit(BatchLimits),
    /// Ends the n-th known sequence.
    Abort(usize),
    /// The n-th known sequence's input is there.
    MarkReady(usize),
    /// Plans a step and completes it or, with `is_given_up`, takes it back; with `fails` its first sequence fails, with
    /// `aborts` its last ends in the middle of it.
    Step { fails: bool, aborts: bool, is_given_up: bool, drafts: Drafts },
    /// Forgets cached content.
    ClearPrefixCache,
}

/// What every sequence's share of a step is offered: right drafts, then wrong ones.
#[derive(Debug, Clone, Copy, Default)]
struct Drafts {
    num_right: usize,
    num_wrong: usize,
}

impl Drafts {
    fn of(self, id: SequenceId) -> Vec<u32> {
        let right = std::iter::repeat_n(next_token(id), self.num_right);
        right.chain(std::iter::repeat_n(0, self.num_wrong)).collect()
    }
}

/// What the sequence's answer consists of.
fn next_token(id: SequenceId) -> u32 {
    id.0 as u32 + 1000
}

fn operations() -> impl Strategy<Value = Operation> {
    let add = (0_u32..3, 0_usize..40, 1_usize..20, -1_i32..2, any::<bool>(), 0_u8..16);
    prop_oneof![
        4 => add.prop_map(|(family, num_tokens, max_tokens, priority, salt, awaits)| Operation::Add {
            family, num_tokens, max_tokens, priority, salt, awaits: awaits % 8 == 0, is_batch: awaits >= 8,
        }),
        1 => (0_usize..20).prop_map(Operation::Abort),
        1 => (0_usize..20).prop_map(Operation::MarkReady),
        12 => (0_u8..20, 0_u8..20, 0_usize..7, 0_usize..4).prop_map(|(f, a, num_right, num_wrong)| {
            let drafts = Drafts { num_right, num_wrong };
            Operation::Step { fails: f == 0, aborts: a == 0, is_given_up: f > 16, drafts }
        }),
        1 => (0_usize..4, 0_usize..9, any::<bool>()).prop_map(|(max_num_seqs, max_num_prefill_tokens, is_due)| {
            Operation::Limit(BatchLimits { max_num_seqs, max_num_prefill_tokens, is_due })
        }),
        1 => Just(Operation::ClearPrefixCache),
    ]
}

fn configs() -> impl Strategy<Value = SchedulerConfig> {
    (1_usize..6, 1_usize..30, 1_usize..6, 4_usize..20, prop::option::of(1_usize..8), any::<(bool, bool)>())
        .prop_map(|(max_num_seqs, budget, block_size, num_blocks, threshold, (is_fcfs, has_cache))| {
            SchedulerConfig {
                max_num_seqs,
                max_num_batched_tokens: budget,
                max_model_len_tokens: 36,
                block_size_tokens: block_size,
                num_blocks,
                policy: if is_fcfs { Policy::Fcfs } else { Policy::Priority },
                enable_prefix_caching: has_cache,
                enable_chunked_prefill: true,
                long_prefill_token_threshold: threshold,
                max_num_queued_requests: 6,
                max_num_queued_tokens: 100,
                records_kv_events: false,
            }
        })
}

/// A scheduler with what the caller knows of it.
struct World {
    scheduler: Scheduler,
    next_id: u64,
    /// Tokens each live sequence must have.
    model: HashMap<SequenceId, Vec<u32>>,
    /// What a runner would have in each slot of the cache: the salt and the tokens up to this one that keys and values were
    /// computed from; `None` is rubbish.
    cache: HashMap<usize, Option<(CacheKey, Vec<u32>)>>,
}

impl World {
    fn live(&self, n: usize) -> Option<SequenceId> {
        let mut ids: Vec<_> = self.model.keys().copied().collect();
        ids.sort_unstable();
        (!ids.is_empty()).then(|| ids[n % ids.len()])
    }

    fn apply(&mut self, operation: Operation) -> Result<(), TestCaseError> {
        match operation {
            Operation::Limit(limits) => self.scheduler.limit_batch_work(limits),
            Operation::Add { family, num_tokens, max_tokens, priority, salt, awaits, is_batch } => {
                let id = SequenceId(self.next_id);
                self.next_id += 1;
                let tokens: Vec<u32> = (0..num_tokens as u32).map(|token| family * 100 + token).collect();
                let new = NewSequence {
                    id,
                    tokens: tokens.clone(),
                    num_prompt_tokens: num_tokens,
                    priority,
                    is_batch,
                    cache_key: CacheKey { salt: salt.then(|| "salt".to_owned()), adapter: None },
                    stop_rules: StopRules { stop_token_ids: vec![], max_tokens, min_tokens: 0 },
                    max_num_step_tokens: None,
                    can_read_prefix_cache: true,
                    awaits: awaits.then_some(AwaitedInput::Grammar),
                };
                if self.scheduler.add(new).is_ok() {
                    self.model.insert(id, tokens);
                }
            }
            Operation::Abort(n) => {
                if let Some(id) = self.live(n) {
                    prop_assert_eq!(self.scheduler.abort(id), Ok(true));
                    self.model.remove(&id);
                    prop_assert!(self.scheduler.block_table(id).is_empty());
                }
            }
            Operation::MarkReady(n) => {
                if let Some(id) = self.live(n) {
                    let state = self.scheduler.sequence(id).map(Sequence::state);
                    let is_held = state == Ok(SequenceState::WaitingForGrammar);
                    prop_assert_eq!(self.scheduler.mark_ready(id).is_ok(), is_held);
                }
            }
            Operation::Step { fails, aborts, is_given_up, drafts } => {
                self.step((fails, aborts, is_given_up), drafts)?;
            }
            Operation::ClearPrefixCache => {
                let is_unused = self.scheduler.running().is_empty();
                prop_assert_eq!(self.scheduler.clear_prefix_cache(), is_unused);
            }
        }
        self.check()
    }

    fn step(
        &mut self,
        (fails, aborts, is_given_up): (bool, bool, bool),
        drafts: Drafts,
    ) -> Result<(), TestCaseError> {
        let head = self.scheduler.waiting().head();
        let was_waiting: Vec<SequenceId> = self.scheduler.waiting().iter().collect();
        let mut plan = self.scheduler.schedule().unwrap();
        prop_assert!(plan.num_tokens() <= self.scheduler.config().max_num_batched_tokens);
        prop_assert!(plan.sequences.iter().all(|share| share.num_tokens > 0));
        prop_assert_eq!(plan.sequences.is_empty(), !self.scheduler.has_work(), "work is never left undone");
        for share in &plan.sequences {
            let sequence = self.scheduler.sequence(share.id).unwrap();
            prop_assert_eq!(sequence.state(), SequenceState::Running);
            prop_assert_eq!(sequence.num_computed_tokens(), share.first_position + share.num_tokens);
        }
        let admitted = plan.sequences.iter().filter(|share| was_waiting.contains(&share.id));
        let admitted: Vec<SequenceId> = admitted.map(|share| share.id).collect();
        let is_batch = |id: &SequenceId| self.scheduler.sequence(*id).unwrap().is_batch();
        prop_assert!(
            plan.preempted.is_empty() || !admitted.iter().any(is_batch),
            "of batches nothing is admitted after a preemption"
        );
        prop_assert!(
            admitted.is_empty() || plan.preempted.is_empty() || plan.preempted.iter().all(is_batch),
            "who is of no batch gives nothing up for those who come"
        );
        let (of_batches, others): (Vec<_>, Vec<_>) = admitted.iter().copied().partition(is_batch);
        let (batches_waited, others_waited): (Vec<_>, Vec<_>) =
            was_waiting.iter().copied().partition(is_batch);
        prop_assert!(
            batches_waited.starts_with(&of_batches) && others_waited.starts_with(&others),
            "nobody is overtaken by its own kind"
        );
        prop_assert!(
            self.scheduler.batch_limits.is_due || was_waiting.starts_with(&admitted),
            "the head {:?} is not overtaken",
            head
        );
        self.check()?;
        for index in 0..plan.sequences.len() {
            let id = plan.sequences[index].id;
            let num_before = plan.sequences[index].num_tokens;
            let num_drafts = self.scheduler.add_drafts(&mut plan, index, &drafts.of(id)).unwrap();
            let share = &plan.sequences[index];
            prop_assert_eq!((share.num_tokens, share.num_drafts), (num_before + num_drafts, num_drafts));
            prop_assert!(num_drafts == 0 || share.is_sampled);
            self.check()?;
        }
        prop_assert!(plan.num_tokens() <= self.scheduler.config().max_num_batched_tokens);
        self.compute(&plan, is_given_up)?;
        if let Some(share) = plan.sequences.last().filter(|_| aborts) {
            self.scheduler.abort(share.id).unwrap();
            self.model.remove(&share.id);
        }
        if is_given_up {
            self.scheduler.give_up(&plan);
            for share in &plan.sequences {
                if let Ok(sequence) = self.scheduler.sequence(share.id) {
                    prop_assert_eq!(sequence.num_computed_tokens(), share.first_position);
                }
            }
            return Ok(());
        }
        let mut results = Vec::new();
        for (index, share) in plan.sequences.iter().enumerate() {
            results.push(match (fails && index == 0, share.is_sampled) {
                (true, _) => StepResult::Failed,
                (false, true) => {
                    let num_tokens = 1 + share.num_drafts.min(drafts.num_right);
                    StepResult::Sampled(vec![next_token(share.id); num_tokens])
                }
                (false, false) => StepResult::Computed,
            });
        }
        for progress in self.scheduler.complete(&plan, results).unwrap() {
            if let Some(tokens) = self.model.get_mut(&progress.id) {
                tokens.extend(std::iter::repeat_n(next_token(progress.id), progress.num_appended_tokens));
            }
            if progress.finish.is_some() {
                self.model.remove(&progress.id);
            }
        }
        Ok(())
    }

    /// What a runner does with a step: every position before a share must hold what belongs there.
    fn compute(&mut self, plan: &StepPlan, is_given_up: bool) -> Result<(), TestCaseError> {
        let size = self.scheduler.config().block_size_tokens;
        for copy in plan.sequences.iter().filter_map(|share| share.copy) {
            for slot in 0..size {
                let copied = self.cache.get(&(copy.from.0 as usize * size + slot)).cloned().flatten();
                self.cache.insert(copy.to.0 as usize * size + slot, copied);
            }
        }
        for share in &plan.sequences {
            let sequence = self.scheduler.sequence(share.id).unwrap();
            let table = self.scheduler.block_table(share.id);
            let key = sequence.cache_key();
            for position in 0..share.first_position + share.num_tokens {
                let slot = table[position / size] as usize * size + position % size;
                let content = (key.clone(), sequence.tokens_and_drafts()[..=position].to_vec());
                if position >= share.first_position {
                    self.cache.insert(slot, (!is_given_up).then_some(content));
                } else {
                    let found = self.cache.get(&slot).cloned().flatten();
                    prop_assert_eq!(found, Some(content), "position {} of {}", position, share.id);
                }
            }
        }
        Ok(())
    }

    fn check(&self) -> Result<(), TestCaseError> {
        if let Err(broken) = self.scheduler.check_invariants() {
            return Err(TestCaseError::fail(broken.to_string()));
        }
        prop_assert_eq!(self.scheduler.sequences().count(), self.model.len());
        for (id, tokens) in &self.model {
            prop_assert_eq!(self.scheduler.sequence(*id).map(Sequence::tokens), Ok(tokens.as_slice()));
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn invariants_hold_after_every_operation_and_every_sequence_finishes(
        config in configs(),
        operations in prop::collection::vec(operations(), 1..120),
    ) {
        let mut world = World { scheduler: Scheduler::new(config).unwrap(), next_id: 0, model: HashMap::new(), cache: HashMap::new() };
        for operation in operations {
            world.apply(operation)?;
        }
        for n in 0..world.model.len() {
            world.apply(Operation::MarkReady(n))?;
        }
        // Under preemption only the first of the running is sure to advance, by at least one token a step.
        let mut num_steps_left = 40 * 40 * (world.model.len() + 1);
        while !world.model.is_empty() {
            prop_assert!(num_steps_left > 0, "{} sequences never finish", world.model.len());
            num_steps_left -= 1;
            let drafts = Drafts::default();
            world.apply(Operation::Step { fails: false, aborts: false, is_given_up: false, drafts })?;
        }
        let stats = world.scheduler.stats();
        prop_assert_eq!((stats.num_free_blocks, stats.num_waiting), (stats.num_blocks, 0));
    }
}
