//! JSON, checked character by character.

/// Deepest nesting of a call's arguments.
const MAX_DEPTH: usize = 128;

/// The text so far is no beginning of a JSON object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NotJson;

/// What a character is to the fields of the outermost object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Event {
    /// Nothing.
    None,
    /// The last one of a key.
    KeyEnd,
    /// The first one of a value.
    ValueBegin,
    /// The last one of a value that is a string, an object or an array.
    ValueEnd,
    /// The last one of the object.
    ObjectEnd,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Container {
    Object,
    Array,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before the object.
    Start,
    /// Before a key; an empty object may end.
    KeyOrEnd,
    Key,
    Colon,
    Value,
    /// Before a value; an empty array may end.
    ValueOrEnd,
    CommaOrEnd,
    String {
        is_key: bool,
    },
    Escape {
        is_key: bool,
    },
    /// Digits of `\u` that are missing.
    Unicode {
        is_key: bool,
        num_left: u8,
    },
    /// What is missing of `true`, `false` or `null`.
    Literal(&'static str),
    Number(Number),
    End,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Number {
    Minus,
    Zero,
    Digits,
    Point,
    Fraction,
    Exponent,
    ExponentSign,
    ExponentDigits,
}

/// A pushdown automaton for one JSON object (RFC 8259).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct JsonScanner {
    containers: Vec<Container>,
    state: State,
}

impl JsonScanner {
    pub(super) fn new() -> Self {
        Self { containers: Vec::new(), state: State::Start }
    }

    /// Whether the characters that come belong to a key of the outermost object, its quotes included.
    pub(super) fn is_in_outer_key(&self) -> bool {
        let is_key = matches!(
            self.state,
            State::String { is_key: true }
                | State::Escape { is_key: true }
                | State::Unicode { is_key: true, .. }
        );
        is_key && self.containers.len() == 1
    }

    /// Takes the next character.
    pub(super) fn push(&mut self, next: char) -> Result<Event, NotJson> {
        if let State::Number(number) = self.state {
            match number.push(next) {
                Some(number) => {
                    self.state = State::Number(number);
                    return Ok(Event::None);
                }
                None if number.may_end() => self.state = State::CommaOrEnd,
                None => return Err(NotJson),
            }
        }
        match self.state {
            State::String { is_key } => self.push_in_string(next, is_key),
            State::Escape { is_key } => {
                self.state = match next {
                    '"' | '\\' | '/' | 'b' | 'f' | 'n' | 'r' | 't' => State::String { is_key },
                    'u' => State::Unicode { is_key, num_left: 4 },
                    _ => return Err(NotJson),
                };
                Ok(Event::None)
            }
            State::Unicode { is_key, num_left } if next.is_ascii_hexdigit() => {
                self.state = match num_left {
                    0 | 1 => State::String { is_key },
                    _ => State::Unicode { is_key, num_left: num_left - 1 },
                };
                Ok(Event::None)
            }
            State::Literal(rest) => {
                let rest = rest.strip_prefix(next).ok_or(NotJson)?;
                self.state = if rest.is_empty() { State::CommaOrEnd } else { State::Literal(rest) };
                Ok(Event::None)
            }
            State::Unicode { .. } => Err(NotJson),
            _ if matches!(next, ' ' | '\t' | '\n' | '\r') => Ok(Event::None),
            _ => self.push_structure(next),
        }
    }

    fn push_in_string(&mut self, next: char, is_key: bool) -> Result<Event, NotJson> {
        match next {
            '\\' => self.state = State::Escape { is_key },
            '"' if is_key => {
                self.state = State::Colon;
                return Ok(self.at_depth(1, Event::KeyEnd));
            }
            '"' => {
                self.state = State::CommaOrEnd;
                return Ok(self.at_depth(1, Event::ValueEnd));
            }
            '\0'..='\u{1f}' => return Err(NotJson),
            _ => {}
        }
        Ok(Event::None)
    }

    fn push_structure(&mut self, next: char) -> Result<Event, NotJson> {
        match (self.state, next) {
            (State::Start, '{') => self.open(Container::Object),
            (State::KeyOrEnd | State::Key, '"') => {
                self.state = State::String { is_key: true };
                Ok(Event::None)
            }
            (State::Colon, ':') => {
                self.state = State::Value;
                Ok(Event::None)
            }
            (State::CommaOrEnd, ',') => {
                let is_object = self.containers.last() == Some(&Container::Object);
                self.state = if is_object { State::Key } else { State::Value };
                Ok(Event::None)
            }
            (State::KeyOrEnd | State::CommaOrEnd, '}') => self.close(Container::Object),
            (State::ValueOrEnd | State::CommaOrEnd, ']') => self.close(Container::Array),
            (State::Value | State::ValueOrEnd, _) => {
                let event = self.at_depth(1, Event::ValueBegin);
                self.begin_value(next)?;
                Ok(event)
            }
            _ => Err(NotJson),
        }
    }

    fn begin_value(&mut self, first: char) -> Result<(), NotJson> {
        self.state = match first {
            '{' => return self.open(Container::Object).map(|_| ()),
            '[' => return self.open(Container::Array).map(|_| ()),
            '"' => State::String { is_key: false },
            't' => State::Literal("rue"),
            'f' => State::Literal("alse"),
            'n' => State::Literal("ull"),
            '-' => State::Number(Number::Minus),
            '0' => State::Number(Number::Zero),
            '1'..='9' => State::Number(Number::Digits),
            _ => return Err(NotJson),
        };
        Ok(())
    }

    fn open(&mut self, container: Container) -> Result<Event, NotJson> {
        if self.containers.len() == MAX_DEPTH {
            return Err(NotJson);
        }
        self.containers.push(container);
        self.state = match container {
            Container::Object => State::KeyOrEnd,
            Container::Array => State::ValueOrEnd,
        };
        Ok(Event::None)
    }

    fn close(&mut self, container: Container) -> Result<Event, NotJson> {
        if self.containers.pop() != Some(container) {
            return Err(NotJson);
        }
        if self.containers.is_empty() {
            self.state = State::End;
            return Ok(Event::ObjectEnd);
        }
        self.state = State::CommaOrEnd;
        Ok(self.at_depth(1, Event::ValueEnd))
    }

    fn at_depth(&self, depth: usize, event: Event) -> Event {
        if self.containers.len() == depth { event } else { Event::None }
    }
}

impl Number {
    /// The number with one more character; `None` if that is none of it.
    fn push(self, next: char) -> Option<Self> {
        match (self, next) {
            (Self::Minus, '0') => Some(Self::Zero),
            (Self::Minus, '1'..='9') | (Self::Digits, '0'..='9') => Some(Self::Digits),
            (Self::Zero | Self::Digits, '.') => Some(Self::Point),
            (Self::Point | Self::Fraction, '0'..='9') => Some(Self::Fraction),
            (Self::Zero | Self::Digits | Self::Fraction, 'e' | 'E') => Some(Self::Exponent),
            (Self::Exponent, '+' | '-') => Some(Self::ExponentSign),
            (Self::Exponent | Self::ExponentSign | Self::ExponentDigits, '0'..='9') => {
                Some(Self::ExponentDigits)
            }
            _ => None,
        }
    }

    fn may_end(self) -> bool {
        matches!(self, Self::Zero | Self::Digits | Self::Fraction | Self::ExponentDigits)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Whether the text is one whole object.
    fn is_object(text: &str) -> bool {
        let mut scanner = JsonScanner::new();
        let mut is_over = false;
        for next in text.chars() {
            match scanner.push(next) {
                Ok(event) => is_over |= event == Event::ObjectEnd,
                Err(NotJson) => return false,
            }
        }
        is_over
    }

    #[test]
    fn what_is_an_object_is_what_a_json_parser_says() {
        for text in [
            "{}",
            " {\"a\" : [ 1 , -0.5e+3, 0, true,false , null, {} , [] ] } ",
            r#"{"a\"\\\u00e9":"é\n"}"#,
            "{\"a\":01}",
            "{\"a\":1.}",
            "{\"a\":-}",
            "{\"a\":1e}",
            "{\"a\":tru}",
            "{\"a\" 1}",
            "{\"a\":1,}",
            "{,}",
            "{\"a\":[1,]}",
            "{\"a\":[}",
            "{'a':1}",
            "{\"a\":\"\n\"}",
            "{\"a\":\"\\x\"}",
            "{\"a\":\"\\u00g0\"}",
            "[1]",
            "1",
            "",
            "{} {}",
        ] {
            let is_valid = serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(text).is_ok();
            assert_eq!(is_object(text), is_valid, "{text:?}");
        }
    }

    #[test]
    fn nesting_has_a_bound() {
        let nested =
            |depth: usize| format!("{}{}", "{\"a\":".repeat(depth - 1) + "{}", "}".repeat(depth - 1));
        assert!(is_object(&nested(MAX_DEPTH)));
        assert!(!is_object(&nested(MAX_DEPTH + 1)));
    }

    proptest! {
        #[test]
        fn random_texts_are_judged_as_by_a_json_parser(text in "[{}\\[\\]:,\"a1e.-]{0,12}") {
            let is_valid = serde_json::from_str::<std::collections::BTreeMap<String, serde::de::IgnoredAny>>(&text).is_ok();
            prop_assert_eq!(is_object(&text), is_valid);
        }
    }
}
