//! A step's output as token frames.

use schemas::v1::{FrameEntry, PromptReport, TokenLogprob, TokenLogprobs};

use super::answer::Heard;
use super::model_text::ModelText;
use crate::engine::output::{self, SequenceOutput};
use crate::sampler::token_logprobs;

/// What every entry of an inference says besides its tokens.
#[derive(Clone, Copy)]
pub(super) struct EntryContext<'a> {
    pub(super) attempt: u32,
    pub(super) engine_fingerprint: &'a str,
    /// Whether the client asked for the prompt's text.
    pub(super) echo: bool,
    pub(super) text: &'a ModelText,
}

/// One sequence's part of a frame.
pub(super) fn entry(output: SequenceOutput, heard: Heard, context: &EntryContext<'_>) -> FrameEntry {
    FrameEntry {
        inference_id: output.id.to_string(),
        attempt: context.attempt,
        choice: output.choice,
        first_token_index: output.first_token_index,
        token_ids: output.token_ids,
        text: heard.parsed.content,
        reasoning: heard.parsed.reasoning,
        tool_calls: heard.parsed.tool_calls,
        logprobs: output.logprobs.into_iter().map(|logprobs| logprobs_of(logprobs, context.text)).collect(),
        finish_reason: heard.finish_reason.into(),
        stop_reason: heard.stop_reason,
        prompt: output.prompt.map(|prompt| prompt_report(prompt, context)),
        ..FrameEntry::default()
    }
}

fn prompt_report(prompt: output::PromptReport, context: &EntryContext<'_>) -> PromptReport {
    let mut logprobs: Vec<_> =
        prompt.logprobs.into_iter().map(|logprobs| logprobs_of(logprobs, context.text)).collect();
    if !logprobs.is_empty() {
        // Nothing precedes the first token, so it has no probability.
        logprobs.insert(0, TokenLogprobs::default());
    }
    let text =
        if context.echo { context.text.tokenizer.decode(&prompt.token_ids, true) } else { String::new() };
    PromptReport {
        num_prompt_tokens: prompt.num_prompt_tokens,
        num_cached_prompt_tokens: prompt.num_cached_tokens,
        engine_fingerprint: context.engine_fingerprint.to_owned(),
        token_ids: prompt.token_ids,
        text,
        logprobs,
        seed: prompt.seed,
    }
}

fn logprobs_of(logprobs: token_logprobs::TokenLogprobs, text: &ModelText) -> TokenLogprobs {
    let one = |logprob: token_logprobs::TokenLogprob| TokenLogprob {
        token_id: logprob.token_id,
        logprob: logprob.logprob,
        rank: logprob.rank,
        token: text.tokenizer.token_bytes(logprob.token_id).to_vec(),
    };
    TokenLogprobs { chosen: Some(one(logprobs.chosen)), top: logprobs.top.into_iter().map(one).collect() }
}
