//! The numbers that define a transformer, the same for every file format.

use super::error::ModelFileError;
use std::path::Path;

/// The families of models that can be run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Architecture {
    /// Llama and what shares its layers (Mistral without a sliding window, SmolLM, …).
    Llama,
    /// Qwen2 and Qwen2.5: llama with biases on query, key and value.
    Qwen2,
}

impl Architecture {
    /// All of them, for error messages.
    pub const ALL: [Self; 2] = [Self::Llama, Self::Qwen2];

    /// The name in GGUF's `general.architecture` and in a `config.json`'s `model_type`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Llama => "llama",
            Self::Qwen2 => "qwen2",
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
    /// Width of the feed-forward layer.
    pub ffn_size: usize,
    /// Rows of the embedding table.
    pub vocab_size: usize,
    /// Epsilon of the RMS norms.
    pub rms_eps: f32,
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
        if !is_positive(self.rms_eps) {
            return invalid("rms_eps", self.rms_eps.to_string(), "a positive number");
        }
        if !is_positive(self.rope_theta) {
            return invalid("rope_theta", self.rope_theta.to_string(), "a positive number");
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
