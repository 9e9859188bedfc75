//! What each family's layers compute, from both kinds of files, against a naive forward pass in f64; and that weights which
//! are no numbers are refused.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may panic where the set-up fails")]

#[path = "../support/gguf_file.rs"]
mod gguf_file;
mod hugging_face;
mod reference;
#[path = "../batch_invariance/tiny_model.rs"]
#[expect(dead_code, reason = "another test uses the rest")]
mod tiny_model;
mod upcycled;

use std::path::Path;

use engine_workers::cpu_runner::CpuRunner;
use engine_workers::cpu_runner::error::LoadError;
use engine_workers::cpu_runner::options::{CpuRunnerOptions, KvCapacity};
use engine_workers::model_file::ModelFile;
use engine_workers::runner::{LogitRows, ModelRunner, SequenceChunk};
use gguf_file::Tensor;
use kernels::WeightType;
use reference::Reference;
use tiny_model::{Family, TinyModel};

fn load(model: &ModelFile) -> Result<CpuRunner, LoadError> {
    let options = CpuRunnerOptions {
        num_threads: 2,
        kv_capacity: KvCapacity::Blocks(8),
        max_num_batched_tokens: 128,
        ..CpuRunnerOptions::default()
    };
    CpuRunner::load(model, &options)
}

/// The logits after each token.
fn logits(model: &ModelFile, tokens: &[u32]) -> Vec<Vec<f32>> {
    let mut runner = load(model).unwrap();
    let block_table: Vec<u32> = (0..8).rev().collect();
    let chunk = SequenceChunk {
        tokens,
        first_position: 0,
        block_table: &block_table,
        logit_rows: LogitRows::All,
        adapter: None,
    };
    let mut logits = Vec::new();
    runner.forward(&[chunk], &mut logits).unwrap();
    logits.chunks_exact(runner.shape().vocab_size).map(<[f32]>::to_vec).collect()
}

fn write_gguf(bytes: &[u8], directory: &Path) -> ModelFile {
    let path = directory.join("model.gguf");
    std::fs::write(&path, bytes).unwrap();
    ModelFile::open(&path).unwrap()
}

/// Three layers, so that gemma3's windows stand before and after a layer without one.
fn tiny(family: Family, is_tied: bool) -> TinyModel {
    TinyModel {
        family,
        num_layers: 3,
        hidden_size: 256,
        ffn_size: 256,
        num_kv_heads: 2,
        head_dim: 64,
        vocab_size: 33,
        is_tied,
        weight_types: vec![WeightType::F32],
        has_poisoned_token: false,
        seed: 5,
    }
}

/// The largest difference, in units of the logits' standard deviation.
fn difference(given: &[Vec<f32>], expected: &[Vec<f64>]) -> f64 {
    assert_eq!(given.len(), expected.len());
    let all = || expected.iter().flatten();
    let deviation = (all().map(|logit| logit * logit).sum::<f64>() / all().count() as f64).sqrt();
    let pairs = given.iter().flatten().zip(all());
    pairs.map(|(given, expected)| (f64::from(*given) - expected).abs()).fold(0.0, f64::max) / deviation
}

fn tokens() -> Vec<u32> {
    (0..70).map(|i| i * i * 7 % 33).collect()
}

/// What f32 sums and a key or value that rounds to the next f16 may cost.
const TOLERANCE: f64 = 2e-3;

#[test]
fn every_family_in_a_gguf_file_computes_what_the_reference_does() {
    for (family, is_tied) in Family::ALL.into_iter().flat_map(|family| [(family, true), (family, false)]) {
        let model = tiny(family, is_tied);
        let tensors = model.tensors();
        let directory = tempfile::tempdir().unwrap();
        let file = write_gguf(&model.gguf(&tensors), directory.path());
        let is_interleaved = family.arch() == "llama";
        let expected = Reference::new(&model, &tensors, is_interleaved).logits(&tokens());
        let difference = difference(&logits(&file, &tokens()), &expected);
        eprintln!("{family:?}: {difference:.1e}");
        assert!(difference <= TOLERANCE, "{family:?}: {difference}");
    }
}

#[test]
fn every_family_in_a_hugging_face_directory_computes_what_the_reference_does() {
    for (family, is_tied) in Family::ALL.into_iter().flat_map(|family| [(family, true), (family, false)]) {
        let model = tiny(family, is_tied);
        let tensors = model.tensors();
        let directory = tempfile::tempdir().unwrap();
        hugging_face::write(&model, &tensors, directory.path());
        let file = ModelFile::open(directory.path()).unwrap();
        let expected = Reference::new(&model, &tensors, false).logits(&tokens());
        let difference = difference(&logits(&file, &tokens()), &expected);
        eprintln!("{family:?}: {difference:.1e}");
        assert!(difference <= TOLERANCE, "{family:?}: {difference}");
    }
}

/// Ruins one element, or one scale, in the last row of a tensor.
fn ruin(tensor: &mut Tensor, value: f32) {
    let at = tensor.bytes.len() - tensor.weight_type.block_bytes();
    match tensor.weight_type {
        WeightType::F32 => tensor.bytes[at..at + 4].copy_from_slice(&value.to_le_bytes()),
        _ => tensor.bytes[at..at + 2].copy_from_slice(&half::f16::from_f32(value).to_le_bytes()),
    }
}

#[test]
fn a_weight_that_is_no_number_is_refused_by_the_name_of_its_tensor() {
    for family in [Family::Qwen2Moe, Family::Gemma3] {
        let model = TinyModel { weight_types: vec![WeightType::Q4_1], num_layers: 1, ..tiny(family, true) };
        let tensors = model.tensors();
        let directory = tempfile::tempdir().unwrap();
        assert!(load(&write_gguf(&model.gguf(&tensors), directory.path())).is_ok());
        for (index, value) in
            (0..tensors.len()).zip([f32::NAN, f32::INFINITY, f32::NEG_INFINITY].into_iter().cycle())
        {
            let mut ruined = tensors.clone();
            ruin(&mut ruined[index], value);
            let error = load(&write_gguf(&model.gguf(&ruined), directory.path())).unwrap_err();
            let name = &tensors[index].name;
            let expected = format!("tensor `{name}` has a NaN or an infinity in row ");
            assert!(error.to_string().starts_with(&expected), "{name}: {error}");
            assert_eq!(error.code(), "non_finite_weight");
        }
    }
}

#[test]
fn a_weight_that_is_no_number_is_refused_by_the_name_of_its_tensor_in_a_directory() {
    let model = TinyModel { num_layers: 1, ..tiny(Family::Mixtral, false) };
    let mut tensors = model.tensors();
    ruin(tensors.iter_mut().find(|tensor| tensor.name == "blk.0.ffn_up_exps.weight").unwrap(), f32::NAN);
    let directory = tempfile::tempdir().unwrap();
    hugging_face::write(&model, &tensors, directory.path());
    let error = load(&ModelFile::open(directory.path()).unwrap()).unwrap_err().to_string();
    let expected =
        "tensor `model.layers.0.block_sparse_moe.experts.4.w3.weight` has a NaN or an infinity in row 255";
    assert!(error.starts_with(expected), "{error}");
}
