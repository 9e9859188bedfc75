//! The answers of `/v1/chat/completions`.

use schemas::v1::{FrameEntry, ToolCallDelta};
use serde::Serialize;
use utoipa::ToSchema;

use crate::openai::answer::{Answers, ChoiceState, StopReason};
use crate::openai::logprobs::{ChatLogprobs, PromptLogprobs, prompt_logprobs};
use crate::openai::usage::Usage;

/// A whole answer.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ChatCompletion<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    model: &'a str,
    system_fingerprint: Option<&'a str>,
    choices: Vec<ChatChoice<'a>>,
    usage: Usage,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<Object>>)]
    prompt_logprobs: Option<PromptLogprobs>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt_token_ids: Option<&'a [u32]>,
}

/// One of the answers.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ChatChoice<'a> {
    index: usize,
    message: AssistantMessage<'a>,
    logprobs: Option<ChatLogprobs>,
    finish_reason: Option<&'static str>,
    stop_reason: Option<StopReason>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_ids: Option<&'a [u32]>,
}

/// What the assistant said.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AssistantMessage<'a> {
    role: &'static str,
    /// Null when the answer is a call of tools.
    content: Option<&'a str>,
    refusal: Option<()>,
    /// What the model thought before it answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_content: Option<&'a str>,
    /// The same by its other name.
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<MessageToolCall<'a>>,
}

/// A call of a tool.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MessageToolCall<'a> {
    id: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    function: CalledFunction<'a>,
}

/// The function that is called.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CalledFunction<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    /// A JSON text; in an event, a part of it.
    arguments: &'a str,
}

/// A part of an answer, as one server-sent event.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ChatChunk<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    model: &'a str,
    system_fingerprint: Option<&'a str>,
    choices: Vec<ChatChunkChoice<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Option<Usage>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt_token_ids: Option<&'a [u32]>,
}

/// What is new in one of the answers.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ChatChunkChoice<'a> {
    index: usize,
    delta: Delta<'a>,
    logprobs: Option<ChatLogprobs>,
    finish_reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stop_reason: Option<StopReason>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_ids: Option<&'a [u32]>,
}

/// What the assistant said next.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Delta<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<&'a str>,
    /// What the model thought next.
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_content: Option<&'a str>,
    /// The same by its other name.
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<ToolCallPart<'a>>,
}

/// A part of a call; the first has its id and name.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ToolCallPart<'a> {
    index: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    function: CalledFunction<'a>,
}

impl<'a> AssistantMessage<'a> {
    fn new(choice: &'a ChoiceState, includes_reasoning: bool) -> Self {
        let tool_calls: Vec<_> = choice
            .tool_calls
            .iter()
            .map(|call| MessageToolCall {
                id: &call.id,
                kind: "function",
                function: CalledFunction { name: Some(&call.name), arguments: &call.arguments },
            })
            .collect();
        let reasoning = Some(choice.reasoning.as_str()).filter(|text| includes_reasoning && !text.is_empty());
        let is_call_alone = choice.text.is_empty() && !tool_calls.is_empty();
        Self {
            role: "assistant",
            content: (!is_call_alone).then_some(&choice.text),
            refusal: None,
            reasoning_content: reasoning,
            reasoning,
            tool_calls,
        }
    }
}

impl<'a> Delta<'a> {
    fn new(entry: &'a FrameEntry, is_first: bool, includes_reasoning: bool) -> Self {
        let reasoning = Some(entry.reasoning.as_str()).filter(|text| includes_reasoning && !text.is_empty());
        let tool_calls: Vec<_> = entry.tool_calls.iter().map(ToolCallPart::new).collect();
        let has_content =
            !entry.text.is_empty() || (is_first && reasoning.is_none() && tool_calls.is_empty());
        Self {
            role: is_first.then_some("assistant"),
            content: has_content.then_some(&entry.text),
            reasoning_content: reasoning,
            reasoning,
            tool_calls,
        }
    }
}

impl<'a> ToolCallPart<'a> {
    fn new(delta: &'a ToolCallDelta) -> Self {
        let is_first = !delta.id.is_empty();
        Self {
            index: delta.index,
            id: is_first.then_some(&delta.id),
            kind: is_first.then_some("function"),
            function: CalledFunction { name: is_first.then_some(&delta.name), arguments: &delta.arguments },
        }
    }
}

impl<'a> ChatCompletion<'a> {
    /// The document of a request whose inferences have ended.
    pub(crate) fn new(answers: &'a Answers) -> Self {
        let head = &answers.head;
        let report = answers.prompts.first().map(|prompt| &prompt.report);
        let choices = answers
            .choices
            .iter()
            .enumerate()
            .map(|(index, choice)| ChatChoice {
                index,
                message: AssistantMessage::new(choice, head.includes_reasoning),
                logprobs: head.has_logprobs.then(|| ChatLogprobs::new(&choice.logprobs)),
                finish_reason: choice.finish_reason,
                stop_reason: choice.stop_reason.clone(),
                token_ids: head.returns_token_ids.then_some(choice.token_ids.as_slice()),
            })
            .collect();
        Self {
            id: &head.id,
            object: "chat.completion",
            created: head.created,
            model: &head.model,
            system_fingerprint: answers.system_fingerprint(),
            choices,
            usage: answers.usage(),
            prompt_logprobs: report
                .filter(|_| head.has_prompt_logprobs)
                .map(|report| prompt_logprobs(&report.logprobs)),
            prompt_token_ids: report
                .filter(|_| head.returns_token_ids)
                .map(|report| report.token_ids.as_slice()),
        }
    }
}

impl<'a> ChatChunk<'a> {
    /// What `entry` adds to the choice `index`; the first chunk of a choice says whose turn it is.
    pub(crate) fn new(
        answers: &'a Answers,
        prompt_index: usize,
        index: usize,
        entry: &'a FrameEntry,
    ) -> Self {
        let head = &answers.head;
        let choice = answers.choices.get(index);
        let is_first = choice.is_some_and(|choice| !choice.has_begun);
        let delta = Delta::new(entry, is_first, head.includes_reasoning);
        let choice = ChatChunkChoice {
            index,
            delta,
            logprobs: (head.has_logprobs && !entry.logprobs.is_empty())
                .then(|| ChatLogprobs::new(&entry.logprobs)),
            finish_reason: choice.and_then(|choice| choice.finish_reason),
            stop_reason: choice.and_then(|choice| choice.stop_reason.clone()),
            token_ids: head.returns_token_ids.then_some(entry.token_ids.as_slice()),
        };
        let prompt_token_ids = answers
            .prompts
            .get(prompt_index)
            .filter(|_| is_first && head.returns_token_ids)
            .map(|prompt| prompt.report.token_ids.as_slice());
        Self { choices: vec![choice], usage: answers.chunk_usage(), prompt_token_ids, ..Self::bare(answers) }
    }

    /// The last chunk: the usage and no choice.
    pub(crate) fn usage(answers: &'a Answers) -> Self {
        Self { usage: Some(Some(answers.usage())), ..Self::bare(answers) }
    }

    fn bare(answers: &'a Answers) -> Self {
        Self {
            id: &answers.head.id,
            object: "chat.completion.chunk",
            created: answers.head.created,
            model: &answers.head.model,
            system_fingerprint: answers.system_fingerprint(),
            choices: Vec::new(),
            usage: None,
            prompt_token_ids: None,
        }
    }
}
