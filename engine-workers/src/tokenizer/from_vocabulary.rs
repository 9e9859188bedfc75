//! A tokenizer from the vocabulary of a GGUF file.

use std::collections::HashMap;

use tokenizers::models::bpe::{BPE, BpeBuilder, Vocab};
use tokenizers::normalizers::{NormalizerWrapper, Prepend, Replace, Sequence as NormalizerSequence};
use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{AddedToken, SplitDelimiterBehavior, Tokenizer as Encoder};

use super::error::TokenizerError;
use super::spec::{TokenKind, Vocabulary, VocabularyModel};
use super::token_table::{Alphabet, PieceKind, TokenTable};
use super::word_rules;

/// Builds the encoder, without bos and eos, which the caller adds.
pub(crate) fn encoder(vocabulary: &Vocabulary) -> Result<Encoder, TokenizerError> {
    let mut encoder = match &vocabulary.model {
        VocabularyModel::ByteLevelBpe { pre_tokenizer, merges } => {
            byte_level(vocabulary, pre_tokenizer, merges)?
        }
        VocabularyModel::SentencePiece { scores, adds_space_prefix } => {
            sentence_piece(vocabulary, scores, *adds_space_prefix)?
        }
    };
    let added = vocabulary.tokens.iter().zip(&vocabulary.kinds).filter_map(|(token, kind)| match kind {
        TokenKind::Control | TokenKind::Unknown => {
            Some(AddedToken::from(token.clone(), true).normalized(false))
        }
        TokenKind::UserDefined => Some(AddedToken::from(token.clone(), false).normalized(false)),
        TokenKind::Normal | TokenKind::Unused | TokenKind::Byte => None,
    });
    encoder.add_tokens(added).map_err(invalid)?;
    Ok(encoder)
}

/// The bytes of all tokens.
pub(crate) fn table(vocabulary: &Vocabulary) -> TokenTable {
    let alphabet = match vocabulary.model {
        VocabularyModel::ByteLevelBpe { .. } => Alphabet::ByteLevel,
        VocabularyModel::SentencePiece { .. } => Alphabet::SentencePiece,
    };
    let mut table = TokenTable::default();
    for (token, kind) in vocabulary.tokens.iter().zip(&vocabulary.kinds) {
        let kind = match (kind, alphabet) {
            (TokenKind::Control | TokenKind::Unknown, _) => PieceKind::Special,
            // SentencePiece writes spaces as ▁ in every piece that is text, the user-defined ones included.
            (TokenKind::UserDefined, Alphabet::ByteLevel | Alphabet::Plain) => PieceKind::Literal,
            _ => PieceKind::Text,
        };
        table.push(token, alphabet, kind);
    }
    table
}

fn byte_level(
    vocabulary: &Vocabulary,
    pre_tokenizer: &str,
    merges: &[(String, String)],
) -> Result<Encoder, TokenizerError> {
    let rule = word_rules::rule(pre_tokenizer).ok_or_else(|| TokenizerError::UnknownPreTokenizer {
        name: pre_tokenizer.to_owned(),
        supported: word_rules::names(),
    })?;
    let ids = ids(&vocabulary.tokens);
    for (left, right) in merges {
        // The model builder trusts that the merged piece exists.
        let merged = format!("{left}{right}");
        if let Some(piece) =
            [left, right, &merged].into_iter().find(|piece| !ids.contains_key(piece.as_str()))
        {
            return Err(invalid(format!("merge `{left} {right}` needs `{piece}`, which is no token")));
        }
    }
    let model = builder(&vocabulary.tokens, merges.to_vec())
        .ignore_merges(rule.ignores_merges)
        .build()
        .map_err(invalid)?;
    let mut steps = rule
        .patterns
        .iter()
        .map(|pattern| {
            let pattern = SplitPattern::Regex((*pattern).to_owned());
            Split::new(pattern, SplitDelimiterBehavior::Isolated, false).map(PreTokenizerWrapper::Split)
        })
        .collect::<Result<Vec<_>, _>>()
        .map_err(invalid)?;
    steps.push(PreTokenizerWrapper::ByteLevel(ByteLevel::new(false, false, false)));
    let mut encoder = Encoder::new(model);
    encoder.with_pre_tokenizer(Some(Sequence::new(steps)));
    Ok(encoder)
}

fn sentence_piece(
    vocabulary: &Vocabulary,
    scores: &[f32],
    adds_space_prefix: bool,
) -> Result<Encoder, TokenizerError> {
    let mut model =
        builder(&vocabulary.tokens, merges_by_score(vocabulary, scores)).byte_fallback(true).fuse_unk(true);
    let unknown = vocabulary.special_ids.unk.and_then(|id| vocabulary.tokens.get(id as usize));
    if let Some(unknown) = unknown {
        model = model.unk_token(unknown.clone());
    }
    let mut steps = Vec::new();
    if adds_space_prefix {
        steps.push(NormalizerWrapper::Prepend(Prepend::new("▁".to_owned())));
    }
    steps.push(NormalizerWrapper::Replace(Replace::new(" ", "▁").map_err(invalid)?));
    let mut encoder = Encoder::new(model.build().map_err(invalid)?);
    encoder.with_normalizer(Some(NormalizerSequence::new(steps))).map_err(invalid)?;
    Ok(encoder)
}

/// SentencePiece merges whichever neighbours join to the token with the best score. As a list of merges: every way to
/// cut a token into two tokens, ordered by the score of the whole.
fn merges_by_score(vocabulary: &Vocabulary, scores: &[f32]) -> Vec<(String, String)> {
    let ids = ids(&vocabulary.tokens);
    let is_text = |id: u32| {
        matches!(
            vocabulary.kinds.get(id as usize),
            Some(TokenKind::Normal | TokenKind::UserDefined | TokenKind::Unused)
        )
    };
    let find = |piece: &str| ids.get(piece).copied().filter(|id| is_text(*id));
    let mut ranked = Vec::new();
    for (token, id) in &ids {
        if !is_text(*id) {
            continue;
        }
        let score = scores.get(*id as usize).copied().unwrap_or(f32::MIN);
        for (at, _) in token.char_indices().skip(1) {
            let (left, right) = token.split_at(at);
            if let (Some(left_id), Some(right_id)) = (find(left), find(right)) {
                ranked.push((score, left_id, right_id, left, right));
            }
        }
    }
    ranked.sort_by(|a, b| b.0.total_cmp(&a.0).then((a.1, a.2).cmp(&(b.1, b.2))));
    ranked.into_iter().map(|(.., left, right)| (left.to_owned(), right.to_owned())).collect()
}

fn builder(tokens: &[String], merges: Vec<(String, String)>) -> BpeBuilder {
    let vocab: Vocab = ids(tokens).into_iter().map(|(token, id)| (token.to_owned(), id)).collect();
    BPE::builder().vocab_and_merges(vocab, merges)
}

/// Ids by text; the first of equal texts counts.
fn ids(tokens: &[String]) -> HashMap<&str, u32> {
    let mut ids = HashMap::with_capacity(tokens.len());
    for (token, id) in tokens.iter().zip(0u32..) {
        ids.entry(token.as_str()).or_insert(id);
    }
    ids
}

fn invalid(reason: impl ToString) -> TokenizerError {
    TokenizerError::Invalid { reason: reason.to_string() }
}
