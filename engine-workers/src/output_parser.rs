//! An answer's text split into what the client shows, what the model thought, and the tools it calls.
//!
//! [`OutputParser`] is a pure function of the characters so far: how they are cut into pieces changes nothing but the
//! pieces that come out, and the text of an earlier attempt restores its state. It holds back only what may become a mark.
//! How families of models write calls and thoughts is in [`tool_call_format`] and [`reasoning`]; that a call must be made
//! is enforced by [`tool_grammar`].

pub mod reasoning;
pub mod tool_call_format;
pub mod tool_grammar;

mod call_reader;
mod held_text;
mod json_scanner;
mod tool_call_parser;

use std::sync::Arc;

use schemas::InferenceId;
use schemas::v1::ToolCallDelta;

use self::reasoning::{ReasoningFormat, ReasoningParser, SpanStart};
use self::tool_call_format::ToolCallFormat;
use self::tool_call_parser::ToolCallParser;

/// What became certain with a piece of text.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Parsed {
    /// Text outside of thinking and calls.
    pub content: String,
    /// Text of the thinking span.
    pub reasoning: String,
    /// Parts of calls, in order.
    pub tool_calls: Vec<ToolCallDelta>,
}

impl Parsed {
    /// Adds what became certain later.
    pub fn append(&mut self, later: Parsed) {
        self.content.push_str(&later.content);
        self.reasoning.push_str(&later.reasoning);
        for delta in later.tool_calls {
            if delta.name.is_empty() {
                self.append_arguments(delta.index, &delta.arguments);
            } else {
                self.tool_calls.push(delta);
            }
        }
    }

    fn append_arguments(&mut self, index: u32, arguments: &str) {
        match self.tool_calls.last_mut().filter(|delta| delta.index == index) {
            Some(delta) => delta.arguments.push_str(arguments),
            None => {
                let arguments = arguments.to_owned();
                self.tool_calls.push(ToolCallDelta { index, arguments, ..ToolCallDelta::default() });
            }
        }
    }
}

/// The tools of a request, and how its model calls them.
#[derive(Debug, Clone)]
pub struct ToolRules {
    /// How the model writes calls.
    pub format: ToolCallFormat,
    /// What may be called.
    pub names: Arc<[String]>,
    /// Whether calls after the first are left out.
    pub is_single: bool,
    /// The inference and the choice, from which the ids of calls are made; [`OutputRules::parser`] fills them in.
    pub source: Option<(InferenceId, u32)>,
}

impl ToolRules {
    fn has_tool(&self, name: &str) -> bool {
        self.names.iter().any(|tool| tool == name)
    }

    /// The same in every attempt. Mistral's templates take ids of nine letters and digits only.
    fn call_id(&self, index: u32) -> String {
        let source = self.source.map(|(inference, choice)| format!("{inference}/{choice}/{index}"));
        let digest = blake3::hash(source.unwrap_or_default().as_bytes()).to_hex();
        match self.format {
            ToolCallFormat::Mistral => digest[..9].to_owned(),
            _ => format!("call_{}", &digest[..24]),
        }
    }
}

/// How the text of an inference's choices is to be read; by default all of it is content.
#[derive(Debug, Clone, Default)]
pub struct OutputRules {
    /// How the model marks its thinking, and where the prompt leaves it.
    pub reasoning: Option<(ReasoningFormat, SpanStart)>,
    /// The tools that may be called.
    pub tools: Option<ToolRules>,
}

impl OutputRules {
    /// A parser for the text of one choice.
    pub fn parser(&self, inference: InferenceId, choice: u32) -> OutputParser {
        let tools = self.tools.clone().map(|rules| ToolRules { source: Some((inference, choice)), ..rules });
        OutputParser::new(self.reasoning, tools)
    }

    /// Tokens of an answer that lie inside its thinking span, at least in part; `bytes_of` are a token's bytes.
    pub fn num_reasoning_tokens<'a>(&self, token_ids: &[u32], bytes_of: impl Fn(u32) -> &'a [u8]) -> usize {
        let Some((format, start)) = self.reasoning else { return 0 };
        let text: Vec<u8> = token_ids.iter().flat_map(|id| bytes_of(*id)).copied().collect();
        let span = format.span_of(&text, start);
        let mut end = 0;
        let ranges = token_ids.iter().map(|id| {
            let begin = end;
            end += bytes_of(*id).len();
            begin..end
        });
        ranges.filter(|token| token.start < span.end && token.end > span.start).count()
    }
}

/// Parses the text of one choice.
#[derive(Debug, Clone, Default)]
pub struct OutputParser {
    reasoning: Option<ReasoningParser>,
    tools: Option<ToolCallParser>,
}

impl OutputParser {
    /// A parser for text of which nothing was heard. Without rules all of it is content.
    pub fn new(reasoning: Option<(ReasoningFormat, SpanStart)>, tools: Option<ToolRules>) -> Self {
        Self {
            reasoning: reasoning.map(|(format, start)| ReasoningParser::new(format, start)),
            tools: tools.map(ToolCallParser::new),
        }
    }

    /// What became certain with the next piece.
    pub fn push(&mut self, text: &str) -> Parsed {
        let mut parsed = Parsed::default();
        let Some(reasoning) = &mut self.reasoning else {
            push_outside(&mut self.tools, text, &mut parsed);
            return parsed;
        };
        let mut outside = String::new();
        text.chars().for_each(|next| reasoning.push(next, &mut parsed, &mut outside));
        push_outside(&mut self.tools, &outside, &mut parsed);
        parsed
    }

    /// What was held back; no more text comes.
    pub fn finish(&mut self) -> Parsed {
        let mut parsed = Parsed::default();
        let mut outside = String::new();
        if let Some(reasoning) = &mut self.reasoning {
            reasoning.finish(&mut parsed, &mut outside);
        }
        push_outside(&mut self.tools, &outside, &mut parsed);
        if let Some(tools) = &mut self.tools {
            tools.finish(&mut parsed);
        }
        parsed
    }
}

fn push_outside(tools: &mut Option<ToolCallParser>, text: &str, parsed: &mut Parsed) {
    match tools {
        Some(tools) => text.chars().for_each(|next| tools.push(next, parsed)),
        None => parsed.content.push_str(text),
    }
}

#[cfg(test)]
mod tests;
