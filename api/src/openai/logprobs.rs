//! Log probabilities in the shapes of both kinds of completion.

use std::collections::BTreeMap;

use schemas::v1::{TokenLogprob, TokenLogprobs};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// JSON has no infinity, and clients need a number.
const LEAST_LOGPROB: f32 = -9999.0;

/// Of a chat's choice.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct ChatLogprobs {
    content: Vec<ChatTokenLogprob>,
    refusal: Option<()>,
}

/// A token of the answer and what else it might have been.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct ChatTokenLogprob {
    #[serde(flatten)]
    chosen: TokenReport,
    top_logprobs: Vec<TokenReport>,
}

/// A token; its bytes tell apart tokens that are no whole characters.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct TokenReport {
    token: String,
    logprob: f32,
    bytes: Vec<u8>,
}

/// Of a completion's choice: lists of the same length.
#[derive(Debug, Clone, Default, PartialEq, Serialize, ToSchema)]
pub(crate) struct CompletionLogprobs {
    tokens: Vec<String>,
    /// Null where nothing came before.
    token_logprobs: Vec<Option<f32>>,
    #[schema(value_type = Vec<Option<Object>>)]
    top_logprobs: Vec<Option<Map<String, Value>>>,
    /// Where each token begins in the choice's text, in characters.
    text_offset: Vec<usize>,
}

/// Of a prompt: null for the first token, then by token id.
pub(crate) type PromptLogprobs = Vec<Option<BTreeMap<u32, PromptTokenLogprob>>>;

/// A token that stood, or might have stood, in the prompt.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct PromptTokenLogprob {
    logprob: f32,
    /// 1 is the most likely.
    rank: u32,
    decoded_token: String,
}

impl ChatLogprobs {
    /// Of the tokens of one chunk, or of all.
    pub(crate) fn new(tokens: &[TokenLogprobs]) -> Self {
        let content = tokens
            .iter()
            .map(|token| ChatTokenLogprob {
                chosen: TokenReport::of(token.chosen.as_ref()),
                top_logprobs: token.top.iter().map(|top| TokenReport::of(Some(top))).collect(),
            })
            .collect();
        Self { content, refusal: None }
    }
}

impl TokenReport {
    fn of(token: Option<&TokenLogprob>) -> Self {
        Self {
            token: token.map(text_of).unwrap_or_default(),
            logprob: token.map_or(LEAST_LOGPROB, finite),
            bytes: token.map(|token| token.token.clone()).unwrap_or_default(),
        }
    }
}

impl CompletionLogprobs {
    /// Of tokens that begin `text_offset` characters into the text; moves the offset past them.
    pub(crate) fn new(tokens: &[TokenLogprobs], text_offset: &mut usize) -> Self {
        let mut logprobs = Self::default();
        for token in tokens {
            let chosen = token.chosen.as_ref();
            let text = chosen.map(text_of).unwrap_or_default();
            logprobs.text_offset.push(*text_offset);
            *text_offset += text.chars().count();
            logprobs.tokens.push(text);
            logprobs.token_logprobs.push(chosen.map(finite));
            logprobs.top_logprobs.push(Some(by_text(&token.top)));
        }
        logprobs
    }

    /// The same for a prompt that is repeated before the answer: nothing came before its first token.
    pub(crate) fn of_prompt(tokens: &[TokenLogprobs], text_offset: &mut usize) -> Self {
        let mut logprobs = Self::new(tokens, text_offset);
        if let Some(first) = logprobs.token_logprobs.first_mut() {
            *first = None;
        }
        if let Some(first) = logprobs.top_logprobs.first_mut() {
            *first = None;
        }
        logprobs
    }

    /// These, then `next`.
    pub(crate) fn then(mut self, next: Self) -> Self {
        self.tokens.extend(next.tokens);
        self.token_logprobs.extend(next.token_logprobs);
        self.top_logprobs.extend(next.top_logprobs);
        self.text_offset.extend(next.text_offset);
        self
    }
}

/// Of a whole prompt.
pub(crate) fn prompt_logprobs(tokens: &[TokenLogprobs]) -> PromptLogprobs {
    let of_token = |token: &TokenLogprobs| {
        let reports = token.chosen.iter().chain(&token.top);
        reports
            .map(|report| {
                let text = text_of(report);
                let logprob = PromptTokenLogprob {
                    logprob: finite(report),
                    rank: report.rank.saturating_add(1),
                    decoded_token: text,
                };
                (report.token_id, logprob)
            })
            .collect()
    };
    tokens.iter().enumerate().map(|(index, token)| (index > 0).then(|| of_token(token))).collect()
}

/// Characters that these tokens spell.
pub(crate) fn num_chars(tokens: &[TokenLogprobs]) -> usize {
    tokens.iter().filter_map(|token| token.chosen.as_ref()).map(|token| text_of(token).chars().count()).sum()
}

fn by_text(tokens: &[TokenLogprob]) -> Map<String, Value> {
    let mut by_text = Map::new();
    for token in tokens {
        // Different tokens may look alike; the likelier one comes first and stays.
        by_text.entry(text_of(token)).or_insert_with(|| finite(token).into());
    }
    by_text
}

/// A token's text; bytes that are no whole characters are spelled out, as OpenAI does.
fn text_of(token: &TokenLogprob) -> String {
    match std::str::from_utf8(&token.token) {
        Ok(text) => text.to_owned(),
        Err(_) => {
            let escaped = token.token.iter().map(|byte| format!("\\x{byte:02x}"));
            std::iter::once("bytes:".to_owned()).chain(escaped).collect()
        }
    }
}

fn finite(token: &TokenLogprob) -> f32 {
    if token.logprob.is_finite() { token.logprob } else { LEAST_LOGPROB }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn token(token_id: u32, bytes: &[u8], logprob: f32) -> TokenLogprob {
        TokenLogprob { token_id, logprob, rank: 0, token: bytes.to_vec() }
    }

    fn tokens() -> Vec<TokenLogprobs> {
        let first = TokenLogprobs {
            chosen: Some(token(1, "ü".as_bytes(), -0.5)),
            top: vec![token(1, "ü".as_bytes(), -0.5), token(2, &[0xff], f32::NEG_INFINITY)],
        };
        let second = TokenLogprobs { chosen: Some(token(3, b"b", -1.0)), top: vec![] };
        vec![first, second]
    }

    #[test]
    fn a_chat_reports_tokens_with_their_bytes() {
        assert_eq!(
            serde_json::to_value(ChatLogprobs::new(&tokens())).unwrap(),
            json!({"content": [
                {"token": "ü", "logprob": -0.5, "bytes": [195, 188], "top_logprobs": [
                    {"token": "ü", "logprob": -0.5, "bytes": [195, 188]},
                    {"token": "bytes:\\xff", "logprob": -9999.0, "bytes": [255]}]},
                {"token": "b", "logprob": -1.0, "bytes": [98], "top_logprobs": []}],
                "refusal": null})
        );
    }

    #[test]
    fn a_completion_reports_lists_of_the_same_length() {
        let mut offset = 3;
        let logprobs = CompletionLogprobs::new(&tokens(), &mut offset);
        assert_eq!(
            serde_json::to_value(logprobs).unwrap(),
            json!({"tokens": ["ü", "b"], "token_logprobs": [-0.5, -1.0],
                "top_logprobs": [{"ü": -0.5, "bytes:\\xff": -9999.0}, {}], "text_offset": [3, 4]})
        );
        assert_eq!(offset, 5);
    }

    #[test]
    fn nothing_came_before_the_first_token_of_a_prompt() {
        let logprobs = CompletionLogprobs::of_prompt(&tokens(), &mut 0);
        assert_eq!(logprobs.token_logprobs, [None, Some(-1.0)]);
        assert_eq!(
            serde_json::to_value(prompt_logprobs(&tokens())).unwrap(),
            json!([null, {"3": {"logprob": -1.0, "rank": 1, "decoded_token": "b"}}])
        );
    }
}
