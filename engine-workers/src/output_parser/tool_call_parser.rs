//! Calls of tools in an answer's text.

use schemas::v1::ToolCallDelta;

use super::call_reader::{CallPart, CallReader, NotACall};
use super::held_text::HeldText;
use super::tool_call_format::Opening;
use super::{Parsed, ToolRules};

/// Longest word after the fence of a code block that may hold a call.
const MAX_FENCE_WORD: usize = 16;

/// Splits text into content and calls. A pure function of the characters so far: how they were cut into pieces does not
/// matter.
///
/// A call is what has the format's marks, or stands alone at the beginning of a line or in a code block, and names one of
/// the tools with an object of arguments. Whatever else looks like one stays content. White space next to a call is none.
#[derive(Debug, Clone)]
pub(super) struct ToolCallParser {
    rules: ToolRules,
    held: HeldText,
    place: Place,
    num_calls: u32,
}

#[derive(Debug, Clone)]
enum Place {
    Content,
    Call(Candidate),
}

/// What follows an opening.
#[derive(Debug, Clone)]
struct Candidate {
    opening: Opening,
    phase: Phase,
    is_list: bool,
    /// The text since the last certain thing, which becomes content if this is no call after all.
    raw: String,
}

#[derive(Debug, Clone)]
enum Phase {
    /// The word after a code block's fence.
    FenceWord,
    /// Before an object.
    Before,
    /// The name of a call that is written outside of its object.
    Name(String),
    Object(CallReader),
    /// Between an object and the next, or the end.
    After,
}

impl ToolCallParser {
    pub(super) fn new(rules: ToolRules) -> Self {
        Self { rules, held: HeldText::new(), place: Place::Content, num_calls: 0 }
    }

    /// Takes the next character.
    pub(super) fn push(&mut self, next: char, parsed: &mut Parsed) {
        match &mut self.place {
            Place::Content => self.push_content(next, parsed),
            Place::Call(_) => self.push_call(next, parsed),
        }
    }

    /// Gives out what was held back; no more text comes.
    pub(super) fn finish(&mut self, parsed: &mut Parsed) {
        match std::mem::replace(&mut self.place, Place::Content) {
            Place::Content if self.held.is_blank() && self.num_calls > 0 => {}
            Place::Content => parsed.content.push_str(&self.held.take()),
            // What stands between calls and was cut off is the beginning of a mark.
            Place::Call(Candidate { phase: Phase::After, .. }) => {}
            Place::Call(candidate) => parsed.content.push_str(&candidate.raw),
        }
    }

    fn push_content(&mut self, next: char, parsed: &mut Parsed) {
        let Some(mark) = self.held.push(next, self.rules.format.marks(), &mut parsed.content) else { return };
        let opening = Opening::of(mark);
        let raw = self.held.take();
        let mut candidate = Candidate { opening, phase: Phase::Before, is_list: false, raw };
        match opening {
            Opening::Object => candidate.begin_object(next, &self.rules),
            Opening::List => candidate.is_list = true,
            Opening::Fence => candidate.phase = Phase::FenceWord,
            Opening::ToolCallTag | Opening::PythonTag | Opening::ToolCallsWord => {}
        }
        self.place = Place::Call(candidate);
    }

    fn push_call(&mut self, next: char, parsed: &mut Parsed) {
        let Place::Call(candidate) = &mut self.place else { return };
        candidate.raw.push(next);
        match candidate.push(next, &self.rules) {
            Ok(Step::Goes) => {}
            Ok(Step::Part(part)) => {
                let is_last = part.is_last;
                self.take_part(part, parsed);
                self.num_calls += u32::from(is_last);
            }
            Ok(Step::Over) => self.end_calls(),
            Ok(Step::OverBefore) => {
                let rest = std::mem::take(&mut candidate.raw);
                self.end_calls();
                rest.chars().for_each(|next| self.push(next, parsed));
            }
            Err(NotACall) => self.give_up(next, parsed),
        }
    }

    fn end_calls(&mut self) {
        self.place = Place::Content;
        self.held.set_ended_line(true);
    }

    /// The candidate is none: what was held of it is content, and the character that says so is looked at anew.
    fn give_up(&mut self, next: char, parsed: &mut Parsed) {
        let Place::Call(mut candidate) = std::mem::replace(&mut self.place, Place::Content) else { return };
        candidate.raw.pop();
        parsed.content.push_str(&candidate.raw);
        if candidate.has_begun_call() {
            self.num_calls += 1;
        }
        self.held.set_ended_line(candidate.raw.ends_with('\n'));
        self.push(next, parsed);
    }

    fn take_part(&mut self, part: CallPart, parsed: &mut Parsed) {
        if let Place::Call(candidate) = &mut self.place
            && (part.is_last || part.name.is_some() || !part.arguments.is_empty())
        {
            candidate.raw.clear();
        }
        if self.rules.is_single && self.num_calls > 0 {
            return;
        }
        if let Some(name) = part.name {
            let id = self.rules.call_id(self.num_calls);
            let arguments = part.arguments;
            parsed.tool_calls.push(ToolCallDelta { index: self.num_calls, id, name, arguments });
        } else if !part.arguments.is_empty() {
            parsed.append_arguments(self.num_calls, &part.arguments);
        }
    }
}

/// What a character did to a candidate.
enum Step {
    Goes,
    Part(CallPart),
    /// The character was the last one of the closing.
    Over,
    /// No more calls; what was read since the last one is content.
    OverBefore,
}

impl Candidate {
    fn begin_object(&mut self, brace: char, rules: &ToolRules) {
        let mut reader = CallReader::new(!self.opening.is_tag());
        // The brace begins an object, and an object without fields is nothing yet.
        if reader.push(brace, rules).is_ok() {
            self.phase = Phase::Object(reader);
        }
    }

    fn has_begun_call(&self) -> bool {
        matches!(&self.phase, Phase::Object(reader) if reader.has_begun())
    }

    fn push(&mut self, next: char, rules: &ToolRules) -> Result<Step, NotACall> {
        match &mut self.phase {
            Phase::FenceWord => {
                let word = self.raw.trim_start().trim_start_matches('`');
                match next {
                    '\n' => self.phase = Phase::Before,
                    _ if next.is_ascii_alphabetic() || next == '_' => {}
                    _ => return Err(NotACall),
                }
                if word.len() > MAX_FENCE_WORD { Err(NotACall) } else { Ok(Step::Goes) }
            }
            Phase::Before => {
                match next {
                    _ if next.is_whitespace() => {}
                    '{' => self.begin_object(next, rules),
                    '[' if !self.is_list => self.is_list = true,
                    _ if self.opening == Opening::ToolCallsWord && is_name_char(next) && !self.is_list => {
                        self.phase = Phase::Name(next.to_string());
                    }
                    _ => return Err(NotACall),
                }
                Ok(Step::Goes)
            }
            Phase::Name(text) => {
                text.push(next);
                if next == '{' {
                    let name = name_of(&text[..text.len() - 1]).filter(|name| rules.has_tool(name));
                    let mut reader = CallReader::of_arguments(name.ok_or(NotACall)?.to_owned());
                    let part = reader.push(next, rules)?;
                    self.phase = Phase::Object(reader);
                    return Ok(Step::Part(part));
                }
                if may_become_name(text) { Ok(Step::Goes) } else { Err(NotACall) }
            }
            Phase::Object(reader) => {
                let part = reader.push(next, rules)?;
                if part.is_last {
                    self.phase = Phase::After;
                }
                Ok(Step::Part(part))
            }
            Phase::After => Ok(self.push_after(next, rules)),
        }
    }

    fn push_after(&mut self, next: char, rules: &ToolRules) -> Step {
        let closing = if self.is_list { "]" } else { self.opening.closing() };
        match self.raw.trim_start() {
            "" => {}
            "," if self.is_list => self.phase = Phase::Before,
            "," | ";" if !self.opening.is_tag() || self.opening == Opening::PythonTag => {
                self.phase = Phase::Before
            }
            "{" if !self.is_list => self.begin_object(next, rules),
            "]" if self.is_list => {
                self.is_list = false;
                self.raw.clear();
                if self.opening.closing().is_empty() {
                    return Step::Over;
                }
            }
            rest if rest == closing => return Step::Over,
            rest if closing.starts_with(rest) => {}
            _ => return Step::OverBefore,
        }
        Step::Goes
    }
}

const ARGUMENTS_WORD: &str = "[ARGS]";
const CALL_ID_WORD: &str = "[CALL_ID]";

fn is_name_char(next: char) -> bool {
    next.is_ascii_alphanumeric() || matches!(next, '_' | '-' | '.')
}

/// The name in `name`, `name[ARGS]` or `name[CALL_ID]…[ARGS]`, which precede the arguments.
fn name_of(text: &str) -> Option<&str> {
    let text = text.trim_end();
    let name = match text.strip_suffix(ARGUMENTS_WORD) {
        Some(before) => before.split_once(CALL_ID_WORD).map_or(before, |(name, _)| name),
        None => text,
    };
    name.trim_end().chars().all(is_name_char).then(|| name.trim_end())
}

/// Whether a text may go on to be what [`name_of`] reads.
fn may_become_name(text: &str) -> bool {
    let rest = text.trim_start_matches(is_name_char);
    let after_id = rest.strip_prefix(CALL_ID_WORD).map(|rest| rest.trim_start_matches(is_name_char));
    let tail = after_id.unwrap_or(rest);
    let is_word = |word: &str| {
        word.starts_with(tail) || tail.strip_prefix(word).is_some_and(|rest| rest.trim().is_empty())
    };
    is_word(ARGUMENTS_WORD) || CALL_ID_WORD.starts_with(tail) || tail.trim().is_empty()
}
