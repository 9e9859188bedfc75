mod gguf_writer;
mod hugging_face;

use std::path::{Path, PathBuf};

use kernels::WeightType;
use proptest::prelude::*;

use super::config::{Architecture, RopeScaling, RopeStyle};
use super::error::ModelFileError;
use super::tensor::{FfnMatrix, LayerTensor, TensorRole};
use super::window::WindowLayers;
use super::{ModelFile, gguf_tensors};
use gguf_writer::{GgufWriter, VOCAB, integer, text, typed};

fn open_bytes(bytes: &[u8]) -> Result<ModelFile, ModelFileError> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tiny.gguf");
    std::fs::write(&path, bytes).unwrap();
    ModelFile::open(&path)
}

fn floats(model: &ModelFile, role: TensorRole) -> Vec<f32> {
    let view = model.tensor(role).unwrap();
    assert_eq!(view.ty, WeightType::F32);
    assert_eq!(view.bytes.len(), view.shape.iter().product::<usize>() * 4);
    view.bytes.chunks_exact(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect()
}

#[test]
fn gguf_gives_configuration_tensors_and_ends() {
    let model = open_bytes(&GgufWriter::tiny().bytes()).unwrap();
    let config = model.config();
    assert_eq!((config.architecture, config.rope_style), (Architecture::Llama, RopeStyle::Interleaved));
    assert_eq!((config.hidden_size, config.num_heads, config.num_kv_heads, config.head_dim), (8, 2, 1, 4));
    assert_eq!((config.ffn_size, config.vocab_size, config.max_context_tokens), (16, VOCAB, 64));
    assert_eq!((config.rope_theta, &config.rope_scaling), (10_000.0, &RopeScaling::None));
    assert!(config.tie_embeddings && !config.has_qkv_bias);
    assert_eq!(model.special_token_ids().eos, [3, 4]);

    let query = TensorRole::Layer(0, LayerTensor::Query);
    assert_eq!(floats(&model, query), (3000..3064).map(|i| i as f32).collect::<Vec<_>>());
    assert_eq!(model.tensor(query).unwrap().shape, [8, 8]);
    assert_eq!(model.tensor(TensorRole::Layer(0, LayerTensor::Ffn(FfnMatrix::Down))).unwrap().shape, [8, 16]);
    assert_eq!(floats(&model, TensorRole::Output), floats(&model, TensorRole::TokenEmbedding));
    let error = model.tensor(TensorRole::Layer(0, LayerTensor::QueryBias)).unwrap_err();
    assert_eq!(error.code(), "model_file_missing_tensor");
}

#[test]
fn windows_of_gguf_files_have_the_layers_that_they_say_or_that_their_family_has() {
    let check = |gguf: GgufWriter, expected: Option<(usize, WindowLayers)>| {
        let model = open_bytes(&gguf.bytes()).unwrap();
        let window = model.config().window.clone();
        assert_eq!(window.map(|window| (window.num_tokens, window.layers)), expected);
    };
    let window = |pattern: Option<Vec<u8>>| {
        let gguf = GgufWriter::tiny().with("llama.attention.sliding_window", integer(7));
        match pattern {
            Some(pattern) => gguf.with("llama.attention.sliding_window_pattern", pattern),
            None => gguf,
        }
    };
    check(GgufWriter::tiny(), None);
    check(GgufWriter::tiny().with("llama.attention.sliding_window", integer(0)), None);
    check(window(None), Some((7, WindowLayers::All)));
    check(window(Some(integer(3))), Some((7, WindowLayers::AllButEvery { period: 3 })));
    let listed = [7u32.to_le_bytes().as_slice(), &1u64.to_le_bytes(), &[1]].concat();
    check(window(Some(typed(9, &listed))), Some((7, WindowLayers::Listed(vec![true]))));
    let two = [7u32.to_le_bytes().as_slice(), &2u64.to_le_bytes(), &[1, 0]].concat();
    let error = open_bytes(&window(Some(typed(9, &two))).bytes()).unwrap_err().to_string();
    assert!(
        error.contains("`sliding_window` is 7 tokens in Listed([true, false]), expected at least"),
        "{error}"
    );
}

#[test]
fn truncated_file_is_an_error_at_every_length() {
    let bytes = GgufWriter::tiny().bytes();
    for len in 0..bytes.len() {
        let error = open_bytes(&bytes[..len]).err();
        assert!(error.is_some(), "{len} of {} bytes", bytes.len());
    }
    let error = open_bytes(&bytes[..bytes.len() - 1]).unwrap_err().to_string();
    assert!(error.contains("tiny.gguf: corrupt or truncated at byte"), "{error}");
    assert!(error.contains("tensor `blk.0.ffn_down.weight`: its 512 bytes"), "{error}");
}

proptest! {
    #[test]
    fn corrupt_bytes_never_panic_and_never_reach_outside_the_file(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let mut bytes = GgufWriter::tiny().bytes();
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if let Ok(model) = open_bytes(&bytes) {
            for role in TensorRole::required(model.config()) {
                let view = model.tensor(role).unwrap();
                prop_assert_eq!(&view.shape, &role.shape(model.config()));
            }
        }
    }
}

#[test]
fn unusable_files_are_refused_with_the_reason() {
    let check = |bytes: &[u8], expected: &str| {
        let error = open_bytes(bytes).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}\nexpected: {expected}");
    };
    let tiny = GgufWriter::tiny;
    check(b"", "is no model: expected a .gguf file or a directory");
    check(b"PK\x03\x04 zip", "is no model");

    let mut version = tiny().bytes();
    version[4] = 1;
    check(&version, "at byte 4: GGUF version 1; versions 2 and 3 are supported");
    let mut counts = tiny().bytes();
    counts[8..16].fill(0xff);
    check(&counts, "declares 18446744073709551615 tensors, which cannot fit");
    let mut counts = tiny().bytes();
    counts[16..24].fill(0x7f);
    check(&counts, "metadata entries, which cannot fit");
    let strings = typed(9, &[8u32.to_le_bytes().as_slice(), &u64::MAX.to_le_bytes()].concat());
    check(&tiny().with("tokenizer.ggml.tokens", strings).bytes(), "strings, which need at least");

    check(
        &tiny().with("general.architecture", typed(8, &text("mamba"))).bytes(),
        "architecture `mamba` is not supported; supported are: llama, qwen2, qwen2moe, qwen3, qwen3moe, gemma3",
    );
    check(&tiny().with("llama.expert_count", integer(8)).bytes(), "`llama.expert_used_count` is missing");
    check(
        &tiny().with("llama.attn_logit_softcapping", typed(6, &50f32.to_le_bytes())).bytes(),
        "`llama.attn_logit_softcapping` is 50, expected 0: soft caps are not supported",
    );
    let mixture =
        |used| tiny().with("llama.expert_count", integer(4)).with("llama.expert_used_count", integer(used));
    check(&mixture(2).bytes(), "tensor `blk.0.ffn_gate_inp.weight` is missing");
    check(&mixture(5).bytes(), "`experts` is ExpertConfig { num_experts: 4, num_used: 5");
    check(&mixture(0).bytes(), "`experts` is ExpertConfig { num_experts: 4, num_used: 0");
    let mut stacked = mixture(2);
    stacked.tensors.push(("blk.0.ffn_gate_inp.weight".to_owned(), vec![8, 4], 0));
    for (name, experts) in [("gate", 4), ("up", 3), ("down", 4)] {
        let shape = if name == "down" { vec![16, 8, experts] } else { vec![8, 16, experts] };
        stacked.tensors.push((format!("blk.0.ffn_{name}_exps.weight"), shape, 0));
    }
    check(&stacked.bytes(), "tensor `blk.0.ffn_up_exps.weight` has shape [3, 16, 8], expected [4, 16, 8]");
    check(
        &tiny().with("llama.attention.head_count_kv", integer(0)).bytes(),
        "`num_kv_heads` is 0, expected 1 to 16777216",
    );
    check(&tiny().with("llama.block_count", typed(8, &text("x"))).bytes(), "`llama.block_count` is \"x\"");
    check(&tiny().with("tokenizer.ggml.eos_token_id", integer(99)).bytes(), "is 99, expected less than 5");

    let mut missing = tiny();
    missing.tensors.remove(4);
    check(&missing.bytes(), "tensor `blk.0.attn_k.weight` is missing");
    let mut shape = tiny();
    shape.tensors[3].1 = vec![4, 8];
    check(&shape.bytes(), "tensor `blk.0.attn_q.weight` has shape [8, 4], expected [8, 8]");
    let mut ty = tiny();
    ty.tensors[3].2 = 10;
    check(
        &ty.bytes(),
        "tensor `blk.0.attn_q.weight` has type Q2_K, which is not supported; supported are: F32",
    );
    let mut blocks = tiny();
    blocks.tensors[3].2 = 8;
    check(&blocks.bytes(), "rows of 8 elements do not divide into blocks of 32");
    let mut overflow = tiny();
    overflow.tensors[3].1 = vec![u64::MAX / 2, 8];
    let mut bytes = GgufWriter { tensors: Vec::new(), ..overflow.clone() }.bytes();
    bytes[8] = 1;
    let directory =
        [text("blk.0.attn_q.weight"), 2u32.to_le_bytes().to_vec(), (u64::MAX / 2).to_le_bytes().to_vec()]
            .concat();
    let end = overflow.metadata.iter().map(|(key, value)| text(key).len() + value.len()).sum::<usize>() + 24;
    bytes.truncate(end);
    bytes.extend(directory);
    bytes.extend([8u64.to_le_bytes().as_slice(), &[0; 12]].concat());
    check(&bytes, "tensor `blk.0.attn_q.weight`: dimensions [9223372036854775807, 8] are out of range");
}

#[test]
fn digest_is_of_the_content_and_cached_by_size_and_time() {
    let directory = tempfile::tempdir().unwrap();
    let (path, cache) = (directory.path().join("tiny.gguf"), directory.path().join("cache"));
    let bytes = GgufWriter::tiny().bytes();
    std::fs::write(&path, &bytes).unwrap();
    let model = ModelFile::open(&path).unwrap();
    let expected = blake3::hash(&bytes).to_hex().to_string();
    assert_eq!(model.digest(None).unwrap().to_string(), expected);
    assert_eq!(model.digest(Some(&cache)).unwrap().to_string(), expected);

    let entries: Vec<PathBuf> =
        std::fs::read_dir(&cache).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(entries.len(), 1, "{entries:?}");
    let planted = blake3::hash(b"planted").to_hex().to_string();
    std::fs::write(&entries[0], &planted).unwrap();
    assert_eq!(model.digest(Some(&cache)).unwrap().to_string(), planted, "the cache is used");
    std::fs::write(&entries[0], "torn").unwrap();
    assert_eq!(model.digest(Some(&cache)).unwrap().to_string(), expected, "a torn entry is not");

    std::fs::write(&path, GgufWriter::tiny().with("general.name", typed(8, &text("x"))).bytes()).unwrap();
    assert_ne!(model.digest(Some(&cache)).unwrap().to_string(), expected, "a changed file is hashed again");
}

#[test]
fn test_models_open_with_the_numbers_of_their_makers() {
    let open = |name: &str| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.jetmill/models").join(name);
        assert!(path.is_file(), "{} is missing: run infra/test, which fetches it", path.display());
        ModelFile::open(&path).unwrap()
    };
    let smol = open("smollm2-135m-instruct-q4_1.gguf");
    let config = smol.config();
    assert_eq!(
        (config.num_layers, config.hidden_size, config.num_heads, config.num_kv_heads),
        (30, 576, 9, 3)
    );
    assert_eq!((config.vocab_size, config.rope_theta, config.tie_embeddings), (49152, 100_000.0, true));
    assert_eq!(smol.tensor(TensorRole::Layer(29, LayerTensor::Query)).unwrap().ty, WeightType::Q4_1);

    let qwen = open("qwen2.5-coder-0.5b-instruct-q4_k_m.gguf");
    let config = qwen.config();
    assert_eq!((config.architecture, config.rope_style), (Architecture::Qwen2, RopeStyle::Halves));
    assert_eq!((config.num_layers, config.head_dim, config.max_context_tokens), (24, 64, 32768));
    assert!(config.has_qkv_bias && !config.tie_embeddings);
    assert_eq!(qwen.tensor(TensorRole::Output).unwrap().shape, [151936, 896]);
    assert_eq!(gguf_tensors::name(TensorRole::Layer(23, LayerTensor::QueryBias)), "blk.23.attn_q.bias");
}
