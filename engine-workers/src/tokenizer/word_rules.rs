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
const DEEPSEEK_LETTERS: &str = r"\s?[A-Za-z\x{b5}\x{c0}-\x{d6}\x{d8}-\x{f6}\x{f8}-\x{1ba}\x{1bc}-\x{1bf}\x{1c4}-\x{293}\x{295}-\x{2af}\x{370}-\x{373}\x{376}\x{377}\x{37b}-\x{37d}\x{37f}\x{386}\x{388}-\x{38a}\x{38c}\x{38e}-\x{3a1}\x{3a3}-\x{3f5}\x{3f7}-\x{481}\x{48a}-\x{52f}\x{531}-\x{556}\x{10a0}-\x{10c5}\x{13a0}-\x{13f5}\x{13f8}-\x{13fd}\x{1c90}-\x{1cba}\x{1cbd}-\x{1cbf}\x{1d00}-\x{1d2b}\x{1d6b}-\x{1d77}\x{1d79}-\x{1d9a}\x{1e00}-\x{1f15}\x{1f18}-\x{1f1d}\x{1f20}-\x{1f45}\x{1f48}-\x{1f4d}\x{1f50}-\x{1f57}\x{1f59}\x{1f5b}\x{1f5d}\x{1f5f}-\x{1f7d}\x{1f80}-\x{1fb4}\x{1fb6}-\x{1fbc}\x{1fbe}\x{1fc2}-\x{1fc4}\x{1fc6}-\x{1fcc}\x{1fd0}-\x{1fd3}\x{1fd6}-\x{1fdb}\x{1fe0}-\x{1fec}\x{1ff2}-\x{1ff4}\x{1ff6}-\x{1ffc}\x{2102}\x{2107}\x{210a}-\x{2113}\x{2115}\x{2119}-\x{211d}\x{2124}\x{2126}\x{2128}\x{212a}-\x{212d}\x{212f}-\x{2134}\x{2139}\x{213c}-\x{213f}\x{2145}-\x{2149}\x{214e}\x{2183}\x{2184}\x{2c00}-\x{2c7b}\x{2c7e}-\x{2ce4}\x{2ceb}-\x{2cee}\x{2cf2}\x{2cf3}\x{a640}-\x{a66d}\x{a680}-\x{a69b}\x{a722}-\x{a76f}\x{a771}-\x{a787}\x{a78b}-\x{a78e}\x{ab70}-\x{abbf}\x{fb00}-\x{fb06}\x{fb13}-\x{fb17}\x{ff21}-\x{ff3a}\x{ff41}-\x{ff5a}\x{10400}-\x{1044f}\x{104b0}-\x{104d3}\x{104d8}-\x{104fb}\x{10c80}-\x{10cb2}\x{10cc0}-\x{10cf2}\x{118a0}-\x{118df}\x{1e900}-\x{1e943}]+";
const CJK: &str = r"[\x{4e00}-\x{9fa5}\x{800}-\x{4e00}\x{ac00}-\x{d7ff}]+";
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
                r"\s?[!-/:-~\x{ff01}-\x{ff0f}\x{ff1a}-\x{ff5e}\x{2018}-\x{201f}\x{3000}-\x{3002}]+",
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
    (
        &["deepseek-v3"],
        WordRule {
            patterns: &[
                r"\p{N}{1,3}",
                r"[\x{4e00}-\x{9fa5}\x{3040}-\x{309f}\x{30a0}-\x{30ff}]+",
                DEEPSEEK_V3,
            ],
            ..PLAIN
        },
    ),
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
