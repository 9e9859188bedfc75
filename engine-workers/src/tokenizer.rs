//! Text to token ids and back.

pub mod error;
pub mod spec;

mod framed;
mod from_vocabulary;
mod token_table;
pub(crate) mod word_rules;

use std::sync::OnceLock;

use error::TokenizerError;
use spec::{SpecialTokenIds, TokenizerSpec};
use token_table::{Alphabet, LengthBound, PieceKind, TokenTable};
use tokenizers::Tokenizer as Encoder;

/// More than any vocabulary has; a corrupt id must not size a table.
const MAX_NUM_TOKENS: usize = 1 << 24;

/// What a text may turn into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EncodeOptions {
    /// Put in the tokens that begin (and, in few models, end) a text. Not for rendered chat templates, which write
    /// them themselves.
    pub adds_special: bool,
    /// Read the text of a special token, such as `<|im_end|>`, as that token. Chat templates need it, and since they
    /// join markup and content into one text it holds for what users write too, as with Hugging Face's tokenizers and
    /// the servers built on them. Where that is not wanted, encode with `false`: the text is then cut like any other.
    pub parses_special: bool,
}

/// A model's tokenizer. Shared between threads; encoding takes no lock.
#[derive(Debug)]
pub struct Tokenizer {
    encoder: Encoder,
    /// The same without special tokens in text; made when it is first needed, since it doubles the memory.
    literal_encoder: OnceLock<Box<Encoder>>,
    table: TokenTable,
    special_ids: SpecialTokenIds,
    framing: Framing,
    strips_space_prefix: bool,
    /// What the length of a text tells of its tokens, where that is known.
    length_bound: Option<LengthBound>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Framing {
    /// The encoder's own post-processor adds bos and eos.
    ByEncoder,
    /// They are added here.
    ByIds { adds_bos: bool, adds_eos: bool },
}

/// No rule of these tokenizers shortens a text. A byte-level one drops bytes that are no tokens; one of SentencePiece makes a
/// single unknown token of them and their neighbours, and writes `▁`, three bytes, as a space.
fn length_bound(model: &spec::VocabularyModel, table: &TokenTable) -> Option<LengthBound> {
    let bound = table.length_bound();
    match model {
        spec::VocabularyModel::ByteLevelBpe { .. } => Some(bound),
        spec::VocabularyModel::SentencePiece { .. } => bound.is_whole().then(|| bound.times('▁'.len_utf8())),
    }
}

impl Tokenizer {
    /// Builds the tokenizer that a model file describes. Takes up to a second for large vocabularies.
    ///
    /// # Errors
    /// [`TokenizerError`] if the description contradicts itself or needs a rule that is not known.
    pub fn new(spec: &TokenizerSpec) -> Result<Self, TokenizerError> {
        match spec {
            TokenizerSpec::Vocabulary(vocabulary) => {
                let strips_space_prefix = matches!(
                    vocabulary.model,
                    spec::VocabularyModel::SentencePiece { adds_space_prefix: true, .. }
                );
                let table = from_vocabulary::table(vocabulary);
                Ok(Self {
                    encoder: from_vocabulary::encoder(vocabulary)?,
                    literal_encoder: OnceLock::new(),
                    length_bound: length_bound(&vocabulary.model, &table),
                    table,
                    special_ids: vocabulary.special_ids.clone(),
                    framing: Framing::ByIds { adds_bos: vocabulary.adds_bos, adds_eos: vocabulary.adds_eos },
                    strips_space_prefix,
                })
            }
            TokenizerSpec::TokenizerJson { json, special_ids } => Self::from_json(json, special_ids.clone()),
        }
    }

    fn from_json(json: &[u8], special_ids: SpecialTokenIds) -> Result<Self, TokenizerError> {
        let invalid = |reason: String| TokenizerError::Invalid { reason };
        let mut encoder = Encoder::from_bytes(json).map_err(|error| invalid(error.to_string()))?;
        // A tokenizer.json may carry the truncation and padding of whoever saved it.
        encoder.with_truncation(None).map_err(|error| invalid(error.to_string()))?;
        encoder.with_padding(None);
        let decoder = match encoder.get_decoder() {
            None => String::new(),
            Some(decoder) => serde_json::to_string(decoder).map_err(|error| invalid(error.to_string()))?,
        };
        let alphabet = if decoder.contains("\"ByteLevel\"") {
            Alphabet::ByteLevel
        } else if decoder.contains('▁') || decoder.contains("\"ByteFallback\"") {
            Alphabet::SentencePiece
        } else {
            Alphabet::Plain
        };
        let strips_space_prefix = decoder.contains("\"Strip\"")
            || (decoder.contains("\"Metaspace\"") && !decoder.contains("\"never\""));
        let mut table = TokenTable::default();
        let added = encoder.get_added_tokens_decoder();
        let num_tokens = encoder.get_vocab(true).values().max().map_or(0, |last| *last as usize + 1);
        if num_tokens > MAX_NUM_TOKENS {
            return Err(invalid(format!(
                "its highest id is {}, expected less than {MAX_NUM_TOKENS}",
                num_tokens - 1
            )));
        }
        for id in (0..num_tokens).filter_map(|id| u32::try_from(id).ok()) {
            let kind = match added.get(&id) {
                Some(token) if token.special => PieceKind::Special,
                Some(_) => PieceKind::Literal,
                None => PieceKind::Text,
            };
            table.push(&encoder.id_to_token(id).unwrap_or_default(), alphabet, kind);
        }
        Ok(Self {
            encoder,
            literal_encoder: OnceLock::new(),
            table,
            special_ids,
            framing: Framing::ByEncoder,
            strips_space_prefix,
            // Its normalizer may drop any part of a text.
            length_bound: None,
        })
    }

    /// Cuts a text into tokens.
    ///
    /// # Errors
    /// [`TokenizerError::Encode`] if the tokenizer cannot represent it.
    pub fn encode(&self, text: &str, options: EncodeOptions) -> Result<Vec<u32>, TokenizerError> {
        let encoder = if options.parses_special { &self.encoder } else { self.literal_encoder() };
        let by_encoder = self.framing == Framing::ByEncoder && options.adds_special;
        let encoding = encoder
            .encode_fast(text, by_encoder)
            .map_err(|error| TokenizerError::Encode { num_bytes: text.len(), reason: error.to_string() })?;
        let mut ids = encoding.get_ids().to_vec();
        if let Framing::ByIds { adds_bos, adds_eos } = self.framing
            && options.adds_special
        {
            if adds_bos && let Some(bos) = self.special_ids.bos {
                ids.insert(0, bos);
            }
            if adds_eos && let Some(eos) = self.special_ids.eos.first() {
                ids.push(*eos);
            }
        }
        Ok(ids)
    }

    fn literal_encoder(&self) -> &Encoder {
        self.literal_encoder.get_or_init(|| {
            let mut encoder = Box::new(self.encoder.clone());
            encoder.set_encode_special_tokens(true);
            encoder
        })
    }

    /// So many tokens at least has this text; 0 where nothing is known. Far cheaper than to cut it.
    pub fn min_num_tokens(&self, text: &str) -> usize {
        self.length_bound.as_ref().map_or(0, |bound| bound.min_num_tokens(text))
    }

    /// The text of a whole sequence. Bytes that are no UTF-8 become U+FFFD; ids outside the vocabulary have no text.
    pub fn decode(&self, ids: &[u32], skips_special: bool) -> String {
        let mut bytes = Vec::new();
        for id in ids {
            if !(skips_special && self.is_special(*id)) {
                bytes.extend_from_slice(self.token_bytes(*id));
            }
        }
        let text = String::from_utf8_lossy(&bytes);
        let stripped = if self.strips_space_prefix { text.strip_prefix(' ') } else { None };
        stripped.unwrap_or(&text).to_owned()
    }

    /// The bytes that a token adds to a text: joined, the bytes of an answer's tokens are the answer. A character may be
    /// spread over several tokens. Ids outside the vocabulary have none.
    pub fn token_bytes(&self, id: u32) -> &[u8] {
        self.table.bytes(id).unwrap_or_default()
    }

    /// Whether a token is structure, such as the end of a turn, rather than text.
    pub fn is_special(&self, id: u32) -> bool {
        self.table.is_special(id)
    }

    /// The id of a token by its text in the vocabulary's alphabet; special tokens are written as they are.
    pub fn token_id(&self, piece: &str) -> Option<u32> {
        self.encoder.token_to_id(piece)
    }

    /// Number of ids. A model's logits may have more columns, which stand for nothing.
    pub fn vocab_size(&self) -> usize {
        self.table.len()
    }

    /// The ids that have a meaning of their own.
    pub fn special_ids(&self) -> &SpecialTokenIds {
        &self.special_ids
    }
}
