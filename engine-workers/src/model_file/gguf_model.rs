//! What a GGUF file says about the model in it.

use super::config::{Architecture, ModelConfig, RopeScaling, RopeStyle};
use super::error::ModelFileError;
use super::experts::ExpertConfig;
use super::generation_defaults::GenerationDefaults;
use super::gguf::Gguf;
use super::gguf_tensors;
use super::gguf_value::GgufValue;
use super::window::{SlidingWindow, WindowLayers};
use crate::chat_template::source::TemplateSources;

const DEFAULT_ROPE_THETA: f32 = 10_000.0;
/// What gemma3's files leave out: five layers with a window, then one without, with rotary frequencies of their own.
const GEMMA3_WINDOW_PERIOD: usize = 6;
const GEMMA3_WINDOW_ROPE_THETA: f32 = 10_000.0;
/// The one gemma3 (27B, by its layers) whose scores are scaled by the width per head instead of the head's.
const GEMMA3_27B_LAYERS: usize = 62;
const DEFAULT_BETA_FAST: f32 = 32.0;
const DEFAULT_BETA_SLOW: f32 = 1.0;

/// The configuration.
pub(crate) fn config(gguf: &Gguf<'_>) -> Result<ModelConfig, ModelFileError> {
    let architecture = architecture(gguf)?;
    let key = |suffix: &str| format!("{}.{suffix}", architecture.name());
    refuse_unsupported(gguf, &key)?;

    let embedding =
        gguf.tensor("token_embd.weight").ok_or_else(|| gguf_tensors::missing(gguf, "token_embd.weight"))?;
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
    let num_layers = gguf.required_usize(&key("block_count"))?;
    let ffn_size = gguf.required_usize(&key("feed_forward_length"))?;
    ModelConfig {
        architecture,
        hidden_size,
        num_layers,
        num_heads,
        num_kv_heads: gguf.usize(&key("attention.head_count_kv"))?.unwrap_or(num_heads),
        head_dim,
        rotary_dim: gguf.usize(&key("rope.dimension_count"))?.unwrap_or(head_dim),
        ffn_size,
        experts: experts(gguf, architecture, ffn_size)?,
        activation: architecture.activation(),
        vocab_size: embedding.shape.first().copied().unwrap_or(0),
        embedding_scale: architecture.embedding_scale(hidden_size),
        rms_eps: gguf.required_f32(&key("attention.layer_norm_rms_epsilon"))?,
        // Converters store what the norm multiplies by.
        norm_weight_offset: 0.0,
        has_post_norms: architecture == Architecture::Gemma3,
        has_qk_norm: architecture.has_qk_norm(),
        attention_scale: match architecture {
            Architecture::Gemma3 if num_layers == GEMMA3_27B_LAYERS => {
                (num_heads as f32 / hidden_size as f32).sqrt()
            }
            _ => 1.0 / (head_dim as f32).sqrt(),
        },
        window: window(gguf, architecture)?,
        rope_theta: gguf.f32(&key("rope.freq_base"))?.unwrap_or(DEFAULT_ROPE_THETA),
        rope_scaling: rope_scaling(gguf, &key)?,
        rope_style: match architecture {
            Architecture::Llama => RopeStyle::Interleaved,
            _ => RopeStyle::Halves,
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

fn experts(
    gguf: &Gguf<'_>,
    architecture: Architecture,
    ffn_size: usize,
) -> Result<Option<ExpertConfig>, ModelFileError> {
    let key = |suffix: &str| format!("{}.{suffix}", architecture.name());
    let num_experts = gguf.usize(&key("expert_count"))?.unwrap_or(0);
    if num_experts == 0 {
        return match architecture {
            Architecture::Qwen2Moe | Architecture::Qwen3Moe => Err(gguf.missing(&key("expert_count"))),
            _ => Ok(None),
        };
    }
    let ffn_size = |suffix: &str| Ok(gguf.usize(&key(suffix))?.unwrap_or(ffn_size));
    let (normalizes_weights, shared_ffn_size) = match architecture {
        Architecture::Llama | Architecture::Qwen3Moe => (true, None),
        Architecture::Qwen2Moe => (false, Some(ffn_size("expert_shared_feed_forward_length")?)),
        Architecture::Qwen2 | Architecture::Qwen3 | Architecture::Gemma3 => {
            let expected = "0: this architecture has no mixtures of experts";
            return Err(gguf.invalid(&key("expert_count"), num_experts.to_string(), expected));
        }
    };
    Ok(Some(ExpertConfig {
        num_experts,
        num_used: gguf.required_usize(&key("expert_used_count"))?,
        ffn_size: ffn_size("expert_feed_forward_length")?,
        normalizes_weights: gguf.bool(&key("expert_weights_norm"))?.unwrap_or(normalizes_weights),
        shared_ffn_size,
    }))
}

fn window(gguf: &Gguf<'_>, architecture: Architecture) -> Result<Option<SlidingWindow>, ModelFileError> {
    let key = |suffix: &str| format!("{}.{suffix}", architecture.name());
    let num_tokens = gguf.usize(&key("attention.sliding_window"))?.unwrap_or(0);
    if num_tokens == 0 {
        return Ok(None);
    }
    let is_gemma3 = architecture == Architecture::Gemma3;
    let pattern_key = key("attention.sliding_window_pattern");
    let layers = if let Some(GgufValue::Numbers(_)) = gguf.get(&pattern_key) {
        let layers = gguf.integers(&pattern_key)?.unwrap_or_default();
        WindowLayers::Listed(layers.into_iter().map(|has_window| has_window != 0).collect())
    } else {
        match gguf.usize(&pattern_key)? {
            Some(period) => WindowLayers::AllButEvery { period },
            None if is_gemma3 => WindowLayers::AllButEvery { period: GEMMA3_WINDOW_PERIOD },
            None => WindowLayers::All,
        }
    };
    let default_theta = is_gemma3.then_some(GEMMA3_WINDOW_ROPE_THETA);
    let rope_theta = gguf.f32(&key("rope.freq_base_swa"))?.or(default_theta);
    Ok(Some(SlidingWindow { num_tokens, layers, rope_theta }))
}

fn refuse_unsupported(gguf: &Gguf<'_>, key: &impl Fn(&str) -> String) -> Result<(), ModelFileError> {
    for suffix in ["attn_logit_softcapping", "final_logit_softcapping"] {
        let name = key(suffix);
        let cap = gguf.f32(&name)?.unwrap_or(0.0);
        if cap != 0.0 {
            return Err(gguf.invalid(&name, cap.to_string(), "0: soft caps are not supported"));
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
