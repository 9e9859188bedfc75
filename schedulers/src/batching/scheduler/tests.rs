mod batches;
mod drafts;

use super::*;
use crate::batching::block_hash::CacheKey;
use crate::batching::config::Policy;
use crate::batching::kv_event::KvEvent;
use crate::batching::sequence::AwaitedInput;
use crate::batching::step_plan::StepResult;
use crate::batching::stop_rules::StopRules;

fn config() -> SchedulerConfig {
    SchedulerConfig {
        max_num_seqs: 8,
        max_num_batched_tokens: 16,
        max_model_len_tokens: 64,
        block_size_tokens: 4,
        num_blocks: 16,
        ..SchedulerConfig::default()
    }
}

fn sequence(id: u64, num_tokens: usize) -> NewSequence {
    NewSequence {
        id: SequenceId(id),
        tokens: (0..num_tokens as u32).map(|token| token + 1000 * id as u32).collect(),
        num_prompt_tokens: num_tokens,
        priority: 0,
        is_batch: false,
        cache_key: CacheKey::default(),
        stop_rules: StopRules { stop_token_ids: vec![7], max_tokens: 100, min_tokens: 0 },
        max_num_step_tokens: None,
        can_read_prefix_cache: true,
        awaits: None,
    }
}

fn scheduler(config: SchedulerConfig, sequences: impl IntoIterator<Item = NewSequence>) -> Scheduler {
    let mut scheduler = Scheduler::new(config).unwrap();
    sequences.into_iter().for_each(|new| scheduler.add(new).unwrap());
    scheduler
}

/// Runs one step in which every sampled sequence gets `token`; the shares as (id, first position, tokens).
fn step_with(scheduler: &mut Scheduler, token: u32) -> Vec<(u64, usize, usize)> {
    let plan = scheduler.schedule().unwrap();
    let result = |share: &ScheduledSequence| match share.is_sampled {
        true => StepResult::Sampled(vec![token]),
        false => StepResult::Computed,
    };
    let results = plan.sequences.iter().map(result).collect();
    scheduler.complete(&plan, results).unwrap();
    scheduler.check_invariants().unwrap();
    plan.sequences.iter().map(|share| (share.id.0, share.first_position, share.num_tokens)).collect()
}

fn step(scheduler: &mut Scheduler) -> Vec<(u64, usize, usize)> {
    step_with(scheduler, 1)
}

#[test]
fn running_sequences_come_first_and_the_budget_is_shared() {
    let mut scheduler = scheduler(config(), [sequence(1, 10), sequence(2, 20)]);
    assert_eq!(step(&mut scheduler), [(1, 0, 10), (2, 0, 6)]);
    assert_eq!(step(&mut scheduler), [(1, 10, 1), (2, 6, 14)]);
    assert_eq!(step(&mut scheduler), [(1, 11, 1), (2, 20, 1)]);
}

#[test]
fn a_long_prefill_is_throttled_only_while_others_share_the_step() {
    let config = SchedulerConfig { long_prefill_token_threshold: Some(5), ..config() };
    let mut alone = scheduler(config.clone(), [sequence(1, 20)]);
    assert_eq!(step(&mut alone), [(1, 0, 16)]);
    let mut shared = scheduler(config, [sequence(1, 4), sequence(2, 20)]);
    assert_eq!(step(&mut shared), [(1, 0, 4), (2, 0, 5)]);
    assert_eq!(step(&mut shared), [(1, 4, 1), (2, 5, 5)]);
}

#[test]
fn without_chunked_prefill_a_prompt_waits_for_a_step_that_takes_it_whole() {
    let config = SchedulerConfig { enable_chunked_prefill: false, max_model_len_tokens: 16, ..config() };
    let mut scheduler = scheduler(config, [sequence(1, 10), sequence(2, 10), sequence(3, 2)]);
    assert_eq!(step(&mut scheduler), [(1, 0, 10)], "sequence 3 does not overtake");
    assert_eq!(step(&mut scheduler), [(1, 10, 1), (2, 0, 10), (3, 0, 2)]);
}

#[test]
fn a_preempted_sequence_resumes_from_what_is_left_in_the_prefix_cache() {
    let config = SchedulerConfig { num_blocks: 6, max_num_batched_tokens: 32, ..config() };
    let mut scheduler = scheduler(config, [sequence(1, 11), sequence(2, 11)]);
    assert_eq!(step(&mut scheduler), [(1, 0, 11), (2, 0, 11)]);
    assert_eq!(step(&mut scheduler), [(1, 11, 1), (2, 11, 1)]);
    // All 24 slots are taken; sequence 1 needs a block, the last of the running gives all of its own.
    assert_eq!(step(&mut scheduler), [(1, 12, 1)]);
    let preempted = scheduler.sequence(SequenceId(2)).unwrap();
    assert_eq!(preempted.state(), SequenceState::Preempted);
    assert_eq!((preempted.num_computed_tokens(), preempted.tokens().len()), (0, 13));
    scheduler.abort(SequenceId(1)).unwrap();
    assert_eq!(step(&mut scheduler), [(2, 8, 5)], "its tail was evicted, its head was not");
}

#[test]
fn under_priority_the_worst_gives_its_blocks_up() {
    let config =
        SchedulerConfig { num_blocks: 6, policy: Policy::Priority, max_num_batched_tokens: 32, ..config() };
    let urgent = NewSequence { priority: -1, ..sequence(3, 3) };
    let mut scheduler = scheduler(config, [sequence(1, 11), sequence(2, 7)]);
    assert_eq!(step(&mut scheduler), [(1, 0, 11), (2, 0, 7)]);
    scheduler.add(urgent).unwrap();
    assert_eq!(step(&mut scheduler), [(1, 11, 1), (2, 7, 1), (3, 0, 3)]);
    // Sequence 1 takes the block of sequence 2, which is worse than sequence 3 that came later.
    let plan = scheduler.schedule().unwrap();
    assert_eq!(plan.preempted, [SequenceId(2)]);
    assert_eq!(plan.sequences.iter().map(|share| share.id.0).collect::<Vec<_>>(), [1, 3]);
}

#[test]
fn a_known_prefix_is_not_computed_again_but_its_last_token_is() {
    let mut scheduler = scheduler(config(), [sequence(1, 12)]);
    assert_eq!(step_with(&mut scheduler, 7), [(1, 0, 12)]);
    let again = NewSequence { id: SequenceId(2), ..sequence(1, 12) };
    scheduler.add(again).unwrap();
    assert_eq!(step(&mut scheduler), [(2, 11, 1)]);
    assert_eq!(scheduler.sequence(SequenceId(2)).unwrap().num_cached_tokens(), Some(11));
    let stats = scheduler.stats();
    assert_eq!((stats.prefix_cache_queries_total, stats.prefix_cache_hits_total), (24, 11));
}

#[test]
fn a_block_that_begins_alike_is_copied() {
    let mut scheduler = scheduler(config(), [sequence(1, 12)]);
    step_with(&mut scheduler, 7);
    let fork = |id: u64, num_alike: usize| {
        let mut fork = NewSequence { id: SequenceId(id), ..sequence(1, 12) };
        fork.tokens[num_alike..].fill(id as u32 + 500);
        fork
    };
    for (id, num_alike) in [(2, 10), (3, 8), (4, 1)] {
        scheduler.add(fork(id, num_alike)).unwrap();
        let plan = scheduler.schedule().unwrap();
        let share = &plan.sequences[0];
        assert_eq!((share.first_position, share.num_tokens), (num_alike, 12 - num_alike));
        let own = share.new_blocks[num_alike / 4];
        match share.copy {
            Some(copy) => assert!(copy.to == own && copy.from != own && num_alike % 4 > 0),
            None => assert_eq!(num_alike % 4, 0),
        }
        scheduler.complete(&plan, vec![StepResult::Sampled(vec![7])]).unwrap();
    }
}

#[test]
fn salts_and_scored_prompts_do_not_hit() {
    let mut scheduler = scheduler(config(), [sequence(1, 12)]);
    step_with(&mut scheduler, 7);
    let cache_key = CacheKey { salt: Some("tenant".to_owned()), adapter: None };
    scheduler.add(NewSequence { id: SequenceId(2), cache_key, ..sequence(1, 12) }).unwrap();
    assert_eq!(step_with(&mut scheduler, 7), [(2, 0, 12)]);
    scheduler
        .add(NewSequence { id: SequenceId(3), can_read_prefix_cache: false, ..sequence(1, 12) })
        .unwrap();
    assert_eq!(step_with(&mut scheduler, 7), [(3, 0, 12)]);
}

#[test]
fn a_failed_step_leaves_nothing_to_hit() {
    let mut scheduler = scheduler(config(), [sequence(1, 12)]);
    let plan = scheduler.schedule().unwrap();
    let progress = scheduler.complete(&plan, vec![StepResult::Failed]).unwrap();
    assert_eq!(progress[0].finish, Some(FinishReason::Error));
    scheduler.add(NewSequence { id: SequenceId(2), ..sequence(1, 12) }).unwrap();
    assert_eq!(step(&mut scheduler), [(2, 0, 12)]);
}

#[test]
fn results_of_a_sequence_aborted_in_mid_step_are_passed_over() {
    let mut scheduler = scheduler(config(), [sequence(1, 4), sequence(2, 4)]);
    let plan = scheduler.schedule().unwrap();
    assert_eq!(scheduler.abort(SequenceId(1)), Ok(true));
    assert_eq!(scheduler.abort(SequenceId(1)), Ok(false));
    let results = vec![StepResult::Sampled(vec![1]), StepResult::Sampled(vec![1])];
    let progress = scheduler.complete(&plan, results).unwrap();
    assert_eq!(progress.iter().map(|p| p.id.0).collect::<Vec<_>>(), [2]);
    scheduler.check_invariants().unwrap();
}

#[test]
fn tokens_after_the_end_are_dropped() {
    let mut scheduler = scheduler(config(), [sequence(1, 4)]);
    step(&mut scheduler);
    let mut plan = scheduler.schedule().unwrap();
    scheduler.add_drafts(&mut plan, 0, &[1, 7]).unwrap();
    let progress = scheduler.complete(&plan, vec![StepResult::Sampled(vec![1, 7, 2])]).unwrap();
    assert_eq!((progress[0].num_appended_tokens, progress[0].finish), (2, Some(FinishReason::Stop)));
    assert_eq!(scheduler.stats().num_free_blocks, 16);
}

#[test]
fn a_sequence_ends_at_the_size_of_the_cache() {
    let config = SchedulerConfig { num_blocks: 3, ..config() };
    let mut scheduler = scheduler(config, [sequence(1, 10)]);
    assert_eq!(step(&mut scheduler), [(1, 0, 10)]);
    assert_eq!(step(&mut scheduler), [(1, 10, 1)]);
    assert_eq!(scheduler.sequence(SequenceId(1)).err(), Some(BatchingError::UnknownSequence(SequenceId(1))));
}

#[test]
fn what_can_never_run_is_rejected() {
    let check = |config, new: NewSequence, expected: &str| {
        let rejection = scheduler(config, []).add(new).unwrap_err();
        assert_eq!(rejection.to_string(), expected);
        assert!(!rejection.is_retryable());
    };
    check(config(), sequence(1, 0), "the prompt is empty");
    let too_long = "the prompt has 64 tokens, the model takes at most 63 and one answer token";
    check(config(), sequence(1, 64), too_long);
    let config = SchedulerConfig { num_blocks: 3, ..config() };
    check(config, sequence(1, 12), "the prompt needs 4 blocks, the cache has 3");
}

#[test]
fn a_full_queue_rejects_for_now() {
    let config = SchedulerConfig { max_num_queued_requests: 2, max_num_queued_tokens: 20, ..config() };
    let mut scheduler = scheduler(config, [sequence(1, 12)]);
    let tokens = scheduler.add(sequence(2, 9)).unwrap_err();
    assert_eq!(tokens.to_string(), "the queue holds 12 of at most 20 tokens, 9 more do not fit");
    scheduler.add(sequence(2, 8)).unwrap();
    let requests = scheduler.add(sequence(3, 1)).unwrap_err();
    assert_eq!(requests.to_string(), "the queue holds 2 of at most 2 sequences");
    assert!(tokens.is_retryable() && requests.is_retryable());
    assert_eq!(scheduler.add(sequence(2, 1)), Err(Rejection::DuplicateSequence(SequenceId(2))));
}

#[test]
fn a_sequence_that_awaits_its_grammar_holds_nobody_up() {
    let held = NewSequence { awaits: Some(AwaitedInput::Grammar), ..sequence(1, 4) };
    let mut scheduler = scheduler(config(), [held, sequence(2, 4)]);
    assert_eq!(step(&mut scheduler), [(2, 0, 4)]);
    scheduler.mark_ready(SequenceId(1)).unwrap();
    assert_eq!(step(&mut scheduler), [(2, 4, 1), (1, 0, 4)]);
    let again = scheduler.mark_ready(SequenceId(1)).unwrap_err();
    assert_eq!(again.to_string(), "a sequence cannot go from running to waiting");
}

#[test]
fn results_that_do_not_match_the_plan_are_an_error() {
    let mut scheduler = scheduler(config(), [sequence(1, 20)]);
    let plan = scheduler.schedule().unwrap();
    let too_few = scheduler.complete(&plan, vec![]).unwrap_err();
    assert_eq!(too_few.to_string(), "the step planned 1 sequences and has results for 0");
    let sampled = scheduler.complete(&plan, vec![StepResult::Sampled(vec![1])]).unwrap_err();
    assert_eq!(sampled.to_string(), "sequence 1 is at token 16 of 20: it cannot be sampled");
}

#[test]
fn kv_events_tell_what_can_be_hit() {
    let config = SchedulerConfig { records_kv_events: true, num_blocks: 3, ..config() };
    let mut scheduler = scheduler(config, [sequence(1, 9)]);
    step_with(&mut scheduler, 7);
    let stored = scheduler.take_kv_events();
    let [
        KvEvent::BlockStored { hash: first, parent: None, .. },
        KvEvent::BlockStored { parent, tokens, hash, .. },
    ] = stored.as_slice()
    else {
        panic!("other events: {stored:?}");
    };
    assert_eq!((parent, tokens.as_slice()), (&Some(*first), &[1004, 1005, 1006, 1007][..]));
    scheduler.add(sequence(2, 8)).unwrap();
    step_with(&mut scheduler, 7);
    assert!(scheduler.take_kv_events().contains(&KvEvent::BlockRemoved { hash: *hash }));
    assert!(scheduler.clear_prefix_cache());
    assert_eq!(scheduler.take_kv_events(), [KvEvent::AllBlocksCleared]);
    scheduler.check_invariants().unwrap();
}

#[test]
fn prompts_leave_room_to_the_answers_that_share_their_step() {
    let mut scheduler = scheduler(config(), [sequence(1, 10), sequence(2, 20)]);
    scheduler.limit_shared_prefill(3);
    assert_eq!(step(&mut scheduler), [(1, 0, 10), (2, 0, 6)], "nobody waits yet");
    scheduler.add(sequence(3, 5)).unwrap();
    assert_eq!(step(&mut scheduler), [(1, 10, 1), (2, 6, 3)]);
    scheduler.abort(SequenceId(1)).unwrap();
    assert_eq!(step(&mut scheduler), [(2, 9, 11), (3, 0, 5)]);
}
