//! Fields that would change the answer and that nothing honours yet, and fields nobody knows.

use std::borrow::Cow;
use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::error::ApiError;

/// More keys than any client has reason to send.
const MAX_NUM_FIELDS: usize = 256;

/// The keys of a body with their values unread.
#[derive(Debug)]
pub(crate) struct TopLevelFields<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

/// What a field must hold to mean nothing.
#[derive(Debug, Clone, Copy)]
enum Harmless {
    /// Null, false, an empty string, list or object.
    Empty,
    /// Empty, or one of these JSON texts.
    Or(&'static [&'static str]),
}

/// Refused unless harmless. What comes with later versions is listed first.
const NOT_YET: [(&str, Harmless); 18] = [
    ("audio", Harmless::Empty),
    ("modalities", Harmless::Or(&["[\"text\"]"])),
    ("web_search_options", Harmless::Empty),
    ("documents", Harmless::Empty),
    ("thinking", Harmless::Empty),
    ("suffix", Harmless::Empty),
    ("use_beam_search", Harmless::Empty),
    ("length_penalty", Harmless::Or(&["1", "1.0"])),
    ("early_stopping", Harmless::Empty),
    ("logits_processors", Harmless::Empty),
    ("prompt_embeds", Harmless::Empty),
    ("chat_template", Harmless::Empty),
    ("mm_processor_kwargs", Harmless::Empty),
    ("vllm_xargs", Harmless::Empty),
    ("repetition_detection", Harmless::Empty),
    ("logprob_token_ids", Harmless::Empty),
    ("spaces_between_special_tokens", Harmless::Or(&["true"])),
    ("return_tokens_as_token_ids", Harmless::Empty),
];

/// Names of old, with what replaced them.
const REPLACED: [(&str, &str); 7] = [
    ("background", "POST /v1/inferences"),
    ("functions", "tools"),
    ("function_call", "tool_choice"),
    ("guided_json", "structured_outputs.json"),
    ("guided_regex", "structured_outputs.regex"),
    ("guided_choice", "structured_outputs.choice"),
    ("guided_grammar", "structured_outputs.grammar"),
];

/// What only a chat can have.
const CHAT_ONLY: [(&str, Harmless); 3] = [
    ("tools", Harmless::Empty),
    ("tool_choice", Harmless::Or(&["\"none\"", "\"auto\""])),
    ("thinking_token_budget", Harmless::Empty),
];

impl<'a> TopLevelFields<'a> {
    /// Refuses what would change the answer unnoticed.
    pub(crate) fn check_supported(&self) -> Result<(), ApiError> {
        for (name, harmless) in NOT_YET {
            if self.get(name).is_some_and(|value| !harmless.allows(value)) {
                return Err(not_supported(name));
            }
        }
        for (name, newer) in REPLACED {
            let harmless = Harmless::Or(&["\"none\""]);
            if self.get(name).is_some_and(|value| !harmless.allows(value)) {
                return Err(ApiError::unsupported(name, format!("{name} is not supported; use {newer}")));
            }
        }
        Ok(())
    }

    /// Refuses what a completion of a text cannot have.
    pub(crate) fn check_text_completion(&self) -> Result<(), ApiError> {
        for (name, harmless) in CHAT_ONLY {
            if self.get(name).is_some_and(|value| !harmless.allows(value)) {
                let message = format!("{name} is supported by /v1/chat/completions only");
                return Err(ApiError::unsupported(name, message));
            }
        }
        Ok(())
    }

    /// Names that no part of this server reads, for the debug log.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_ref())
    }

    fn get(&self, name: &str) -> Option<&'a str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.get())
    }
}

fn not_supported(name: &str) -> ApiError {
    ApiError::unsupported(name, format!("{name} is not supported yet; leave it out"))
}

impl Harmless {
    fn allows(self, value: &str) -> bool {
        let is_empty = matches!(value, "null" | "false" | "\"\"" | "[]" | "{}");
        is_empty || matches!(self, Self::Or(values) if values.contains(&value))
    }
}

impl<'de> Deserialize<'de> for TopLevelFields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FieldsVisitor;

        impl<'de> Visitor<'de> for FieldsVisitor {
            type Value = TopLevelFields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = Vec::new();
                while let Some(key) = map.next_key::<String>()? {
                    if fields.len() == MAX_NUM_FIELDS {
                        let message = format!("more than {MAX_NUM_FIELDS} fields");
                        return Err(serde::de::Error::custom(message));
                    }
                    fields.push((Cow::Owned(key), map.next_value()?));
                }
                Ok(TopLevelFields(fields))
            }
        }

        deserializer.deserialize_map(FieldsVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(json: &str, expected_param: Option<&str>) {
        let fields: TopLevelFields<'_> = crate::json_body::parse(json).unwrap();
        let found = fields.check_supported().err().and_then(|error| error.body().error.param);
        assert_eq!(found.as_deref(), expected_param, "{json}");
    }

    #[test]
    fn what_would_change_the_answer_is_refused() {
        check(r#"{"user":"u","store":true,"metadata":{"a":"b"},"service_tier":"auto"}"#, None);
        check(r#"{"tools":[],"tool_choice":"auto","response_format":{"type":"text"}}"#, None);
        check(r#"{"functions":[],"function_call":"none"}"#, None);
        check(r#"{"functions":[{"name":"f"}]}"#, Some("functions"));
        check(r#"{"function_call":"auto"}"#, Some("function_call"));
        check(r#"{"suffix":null}"#, None);
        check(r#"{"suffix":"x"}"#, Some("suffix"));
        check(r#"{"modalities":["text"]}"#, None);
        check(r#"{"modalities":["text","audio"]}"#, Some("modalities"));
        check(r#"{"guided_json":{"type":"object"}}"#, Some("guided_json"));
    }

    #[test]
    fn what_only_a_chat_can_have_is_refused_elsewhere() {
        let check = |json: &str, expected_param: Option<&str>| {
            let fields: TopLevelFields<'_> = crate::json_body::parse(json).unwrap();
            let found = fields.check_text_completion().err().and_then(|error| error.body().error.param);
            assert_eq!(found.as_deref(), expected_param, "{json}");
        };
        check(r#"{"tools":[],"tool_choice":"auto"}"#, None);
        check(r#"{"tools":[{"type":"function"}]}"#, Some("tools"));
        check(r#"{"tool_choice":"required"}"#, Some("tool_choice"));
        check(r#"{"thinking_token_budget":0}"#, Some("thinking_token_budget"));
    }
}
