//! What of a fact is content: what was asked and what was answered. The rest says what happened, and stays readable.
//!
//! `tests/content.rs` holds the list of every field and on which side it stands.

use crate::v1::envelope::Fact;
use crate::v1::{Choice, Ended, Envelope, Pooling, PromptReport, Requested, SamplingParams};

impl Envelope {
    /// Takes the content out; false if there was none.
    pub fn clear_content(&mut self) -> bool {
        match &mut self.fact {
            Some(Fact::Requested(requested)) => clear_requested(requested),
            Some(Fact::Admitted(admitted)) => is_cleared(&mut admitted.redacted_prompt),
            Some(Fact::Ended(ended)) => clear_ended(ended),
            Some(Fact::WebhookRequested(wanted)) => {
                is_cleared(&mut wanted.url) | is_cleared(&mut wanted.secret)
            }
            Some(
                Fact::Assigned(_) | Fact::Started(_) | Fact::AttemptFailed(_) | Fact::CancelRequested(_),
            )
            | None => false,
        }
    }

    /// Whether it has content that cannot be read: its key was destroyed, or the reader asked for what is stored.
    pub const fn is_sealed(&self) -> bool {
        self.sealed.is_some()
    }
}

/// Leaves the default; false if that stood there.
fn is_cleared<T: Default + PartialEq>(field: &mut T) -> bool {
    std::mem::take(field) != T::default()
}

// Without short-circuits: every field is cleared.
fn clear_requested(requested: &mut Requested) -> bool {
    is_cleared(&mut requested.prompt)
        | is_cleared(&mut requested.cache_salt)
        | is_cleared(&mut requested.request_digest)
        | requested.sampling.as_mut().is_some_and(clear_sampling)
        | requested.pooling.as_mut().is_some_and(|pooling: &mut Pooling| is_cleared(&mut pooling.inputs))
}

/// Tokens are text in other words.
fn clear_sampling(sampling: &mut SamplingParams) -> bool {
    is_cleared(&mut sampling.stop)
        | is_cleared(&mut sampling.stop_token_ids)
        | is_cleared(&mut sampling.logit_bias)
        | is_cleared(&mut sampling.allowed_token_ids)
        | is_cleared(&mut sampling.bad_words)
        | is_cleared(&mut sampling.grammar)
}

fn clear_ended(ended: &mut Ended) -> bool {
    let clear_all = |any, cleared| any | cleared;
    ended.choices.iter_mut().map(clear_choice).fold(false, clear_all)
        | ended.pooled.iter_mut().map(|pooled| is_cleared(&mut pooled.values)).fold(false, clear_all)
        | ended.prompt.as_mut().is_some_and(clear_prompt_report)
}

fn clear_choice(choice: &mut Choice) -> bool {
    is_cleared(&mut choice.text)
        | is_cleared(&mut choice.token_ids)
        | is_cleared(&mut choice.stop_reason)
        | is_cleared(&mut choice.reasoning)
        | is_cleared(&mut choice.tool_calls)
        | is_cleared(&mut choice.logprobs)
}

fn clear_prompt_report(report: &mut PromptReport) -> bool {
    is_cleared(&mut report.token_ids) | is_cleared(&mut report.text) | is_cleared(&mut report.logprobs)
}
