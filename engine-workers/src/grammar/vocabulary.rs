//! A model's vocabulary as grammars read it: a trie of its tokens' bytes, and the tokenizer's own way to cut a text.

use std::sync::Arc;

use llguidance::toktrie::{TokEnv, TokRxInfo, TokTrie, TokenId, TokenizerEnv};

use crate::detokenizer::TokenTable;
use crate::grammar::error::GrammarError;
use crate::tokenizer::{EncodeOptions, Tokenizer};

/// Texts that a tokenizer must give back unchanged for its cutting to be trusted.
const PROBES: [&str; 3] = ["{\"name\":", "a b", " x"];

const PLAIN: EncodeOptions = EncodeOptions { adds_special: false, parses_special: true };

struct Vocabulary {
    trie: TokTrie,
    tokens: Arc<TokenTable>,
    /// Absent if its cutting cannot be trusted; the longest matches are taken then.
    tokenizer: Option<Arc<Tokenizer>>,
}

/// The vocabulary for llguidance; takes some 0.1 s for 100,000 tokens.
pub(super) fn token_env(
    tokens: Arc<TokenTable>,
    tokenizer: Option<Arc<Tokenizer>>,
) -> Result<TokEnv, GrammarError> {
    let num_tokens = u32::try_from(tokens.len()).unwrap_or(u32::MAX);
    let eos: Vec<u32> = tokens.eos_token_ids().iter().copied().filter(|id| *id < num_tokens).collect();
    let Some(first_eos) = eos.first() else {
        return Err(GrammarError::Vocabulary("its vocabulary has no token that ends an answer".to_owned()));
    };
    let words: Vec<Vec<u8>> = (0..num_tokens).map(|id| word(&tokens, id)).collect();
    let trie = TokTrie::from(&TokRxInfo::new(num_tokens, *first_eos), &words).with_eos_tokens(&eos);
    let tokenizer = tokenizer.filter(|tokenizer| {
        PROBES.iter().all(|text| {
            tokenizer.encode(text, PLAIN).is_ok_and(|ids| bytes_of(&tokens, &ids) == text.as_bytes())
        })
    });
    Ok(Arc::new(Vocabulary { trie, tokens, tokenizer }))
}

/// What a token adds to the text; a special one is marked, so that no text can be mistaken for it.
fn word(tokens: &TokenTable, id: u32) -> Vec<u8> {
    let bytes = tokens.token_bytes(id);
    if tokens.is_special(id) || tokens.eos_token_ids().contains(&id) {
        [&[TokTrie::SPECIAL_TOKEN_MARKER], bytes].concat()
    } else {
        bytes.to_vec()
    }
}

fn bytes_of(tokens: &TokenTable, ids: &[u32]) -> Vec<u8> {
    ids.iter().flat_map(|id| tokens.token_bytes(*id)).copied().collect()
}

impl TokenizerEnv for Vocabulary {
    fn tok_trie(&self) -> &TokTrie {
        &self.trie
    }

    fn tokenize_bytes(&self, bytes: &[u8]) -> Vec<TokenId> {
        let cut = |text: &str| {
            let ids = self.tokenizer.as_ref().and_then(|tokenizer| tokenizer.encode(text, PLAIN).ok());
            // The text of a special token is text here; a second encoder for that alone would cost its memory.
            ids.filter(|ids| !ids.iter().any(|id| self.tokens.is_special(*id)))
                .unwrap_or_else(|| self.trie.greedy_tokenize(text.as_bytes()))
        };
        self.trie.tokenize_with_greedy_fallback(bytes, cut)
    }

    fn tokenize_is_canonical(&self) -> bool {
        self.tokenizer.is_some()
    }
}
