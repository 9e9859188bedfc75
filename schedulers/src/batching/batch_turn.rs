//! When sequences of batches have rested long enough for others.

use std::time::{Duration, Instant};

use crate::batching::scheduler::Scheduler;
use crate::batching::sequence::Sequence;
use crate::batching::step_plan::StepPlan;

/// They rest at most so long while others start, one after the other.
const MAX_REST: Duration = Duration::from_secs(1);

/// Gives batches a step now and then, however unbroken the stream of other requests is.
#[derive(Debug, Clone, Default)]
pub struct BatchTurn {
    rest_since: Option<Instant>,
}

impl BatchTurn {
    /// Whether batches take part in the coming step, whoever starts.
    pub fn is_due(&self, now: Instant) -> bool {
        self.rest_since.is_some_and(|since| now.saturating_duration_since(since) >= MAX_REST)
    }

    /// A step was planned.
    pub fn note(&mut self, scheduler: &Scheduler, plan: &StepPlan, now: Instant) {
        let is_of_batch = |id| scheduler.sequence(id).is_ok_and(Sequence::is_batch);
        if !scheduler.has_batch_work() || plan.sequences.iter().any(|share| is_of_batch(share.id)) {
            self.rest_since = None;
        } else {
            self.rest_since.get_or_insert(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batching::block_hash::CacheKey;
    use crate::batching::config::SchedulerConfig;
    use crate::batching::scheduler::BatchLimits;
    use crate::batching::sequence::{NewSequence, SequenceId};
    use crate::batching::step_plan::StepResult;
    use crate::batching::stop_rules::StopRules;

    const STEP: Duration = Duration::from_millis(100);

    fn sequence(id: u64, is_batch: bool, num_tokens: u32) -> NewSequence {
        NewSequence {
            id: SequenceId(id),
            tokens: (0..num_tokens).map(|token| token + 1000 * id as u32).collect(),
            num_prompt_tokens: num_tokens as usize,
            priority: 0,
            is_batch,
            cache_key: CacheKey::default(),
            stop_rules: StopRules { stop_token_ids: vec![], max_tokens: 8, min_tokens: 0 },
            max_num_step_tokens: None,
            can_read_prefix_cache: true,
            awaits: None,
        }
    }

    /// A machine whose steps take 100 ms, to which so many prompts come each step: how many steps a batch's sequence needs,
    /// and how many tokens of others are computed in the longest and the shortest of those.
    fn check(num_arrivals: u64, max_num_seqs: usize) {
        let config = SchedulerConfig {
            max_num_seqs,
            max_num_batched_tokens: 64,
            max_num_queued_requests: 48,
            ..SchedulerConfig::default()
        };
        let mut scheduler = Scheduler::new(config).unwrap();
        let (mut turn, mut now) = (BatchTurn::default(), Instant::now());
        scheduler.add(sequence(0, true, 20)).unwrap();
        let mut next_id = 1;
        for num_steps in 1.. {
            for _ in 0..num_arrivals {
                // Some find the queue full.
                drop(scheduler.add(sequence(next_id, false, 40)));
                next_id += 1;
            }
            let is_due = turn.is_due(now);
            scheduler.limit_batch_work(BatchLimits { is_due, ..BatchLimits::default() });
            let plan = scheduler.schedule().unwrap();
            turn.note(&scheduler, &plan, now);
            let of_others: usize =
                plan.sequences.iter().filter(|share| share.id.0 > 0).map(|share| share.num_tokens).sum();
            assert!(of_others >= 64 / 2, "others advance in every step, by {of_others}");
            let results = plan.sequences.iter().map(|share| match share.is_sampled {
                true => StepResult::Sampled(vec![1]),
                false => StepResult::Computed,
            });
            scheduler.complete(&plan, results.collect()).unwrap();
            scheduler.check_invariants().unwrap();
            if scheduler.sequence(SequenceId(0)).is_err() {
                break;
            }
            // A prompt and eight tokens: two steps of prefill at most, and seven more, eleven steps apart.
            assert!(num_steps <= 9 * 11, "the batch starves");
            now += STEP;
        }
    }

    #[test]
    fn a_batch_goes_on_under_an_unbroken_stream_of_prompts() {
        check(1, 128);
    }

    #[test]
    fn a_batch_goes_on_while_others_want_every_slot_and_every_token() {
        check(8, 16);
        check(40, 128);
    }

    #[test]
    fn a_rest_ends_with_the_work_or_with_a_step() {
        let mut scheduler = Scheduler::new(SchedulerConfig::default()).unwrap();
        let (mut turn, start) = (BatchTurn::default(), Instant::now());
        let nothing = StepPlan::default();
        turn.note(&scheduler, &nothing, start);
        assert!(!turn.is_due(start + 9 * MAX_REST), "nobody rests");
        scheduler.add(sequence(1, true, 4)).unwrap();
        turn.note(&scheduler, &nothing, start);
        turn.note(&scheduler, &nothing, start + MAX_REST / 2);
        assert!(!turn.is_due(start + MAX_REST / 2) && turn.is_due(start + MAX_REST));
        let plan = scheduler.schedule().unwrap();
        turn.note(&scheduler, &plan, start + MAX_REST);
        assert!(!turn.is_due(start + 2 * MAX_REST));
    }
}
