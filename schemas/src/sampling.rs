//! How the next token is chosen.

use std::collections::BTreeMap;

use thiserror::Error;

use crate::v1;

/// Sampling parameters of one request; the ranges are those of [`SamplingParams::validate`].
#[derive(Debug, Clone, PartialEq)]
pub struct SamplingParams {
    /// Answers per prompt.
    pub n: u32,
    /// 0 is greedy.
    pub temperature: f32,
    /// Smallest set of tokens whose probability reaches this.
    pub top_p: f32,
    /// Most likely tokens kept; 0 keeps all.
    pub top_k: u32,
    /// Least probability relative to the most likely token.
    pub min_p: f32,
    /// Drawn by the worker when absent.
    pub seed: Option<u64>,
    /// Texts that end the answer.
    pub stop: Vec<String>,
    /// Tokens that end the answer.
    pub stop_token_ids: Vec<u32>,
    /// Go on past the end-of-sequence token.
    pub ignore_eos: bool,
    /// Longest answer in tokens; absent means up to the context.
    pub max_tokens: Option<u32>,
    /// No stop before this many tokens.
    pub min_tokens: u32,
    /// Subtracted once from the logit of each token that the answer holds.
    pub presence_penalty: f32,
    /// Subtracted per occurrence in the answer.
    pub frequency_penalty: f32,
    /// Divides positive and multiplies negative logits of tokens in prompt or answer; 1 is off.
    pub repetition_penalty: f32,
    /// Alternatives to report per token; `Some(0)` reports the chosen one alone.
    pub logprobs: Option<u32>,
    /// The same for the tokens of the prompt.
    pub prompt_logprobs: Option<u32>,
    /// Added to logits, by token id.
    pub logit_bias: BTreeMap<u32, f32>,
    /// Nothing else may be chosen; empty allows all.
    pub allowed_token_ids: Vec<u32>,
    /// Texts whose last token is never chosen after their beginning.
    pub bad_words: Vec<String>,
    /// Leave special tokens out of the text.
    pub skip_special_tokens: bool,
    /// Keep the stop string in the text.
    pub include_stop_str_in_output: bool,
    /// Keep only this many tokens from the prompt's end.
    pub truncate_prompt_tokens: Option<u32>,
    /// Repeat the prompt before the answer.
    pub echo: bool,
    /// Report token ids.
    pub return_token_ids: bool,
    /// Whether the tokenizer adds its special tokens; absent leaves it to the kind of prompt.
    pub add_special_tokens: Option<bool>,
    /// What the answer's text must match.
    pub grammar: Option<v1::grammar::Kind>,
    /// Most tokens of a thinking span; absent means no limit of its own.
    pub thinking_budget_tokens: Option<u32>,
}

impl Default for SamplingParams {
    fn default() -> Self {
        Self {
            n: 1,
            temperature: 1.0,
            top_p: 1.0,
            top_k: 0,
            min_p: 0.0,
            seed: None,
            stop: Vec::new(),
            stop_token_ids: Vec::new(),
            ignore_eos: false,
            max_tokens: None,
            min_tokens: 0,
            presence_penalty: 0.0,
            frequency_penalty: 0.0,
            repetition_penalty: 1.0,
            logprobs: None,
            prompt_logprobs: None,
            logit_bias: BTreeMap::new(),
            allowed_token_ids: Vec::new(),
            bad_words: Vec::new(),
            skip_special_tokens: true,
            include_stop_str_in_output: false,
            truncate_prompt_tokens: None,
            echo: false,
            return_token_ids: false,
            add_special_tokens: None,
            grammar: None,
            thinking_budget_tokens: None,
        }
    }
}

/// Bounds that keep one request's cost in proportion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SamplingLimits {
    /// Most answers per prompt.
    pub max_n: u32,
    /// Most alternatives per token.
    pub max_logprobs: u32,
    /// Most stop strings, stop tokens, bad words, and entries of `logit_bias` each.
    pub max_list_len: usize,
    /// Longest stop string or bad word in bytes.
    pub max_string_bytes: usize,
}

impl Default for SamplingLimits {
    fn default() -> Self {
        Self { max_n: 128, max_logprobs: 20, max_list_len: 1024, max_string_bytes: 1024 }
    }
}

/// A parameter outside its range.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{message}")]
pub struct InvalidParameter {
    /// The field.
    pub param: &'static str,
    /// What is wrong and what would be right, with the values.
    pub message: String,
}

fn require(
    holds: bool,
    param: &'static str,
    message: impl FnOnce() -> String,
) -> Result<(), InvalidParameter> {
    if holds { Ok(()) } else { Err(InvalidParameter { param, message: message() }) }
}

fn in_range(param: &'static str, value: f32, min: f32, max: f32) -> Result<(), InvalidParameter> {
    require((min..=max).contains(&value), param, || {
        format!("{param} is {value}, it must be between {min} and {max}")
    })
}

fn short_list(param: &'static str, len: usize, max: usize) -> Result<(), InvalidParameter> {
    require(len <= max, param, || format!("{param} has {len} entries, at most {max} are allowed"))
}

impl SamplingParams {
    /// Checks every range; `Err` names the first parameter outside its own.
    pub fn validate(&self, limits: &SamplingLimits) -> Result<(), InvalidParameter> {
        require((1..=limits.max_n).contains(&self.n), "n", || {
            format!("n is {}, it must be between 1 and {}", self.n, limits.max_n)
        })?;
        in_range("temperature", self.temperature, 0.0, 2.0)?;
        require(self.top_p > 0.0 && self.top_p <= 1.0, "top_p", || {
            format!("top_p is {}, it must be above 0 and at most 1", self.top_p)
        })?;
        in_range("min_p", self.min_p, 0.0, 1.0)?;
        in_range("presence_penalty", self.presence_penalty, -2.0, 2.0)?;
        in_range("frequency_penalty", self.frequency_penalty, -2.0, 2.0)?;
        require(
            self.repetition_penalty > 0.0 && self.repetition_penalty <= 2.0,
            "repetition_penalty",
            || format!("repetition_penalty is {}, it must be above 0 and at most 2", self.repetition_penalty),
        )?;
        if let Some(max_tokens) = self.max_tokens {
            require(max_tokens >= 1, "max_tokens", || "max_tokens is 0, it must be at least 1".to_owned())?;
            require(self.min_tokens <= max_tokens, "min_tokens", || {
                format!("min_tokens is {}, above max_tokens {max_tokens}", self.min_tokens)
            })?;
        }
        for (param, value) in [("logprobs", self.logprobs), ("prompt_logprobs", self.prompt_logprobs)] {
            require(value.is_none_or(|k| k <= limits.max_logprobs), param, || {
                format!("{param} is {}, at most {} are allowed", value.unwrap_or(0), limits.max_logprobs)
            })?;
        }
        if let Some(tokens) = self.truncate_prompt_tokens {
            require(tokens >= 1, "truncate_prompt_tokens", || {
                "truncate_prompt_tokens must be at least 1".to_owned()
            })?;
        }
        self.validate_lists(limits)
    }

    fn validate_lists(&self, limits: &SamplingLimits) -> Result<(), InvalidParameter> {
        short_list("stop", self.stop.len(), limits.max_list_len)?;
        short_list("stop_token_ids", self.stop_token_ids.len(), limits.max_list_len)?;
        short_list("bad_words", self.bad_words.len(), limits.max_list_len)?;
        short_list("logit_bias", self.logit_bias.len(), limits.max_list_len)?;
        for (param, strings) in [("stop", &self.stop), ("bad_words", &self.bad_words)] {
            for text in strings {
                require(!text.is_empty(), param, || format!("{param} holds an empty string"))?;
                require(text.len() <= limits.max_string_bytes, param, || {
                    format!(
                        "{param} holds a string of {} bytes, at most {} are allowed",
                        text.len(),
                        limits.max_string_bytes
                    )
                })?;
            }
        }
        for (token, bias) in &self.logit_bias {
            require((-100.0..=100.0).contains(bias), "logit_bias", || {
                format!("logit_bias of token {token} is {bias}, it must be between -100 and 100")
            })?;
        }
        Ok(())
    }
}

impl From<SamplingParams> for v1::SamplingParams {
    fn from(p: SamplingParams) -> Self {
        Self {
            n: p.n,
            temperature: p.temperature,
            top_p: p.top_p,
            top_k: p.top_k,
            min_p: p.min_p,
            seed: p.seed,
            stop: p.stop,
            stop_token_ids: p.stop_token_ids,
            ignore_eos: p.ignore_eos,
            max_tokens: p.max_tokens,
            min_tokens: p.min_tokens,
            presence_penalty: p.presence_penalty,
            frequency_penalty: p.frequency_penalty,
            repetition_penalty: p.repetition_penalty,
            logprobs: p.logprobs,
            prompt_logprobs: p.prompt_logprobs,
            logit_bias: p.logit_bias,
            allowed_token_ids: p.allowed_token_ids,
            bad_words: p.bad_words,
            skip_special_tokens: p.skip_special_tokens,
            include_stop_str_in_output: p.include_stop_str_in_output,
            truncate_prompt_tokens: p.truncate_prompt_tokens,
            echo: p.echo,
            return_token_ids: p.return_token_ids,
            add_special_tokens: p.add_special_tokens,
            grammar: p.grammar.map(|kind| v1::Grammar { kind: Some(kind) }),
            thinking_budget_tokens: p.thinking_budget_tokens,
        }
    }
}

impl From<v1::SamplingParams> for SamplingParams {
    fn from(p: v1::SamplingParams) -> Self {
        Self {
            n: p.n,
            temperature: p.temperature,
            top_p: p.top_p,
            top_k: p.top_k,
            min_p: p.min_p,
            seed: p.seed,
            stop: p.stop,
            stop_token_ids: p.stop_token_ids,
            ignore_eos: p.ignore_eos,
            max_tokens: p.max_tokens,
            min_tokens: p.min_tokens,
            presence_penalty: p.presence_penalty,
            frequency_penalty: p.frequency_penalty,
            repetition_penalty: p.repetition_penalty,
            logprobs: p.logprobs,
            prompt_logprobs: p.prompt_logprobs,
            logit_bias: p.logit_bias,
            allowed_token_ids: p.allowed_token_ids,
            bad_words: p.bad_words,
            skip_special_tokens: p.skip_special_tokens,
            include_stop_str_in_output: p.include_stop_str_in_output,
            truncate_prompt_tokens: p.truncate_prompt_tokens,
            echo: p.echo,
            return_token_ids: p.return_token_ids,
            add_special_tokens: p.add_special_tokens,
            grammar: p.grammar.and_then(|grammar| grammar.kind),
            thinking_budget_tokens: p.thinking_budget_tokens,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(change: impl FnOnce(&mut SamplingParams), expected: Option<&str>) {
        let mut params = SamplingParams::default();
        change(&mut params);
        let found = params.validate(&SamplingLimits::default()).err().map(|error| error.param);
        assert_eq!(found, expected, "{params:?}");
    }

    #[test]
    fn each_parameter_outside_its_range_is_named() {
        check(|_| {}, None);
        check(|p| p.n = 0, Some("n"));
        check(|p| p.temperature = -0.1, Some("temperature"));
        check(|p| p.temperature = f32::NAN, Some("temperature"));
        check(|p| p.top_p = 0.0, Some("top_p"));
        check(|p| p.top_p = f32::NAN, Some("top_p"));
        check(|p| p.min_p = 1.5, Some("min_p"));
        check(|p| p.presence_penalty = 2.5, Some("presence_penalty"));
        check(|p| p.frequency_penalty = -2.5, Some("frequency_penalty"));
        check(|p| p.repetition_penalty = 0.0, Some("repetition_penalty"));
        check(|p| p.max_tokens = Some(0), Some("max_tokens"));
        check(|p| (p.max_tokens, p.min_tokens) = (Some(3), 4), Some("min_tokens"));
        check(|p| p.logprobs = Some(21), Some("logprobs"));
        check(|p| p.prompt_logprobs = Some(21), Some("prompt_logprobs"));
        check(|p| p.stop = vec![String::new()], Some("stop"));
        check(|p| p.stop = vec!["x".repeat(2000)], Some("stop"));
        check(|p| p.stop = vec!["x".to_owned(); 2000], Some("stop"));
        check(|p| p.logit_bias = BTreeMap::from([(1, 101.0)]), Some("logit_bias"));
        check(|p| p.truncate_prompt_tokens = Some(0), Some("truncate_prompt_tokens"));
    }

    #[test]
    fn parameters_survive_the_way_through_an_event() {
        let params = SamplingParams {
            seed: Some(u64::MAX),
            stop: vec!["END".to_owned()],
            logit_bias: BTreeMap::from([(7, -1.5)]),
            max_tokens: Some(9),
            ..SamplingParams::default()
        };
        assert_eq!(SamplingParams::from(v1::SamplingParams::from(params.clone())), params);
    }
}
