//! Where a client stands in an answer, as the ids of server-sent events say it.
//!
//! A position is `TOKENS-TEXT`, `TOKENS-TEXT-REASONING` or `TOKENS-TEXT-REASONING-CALLS-ARGUMENTS`: tokens and calls are
//! counted, the rest is bytes of UTF-8; `f` follows when the choice has finished. The bytes make it exact however the answer
//! was cut into frames, and when only its terminal fact is left.

use std::fmt;
use std::str::FromStr;

use schemas::InferenceId;
use schemas::v1::{Choice, FinishReason, FrameEntry};

use crate::error::ApiError;

/// More choices are not numbered together: an id must stay small beside the token that it numbers.
pub(crate) const MAX_NUM_POSITIONS: usize = 64;
const MAX_ID_BYTES: usize = 8_192;

/// How much of one choice was taken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) num_tokens: u32,
    pub(crate) num_text_bytes: usize,
    pub(crate) num_reasoning_bytes: usize,
    /// Calls of tools that have begun.
    pub(crate) num_calls: usize,
    /// Of all calls together; they come one after another.
    pub(crate) num_argument_bytes: usize,
    pub(crate) is_finished: bool,
}

/// What a client says that it has of one choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StartingAfter {
    /// So many tokens, with the text that came with them.
    Tokens(u32),
    /// Everything up to here.
    Exact(Position),
}

impl StartingAfter {
    /// Whether an answer that ended as `choice` never came so far.
    pub(crate) fn is_past(&self, choice: &Choice) -> bool {
        let num_tokens = choice.token_ids.len() as u32;
        match self {
            Self::Tokens(known) => *known > num_tokens,
            Self::Exact(known) => {
                let num_argument_bytes: usize =
                    choice.tool_calls.iter().map(|call| call.arguments.len()).sum();
                known.num_tokens > num_tokens
                    || known.num_text_bytes > choice.text.len()
                    || known.num_reasoning_bytes > choice.reasoning.len()
                    || known.num_calls > choice.tool_calls.len()
                    || known.num_argument_bytes > num_argument_bytes
            }
        }
    }
}

/// Where a client wants to go on: the id of the last event that it saw, or the part of it after the inference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ResumePoint {
    /// Absent when only positions were given.
    pub(crate) inference: Option<InferenceId>,
    /// One per choice, in the order of the request.
    positions: Vec<StartingAfter>,
    param: &'static str,
}

impl Position {
    /// Behind `entry` as well.
    pub(crate) fn advance(&mut self, entry: &FrameEntry) {
        self.num_tokens = self.num_tokens.saturating_add(entry.token_ids.len() as u32);
        self.num_text_bytes += entry.text.len();
        self.num_reasoning_bytes += entry.reasoning.len();
        for delta in &entry.tool_calls {
            self.num_calls = self.num_calls.max(delta.index as usize + 1);
            self.num_argument_bytes += delta.arguments.len();
        }
        self.is_finished |= entry.finish_reason() != FinishReason::Unspecified;
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.num_tokens, self.num_text_bytes)?;
        if self.num_reasoning_bytes > 0 || self.num_calls > 0 {
            write!(f, "-{}", self.num_reasoning_bytes)?;
        }
        if self.num_calls > 0 {
            write!(f, "-{}-{}", self.num_calls, self.num_argument_bytes)?;
        }
        f.write_str(if self.is_finished { "f" } else { "" })
    }
}

/// A text that is no position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NoPosition;

impl FromStr for StartingAfter {
    type Err = NoPosition;

    fn from_str(text: &str) -> Result<Self, NoPosition> {
        let (counts, is_finished) = text.strip_suffix('f').map_or((text, false), |counts| (counts, true));
        let counts: Result<Vec<u32>, _> = counts.split('-').map(parse_count).collect();
        let count = |count: u32| count as usize;
        let position = match counts?.as_slice() {
            [tokens] if !is_finished => return Ok(Self::Tokens(*tokens)),
            &[num_tokens, text] => {
                Position { num_tokens, num_text_bytes: count(text), ..Position::default() }
            }
            &[num_tokens, text, reasoning] => Position {
                num_tokens,
                num_text_bytes: count(text),
                num_reasoning_bytes: count(reasoning),
                ..Position::default()
            },
            &[num_tokens, text, reasoning, calls, arguments] => Position {
                num_tokens,
                num_text_bytes: count(text),
                num_reasoning_bytes: count(reasoning),
                num_calls: count(calls),
                num_argument_bytes: count(arguments),
                is_finished: false,
            },
            _ => return Err(NoPosition),
        };
        Ok(Self::Exact(Position { is_finished, ..position }))
    }
}

/// Digits only: `parse` alone would take a sign.
fn parse_count(text: &str) -> Result<u32, NoPosition> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_plain).ok_or(NoPosition)
}

/// The id of an event that leaves its stream at `positions`, of which `index` is the one that moved.
pub(crate) fn event_id(inference: &str, choice: u32, index: usize, positions: &[Position]) -> String {
    let moved = positions.get(index).copied().unwrap_or_default();
    let mut id = format!("{inference}:{choice}:{moved}");
    if (2..=MAX_NUM_POSITIONS).contains(&positions.len()) {
        let all: Vec<String> = positions.iter().map(ToString::to_string).collect();
        id.push(':');
        id.push_str(&all.join("."));
    }
    id
}

impl ResumePoint {
    /// Reads an event's id, or positions joined by dots; `param` is where the client wrote it.
    pub(crate) fn read(param: &'static str, text: &str) -> Result<Self, ApiError> {
        let invalid = || {
            let message = format!("{param} is no position: send the id of the last event that was received");
            ApiError::invalid(param, message)
        };
        if text.len() > MAX_ID_BYTES {
            return Err(invalid());
        }
        let parts: Vec<&str> = text.split(':').collect();
        let (inference, positions) = match parts.as_slice() {
            [positions] => (None, *positions),
            [inference, _, position] => (Some(inference), *position),
            [inference, _, _, all] => (Some(inference), *all),
            _ => return Err(invalid()),
        };
        let inference = inference.map(|id| id.parse()).transpose().map_err(|_| invalid())?;
        let positions: Result<_, NoPosition> = positions.split('.').map(str::parse).collect();
        Ok(Self { inference, positions: positions.map_err(|_| invalid())?, param })
    }

    /// One position for each of the answer's choices.
    pub(crate) fn positions(self, num_choices: usize) -> Result<Vec<StartingAfter>, ApiError> {
        let found = self.positions.len();
        if found == num_choices {
            return Ok(self.positions);
        }
        let message = if num_choices > MAX_NUM_POSITIONS {
            format!("a stream of {num_choices} choices cannot be resumed, one of {MAX_NUM_POSITIONS} can")
        } else {
            format!("{} has {found} positions, the answer has {num_choices} choices", self.param)
        };
        Err(ApiError::invalid(self.param, message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<StartingAfter>) {
        assert_eq!(text.parse().ok(), expected, "{text}");
        if let Some(StartingAfter::Exact(position)) = expected {
            assert_eq!(position.to_string(), text);
        }
    }

    #[test]
    fn positions_are_read_as_they_are_written() {
        let plain = Position { num_tokens: 12, num_text_bytes: 57, ..Position::default() };
        check("12", Some(StartingAfter::Tokens(12)));
        check("12-57", Some(StartingAfter::Exact(plain)));
        check("12-57f", Some(StartingAfter::Exact(Position { is_finished: true, ..plain })));
        check("12-57-3", Some(StartingAfter::Exact(Position { num_reasoning_bytes: 3, ..plain })));
        let calls = Position { num_calls: 2, num_argument_bytes: 30, ..plain };
        check("12-57-0-2-30", Some(StartingAfter::Exact(calls)));
        for text in ["", "f", "12f", "-1", "+1", "1-", "1-2-3-4", "1-2-3-4-5-6", "99999999999", "1.5", "x"] {
            check(text, None);
        }
    }

    #[test]
    fn an_event_s_id_says_where_to_go_on() {
        let first = Position { num_tokens: 3, num_text_bytes: 9, ..Position::default() };
        let second = Position { num_tokens: 4, ..first };
        let inference = "0198c6f0a1b27c3d8e4f5061728394a5";
        let check = |id: String, num_choices: usize, expected: Option<Vec<StartingAfter>>| {
            let point = ResumePoint::read("Last-Event-ID", &id).unwrap();
            assert_eq!(point.inference, Some(inference.parse().unwrap()));
            assert_eq!(point.positions(num_choices).ok(), expected);
        };
        check(event_id(inference, 0, 0, &[first]), 1, Some(vec![StartingAfter::Exact(first)]));
        let both = event_id(inference, 1, 1, &[first, second]);
        assert_eq!(both, format!("{inference}:1:4-9:3-9.4-9"));
        check(both.clone(), 2, Some(vec![StartingAfter::Exact(first), StartingAfter::Exact(second)]));
        check(both, 3, None);
        check(event_id(inference, 0, 0, &vec![first; MAX_NUM_POSITIONS + 1]), MAX_NUM_POSITIONS + 1, None);
        for text in ["", "a:0:1", "a:b:c:d:e", "1:2", &"1.".repeat(9_000)] {
            assert!(ResumePoint::read("starting_after", text).is_err(), "{text:.20}");
        }
    }
}
