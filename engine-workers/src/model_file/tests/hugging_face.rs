use std::path::Path;

use super::gguf_writer::{GgufWriter, VOCAB};
use super::{floats, open_bytes};
use crate::model_file::config::{RopeScaling, RopeStyle};
use crate::model_file::tensor::TensorRole;
use crate::model_file::{ModelFile, hugging_face_tensors};
use crate::tokenizer::spec::TokenizerSpec;

/// The tiny model as a Hugging Face directory, its tensors spread over `num_files`.
fn write_hugging_face(directory: &Path, num_files: usize) {
    let model = open_bytes(&GgufWriter::tiny().bytes()).unwrap();
    let roles = TensorRole::required(model.config());
    let tensors: Vec<_> = roles
        .iter()
        .map(|role| {
            let view = model.tensor(*role).unwrap();
            (hugging_face_tensors::tensor_name(*role, model.config()), view.shape, view.bytes.to_vec())
        })
        .collect();
    let mut weight_map = serde_json::Map::new();
    for (index, part) in tensors.chunks(tensors.len().div_ceil(num_files)).enumerate() {
        let file = format!("model-{index}.safetensors");
        let views = part.iter().map(|(name, shape, bytes)| {
            let view = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, shape.clone(), bytes);
            (name.as_str(), view.unwrap())
        });
        std::fs::write(directory.join(&file), safetensors::serialize(views, None).unwrap()).unwrap();
        weight_map.extend(part.iter().map(|(name, ..)| (name.clone(), file.clone().into())));
    }
    let write = |name: &str, value: serde_json::Value| {
        std::fs::write(directory.join(name), value.to_string()).unwrap();
    };
    if num_files > 1 {
        write("model.safetensors.index.json", serde_json::json!({ "weight_map": weight_map }));
    }
    write(
        "config.json",
        serde_json::json!({"model_type": "llama", "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2,
            "num_key_value_heads": 1, "intermediate_size": 16, "vocab_size": VOCAB, "max_position_embeddings": 64,
            "tie_word_embeddings": true, "eos_token_id": 3, "bos_token_id": 0, "rope_theta": 500000.0,
            "rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                "original_max_position_embeddings": 32}}),
    );
    write("generation_config.json", serde_json::json!({"eos_token_id": [4, 3], "temperature": 0.6}));
    write(
        "tokenizer_config.json",
        serde_json::json!({"eos_token": {"content": "<|im_end|>"}, "chat_template": [
            {"name": "default", "template": "d"}, {"name": "tool_use", "template": "t"}]}),
    );
    let added = |id: u32, content: &str| {
        serde_json::json!({"id": id, "content": content, "special": true,
        "single_word": false, "lstrip": false, "rstrip": false, "normalized": false})
    };
    write(
        "tokenizer.json",
        serde_json::json!({"version": "1.0", "added_tokens": [added(3, "<|im_end|>"), added(4, "<|endoftext|>")],
            "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
            "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
            "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": ["a b"]}}),
    );
}

#[test]
fn hugging_face_directory_gives_the_same_as_gguf() {
    let gguf = open_bytes(&GgufWriter::tiny().bytes()).unwrap();
    for num_files in [1, 3] {
        let directory = tempfile::tempdir().unwrap();
        write_hugging_face(directory.path(), num_files);
        let model = ModelFile::open(directory.path()).unwrap();
        for role in TensorRole::required(gguf.config()).into_iter().chain([TensorRole::Output]) {
            assert_eq!(floats(&model, role), floats(&gguf, role), "{role:?}");
        }
        assert_eq!(model.config().rope_style, RopeStyle::Halves);
        assert_eq!(model.config().rope_theta, 500_000.0);
        assert!(matches!(
            model.config().rope_scaling,
            RopeScaling::Llama3 { original_context_tokens: 32, .. }
        ));
        assert_eq!(model.special_token_ids().eos, [3, 4]);
        assert_eq!(model.generation_defaults().temperature, Some(0.6));
        assert_eq!((model.templates().select(false), model.templates().select(true)), (Some("d"), Some("t")));
        assert!(matches!(model.tokenizer(), TokenizerSpec::TokenizerJson { .. }));
        let ours = crate::tokenizer::Tokenizer::new(model.tokenizer()).unwrap();
        let options = crate::tokenizer::EncodeOptions { adds_special: true, parses_special: true };
        assert_eq!(ours.encode("abba<|im_end|>", options).unwrap(), [2, 1, 0, 3]);
        assert_eq!(ours.decode(&[2, 1, 0, 3], true), "abba");
        assert!(ours.is_special(3) && !ours.is_special(2));
    }
}

#[test]
fn unusable_directories_are_refused_with_the_reason() {
    fn check(name: &str, change: impl Fn(&Path), expected: &str) {
        let directory = tempfile::tempdir().unwrap();
        write_hugging_face(directory.path(), 2);
        change(directory.path());
        let error = ModelFile::open(directory.path()).unwrap_err().to_string();
        assert!(error.contains(expected), "{name}: {error}\nexpected: {expected}");
    }
    fn replace(directory: &Path, file: &str, from: &str, to: &str) {
        let path = directory.join(file);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(from));
        std::fs::write(path, text.replace(from, to)).unwrap();
    }
    check("none", |d| std::fs::remove_file(d.join("config.json")).unwrap(), "is no model");
    check("architecture", |d| replace(d, "config.json", "\"llama\"", "\"gemma\""), "architecture `gemma`");
    let with = |key: &'static str, value: &'static str| {
        move |d: &Path| {
            let path = d.join("config.json");
            let mut config: serde_json::Value =
                serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
            config[key] = serde_json::from_str(value).unwrap();
            std::fs::write(path, config.to_string()).unwrap();
        }
    };
    let refused = [
        ("model_type", "\"mixtral\"", "`num_experts` is missing"),
        (
            "model_type",
            "\"gemma3\"",
            "architecture `gemma3` is not supported; supported are: llama, mistral, mixtral",
        ),
        ("hidden_act", "\"relu\"", "`hidden_act` is relu, expected silu or gelu_pytorch_tanh"),
        (
            "final_logit_softcapping",
            "30.0",
            "`attn_logit_softcapping` is Some(30.0), expected none, nor a final one",
        ),
        ("use_bidirectional_attention", "true", "`use_bidirectional_attention` is true, expected false"),
        ("decoder_sparse_step", "2", "`decoder_sparse_step` is 2, expected 1"),
        (
            "mlp_only_layers",
            "[0]",
            "`mlp_only_layers` is [0], expected none: a mixture of experts in every layer",
        ),
        ("sliding_window", "0", "`sliding_window` is 0 tokens in All, expected at least 1 token"),
        ("num_hidden_layers", "2000", "`num_layers` is 2000, expected at most 1024"),
    ];
    for (key, value, expected) in refused {
        check(key, with(key, value), expected);
    }
    check(
        "json",
        |d| std::fs::write(d.join("config.json"), "{\"a\":").unwrap(),
        "config.json: corrupt or truncated at byte 4",
    );
    check(
        "tokenizer",
        |d| std::fs::remove_file(d.join("tokenizer.json")).unwrap(),
        "`tokenizer.json` is missing",
    );
    check(
        "shape",
        |d| replace(d, "config.json", "\"intermediate_size\":16", "\"intermediate_size\":8"),
        "expected [8, 8]",
    );
    check(
        "truncated",
        |d| std::fs::write(d.join("model-0.safetensors"), [0; 6]).unwrap(),
        "model-0.safetensors: corrupt",
    );
    check(
        "escape",
        |d| replace(d, "model.safetensors.index.json", "model-1.safetensors", "../model-1.safetensors"),
        "`weight_map` is \"../model-1.safetensors\", expected names of files beside it",
    );
    check("missing", |d| replace(d, "model.safetensors.index.json", "model-1", "model-0"), "is missing");
}
