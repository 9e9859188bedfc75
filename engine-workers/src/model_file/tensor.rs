//! Which tensors a model has, by their role, and the view of one.

use kernels::WeightType;

use super::config::ModelConfig;

/// What a tensor is for; the same for every file format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TensorRole {
    /// Embedding table `[vocab_size, hidden_size]`.
    TokenEmbedding,
    /// Norm before the output `[hidden_size]`.
    OutputNorm,
    /// Output matrix `[vocab_size, hidden_size]`; the embedding table if the model ties them.
    Output,
    /// Divisors of the rotary frequencies `[rotary_dim / 2]`, with
    /// [`super::config::RopeScaling::FactorsTensor`] only.
    RopeFactors,
    /// A tensor of one layer, counted from 0.
    Layer(usize, LayerTensor),
}

/// What a tensor of a layer is for. Matrices are `[outputs, inputs]`, row-major.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LayerTensor {
    /// Norm before attention `[hidden_size]`.
    AttentionNorm,
    /// Query matrix `[num_heads · head_dim, hidden_size]`.
    Query,
    /// Key matrix `[num_kv_heads · head_dim, hidden_size]`.
    Key,
    /// Value matrix `[num_kv_heads · head_dim, hidden_size]`.
    Value,
    /// Query bias `[num_heads · head_dim]`, if the model has biases.
    QueryBias,
    /// Key bias `[num_kv_heads · head_dim]`, if the model has biases.
    KeyBias,
    /// Value bias `[num_kv_heads · head_dim]`, if the model has biases.
    ValueBias,
    /// Matrix after attention `[hidden_size, num_heads · head_dim]`.
    AttentionOutput,
    /// Bias after attention `[hidden_size]`, if the model has one.
    AttentionOutputBias,
    /// Norm before the feed-forward layer `[hidden_size]`.
    FfnNorm,
    /// Gate matrix `[ffn_size, hidden_size]`.
    Gate,
    /// Up matrix `[ffn_size, hidden_size]`.
    Up,
    /// Down matrix `[hidden_size, ffn_size]`.
    Down,
}

impl LayerTensor {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::AttentionNorm,
        Self::Query,
        Self::Key,
        Self::Value,
        Self::QueryBias,
        Self::KeyBias,
        Self::ValueBias,
        Self::AttentionOutput,
        Self::AttentionOutputBias,
        Self::FfnNorm,
        Self::Gate,
        Self::Up,
        Self::Down,
    ];
}

impl TensorRole {
    /// The shape that the configuration asks for, outermost dimension first.
    pub fn shape(self, config: &ModelConfig) -> Vec<usize> {
        let (hidden, query, kv, ffn) =
            (config.hidden_size, config.query_size(), config.kv_size(), config.ffn_size);
        match self {
            Self::TokenEmbedding | Self::Output => vec![config.vocab_size, hidden],
            Self::OutputNorm => vec![hidden],
            Self::RopeFactors => vec![config.rotary_dim / 2],
            Self::Layer(_, tensor) => match tensor {
                LayerTensor::AttentionNorm | LayerTensor::FfnNorm | LayerTensor::AttentionOutputBias => {
                    vec![hidden]
                }
                LayerTensor::Query => vec![query, hidden],
                LayerTensor::Key | LayerTensor::Value => vec![kv, hidden],
                LayerTensor::QueryBias => vec![query],
                LayerTensor::KeyBias | LayerTensor::ValueBias => vec![kv],
                LayerTensor::AttentionOutput => vec![hidden, query],
                LayerTensor::Gate | LayerTensor::Up => vec![ffn, hidden],
                LayerTensor::Down => vec![hidden, ffn],
            },
        }
    }

    /// Every tensor that a model with this configuration needs; a tied output is not among them.
    pub fn required(config: &ModelConfig) -> Vec<Self> {
        let mut roles = vec![Self::TokenEmbedding, Self::OutputNorm];
        if !config.tie_embeddings {
            roles.push(Self::Output);
        }
        if config.rope_scaling == super::config::RopeScaling::FactorsTensor {
            roles.push(Self::RopeFactors);
        }
        for layer in 0..config.num_layers {
            for tensor in LayerTensor::ALL {
                let is_needed = match tensor {
                    LayerTensor::QueryBias | LayerTensor::KeyBias | LayerTensor::ValueBias => {
                        config.has_qkv_bias
                    }
                    LayerTensor::AttentionOutputBias => config.has_attention_output_bias,
                    _ => true,
                };
                if is_needed {
                    roles.push(Self::Layer(layer, tensor));
                }
            }
        }
        roles
    }
}

/// A tensor in the mapped file. The bytes have no alignment.
#[derive(Debug, Clone)]
pub struct TensorView<'a> {
    /// How the elements are stored.
    pub ty: WeightType,
    /// Dimensions, outermost first: `[rows, columns]` of a matrix, row-major.
    pub shape: Vec<usize>,
    /// The elements; exactly as many bytes as type and shape ask for.
    pub bytes: &'a [u8],
}

/// Where a tensor lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TensorEntry {
    /// How the elements are stored.
    pub(crate) ty: WeightType,
    /// Dimensions, outermost first.
    pub(crate) shape: Vec<usize>,
    /// Which of the model's files.
    pub(crate) file: usize,
    /// First byte in that file.
    pub(crate) offset: usize,
    /// Number of bytes.
    pub(crate) num_bytes: usize,
}
