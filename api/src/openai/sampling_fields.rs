//! The sampling parameters of a request's body, which both kinds of completion share.

use std::collections::BTreeMap;

use schemas::{SamplingLimits, SamplingParams};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::error::ApiError;
use crate::json_object::JsonObject;
use crate::openai::grammar_fields::{self, Constraint, ResponseFormatField, StructuredOutputsField};
use crate::openai::string_or_list::StringOrList;

/// How the answer is sampled. Everything is optional.
#[derive(Debug, Default, Deserialize, ToSchema)]
pub(crate) struct SamplingFields {
    /// Answers per prompt.
    #[schema(minimum = 1, default = 1)]
    n: Option<u32>,
    /// 0 is greedy.
    #[schema(minimum = 0, maximum = 2, default = 1.0)]
    temperature: Option<f32>,
    /// Smallest set of tokens whose probability reaches this.
    #[schema(maximum = 1, default = 1.0)]
    top_p: Option<f32>,
    /// Most likely tokens kept; 0 and -1 keep all.
    #[schema(minimum = -1)]
    top_k: Option<i64>,
    /// Least probability relative to the most likely token.
    #[schema(minimum = 0, maximum = 1)]
    min_p: Option<f32>,
    /// The same seed and request give the same answer.
    #[schema(value_type = Option<i64>)]
    seed: Option<Seed>,
    /// Texts that end the answer.
    stop: Option<StringOrList>,
    /// Tokens that end the answer.
    stop_token_ids: Option<Vec<u32>>,
    /// Go on past the end-of-sequence token.
    ignore_eos: Option<bool>,
    /// Longest answer in tokens.
    #[schema(minimum = 1)]
    max_tokens: Option<u32>,
    /// The same by its newer name, which wins.
    #[schema(minimum = 1)]
    max_completion_tokens: Option<u32>,
    /// No stop before this many tokens.
    min_tokens: Option<u32>,
    /// Subtracted once from the logit of each token that the answer holds.
    #[schema(minimum = -2, maximum = 2)]
    presence_penalty: Option<f32>,
    /// Subtracted per occurrence in the answer.
    #[schema(minimum = -2, maximum = 2)]
    frequency_penalty: Option<f32>,
    /// Divides positive and multiplies negative logits of tokens in prompt or answer; 1 is off.
    #[schema(maximum = 2, default = 1.0)]
    repetition_penalty: Option<f32>,
    /// Alternatives to report per token of the prompt; not while streaming.
    prompt_logprobs: Option<u32>,
    /// Added to logits, by token id.
    #[schema(value_type = Option<BTreeMap<String, f32>>)]
    logit_bias: Option<BTreeMap<u32, f32>>,
    /// Nothing else may be chosen.
    allowed_token_ids: Option<Vec<u32>>,
    /// Texts that are never completed.
    bad_words: Option<Vec<String>>,
    /// Leave special tokens out of the text.
    #[schema(default = true)]
    skip_special_tokens: Option<bool>,
    /// Keep the stop string in the text.
    include_stop_str_in_output: Option<bool>,
    /// Keep only this many tokens from the prompt's end.
    #[schema(minimum = 1)]
    truncate_prompt_tokens: Option<u32>,
    /// Report token ids of prompt and answer.
    return_token_ids: Option<bool>,
    /// Whether the tokenizer adds its special tokens to the prompt.
    add_special_tokens: Option<bool>,
    /// The form of the answer's text.
    #[schema(value_type = Option<ResponseFormatField>)]
    response_format: Option<JsonObject<ResponseFormatField>>,
    /// A grammar that the answer's text matches.
    #[schema(value_type = Option<StructuredOutputsField>)]
    structured_outputs: Option<JsonObject<StructuredOutputsField>>,
}

/// Clients send signed and unsigned seeds; the bits count.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(untagged, expecting = "must be a whole number of 64 bits")]
enum Seed {
    Unsigned(u64),
    Signed(i64),
}

impl Seed {
    const fn bits(self) -> u64 {
        match self {
            Self::Unsigned(seed) => seed,
            Self::Signed(seed) => seed.cast_unsigned(),
        }
    }
}

impl SamplingFields {
    /// Takes out what the answer must match.
    pub(crate) fn take_grammar(&mut self) -> Result<Option<Constraint>, ApiError> {
        let format = self.response_format.take().map(|JsonObject(format)| format);
        let outputs = self.structured_outputs.take().map(|JsonObject(outputs)| outputs);
        grammar_fields::resolve(format, outputs)
    }

    /// Parameters within their ranges; `vocab_size` is 0 when it is unknown. `Err` names the field as the client wrote it.
    pub(crate) fn validate(
        self,
        limits: &SamplingLimits,
        vocab_size: u32,
        is_streaming: bool,
    ) -> Result<SamplingParams, ApiError> {
        let names_newer_max = self.max_completion_tokens.is_some();
        let params = self.into_params()?;
        params.validate(limits).map_err(|mut invalid| {
            if invalid.param == "max_tokens" && names_newer_max {
                invalid.param = "max_completion_tokens";
                invalid.message = invalid.message.replace("max_tokens", "max_completion_tokens");
            }
            ApiError::from(invalid)
        })?;
        if is_streaming && params.prompt_logprobs.is_some() {
            return Err(ApiError::invalid(
                "prompt_logprobs",
                "prompt_logprobs cannot be streamed; leave out 'stream'",
            ));
        }
        let max_list_len = limits.max_list_len.max(vocab_size as usize);
        if params.allowed_token_ids.len() > max_list_len {
            let message = format!(
                "allowed_token_ids has {} entries, at most {max_list_len} are allowed",
                params.allowed_token_ids.len()
            );
            return Err(ApiError::invalid("allowed_token_ids", message));
        }
        for (param, ids) in
            [("stop_token_ids", &params.stop_token_ids), ("allowed_token_ids", &params.allowed_token_ids)]
        {
            check_vocabulary(param, ids.iter().copied(), vocab_size)?;
        }
        check_vocabulary("logit_bias", params.logit_bias.keys().copied(), vocab_size)?;
        Ok(params)
    }

    fn into_params(self) -> Result<SamplingParams, ApiError> {
        let unset = SamplingParams::default();
        let top_k = match self.top_k {
            None | Some(-1) => 0,
            Some(top_k) => u32::try_from(top_k).map_err(|_| {
                ApiError::invalid("top_k", format!("top_k is {top_k}, it must be -1, 0 or above"))
            })?,
        };
        if self.allowed_token_ids.as_ref().is_some_and(Vec::is_empty) {
            return Err(ApiError::invalid(
                "allowed_token_ids",
                "allowed_token_ids is empty, nothing could be chosen",
            ));
        }
        Ok(SamplingParams {
            n: self.n.unwrap_or(unset.n),
            temperature: self.temperature.unwrap_or(unset.temperature),
            top_p: self.top_p.unwrap_or(unset.top_p),
            top_k,
            min_p: self.min_p.unwrap_or(unset.min_p),
            seed: self.seed.map(Seed::bits),
            stop: self.stop.unwrap_or_default().0,
            stop_token_ids: self.stop_token_ids.unwrap_or_default(),
            ignore_eos: self.ignore_eos.unwrap_or(unset.ignore_eos),
            max_tokens: self.max_completion_tokens.or(self.max_tokens),
            min_tokens: self.min_tokens.unwrap_or(unset.min_tokens),
            presence_penalty: self.presence_penalty.unwrap_or(unset.presence_penalty),
            frequency_penalty: self.frequency_penalty.unwrap_or(unset.frequency_penalty),
            repetition_penalty: self.repetition_penalty.unwrap_or(unset.repetition_penalty),
            logprobs: None,
            prompt_logprobs: self.prompt_logprobs,
            logit_bias: self.logit_bias.unwrap_or_default(),
            allowed_token_ids: self.allowed_token_ids.unwrap_or_default(),
            bad_words: self.bad_words.unwrap_or_default(),
            skip_special_tokens: self.skip_special_tokens.unwrap_or(unset.skip_special_tokens),
            include_stop_str_in_output: self.include_stop_str_in_output.unwrap_or_default(),
            truncate_prompt_tokens: self.truncate_prompt_tokens,
            echo: false,
            return_token_ids: self.return_token_ids.unwrap_or_default(),
            add_special_tokens: self.add_special_tokens,
            grammar: None,
            thinking_budget_tokens: None,
        })
    }
}

/// `Err` names the first token id outside the vocabulary.
pub(crate) fn check_vocabulary(
    param: &str,
    ids: impl IntoIterator<Item = u32>,
    vocab_size: u32,
) -> Result<(), ApiError> {
    let outside = ids.into_iter().find(|id| vocab_size != 0 && *id >= vocab_size);
    outside.map_or(Ok(()), |id| {
        let message = format!("{param} holds token {id}, the vocabulary ends at {}", vocab_size - 1);
        Err(ApiError::invalid(param, message))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(json: &str, expected_param: Option<&str>) {
        let fields: SamplingFields = crate::json_body::parse(json).unwrap();
        let found = fields.validate(&SamplingLimits::default(), 100, true);
        let found_param = found.err().and_then(|error| error.body().error.param);
        assert_eq!(found_param.as_deref(), expected_param, "{json}");
    }

    #[test]
    fn each_field_outside_its_range_is_named_as_the_client_wrote_it() {
        check("{}", None);
        check(r#"{"temperature":0.3,"top_k":-1,"stop":"x","seed":-5,"n":null}"#, None);
        check(r#"{"stop":["x","y"],"seed":18446744073709551615}"#, None);
        check(r#"{"top_k":-2}"#, Some("top_k"));
        check(r#"{"max_tokens":0}"#, Some("max_tokens"));
        check(r#"{"max_completion_tokens":0}"#, Some("max_completion_tokens"));
        check(r#"{"max_tokens":0,"max_completion_tokens":4}"#, None);
        check(r#"{"logit_bias":{"100":1}}"#, Some("logit_bias"));
        check(r#"{"logit_bias":{"99":101}}"#, Some("logit_bias"));
        check(r#"{"stop_token_ids":[100]}"#, Some("stop_token_ids"));
        check(r#"{"allowed_token_ids":[]}"#, Some("allowed_token_ids"));
        check(r#"{"prompt_logprobs":1}"#, Some("prompt_logprobs"));
    }
}
