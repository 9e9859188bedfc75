//! The names of tensors in the checkpoints of `LlamaForCausalLM` and its kin.

use super::config::{Architecture, ModelConfig};
use super::tensor::{FfnMatrix, LayerTensor, TensorRole};

/// The name of a role.
pub(crate) fn tensor_name(role: TensorRole, config: &ModelConfig) -> String {
    match role {
        TensorRole::TokenEmbedding => "model.embed_tokens.weight".to_owned(),
        TensorRole::OutputNorm => "model.norm.weight".to_owned(),
        TensorRole::Output => "lm_head.weight".to_owned(),
        TensorRole::RopeFactors => "model.rope_factors".to_owned(),
        TensorRole::Layer(layer, tensor) => format!("model.layers.{layer}.{}", suffix(tensor, config)),
    }
}

fn suffix(tensor: LayerTensor, config: &ModelConfig) -> String {
    let is_mixtral = config.architecture == Architecture::Llama;
    let suffix = match tensor {
        LayerTensor::AttentionNorm => "input_layernorm.weight",
        LayerTensor::Query => "self_attn.q_proj.weight",
        LayerTensor::Key => "self_attn.k_proj.weight",
        LayerTensor::Value => "self_attn.v_proj.weight",
        LayerTensor::QueryBias => "self_attn.q_proj.bias",
        LayerTensor::KeyBias => "self_attn.k_proj.bias",
        LayerTensor::ValueBias => "self_attn.v_proj.bias",
        LayerTensor::QueryNorm => "self_attn.q_norm.weight",
        LayerTensor::KeyNorm => "self_attn.k_norm.weight",
        LayerTensor::AttentionOutput => "self_attn.o_proj.weight",
        LayerTensor::AttentionOutputBias => "self_attn.o_proj.bias",
        // Without norms after the layers, the norm before the feed-forward layer has this name.
        LayerTensor::PostAttentionNorm => "post_attention_layernorm.weight",
        LayerTensor::FfnNorm if config.has_post_norms => "pre_feedforward_layernorm.weight",
        LayerTensor::FfnNorm => "post_attention_layernorm.weight",
        LayerTensor::PostFfnNorm => "post_feedforward_layernorm.weight",
        LayerTensor::Router if is_mixtral => "block_sparse_moe.gate.weight",
        LayerTensor::Router => "mlp.gate.weight",
        LayerTensor::SharedExpertGate => "mlp.shared_expert_gate.weight",
        LayerTensor::Ffn(matrix) => return format!("mlp.{}.weight", projection(matrix)),
        LayerTensor::Expert(expert, matrix) if is_mixtral => {
            let name = match matrix {
                FfnMatrix::Gate => "w1",
                FfnMatrix::Up => "w3",
                FfnMatrix::Down => "w2",
            };
            return format!("block_sparse_moe.experts.{expert}.{name}.weight");
        }
        LayerTensor::Expert(expert, matrix) => {
            return format!("mlp.experts.{expert}.{}.weight", projection(matrix));
        }
        LayerTensor::SharedExpert(matrix) => {
            return format!("mlp.shared_expert.{}.weight", projection(matrix));
        }
    };
    suffix.to_owned()
}

fn projection(matrix: FfnMatrix) -> &'static str {
    match matrix {
        FfnMatrix::Gate => "gate_proj",
        FfnMatrix::Up => "up_proj",
        FfnMatrix::Down => "down_proj",
    }
}
