//! The bound on an answer's thinking span.

use std::sync::Arc;

use crate::output_parser::reasoning::SpanStart;

/// How the thinking span of a request's answers is opened, bounded and closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ThinkingRules {
    /// Whether the prompt opened or closed the span.
    pub start: SpanStart,
    /// The mark that opens the span.
    pub opening: &'static str,
    /// The mark that closes it.
    pub closing: &'static str,
    /// The opening as tokens, if an answer must begin with it.
    pub forced_opening: Vec<u32>,
    /// The closing as tokens, which follow when the budget is used up.
    pub closing_token_ids: Vec<u32>,
    /// Most tokens inside of the span; the marks are not counted.
    pub budget_tokens: Option<usize>,
}

/// Where an answer stands. A function of its tokens alone, so that it is the same after a resumption.
#[derive(Debug, Clone)]
pub(super) struct ThinkingSpan {
    rules: Arc<ThinkingRules>,
    place: Place,
    /// Text that may belong to a mark.
    tail: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Unopened { num_tokens: usize },
    Inside { num_tokens: usize },
    Over,
}

impl ThinkingSpan {
    pub(super) fn new(rules: Arc<ThinkingRules>) -> Self {
        let place = match rules.start {
            SpanStart::Unopened => Place::Unopened { num_tokens: 0 },
            SpanStart::Inside => Place::Inside { num_tokens: 0 },
            SpanStart::Over => Place::Over,
        };
        Self { rules, place, tail: Vec::new() }
    }

    /// The token that must come next, whatever the model says.
    pub(super) fn forced(&self) -> Option<u32> {
        match self.place {
            Place::Unopened { num_tokens } => self.rules.forced_opening.get(num_tokens).copied(),
            Place::Inside { num_tokens } => {
                let num_over = num_tokens.checked_sub(self.rules.budget_tokens?)?;
                self.rules.closing_token_ids.get(num_over).copied()
            }
            Place::Over => None,
        }
    }

    /// Whether what follows is the answer's own text.
    pub(super) fn is_over(&self) -> bool {
        self.place == Place::Over
    }

    /// Takes the next token's bytes.
    pub(super) fn push(&mut self, token: &[u8]) {
        match self.place {
            Place::Unopened { num_tokens } => {
                self.tail.extend_from_slice(token);
                let begun = self.tail.trim_ascii_start();
                let opening = self.rules.opening.as_bytes();
                if begun.starts_with(opening) {
                    self.tail = begun[opening.len()..].to_vec();
                    self.place = Place::Inside { num_tokens: 0 };
                    self.find_closing();
                } else if opening.starts_with(begun) {
                    self.place = Place::Unopened { num_tokens: num_tokens + 1 };
                } else {
                    self.end();
                }
            }
            Place::Inside { num_tokens } => {
                self.tail.extend_from_slice(token);
                self.place = Place::Inside { num_tokens: num_tokens + 1 };
                self.find_closing();
            }
            Place::Over => {}
        }
    }

    fn find_closing(&mut self) {
        let closing = self.rules.closing.as_bytes();
        if self.tail.windows(closing.len()).any(|window| window == closing) {
            return self.end();
        }
        let num_certain = self.tail.len().saturating_sub(closing.len() - 1);
        self.tail.drain(..num_certain);
    }

    fn end(&mut self) {
        self.place = Place::Over;
        self.tail = Vec::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tokens are their text's bytes; `model` is what the model would say.
    fn answer(start: SpanStart, budget: Option<usize>, forced_opening: &str, model: &str) -> String {
        let ids = |text: &str| text.bytes().map(u32::from).collect::<Vec<u32>>();
        let mut span = ThinkingSpan::new(Arc::new(ThinkingRules {
            start,
            opening: "<t>",
            closing: "</t>",
            forced_opening: ids(forced_opening),
            closing_token_ids: ids("</t>"),
            budget_tokens: budget,
        }));
        let mut said = String::new();
        let mut model = model.bytes();
        loop {
            let next = match span.forced() {
                Some(forced) => forced as u8,
                None => match model.next() {
                    Some(next) => next,
                    None => return said,
                },
            };
            span.push(&[next]);
            said.push(char::from(next));
        }
    }

    fn check(start: SpanStart, budget: Option<usize>, model: &str, expected: &str) {
        assert_eq!(answer(start, budget, "", model), expected, "{start:?}, {budget:?}");
    }

    #[test]
    fn a_budget_that_is_used_up_closes_the_span() {
        check(SpanStart::Inside, Some(3), "abcdef", "abc</t>def");
        check(SpanStart::Inside, Some(0), "ab", "</t>ab");
        check(SpanStart::Unopened, Some(2), "\n<t>abcd", "\n<t>ab</t>cd");
        check(SpanStart::Inside, Some(3), "ab<def", "ab<</t>def");
    }

    #[test]
    fn nothing_is_forced_outside_of_the_budget() {
        check(SpanStart::Inside, None, "abcdef", "abcdef");
        check(SpanStart::Inside, Some(6), "ab</t>cdefgh", "ab</t>cdefgh");
        check(SpanStart::Unopened, Some(2), "abcd<t>efgh", "abcd<t>efgh");
        check(SpanStart::Over, Some(0), "<t>ab", "<t>ab");
    }

    #[test]
    fn the_span_can_be_forced_open() {
        assert_eq!(answer(SpanStart::Unopened, Some(1), "<t>", "abc"), "<t>a</t>bc");
        assert_eq!(answer(SpanStart::Inside, None, "<t>", "abc"), "abc");
    }

    #[test]
    fn marks_are_found_however_tokens_cut_them() {
        let rules = ThinkingRules {
            start: SpanStart::Unopened,
            opening: "<t>",
            closing: "</t>",
            forced_opening: Vec::new(),
            closing_token_ids: vec![0],
            budget_tokens: Some(9),
        };
        for tokens in [&["<t>", "a</", "t>"][..], &[" <", "t>a", "</t>b"], &["<t></t>"], &["<t></", "t>"]] {
            let mut span = ThinkingSpan::new(Arc::new(rules.clone()));
            for (index, token) in tokens.iter().enumerate() {
                assert!(index == 0 || !matches!(span.place, Place::Over), "{tokens:?}");
                span.push(token.as_bytes());
            }
            assert_eq!(span.place, Place::Over, "{tokens:?}");
        }
    }
}
