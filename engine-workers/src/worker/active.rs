//! The inferences that this worker holds: what came out of the engine so far, and what is needed to end each.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bus::{Delivery, InferenceAddress};
use schemas::InferenceId;
use schemas::failure;
use schemas::v1::{
    Choice, Ended, Failure, FailureKind, FinishReason, Outcome, RequestSummary, Timings, Usage,
};
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinHandle;

use crate::engine::output::{FinishCause, SequenceOutput};

/// Every inference between its take-up and its end.
pub(super) type ActiveInferences = HashMap<InferenceId, Active>;

/// One inference that the engine computes.
pub(super) struct Active {
    pub(super) address: InferenceAddress,
    pub(super) attempt: u32,
    pub(super) delivery: Arc<Delivery>,
    /// Ends when the started fact is durable.
    pub(super) started: JoinHandle<()>,
    /// Given back when the inference is over.
    pub(super) slot: OwnedSemaphorePermit,
    pub(super) summary: RequestSummary,
    /// Whether the client asked for the prompt's text.
    pub(super) echo: bool,
    pub(super) answer: Answer,
}

/// An answer as far as it is known.
#[derive(Debug, Default)]
pub(super) struct Answer {
    choices: Vec<Choice>,
    usage: Usage,
    timings: Timings,
    failure: Option<Failure>,
    is_failure_retryable: bool,
    is_cancelled: bool,
}

/// How a choice ended, in the words of the events.
pub(super) fn finish_words(cause: &FinishCause) -> (FinishReason, String) {
    match cause {
        FinishCause::EndOfSequence => (FinishReason::Stop, String::new()),
        FinishCause::StopToken(id) => (FinishReason::Stop, id.to_string()),
        FinishCause::StopString(text) => (FinishReason::Stop, text.clone()),
        FinishCause::Length => (FinishReason::Length, String::new()),
        FinishCause::Cancelled => (FinishReason::Cancelled, String::new()),
        FinishCause::Error(_) => (FinishReason::Error, String::new()),
    }
}

impl Answer {
    /// Takes in what is new of one sequence; true when the whole inference is over. `since_requested` is the time from
    /// the client's request to now.
    pub(super) fn push(&mut self, output: &SequenceOutput, since_requested: Duration) -> bool {
        if self.timings.time_to_first_token_nanos == 0 && !output.token_ids.is_empty() {
            self.timings.time_to_first_token_nanos = nanos(since_requested);
        }
        let choice = self.choice(output.choice);
        choice.text.push_str(&output.text);
        choice.token_ids.extend_from_slice(&output.token_ids);
        let Some(finish) = &output.finish else { return false };
        let (reason, stop_reason) = finish_words(&finish.reason);
        choice.finish_reason = reason.into();
        choice.stop_reason = stop_reason;
        self.usage.num_prompt_tokens = finish.usage.num_prompt_tokens;
        self.usage.num_cached_prompt_tokens = finish.usage.num_cached_prompt_tokens;
        self.usage.num_completion_tokens += finish.usage.num_completion_tokens;
        self.timings.queued_nanos = self.timings.queued_nanos.max(nanos(finish.timings.queued));
        self.timings.prefill_nanos = self.timings.prefill_nanos.max(nanos(finish.timings.prefill));
        self.timings.decode_nanos = self.timings.decode_nanos.max(nanos(finish.timings.decode));
        match &finish.reason {
            FinishCause::Cancelled => self.is_cancelled = true,
            FinishCause::Error(error) => {
                self.failure = Some(failure(FailureKind::Internal, error.code, error.message.clone()));
                self.is_failure_retryable = error.is_retryable;
            }
            _ => {}
        }
        finish.is_last_of_inference
    }

    fn choice(&mut self, index: u32) -> &mut Choice {
        let position = self.choices.iter().position(|choice| choice.index == index).unwrap_or_else(|| {
            self.choices.push(Choice { index, ..Choice::default() });
            self.choices.len() - 1
        });
        &mut self.choices[position]
    }

    /// The failure, if another attempt may do better.
    pub(super) fn retryable_failure(&self) -> Option<&Failure> {
        self.failure.as_ref().filter(|_| self.is_failure_retryable)
    }

    /// The terminal fact.
    pub(super) fn into_ended(mut self, attempt: u32, worker: &str, engine_fingerprint: &str) -> Ended {
        self.choices.sort_by_key(|choice| choice.index);
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
            choices: self.choices,
            usage: Some(self.usage),
            timings: Some(self.timings),
            failure: self.failure,
            engine_fingerprint: engine_fingerprint.to_owned(),
            ..Ended::default()
        }
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::output::Finish;
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
        assert!(!answer.push(&output(1, &[7], "b", None), soon));
        assert!(!answer.push(&output(0, &[1], "a", None), soon));
        assert!(!answer.push(&output(0, &[2], "c", Some((FinishCause::Length, false))), soon));
        assert!(answer.push(&output(1, &[8], "d", Some((FinishCause::StopString("x".into()), true))), soon));
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
    fn one_cancelled_choice_makes_the_inference_cancelled() {
        let mut answer = Answer::default();
        assert!(answer.push(&output(0, &[], "", Some((FinishCause::Cancelled, true))), Duration::ZERO));
        assert_eq!(answer.into_ended(1, "w", "f").outcome(), Outcome::Cancelled);
    }
}
