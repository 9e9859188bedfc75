//! Where the tensors of a model lie in a GGUF file.

use std::collections::HashMap;

use super::config::ModelConfig;
use super::error::ModelFileError;
use super::gguf::Gguf;
use super::tensor::{FfnMatrix, LayerTensor, TensorEntry, TensorRole};

/// Where each tensor lies that the configuration asks for.
pub(crate) fn entries(
    gguf: &Gguf<'_>,
    config: &ModelConfig,
) -> Result<HashMap<TensorRole, TensorEntry>, ModelFileError> {
    TensorRole::required(config).into_iter().map(|role| Ok((role, entry(gguf, config, role)?))).collect()
}

fn entry(gguf: &Gguf<'_>, config: &ModelConfig, role: TensorRole) -> Result<TensorEntry, ModelFileError> {
    let name = name(role);
    let whole = gguf.tensor(&name).ok_or_else(|| missing(gguf, &name))?;
    let shape = role.shape(config);
    let num_experts = config.experts.map_or(0, |experts| experts.num_experts);
    let stack = match role {
        TensorRole::Layer(_, LayerTensor::Expert(expert, _)) => Some((expert, num_experts)),
        _ => None,
    };
    let expected = match stack {
        Some((_, num_experts)) => [&[num_experts], shape.as_slice()].concat(),
        None => shape.clone(),
    };
    if without_leading_ones(&whole.shape) != without_leading_ones(&expected) {
        return Err(ModelFileError::WrongShape {
            path: gguf.path().to_owned(),
            tensor: name,
            found: whole.shape.clone(),
            expected,
        });
    }
    let entry = TensorEntry { shape, ..whole.clone() };
    Ok(match stack {
        Some((expert, num_experts)) => {
            let num_bytes = whole.num_bytes / num_experts;
            TensorEntry { offset: whole.offset + expert * num_bytes, num_bytes, ..entry }
        }
        None => entry,
    })
}

/// A matrix of one row may be stored as a vector.
fn without_leading_ones(shape: &[usize]) -> &[usize] {
    let num_ones = shape.iter().take_while(|dimension| **dimension == 1).count();
    &shape[num_ones..]
}

pub(crate) fn missing(gguf: &Gguf<'_>, name: &str) -> ModelFileError {
    ModelFileError::MissingTensor { path: gguf.path().to_owned(), tensor: name.to_owned() }
}

/// The name of the tensor that holds a role; the experts of a layer are one tensor on top of each other.
pub(crate) fn name(role: TensorRole) -> String {
    match role {
        TensorRole::TokenEmbedding => "token_embd.weight".to_owned(),
        TensorRole::OutputNorm => "output_norm.weight".to_owned(),
        TensorRole::Output => "output.weight".to_owned(),
        TensorRole::RopeFactors => "rope_freqs.weight".to_owned(),
        TensorRole::Layer(layer, tensor) => format!("blk.{layer}.{}", suffix(tensor)),
    }
}

fn suffix(tensor: LayerTensor) -> String {
    let ffn = |matrix: FfnMatrix, kind: &str| {
        let name = match matrix {
            FfnMatrix::Gate => "gate",
            FfnMatrix::Up => "up",
            FfnMatrix::Down => "down",
        };
        format!("ffn_{name}{kind}.weight")
    };
    let suffix = match tensor {
        LayerTensor::AttentionNorm => "attn_norm.weight",
        LayerTensor::Query => "attn_q.weight",
        LayerTensor::Key => "attn_k.weight",
        LayerTensor::Value => "attn_v.weight",
        LayerTensor::QueryBias => "attn_q.bias",
        LayerTensor::KeyBias => "attn_k.bias",
        LayerTensor::ValueBias => "attn_v.bias",
        LayerTensor::QueryNorm => "attn_q_norm.weight",
        LayerTensor::KeyNorm => "attn_k_norm.weight",
        LayerTensor::AttentionOutput => "attn_output.weight",
        LayerTensor::AttentionOutputBias => "attn_output.bias",
        LayerTensor::PostAttentionNorm => "post_attention_norm.weight",
        LayerTensor::FfnNorm => "ffn_norm.weight",
        LayerTensor::Router => "ffn_gate_inp.weight",
        LayerTensor::SharedExpertGate => "ffn_gate_inp_shexp.weight",
        LayerTensor::PostFfnNorm => "post_ffw_norm.weight",
        LayerTensor::Ffn(matrix) => return ffn(matrix, ""),
        LayerTensor::Expert(_, matrix) => return ffn(matrix, "_exps"),
        LayerTensor::SharedExpert(matrix) => return ffn(matrix, "_shexp"),
    };
    suffix.to_owned()
}
