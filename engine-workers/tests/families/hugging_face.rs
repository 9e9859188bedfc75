//! Tiny models as Hugging Face directories.

use std::path::Path;

use kernels::WeightType;
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde_json::{Value, json};

use crate::gguf_file::Tensor;
use crate::tiny_model::{
    Family, NUM_EXPERTS, NUM_USED_EXPERTS, QUERY_SIZE, ROPE_THETA, SHARED_FFN_SIZE, TinyModel, WINDOW_TOKENS,
};

/// Writes the model; its tensors must be of floats.
pub(crate) fn write(model: &TinyModel, tensors: &[Tensor], directory: &Path) {
    let mut named: Vec<(String, Vec<usize>, Vec<u8>)> = Vec::new();
    for tensor in tensors {
        assert_eq!(tensor.weight_type, WeightType::F32);
        let (layer, suffix) = match tensor.name.strip_prefix("blk.") {
            Some(rest) => rest.split_once('.').unwrap(),
            None => ("", tensor.name.as_str()),
        };
        let prefix = if layer.is_empty() { String::new() } else { format!("model.layers.{layer}.") };
        if let Some(kind) = suffix.strip_suffix("_exps.weight") {
            let size = tensor.bytes.len() / NUM_EXPERTS;
            for (expert, bytes) in tensor.bytes.chunks_exact(size).enumerate() {
                let name = format!("{prefix}{}.weight", expert_name(model.family, kind, expert));
                named.push((name, tensor.shape[1..].to_vec(), bytes.to_vec()));
            }
            continue;
        }
        let name = format!("{prefix}{}", name(model.family, suffix));
        let shape = if suffix == "ffn_gate_inp_shexp.weight" {
            vec![1, tensor.shape[0]]
        } else {
            tensor.shape.clone()
        };
        // Gemma's checkpoints hold what is added to 1.
        let offset = if model.family == Family::Gemma3 && suffix.contains("norm") { 1.0 } else { 0.0 };
        let values = tensor.bytes.chunks_exact(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap()));
        named.push((name, shape, values.flat_map(|value| (value - offset).to_le_bytes()).collect()));
    }
    let views = named.iter().map(|(name, shape, bytes)| {
        (name.as_str(), TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap())
    });
    let file = |name: &str| directory.join(name);
    std::fs::write(file("model.safetensors"), safetensors::serialize(views, None).unwrap()).unwrap();
    std::fs::write(file("config.json"), config(model).to_string()).unwrap();
    let tokenizer = json!({"version": "1.0", "added_tokens": [],
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
        "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
        "model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}});
    std::fs::write(file("tokenizer.json"), tokenizer.to_string()).unwrap();
}

fn expert_name(family: Family, kind: &str, expert: usize) -> String {
    let (mixtral, qwen) = match kind {
        "ffn_gate" => ("w1", "gate_proj"),
        "ffn_up" => ("w3", "up_proj"),
        _ => ("w2", "down_proj"),
    };
    match family {
        Family::Mixtral => format!("block_sparse_moe.experts.{expert}.{mixtral}"),
        _ => format!("mlp.experts.{expert}.{qwen}"),
    }
}

fn name(family: Family, suffix: &str) -> &str {
    let is_gemma = family == Family::Gemma3;
    match suffix {
        "token_embd.weight" => "model.embed_tokens.weight",
        "output_norm.weight" => "model.norm.weight",
        "output.weight" => "lm_head.weight",
        "attn_norm.weight" => "input_layernorm.weight",
        "attn_q.weight" => "self_attn.q_proj.weight",
        "attn_k.weight" => "self_attn.k_proj.weight",
        "attn_v.weight" => "self_attn.v_proj.weight",
        "attn_q.bias" => "self_attn.q_proj.bias",
        "attn_k.bias" => "self_attn.k_proj.bias",
        "attn_v.bias" => "self_attn.v_proj.bias",
        "attn_q_norm.weight" => "self_attn.q_norm.weight",
        "attn_k_norm.weight" => "self_attn.k_norm.weight",
        "attn_output.weight" => "self_attn.o_proj.weight",
        "post_attention_norm.weight" => "post_attention_layernorm.weight",
        "ffn_norm.weight" if is_gemma => "pre_feedforward_layernorm.weight",
        "ffn_norm.weight" => "post_attention_layernorm.weight",
        "post_ffw_norm.weight" => "post_feedforward_layernorm.weight",
        "ffn_gate.weight" => "mlp.gate_proj.weight",
        "ffn_up.weight" => "mlp.up_proj.weight",
        "ffn_down.weight" => "mlp.down_proj.weight",
        "ffn_gate_inp.weight" if family == Family::Mixtral => "block_sparse_moe.gate.weight",
        "ffn_gate_inp.weight" => "mlp.gate.weight",
        "ffn_gate_inp_shexp.weight" => "mlp.shared_expert_gate.weight",
        "ffn_gate_shexp.weight" => "mlp.shared_expert.gate_proj.weight",
        "ffn_up_shexp.weight" => "mlp.shared_expert.up_proj.weight",
        "ffn_down_shexp.weight" => "mlp.shared_expert.down_proj.weight",
        other => panic!("no name for {other}"),
    }
}

/// As the makers write it, with what they leave out left out.
fn config(model: &TinyModel) -> Value {
    let family = model.family;
    let mut config = json!({
        "hidden_size": model.hidden_size, "num_hidden_layers": model.num_layers,
        "num_attention_heads": QUERY_SIZE / model.head_dim, "num_key_value_heads": model.num_kv_heads,
        "head_dim": model.head_dim, "intermediate_size": model.ffn_size, "vocab_size": model.vocab_size,
        "max_position_embeddings": 512, "rms_norm_eps": 1e-5, "rope_theta": ROPE_THETA,
    });
    // Gemma's default is true, the others' false.
    if model.is_tied != (family == Family::Gemma3) {
        config["tie_word_embeddings"] = model.is_tied.into();
    }
    let more = match family {
        Family::Llama => json!({"model_type": "llama", "hidden_act": "silu"}),
        Family::Mistral => json!({"model_type": "mistral", "sliding_window": WINDOW_TOKENS}),
        Family::Mixtral => json!({"model_type": "mixtral", "sliding_window": null,
            "num_local_experts": NUM_EXPERTS, "num_experts_per_tok": NUM_USED_EXPERTS}),
        Family::Qwen2 => json!({"model_type": "qwen2", "sliding_window": 16, "use_sliding_window": false,
            "max_window_layers": 0}),
        Family::Qwen2Moe => json!({"model_type": "qwen2_moe", "num_experts": NUM_EXPERTS,
            "num_experts_per_tok": NUM_USED_EXPERTS, "moe_intermediate_size": model.ffn_size, "intermediate_size": 1024,
            "shared_expert_intermediate_size": SHARED_FFN_SIZE, "norm_topk_prob": false, "decoder_sparse_step": 1,
            "mlp_only_layers": []}),
        Family::Qwen3 => json!({"model_type": "qwen3", "attention_bias": false, "use_sliding_window": false}),
        Family::Qwen3Moe => json!({"model_type": "qwen3_moe", "num_experts": NUM_EXPERTS,
            "num_experts_per_tok": NUM_USED_EXPERTS, "moe_intermediate_size": model.ffn_size, "intermediate_size": 1024,
            "norm_topk_prob": true}),
        Family::Gemma3 => json!({"model_type": "gemma3_text", "hidden_activation": "gelu_pytorch_tanh",
            "query_pre_attn_scalar": model.head_dim, "sliding_window": WINDOW_TOKENS, "rope_local_base_freq": 10000.0,
            "layer_types": (1..=model.num_layers)
                .map(|layer| if layer % 2 == 0 { "full_attention" } else { "sliding_attention" })
                .collect::<Vec<_>>(),
            "attn_logit_softcapping": null}),
    };
    config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    config
}
