//! A request after validation: nothing downstream checks it again.

use schemas::SamplingParams;
use schemas::v1::{AnswerOptions, Prompt, Requested, WorkClass};

/// One request of a client, for one or several prompts.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct InferenceRequest {
    /// As the client named it; a deployment answers for it by name or alias.
    pub(crate) model: String,
    /// The route that was called.
    pub(crate) endpoint: &'static str,
    /// At least one; each becomes an inference.
    pub(crate) prompts: Vec<Prompt>,
    /// Within its ranges.
    pub(crate) sampling: SamplingParams,
    /// The field that its grammar came from; empty without one.
    pub(crate) grammar_param: &'static str,
    pub(crate) stream: Option<StreamOptions>,
    /// Whether the client is shown what the model thought.
    pub(crate) includes_reasoning: bool,
    /// Smaller runs earlier.
    pub(crate) priority: i32,
    /// Separates prefix caches.
    pub(crate) cache_salt: String,
}

/// How an answer is streamed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct StreamOptions {
    /// A last chunk with the usage.
    pub(crate) include_usage: bool,
    /// The usage so far in every chunk.
    pub(crate) continuous_usage_stats: bool,
}

impl InferenceRequest {
    /// The fact for one of its prompts, but for what the node knows.
    pub(crate) fn requested(&self, prompt: Prompt) -> Requested {
        Requested {
            model: self.model.clone(),
            class: WorkClass::Interactive.into(),
            endpoint: self.endpoint.to_owned(),
            prompt: Some(prompt),
            sampling: Some(self.sampling.clone().into()),
            stream: self.stream.is_some(),
            priority: self.priority,
            cache_salt: self.cache_salt.clone(),
            answer_options: Some(AnswerOptions {
                includes_reasoning: self.includes_reasoning,
                include_usage: self.stream.is_some_and(|stream| stream.include_usage),
                continuous_usage_stats: self.stream.is_some_and(|stream| stream.continuous_usage_stats),
                ..AnswerOptions::default()
            }),
            ..Requested::default()
        }
    }
}
