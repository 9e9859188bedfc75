use super::*;

/// A sequence whose prompt of `num_tokens` is computed, and the plan of its next step with `drafts` offered.
fn drafted(config: SchedulerConfig, num_tokens: usize, drafts: &[u32]) -> (Scheduler, StepPlan) {
    let mut scheduler = scheduler(config, [sequence(1, num_tokens)]);
    step(&mut scheduler);
    let mut plan = scheduler.schedule().unwrap();
    scheduler.add_drafts(&mut plan, 0, drafts).unwrap();
    scheduler.check_invariants().unwrap();
    (scheduler, plan)
}

#[test]
fn accepted_drafts_are_computed_and_rejected_ones_leave_nothing_behind() {
    let (mut scheduler, plan) = drafted(config(), 6, &[1, 2, 3, 4, 5]);
    assert_eq!((plan.sequences[0].num_tokens, plan.sequences[0].num_drafts), (6, 5));
    assert_eq!(scheduler.block_table(SequenceId(1)).len(), 3);
    let drafts_and_last = &scheduler.sequence(SequenceId(1)).unwrap().tokens_and_drafts()[6..];
    assert_eq!(drafts_and_last, [1, 1, 2, 3, 4, 5]);
    scheduler.complete(&plan, vec![StepResult::Sampled(vec![1, 9])]).unwrap();
    scheduler.check_invariants().unwrap();
    let sequence = scheduler.sequence(SequenceId(1)).unwrap();
    assert_eq!(sequence.tokens()[6..], [1, 1, 9]);
    assert_eq!((sequence.num_computed_tokens(), scheduler.block_table(SequenceId(1)).len()), (8, 2));
    assert_eq!(step(&mut scheduler), [(1, 8, 1)]);
}

#[test]
fn drafts_take_only_the_room_that_nobody_else_needs() {
    let check = |config, expected| {
        let (_, plan) = drafted(config, 6, &[1; 40]);
        assert_eq!(plan.sequences[0].num_drafts, expected);
    };
    check(SchedulerConfig { max_num_batched_tokens: 10, ..config() }, 9);
    check(SchedulerConfig { max_num_batched_tokens: 64, num_blocks: 4, ..config() }, 8);
    check(SchedulerConfig { max_num_batched_tokens: 64, max_model_len_tokens: 12, ..config() }, 4);
    let mut first = sequence(1, 6);
    first.stop_rules.max_tokens = 4;
    let mut scheduler = scheduler(SchedulerConfig { num_blocks: 5, ..config() }, [first, sequence(2, 7)]);
    step(&mut scheduler);
    let mut plan = scheduler.schedule().unwrap();
    assert_eq!(
        scheduler.max_num_drafts(&plan.sequences[0]),
        2,
        "of 4 tokens one is there and one is sampled"
    );
    // The other sequence fills the last block but one; the first may have the last.
    assert_eq!(scheduler.add_drafts(&mut plan, 0, &[1; 9]), Ok(2));
    assert_eq!(scheduler.add_drafts(&mut plan, 1, &[1; 9]), Ok(0));
    scheduler.check_invariants().unwrap();
}

#[test]
fn a_prefill_takes_no_drafts() {
    let mut scheduler = scheduler(config(), [sequence(1, 20)]);
    for _ in 0..2 {
        let mut plan = scheduler.schedule().unwrap();
        assert_eq!(scheduler.add_drafts(&mut plan, 0, &[1]), Ok(0));
        let result =
            if plan.sequences[0].is_sampled { StepResult::Sampled(vec![1]) } else { StepResult::Computed };
        scheduler.complete(&plan, vec![result]).unwrap();
    }
}

#[test]
fn tokens_that_do_not_follow_the_drafts_are_an_error() {
    let (mut scheduler, plan) = drafted(config(), 6, &[1, 2]);
    let mismatch = scheduler.complete(&plan, vec![StepResult::Sampled(vec![1, 3, 4])]).unwrap_err();
    let expected = "sequence 1 had 2 drafts, the 3 tokens handed in do not follow them";
    assert_eq!(mismatch.to_string(), expected);
}

#[test]
fn a_block_of_drafts_is_never_hit() {
    let (mut scheduler, plan) = drafted(config(), 6, &[1, 2, 3, 4, 5, 6]);
    // The prompt, 1, then the drafts: the second block is full with the first of them, which is right.
    scheduler.complete(&plan, vec![StepResult::Sampled(vec![1, 9])]).unwrap();
    scheduler.abort(SequenceId(1)).unwrap();
    let prompt = sequence(1, 6).tokens;
    let hit_after = |scheduler: &mut Scheduler, id, answer: &[u32]| {
        let tokens = [prompt.as_slice(), answer].concat();
        scheduler.add(NewSequence { id: SequenceId(id), tokens, ..sequence(1, 6) }).unwrap();
        step(scheduler);
        let num_hits = scheduler.sequence(SequenceId(id)).unwrap().num_cached_tokens();
        scheduler.abort(SequenceId(id)).unwrap();
        num_hits
    };
    assert_eq!(hit_after(&mut scheduler, 2, &[1, 1, 2, 3, 4, 5, 6]), Some(8));
    assert_eq!(hit_after(&mut scheduler, 3, &[1, 1, 9, 3, 4, 5, 6]), Some(8));
}
