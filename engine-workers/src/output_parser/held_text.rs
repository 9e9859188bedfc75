//! Text that is held back because it may turn out to be a mark.

/// A text with a meaning of its own, such as `<tool_call>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) text: &'static str,
    /// Whether it means nothing in the middle of a line.
    pub(super) is_at_line_start: bool,
}

impl Mark {
    pub(super) const fn anywhere(text: &'static str) -> Self {
        Self { text, is_at_line_start: false }
    }

    pub(super) const fn at_line_start(text: &'static str) -> Self {
        Self { text, is_at_line_start: true }
    }
}

/// Finds marks in text that comes character by character. It holds back white space, since what precedes a mark is not
/// part of the answer, and what may still become a mark; nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HeldText {
    held: String,
    /// Whether what was released last ended a line, or nothing was.
    ended_line: bool,
}

impl HeldText {
    pub(super) fn new() -> Self {
        Self { held: String::new(), ended_line: true }
    }

    /// Takes the next character and appends to `text` what is certain to be no mark; the mark that it
    /// completes, if it does. The mark and the white space before it then stay held until [`Self::take`].
    pub(super) fn push(&mut self, next: char, marks: &[Mark], text: &mut String) -> Option<Mark> {
        self.held.push(next);
        loop {
            let (space, rest) = self.held.split_at(self.num_space_bytes());
            let first = rest.chars().next()?;
            let starts_line = self.ended_line || space.contains('\n');
            let is_possible = |mark: &&Mark| starts_line || !mark.is_at_line_start;
            if let Some(mark) = marks.iter().find(|mark| mark.text == rest && is_possible(mark)) {
                return Some(*mark);
            }
            if marks.iter().filter(is_possible).any(|mark| mark.text.starts_with(rest)) {
                return None;
            }
            let num_released = space.len() + first.len_utf8();
            text.extend(self.held.drain(..num_released));
            self.ended_line = false;
        }
    }

    /// What is held back, which is held no longer.
    pub(super) fn take(&mut self) -> String {
        std::mem::take(&mut self.held)
    }

    /// Whether nothing but white space is held.
    pub(super) fn is_blank(&self) -> bool {
        self.num_space_bytes() == self.held.len()
    }

    /// Says whether text that was given out elsewhere ended a line.
    pub(super) fn set_ended_line(&mut self, ended_line: bool) {
        self.ended_line = ended_line;
    }

    fn num_space_bytes(&self) -> usize {
        self.held.len() - self.held.trim_start().len()
    }
}
