//! Which tensors a model has, by their role, and the view of one.

use kernels::WeightType;

use super::config::{ModelConfig, RopeScaling};

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
    /// [`RopeScaling::FactorsTensor`] only.
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
    /// Norm of each query head `[head_dim]`, if the model norms them.
    QueryNorm,
    /// Norm of each key head `[head_dim]`, if the model norms them.
    KeyNorm,
    /// Matrix after attention `[hidden_size, num_heads · head_dim]`.
    AttentionOutput,
    /// Bias after attention `[hidden_size]`, if the model has one.
    AttentionOutputBias,
    /// Norm of what attention adds `[hidden_size]`, if the model has one.
    PostAttentionNorm,
    /// Norm before the feed-forward layer `[hidden_size]`.
    FfnNorm,
    /// A matrix of the feed-forward layer, if it is no mixture of experts.
    Ffn(FfnMatrix),
    /// Router of a mixture of experts `[num_experts, hidden_size]`.
    Router,
    /// A matrix of one expert, counted from 0.
    Expert(usize, FfnMatrix),
    /// A matrix of the shared expert, if there is one.
    SharedExpert(FfnMatrix),
    /// Gate of the shared expert `[1, hidden_size]`.
    SharedExpertGate,
    /// Norm of what the feed-forward layer adds `[hidden_size]`, if the model has one.
    PostFfnNorm,
}

/// A matrix of a feed-forward layer of width `ffn`: `(f(x·gateᵀ) ∘ x·upᵀ)·downᵀ`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FfnMatrix {
    /// `[ffn, hidden_size]`.
    Gate,
    /// `[ffn, hidden_size]`.
    Up,
    /// `[hidden_size, ffn]`.
    Down,
}

impl FfnMatrix {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Gate, Self::Up, Self::Down];

    fn shape(self, hidden_size: usize, ffn_size: usize) -> Vec<usize> {
        match self {
            Self::Gate | Self::Up => vec![ffn_size, hidden_size],
            Self::Down => vec![hidden_size, ffn_size],
        }
    }
}

impl LayerTensor {
    fn shape(self, config: &ModelConfig) -> Vec<usize> {
        let (hidden, query, kv) = (config.hidden_size, config.query_size(), config.kv_size());
        let experts = config.experts.as_ref();
        match self {
            Self::AttentionNorm
            | Self::FfnNorm
            | Self::AttentionOutputBias
            | Self::PostAttentionNorm
            | Self::PostFfnNorm => vec![hidden],
            Self::Query => vec![query, hidden],
            Self::Key | Self::Value => vec![kv, hidden],
            Self::QueryBias => vec![query],
            Self::KeyBias | Self::ValueBias => vec![kv],
            Self::QueryNorm | Self::KeyNorm => vec![config.head_dim],
            Self::AttentionOutput => vec![hidden, query],
            Self::Ffn(matrix) => matrix.shape(hidden, config.ffn_size),
            Self::Router => vec![experts.map_or(0, |experts| experts.num_experts), hidden],
            Self::Expert(_, matrix) => matrix.shape(hidden, experts.map_or(0, |experts| experts.ffn_size)),
            Self::SharedExpert(matrix) => {
                matrix.shape(hidden, experts.and_then(|experts| experts.shared_ffn_size).unwrap_or(0))
            }
            Self::SharedExpertGate => vec![1, hidden],
        }
    }

    /// Those that a layer of a model with this configuration has.
    fn required(config: &ModelConfig) -> Vec<Self> {
        let mut tensors = vec![
            Self::AttentionNorm,
            Self::Query,
            Self::Key,
            Self::Value,
            Self::AttentionOutput,
            Self::FfnNorm,
        ];
        if config.has_qkv_bias {
            tensors.extend([Self::QueryBias, Self::KeyBias, Self::ValueBias]);
        }
        if config.has_attention_output_bias {
            tensors.push(Self::AttentionOutputBias);
        }
        if config.has_qk_norm {
            tensors.extend([Self::QueryNorm, Self::KeyNorm]);
        }
        if config.has_post_norms {
            tensors.extend([Self::PostAttentionNorm, Self::PostFfnNorm]);
        }
        let Some(experts) = &config.experts else {
            tensors.extend(FfnMatrix::ALL.map(Self::Ffn));
            return tensors;
        };
        tensors.push(Self::Router);
        tensors.extend(
            (0..experts.num_experts)
                .flat_map(|expert| FfnMatrix::ALL.map(|matrix| Self::Expert(expert, matrix))),
        );
        if experts.shared_ffn_size.is_some() {
            tensors.push(Self::SharedExpertGate);
            tensors.extend(FfnMatrix::ALL.map(Self::SharedExpert));
        }
        tensors
    }
}

impl TensorRole {
    /// The shape that the configuration asks for, outermost dimension first.
    pub fn shape(self, config: &ModelConfig) -> Vec<usize> {
        match self {
            Self::TokenEmbedding | Self::Output => vec![config.vocab_size, config.hidden_size],
            Self::OutputNorm => vec![config.hidden_size],
            Self::RopeFactors => vec![config.rotary_dim / 2],
            Self::Layer(_, tensor) => tensor.shape(config),
        }
    }

    /// Every tensor that a model with this configuration needs; a tied output is not among them.
    pub fn required(config: &ModelConfig) -> Vec<Self> {
        let mut roles = vec![Self::TokenEmbedding, Self::OutputNorm];
        if !config.tie_embeddings {
            roles.push(Self::Output);
        }
        if config.rope_scaling == RopeScaling::FactorsTensor {
            roles.push(Self::RopeFactors);
        }
        let tensors = LayerTensor::required(config);
        for layer in 0..config.num_layers {
            roles.extend(tensors.iter().map(|tensor| Self::Layer(layer, *tensor)));
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
