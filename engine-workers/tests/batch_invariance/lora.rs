//! Adapters: what they compute, whom they do not touch, and which are refused.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use engine_workers::cpu_runner::CpuRunner;
use engine_workers::detokenizer::TokenTable;
use engine_workers::engine::Engine;
use engine_workers::engine::config::EngineConfig;
use engine_workers::engine::request::EngineRequest;
use engine_workers::lora::adapter::LoraAdapter;
use engine_workers::model_file::ModelFile;
use engine_workers::runner::ModelRunner;
use kernels::{Isa, WeightType};
use proptest::prelude::*;
use schemas::{InferenceId, SamplingParams};

use crate::lora_fixture::{LoraFixture, LoraTensor, SMOLLM2, write_files};
use crate::tiny_model::{Family, Random, TinyModel};
use crate::{Rows, alone_with, check_random_schedule_with, load, plain_model, random_sequences, tiny_models};

fn fixture(model: &TinyModel, rank: usize, seed: u64) -> LoraFixture {
    LoraFixture {
        num_layers: model.num_layers,
        hidden_size: model.hidden_size,
        query_size: 256,
        kv_size: model.num_kv_heads * model.head_dim,
        ffn_size: model.ffn_size,
        rank,
        alpha: 2.0 * rank as f32,
        seed,
    }
}

fn adapter(fixture: &LoraFixture, base: &ModelFile) -> LoraAdapter {
    let directory = tempfile::tempdir().unwrap();
    fixture.write(directory.path());
    LoraAdapter::load(directory.path(), base.config(), 64).unwrap()
}

/// `W + scale·B·A` in f64, with the rows of heads in the order of GGUF's llama files where `head_dim` is given.
fn merge(fixture: &LoraFixture, place: (usize, usize), head_dim: Option<usize>, bytes: &mut [u8]) {
    let (layer, module_index) = place;
    let (module, num_outputs, num_inputs) = fixture.modules()[module_index];
    let rank = fixture.rank;
    let down = fixture.values(layer, module, 'A', rank * num_inputs);
    let up = fixture.values(layer, module, 'B', num_outputs * rank);
    let scale = f64::from(fixture.alpha) / rank as f64;
    for (row, weights) in bytes.chunks_exact_mut(4 * num_inputs).enumerate() {
        let source = head_dim.map_or(row, |dim| row / dim * dim + row % 2 * (dim / 2) + row % dim / 2);
        for (col, weight) in weights.as_chunks_mut::<4>().0.iter_mut().enumerate() {
            let sum: f64 = (0..rank)
                .map(|r| f64::from(up[source * rank + r]) * f64::from(down[r * num_inputs + col]))
                .sum();
            *weight = ((f64::from(f32::from_le_bytes(*weight)) + scale * sum) as f32).to_le_bytes();
        }
    }
}

#[test]
fn an_adapter_computes_what_its_merged_weights_would() {
    const NAMES: [&str; 7] = ["attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"];
    let tokens: Vec<u32> = (0..40).map(|i| i * 5 % 33).collect();
    for family in [Family::Llama, Family::Qwen2, Family::Qwen3, Family::Gemma3] {
        let model = TinyModel { family, ..plain_model(WeightType::F32) };
        let fixture = fixture(&model, 5, 11);
        let merged = model.open_changed(|name, bytes| {
            let parts: Vec<&str> = name.split('.').collect();
            let ["blk", layer, matrix, "weight"] = parts[..] else { return };
            let Some(index) = NAMES.iter().position(|known| *known == matrix) else { return };
            let is_permuted = family == Family::Llama && index < 2;
            let place = (layer.parse().unwrap(), index);
            merge(&fixture, place, is_permuted.then_some(model.head_dim), bytes);
        });
        let base = model.open();
        let adapter = adapter(&fixture, &base);
        let logits = |file: &ModelFile, adapter| {
            alone_with(&mut load(file, 2, Isa::detect(), 4), &tokens, adapter)
                .concat()
                .into_iter()
                .map(f32::from_bits)
                .collect::<Vec<_>>()
        };
        let (found, expected) = (logits(&base, Some(&adapter)), logits(&merged, None));
        let largest = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        // Keys and values are kept in f16, so that a last bit here and there differs.
        assert!(largest(&found, &expected) < 1e-3, "{}", largest(&found, &expected));
        assert!(largest(&found, &logits(&base, None)) > 0.1, "the adapter has no effect");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_sequence_does_not_depend_on_the_adapters_beside_it(
        model in tiny_models().prop_filter("experts have no adapters", |model| !model.family.has_experts()),
        ranks in (1usize..20, 1usize..40),
        seed: u64,
    ) {
        let mut random = Random(seed);
        let file = model.open();
        let adapters = [ranks.0, ranks.1].map(|rank| adapter(&fixture(&model, rank, rank as u64), &file));
        let chosen = |index: usize| [None, Some(&adapters[0]), Some(&adapters[1])][index % 3];
        let sequences = random_sequences(12, 50, model.vocab_size, &mut random);
        let mut baseline = load(&file, 1, Isa::Portable, 8);
        let expected: Vec<Rows> = sequences
            .iter()
            .enumerate()
            .map(|(index, tokens)| alone_with(&mut baseline, tokens, chosen(index)))
            .collect();
        for (num_threads, isa) in [(1, Isa::detect()), (2, Isa::detect()), (3, Isa::Portable)] {
            let mut runner = load(&file, num_threads, isa, 90);
            check_random_schedule_with(&mut runner, &sequences, &chosen, &expected, &mut random);
        }
    }
}

#[test]
fn smollm2_with_two_adapters_answers_alike_alone_and_in_any_batch() {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../.jetmill/models/smollm2-135m-instruct-q4_1.gguf");
    let file = ModelFile::open(&path).unwrap();
    let adapters = [1, 2].map(|seed| adapter(&LoraFixture { seed, ..SMOLLM2 }, &file));
    let chosen = |index: usize| [None, Some(&adapters[0]), Some(&adapters[1])][index % 3];
    let mut random = Random(3);
    let mut sequences = random_sequences(9, 30, file.config().vocab_size, &mut random);
    sequences[1] = sequences[0].clone();
    sequences[2] = sequences[0].clone();
    let mut runner = load(&file, 1, Isa::detect(), 4);
    let expected: Vec<Rows> = sequences
        .iter()
        .enumerate()
        .map(|(index, tokens)| alone_with(&mut runner, tokens, chosen(index)))
        .collect();
    assert!(expected[0] != expected[1] && expected[1] != expected[2] && expected[0] != expected[2]);
    let mut runner = load(&file, 2, Isa::detect(), 60);
    check_random_schedule_with(&mut runner, &sequences, &chosen, &expected, &mut random);
}

/// Runs the requests one after the other on one engine; the tokens and how many of the prompt were cached.
fn answers(runner: CpuRunner, requests: Vec<EngineRequest>) -> Vec<(Vec<u32>, u32)> {
    let vocab_size = runner.shape().vocab_size;
    let table = TokenTable::new((0..vocab_size).map(|_| ("x", false)), Vec::new());
    let (engine, mut outputs) =
        Engine::start(Box::new(runner), Arc::new(table), EngineConfig::default()).unwrap();
    let run = async {
        let mut answers = Vec::new();
        for request in requests {
            engine.submit(request).await.unwrap();
            let mut tokens = Vec::new();
            let finish = loop {
                let mut output = outputs.recv().await.unwrap();
                let sequence = output.sequences.remove(0);
                tokens.extend(sequence.token_ids);
                if let Some(finish) = sequence.finish {
                    break finish;
                }
            };
            answers.push((tokens, finish.usage.num_cached_prompt_tokens));
        }
        answers
    };
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(run)
}

#[test]
fn cached_blocks_are_shared_by_the_sequences_of_one_adapter_only() {
    let model = plain_model(WeightType::Q8_0);
    let file = model.open();
    let adapters = [1, 2].map(|seed| Arc::new(adapter(&fixture(&model, 4, seed), &file)));
    let same_as_first = Arc::new(adapter(&fixture(&model, 4, 1), &file));
    let request = |number: u128, adapter: Option<&Arc<LoraAdapter>>| {
        let sampling = SamplingParams { max_tokens: Some(6), temperature: 0.0, ..SamplingParams::default() };
        let id = InferenceId::new(uuid::Uuid::from_u128(number));
        let prompt = (0..40).map(|i| i * 3 % 33).collect();
        EngineRequest { adapter: adapter.cloned(), ..EngineRequest::new(id, prompt, sampling) }
    };
    let chosen = [None, Some(&adapters[0]), Some(&adapters[1]), None, Some(&same_as_first)];
    let requests = (1u128..).zip(chosen).map(|(number, adapter)| request(number, adapter)).collect();
    let found = answers(load(&file, 1, Isa::detect(), 32), requests);
    let num_cached: Vec<u32> = found.iter().map(|(_, num_cached)| *num_cached).collect();
    assert_eq!(num_cached, [0, 0, 0, 32, 32]);
    for (index, adapter) in chosen.into_iter().enumerate() {
        let alone = answers(load(&file, 1, Isa::detect(), 32), vec![request(9, adapter)]);
        assert_eq!(found[index].0, alone[0].0, "request {index}");
    }
}

/// Changes the fixture's files and says how they are refused.
fn refusal(change: impl FnOnce(&mut String, &mut Vec<LoraTensor>)) -> String {
    let model = plain_model(WeightType::F32);
    let fixture = fixture(&model, 4, 1);
    let (mut config_json, mut tensors) = (fixture.config_json(), fixture.tensors());
    change(&mut config_json, &mut tensors);
    let directory = tempfile::tempdir().unwrap();
    write_files(directory.path(), &config_json, &tensors);
    LoraAdapter::load(directory.path(), model.open().config(), 8).unwrap_err().to_string()
}

#[test]
fn what_does_not_fit_is_refused_by_its_name() {
    const K: &str = "base_model.model.model.layers.0.self_attn.k_proj";
    let check = |expected: &[&str], message: String| {
        for part in expected {
            assert!(message.contains(part), "{part:?} is not in {message:?}");
        }
    };
    let position = |tensors: &[LoraTensor], name: &str| {
        let by_name: HashMap<&str, usize> =
            tensors.iter().enumerate().map(|(index, tensor)| (tensor.name.as_str(), index)).collect();
        by_name[format!("{K}.{name}.weight").as_str()]
    };
    check(
        &["k_proj.lora_B.weight", "shape [64, 8]", "[128, 4]"],
        refusal(|_, tensors| {
            let index = position(tensors, "lora_B");
            tensors[index].shape = vec![64, 8];
        }),
    );
    check(
        &["k_proj.lora_B.weight", "no partner", "k_proj.lora_A.weight"],
        refusal(|_, tensors| {
            tensors.remove(position(tensors, "lora_A"));
        }),
    );
    check(
        &["k_proj.lora_A.weight", "not finite"],
        refusal(|_, tensors| {
            let index = position(tensors, "lora_A");
            let last = tensors[index].bytes.len() - 2;
            tensors[index].bytes[last..].copy_from_slice(&[0xc0, 0x7f]);
        }),
    );
    check(
        &["k_proj.lora_A.weight", "I32", "F32, F16, BF16"],
        refusal(|_, tensors| {
            // Layer 0's key matrix is stored in 16 bits: as wide as half as many integers.
            let index = position(tensors, "lora_A");
            tensors[index].bytes = vec![0; 4 * 4 * 256];
            tensors[index].dtype = "I32";
        }),
    );
    for name in [
        "base_model.model.lm_head.lora_A.weight",
        "base_model.model.model.layers.0.self_attn.q_proj.lora_magnitude_vector",
    ] {
        check(&[name, "is not supported"], refusal(|_, tensors| tensors[0].name = name.to_owned()));
    }
    check(
        &["layers.7.", "names a layer of 2"],
        refusal(|_, tensors| tensors[0].name = tensors[0].name.replace("layers.0", "layers.7")),
    );
    check(&["`r` is 9", "at most 8"], refusal(|config, _| *config = config.replace("\"r\": 4", "\"r\": 9")));
    check(
        &["down_proj.lora_A.weight", "[3, 512]"],
        refusal(|config, _| *config = config.replace("\"r\": 4", "\"r\": 3")),
    );
    check(
        &["use_dora"],
        refusal(|config, _| *config = config.replace("\"use_dora\": false", "\"use_dora\": true")),
    );
    check(&["adapter_config.json", "missing field `r`"], refusal(|config, _| *config = "{}".to_owned()));
    check(&["holds no tensors"], refusal(|_, tensors| tensors.clear()));
    check(
        &["adapter_model.safetensors", "corrupt or truncated"],
        refusal(|_, tensors| {
            tensors[0].bytes.pop();
        }),
    );
}
