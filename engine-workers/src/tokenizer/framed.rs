//! Texts and pairs of texts as an encoder reads them.

use tokenizers::{
    PostProcessor as _, Tokenizer as Encoder, TruncationDirection, TruncationParams, TruncationStrategy,
    truncate_encodings,
};

use super::Tokenizer;
use super::error::TokenizerError;

/// A text or a pair of texts with the special tokens around and between them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FramedTokens {
    /// All tokens.
    pub token_ids: Vec<u32>,
    /// Where the second text begins; the number of tokens when there is one text.
    pub second_start: usize,
}

impl Tokenizer {
    /// Cuts a text, or a text and a second one, into tokens and puts the special tokens of a `tokenizer.json` around them. More
    /// than `max_num_tokens` are cut off, from the end of the longer text first; the special tokens stay.
    ///
    /// # Errors
    /// [`TokenizerError::Encode`] if the tokenizer cannot represent a text.
    pub fn encode_framed(
        &self,
        text: &str,
        second: Option<&str>,
        max_num_tokens: Option<usize>,
    ) -> Result<FramedTokens, TokenizerError> {
        frame(&self.encoder, text, second, max_num_tokens).map_err(|error| TokenizerError::Encode {
            num_bytes: text.len() + second.map_or(0, str::len),
            reason: error.to_string(),
        })
    }
}

fn frame(
    encoder: &Encoder,
    text: &str,
    second: Option<&str>,
    max_num_tokens: Option<usize>,
) -> tokenizers::Result<FramedTokens> {
    let mut first = encoder.encode_fast(text, false)?;
    let mut second = second.map(|second| encoder.encode_fast(second, false)).transpose()?;
    if let Some(max_num_tokens) = max_num_tokens {
        let num_special =
            encoder.get_post_processor().map_or(0, |processor| processor.added_tokens(second.is_some()));
        let params = TruncationParams {
            max_length: max_num_tokens.saturating_sub(num_special),
            strategy: TruncationStrategy::LongestFirst,
            stride: 0,
            direction: TruncationDirection::Right,
        };
        (first, second) = truncate_encodings(first, second, &params)?;
    }
    let framed = encoder.post_process(first, second, true)?;
    let token_ids = framed.get_ids().to_vec();
    let second_start = framed.get_type_ids().iter().position(|kind| *kind == 1).unwrap_or(token_ids.len());
    Ok(FramedTokens { token_ids, second_start })
}
