//! What the checks read of a request for vectors or scores.

use schemas::v1::{Pooling, Prompt, Requested, TokenIds, pooling_input, prompt::Content};

/// What the checks are shown of a request.
pub fn checked_prompt(requested: &Requested) -> Prompt {
    match &requested.pooling {
        Some(pooling) => prompt_of(pooling),
        None => requested.prompt.clone().unwrap_or_default(),
    }
}

/// All texts of the request, one per line and a query once for its neighbours; of a request in token ids, all ids.
pub(crate) fn prompt_of(pooling: &Pooling) -> Prompt {
    let mut text = String::new();
    let mut ids = Vec::new();
    let mut last_query = None;
    let mut push = |part: &str| {
        text.push_str(part);
        text.push('\n');
    };
    for content in pooling.inputs.iter().filter_map(|input| input.content.as_ref()) {
        match content {
            pooling_input::Content::Text(part) => push(part),
            pooling_input::Content::TokenIds(tokens) => ids.extend_from_slice(&tokens.ids),
            pooling_input::Content::Pair(pair) => {
                if last_query.replace(&pair.query) != Some(&pair.query) {
                    push(&pair.query);
                }
                push(&pair.document);
            }
        }
    }
    let content = if text.is_empty() { Content::TokenIds(TokenIds { ids }) } else { Content::Text(text) };
    Prompt { content: Some(content) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use schemas::v1::{PoolingInput, TextPair};

    fn check(contents: Vec<pooling_input::Content>, expected: Content) {
        let inputs = contents.into_iter().map(|content| PoolingInput { content: Some(content) }).collect();
        let pooling = Pooling { inputs, ..Pooling::default() };
        assert_eq!(prompt_of(&pooling).content, Some(expected));
    }

    #[test]
    fn every_input_is_read() {
        use pooling_input::Content::{Pair, Text as One, TokenIds as Ids};
        let pair = |document: &str| Pair(TextPair { query: "q".into(), document: document.into() });
        let ids = |ids: &[u32]| Ids(TokenIds { ids: ids.to_vec() });
        check(vec![One("a".into()), One("b".into())], Content::Text("a\nb\n".into()));
        check(vec![pair("a"), pair("b")], Content::Text("q\na\nb\n".into()));
        check(vec![ids(&[1, 2]), ids(&[3])], Content::TokenIds(TokenIds { ids: vec![1, 2, 3] }));
    }
}
