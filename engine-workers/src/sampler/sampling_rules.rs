//! A request's sampling parameters in the form in which they are applied.

use schemas::SamplingParams;

/// Below this a temperature means greedy.
pub(super) const GREEDY_TEMPERATURE: f32 = 1e-5;

/// How one sequence's next token is chosen.
#[derive(Debug, Clone, PartialEq)]
pub struct SamplingRules {
    /// 0 is greedy.
    pub temperature: f32,
    /// Probability of the smallest set kept.
    pub top_p: f32,
    /// Most likely tokens kept; 0 keeps all.
    pub top_k: u32,
    /// Least probability relative to the best.
    pub min_p: f32,
    /// Subtracted once from each token of the answer.
    pub presence_penalty: f32,
    /// Subtracted per occurrence in the answer.
    pub frequency_penalty: f32,
    /// Divides positive and multiplies negative logits of tokens in prompt or answer; 1 is off.
    pub repetition_penalty: f32,
    /// Alternatives to report.
    pub logprobs: Option<u32>,
    /// Added to logits, by token id.
    pub logit_bias: Vec<(u32, f32)>,
    /// In rising order without duplicates; empty allows all.
    pub allowed_token_ids: Vec<u32>,
    /// Token runs whose last is never chosen after the others.
    pub bad_words: Vec<Vec<u32>>,
    /// No stop token before this many.
    pub min_tokens: usize,
    /// Tokens that end the sequence.
    pub stop_token_ids: Vec<u32>,
}

impl SamplingRules {
    /// `stop_token_ids` are all that end the sequence, those of the model included; `bad_words` are tokenized.
    pub fn new(params: &SamplingParams, stop_token_ids: Vec<u32>, bad_words: Vec<Vec<u32>>) -> Self {
        let mut allowed_token_ids = params.allowed_token_ids.clone();
        allowed_token_ids.sort_unstable();
        allowed_token_ids.dedup();
        SamplingRules {
            temperature: params.temperature,
            top_p: params.top_p,
            top_k: params.top_k,
            min_p: params.min_p,
            presence_penalty: params.presence_penalty,
            frequency_penalty: params.frequency_penalty,
            repetition_penalty: params.repetition_penalty,
            logprobs: params.logprobs,
            logit_bias: params.logit_bias.iter().map(|(token, bias)| (*token, *bias)).collect(),
            allowed_token_ids,
            bad_words: bad_words.into_iter().filter(|word| !word.is_empty()).collect(),
            min_tokens: params.min_tokens as usize,
            stop_token_ids,
        }
    }

    /// Whether nothing but the largest logit counts after so many tokens.
    pub(crate) fn takes_largest(&self, num_output_tokens: usize) -> bool {
        self.temperature < GREEDY_TEMPERATURE
            && self.logprobs.is_none()
            && self.logit_bias.is_empty()
            && self.allowed_token_ids.is_empty()
            && self.bad_words.is_empty()
            && num_output_tokens >= self.min_tokens
            && !self.counts_output_tokens()
    }

    /// Whether any rule reads which tokens the answer holds.
    pub(crate) fn counts_output_tokens(&self) -> bool {
        self.presence_penalty != 0.0 || self.frequency_penalty != 0.0 || self.repetition_penalty != 1.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_rule_but_greedy_choice_needs_more_than_the_largest_logit() {
        let greedy = SamplingParams { temperature: 0.0, ..SamplingParams::default() };
        let takes_largest =
            |params: &SamplingParams, words| SamplingRules::new(params, vec![2], words).takes_largest(3);
        assert!(takes_largest(&greedy, vec![]));
        assert!(!takes_largest(&greedy, vec![vec![7]]));
        let changes: [fn(&mut SamplingParams); 8] = [
            |params| params.temperature = 0.5,
            |params| params.logprobs = Some(0),
            |params| params.logit_bias.extend([(7, 1.0)]),
            |params| params.allowed_token_ids = vec![7],
            |params| params.presence_penalty = 0.1,
            |params| params.frequency_penalty = -0.1,
            |params| params.repetition_penalty = 1.1,
            |params| params.min_tokens = 4,
        ];
        for change in changes {
            let mut params = greedy.clone();
            change(&mut params);
            assert!(!takes_largest(&params, vec![]), "{params:?}");
        }
        let enough = SamplingParams { min_tokens: 3, top_p: 0.1, top_k: 5, ..greedy };
        assert!(takes_largest(&enough, vec![]));
    }
}
