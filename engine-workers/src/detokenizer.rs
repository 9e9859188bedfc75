//! From tokens to text, piece by piece.

use std::sync::Arc;

/// The bytes of every token of a vocabulary, and which tokens are not text.
#[derive(Debug, Clone, Default)]
pub struct TokenTable {
    bytes: Vec<u8>,
    /// End of each token in `bytes`; its start is the end of the one before.
    ends: Vec<u32>,
    is_special: Vec<bool>,
    eos_token_ids: Vec<u32>,
}

impl TokenTable {
    /// Tokens in the order of their ids, each with its bytes and whether it is special; and those that end an answer.
    pub fn new<B: AsRef<[u8]>>(tokens: impl IntoIterator<Item = (B, bool)>, eos_token_ids: Vec<u32>) -> Self {
        let mut table = TokenTable { eos_token_ids, ..TokenTable::default() };
        for (bytes, is_special) in tokens {
            table.bytes.extend_from_slice(bytes.as_ref());
            table.ends.push(u32::try_from(table.bytes.len()).unwrap_or(u32::MAX));
            table.is_special.push(is_special);
        }
        table
    }

    /// Tokens.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is no token at all.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Bytes of a token; none if the id is beyond the vocabulary, as that of a padding row of the model may be.
    pub fn token_bytes(&self, token_id: u32) -> &[u8] {
        let index = token_id as usize;
        let Some(end) = self.ends.get(index) else { return &[] };
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.bytes[start as usize..*end as usize]
    }

    /// Whether a token is a mark of the template or the end of the answer, not text.
    pub fn is_special(&self, token_id: u32) -> bool {
        self.is_special.get(token_id as usize).copied().unwrap_or(true)
    }

    /// Tokens that end an answer.
    pub fn eos_token_ids(&self) -> &[u32] {
        &self.eos_token_ids
    }
}

/// Turns tokens into text as they come. A character that is split over tokens is held back until it is whole; bytes that
/// can never become a character are replaced as `String::from_utf8_lossy` does.
#[derive(Debug, Clone)]
pub struct Detokenizer {
    table: Arc<TokenTable>,
    skips_special_tokens: bool,
    /// Special tokens that are text all the same.
    kept_token_ids: Arc<[u32]>,
    /// The beginning of a character, at most 3 bytes.
    pending: Vec<u8>,
}

impl Detokenizer {
    /// Nothing decoded yet.
    pub fn new(table: Arc<TokenTable>, skips_special_tokens: bool) -> Self {
        Detokenizer { table, skips_special_tokens, kept_token_ids: Arc::default(), pending: Vec::new() }
    }

    /// Writes these special tokens even where the others are skipped.
    #[must_use]
    pub fn keeping(mut self, token_ids: Arc<[u32]>) -> Self {
        self.kept_token_ids = token_ids;
        self
    }

    /// Appends to `text` what became certain with the token.
    pub fn push(&mut self, token_id: u32, text: &mut String) {
        let is_skipped = self.skips_special_tokens && self.table.is_special(token_id);
        if is_skipped && !self.kept_token_ids.contains(&token_id) {
            return;
        }
        self.pending.extend_from_slice(self.table.token_bytes(token_id));
        let mut rest = self.pending.as_slice();
        loop {
            match std::str::from_utf8(rest) {
                Ok(whole) => {
                    text.push_str(whole);
                    rest = &[];
                    break;
                }
                Err(error) => {
                    let (valid, after) = rest.split_at(error.valid_up_to());
                    // The bytes up to `valid_up_to` are valid, so nothing is lost or replaced here.
                    text.push_str(&String::from_utf8_lossy(valid));
                    rest = after;
                    let Some(num_invalid_bytes) = error.error_len() else { break };
                    text.push(char::REPLACEMENT_CHARACTER);
                    rest = &rest[num_invalid_bytes..];
                }
            }
        }
        let num_decoded = self.pending.len() - rest.len();
        self.pending.drain(..num_decoded);
    }

    /// Appends what was held back; the answer ended inside a character.
    pub fn finish(&mut self, text: &mut String) {
        text.push_str(&String::from_utf8_lossy(&self.pending));
        self.pending.clear();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The pieces of `tokens` as they come, then the rest.
    fn pieces(tokens: &[Vec<u8>]) -> Vec<String> {
        let table = Arc::new(TokenTable::new(tokens.iter().map(|bytes| (bytes, false)), Vec::new()));
        let mut detokenizer = Detokenizer::new(table, true);
        let mut pieces: Vec<String> = (0..tokens.len() as u32)
            .map(|token| {
                let mut text = String::new();
                detokenizer.push(token, &mut text);
                text
            })
            .collect();
        let mut rest = String::new();
        detokenizer.finish(&mut rest);
        pieces.push(rest);
        pieces
    }

    fn check(tokens: &[&[u8]], expected: &[&str]) {
        let tokens: Vec<Vec<u8>> = tokens.iter().map(|bytes| bytes.to_vec()).collect();
        assert_eq!(pieces(&tokens), expected);
    }

    #[test]
    fn a_split_character_waits_for_its_end() {
        check(&[b"a\xF0\x9F", b"\x98", b"\x80b"], &["a", "", "\u{1F600}b", ""]);
    }

    #[test]
    fn bytes_that_cannot_become_a_character_are_replaced_at_once() {
        check(&[b"\xF0\x9F", b"x", b"\xFFy"], &["", "\u{FFFD}x", "\u{FFFD}y", ""]);
        check(&[b"\xE2\x82"], &["", "\u{FFFD}"]);
    }

    #[test]
    fn special_tokens_are_text_only_if_asked_for() {
        let table = Arc::new(TokenTable::new([("a", false), ("<end>", true)], vec![1]));
        for (skips, expected) in [(true, "aa"), (false, "a<end>a")] {
            let mut detokenizer = Detokenizer::new(Arc::clone(&table), skips);
            let mut text = String::new();
            [0, 1, 0].into_iter().for_each(|token| detokenizer.push(token, &mut text));
            assert_eq!(text, expected);
        }
        assert!(table.is_special(99) && table.token_bytes(99).is_empty());
        let mut detokenizer = Detokenizer::new(table, true).keeping([1].into());
        let mut text = String::new();
        [0, 1].into_iter().for_each(|token| detokenizer.push(token, &mut text));
        assert_eq!(text, "a<end>");
    }

    /// Cuts `bytes` into tokens of 1 to 4 bytes.
    fn cut(bytes: &[u8], lens: &[usize]) -> Vec<Vec<u8>> {
        let mut lens = lens.iter().cycle();
        let mut rest = bytes;
        let mut tokens = Vec::new();
        while !rest.is_empty() {
            let (token, after) = rest.split_at(lens.next().copied().unwrap_or(1).min(rest.len()));
            tokens.push(token.to_vec());
            rest = after;
        }
        tokens
    }

    proptest! {
        #[test]
        fn pieces_join_to_the_full_text_for_any_chunking(
            text in "[a\u{e9}\u{20ac}\u{1F600}\u{4e2d} ]{0,40}",
            lens in prop::collection::vec(1_usize..5, 1..20),
        ) {
            let pieces = pieces(&cut(text.as_bytes(), &lens));
            let is_replaced = pieces.iter().any(|piece| piece.contains(char::REPLACEMENT_CHARACTER));
            prop_assert!(!is_replaced);
            prop_assert_eq!(pieces.concat(), text);
        }

        #[test]
        fn arbitrary_bytes_decode_as_a_whole(
            bytes in prop::collection::vec(any::<u8>(), 0..60),
            lens in prop::collection::vec(1_usize..5, 1..20),
        ) {
            let expected = String::from_utf8_lossy(&bytes).into_owned();
            prop_assert_eq!(pieces(&cut(&bytes, &lens)).concat(), expected);
        }
    }
}
