//! Token ids against those of llama.cpp, and what holds for the tokenizers of real models.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use engine_workers::model_file::ModelFile;
use engine_workers::model_file::vocabulary::read_vocabulary;
use engine_workers::tokenizer::spec::{TokenKind, TokenizerSpec, Vocabulary, VocabularyModel};
use engine_workers::tokenizer::{EncodeOptions, Tokenizer};

const LITERAL: EncodeOptions = EncodeOptions { adds_special: false, parses_special: false };
const PARSED: EncodeOptions = EncodeOptions { adds_special: false, parses_special: true };

/// A file that `infra/test` fetches.
fn fetched(folder: &str, name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.jetmill").join(folder).join(name);
    assert!(path.is_file(), "{} is missing: run infra/test, which fetches it", path.display());
    path
}

fn fixture(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tokenizers").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn vectors(texts: &str, ids: &str) -> Vec<(String, Vec<u32>)> {
    let texts = fixture(texts);
    let mut texts: Vec<&str> = texts.split("\n__ggml_vocab_test__\n").collect();
    assert_eq!(texts.pop(), Some(""), "the texts end with a separator");
    let ids = fixture(ids);
    let ids: Vec<Vec<u32>> =
        ids.lines().map(|line| line.split_whitespace().map(|id| id.parse().unwrap()).collect()).collect();
    assert_eq!(texts.len(), ids.len(), "one line of ids per text");
    texts.into_iter().map(str::to_owned).zip(ids).collect()
}

fn check(name: &str, texts: &str) {
    check_file(&fetched("vocabularies", &format!("ggml-vocab-{name}.gguf")), name, texts);
}

fn check_file(path: &Path, name: &str, texts: &str) {
    let vocabulary = read_vocabulary(path).unwrap();
    let adds_space_prefix =
        matches!(vocabulary.model, VocabularyModel::SentencePiece { adds_space_prefix: true, .. });
    let tokenizer = Tokenizer::new(&TokenizerSpec::Vocabulary(vocabulary)).unwrap();
    let vectors = vectors(texts, &format!("{name}.out"));
    assert!(vectors.len() >= 46, "{name} has {} vectors", vectors.len());
    for (text, expected) in vectors {
        let ids = tokenizer.encode(&text, LITERAL).unwrap();
        assert_eq!(ids, expected, "{name}: {text:?}");
        assert_eq!(tokenizer.decode(&ids, false), text, "{name}: {text:?} comes back");
        let bytes: Vec<u8> = ids.iter().flat_map(|id| tokenizer.token_bytes(*id)).copied().collect();
        let prefix = if adds_space_prefix && !text.is_empty() { " " } else { "" };
        assert_eq!(String::from_utf8(bytes).unwrap(), format!("{prefix}{text}"), "{name}: bytes of {text:?}");
    }
}

macro_rules! vocabularies {
    ($($test:ident: $name:literal, $texts:literal;)*) => {$(
        #[test]
        fn $test() {
            check($name, $texts);
        }
    )*};
}

vocabularies! {
    llama_3_ids_equal_those_of_llama_cpp: "llama-bpe", "texts.inp";
    llama_2_ids_equal_those_of_llama_cpp: "llama-spm", "texts.inp";
    phi_3_ids_equal_those_of_llama_cpp: "phi-3", "texts.inp";
    qwen2_ids_equal_those_of_llama_cpp: "qwen2", "texts.inp";
    qwen35_ids_equal_those_of_llama_cpp: "qwen35", "qwen35.inp";
    gpt_2_ids_equal_those_of_llama_cpp: "gpt-2", "texts.inp";
    mpt_ids_equal_those_of_llama_cpp: "mpt", "texts.inp";
    starcoder_ids_equal_those_of_llama_cpp: "starcoder", "texts.inp";
    refact_ids_equal_those_of_llama_cpp: "refact", "texts.inp";
    command_r_ids_equal_those_of_llama_cpp: "command-r", "texts.inp";
    falcon_ids_equal_those_of_llama_cpp: "falcon", "texts.inp";
    deepseek_llm_ids_equal_those_of_llama_cpp: "deepseek-llm", "texts.inp";
    deepseek_coder_ids_equal_those_of_llama_cpp: "deepseek-coder", "texts.inp";
}

#[cfg(feature = "gemma3-model")]
#[test]
fn gemma_3_ids_equal_those_of_llama_cpp() {
    check_file(&fetched("models", "gemma-3-270m-q4_k_m.gguf"), "gemma-3", "gemma-3.inp");
}

fn model(name: &str) -> (ModelFile, Tokenizer) {
    let model = ModelFile::open(&fetched("models", name)).unwrap();
    let tokenizer = Tokenizer::new(model.tokenizer()).unwrap();
    (model, tokenizer)
}

const SMOLLM2: &str = "smollm2-135m-instruct-q4_1.gguf";
const QWEN: &str = "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf";

#[test]
fn qwen_model_file_has_the_ids_of_the_qwen2_vocabulary() {
    let (_, tokenizer) = model(QWEN);
    for (text, expected) in vectors("texts.inp", "qwen2.out") {
        assert_eq!(tokenizer.encode(&text, LITERAL).unwrap(), expected, "{text:?}");
    }
}

#[test]
fn smollm2_text_comes_back_from_its_ids() {
    let (_, tokenizer) = model(SMOLLM2);
    for (text, _) in vectors("texts.inp", "qwen2.out") {
        let ids = tokenizer.encode(&text, LITERAL).unwrap();
        assert_eq!(tokenizer.decode(&ids, false), text, "{text:?}");
    }
    assert_eq!(tokenizer.encode("2024", LITERAL).unwrap().len(), 4, "each digit is a token");
}

#[test]
fn a_text_has_never_fewer_tokens_than_its_length_tells() {
    for name in [SMOLLM2, QWEN] {
        let (_, tokenizer) = model(name);
        let texts = vectors("texts.inp", "qwen2.out").into_iter().map(|(text, _)| text);
        let repeated =
            [" ", "\n", "word ", "ü", "<|im_end|>", "=", "\u{2581}"].map(|text| text.repeat(4_000));
        for text in texts.chain(repeated) {
            let ids = tokenizer.encode(&text, PARSED).unwrap();
            assert!(tokenizer.min_num_tokens(&text) <= ids.len(), "{name}: {text:.40}");
        }
        let bound = tokenizer.min_num_tokens(&"word ".repeat(200_000));
        assert!(bound > 2_048, "{name}: a megabyte has at least {bound} tokens");
    }
}

#[test]
fn special_tokens_in_text_are_read_only_when_asked_for() {
    for (name, end, num_eos) in [(SMOLLM2, "<|im_end|>", 2), (QWEN, "<|im_end|>", 2)] {
        let (model, tokenizer) = model(name);
        let text = "hi<|im_end|>\n";
        let end_id = tokenizer.token_id(end).unwrap();
        let parsed = tokenizer.encode(text, PARSED).unwrap();
        assert!(parsed.contains(&end_id), "{name}: {parsed:?}");
        let literal = tokenizer.encode(text, LITERAL).unwrap();
        assert!(!literal.iter().any(|id| tokenizer.is_special(*id)), "{name}: {literal:?}");
        assert_eq!(tokenizer.decode(&literal, true), text);
        assert_eq!(tokenizer.decode(&parsed, true), "hi\n");
        assert_eq!(tokenizer.decode(&parsed, false), text);

        let eos = &model.special_token_ids().eos;
        assert_eq!(eos.first(), Some(&end_id), "{name}: the declared end comes first");
        assert_eq!(eos.len(), num_eos, "{name}: {eos:?}");
        assert_eq!(eos.iter().collect::<BTreeSet<_>>().len(), eos.len(), "{name}: no duplicates");
        assert!(eos.contains(&tokenizer.token_id("<|endoftext|>").unwrap()), "{name}: {eos:?}");
    }
}

#[test]
fn bos_is_added_only_when_asked_for() {
    let vocabulary = read_vocabulary(&fetched("vocabularies", "ggml-vocab-llama-spm.gguf")).unwrap();
    let tokenizer = Tokenizer::new(&TokenizerSpec::Vocabulary(vocabulary)).unwrap();
    let with = EncodeOptions { adds_special: true, parses_special: true };
    let plain = tokenizer.encode("Hello", PARSED).unwrap();
    let framed = tokenizer.encode("Hello", with).unwrap();
    assert_eq!(framed, [&[1], plain.as_slice()].concat());
    assert_eq!(tokenizer.encode("", with).unwrap(), [1]);
    assert_eq!(tokenizer.decode(&framed, true), "Hello");
}

#[test]
fn ids_outside_the_vocabulary_have_no_text() {
    let (_, tokenizer) = model(SMOLLM2);
    assert_eq!(tokenizer.vocab_size(), 49152);
    assert!(tokenizer.token_bytes(49152).is_empty());
    assert!(!tokenizer.is_special(u32::MAX));
    assert_eq!(tokenizer.decode(&[u32::MAX], false), "");
}

#[test]
fn long_runs_of_one_character_are_encoded_whole() {
    let (_, tokenizer) = model(SMOLLM2);
    for character in [" ", "\n", "a", "1", "!", "é", "\t \n"] {
        let text = character.repeat(200_000 / character.len());
        let ids = tokenizer.encode(&text, PARSED).unwrap();
        assert!(tokenizer.decode(&ids, false) == text, "{character:?}");
    }
}

fn small_vocabulary() -> Vocabulary {
    let tokens = ["a", "b", "ab"].map(str::to_owned).to_vec();
    Vocabulary {
        model: VocabularyModel::ByteLevelBpe {
            pre_tokenizer: "gpt-2".to_owned(),
            merges: vec![("a".to_owned(), "b".to_owned())],
        },
        kinds: vec![TokenKind::Normal; tokens.len()],
        tokens,
        special_ids: Default::default(),
        adds_bos: false,
        adds_eos: false,
    }
}

#[test]
fn contradictory_vocabularies_are_refused() {
    let refuse = |vocabulary: Vocabulary, expected: &str| {
        let error = Tokenizer::new(&TokenizerSpec::Vocabulary(vocabulary)).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    };
    assert!(Tokenizer::new(&TokenizerSpec::Vocabulary(small_vocabulary())).is_ok());

    let with = |model| Vocabulary { model, ..small_vocabulary() };
    let bpe = |pre_tokenizer: &str, left: &str, right: &str| VocabularyModel::ByteLevelBpe {
        pre_tokenizer: pre_tokenizer.to_owned(),
        merges: vec![(left.to_owned(), right.to_owned())],
    };
    refuse(
        with(bpe("no-such-rule", "a", "b")),
        "pre-tokenizer `no-such-rule` is not supported; supported are: default",
    );
    refuse(with(bpe("gpt-2", "ab", "ab")), "merge `ab ab` needs `abab`, which is no token");
    refuse(with(bpe("gpt-2", "x", "b")), "merge `x b` needs `x`, which is no token");
    let json = TokenizerSpec::TokenizerJson { json: b"{".to_vec(), special_ids: Default::default() };
    let error = Tokenizer::new(&json).unwrap_err().to_string();
    assert!(error.starts_with("the tokenizer is invalid: "), "{error}");
}
