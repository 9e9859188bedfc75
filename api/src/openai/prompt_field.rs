//! The prompt of a completion: a text, texts, token ids, or lists of token ids.

use std::fmt;

use schemas::v1::{Prompt, TokenIds, prompt::Content};
use serde::de::value::SeqAccessDeserializer;
use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder, OneOfBuilder, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::config::Limits;
use crate::deployments::Deployment;
use crate::error::ApiError;
use crate::openai::sampling_fields::check_vocabulary;

/// One or several prompts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PromptField {
    Text(String),
    Texts(Vec<String>),
    Ids(Vec<u32>),
    IdLists(Vec<Vec<u32>>),
}

impl PromptField {
    /// One prompt per inference, within the model's vocabulary and context.
    pub(crate) fn into_prompts(
        self,
        deployment: &Deployment,
        limits: &Limits,
    ) -> Result<Vec<Prompt>, ApiError> {
        let contents: Vec<Content> = match self {
            Self::Text(text) => vec![Content::Text(text)],
            Self::Texts(texts) => texts.into_iter().map(Content::Text).collect(),
            Self::Ids(ids) => vec![Content::TokenIds(TokenIds { ids })],
            Self::IdLists(lists) => {
                lists.into_iter().map(|ids| Content::TokenIds(TokenIds { ids })).collect()
            }
        };
        if contents.is_empty() {
            return Err(ApiError::invalid("prompt", "prompt is empty, at least one is needed"));
        }
        if contents.len() > limits.max_num_prompts {
            let message = format!(
                "prompt has {} entries, at most {} are allowed in one request",
                contents.len(),
                limits.max_num_prompts
            );
            return Err(ApiError::invalid("prompt", message));
        }
        for content in &contents {
            if let Content::TokenIds(TokenIds { ids }) = content {
                if ids.is_empty() {
                    return Err(ApiError::invalid("prompt", "prompt holds an empty list of token ids"));
                }
                check_vocabulary("prompt", ids.iter().copied(), deployment.vocab_size)?;
            }
        }
        Ok(contents.into_iter().map(|content| Prompt { content: Some(content) }).collect())
    }
}

impl<'de> Deserialize<'de> for PromptField {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PromptVisitor)
    }
}

struct PromptVisitor;

impl<'de> Visitor<'de> for PromptVisitor {
    type Value = PromptField;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string, an array of strings, an array of token ids or an array of such arrays")
    }

    fn visit_str<E>(self, text: &str) -> Result<PromptField, E> {
        Ok(PromptField::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<PromptField, A::Error> {
        let Some(first) = items.next_element()? else { return Ok(PromptField::Texts(Vec::new())) };
        let mut prompts = match first {
            Item::Text(text) => PromptField::Texts(vec![text]),
            Item::Id(id) => PromptField::Ids(vec![id]),
            Item::Ids(ids) => PromptField::IdLists(vec![ids]),
        };
        while let Some(item) = items.next_element()? {
            match (&mut prompts, item) {
                (PromptField::Texts(texts), Item::Text(text)) => texts.push(text),
                (PromptField::Ids(ids), Item::Id(id)) => ids.push(id),
                (PromptField::IdLists(lists), Item::Ids(ids)) => lists.push(ids),
                _ => return Err(A::Error::custom("strings, token ids and lists of them cannot be mixed")),
            }
        }
        Ok(prompts)
    }
}

enum Item {
    Text(String),
    Id(u32),
    Ids(Vec<u32>),
}

impl<'de> Deserialize<'de> for Item {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ItemVisitor;

        impl<'de> Visitor<'de> for ItemVisitor {
            type Value = Item;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string, a token id or an array of token ids")
            }

            fn visit_str<E>(self, text: &str) -> Result<Item, E> {
                Ok(Item::Text(text.to_owned()))
            }

            fn visit_u64<E: serde::de::Error>(self, id: u64) -> Result<Item, E> {
                u32::try_from(id).map(Item::Id).map_err(|_| E::custom("a token id does not fit into 32 bits"))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, ids: A) -> Result<Item, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(ids)).map(Item::Ids)
            }
        }

        deserializer.deserialize_any(ItemVisitor)
    }
}

impl PartialSchema for PromptField {
    fn schema() -> RefOr<Schema> {
        let text = || ObjectBuilder::new().schema_type(Type::String);
        let ids = || ArrayBuilder::new().items(ObjectBuilder::new().schema_type(Type::Integer));
        OneOfBuilder::new()
            .item(text())
            .item(ArrayBuilder::new().items(text()))
            .item(ids())
            .item(ArrayBuilder::new().items(ids()))
            .into()
    }
}

impl ToSchema for PromptField {}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(json: &str, expected: Option<PromptField>) {
        assert_eq!(crate::json_body::parse::<PromptField>(json).ok(), expected, "{json}");
    }

    #[test]
    fn each_form_is_read() {
        check(r#""a""#, Some(PromptField::Text("a".into())));
        check(r#"["a","b"]"#, Some(PromptField::Texts(vec!["a".into(), "b".into()])));
        check("[1,2]", Some(PromptField::Ids(vec![1, 2])));
        check("[[1],[2,3]]", Some(PromptField::IdLists(vec![vec![1], vec![2, 3]])));
        check("[]", Some(PromptField::Texts(vec![])));
        check(r#"[1,"a"]"#, None);
        check("[-1]", None);
        check("[1.5]", None);
        check("[4294967296]", None);
        check("7", None);
        check("[[[1]]]", None);
    }
}
