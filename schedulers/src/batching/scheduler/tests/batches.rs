use super::*;

fn of_batch(id: u64, num_tokens: usize) -> NewSequence {
    NewSequence { is_batch: true, ..sequence(id, num_tokens) }
}

#[test]
fn batches_rest_while_somebody_else_starts() {
    let mut scheduler = scheduler(config(), [of_batch(1, 4), of_batch(2, 4)]);
    assert_eq!(step(&mut scheduler), [(1, 0, 4), (2, 0, 4)]);
    scheduler.add(of_batch(3, 4)).unwrap();
    scheduler.add(sequence(4, 20)).unwrap();
    assert_eq!(step(&mut scheduler), [(4, 0, 16)], "it overtakes what waits and has the step alone");
    assert_eq!(step(&mut scheduler), [(4, 16, 4)]);
    assert_eq!(step(&mut scheduler), [(1, 4, 1), (2, 4, 1), (4, 20, 1), (3, 0, 4)]);
}

#[test]
fn batches_give_up_their_slots_and_blocks() {
    let few_slots = SchedulerConfig { max_num_seqs: 2, ..config() };
    let mut scheduler_a = scheduler(few_slots, [of_batch(1, 4), of_batch(2, 4)]);
    step(&mut scheduler_a);
    scheduler_a.add(sequence(3, 4)).unwrap();
    assert_eq!(step(&mut scheduler_a), [(3, 0, 4)]);
    assert_eq!(scheduler_a.sequence(SequenceId(2)).unwrap().state(), SequenceState::Preempted);
    assert_eq!(step(&mut scheduler_a), [(1, 4, 1), (3, 4, 1)], "no slot is left for the other one");

    let few_blocks = SchedulerConfig { num_blocks: 6, max_num_batched_tokens: 32, ..config() };
    let mut scheduler_b = scheduler(few_blocks, [of_batch(1, 11), of_batch(2, 11)]);
    step(&mut scheduler_b);
    scheduler_b.add(sequence(3, 14)).unwrap();
    assert_eq!(step(&mut scheduler_b), [(3, 0, 14)]);
    assert_eq!(scheduler_b.running(), [SequenceId(3)]);
}

#[test]
fn batches_take_no_more_of_a_step_than_their_limits() {
    let mut scheduler = scheduler(config(), [of_batch(1, 4), of_batch(2, 8), of_batch(3, 4)]);
    scheduler.limit_batch_work(BatchLimits { max_num_seqs: 2, max_num_prefill_tokens: 6, is_due: false });
    assert_eq!(step(&mut scheduler), [(1, 0, 4), (2, 0, 2)]);
    assert_eq!(step(&mut scheduler), [(1, 4, 1), (2, 2, 6)]);
    scheduler.limit_batch_work(BatchLimits { max_num_seqs: 1, max_num_prefill_tokens: 6, is_due: false });
    assert_eq!(step(&mut scheduler), [(1, 5, 1)]);
    scheduler.limit_batch_work(BatchLimits::default());
    assert_eq!(step(&mut scheduler), [(1, 6, 1), (2, 8, 1), (3, 0, 4)]);
}
