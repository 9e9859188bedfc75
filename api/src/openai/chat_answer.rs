//! The answers of `/v1/chat/completions`.

use schemas::v1::FrameEntry;
use serde::Serialize;
use utoipa::ToSchema;

use crate::openai::answer::{Answers, StopReason};
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
    content: &'a str,
    refusal: Option<()>,
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
                message: AssistantMessage { role: "assistant", content: &choice.text, refusal: None },
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
        let has_content = is_first || !entry.text.is_empty();
        let delta = Delta {
            role: is_first.then_some("assistant"),
            content: has_content.then_some(entry.text.as_str()),
        };
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
