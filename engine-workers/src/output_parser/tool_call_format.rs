//! How families of models write calls of tools.

use std::str::FromStr;

use thiserror::Error;

use super::held_text::Mark;

/// How a model writes its calls. Each format also takes an object that stands alone, in a code block or not, since models
/// forget their marks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ToolCallFormat {
    /// `<tool_call>{"name": …, "arguments": …}</tool_call>`: Hermes, Qwen 2.5, Qwen 3.
    Hermes,
    /// `{"name": …, "parameters": …}`, perhaps after `<|python_tag|>`: Llama 3.
    Llama3Json,
    /// `[TOOL_CALLS] [{"name": …, "arguments": …}]` or `[TOOL_CALLS]name[ARGS]{…}`: Mistral.
    Mistral,
    /// `{"name": …, "arguments": …}` without marks.
    Json,
}

/// A name that is no format's.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("'{0}' is no tool call parser: hermes, llama3_json, mistral and json are")]
pub struct UnknownToolCallFormat(String);

/// What begins a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Opening {
    ToolCallTag,
    PythonTag,
    ToolCallsWord,
    Object,
    List,
    Fence,
}

const TOOL_CALL_TAG: Mark = Mark::anywhere("<tool_call>");
const PYTHON_TAG: Mark = Mark::anywhere("<|python_tag|>");
const TOOL_CALLS_WORD: Mark = Mark::anywhere("[TOOL_CALLS]");
const OBJECT: Mark = Mark::at_line_start("{");
const LIST: Mark = Mark::at_line_start("[");
const FENCE: Mark = Mark::at_line_start("```");

const HERMES: [Mark; 4] = [TOOL_CALL_TAG, OBJECT, LIST, FENCE];
const LLAMA: [Mark; 4] = [PYTHON_TAG, OBJECT, LIST, FENCE];
// A list without its word would hide the beginning of the word.
const MISTRAL: [Mark; 3] = [TOOL_CALLS_WORD, OBJECT, FENCE];
const JSON: [Mark; 3] = [OBJECT, LIST, FENCE];

impl ToolCallFormat {
    /// The format that a chat template shows its model; `None` if it knows no tools.
    pub fn of_template(source: &str) -> Option<Self> {
        if source.contains(TOOL_CALLS_WORD.text) {
            Some(Self::Mistral)
        } else if source.contains(TOOL_CALL_TAG.text) {
            Some(Self::Hermes)
        } else if source.contains(PYTHON_TAG.text) || source.contains("\"parameters\": dictionary") {
            Some(Self::Llama3Json)
        } else if source.contains("tools") {
            Some(Self::Json)
        } else {
            None
        }
    }

    /// The special tokens that belong to calls, as they are written.
    pub fn mark_texts(self) -> &'static [&'static str] {
        match self {
            Self::Hermes => &["<tool_call>", "</tool_call>"],
            Self::Llama3Json => &["<|python_tag|>"],
            Self::Mistral => &["[TOOL_CALLS]", "[ARGS]", "[CALL_ID]"],
            Self::Json => &[],
        }
    }

    pub(super) fn marks(self) -> &'static [Mark] {
        match self {
            Self::Hermes => &HERMES,
            Self::Llama3Json => &LLAMA,
            Self::Mistral => &MISTRAL,
            Self::Json => &JSON,
        }
    }
}

impl FromStr for ToolCallFormat {
    type Err = UnknownToolCallFormat;

    fn from_str(name: &str) -> Result<Self, UnknownToolCallFormat> {
        match name {
            "hermes" => Ok(Self::Hermes),
            "llama3_json" => Ok(Self::Llama3Json),
            "mistral" => Ok(Self::Mistral),
            "json" => Ok(Self::Json),
            _ => Err(UnknownToolCallFormat(name.to_owned())),
        }
    }
}

impl Opening {
    pub(super) fn of(mark: Mark) -> Self {
        match mark {
            TOOL_CALL_TAG => Self::ToolCallTag,
            PYTHON_TAG => Self::PythonTag,
            TOOL_CALLS_WORD => Self::ToolCallsWord,
            LIST => Self::List,
            FENCE => Self::Fence,
            _ => Self::Object,
        }
    }

    /// What ends its calls; empty if nothing need.
    pub(super) fn closing(self) -> &'static str {
        match self {
            Self::ToolCallTag => "</tool_call>",
            Self::Fence => "```",
            Self::PythonTag | Self::ToolCallsWord | Self::Object | Self::List => "",
        }
    }

    /// Whether it says by itself that a call follows.
    pub(super) fn is_tag(self) -> bool {
        matches!(self, Self::ToolCallTag | Self::PythonTag | Self::ToolCallsWord)
    }
}
