//! The numbers that define a transformer, the same for every file format.

use std::path::Path;

use kernels::Activation;

use super::error::ModelFileError;
use super::experts::ExpertConfig;
use super::window::{SlidingWindow, WindowLayers};

/// The families of models that can be run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Architecture {
    /// Llama and what shares its layers: Mistral, Mixtral, SmolLM, …
    Llama,
    /// Qwen2 and Qwen2.5: llama with biases on query, key and value.
    Qwen2,
    /// Qwen2 with a mixture of experts and a shared expert.
    Qwen2Moe,
    /// Qwen3: llama with normed query and key heads.
    Qwen3,
    /// Qwen3 with a mixture of experts.
    Qwen3Moe,
    /// The text model of Gemma 3: windows in most layers, norms around everything, GELU.
    Gemma3,
}

impl Architecture {
    /// All of them, for error messages.
    pub const ALL: [Self; 6] =
        [Self::Llama, Self::Qwen2, Self::Qwen2Moe, Self::Qwen3, Self::Qwen3Moe, Self::Gemma3];

    /// The name in GGUF's `general.architecture`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Llama => "llama",
            Self::Qwen2 => "qwen2",
            Self::Qwen2Moe => "qwen2moe",
            Self::Qwen3 => "qwen3",
            Self::Qwen3Moe => "qwen3moe",
            Self::Gemma3 => "gemma3",
        }
    }

    /// Whether query and key heads are normed.
    pub(crate) const fn has_qk_norm(self) -> bool {
        matches!(self, Self::Qwen3 | Self::Qwen3Moe | Self::Gemma3)
    }

    /// What the embeddings of a model of this width are multiplied by.
    pub(crate) fn embedding_scale(self, hidden_size: usize) -> f32 {
        match self {
            Self::Gemma3 => (hidden_size as f32).sqrt(),
            _ => 1.0,
        }
    }

    /// The function of the feed-forward gate.
    pub(crate) const fn activation(self) -> Activation {
        match self {
            Self::Gemma3 => Activation::GeluTanh,
            _ => Activation::Silu,
        }
    }
}

/// Which elements of a head rotary embedding turns together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RopeStyle {
    /// Elements `2i` and `2i + 1`: GGUF files of the llama family, whose query and key rows are permuted for it.
    Interleaved,
    /// Elements `i` and `i + rotary_dim / 2`: every other file.
    Halves,
}

/// How rotary frequencies are stretched beyond the context that the model was first trained on.
#[derive(Debug, Clone, PartialEq)]
pub enum RopeScaling {
    /// Not at all.
    None,
    /// Every frequency is divided by `factor`.
    Linear {
        /// The divisor.
        factor: f32,
    },
    /// Llama 3.1's: low frequencies are divided by `factor`, high ones kept, those between interpolated.
    Llama3 {
        /// The divisor of low frequencies.
        factor: f32,
        /// Wavelengths above `original_context_tokens / low_freq_factor` are divided.
        low_freq_factor: f32,
        /// Wavelengths below `original_context_tokens / high_freq_factor` are kept.
        high_freq_factor: f32,
        /// The context of the first training.
        original_context_tokens: usize,
    },
    /// YaRN (Peng et al. 2023).
    Yarn {
        /// The stretch.
        factor: f32,
        /// The context of the first training.
        original_context_tokens: usize,
        /// Multiplies the rotated query and key; `None` means `0.1 ln(factor) + 1`.
        attention_factor: Option<f32>,
        /// Rotations above which a dimension is kept.
        beta_fast: f32,
        /// Rotations below which a dimension is divided by `factor`.
        beta_slow: f32,
    },
    /// Each frequency is divided by its own factor: tensor [`super::tensor::TensorRole::RopeFactors`].
    FactorsTensor,
}

/// The numbers that define a transformer. They are consistent: heads divide evenly into groups, nothing is zero.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelConfig {
    /// The family.
    pub architecture: Architecture,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Transformer layers.
    pub num_layers: usize,
    /// Query heads.
    pub num_heads: usize,
    /// Key and value heads; divides `num_heads`.
    pub num_kv_heads: usize,
    /// Elements of a head, even.
    pub head_dim: usize,
    /// Elements of a head that are rotated, even, at most `head_dim`.
    pub rotary_dim: usize,
    /// Width of the feed-forward layer that is no mixture of experts.
    pub ffn_size: usize,
    /// The mixture of experts that every feed-forward layer is, if they are.
    pub experts: Option<ExpertConfig>,
    /// The function of the feed-forward gate.
    pub activation: Activation,
    /// Rows of the embedding table.
    pub vocab_size: usize,
    /// What embeddings are multiplied by.
    pub embedding_scale: f32,
    /// Epsilon of the RMS norms.
    pub rms_eps: f32,
    /// What is added to every stored norm weight.
    pub norm_weight_offset: f32,
    /// Whether the outputs of attention and of the feed-forward layer are normed before they are added.
    pub has_post_norms: bool,
    /// Whether each query and key head is normed before it is rotated.
    pub has_qk_norm: bool,
    /// What scores are multiplied by before the softmax of attention.
    pub attention_scale: f32,
    /// The layers that see the last tokens only, if any do.
    pub window: Option<SlidingWindow>,
    /// Base of the rotary frequencies.
    pub rope_theta: f32,
    /// Stretching of the rotary frequencies.
    pub rope_scaling: RopeScaling,
    /// Pairing of the rotated elements.
    pub rope_style: RopeStyle,
    /// Longest sequence that the model was made for.
    pub max_context_tokens: usize,
    /// Whether the output matrix is the embedding table.
    pub tie_embeddings: bool,
    /// Whether query, key and value have biases.
    pub has_qkv_bias: bool,
    /// Whether the projection after attention has a bias.
    pub has_attention_output_bias: bool,
}

/// More than any model has, small enough that products of two of them cannot overflow.
const MAX_DIMENSION: usize = 1 << 24;
/// More than any model has; a table with an entry for each expert of each layer stays small.
const MAX_LAYERS: usize = 1024;
const MAX_EXPERTS: usize = 1024;

impl ModelConfig {
    /// Width of all query heads together.
    pub fn query_size(&self) -> usize {
        self.num_heads * self.head_dim
    }

    /// Width of all key heads together, and of all value heads.
    pub fn kv_size(&self) -> usize {
        self.num_kv_heads * self.head_dim
    }

    /// Checks that the numbers fit together; `path` is for the message.
    ///
    /// # Errors
    /// [`ModelFileError::InvalidKey`] with the first number that does not.
    pub(crate) fn validated(self, path: &Path) -> Result<Self, ModelFileError> {
        let invalid = |key: &str, value: String, expected: &str| {
            Err(ModelFileError::InvalidKey {
                path: path.to_owned(),
                key: key.to_owned(),
                value,
                expected: expected.to_owned(),
            })
        };
        let dimensions = [
            ("hidden_size", self.hidden_size),
            ("num_layers", self.num_layers),
            ("num_heads", self.num_heads),
            ("num_kv_heads", self.num_kv_heads),
            ("head_dim", self.head_dim),
            ("rotary_dim", self.rotary_dim),
            ("ffn_size", self.ffn_size),
            ("vocab_size", self.vocab_size),
            ("max_context_tokens", self.max_context_tokens),
        ];
        for (key, value) in dimensions {
            if value == 0 || value > MAX_DIMENSION {
                return invalid(key, value.to_string(), "1 to 16777216");
            }
        }
        if self.num_layers > MAX_LAYERS {
            return invalid("num_layers", self.num_layers.to_string(), "at most 1024");
        }
        if let Some(experts) = &self.experts {
            let dimensions = [
                experts.num_experts,
                experts.num_used,
                experts.ffn_size,
                experts.shared_ffn_size.unwrap_or(1),
            ];
            if dimensions.into_iter().any(|value| value == 0 || value > MAX_DIMENSION)
                || experts.num_experts > MAX_EXPERTS
                || experts.num_used > experts.num_experts
            {
                return invalid(
                    "experts",
                    format!("{experts:?}"),
                    "at most 1024 experts, of which some are used, of a width from 1 to 16777216",
                );
            }
        }
        if let Some(window) = &self.window {
            let has_entries = match &window.layers {
                WindowLayers::AllButEvery { period } => *period > 0,
                WindowLayers::Listed(layers) => layers.len() == self.num_layers,
                WindowLayers::All | WindowLayers::From(_) => true,
            };
            if window.num_tokens == 0 || !has_entries {
                return invalid(
                    "sliding_window",
                    format!("{} tokens in {:?}", window.num_tokens, window.layers),
                    "at least 1 token, and an entry for each layer",
                );
            }
        }
        if !self.num_heads.is_multiple_of(self.num_kv_heads) {
            return invalid("num_heads", self.num_heads.to_string(), "a multiple of num_kv_heads");
        }
        if !self.head_dim.is_multiple_of(2) {
            return invalid("head_dim", self.head_dim.to_string(), "an even number");
        }
        if !self.rotary_dim.is_multiple_of(2) || self.rotary_dim > self.head_dim {
            return invalid("rotary_dim", self.rotary_dim.to_string(), "an even number up to head_dim");
        }
        let is_positive = |number: f32| number.is_finite() && number > 0.0;
        let numbers = [
            ("rms_eps", self.rms_eps),
            ("rope_theta", self.rope_theta),
            ("attention_scale", self.attention_scale),
            ("sliding_window.rope_theta", self.window.as_ref().and_then(|w| w.rope_theta).unwrap_or(1.0)),
        ];
        for (key, value) in numbers {
            if !is_positive(value) {
                return invalid(key, value.to_string(), "a positive number");
            }
        }
        let factor = match &self.rope_scaling {
            RopeScaling::None | RopeScaling::FactorsTensor => 1.0,
            RopeScaling::Linear { factor }
            | RopeScaling::Llama3 { factor, .. }
            | RopeScaling::Yarn { factor, .. } => *factor,
        };
        if !is_positive(factor) {
            return invalid("rope_scaling.factor", factor.to_string(), "a positive number");
        }
        Ok(self)
    }
}
