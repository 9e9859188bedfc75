//! One request and what came of it, whichever way it was answered.

use std::time::Duration;

/// The work that is asked for: the same for every target of a comparison.
#[derive(Debug, Clone)]
pub struct CompletionRequest {
    /// The prompt, as token ids.
    pub prompt: Vec<u32>,
    /// Exactly this many tokens are generated: the end-of-text token is ignored.
    pub num_output_tokens: u32,
    /// Zero is greedy.
    pub temperature: f64,
    /// Seed of the sampler.
    pub seed: u64,
}

/// How one request went.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// The stream ended as it should.
    Completed(Completion),
    /// It did not, and this is why, in words that are the same for the same cause.
    Failed(String),
}

/// A completed stream. Times count from when the request was due, so that an overloaded server can't hide its queue.
#[derive(Debug, Clone, PartialEq)]
pub struct Completion {
    /// Until the first token.
    pub time_to_first_token: Duration,
    /// Between one event with output and the next.
    pub inter_token: Vec<Duration>,
    /// Until the end of the stream.
    pub total: Duration,
    /// Length of the prompt, as the server counted it.
    pub num_prompt_tokens: u64,
    /// How many tokens of the prompt came from a prefix cache.
    pub num_cached_tokens: u64,
    /// How many tokens were generated, as the server counted them.
    pub num_output_tokens: u64,
}

/// Turns the moments at which output arrived into a [`Completion`]'s times.
#[derive(Debug, Default)]
pub struct OutputClock {
    first: Option<Duration>,
    last: Duration,
    gaps: Vec<Duration>,
}

impl OutputClock {
    /// Output arrived at `at`, counted from when the request was due.
    pub fn output_at(&mut self, at: Duration) {
        match self.first {
            None => self.first = Some(at),
            Some(_) => self.gaps.push(at.saturating_sub(self.last)),
        }
        self.last = at;
    }

    /// The time to the first output and the gaps after it; `None` when there was no output.
    #[must_use]
    pub fn finish(self) -> Option<(Duration, Vec<Duration>)> {
        self.first.map(|first| (first, self.gaps))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_between_outputs_and_not_before_the_first() {
        let mut clock = OutputClock::default();
        for at in [30, 40, 65] {
            clock.output_at(Duration::from_millis(at));
        }
        let gaps = vec![Duration::from_millis(10), Duration::from_millis(25)];
        assert_eq!(clock.finish(), Some((Duration::from_millis(30), gaps)));
        assert_eq!(OutputClock::default().finish(), None);
    }
}
