//! The bytes and the kind of every token.

/// How tokens write bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Alphabet {
    /// GPT-2's: one printable character per byte.
    ByteLevel,
    /// SentencePiece's: `▁` is a space and `<0x0A>` a byte.
    SentencePiece,
    /// Text as it is.
    Plain,
}

/// The bytes of all tokens in one allocation, and which of them are structure rather than text.
#[derive(Debug, Clone, Default)]
pub(crate) struct TokenTable {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    is_special: Vec<bool>,
}

/// How few tokens a text can have.
#[derive(Debug, Clone)]
pub(crate) struct LengthBound {
    /// Which bytes are tokens by themselves; others may be dropped from a text.
    is_token: [bool; 256],
    /// Most bytes of a text that one token stands for; at least 1.
    max_num_bytes: usize,
}

impl LengthBound {
    /// Whether no byte of a text is ever dropped.
    pub(crate) fn is_whole(&self) -> bool {
        self.is_token.iter().all(|is_token| *is_token)
    }

    /// For a vocabulary whose tokens stand for so many times the bytes that are written in them.
    pub(crate) fn times(self, factor: usize) -> Self {
        Self { max_num_bytes: self.max_num_bytes * factor, ..self }
    }

    /// `ceil(bytes that are not dropped / bytes of the longest token)`.
    pub(crate) fn min_num_tokens(&self, text: &str) -> usize {
        let num_bytes = text.bytes().filter(|byte| self.is_token[usize::from(*byte)]).count();
        num_bytes.div_ceil(self.max_num_bytes)
    }
}

impl TokenTable {
    /// Appends the next id: `piece` in `alphabet`, or as it is if `is_literal`.
    pub(crate) fn push(&mut self, piece: &str, alphabet: Alphabet, kind: PieceKind) {
        match (kind, alphabet) {
            (PieceKind::Special | PieceKind::Literal, _) | (PieceKind::Text, Alphabet::Plain) => {
                self.bytes.extend_from_slice(piece.as_bytes());
            }
            (PieceKind::Text, Alphabet::ByteLevel) => self.push_byte_level(piece),
            (PieceKind::Text, Alphabet::SentencePiece) => match byte_token(piece) {
                Some(byte) => self.bytes.push(byte),
                None => self.bytes.extend_from_slice(piece.replace('▁', " ").as_bytes()),
            },
        }
        self.ends.push(self.bytes.len());
        self.is_special.push(kind == PieceKind::Special);
    }

    fn push_byte_level(&mut self, piece: &str) {
        let start = self.bytes.len();
        for character in piece.chars() {
            let Some(byte) = byte_of(character) else {
                // A character outside the alphabet: the piece was added as plain text.
                self.bytes.truncate(start);
                self.bytes.extend_from_slice(piece.as_bytes());
                return;
            };
            self.bytes.push(byte);
        }
    }

    /// Number of tokens.
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// What the length of a text tells of its tokens.
    pub(crate) fn length_bound(&self) -> LengthBound {
        let mut bound = LengthBound { is_token: [false; 256], max_num_bytes: 1 };
        let mut start = 0;
        for end in &self.ends {
            let bytes = self.bytes.get(start..*end).unwrap_or_default();
            if let [byte] = bytes {
                bound.is_token[usize::from(*byte)] = true;
            }
            bound.max_num_bytes = bound.max_num_bytes.max(bytes.len());
            start = *end;
        }
        bound
    }

    /// The bytes of a token.
    pub(crate) fn bytes(&self, id: u32) -> Option<&[u8]> {
        let id = id as usize;
        let end = *self.ends.get(id)?;
        let start = id.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or(0);
        self.bytes.get(start..end)
    }

    /// Whether a token is structure rather than text.
    pub(crate) fn is_special(&self, id: u32) -> bool {
        self.is_special.get(id as usize).copied().unwrap_or(false)
    }
}

/// What a piece of the vocabulary is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PieceKind {
    /// Text in the vocabulary's alphabet.
    Text,
    /// Text as it is.
    Literal,
    /// Structure, as it is.
    Special,
}

/// The byte of a piece such as `<0x0A>`.
fn byte_token(piece: &str) -> Option<u8> {
    let digits = piece.strip_prefix("<0x")?.strip_suffix('>')?;
    if digits.len() == 2 { u8::from_str_radix(digits, 16).ok() } else { None }
}

/// GPT-2's alphabet: bytes that print in Latin-1 stand for themselves, the other 68 for the characters from U+0100 on.
fn byte_of(character: char) -> Option<u8> {
    match u32::from(character) {
        code @ (0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff) => u8::try_from(code).ok(),
        code @ 0x100..=0x120 => u8::try_from(code - 0x100).ok(),
        code @ 0x121..=0x142 => u8::try_from(code - 0x121 + 0x7f).ok(),
        0x143 => Some(0xad),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn byte_level_alphabet_is_a_bijection_onto_all_bytes() {
        let mut bytes: Vec<u8> = (0..0x400).filter_map(char::from_u32).filter_map(byte_of).collect();
        bytes.sort_unstable();
        assert_eq!(bytes, (0..=255).collect::<Vec<u8>>());
    }

    #[test]
    fn pieces_become_the_bytes_they_stand_for() {
        let check = |piece: &str, alphabet, kind, expected: &[u8]| {
            let mut table = TokenTable::default();
            table.push("before", Alphabet::Plain, PieceKind::Text);
            table.push(piece, alphabet, kind);
            assert_eq!(table.bytes(1), Some(expected), "{piece}");
            assert_eq!(table.is_special(1), kind == PieceKind::Special);
            assert_eq!(table.bytes(2), None);
        };
        check("Ġhello", Alphabet::ByteLevel, PieceKind::Text, b" hello");
        check("Ċ", Alphabet::ByteLevel, PieceKind::Text, b"\n");
        check("â", Alphabet::ByteLevel, PieceKind::Text, &[0xe2]);
        check("日", Alphabet::ByteLevel, PieceKind::Text, "日".as_bytes());
        check("Ġ", Alphabet::ByteLevel, PieceKind::Literal, "Ġ".as_bytes());
        check("▁the", Alphabet::SentencePiece, PieceKind::Text, b" the");
        check("<0xE2>", Alphabet::SentencePiece, PieceKind::Text, &[0xe2]);
        check("<0xE2>", Alphabet::SentencePiece, PieceKind::Literal, b"<0xE2>");
        check("<|im_end|>", Alphabet::ByteLevel, PieceKind::Special, b"<|im_end|>");
    }
}
