//! One call, from the JSON object that spells it.

use serde_json::{Map, Value};

use super::ToolRules;
use super::json_scanner::{Event, JsonScanner, NotJson};

/// The text so far is no call of one of the tools.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NotACall;

impl From<NotJson> for NotACall {
    fn from(_: NotJson) -> Self {
        Self
    }
}

/// What a character made certain.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct CallPart {
    /// The call is one of this tool; with the first part that is certain.
    pub(super) name: Option<String>,
    /// To be appended to its arguments.
    pub(super) arguments: String,
    /// The object is whole.
    pub(super) is_last: bool,
}

/// Which field of the object is being read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Name,
    Arguments,
    /// Arguments that are JSON in a string.
    ArgumentsText,
    Other,
}

/// Reads `{"name": …, "arguments": {…}}`, in either order; `parameters` stands for `arguments`, and further fields are
/// skipped. The name is certain when the arguments have begun, and from there each character of them is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CallReader {
    scanner: JsonScanner,
    /// Whether an object without a mark of its own is read, which is no call as soon as something speaks against it.
    is_bare: bool,
    key: String,
    field: Field,
    /// A string value, with its quotes.
    string: String,
    name: Option<String>,
    has_arguments: bool,
    /// Whether the object is the arguments themselves.
    is_arguments: bool,
    /// Arguments that were not handed out.
    arguments: String,
    has_begun: bool,
}

impl CallReader {
    pub(super) fn new(is_bare: bool) -> Self {
        Self {
            scanner: JsonScanner::new(),
            is_bare,
            key: String::new(),
            field: Field::Other,
            string: String::new(),
            name: None,
            has_arguments: false,
            is_arguments: false,
            arguments: String::new(),
            has_begun: false,
        }
    }

    /// A reader of the arguments alone, for a call whose name stands before them.
    pub(super) fn of_arguments(name: String) -> Self {
        Self { name: Some(name), is_arguments: true, ..Self::new(false) }
    }

    /// Whether a part of the call was handed out.
    pub(super) fn has_begun(&self) -> bool {
        self.has_begun
    }

    /// Takes the next character. After an `Err` or the last part nothing more may be pushed.
    pub(super) fn push(&mut self, next: char, rules: &ToolRules) -> Result<CallPart, NotACall> {
        let was_in_key = self.scanner.is_in_outer_key();
        let event = self.scanner.push(next)?;
        if self.is_arguments {
            self.arguments.push(next);
            return Ok(self.part(event == Event::ObjectEnd));
        }
        if was_in_key || self.scanner.is_in_outer_key() {
            self.key.push(next);
        }
        if event == Event::ValueBegin {
            self.begin_value(next)?;
        } else if matches!(self.field, Field::Name | Field::ArgumentsText) {
            self.string.push(next);
        } else if self.field == Field::Arguments {
            self.arguments.push(next);
        }
        match event {
            Event::KeyEnd => self.end_key()?,
            Event::ValueEnd => self.end_value(rules)?,
            Event::ObjectEnd => return self.end(),
            Event::None | Event::ValueBegin => {}
        }
        Ok(self.part(false))
    }

    fn end_key(&mut self) -> Result<(), NotACall> {
        let key: String = serde_json::from_str(&self.key).map_err(|_| NotACall)?;
        match key.as_str() {
            "name" if self.name.is_none() => {}
            "arguments" | "parameters" if !self.has_arguments => {}
            "type" | "id" => {}
            _ if self.is_bare && !self.has_begun => return Err(NotACall),
            "name" | "arguments" | "parameters" => return Err(NotACall),
            _ => {}
        }
        self.key = key;
        Ok(())
    }

    fn begin_value(&mut self, first: char) -> Result<(), NotACall> {
        self.string.clear();
        self.field = match (self.key.as_str(), first) {
            ("name", '"') => Field::Name,
            ("arguments" | "parameters", '{') => Field::Arguments,
            ("arguments" | "parameters", '"') => Field::ArgumentsText,
            ("arguments" | "parameters", 'n') => {
                self.arguments.push_str("{}");
                Field::Other
            }
            ("name" | "arguments" | "parameters", _) => return Err(NotACall),
            _ => Field::Other,
        };
        match self.field {
            Field::Name | Field::ArgumentsText => self.string.push(first),
            Field::Arguments => self.arguments.push(first),
            Field::Other => {}
        }
        self.has_arguments |= matches!(self.key.as_str(), "arguments" | "parameters");
        self.key.clear();
        Ok(())
    }

    fn end_value(&mut self, rules: &ToolRules) -> Result<(), NotACall> {
        match self.field {
            Field::Name => {
                let name: String = serde_json::from_str(&self.string).map_err(|_| NotACall)?;
                if !rules.has_tool(&name) {
                    return Err(NotACall);
                }
                self.name = Some(name);
            }
            Field::ArgumentsText => {
                let text: String = serde_json::from_str(&self.string).map_err(|_| NotACall)?;
                let text = if text.trim().is_empty() { "{}" } else { text.trim() };
                serde_json::from_str::<Map<String, Value>>(text).map_err(|_| NotACall)?;
                self.arguments.push_str(text);
            }
            Field::Arguments | Field::Other => {}
        }
        self.field = Field::Other;
        Ok(())
    }

    fn end(&mut self) -> Result<CallPart, NotACall> {
        if !self.has_arguments {
            if self.is_bare {
                return Err(NotACall);
            }
            self.has_arguments = true;
            self.arguments.push_str("{}");
        }
        if self.name.is_none() && !self.has_begun {
            return Err(NotACall);
        }
        Ok(self.part(true))
    }

    fn part(&mut self, is_last: bool) -> CallPart {
        if self.arguments.is_empty() {
            return CallPart { is_last, ..CallPart::default() };
        }
        let name = if self.has_begun { None } else { self.name.clone() };
        if name.is_none() && !self.has_begun {
            // The arguments came before the name.
            return CallPart { is_last, ..CallPart::default() };
        }
        self.has_begun = true;
        CallPart { name, arguments: std::mem::take(&mut self.arguments), is_last }
    }
}
