//! The vocabulary in a GGUF file.

use super::error::ModelFileError;
use super::gguf::Gguf;
use crate::tokenizer::spec::{SpecialTokenIds, TokenKind, Vocabulary, VocabularyModel};

const TOKENS: &str = "tokenizer.ggml.tokens";

/// Texts of control tokens that end an answer in the families of models known today. Files often declare only one of
/// several: a Qwen model's `<|im_end|>` but not its `<|endoftext|>`.
const END_TEXTS: [&str; 13] = [
    "<|endoftext|>",
    "<|im_end|>",
    "<|end|>",
    "<|end_of_text|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<|end_of_turn|>",
    "<end_of_turn>",
    "<|EOT|>",
    "<EOT>",
    "_<EOT>",
    "<｜end▁of▁sentence｜>",
    "</s>",
];

/// Reads the vocabulary.
pub(crate) fn vocabulary(gguf: &Gguf<'_>) -> Result<Vocabulary, ModelFileError> {
    let tokens: Vec<String> = gguf.required_texts(TOKENS)?.iter().map(|token| (*token).to_owned()).collect();
    let kinds = kinds(gguf, tokens.len())?;
    let pre_tokenizer = gguf.text("tokenizer.ggml.pre")?.unwrap_or("default");
    let model_key = "tokenizer.ggml.model";
    let model = match gguf.required_text(model_key)? {
        "gpt2" => {
            VocabularyModel::ByteLevelBpe { pre_tokenizer: pre_tokenizer.to_owned(), merges: merges(gguf)? }
        }
        "llama" => VocabularyModel::SentencePiece {
            scores: scores(gguf, tokens.len())?,
            adds_space_prefix: gguf.bool("tokenizer.ggml.add_space_prefix")?.unwrap_or(true),
        },
        other => return Err(gguf.invalid(model_key, other.to_owned(), "gpt2 or llama")),
    };
    let adds_bos_by_default = match &model {
        VocabularyModel::SentencePiece { .. } => true,
        VocabularyModel::ByteLevelBpe { pre_tokenizer, .. } => {
            crate::tokenizer::word_rules::adds_bos_by_default(pre_tokenizer)
        }
    };
    Ok(Vocabulary {
        model,
        special_ids: special_ids(gguf, &tokens, &kinds)?,
        tokens,
        kinds,
        adds_bos: gguf.bool("tokenizer.ggml.add_bos_token")?.unwrap_or(adds_bos_by_default),
        adds_eos: gguf.bool("tokenizer.ggml.add_eos_token")?.unwrap_or(false),
    })
}

fn kinds(gguf: &Gguf<'_>, num_tokens: usize) -> Result<Vec<TokenKind>, ModelFileError> {
    let key = "tokenizer.ggml.token_type";
    let Some(codes) = gguf.integers(key)? else {
        return Ok(vec![TokenKind::Normal; num_tokens]);
    };
    if codes.len() != num_tokens {
        return Err(gguf.invalid(
            key,
            format!("{} kinds", codes.len()),
            &format!("{num_tokens}, one per token"),
        ));
    }
    codes
        .into_iter()
        .map(|code| match code {
            // 0 is "undefined"; files that carry it mean ordinary text.
            0 | 1 => Ok(TokenKind::Normal),
            2 => Ok(TokenKind::Unknown),
            3 => Ok(TokenKind::Control),
            4 => Ok(TokenKind::UserDefined),
            5 => Ok(TokenKind::Unused),
            6 => Ok(TokenKind::Byte),
            _ => Err(gguf.invalid(key, code.to_string(), "0 to 6")),
        })
        .collect()
}

fn merges(gguf: &Gguf<'_>) -> Result<Vec<(String, String)>, ModelFileError> {
    let key = "tokenizer.ggml.merges";
    gguf.required_texts(key)?
        .iter()
        .map(|merge| match merge.split_once(' ') {
            Some((left, right)) if !left.is_empty() && !right.is_empty() => {
                Ok((left.to_owned(), right.to_owned()))
            }
            _ => Err(gguf.invalid(key, format!("{merge:?}"), "two pieces with a space between")),
        })
        .collect()
}

fn scores(gguf: &Gguf<'_>, num_tokens: usize) -> Result<Vec<f32>, ModelFileError> {
    let key = "tokenizer.ggml.scores";
    let scores = gguf.floats(key)?.ok_or_else(|| gguf.missing(key))?;
    if scores.len() != num_tokens || scores.iter().any(|score| score.is_nan()) {
        return Err(gguf.invalid(
            key,
            format!("{} scores", scores.len()),
            &format!("{num_tokens} numbers, one per token"),
        ));
    }
    Ok(scores)
}

fn special_ids(
    gguf: &Gguf<'_>,
    tokens: &[String],
    kinds: &[TokenKind],
) -> Result<SpecialTokenIds, ModelFileError> {
    let id = |name: &str| -> Result<Option<u32>, ModelFileError> {
        let key = format!("tokenizer.ggml.{name}_token_id");
        match gguf.token_id(&key)? {
            // Converters write 2^32 − 1 for "none".
            None | Some(u32::MAX) => Ok(None),
            Some(id) if (id as usize) < tokens.len() => Ok(Some(id)),
            Some(id) => Err(gguf.invalid(&key, id.to_string(), &format!("less than {}", tokens.len()))),
        }
    };
    let mut eos: Vec<u32> = Vec::new();
    for name in ["eos", "eot", "eom"] {
        eos.extend(id(name)?);
    }
    for (index, (token, kind)) in tokens.iter().zip(kinds).enumerate() {
        if *kind == TokenKind::Control && END_TEXTS.contains(&token.as_str()) {
            eos.extend(u32::try_from(index).ok());
        }
    }
    let mut seen = std::collections::HashSet::new();
    eos.retain(|id| seen.insert(*id));
    Ok(SpecialTokenIds { bos: id("bos")?, eos, unk: id("unknown")?, pad: id("padding")? })
}
