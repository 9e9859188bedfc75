//! What a model file says about its tokenizer.

/// The ids that have a meaning of their own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SpecialTokenIds {
    /// Begins a text.
    pub bos: Option<u32>,
    /// Each of these ends an answer: end of text, of turn, of message. No duplicates, the file's main one first.
    pub eos: Vec<u32>,
    /// Stands for what the vocabulary lacks.
    pub unk: Option<u32>,
    /// Fills up batches.
    pub pad: Option<u32>,
}

/// Everything from which a tokenizer is built.
#[derive(Debug, Clone, PartialEq)]
pub enum TokenizerSpec {
    /// The vocabulary in GGUF's metadata.
    Vocabulary(Vocabulary),
    /// A Hugging Face `tokenizer.json`, and the ids that its neighbours name.
    TokenizerJson {
        /// The file's bytes.
        json: Vec<u8>,
        /// Ids from `tokenizer_config.json`, `config.json` and `generation_config.json`.
        special_ids: SpecialTokenIds,
    },
}

/// A vocabulary as GGUF stores it.
#[derive(Debug, Clone, PartialEq)]
pub struct Vocabulary {
    /// How text is cut into tokens.
    pub model: VocabularyModel,
    /// Text of each token, by id, in the model's own alphabet.
    pub tokens: Vec<String>,
    /// Kind of each token; as long as `tokens`.
    pub kinds: Vec<TokenKind>,
    /// The ids that have a meaning of their own, within `tokens`.
    pub special_ids: SpecialTokenIds,
    /// Whether a text begins with `bos` when special tokens are asked for.
    pub adds_bos: bool,
    /// Whether a text ends with the first `eos` when special tokens are asked for.
    pub adds_eos: bool,
}

/// How text is cut into tokens.
#[derive(Debug, Clone, PartialEq)]
pub enum VocabularyModel {
    /// GPT-2's byte-level byte-pair encoding.
    ByteLevelBpe {
        /// Name of the rule that splits text into words (`tokenizer.ggml.pre`).
        pre_tokenizer: String,
        /// Pairs to merge, best first.
        merges: Vec<(String, String)>,
    },
    /// SentencePiece's byte-pair encoding with byte fallback (llama 2).
    SentencePiece {
        /// Score of each token; the higher, the earlier it is merged.
        scores: Vec<f32>,
        /// Whether a space is put before a text.
        adds_space_prefix: bool,
    },
}

/// The kind of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenKind {
    /// Ordinary text.
    Normal,
    /// Stands for what the vocabulary lacks.
    Unknown,
    /// Structure, such as the end of a turn; not text.
    Control,
    /// Text that is never cut.
    UserDefined,
    /// Not to be used.
    Unused,
    /// One raw byte, written `<0x0A>`.
    Byte,
}
