//! The span in which a model thinks before it answers.

use std::ops::Range;
use std::str::FromStr;

use thiserror::Error;

use super::Parsed;
use super::held_text::{HeldText, Mark};

/// How a model marks the span in which it thinks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReasoningFormat {
    /// `<think>…</think>`: Qwen 3, QwQ, DeepSeek R1, SmolLM 3 and many more.
    Think,
    /// `[THINK]…[/THINK]`: Mistral's reasoning models.
    Mistral,
}

/// A name that is no format's.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("'{0}' is no reasoning parser: qwen3, deepseek_r1 and mistral are")]
pub struct UnknownReasoningFormat(String);

/// Where an answer begins, by the end of its prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpanStart {
    /// The span may be opened by the answer's first words.
    Unopened,
    /// The prompt opened it.
    Inside,
    /// There is none, or the prompt closed it.
    Over,
}

impl ReasoningFormat {
    /// The format that a chat template knows.
    pub fn of_template(source: &str) -> Option<Self> {
        [Self::Think, Self::Mistral].into_iter().find(|format| source.contains(format.closing()))
    }

    /// What opens the span.
    pub fn opening(self) -> &'static str {
        match self {
            Self::Think => "<think>",
            Self::Mistral => "[THINK]",
        }
    }

    /// What closes it.
    pub fn closing(self) -> &'static str {
        match self {
            Self::Think => "</think>",
            Self::Mistral => "[/THINK]",
        }
    }

    /// Where the answer to a rendered prompt begins. The marks count only at the prompt's very end, or within the message
    /// that is to be continued: what users write before cannot move it.
    pub fn start_after(self, prompt: &str, continued: Option<&str>) -> SpanStart {
        let prompt = prompt.trim_end();
        if prompt.ends_with(self.opening()) {
            return SpanStart::Inside;
        }
        if prompt.ends_with(self.closing()) {
            return SpanStart::Over;
        }
        let Some(continued) = continued else { return SpanStart::Unopened };
        if continued.trim().is_empty() {
            return SpanStart::Unopened;
        }
        let is_open = continued.rfind(self.opening()) > continued.rfind(self.closing());
        if is_open { SpanStart::Inside } else { SpanStart::Over }
    }

    /// The bytes of the span's inside in an answer's text; empty if there is none.
    pub fn span_of(self, text: &[u8], start: SpanStart) -> Range<usize> {
        let find = |from: usize, mark: &str| {
            let rest = text.get(from..).unwrap_or_default();
            rest.windows(mark.len()).position(|window| window == mark.as_bytes()).map(|at| from + at)
        };
        let begin = match start {
            SpanStart::Over => return 0..0,
            SpanStart::Inside => 0,
            SpanStart::Unopened => {
                let num_spaces = text.len() - text.trim_ascii_start().len();
                if find(num_spaces, self.opening()) != Some(num_spaces) {
                    return 0..0;
                }
                num_spaces + self.opening().len()
            }
        };
        begin..find(begin, self.closing()).unwrap_or(text.len())
    }
}

impl FromStr for ReasoningFormat {
    type Err = UnknownReasoningFormat;

    fn from_str(name: &str) -> Result<Self, UnknownReasoningFormat> {
        match name {
            "qwen3" | "deepseek_r1" => Ok(Self::Think),
            "mistral" => Ok(Self::Mistral),
            _ => Err(UnknownReasoningFormat(name.to_owned())),
        }
    }
}

/// Splits the thinking span off an answer's beginning. White space at either end of the span is part of neither side. A
/// pure function of the characters so far.
#[derive(Debug, Clone)]
pub(super) struct ReasoningParser {
    format: ReasoningFormat,
    place: Place,
    held: HeldText,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Unopened,
    /// Before the first character of the thought.
    Opened,
    Inside,
    /// Before the first character of the answer.
    Closed,
    Over,
}

impl ReasoningParser {
    pub(super) fn new(format: ReasoningFormat, start: SpanStart) -> Self {
        let place = match start {
            SpanStart::Unopened => Place::Unopened,
            SpanStart::Inside => Place::Opened,
            SpanStart::Over => Place::Over,
        };
        Self { format, place, held: HeldText::new() }
    }

    /// Takes the next character; appends to `outside` what is certain to lie outside of the span.
    pub(super) fn push(&mut self, next: char, parsed: &mut Parsed, outside: &mut String) {
        match self.place {
            Place::Opened | Place::Closed if next.is_whitespace() => {}
            Place::Unopened => {
                let opening = [Mark::anywhere(self.format.opening())];
                if self.held.push(next, &opening, outside).is_some() {
                    self.held.take();
                    self.place = Place::Opened;
                } else if !outside.is_empty() {
                    outside.push_str(&self.held.take());
                    self.place = Place::Over;
                }
            }
            Place::Opened | Place::Inside => {
                let closing = [Mark::anywhere(self.format.closing())];
                self.place = Place::Inside;
                if self.held.push(next, &closing, &mut parsed.reasoning).is_some() {
                    self.held.take();
                    self.place = Place::Closed;
                }
            }
            Place::Closed | Place::Over => {
                self.place = Place::Over;
                outside.push(next);
            }
        }
    }

    /// Gives out what was held back; no more text comes.
    pub(super) fn finish(&mut self, parsed: &mut Parsed, outside: &mut String) {
        let rest = self.held.take();
        match self.place {
            Place::Unopened => outside.push_str(&rest),
            _ => parsed.reasoning.push_str(rest.trim_end()),
        }
    }
}
