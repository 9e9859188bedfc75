//! When tokens arrived, whether or not their client was ready for them.

use schemas::v1::FrameEntry;
use tokio::time::Instant;

use crate::metrics::Metrics;

/// Measures the tokens of one request.
pub(crate) struct TokenClock {
    metrics: Metrics,
    started_at: Instant,
    num_choices: usize,
    /// By answer: `prompt * n + choice`.
    last_tokens_at: Vec<Option<Instant>>,
}

impl TokenClock {
    /// A clock that starts now, for `num_prompts` prompts with `num_choices` choices each.
    pub(crate) fn start(metrics: Metrics, num_prompts: usize, num_choices: usize) -> Self {
        let last_tokens_at = vec![None; num_prompts * num_choices];
        Self { metrics, started_at: Instant::now(), num_choices, last_tokens_at }
    }

    /// Measures an entry that has just arrived.
    pub(crate) fn measure(&mut self, prompt_index: usize, entry: &FrameEntry) {
        let answer = prompt_index * self.num_choices + entry.choice as usize;
        let Some(last) = self.last_tokens_at.get_mut(answer).filter(|_| !entry.token_ids.is_empty()) else {
            return;
        };
        let now = Instant::now();
        match last.replace(now) {
            Some(last) => self.metrics.next_tokens(entry.token_ids.len(), now - last),
            None => self.metrics.first_token(now - self.started_at),
        }
    }
}
