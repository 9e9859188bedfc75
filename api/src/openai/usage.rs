//! Token counts of an answer.

use schemas::v1;
use serde::Serialize;
use utoipa::ToSchema;

/// What a request used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Usage {
    prompt_tokens: u32,
    total_tokens: u32,
    completion_tokens: u32,
    prompt_tokens_details: PromptTokensDetails,
    /// Known at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    completion_tokens_details: Option<CompletionTokensDetails>,
}

/// Of the prompt's tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct PromptTokensDetails {
    /// Those whose computation was reused.
    cached_tokens: u32,
}

/// Of the answers' tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct CompletionTokensDetails {
    /// Those in which the model thought.
    reasoning_tokens: u32,
}

impl Usage {
    /// Counts of a prompt and its answers so far.
    pub(crate) fn new(num_prompt_tokens: u32, num_cached_tokens: u32, num_completion_tokens: u32) -> Self {
        Self {
            prompt_tokens: num_prompt_tokens,
            total_tokens: num_prompt_tokens.saturating_add(num_completion_tokens),
            completion_tokens: num_completion_tokens,
            prompt_tokens_details: PromptTokensDetails { cached_tokens: num_cached_tokens },
            completion_tokens_details: None,
        }
    }

    /// The sum over the prompts of a request.
    pub(crate) fn plus(self, other: Self) -> Self {
        let details = [self, other].into_iter().filter_map(|usage| usage.completion_tokens_details);
        let completion_tokens_details = details.reduce(|sum, details| CompletionTokensDetails {
            reasoning_tokens: sum.reasoning_tokens.saturating_add(details.reasoning_tokens),
        });
        let sum = Self::new(
            self.prompt_tokens.saturating_add(other.prompt_tokens),
            self.prompt_tokens_details
                .cached_tokens
                .saturating_add(other.prompt_tokens_details.cached_tokens),
            self.completion_tokens.saturating_add(other.completion_tokens),
        );
        Self { completion_tokens_details, ..sum }
    }
}

impl From<v1::Usage> for Usage {
    fn from(usage: v1::Usage) -> Self {
        let details = CompletionTokensDetails { reasoning_tokens: usage.num_reasoning_tokens };
        Self {
            completion_tokens_details: Some(details),
            ..Self::new(usage.num_prompt_tokens, usage.num_cached_prompt_tokens, usage.num_completion_tokens)
        }
    }
}
