//! How each family of byte-level vocabularies splits text into words before merging.
//!
//! A rule is a list of regular expressions. Each cuts every piece that the ones before it left into its matches and the
//! stretches between them. Source: the pre-tokenizers in the families' published `tokenizer.json`; the names are the
//! values of GGUF's `tokenizer.ggml.pre`. All but `tekken` and `deepseek-v3`, for which no vectors are published, are
//! checked against vectors in `tests/tokenizer_vectors.rs`, by themselves or by a family with the same rule.

/// How a family splits text, and what else its name implies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WordRule {
    /// Applied one after the other.
    pub(crate) patterns: &'static [&'static str],
    /// Whether a word that is itself a token stays whole even if no sequence of merges leads to it.
    pub(crate) ignores_merges: bool,
    /// Whether a text begins with `bos` unless the file says otherwise.
    pub(crate) adds_bos: bool,
}

const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";
const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const QWEN2: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const QWEN35: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const TEKKEN: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const DEEPSEEK_LETTERS: &str = r"\s?[A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕἠ-ὅὈ-Ὅὐ-ὗὙὛὝὟ-ώᾀ-ᾴᾶ-ᾼιῂ-ῄῆ-ῌῐ-ΐῖ-Ίῠ-Ῥῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝℤΩℨK-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃]+";
const CJK: &str = r"[一-龥ࠀ-一가-퟿]+";
const DEEPSEEK_V3: &str = r##"[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"##;

const PLAIN: WordRule = WordRule { patterns: &[], ignores_merges: false, adds_bos: false };

/// The rules by name.
const RULES: &[(&[&str], WordRule)] = &[
    (
        &["default"],
        WordRule { patterns: &[r"[\p{P}\$\+<=>\^~\|]+", GPT2, r"\p{N}+", r"[0-9][0-9][0-9]"], ..PLAIN },
    ),
    (
        &["llama3", "llama-v3", "llama-bpe", "falcon3", "pixtral"],
        WordRule { patterns: &[LLAMA3], ignores_merges: true, adds_bos: true },
    ),
    (&["smaug-bpe", "dbrx"], WordRule { patterns: &[LLAMA3], ..PLAIN }),
    (&["qwen2", "deepseek-r1-qwen", "stablelm2", "megrez"], WordRule { patterns: &[QWEN2], ..PLAIN }),
    (&["qwen35"], WordRule { patterns: &[QWEN35], ..PLAIN }),
    (&["gpt-2", "phi-2", "mpt", "olmo"], WordRule { patterns: &[GPT2], ..PLAIN }),
    (
        &["smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b"],
        WordRule { patterns: &[r"\p{N}", GPT2], ..PLAIN },
    ),
    (
        &["deepseek-llm"],
        WordRule {
            patterns: &[
                r"[\r\n]",
                DEEPSEEK_LETTERS,
                r"\s?[!-/:-~！-／：-～‘-‟　-。]+",
                r"\s+$",
                CJK,
                r"\p{N}+",
            ],
            ..PLAIN
        },
    ),
    (
        &["deepseek-coder"],
        WordRule { patterns: &[r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", CJK, r"\p{N}"], ..PLAIN },
    ),
    (&["deepseek-v3"], WordRule { patterns: &[r"\p{N}{1,3}", r"[一-龥぀-ゟ゠-ヿ]+", DEEPSEEK_V3], ..PLAIN }),
    (&["falcon"], WordRule { patterns: &[r"[\p{P}\$\+<=>\^~\|`]+", GPT2, r"[0-9][0-9][0-9]"], ..PLAIN }),
    (&["tekken"], WordRule { patterns: &[TEKKEN], ignores_merges: true, adds_bos: true }),
];

/// The rule with this name.
pub(crate) fn rule(name: &str) -> Option<WordRule> {
    RULES.iter().find(|(names, _)| names.contains(&name)).map(|(_, rule)| *rule)
}

/// Whether a text begins with `bos` unless the file says otherwise.
pub(crate) fn adds_bos_by_default(name: &str) -> bool {
    rule(name).is_some_and(|rule| rule.adds_bos)
}

/// All names, for messages.
pub(crate) fn names() -> String {
    RULES.iter().flat_map(|(names, _)| names.iter().copied()).collect::<Vec<_>>().join(", ")
}
