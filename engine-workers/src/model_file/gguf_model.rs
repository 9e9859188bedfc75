//! What a GGUF file says about the model in it.

use std::collections::HashMap;

use super::config::{Architecture, ModelConfig, RopeScaling, RopeStyle};
use super::error::ModelFileError;
use super::generation_defaults::GenerationDefaults;
use super::gguf::Gguf;
use super::tensor::{LayerTensor, TensorEntry, TensorRole};
use crate::chat_template::source::TemplateSources;

const DEFAULT_ROPE_THETA: f32 = 10_000.0;
const DEFAULT_BETA_FAST: f32 = 32.0;
const DEFAULT_BETA_SLOW: f32 = 1.0;

/// The configuration.
pub(crate) fn config(gguf: &Gguf<'_>) -> Result<ModelConfig, ModelFileError> {
    let architecture = architecture(gguf)?;
    let key = |suffix: &str| format!("{}.{suffix}", architecture.name());
    refuse_unsupported(gguf, &key)?;

    let embedding =
        gguf.tensor("token_embd.weight").ok_or_else(|| missing_tensor(gguf, "token_embd.weight"))?;
    let num_heads = gguf.required_usize(&key("attention.head_count"))?;
    let hidden_size = gguf.required_usize(&key("embedding_length"))?;
    let head_dim = match gguf.usize(&key("attention.key_length"))? {
        Some(head_dim) => head_dim,
        None => hidden_size.checked_div(num_heads).unwrap_or(0),
    };
    if let Some(value_dim) = gguf.usize(&key("attention.value_length"))?
        && value_dim != head_dim
    {
        return Err(gguf.invalid(
            &key("attention.value_length"),
            value_dim.to_string(),
            "the same as the length of keys",
        ));
    }
    ModelConfig {
        architecture,
        hidden_size,
        num_layers: gguf.required_usize(&key("block_count"))?,
        num_heads,
        num_kv_heads: gguf.usize(&key("attention.head_count_kv"))?.unwrap_or(num_heads),
        head_dim,
        rotary_dim: gguf.usize(&key("rope.dimension_count"))?.unwrap_or(head_dim),
        ffn_size: gguf.required_usize(&key("feed_forward_length"))?,
        vocab_size: embedding.shape.first().copied().unwrap_or(0),
        rms_eps: gguf.required_f32(&key("attention.layer_norm_rms_epsilon"))?,
        rope_theta: gguf.f32(&key("rope.freq_base"))?.unwrap_or(DEFAULT_ROPE_THETA),
        rope_scaling: rope_scaling(gguf, &key)?,
        rope_style: match architecture {
            Architecture::Llama => RopeStyle::Interleaved,
            Architecture::Qwen2 => RopeStyle::Halves,
        },
        max_context_tokens: gguf.required_usize(&key("context_length"))?,
        tie_embeddings: gguf.tensor("output.weight").is_none(),
        has_qkv_bias: gguf.tensor("blk.0.attn_q.bias").is_some(),
        has_attention_output_bias: gguf.tensor("blk.0.attn_output.bias").is_some(),
    }
    .validated(gguf.path())
}

fn architecture(gguf: &Gguf<'_>) -> Result<Architecture, ModelFileError> {
    let found = gguf.required_text("general.architecture")?;
    Architecture::ALL.into_iter().find(|architecture| architecture.name() == found).ok_or_else(|| {
        ModelFileError::UnsupportedArchitecture {
            path: gguf.path().to_owned(),
            found: found.to_owned(),
            supported: Architecture::ALL.map(Architecture::name).join(", "),
        }
    })
}

fn refuse_unsupported(gguf: &Gguf<'_>, key: &impl Fn(&str) -> String) -> Result<(), ModelFileError> {
    let refused = [
        (key("expert_count"), "0: mixtures of experts are not supported"),
        (key("attention.sliding_window"), "0: sliding windows are not supported"),
    ];
    for (name, expected) in refused {
        let value = gguf.usize(&name)?.unwrap_or(0);
        if value != 0 {
            return Err(gguf.invalid(&name, value.to_string(), expected));
        }
    }
    let num_parts = gguf.usize("split.count")?.unwrap_or(1);
    if num_parts > 1 {
        return Err(gguf.invalid(
            "split.count",
            num_parts.to_string(),
            "1: join the parts into one file first (llama-gguf-split --merge)",
        ));
    }
    Ok(())
}

fn rope_scaling(gguf: &Gguf<'_>, key: &impl Fn(&str) -> String) -> Result<RopeScaling, ModelFileError> {
    if gguf.tensor("rope_freqs.weight").is_some() {
        return Ok(RopeScaling::FactorsTensor);
    }
    let factor = match gguf.f32(&key("rope.scaling.factor"))? {
        Some(factor) => Some(factor),
        None => gguf.f32(&key("rope.scale_linear"))?,
    };
    let kind_key = key("rope.scaling.type");
    match gguf.text(&kind_key)? {
        Some("none") => Ok(RopeScaling::None),
        // A factor without a type is what files older than the type key carry; it was always linear.
        None | Some("linear") => Ok(match factor {
            Some(factor) if factor != 1.0 && factor != 0.0 => RopeScaling::Linear { factor },
            _ => RopeScaling::None,
        }),
        Some("yarn") => Ok(RopeScaling::Yarn {
            factor: factor.ok_or_else(|| gguf.missing(&key("rope.scaling.factor")))?,
            original_context_tokens: gguf.required_usize(&key("rope.scaling.original_context_length"))?,
            attention_factor: gguf.f32(&key("rope.scaling.attn_factor"))?,
            beta_fast: gguf.f32(&key("rope.scaling.yarn_beta_fast"))?.unwrap_or(DEFAULT_BETA_FAST),
            beta_slow: gguf.f32(&key("rope.scaling.yarn_beta_slow"))?.unwrap_or(DEFAULT_BETA_SLOW),
        }),
        Some(kind) => Err(gguf.invalid(&kind_key, kind.to_owned(), "none, linear or yarn")),
    }
}

/// Where each tensor lies that the configuration asks for.
pub(crate) fn tensors(
    gguf: &Gguf<'_>,
    config: &ModelConfig,
) -> Result<HashMap<TensorRole, TensorEntry>, ModelFileError> {
    TensorRole::required(config)
        .into_iter()
        .map(|role| {
            let name = tensor_name(role);
            let entry = gguf.tensor(&name).ok_or_else(|| missing_tensor(gguf, &name))?;
            let expected = role.shape(config);
            if entry.shape != expected {
                return Err(ModelFileError::WrongShape {
                    path: gguf.path().to_owned(),
                    tensor: name,
                    found: entry.shape.clone(),
                    expected,
                });
            }
            Ok((role, entry.clone()))
        })
        .collect()
}

fn missing_tensor(gguf: &Gguf<'_>, name: &str) -> ModelFileError {
    ModelFileError::MissingTensor { path: gguf.path().to_owned(), tensor: name.to_owned() }
}

/// The name of a role in GGUF files.
pub(crate) fn tensor_name(role: TensorRole) -> String {
    match role {
        TensorRole::TokenEmbedding => "token_embd.weight".to_owned(),
        TensorRole::OutputNorm => "output_norm.weight".to_owned(),
        TensorRole::Output => "output.weight".to_owned(),
        TensorRole::RopeFactors => "rope_freqs.weight".to_owned(),
        TensorRole::Layer(layer, tensor) => {
            let suffix = match tensor {
                LayerTensor::AttentionNorm => "attn_norm.weight",
                LayerTensor::Query => "attn_q.weight",
                LayerTensor::Key => "attn_k.weight",
                LayerTensor::Value => "attn_v.weight",
                LayerTensor::QueryBias => "attn_q.bias",
                LayerTensor::KeyBias => "attn_k.bias",
                LayerTensor::ValueBias => "attn_v.bias",
                LayerTensor::AttentionOutput => "attn_output.weight",
                LayerTensor::AttentionOutputBias => "attn_output.bias",
                LayerTensor::FfnNorm => "ffn_norm.weight",
                LayerTensor::Gate => "ffn_gate.weight",
                LayerTensor::Up => "ffn_up.weight",
                LayerTensor::Down => "ffn_down.weight",
            };
            format!("blk.{layer}.{suffix}")
        }
    }
}

/// The chat templates: `tokenizer.chat_template` and `tokenizer.chat_template.<name>`.
pub(crate) fn templates(gguf: &Gguf<'_>) -> Result<TemplateSources, ModelFileError> {
    let key = "tokenizer.chat_template";
    let mut named = Vec::new();
    if gguf.get("tokenizer.chat_templates").is_some() {
        for name in gguf.required_texts("tokenizer.chat_templates")? {
            named.push(((*name).to_owned(), gguf.required_text(&format!("{key}.{name}"))?.to_owned()));
        }
    }
    Ok(TemplateSources { default: gguf.text(key)?.map(str::to_owned), named })
}

/// The sampling parameters that the model's makers recommend.
pub(crate) fn generation_defaults(gguf: &Gguf<'_>) -> Result<GenerationDefaults, ModelFileError> {
    Ok(GenerationDefaults {
        temperature: gguf.f32("general.sampling.temp")?,
        top_p: gguf.f32("general.sampling.top_p")?,
        top_k: gguf.usize("general.sampling.top_k")?.and_then(|top_k| u32::try_from(top_k).ok()),
        min_p: gguf.f32("general.sampling.min_p")?,
        repetition_penalty: gguf.f32("general.sampling.penalty_repeat")?,
    })
}
