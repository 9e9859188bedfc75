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
    /// What resumed sequences bring along, before anything that they add to it.
    pub replayed: Vec<Replayed>,
    /// Sequences with something new, each at most once.
    pub sequences: Vec<SequenceOutput>,
}

/// The beginning of a resumed answer as the engine read it, which an earlier attempt has published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replayed {
    /// Its inference.
    pub id: InferenceId,
    /// Which of the inference's `n` answers.
    pub choice: u32,
    /// The tokens that the request brought along.
    pub token_ids: Vec<u32>,
    /// The text that was certain with the last of them.
    pub text: String,
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
    /// Where in `text` each token's part of it ends, in bytes; an end may add text after the last.
    pub text_ends: Vec<u32>,
    /// One per token, if asked for.
    pub logprobs: Vec<TokenLogprobs>,
    /// With the first output of the inference, whichever choice it is of.
    pub prompt: Option<PromptReport>,
    /// With the last output of the sequence.
    pub finish: Option<Finish>,
}

impl SequenceOutput {
    /// The same, one token at a time. How many tokens a step brings depends on its drafts and on the reader; one token
    /// at a time, an answer that another worker computes again has the same parts.
    pub fn into_single_tokens(mut self) -> Vec<Self> {
        let num_tokens = self.token_ids.len();
        if num_tokens < 2 {
            return vec![self];
        }
        let mut logprobs = self.logprobs.into_iter();
        let mut start = 0;
        let mut single = Vec::with_capacity(num_tokens);
        for (index, token_id) in self.token_ids.iter().enumerate() {
            let is_last = index + 1 == num_tokens;
            let end =
                self.text_ends.get(index).filter(|_| !is_last).map_or(self.text.len(), |end| *end as usize);
            let text = self.text.get(start..end).unwrap_or_default().to_owned();
            start = end;
            single.push(Self {
                id: self.id,
                choice: self.choice,
                first_token_index: self.first_token_index + index as u32,
                token_ids: vec![*token_id],
                text_ends: vec![text.len() as u32],
                text,
                logprobs: logprobs.next().into_iter().collect(),
                prompt: self.prompt.take(),
                finish: if is_last { self.finish.take() } else { None },
            });
        }
        single
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_output_of_several_tokens_is_their_outputs_in_order() {
        let finish = Finish {
            reason: FinishCause::Length,
            usage: Usage::default(),
            timings: Timings::default(),
            is_last_of_inference: true,
        };
        let prompt = PromptReport {
            num_prompt_tokens: 1,
            num_cached_tokens: 0,
            token_ids: Vec::new(),
            logprobs: Vec::new(),
            seed: 0,
        };
        let output = SequenceOutput {
            id: InferenceId::new(uuid::Uuid::nil()),
            choice: 1,
            first_token_index: 5,
            token_ids: vec![7, 8, 9],
            text: "aébc".to_owned(),
            text_ends: vec![1, 1, 3],
            logprobs: Vec::new(),
            prompt: Some(prompt),
            finish: Some(finish.clone()),
        };
        let single = output.into_single_tokens();
        let parts: Vec<_> =
            single.iter().map(|one| (one.first_token_index, one.token_ids[0], one.text.as_str())).collect();
        assert_eq!(parts, [(5, 7, "a"), (6, 8, ""), (7, 9, "ébc")]);
        assert_eq!(single.iter().map(|one| one.prompt.is_some()).collect::<Vec<_>>(), [true, false, false]);
        assert_eq!(
            single.iter().map(|one| one.finish.clone()).collect::<Vec<_>>(),
            [None, None, Some(finish)]
        );
    }
}
