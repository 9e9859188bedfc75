//! A real model whose feed-forward layers became mixtures of four experts that are all alike.

use std::path::Path;

use engine_workers::model_file::ModelFile;
use engine_workers::model_file::tensor::{LayerTensor, TensorRole};

use crate::gguf_file::{GgufFile, Tensor};
use crate::tiny_model::{Random, random_rows};
use crate::{logits, write_gguf};

const NUM_EXPERTS: usize = 4;

/// How the mixture is made.
struct Mixture {
    num_used: usize,
    /// Whether the router scores all experts alike.
    is_even: bool,
}

/// The largest relative difference between the logits of the mixture and of the model that it was made of.
fn largest_difference(mixture: &Mixture) -> f64 {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../.jetmill/models/smollm2-135m-instruct-q4_1.gguf");
    assert!(path.exists(), "{} is missing: run infra/test, which fetches it", path.display());
    let dense = ModelFile::open(&path).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let upcycled = write_gguf(&upcycle(&dense, mixture), directory.path());
    assert_eq!(upcycled.config().experts.map(|experts| experts.num_used), Some(mixture.num_used));

    let tokens: Vec<u32> = (0..40).map(|i| (i * i * 997 + 11) % 49_152).collect();
    let (given, expected) = (logits(&upcycled, &tokens), logits(&dense, &tokens));
    let norm =
        |row: &mut dyn Iterator<Item = f32>| row.map(|x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt();
    let relative = given.iter().zip(&expected).map(|(given, expected)| {
        let mut difference = given.iter().zip(expected).map(|(given, expected)| given - expected);
        norm(&mut difference) / norm(&mut expected.iter().copied())
    });
    relative.fold(0.0, f64::max)
}

/// One expert has the weight 1, and two or four that are scored alike have weights that a float holds exactly.
#[test]
fn a_mixture_of_like_experts_has_the_bits_of_the_model_that_it_was_made_of() {
    for (num_used, is_even) in [(1, false), (2, true), (4, true)] {
        let difference = largest_difference(&Mixture { num_used, is_even });
        assert!(difference == 0.0, "{num_used} of {NUM_EXPERTS}: {difference}");
    }
}

/// Any two weights add up to 1 but for rounding, which moves activations over the edges of their 8 bits, as another order of
/// summation does.
#[test]
fn a_mixture_of_two_unlike_weights_is_near_the_model_that_it_was_made_of() {
    let difference = largest_difference(&Mixture { num_used: 2, is_even: false });
    assert!(difference <= 0.05, "{difference}");
}

fn upcycle(model: &ModelFile, mixture: &Mixture) -> Vec<u8> {
    let config = model.config();
    let mut random = Random(3);
    let num_weights = NUM_EXPERTS * config.hidden_size;
    let mut tensors = Vec::new();
    for role in TensorRole::required(config) {
        let view = model.tensor(role).unwrap();
        let name = model.tensor_name(role);
        let (name, shape, bytes) = match role {
            TensorRole::Layer(_, LayerTensor::Ffn(_)) => (
                name.replace(".weight", "_exps.weight"),
                [&[NUM_EXPERTS], view.shape.as_slice()].concat(),
                view.bytes.repeat(NUM_EXPERTS),
            ),
            _ => (name, view.shape, view.bytes.to_vec()),
        };
        tensors.push(Tensor { name, shape, weight_type: view.ty, bytes });
    }
    for layer in 0..config.num_layers {
        tensors.push(Tensor {
            name: format!("blk.{layer}.ffn_gate_inp.weight"),
            shape: vec![NUM_EXPERTS, config.hidden_size],
            weight_type: kernels::WeightType::F32,
            bytes: if mixture.is_even {
                vec![0; 4 * num_weights]
            } else {
                random_rows(kernels::WeightType::F32, num_weights, &mut random)
            },
        });
    }
    GgufFile {
        arch: "llama",
        numbers: vec![
            ("block_count", config.num_layers),
            ("context_length", config.max_context_tokens),
            ("embedding_length", config.hidden_size),
            ("feed_forward_length", config.ffn_size),
            ("attention.head_count", config.num_heads),
            ("attention.head_count_kv", config.num_kv_heads),
            ("expert_count", NUM_EXPERTS),
            ("expert_used_count", mixture.num_used),
        ],
        floats: vec![
            ("attention.layer_norm_rms_epsilon", config.rms_eps),
            ("rope.freq_base", config.rope_theta),
        ],
        num_tokens: config.vocab_size,
        tensors: &tensors,
    }
    .bytes()
}
