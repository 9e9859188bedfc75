//! `config.json` of a Hugging Face directory as the numbers of a transformer.

use std::path::Path;

use kernels::Activation;
use serde::Deserialize;

use super::config::{Architecture, ModelConfig, RopeScaling, RopeStyle};
use super::error::ModelFileError;
use super::experts::ExpertConfig;
use super::hugging_face_config::TokenIds;
use super::window::{SlidingWindow, WindowLayers};

/// The fields of `config.json` that matter.
#[derive(Debug, Deserialize)]
pub(crate) struct ConfigJson {
    model_type: String,
    hidden_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    num_key_value_heads: Option<usize>,
    head_dim: Option<usize>,
    intermediate_size: usize,
    vocab_size: usize,
    max_position_embeddings: usize,
    #[serde(default = "default_rms_eps")]
    rms_norm_eps: f32,
    rope_theta: Option<f32>,
    rope_scaling: Option<RopeJson>,
    rope_parameters: Option<RopeJson>,
    rope_local_base_freq: Option<f32>,
    partial_rotary_factor: Option<f32>,
    tie_word_embeddings: Option<bool>,
    #[serde(default)]
    attention_bias: bool,
    qkv_bias: Option<bool>,
    #[serde(default)]
    mlp_bias: bool,
    hidden_act: Option<String>,
    hidden_activation: Option<String>,
    query_pre_attn_scalar: Option<f32>,
    attn_logit_softcapping: Option<f32>,
    final_logit_softcapping: Option<f32>,
    use_bidirectional_attention: Option<bool>,
    sliding_window: Option<usize>,
    use_sliding_window: Option<bool>,
    max_window_layers: Option<usize>,
    #[serde(alias = "_sliding_window_pattern")]
    sliding_window_pattern: Option<usize>,
    layer_types: Option<Vec<String>>,
    #[serde(alias = "num_local_experts")]
    num_experts: Option<usize>,
    num_experts_per_tok: Option<usize>,
    moe_intermediate_size: Option<usize>,
    shared_expert_intermediate_size: Option<usize>,
    norm_topk_prob: Option<bool>,
    decoder_sparse_step: Option<usize>,
    #[serde(default)]
    mlp_only_layers: Vec<usize>,
    quantization_config: Option<serde_json::Value>,
    pub(crate) bos_token_id: Option<TokenIds>,
    pub(crate) eos_token_id: Option<TokenIds>,
    pub(crate) pad_token_id: Option<TokenIds>,
}

#[derive(Debug, Deserialize)]
struct RopeJson {
    #[serde(alias = "type")]
    rope_type: Option<String>,
    rope_theta: Option<f32>,
    factor: Option<f32>,
    low_freq_factor: Option<f32>,
    high_freq_factor: Option<f32>,
    original_max_position_embeddings: Option<usize>,
    attention_factor: Option<f32>,
    beta_fast: Option<f32>,
    beta_slow: Option<f32>,
    full_attention: Option<Box<RopeJson>>,
    sliding_attention: Option<Box<RopeJson>>,
}

fn default_rms_eps() -> f32 {
    1e-6
}

/// The values of `model_type` that are known.
const MODEL_TYPES: [(&str, Architecture); 8] = [
    ("llama", Architecture::Llama),
    ("mistral", Architecture::Llama),
    ("mixtral", Architecture::Llama),
    ("qwen2", Architecture::Qwen2),
    ("qwen2_moe", Architecture::Qwen2Moe),
    ("qwen3", Architecture::Qwen3),
    ("qwen3_moe", Architecture::Qwen3Moe),
    ("gemma3_text", Architecture::Gemma3),
];

/// What a family's configurations may leave out.
struct Defaults {
    head_dim: Option<usize>,
    rope_theta: f32,
    window_rope_theta: Option<f32>,
    ties_embeddings: bool,
    activation: &'static str,
    query_pre_attn_scalar: Option<f32>,
}

impl Defaults {
    fn of(model_type: &str) -> Self {
        let plain = Self {
            head_dim: None,
            rope_theta: 10_000.0,
            window_rope_theta: None,
            ties_embeddings: false,
            activation: "silu",
            query_pre_attn_scalar: None,
        };
        match model_type {
            "mixtral" => Self { rope_theta: 1e6, ..plain },
            "qwen3" => Self { head_dim: Some(128), ..plain },
            "gemma3_text" => Self {
                head_dim: Some(256),
                rope_theta: 1e6,
                window_rope_theta: Some(10_000.0),
                ties_embeddings: true,
                activation: "gelu_pytorch_tanh",
                query_pre_attn_scalar: Some(256.0),
            },
            _ => plain,
        }
    }
}

impl ConfigJson {
    /// The configuration in the common form; `path` is that of `config.json`.
    pub(crate) fn to_config(&self, path: &Path) -> Result<ModelConfig, ModelFileError> {
        let architecture = self.architecture(path)?;
        let defaults = Defaults::of(&self.model_type);
        self.refuse_unsupported(path)?;
        let head_dim = self
            .head_dim
            .or(defaults.head_dim)
            .unwrap_or_else(|| self.hidden_size.checked_div(self.num_attention_heads).unwrap_or(0));
        let rope = self.rope_parameters.as_ref().or(self.rope_scaling.as_ref());
        let rope = rope.map(|rope| rope.full_attention.as_deref().unwrap_or(rope));
        let rope_scaling = rope_scaling(path, rope, self.max_position_embeddings)?;
        let max_context_tokens = match (&rope_scaling, rope.and_then(|r| r.original_max_position_embeddings))
        {
            (RopeScaling::Yarn { factor, .. }, Some(original)) => {
                self.max_position_embeddings.max((original as f32 * factor) as usize)
            }
            _ => self.max_position_embeddings,
        };
        let is_gemma3 = architecture == Architecture::Gemma3;
        let has_qwen2_bias = matches!(architecture, Architecture::Qwen2 | Architecture::Qwen2Moe);
        let query_pre_attn_scalar =
            self.query_pre_attn_scalar.or(defaults.query_pre_attn_scalar).unwrap_or(head_dim as f32);
        ModelConfig {
            architecture,
            hidden_size: self.hidden_size,
            num_layers: self.num_hidden_layers,
            num_heads: self.num_attention_heads,
            num_kv_heads: self.num_key_value_heads.unwrap_or(self.num_attention_heads),
            head_dim,
            rotary_dim: head_dim,
            ffn_size: self.intermediate_size,
            experts: self.experts(path, architecture)?,
            activation: self.activation(path, defaults.activation)?,
            vocab_size: self.vocab_size,
            embedding_scale: architecture.embedding_scale(self.hidden_size),
            rms_eps: self.rms_norm_eps,
            norm_weight_offset: if is_gemma3 { 1.0 } else { 0.0 },
            has_post_norms: is_gemma3,
            has_qk_norm: architecture.has_qk_norm(),
            attention_scale: 1.0 / query_pre_attn_scalar.sqrt(),
            window: self.window(path, architecture, &defaults)?,
            rope_theta: self
                .rope_theta
                .or(rope.and_then(|rope| rope.rope_theta))
                .unwrap_or(defaults.rope_theta),
            rope_scaling,
            rope_style: RopeStyle::Halves,
            max_context_tokens,
            tie_embeddings: self.tie_word_embeddings.unwrap_or(defaults.ties_embeddings),
            has_qkv_bias: if has_qwen2_bias { self.qkv_bias.unwrap_or(true) } else { self.attention_bias },
            has_attention_output_bias: !has_qwen2_bias && self.attention_bias,
        }
        .validated(path)
    }

    fn architecture(&self, path: &Path) -> Result<Architecture, ModelFileError> {
        let known = MODEL_TYPES.iter().find(|(model_type, _)| *model_type == self.model_type);
        known.map(|(_, architecture)| *architecture).ok_or_else(|| ModelFileError::UnsupportedArchitecture {
            path: path.to_owned(),
            found: self.model_type.clone(),
            supported: MODEL_TYPES.map(|(model_type, _)| model_type).join(", "),
        })
    }

    fn activation(&self, path: &Path, default: &str) -> Result<Activation, ModelFileError> {
        let named = self.hidden_activation.as_deref().or(self.hidden_act.as_deref());
        match named.unwrap_or(default) {
            "silu" => Ok(Activation::Silu),
            "gelu_pytorch_tanh" => Ok(Activation::GeluTanh),
            other => Err(invalid(path, "hidden_act", other.to_owned(), "silu or gelu_pytorch_tanh")),
        }
    }

    fn experts(
        &self,
        path: &Path,
        architecture: Architecture,
    ) -> Result<Option<ExpertConfig>, ModelFileError> {
        let is_mixture = match architecture {
            Architecture::Qwen2Moe | Architecture::Qwen3Moe => true,
            _ => self.model_type == "mixtral",
        };
        if !is_mixture {
            return Ok(None);
        }
        let required = |value: Option<usize>, key: &str| {
            value.ok_or_else(|| ModelFileError::MissingKey { path: path.to_owned(), key: key.to_owned() })
        };
        let is_mixtral = architecture == Architecture::Llama;
        Ok(Some(ExpertConfig {
            num_experts: required(self.num_experts, "num_experts")?,
            num_used: required(self.num_experts_per_tok, "num_experts_per_tok")?,
            ffn_size: match self.moe_intermediate_size {
                None if is_mixtral => self.intermediate_size,
                width => required(width, "moe_intermediate_size")?,
            },
            normalizes_weights: is_mixtral || self.norm_topk_prob.unwrap_or(false),
            shared_ffn_size: match architecture {
                Architecture::Qwen2Moe => {
                    let key = "shared_expert_intermediate_size";
                    Some(required(self.shared_expert_intermediate_size, key)?)
                }
                _ => None,
            },
        }))
    }

    fn window(
        &self,
        path: &Path,
        architecture: Architecture,
        defaults: &Defaults,
    ) -> Result<Option<SlidingWindow>, ModelFileError> {
        let is_qwen = !matches!(architecture, Architecture::Llama | Architecture::Gemma3);
        let Some(num_tokens) =
            self.sliding_window.filter(|_| !is_qwen || self.use_sliding_window.unwrap_or(false))
        else {
            return Ok(None);
        };
        let layers = match (&self.layer_types, architecture) {
            (Some(types), _) => WindowLayers::Listed(listed(path, types)?),
            (None, Architecture::Gemma3) => {
                WindowLayers::AllButEvery { period: self.sliding_window_pattern.unwrap_or(6) }
            }
            (None, Architecture::Qwen2 | Architecture::Qwen2Moe | Architecture::Qwen3) => {
                WindowLayers::From(self.max_window_layers.unwrap_or(28))
            }
            (None, Architecture::Llama | Architecture::Qwen3Moe) => WindowLayers::All,
        };
        let own = self.rope_parameters.as_ref().and_then(|rope| rope.sliding_attention.as_ref());
        let rope_theta = own.and_then(|rope| rope.rope_theta).or(self.rope_local_base_freq);
        Ok(Some(SlidingWindow { num_tokens, layers, rope_theta: rope_theta.or(defaults.window_rope_theta) }))
    }

    fn refuse_unsupported(&self, path: &Path) -> Result<(), ModelFileError> {
        let rotary_factor = self.partial_rotary_factor.unwrap_or(1.0);
        let soft_cap = self.attn_logit_softcapping.or(self.final_logit_softcapping);
        let sparse_step = self.decoder_sparse_step.unwrap_or(1);
        let refused = [
            (self.mlp_bias, "mlp_bias", "true".to_owned(), "false"),
            (rotary_factor != 1.0, "partial_rotary_factor", rotary_factor.to_string(), "1"),
            (soft_cap.is_some(), "attn_logit_softcapping", format!("{soft_cap:?}"), "none, nor a final one"),
            (
                self.use_bidirectional_attention == Some(true),
                "use_bidirectional_attention",
                "true".to_owned(),
                "false",
            ),
            (sparse_step != 1, "decoder_sparse_step", sparse_step.to_string(), "1"),
            (
                !self.mlp_only_layers.is_empty(),
                "mlp_only_layers",
                format!("{:?}", self.mlp_only_layers),
                "none: a mixture of experts in every layer",
            ),
            (
                self.quantization_config.is_some(),
                "quantization_config",
                "set".to_owned(),
                "none: only F32, F16 and BF16 weights are read from safetensors",
            ),
        ];
        match refused.into_iter().find(|(is_refused, ..)| *is_refused) {
            Some((_, key, value, expected)) => Err(invalid(path, key, value, expected)),
            None => Ok(()),
        }
    }
}

fn listed(path: &Path, types: &[String]) -> Result<Vec<bool>, ModelFileError> {
    let has_window = |kind: &String| match kind.as_str() {
        "sliding_attention" => Ok(true),
        "full_attention" => Ok(false),
        other => Err(invalid(path, "layer_types", other.to_owned(), "sliding_attention or full_attention")),
    };
    types.iter().map(has_window).collect()
}

fn rope_scaling(
    path: &Path,
    rope: Option<&RopeJson>,
    max_position_embeddings: usize,
) -> Result<RopeScaling, ModelFileError> {
    let Some(rope) = rope else { return Ok(RopeScaling::None) };
    let required = |value: Option<f32>, key: &str| {
        value.ok_or_else(|| ModelFileError::MissingKey {
            path: path.to_owned(),
            key: format!("rope_scaling.{key}"),
        })
    };
    let original_context_tokens = rope.original_max_position_embeddings.unwrap_or(max_position_embeddings);
    Ok(match rope.rope_type.as_deref() {
        None | Some("default") => RopeScaling::None,
        Some("linear") => RopeScaling::Linear { factor: required(rope.factor, "factor")? },
        Some("llama3") => RopeScaling::Llama3 {
            factor: required(rope.factor, "factor")?,
            low_freq_factor: required(rope.low_freq_factor, "low_freq_factor")?,
            high_freq_factor: required(rope.high_freq_factor, "high_freq_factor")?,
            original_context_tokens,
        },
        Some("yarn") => RopeScaling::Yarn {
            factor: required(rope.factor, "factor")?,
            original_context_tokens,
            attention_factor: rope.attention_factor,
            beta_fast: rope.beta_fast.unwrap_or(32.0),
            beta_slow: rope.beta_slow.unwrap_or(1.0),
        },
        Some(kind) => {
            return Err(invalid(
                path,
                "rope_scaling.rope_type",
                kind.to_owned(),
                "default, linear, llama3 or yarn",
            ));
        }
    })
}

fn invalid(path: &Path, key: &str, value: String, expected: &str) -> ModelFileError {
    ModelFileError::InvalidKey {
        path: path.to_owned(),
        key: key.to_owned(),
        value,
        expected: expected.to_owned(),
    }
}
