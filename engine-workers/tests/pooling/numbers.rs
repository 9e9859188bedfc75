//! Vectors and scores.

use std::path::Path;

use engine_workers::cpu_runner::options::CpuRunnerOptions;
use engine_workers::model_file::encoder::{EncoderFile, is_encoder};
use engine_workers::pooling::encoder::{Encoder, EncoderInput};
use engine_workers::pooling::engine::PoolingEngine;
use engine_workers::tokenizer::Tokenizer;
use kernels::Isa;
use serde_json::json;

use crate::reference;
use crate::tiny_encoder::{Random, TinyEncoder, random_input};

const MINILM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../.jetmill/models/all-minilm-l6-v2");

fn encode(encoder: &mut Encoder, inputs: &[EncoderInput]) -> Vec<Vec<f32>> {
    encoder.encode(&inputs.iter().collect::<Vec<_>>()).unwrap()
}

fn bits(vector: &[f32]) -> Vec<u32> {
    vector.iter().map(|value| value.to_bits()).collect()
}

#[test]
fn vectors_and_scores_are_near_the_reference() {
    let mut random = Random(5);
    let inputs: Vec<_> = (0..20).map(|_| random_input(&mut random)).collect();
    let embedder = TinyEncoder::new(false, json!({}));
    let scorer = TinyEncoder::new(true, json!({}));
    for (vector, input) in encode(&mut embedder.load(2, Isa::detect()), &inputs).iter().zip(&inputs) {
        for (found, expected) in vector.iter().zip(reference::embedding(&embedder, input)) {
            assert!((f64::from(*found) - expected).abs() < 2e-5, "{found} is not {expected}");
        }
    }
    for (score, input) in encode(&mut scorer.load(2, Isa::detect()), &inputs).iter().zip(&inputs) {
        let expected = reference::score(&scorer, input);
        assert!((f64::from(score[0]) - expected).abs() < 2e-5, "{score:?} is not {expected}");
    }
}

#[test]
fn a_result_is_the_same_bits_whatever_shares_its_batch_on_every_isa_and_thread_count() {
    let mut random = Random(6);
    let inputs: Vec<_> = (0..24).map(|_| random_input(&mut random)).collect();
    for scores in [false, true] {
        let model = TinyEncoder::new(scores, json!({}));
        let mut portable = model.load(1, Isa::Portable);
        let alone: Vec<_> =
            inputs.iter().map(|input| bits(&encode(&mut portable, std::slice::from_ref(input))[0])).collect();
        for isa in Isa::available() {
            for num_threads in [1, 2] {
                let mut encoder = model.load(num_threads, isa);
                for batch_size in [1, 3, 24] {
                    let mut order: Vec<usize> = (0..inputs.len()).collect();
                    for i in (1..order.len()).rev() {
                        order.swap(i, random.below(i + 1));
                    }
                    for batch in order.chunks(batch_size) {
                        let shared: Vec<_> = batch.iter().map(|index| inputs[*index].clone()).collect();
                        for (vector, index) in encode(&mut encoder, &shared).iter().zip(batch) {
                            assert_eq!(
                                bits(vector),
                                alone[*index],
                                "{isa:?}, {num_threads} threads, input {index}"
                            );
                        }
                    }
                }
            }
        }
    }
}

#[tokio::test]
async fn requests_that_share_batches_get_the_results_of_their_own_inputs() {
    let mut random = Random(7);
    let model = TinyEncoder::new(false, json!({}));
    let mut encoder = model.load(1, Isa::detect());
    let engine = PoolingEngine::start(model.load(2, Isa::detect()), 64).unwrap();
    let requests: Vec<Vec<_>> =
        [1, 40, 7, 1].map(|num| (0..num).map(|_| random_input(&mut random)).collect()).into();
    let left_early = engine.encode(requests[1].clone());
    drop(left_early);
    let answers =
        futures_util::future::join_all(requests.iter().map(|inputs| engine.encode(inputs.clone()))).await;
    for (inputs, answer) in requests.iter().zip(answers) {
        assert_eq!(answer.unwrap(), encode(&mut encoder, inputs));
    }
    assert_eq!(engine.stats().inputs_total, 49);
    let outside = EncoderInput { token_ids: vec![9_999], second_start: 1 };
    assert!(engine.encode(vec![outside]).await.is_err());
    assert!(engine.encode(requests[0].clone()).await.is_ok(), "a bad request does not stop the engine");
}

#[test]
fn a_directory_without_an_encoder_is_told_apart_and_a_broken_one_is_named() {
    let model = TinyEncoder::new(false, json!({}));
    assert!(is_encoder(model.path()).unwrap());
    assert!(!is_encoder(Path::new("/nowhere")).unwrap());
    let llama = TinyEncoder::new(false, json!({"model_type": "llama"}));
    assert!(!is_encoder(llama.path()).unwrap());
    let wrong = TinyEncoder::new(false, json!({"intermediate_size": 97}));
    let options = CpuRunnerOptions::default();
    let error = Encoder::load(&EncoderFile::open(wrong.path()).unwrap(), &options).unwrap_err().to_string();
    assert!(
        error.contains("encoder.layer.0.intermediate.dense.weight") && error.contains("[97, 64]"),
        "{error}"
    );
}

struct MiniLm {
    tokenizer: Tokenizer,
    encoder: Encoder,
}

impl MiniLm {
    fn load() -> Self {
        assert!(Path::new(MINILM).exists(), "the model is missing: run infra/test, which fetches it");
        let file = EncoderFile::open(Path::new(MINILM)).unwrap();
        let tokenizer = Tokenizer::new(file.tokenizer()).unwrap();
        Self { tokenizer, encoder: Encoder::load(&file, &CpuRunnerOptions::default()).unwrap() }
    }

    fn embed(&mut self, texts: &[&str]) -> Vec<Vec<f32>> {
        let input = |text: &&str| {
            let framed = self.tokenizer.encode_framed(text, None, None).unwrap();
            EncoderInput { token_ids: framed.token_ids, second_start: framed.second_start }
        };
        let inputs: Vec<_> = texts.iter().map(input).collect();
        encode(&mut self.encoder, &inputs)
    }
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[test]
fn minilm_finds_a_happy_person_like_a_happy_dog() {
    let mut model = MiniLm::load();
    let vectors = model.embed(&["That is a happy person", "That is a happy dog", "Today is a sunny day"]);
    for (vector, expected) in vectors[1..].iter().zip([0.6946, 0.2569]) {
        let found = dot(&vectors[0], vector);
        assert!((found - expected).abs() < 1e-3, "{found} is not {expected}");
    }
    assert!(vectors.iter().all(|vector| vector.len() == 384 && (dot(vector, vector) - 1.0).abs() < 1e-5));
    assert_eq!(model.encoder.max_input_tokens(), 256);
}

#[test]
fn tokens_of_texts_and_pairs_are_framed_and_cut_inside_of_their_frame() {
    let model = MiniLm::load();
    let check = |text, second, max, expected: &[u32], second_start| {
        let framed = model.tokenizer.encode_framed(text, second, max).unwrap();
        assert_eq!(
            (framed.token_ids.as_slice(), framed.second_start),
            (expected, second_start),
            "{text} {second:?}"
        );
    };
    check("Hello world", None, None, &[101, 7592, 2088, 102], 4);
    check("Hello world", None, Some(3), &[101, 7592, 102], 3);
    check("Hello world", Some("hello"), None, &[101, 7592, 2088, 102, 7592, 102], 4);
    check("Hello world", Some("hello hello hello"), Some(6), &[101, 7592, 102, 7592, 7592, 102], 3);
    check("Hello", None, Some(1), &[101, 102], 2);
    check("", None, None, &[101, 102], 2);
}
