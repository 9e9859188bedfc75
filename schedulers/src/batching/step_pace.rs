//! How many tokens of prompts a step may carry beside running answers, so that none of these waits too long.

use std::time::Duration;

use crate::batching::scheduler::BatchLimits;

/// Weight of the newest measurement in the running means.
const NEWEST: f64 = 0.25;
/// Prompts are taken to need at least this share of a step, however slow answers alone were.
const LEAST_PREFILL_SHARE: f64 = 0.25;
/// A step may last this many times as long as the shortest one, which does little else than read all weights: below that,
/// reading them again for each part of a prompt would be most of the work.
const LEAST_READINGS: f64 = 6.0;
/// Prompts advance by at least this many tokens a step.
const LEAST_PREFILL_TOKENS: usize = 16;
/// The share of the target that answers of batches, and their prompts as much again, may last in a step while others come
/// and go: who comes waits for the end of one such step.
const BATCH_SHARE: f64 = 0.05;
/// Sequences of batches that run all the same: fewer would waste the reading of the weights.
const LEAST_BATCH_SEQS: usize = 4;
/// Prompts of batches advance by at least this many tokens a step.
const LEAST_BATCH_PREFILL_TOKENS: usize = 8;

/// Learns from the steps' durations what a row costs, and turns a target for a step's duration into a number of tokens.
///
/// `tokens = (target − rows · answer_row) / prefill_token`, with the cost of an answer's row from steps that carry
/// answers alone, and the cost of a prompt's token from what is left of the others. Both are running means. Where the answers
/// alone take most of the target, prompts get as long as these: they would starve, in steps that read all weights for a few
/// of their tokens. It changes when tokens are computed, never which.
#[derive(Debug, Clone)]
pub struct StepPace {
    target_seconds: f64,
    shortest_seconds: f64,
    answer_row_seconds: Option<f64>,
    prefill_token_seconds: Option<f64>,
}

impl StepPace {
    /// Nothing is known yet.
    pub fn new(target: Duration) -> Self {
        Self {
            target_seconds: target.as_secs_f64(),
            shortest_seconds: f64::INFINITY,
            answer_row_seconds: None,
            prefill_token_seconds: None,
        }
    }

    /// A step with so many rows of running answers and so many tokens of prompts took so long.
    pub fn observe(&mut self, num_answer_rows: usize, num_prefill_tokens: usize, took: Duration) {
        let took = took.as_secs_f64();
        if num_prefill_tokens == 0 {
            if num_answer_rows > 0 {
                self.shortest_seconds = self.shortest_seconds.min(took);
                learn(&mut self.answer_row_seconds, took / num_answer_rows as f64);
            }
        } else if num_prefill_tokens >= LEAST_PREFILL_TOKENS {
            let of_prefill = (took - self.answers(num_answer_rows)).max(took * LEAST_PREFILL_SHARE);
            learn(&mut self.prefill_token_seconds, of_prefill / num_prefill_tokens as f64);
        }
    }

    /// Tokens of prompts for a step with so many rows of running answers; `None` while nothing is known.
    pub fn max_num_prefill_tokens(&self, num_answer_rows: usize) -> Option<usize> {
        let answers = self.answers(num_answer_rows);
        let reading = if self.shortest_seconds.is_finite() { self.shortest_seconds } else { 0.0 };
        let target = self.target_seconds.max(LEAST_READINGS * reading);
        let left = (target - answers).max(answers);
        let num_tokens = left / self.prefill_token_seconds?;
        Some((num_tokens as usize).max(LEAST_PREFILL_TOKENS))
    }

    /// What batches may take of a step while others come and go; nothing is bounded while nothing is known. A row and a
    /// prompt's token stand in for each other, since what is not known yet was counted to the other.
    pub fn batch_limits(&self) -> BatchLimits {
        let target = self.target_seconds * BATCH_SHARE;
        let within = |seconds: Option<f64>, least: usize| {
            seconds.map_or(usize::MAX, |seconds| ((target / seconds) as usize).max(least))
        };
        let (row, token) = (self.answer_row_seconds, self.prefill_token_seconds);
        BatchLimits {
            max_num_seqs: within(row.or(token), LEAST_BATCH_SEQS),
            max_num_prefill_tokens: within(token.or(row), LEAST_BATCH_PREFILL_TOKENS),
            ..BatchLimits::default()
        }
    }

    fn answers(&self, num_rows: usize) -> f64 {
        self.answer_row_seconds.unwrap_or(0.0) * num_rows as f64
    }
}

fn learn(mean: &mut Option<f64>, newest: f64) {
    *mean = Some(mean.map_or(newest, |mean| mean + NEWEST * (newest - mean)));
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLI: Duration = Duration::from_millis(1);

    /// A machine on which a step takes 1 ms per answer and 2 ms per token of a prompt.
    fn took(num_answer_rows: usize, num_prefill_tokens: usize) -> Duration {
        MILLI * (num_answer_rows + 2 * num_prefill_tokens) as u32
    }

    #[test]
    fn steps_come_to_last_as_long_as_the_target() {
        let mut pace = StepPace::new(MILLI * 100);
        assert_eq!(pace.max_num_prefill_tokens(0), None);
        pace.observe(0, 512, took(0, 512));
        assert_eq!(pace.max_num_prefill_tokens(0), Some(50));
        pace.observe(10, 0, took(10, 0));
        for _ in 0..50 {
            let num_prefill_tokens = pace.max_num_prefill_tokens(40).unwrap();
            pace.observe(40, num_prefill_tokens, took(40, num_prefill_tokens));
        }
        assert_eq!(pace.max_num_prefill_tokens(40), Some(30));
        assert_eq!(pace.max_num_prefill_tokens(80), Some(40), "as long as the answers");
    }

    #[test]
    fn batches_fill_a_part_of_the_target() {
        let mut pace = StepPace::new(MILLI * 100);
        assert_eq!(pace.batch_limits(), BatchLimits::default());
        pace.observe(100, 50, took(100, 50));
        assert_eq!(pace.batch_limits().max_num_seqs, LEAST_BATCH_SEQS, "every step carries prompts");
        pace.observe(10, 0, took(10, 0));
        assert_eq!(
            pace.batch_limits(),
            BatchLimits {
                max_num_seqs: 5,
                max_num_prefill_tokens: LEAST_BATCH_PREFILL_TOKENS,
                is_due: false
            }
        );
        pace.observe(1, 0, MILLI * 500);
        assert_eq!(pace.batch_limits().max_num_seqs, LEAST_BATCH_SEQS);
    }

    #[test]
    fn prompts_advance_however_slow_the_answers_are() {
        let mut pace = StepPace::new(MILLI * 100);
        pace.observe(0, 100, MILLI * 1000);
        assert_eq!(pace.max_num_prefill_tokens(0), Some(LEAST_PREFILL_TOKENS));
        pace.observe(1, 0, MILLI * 50);
        assert_eq!(pace.max_num_prefill_tokens(8), Some(40), "as long as the answers");
        assert_eq!(pace.max_num_prefill_tokens(1), Some(25), "six times as long as reading the weights");
    }
}
