//! What the engine says after a step.

use std::time::Duration;

use schemas::InferenceId;

use crate::sampler::SampleError;
use crate::sampler::token_logprobs::TokenLogprobs;

/// What one step brought, or several if the reader is slow.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct StepOutput {
    /// Number of the (last) step, from 1.
    pub step: u64,
    /// Sequences with something new, each at most once.
    pub sequences: Vec<SequenceOutput>,
}

/// What is new of one sequence.
#[derive(Debug, Clone, PartialEq)]
pub struct SequenceOutput {
    /// Its inference.
    pub id: InferenceId,
    /// Which of the inference's `n` answers.
    pub choice: u32,
    /// Index of the first of `token_ids` in the answer; indexes are contiguous from 0, or from the end of the tokens that
    /// the request brought along.
    pub first_token_index: u32,
    /// New tokens; the one that ended the answer is among them.
    pub token_ids: Vec<u32>,
    /// Text that became certain. It may lag behind the tokens, by a stop string's length or a split character.
    pub text: String,
    /// One per token, if asked for.
    pub logprobs: Vec<TokenLogprobs>,
    /// With the first output of the inference, whichever choice it is of.
    pub prompt: Option<PromptReport>,
    /// With the last output of the sequence.
    pub finish: Option<Finish>,
}

/// What the engine knows of the prompt.
#[derive(Debug, Clone, PartialEq)]
pub struct PromptReport {
    /// Tokens of the prompt, after truncation.
    pub num_prompt_tokens: u32,
    /// Those found in the prefix cache.
    pub num_cached_tokens: u32,
    /// The prompt after truncation, if `echo` or `return_token_ids` was asked for.
    pub token_ids: Vec<u32>,
    /// One per token from the second on, if asked for.
    pub logprobs: Vec<TokenLogprobs>,
    /// The seed in use.
    pub seed: u64,
}

/// The end of a sequence.
#[derive(Debug, Clone, PartialEq)]
pub struct Finish {
    /// Why.
    pub reason: FinishCause,
    /// What it took.
    pub usage: Usage,
    /// How long it took.
    pub timings: Timings,
    /// Whether every other choice of the inference has ended before.
    pub is_last_of_inference: bool,
}

/// Why a sequence ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FinishCause {
    /// The model ended it.
    EndOfSequence,
    /// One of the request's stop tokens.
    StopToken(u32),
    /// One of the request's stop strings.
    StopString(String),
    /// `max_tokens`, or the longest sequence of the model or the cache.
    Length,
    /// It was given up.
    Cancelled,
    /// It failed.
    Error(SequenceFailure),
}

/// Why a sequence failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SequenceFailure {
    /// A stable name: `invalid_logits`, `no_token_allowed`, `grammar_too_complex`, `runner_failed`, `engine_stopped`.
    pub code: &'static str,
    /// With the values.
    pub message: String,
    /// Whether another worker may succeed.
    pub is_retryable: bool,
}

impl From<SampleError> for SequenceFailure {
    fn from(error: SampleError) -> Self {
        SequenceFailure { code: error.code(), message: error.to_string(), is_retryable: error.is_retryable() }
    }
}

/// Tokens of one sequence; the prompt is the same for all choices of an inference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Tokens of the prompt, after truncation.
    pub num_prompt_tokens: u32,
    /// Tokens of the answer, those that the request brought along included.
    pub num_completion_tokens: u32,
    /// Prompt tokens found in the prefix cache.
    pub num_cached_prompt_tokens: u32,
}

/// Parts of a sequence's time in the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Timings {
    /// From submission to the first step that computed it.
    pub queued: Duration,
    /// From there to its first token.
    pub prefill: Duration,
    /// From there to its end.
    pub decode: Duration,
}
