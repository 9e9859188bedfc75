//! What both kinds of completion have in common: the collected answers of a request, and the head of each document.

use std::sync::Arc;

use schemas::SamplingParams;
use schemas::v1::{
    Choice, Ended, FinishReason, FrameEntry, PromptReport, Requested, TokenLogprobs, ToolCall, ToolCallDelta,
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::error::ApiError;
use crate::in_flight::Arrival;
use crate::inference_request::{InferenceRequest, StreamOptions};
use crate::openai::logprobs::num_chars;
use crate::openai::usage::Usage;
use crate::openai::{chat_answer, completion_answer};
use crate::position::Position;
use crate::running::{Running, finish_word};

/// Which shape an answer takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    Chat,
    Completion,
}

/// What stands in every document of a request.
#[derive(Debug, Clone)]
pub(crate) struct AnswerHead {
    pub(crate) shape: Shape,
    pub(crate) id: String,
    pub(crate) model: Arc<str>,
    pub(crate) created: u64,
    pub(crate) num_choices: usize,
    pub(crate) has_logprobs: bool,
    pub(crate) has_prompt_logprobs: bool,
    pub(crate) has_echo: bool,
    pub(crate) returns_token_ids: bool,
    pub(crate) includes_reasoning: bool,
    pub(crate) stream: StreamOptions,
}

/// What stopped a choice beside the end of the sequence: the stop string, or the stop token's id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum StopReason {
    Token(u32),
    Text(String),
}

/// What was heard of one prompt.
#[derive(Debug, Clone, Default)]
pub(crate) struct PromptState {
    pub(crate) report: PromptReport,
    pub(crate) usage: Usage,
}

/// What was heard of one choice.
#[derive(Debug, Clone, Default)]
pub(crate) struct ChoiceState {
    pub(crate) text: String,
    pub(crate) reasoning: String,
    pub(crate) tool_calls: Vec<ToolCall>,
    pub(crate) token_ids: Vec<u32>,
    pub(crate) logprobs: Vec<TokenLogprobs>,
    pub(crate) finish_reason: Option<&'static str>,
    pub(crate) stop_reason: Option<StopReason>,
    pub(crate) position: Position,
    /// Whether a chunk of it was sent.
    pub(crate) has_begun: bool,
    /// Characters of its tokens so far.
    pub(crate) text_offset: usize,
}

/// The answers of a request as far as they were heard.
#[derive(Debug)]
pub(crate) struct Answers {
    pub(crate) head: AnswerHead,
    pub(crate) prompts: Vec<PromptState>,
    /// Of all prompts: `prompt * n + choice`.
    pub(crate) choices: Vec<ChoiceState>,
}

impl AnswerHead {
    /// The head of the answer to a request that is about to start.
    pub(crate) fn new(request: &InferenceRequest, shape: Shape) -> Self {
        let (sampling, stream) = (&request.sampling, request.stream.unwrap_or_default());
        Self {
            includes_reasoning: request.includes_reasoning,
            stream,
            ..Self::bare(shape, &request.model, sampling)
        }
    }

    /// The head of the answer to a request in the log; `None` when its answer has no text.
    pub(crate) fn of(requested: &Requested) -> Option<Self> {
        let shape = match requested.endpoint.as_str() {
            "/v1/chat/completions" => Shape::Chat,
            "/v1/completions" => Shape::Completion,
            _ => return None,
        };
        let sampling: SamplingParams = requested.sampling.clone()?.into();
        let options = requested.answer_options.clone().unwrap_or_default();
        let stream = StreamOptions {
            include_usage: options.include_usage,
            continuous_usage_stats: options.continuous_usage_stats,
        };
        let includes_reasoning = options.includes_reasoning;
        Some(Self { includes_reasoning, stream, ..Self::bare(shape, &requested.model, &sampling) })
    }

    fn bare(shape: Shape, model: &str, sampling: &SamplingParams) -> Self {
        Self {
            shape,
            id: String::new(),
            model: model.into(),
            created: 0,
            num_choices: sampling.n as usize,
            has_logprobs: sampling.logprobs.is_some(),
            has_prompt_logprobs: sampling.prompt_logprobs.is_some(),
            has_echo: sampling.echo,
            returns_token_ids: sampling.return_token_ids,
            includes_reasoning: false,
            stream: StreamOptions::default(),
        }
    }
}

impl Answers {
    /// Nothing heard yet.
    pub(crate) fn new(mut head: AnswerHead, running: &Running) -> Self {
        let prefix = match head.shape {
            Shape::Chat => "chatcmpl",
            Shape::Completion => "cmpl",
        };
        let num_prompts = running.ids().len();
        head.id = running.ids().first().map(|id| format!("{prefix}-{id}")).unwrap_or_default();
        head.created = running.created_unix_seconds();
        Self {
            prompts: vec![PromptState::default(); num_prompts],
            choices: vec![ChoiceState::default(); num_prompts * head.num_choices],
            head,
        }
    }

    /// The whole answer as the log tells it: for each prompt its terminal fact.
    pub(crate) fn of_ends(head: AnswerHead, ends: impl IntoIterator<Item = Ended>) -> Self {
        let (mut prompts, mut choices) = (Vec::new(), Vec::new());
        for ended in ends {
            let usage = ended.usage.unwrap_or_default();
            let report = ended.prompt.unwrap_or_else(|| PromptReport {
                num_prompt_tokens: usage.num_prompt_tokens,
                num_cached_prompt_tokens: usage.num_cached_prompt_tokens,
                engine_fingerprint: ended.engine_fingerprint,
                ..PromptReport::default()
            });
            prompts.push(PromptState { report, usage: usage.into() });
            let mut of_prompt = vec![ChoiceState::default(); head.num_choices];
            for choice in ended.choices {
                if let Some(state) = of_prompt.get_mut(choice.index as usize) {
                    *state = ChoiceState::of(choice);
                }
            }
            choices.append(&mut of_prompt);
        }
        Self { head, prompts, choices }
    }

    /// Collects until every inference has ended.
    pub(crate) async fn collect(mut self, running: &mut Running) -> Result<Self, ApiError> {
        while !running.has_ended() {
            let Arrival { prompt_index, entry, .. } = running.next().await?;
            self.note(prompt_index, &entry);
            let choice = self.choice_index(prompt_index, &entry);
            if let Some(choice) = self.choices.get_mut(choice) {
                choice.text.push_str(&entry.text);
                choice.reasoning.push_str(&entry.reasoning);
                entry.tool_calls.into_iter().for_each(|delta| choice.take_call(delta));
                choice.token_ids.extend(entry.token_ids);
                choice.logprobs.extend(entry.logprobs);
            }
        }
        Ok(self)
    }

    /// The whole answer as one document.
    pub(crate) fn to_document(&self) -> Result<String, ApiError> {
        let document = match self.head.shape {
            Shape::Chat => serde_json::to_string(&chat_answer::ChatCompletion::new(self)),
            Shape::Completion => serde_json::to_string(&completion_answer::Completion::new(self)),
        };
        document.map_err(|_| ApiError::Internal)
    }

    /// What an entry adds, as a chunk; `None` when it adds nothing that a client sees.
    pub(crate) fn next_chunk(
        &mut self,
        prompt_index: usize,
        entry: &FrameEntry,
    ) -> Result<Option<String>, ApiError> {
        self.note(prompt_index, entry);
        let index = self.choice_index(prompt_index, entry);
        let is_finished = entry.finish_reason() != FinishReason::Unspecified;
        let has_answer =
            !entry.text.is_empty() || !entry.reasoning.is_empty() || !entry.tool_calls.is_empty();
        if entry.token_ids.is_empty() && !has_answer && !is_finished {
            return Ok(None);
        }
        let chunk = match self.head.shape {
            Shape::Chat => {
                serde_json::to_string(&chat_answer::ChatChunk::new(self, prompt_index, index, entry))
            }
            Shape::Completion => serde_json::to_string(&completion_answer::CompletionChunk::new(
                self,
                prompt_index,
                index,
                entry,
            )),
        };
        self.begin(prompt_index, index, entry);
        chunk.map(Some).map_err(|_| ApiError::Internal)
    }

    /// Takes note of what the client has already.
    pub(crate) fn skip(&mut self, prompt_index: usize, entry: &FrameEntry) {
        self.note(prompt_index, entry);
        let index = self.choice_index(prompt_index, entry);
        self.begin(prompt_index, index, entry);
    }

    /// Remembers that a chunk of the choice was written.
    fn begin(&mut self, prompt_index: usize, index: usize, entry: &FrameEntry) {
        let Some(choice) = self.choices.get_mut(index) else { return };
        if !std::mem::replace(&mut choice.has_begun, true)
            && self.head.has_echo
            && let Some(prompt) = self.prompts.get(prompt_index)
        {
            choice.text_offset += num_chars(&prompt.report.logprobs);
        }
        choice.text_offset += num_chars(&entry.logprobs);
    }

    /// The last chunk, with the usage of all, when it was asked for.
    pub(crate) fn to_usage_chunk(&self) -> Result<Option<String>, ApiError> {
        if !self.head.stream.include_usage {
            return Ok(None);
        }
        let chunk = match self.head.shape {
            Shape::Chat => serde_json::to_string(&chat_answer::ChatChunk::usage(self)),
            Shape::Completion => serde_json::to_string(&completion_answer::CompletionChunk::usage(self)),
        };
        chunk.map(Some).map_err(|_| ApiError::Internal)
    }

    /// Where each choice stands.
    pub(crate) fn positions(&self) -> Vec<Position> {
        self.choices.iter().map(|choice| choice.position).collect()
    }

    pub(crate) fn choice_index(&self, prompt_index: usize, entry: &FrameEntry) -> usize {
        prompt_index * self.head.num_choices + entry.choice as usize
    }

    /// The sum over all prompts.
    pub(crate) fn usage(&self) -> Usage {
        self.prompts.iter().fold(Usage::default(), |sum, prompt| sum.plus(prompt.usage))
    }

    /// What a chunk says about usage: absent unless asked for, null until the last.
    pub(crate) fn chunk_usage(&self) -> Option<Option<Usage>> {
        let StreamOptions { include_usage, continuous_usage_stats } = self.head.stream;
        include_usage.then(|| continuous_usage_stats.then(|| self.usage()))
    }

    /// Names what computed the answer.
    pub(crate) fn system_fingerprint(&self) -> Option<&str> {
        let fingerprints = self.prompts.iter().map(|prompt| prompt.report.engine_fingerprint.as_str());
        fingerprints.into_iter().find(|fingerprint| !fingerprint.is_empty())
    }

    fn note(&mut self, prompt_index: usize, entry: &FrameEntry) {
        let choice_index = self.choice_index(prompt_index, entry);
        let Some(prompt) = self.prompts.get_mut(prompt_index) else { return };
        if let Some(report) = &entry.prompt {
            prompt.report = report.clone();
        }
        if let Some(choice) = self.choices.get_mut(choice_index) {
            choice.position.advance(entry);
            if let Some(word) = finish_word(entry.finish_reason()) {
                choice.finish_reason = Some(word);
                choice.stop_reason = StopReason::of(&entry.stop_reason);
            }
        }
        prompt.usage = match entry.end.as_ref().and_then(|end| end.usage) {
            Some(usage) => usage.into(),
            None => {
                let first = prompt_index * self.head.num_choices;
                let choices = self.choices.iter().skip(first).take(self.head.num_choices);
                let num_tokens = choices.map(|choice| choice.position.num_tokens).sum();
                Usage::new(
                    prompt.report.num_prompt_tokens,
                    prompt.report.num_cached_prompt_tokens,
                    num_tokens,
                )
            }
        };
    }
}

impl ChoiceState {
    fn of(choice: Choice) -> Self {
        Self {
            finish_reason: finish_word(choice.finish_reason()),
            stop_reason: StopReason::of(&choice.stop_reason),
            text: choice.text,
            reasoning: choice.reasoning,
            tool_calls: choice.tool_calls,
            token_ids: choice.token_ids,
            logprobs: choice.logprobs,
            ..Self::default()
        }
    }

    fn take_call(&mut self, delta: ToolCallDelta) {
        match self.tool_calls.get_mut(delta.index as usize) {
            Some(call) => call.arguments.push_str(&delta.arguments),
            None => {
                let ToolCallDelta { id, name, arguments, .. } = delta;
                self.tool_calls.push(ToolCall { id, name, arguments });
            }
        }
    }
}

impl StopReason {
    fn of(reason: &str) -> Option<Self> {
        match reason.parse() {
            _ if reason.is_empty() => None,
            Ok(token) => Some(Self::Token(token)),
            Err(_) => Some(Self::Text(reason.to_owned())),
        }
    }
}
