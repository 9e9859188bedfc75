//! What was answered then and now.

use std::fmt;

use schemas::v1::{Choice, Ended, Outcome, TokenLogprob, TokenLogprobs};
use serde::Serialize;

use super::engine::Replayed;

/// A token at the place where the answers part.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct TokenSeen {
    pub(crate) token_id: u32,
    pub(crate) text: String,
    /// In the distribution that the replay found; none if it is not among the 20 most likely.
    pub(crate) logprob: Option<f32>,
}

/// How two answers compare.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "result", rename_all = "snake_case")]
pub(crate) enum Comparison {
    /// Every token, or every element of every vector, is the same.
    Match { num_tokens: usize },
    /// The first token that differs; none where an answer had ended.
    Token { choice: u32, index: usize, recorded: Option<TokenSeen>, replayed: Option<TokenSeen> },
    /// The tokens are the same and what was made of them is not.
    Part { choice: u32, part: &'static str },
    /// The first vector or score that differs.
    Vector { input: usize },
    /// It ended otherwise.
    Outcome { recorded: String, replayed: String },
    /// There was nothing to run again.
    Skipped { reason: &'static str },
    /// There was, and it could not be run here.
    Unable { reason: String },
}

impl Comparison {
    /// Compares; an answer that was cancelled is compared as far as it came.
    pub(crate) fn of(recorded: &Ended, replayed: &Replayed) -> Self {
        let was_cancelled = recorded.outcome() == Outcome::Cancelled;
        let ended = &replayed.ended;
        if !was_cancelled && ended.outcome() != recorded.outcome() {
            return Self::Outcome { recorded: words(recorded), replayed: words(ended) };
        }
        let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        let num_vectors = recorded.pooled.len().max(ended.pooled.len());
        let vector = |of: &Ended, input: usize| of.pooled.get(input).map(|pooled| bits(&pooled.values));
        if let Some(input) = (0..num_vectors).find(|input| vector(recorded, *input) != vector(ended, *input))
        {
            return Self::Vector { input };
        }
        let none = Choice::default();
        let mut num_tokens = 0;
        for before in &recorded.choices {
            let after = ended.choices.iter().find(|after| after.index == before.index).unwrap_or(&none);
            num_tokens += before.token_ids.len();
            let logprobs = replayed.logprobs.get(&before.index).map_or(&[][..], Vec::as_slice);
            if let Some(index) = first_difference(before, after, was_cancelled) {
                let seen = |choice: &Choice| {
                    let token_id = *choice.token_ids.get(index)?;
                    Some(token_seen(token_id, logprobs.get(index)))
                };
                let (recorded, replayed) = (seen(before), seen(after));
                return Self::Token { choice: before.index, index, recorded, replayed };
            }
            if let Some(part) = different_part(before, after).filter(|_| !was_cancelled) {
                return Self::Part { choice: before.index, part };
            }
        }
        Self::Match { num_tokens }
    }

    /// Whether the replay said something else.
    pub(crate) const fn is_difference(&self) -> bool {
        !matches!(self, Self::Match { .. } | Self::Skipped { .. } | Self::Unable { .. })
    }
}

fn words(ended: &Ended) -> String {
    let outcome = ended.outcome().as_str_name().trim_start_matches("OUTCOME_").to_lowercase();
    match &ended.failure {
        Some(failure) => format!("{outcome} ({})", failure.code),
        None => outcome,
    }
}

fn first_difference(before: &Choice, after: &Choice, is_prefix_enough: bool) -> Option<usize> {
    let (before, after) = (&before.token_ids, &after.token_ids);
    let first = before.iter().zip(after).position(|(before, after)| before != after);
    let is_as_long = if is_prefix_enough { after.len() >= before.len() } else { after.len() == before.len() };
    first.or_else(|| (!is_as_long).then_some(before.len().min(after.len())))
}

fn different_part(before: &Choice, after: &Choice) -> Option<&'static str> {
    let parts = [
        ("text", before.text != after.text),
        ("reasoning", before.reasoning != after.reasoning),
        ("tool_calls", before.tool_calls != after.tool_calls),
        ("finish_reason", before.finish_reason != after.finish_reason),
        ("stop_reason", before.stop_reason != after.stop_reason),
        ("logprobs", are_logprobs_different(before, after)),
    ];
    parts.into_iter().find(|(_, differs)| *differs).map(|(part, _)| part)
}

/// As far as the request asked for them; the replay has more candidates.
fn are_logprobs_different(before: &Choice, after: &Choice) -> bool {
    let bits = |token: &TokenLogprob| (token.token_id, token.logprob.to_bits());
    let is_different = |(before, after): (&TokenLogprobs, &TokenLogprobs)| {
        let chosen = |logprobs: &TokenLogprobs| logprobs.chosen.as_ref().map(bits);
        let top = after.top.iter().take(before.top.len()).map(bits);
        chosen(before) != chosen(after) || !before.top.iter().map(bits).eq(top)
    };
    !before.logprobs.is_empty()
        && (before.logprobs.len() != after.logprobs.len()
            || before.logprobs.iter().zip(&after.logprobs).any(is_different))
}

fn token_seen(token_id: u32, distribution: Option<&TokenLogprobs>) -> TokenSeen {
    let found = distribution.and_then(|logprobs| {
        logprobs.chosen.iter().chain(&logprobs.top).find(|candidate| candidate.token_id == token_id)
    });
    TokenSeen {
        token_id,
        text: found.map(|token| String::from_utf8_lossy(&token.token).into_owned()).unwrap_or_default(),
        logprob: found.map(|token| token.logprob),
    }
}

impl fmt::Display for TokenSeen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", self.token_id, self.text)?;
        match self.logprob {
            Some(logprob) => write!(f, " (logprob {logprob:.4})"),
            None => f.write_str(" (not among the 20 most likely)"),
        }
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |token: &Option<TokenSeen>| {
            token.as_ref().map_or_else(|| "the end".to_owned(), ToString::to_string)
        };
        match self {
            Self::Match { num_tokens: 0 } => f.write_str("match"),
            Self::Match { num_tokens } => write!(f, "match, {num_tokens} tokens"),
            Self::Token { choice, index, recorded, replayed } => write!(
                f,
                "choice {choice} differs from token {index} on: recorded {}, replayed {}",
                shown(recorded),
                shown(replayed)
            ),
            Self::Part { choice, part } => {
                write!(f, "the {part} of choice {choice} differs, its tokens do not")
            }
            Self::Vector { input } => write!(f, "the vector or score of input {input} differs"),
            Self::Outcome { recorded, replayed } => write!(f, "recorded {recorded}, replayed {replayed}"),
            Self::Skipped { reason } => write!(f, "not replayed: {reason}"),
            Self::Unable { reason } => write!(f, "cannot be replayed: {reason}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use schemas::v1::Pooled;
    use std::collections::BTreeMap;
    use std::time::Duration;

    fn ended(outcome: Outcome, token_ids: &[u32], text: &str) -> Ended {
        let choice = Choice { token_ids: token_ids.to_vec(), text: text.to_owned(), ..Choice::default() };
        Ended { outcome: outcome.into(), choices: vec![choice], ..Ended::default() }
    }

    fn completed(token_ids: &[u32], text: &str) -> Ended {
        ended(Outcome::Completed, token_ids, text)
    }

    fn compare(recorded: &Ended, replayed: Ended) -> Comparison {
        let token = |token_id: u32, logprob: f32| TokenLogprob {
            token_id,
            logprob,
            token: vec![b'a' + token_id as u8],
            ..TokenLogprob::default()
        };
        let tokens = replayed.choices.first().map(|choice| choice.token_ids.clone()).unwrap_or_default();
        let logprobs = tokens
            .iter()
            .map(|id| TokenLogprobs { chosen: Some(token(*id, -0.5)), top: vec![token(2, -0.75)] });
        let logprobs = BTreeMap::from([(0, logprobs.collect())]);
        Comparison::of(recorded, &Replayed { ended: replayed, logprobs, took: Duration::ZERO })
    }

    #[test]
    fn the_first_token_that_differs_is_told_with_both_logprobs() {
        let found = compare(&completed(&[1, 2, 9], "x"), completed(&[1, 3, 9], "y"));
        let text = found.to_string();
        assert!(
            text.contains(
                "token 1 on: recorded 2 \"c\" (logprob -0.7500), replayed 3 \"d\" (logprob -0.5000)"
            ),
            "{text}"
        );
        assert!(found.is_difference());
        let found = compare(&completed(&[1, 9], "x"), completed(&[1, 3], "y")).to_string();
        assert!(found.contains("not among the 20"), "{found}");
        let found = compare(&completed(&[1], "x"), completed(&[1, 3], "y")).to_string();
        assert!(found.contains("recorded the end, replayed 3"), "{found}");
    }

    #[test]
    fn equal_answers_match_and_a_cancelled_one_as_far_as_it_came() {
        assert_eq!(
            compare(&completed(&[1, 2], "x"), completed(&[1, 2], "x")),
            Comparison::Match { num_tokens: 2 }
        );
        let cancelled = ended(Outcome::Cancelled, &[1], "x");
        assert_eq!(compare(&cancelled, completed(&[1, 2], "xy")), Comparison::Match { num_tokens: 1 });
        assert!(compare(&cancelled, completed(&[2, 2], "xy")).is_difference());
        let found = compare(&completed(&[1], "x"), completed(&[1], "y"));
        assert_eq!(found, Comparison::Part { choice: 0, part: "text" });
        assert!(compare(&completed(&[1], "x"), ended(Outcome::Failed, &[], "")).is_difference());
        assert!(
            compare(&completed(&[1], "x"), Ended { outcome: Outcome::Completed.into(), ..Ended::default() })
                .is_difference()
        );
    }

    #[test]
    fn log_probabilities_are_compared_as_far_as_they_were_asked_for() {
        let token = |token_id, logprob| TokenLogprob { token_id, logprob, ..TokenLogprob::default() };
        let answer = |top: &[TokenLogprob]| {
            let logprobs = TokenLogprobs { chosen: Some(token(1, -0.5)), top: top.to_vec() };
            let choice = Choice { token_ids: vec![1], logprobs: vec![logprobs], ..Choice::default() };
            Ended { outcome: Outcome::Completed.into(), choices: vec![choice], ..Ended::default() }
        };
        let (first, second, other) = (token(1, -0.5), token(2, -1.0), token(2, -1.5));
        let replayed = answer(&[first.clone(), second]);
        assert!(!compare(&answer(std::slice::from_ref(&first)), replayed.clone()).is_difference());
        let found = compare(&answer(&[first, other]), replayed);
        assert_eq!(found, Comparison::Part { choice: 0, part: "logprobs" });
    }

    #[test]
    fn vectors_are_compared_bit_by_bit() {
        let pooled = |value: f32| Ended {
            outcome: Outcome::Completed.into(),
            pooled: vec![Pooled { values: vec![1.0, value], num_tokens: 1 }],
            ..Ended::default()
        };
        assert!(!compare(&pooled(0.5), pooled(0.5)).is_difference());
        assert_eq!(compare(&pooled(0.0), pooled(-0.0)), Comparison::Vector { input: 0 });
        assert_eq!(
            compare(&pooled(0.0), Ended { pooled: Vec::new(), ..pooled(0.0) }),
            Comparison::Vector { input: 0 }
        );
    }
}
