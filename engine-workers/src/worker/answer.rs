//! An answer as it grows: what came out of the engine, parsed and added up until it is the terminal fact.

use std::time::Duration;

use schemas::v1::{
    Choice, Ended, Failure, FailureKind, FinishReason, FrameEntry, Outcome, PromptReport, Timings, ToolCall,
    Usage,
};
use schemas::{InferenceId, failure};

use crate::engine::output::{FinishCause, Replayed, SequenceFailure, SequenceOutput};
use crate::output_parser::{OutputParser, OutputRules, Parsed};

/// An answer as far as it is known.
#[derive(Debug, Default)]
pub(super) struct Answer {
    rules: OutputRules,
    choices: Vec<(Choice, OutputParser)>,
    /// Whether the terminal fact holds what otherwise is in the token stream alone.
    is_told_whole: bool,
    prompt: Option<PromptReport>,
    usage: Usage,
    timings: Timings,
    failure: Option<Failure>,
    is_failure_retryable: bool,
    is_cancelled: bool,
}

/// What one output of the engine adds to its choice.
#[derive(Debug, PartialEq, Default)]
pub(super) struct Heard {
    pub(super) parsed: Parsed,
    /// Unspecified while the choice goes on.
    pub(super) finish_reason: FinishReason,
    pub(super) stop_reason: String,
    /// Whether the whole inference is over.
    pub(super) is_over: bool,
}

impl Answer {
    /// Nothing known yet of an answer whose text is read by `rules`.
    pub(super) fn new(rules: OutputRules, is_told_whole: bool) -> Self {
        Self { rules, is_told_whole, ..Self::default() }
    }

    /// Takes in what is new of one sequence. `bytes_of` are a token's bytes, `since_requested` is the time from the
    /// client's request to now.
    pub(super) fn push<'a>(
        &mut self,
        output: &SequenceOutput,
        bytes_of: impl Fn(u32) -> &'a [u8],
        since_requested: Duration,
    ) -> Heard {
        if self.timings.time_to_first_token_nanos == 0 && !output.token_ids.is_empty() {
            self.timings.time_to_first_token_nanos = nanos(since_requested);
        }
        let at = self.choice_at(output.id, output.choice);
        let (choice, parser) = &mut self.choices[at];
        choice.token_ids.extend_from_slice(&output.token_ids);
        let mut parsed = parser.push(&output.text);
        if output.finish.is_some() {
            parsed.append(parser.finish());
        }
        append(choice, &parsed);
        let Some(finish) = &output.finish else { return Heard { parsed, ..Heard::default() } };
        let (mut finish_reason, stop_reason) = finish_words(&finish.reason);
        if finish_reason == FinishReason::Stop && !choice.tool_calls.is_empty() {
            finish_reason = FinishReason::ToolCalls;
        }
        choice.finish_reason = finish_reason.into();
        choice.stop_reason.clone_from(&stop_reason);
        let num_reasoning_tokens = self.rules.num_reasoning_tokens(&choice.token_ids, bytes_of);
        self.usage.num_reasoning_tokens += u32::try_from(num_reasoning_tokens).unwrap_or(u32::MAX);
        self.usage.num_prompt_tokens = finish.usage.num_prompt_tokens;
        self.usage.num_cached_prompt_tokens = finish.usage.num_cached_prompt_tokens;
        self.usage.num_completion_tokens += finish.usage.num_completion_tokens;
        self.timings.queued_nanos = self.timings.queued_nanos.max(nanos(finish.timings.queued));
        self.timings.prefill_nanos = self.timings.prefill_nanos.max(nanos(finish.timings.prefill));
        self.timings.decode_nanos = self.timings.decode_nanos.max(nanos(finish.timings.decode));
        match &finish.reason {
            FinishCause::Cancelled => self.is_cancelled = true,
            FinishCause::Error(error) => {
                let param = if error.code.starts_with("grammar_") { "grammar" } else { "" };
                self.failure = Some(failure(kind_of(error), error.code, error.message.clone()).at(param));
                self.is_failure_retryable = error.is_retryable;
            }
            _ => {}
        }
        Heard { parsed, finish_reason, stop_reason, is_over: finish.is_last_of_inference }
    }

    /// Keeps what the terminal fact is to tell of an entry whose output was pushed.
    pub(super) fn keep(&mut self, entry: &FrameEntry) {
        if !self.is_told_whole {
            return;
        }
        let choice = self.choices.iter_mut().find(|(choice, _)| choice.index == entry.choice);
        if let Some((choice, _)) = choice {
            choice.logprobs.extend_from_slice(&entry.logprobs);
        }
        if entry.prompt.is_some() {
            self.prompt.clone_from(&entry.prompt);
        }
    }

    /// Takes in what earlier attempts have published.
    pub(super) fn replay(&mut self, replayed: &Replayed) {
        let at = self.choice_at(replayed.id, replayed.choice);
        let (choice, parser) = &mut self.choices[at];
        choice.token_ids.extend_from_slice(&replayed.token_ids);
        append(choice, &parser.push(&replayed.text));
    }

    /// The first token of an earlier attempt came so long after the client's request.
    pub(super) fn set_time_to_first_token(&mut self, since_requested: Duration) {
        self.timings.time_to_first_token_nanos = nanos(since_requested);
    }

    fn choice_at(&mut self, inference: InferenceId, index: u32) -> usize {
        self.choices.iter().position(|(choice, _)| choice.index == index).unwrap_or_else(|| {
            let parser = self.rules.parser(inference, index);
            self.choices.push((Choice { index, ..Choice::default() }, parser));
            self.choices.len() - 1
        })
    }

    /// The failure, if another attempt may do better.
    pub(super) fn retryable_failure(&self) -> Option<&Failure> {
        self.failure.as_ref().filter(|_| self.is_failure_retryable)
    }

    /// The terminal fact.
    pub(super) fn into_ended(mut self, attempt: u32, worker: &str, engine_fingerprint: &str) -> Ended {
        self.choices.sort_by_key(|(choice, _)| choice.index);
        let outcome = if self.failure.is_some() {
            Outcome::Failed
        } else if self.is_cancelled {
            Outcome::Cancelled
        } else {
            Outcome::Completed
        };
        Ended {
            outcome: outcome.into(),
            attempt,
            worker: worker.to_owned(),
            choices: self.choices.into_iter().map(|(choice, _)| choice).collect(),
            usage: Some(self.usage),
            timings: Some(self.timings),
            failure: self.failure,
            engine_fingerprint: engine_fingerprint.to_owned(),
            prompt: self.prompt,
            ..Ended::default()
        }
    }
}

/// How a choice ended, in the words of the events.
fn finish_words(cause: &FinishCause) -> (FinishReason, String) {
    match cause {
        FinishCause::EndOfSequence => (FinishReason::Stop, String::new()),
        FinishCause::StopToken(id) => (FinishReason::Stop, id.to_string()),
        FinishCause::StopString(text) => (FinishReason::Stop, text.clone()),
        FinishCause::Length => (FinishReason::Length, String::new()),
        FinishCause::Cancelled => (FinishReason::Cancelled, String::new()),
        FinishCause::Error(_) => (FinishReason::Error, String::new()),
    }
}

fn append(choice: &mut Choice, parsed: &Parsed) {
    choice.text.push_str(&parsed.content);
    choice.reasoning.push_str(&parsed.reasoning);
    for delta in &parsed.tool_calls {
        match choice.tool_calls.get_mut(delta.index as usize) {
            Some(call) => call.arguments.push_str(&delta.arguments),
            None => choice.tool_calls.push(ToolCall {
                id: delta.id.clone(),
                name: delta.name.clone(),
                arguments: delta.arguments.clone(),
            }),
        }
    }
}

/// Whose fault it is: some requests can be seen to be impossible only on the way.
fn kind_of(error: &SequenceFailure) -> FailureKind {
    match error.code {
        "no_token_allowed" | "grammar_too_complex" | "grammar_dead_end" => FailureKind::InvalidRequest,
        _ => FailureKind::Internal,
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::output::Finish;
    use crate::output_parser::ToolRules;
    use crate::output_parser::reasoning::{ReasoningFormat, SpanStart};
    use crate::output_parser::tool_call_format::ToolCallFormat;
    use schemas::v1::TokenLogprobs;
    use uuid::Uuid;

    fn output(
        choice: u32,
        tokens: &[u32],
        text: &str,
        finish: Option<(FinishCause, bool)>,
    ) -> SequenceOutput {
        SequenceOutput {
            id: InferenceId::new(Uuid::nil()),
            choice,
            first_token_index: 0,
            token_ids: tokens.to_vec(),
            text: text.to_owned(),
            text_ends: Vec::new(),
            logprobs: Vec::new(),
            prompt: None,
            finish: finish.map(|(reason, is_last_of_inference)| Finish {
                reason,
                usage: crate::engine::output::Usage {
                    num_prompt_tokens: 5,
                    num_completion_tokens: 2,
                    num_cached_prompt_tokens: 1,
                },
                timings: crate::engine::output::Timings::default(),
                is_last_of_inference,
            }),
        }
    }

    #[test]
    fn an_answer_adds_up_over_steps_and_choices() {
        let mut answer = Answer::default();
        let soon = Duration::from_millis(3);
        let mut is_over = |output: SequenceOutput| answer.push(&output, |_| b"", soon).is_over;
        assert!(!is_over(output(1, &[7], "b", None)));
        assert!(!is_over(output(0, &[1], "a", None)));
        assert!(!is_over(output(0, &[2], "c", Some((FinishCause::Length, false)))));
        assert!(is_over(output(1, &[8], "d", Some((FinishCause::StopString("x".into()), true)))));
        let ended = answer.into_ended(1, "w", "f");
        let texts: Vec<_> =
            ended.choices.iter().map(|choice| (choice.text.as_str(), choice.token_ids.len())).collect();
        assert_eq!(texts, [("ac", 2), ("bd", 2)]);
        assert_eq!(ended.outcome(), Outcome::Completed);
        let usage = ended.usage.unwrap();
        assert_eq!((usage.num_prompt_tokens, usage.num_completion_tokens), (5, 4));
        assert_eq!(ended.timings.unwrap().time_to_first_token_nanos, 3_000_000);
    }

    #[test]
    fn an_end_that_is_told_whole_holds_what_was_streamed() {
        let entry = |num_logprobs: usize| FrameEntry {
            logprobs: vec![TokenLogprobs::default(); num_logprobs],
            prompt: (num_logprobs == 1).then(PromptReport::default),
            ..FrameEntry::default()
        };
        for (is_told_whole, expected) in [(true, 3), (false, 0)] {
            let mut answer = Answer::new(OutputRules::default(), is_told_whole);
            for tokens in [&[1][..], &[2, 3]] {
                answer.push(&output(0, tokens, "a", None), |_| b"", Duration::ZERO);
                answer.keep(&entry(tokens.len()));
            }
            let ended = answer.into_ended(1, "w", "f");
            assert_eq!(ended.choices[0].logprobs.len(), expected);
            assert_eq!(ended.prompt.is_some(), is_told_whole);
        }
    }

    #[test]
    fn one_cancelled_choice_makes_the_inference_cancelled() {
        let mut answer = Answer::default();
        let heard =
            answer.push(&output(0, &[], "", Some((FinishCause::Cancelled, true))), |_| b"", Duration::ZERO);
        assert!(heard.is_over);
        assert_eq!(answer.into_ended(1, "w", "f").outcome(), Outcome::Cancelled);
    }

    #[test]
    fn thoughts_and_calls_are_kept_apart_from_the_text() {
        let rules = ToolRules {
            format: ToolCallFormat::Hermes,
            names: ["add".to_owned()].into(),
            is_single: false,
            source: None,
        };
        let reasoning = Some((ReasoningFormat::Think, SpanStart::Inside));
        let mut answer = Answer::new(OutputRules { reasoning, tools: Some(rules) }, false);
        let texts = [
            "Hm",
            ".</think>",
            "Look: ",
            "{\n<tool_call>",
            "{\"name\": \"add\", \"arguments\": {",
            "\"a\": 1}}",
        ];
        let mut deltas = Vec::new();
        for (token, text) in (0..).zip(texts) {
            let finish = (token == 5).then_some((FinishCause::EndOfSequence, true));
            let heard = answer.push(
                &output(0, &[token], text, finish),
                |id| texts[id as usize].as_bytes(),
                Duration::ZERO,
            );
            deltas.extend(heard.parsed.tool_calls);
            assert_eq!(heard.finish_reason == FinishReason::ToolCalls, heard.is_over);
        }
        assert_eq!(deltas.len(), 2, "{deltas:?}");
        let ended = answer.into_ended(1, "w", "f");
        let choice = &ended.choices[0];
        assert_eq!((choice.text.as_str(), choice.reasoning.as_str()), ("Look: {", "Hm."));
        let call = &choice.tool_calls[0];
        assert_eq!((call.name.as_str(), call.arguments.as_str()), ("add", "{\"a\": 1}"));
        assert_eq!(call.id, deltas[0].id);
        assert_eq!(choice.finish_reason(), FinishReason::ToolCalls);
        assert_eq!(ended.usage.unwrap().num_reasoning_tokens, 2);
    }
}
