//! The answers of `/v1/completions`.

use schemas::v1::FrameEntry;
use serde::Serialize;
use utoipa::ToSchema;

use crate::openai::answer::{Answers, PromptState, StopReason};
use crate::openai::logprobs::{CompletionLogprobs, PromptLogprobs, prompt_logprobs};
use crate::openai::usage::Usage;

/// A whole answer.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Completion<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    model: &'a str,
    system_fingerprint: Option<&'a str>,
    choices: Vec<CompletionChoice<'a>>,
    usage: Usage,
}

/// A part of an answer, as one server-sent event.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CompletionChunk<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    model: &'a str,
    system_fingerprint: Option<&'a str>,
    choices: Vec<CompletionChoice<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Option<Usage>>,
}

/// One of the answers, or what is new in it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CompletionChoice<'a> {
    index: usize,
    text: String,
    logprobs: Option<CompletionLogprobs>,
    finish_reason: Option<&'static str>,
    stop_reason: Option<StopReason>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_ids: Option<&'a [u32]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt_token_ids: Option<&'a [u32]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<Object>>)]
    prompt_logprobs: Option<PromptLogprobs>,
}

/// What of a choice is written now.
struct Part<'a> {
    index: usize,
    prompt: Option<&'a PromptState>,
    text: &'a str,
    token_ids: &'a [u32],
    tokens: &'a [schemas::v1::TokenLogprobs],
    /// Whether the choice begins with it.
    is_first: bool,
    text_offset: usize,
}

impl<'a> Part<'a> {
    fn write(self, answers: &'a Answers) -> CompletionChoice<'a> {
        let head = &answers.head;
        let choice = answers.choices.get(self.index);
        let report = self.prompt.map(|prompt| &prompt.report).filter(|_| self.is_first);
        let echo = report.filter(|_| head.has_echo);
        let mut text_offset = self.text_offset;
        let logprobs = head.has_logprobs.then(|| {
            let of_prompt =
                echo.map(|report| CompletionLogprobs::of_prompt(&report.logprobs, &mut text_offset));
            let of_answer = CompletionLogprobs::new(self.tokens, &mut text_offset);
            of_prompt.unwrap_or_default().then(of_answer)
        });
        let echoed = echo.map(|report| report.text.as_str()).unwrap_or_default();
        CompletionChoice {
            index: self.index,
            text: [echoed, self.text].concat(),
            logprobs,
            finish_reason: choice.and_then(|choice| choice.finish_reason),
            stop_reason: choice.and_then(|choice| choice.stop_reason.clone()),
            token_ids: head.returns_token_ids.then_some(self.token_ids),
            prompt_token_ids: report
                .filter(|_| head.returns_token_ids)
                .map(|report| report.token_ids.as_slice()),
            prompt_logprobs: None,
        }
    }
}

impl<'a> Completion<'a> {
    /// The document of a request whose inferences have ended.
    pub(crate) fn new(answers: &'a Answers) -> Self {
        let head = &answers.head;
        let choices = answers
            .choices
            .iter()
            .enumerate()
            .map(|(index, choice)| {
                let prompt = answers.prompts.get(index / head.num_choices.max(1));
                let part = Part {
                    index,
                    prompt,
                    text: &choice.text,
                    token_ids: &choice.token_ids,
                    tokens: &choice.logprobs,
                    is_first: true,
                    text_offset: 0,
                };
                let of_prompt = prompt
                    .filter(|_| head.has_prompt_logprobs)
                    .map(|prompt| prompt_logprobs(&prompt.report.logprobs));
                CompletionChoice { prompt_logprobs: of_prompt, ..part.write(answers) }
            })
            .collect();
        Self {
            id: &head.id,
            object: "text_completion",
            created: head.created,
            model: &head.model,
            system_fingerprint: answers.system_fingerprint(),
            choices,
            usage: answers.usage(),
        }
    }
}

impl<'a> CompletionChunk<'a> {
    /// What `entry` adds to the choice `index`.
    pub(crate) fn new(
        answers: &'a Answers,
        prompt_index: usize,
        index: usize,
        entry: &'a FrameEntry,
    ) -> Self {
        let choice = answers.choices.get(index);
        let part = Part {
            index,
            prompt: answers.prompts.get(prompt_index),
            text: &entry.text,
            token_ids: &entry.token_ids,
            tokens: &entry.logprobs,
            is_first: choice.is_some_and(|choice| !choice.has_begun),
            text_offset: choice.map(|choice| choice.text_offset).unwrap_or_default(),
        };
        Self { choices: vec![part.write(answers)], usage: answers.chunk_usage(), ..Self::bare(answers) }
    }

    /// The last chunk: the usage and no choice.
    pub(crate) fn usage(answers: &'a Answers) -> Self {
        Self { usage: Some(Some(answers.usage())), ..Self::bare(answers) }
    }

    fn bare(answers: &'a Answers) -> Self {
        Self {
            id: &answers.head.id,
            object: "text_completion",
            created: answers.head.created,
            model: &answers.head.model,
            system_fingerprint: answers.system_fingerprint(),
            choices: Vec::new(),
            usage: None,
        }
    }
}
