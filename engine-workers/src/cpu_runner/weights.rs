//! The weights of a model in the form that the kernels read.

use kernels::{
    HighHalves, KernelError, MatrixSource, PackedMatrix, Pool, RopeTable, WeightType, dequantize,
    first_non_finite_row, gather, gather_packed,
};

use super::error::LoadError;
use super::rope_frequencies;
use crate::model_file::ModelFile;
use crate::model_file::config::{ModelConfig, RopeScaling};
use crate::model_file::experts::ExpertConfig;
use crate::model_file::tensor::{FfnMatrix, LayerTensor, TensorRole, TensorView};

/// All weights, packed.
#[derive(Debug)]
pub(crate) struct Weights {
    embedding: Embedding,
    pub(crate) layers: Vec<LayerWeights>,
    pub(crate) output_norm: Vec<f32>,
    pub(crate) output: PackedMatrix,
    /// Of a matrix of bytes.
    pub(crate) output_high_halves: Option<HighHalves>,
    rope: RopeTable,
    /// The rotary angles of the layers with a window, if they have their own.
    window_rope: Option<RopeTable>,
}

/// One layer. Matrices that read the same input are one.
#[derive(Debug)]
pub(crate) struct LayerWeights {
    /// How many tokens a token sees, if not all.
    pub(crate) window: Option<usize>,
    pub(crate) attention_norm: Vec<f32>,
    /// Query, key and value on top of each other.
    pub(crate) qkv: PackedMatrix,
    /// Their biases, one after the other.
    pub(crate) qkv_bias: Option<Vec<f32>>,
    /// The norms of query and of key heads.
    pub(crate) qk_norms: Option<[Vec<f32>; 2]>,
    pub(crate) attention_output: PackedMatrix,
    pub(crate) attention_output_bias: Option<Vec<f32>>,
    pub(crate) post_attention_norm: Option<Vec<f32>>,
    pub(crate) ffn_norm: Vec<f32>,
    pub(crate) feed_forward: FeedForwardWeights,
    pub(crate) post_ffn_norm: Option<Vec<f32>>,
}

/// A feed-forward layer.
#[derive(Debug)]
pub(crate) enum FeedForwardWeights {
    /// The same for every token.
    Dense(FfnWeights),
    /// A mixture of experts.
    Experts(ExpertWeights),
}

/// The matrices of one feed-forward layer.
#[derive(Debug)]
pub(crate) struct FfnWeights {
    /// Gate and up on top of each other.
    pub(crate) gate_up: PackedMatrix,
    pub(crate) down: PackedMatrix,
}

/// The matrices of a mixture of experts.
#[derive(Debug)]
pub(crate) struct ExpertWeights {
    pub(crate) router: PackedMatrix,
    /// Gate and up of each expert.
    pub(crate) gate_up: Vec<PackedMatrix>,
    pub(crate) down: Vec<PackedMatrix>,
    /// How many experts compute a token.
    num_used: usize,
    pub(crate) shared: Option<SharedExpertWeights>,
}

/// The matrices of the expert that computes every token.
#[derive(Debug)]
pub(crate) struct SharedExpertWeights {
    /// One row.
    pub(crate) gate: PackedMatrix,
    pub(crate) ffn: FfnWeights,
}

/// Where rows of embeddings come from.
#[derive(Debug)]
struct Embedding {
    /// None if rows are read back from the output matrix, which is the same table.
    own: Option<Table>,
    scale: f32,
}

/// The table as the file has it: a step reads single rows, which packing would scatter.
#[derive(Debug)]
struct Table {
    weight_type: WeightType,
    num_rows: usize,
    num_cols: usize,
    bytes: Vec<u8>,
}

/// Bytes that the weights will take. Packing keeps the size of every type, and adds the high halves of the output.
pub(crate) fn estimated_bytes(model: &ModelFile) -> Result<usize, LoadError> {
    let output = model.tensor(TensorRole::Output)?;
    let shape = [model.config().vocab_size, model.config().hidden_size];
    let mut sum = output.bytes.len() + HighHalves::num_bytes_of(output.ty, shape);
    let is_read_back = model.config().tie_embeddings && output.ty.has_whole_elements();
    for role in TensorRole::required(model.config()) {
        if role != TensorRole::Output && !(is_read_back && role == TensorRole::TokenEmbedding) {
            sum += model.tensor(role)?.bytes.len();
        }
    }
    Ok(sum)
}

impl Weights {
    /// Packs everything; `max_positions` rows of rotary angles are tabulated.
    pub(crate) fn load(model: &ModelFile, pool: &Pool, max_positions: usize) -> Result<Self, LoadError> {
        let config = model.config();
        let factors = match config.rope_scaling {
            RopeScaling::FactorsTensor => Some(vector(model, TensorRole::RopeFactors)?),
            _ => None,
        };
        let output = pack(model, &[TensorRole::Output], pool)?;
        Ok(Self {
            embedding: Embedding::load(model, &output, pool)?,
            layers: (0..config.num_layers)
                .map(|layer| LayerWeights::load(model, layer, pool))
                .collect::<Result<_, _>>()?,
            output_norm: norm(model, TensorRole::OutputNorm)?,
            output_high_halves: HighHalves::of(&output, pool)?,
            output,
            rope: rope_frequencies::table(config, factors, max_positions)?,
            window_rope: rope_frequencies::window_table(config, max_positions)?,
        })
    }

    /// Writes the embeddings of `tokens` into `out`, `[tokens.len(), hidden_size]`.
    pub(crate) fn embed(&self, tokens: &[u32], out: &mut [f32]) -> Result<(), KernelError> {
        match &self.embedding.own {
            Some(Table { weight_type, num_rows, num_cols, bytes }) => {
                let (weight_type, num_rows, num_cols) = (*weight_type, *num_rows, *num_cols);
                gather(&MatrixSource { weight_type, num_rows, num_cols, bytes }, tokens, out)?;
            }
            None => gather_packed(&self.output, tokens, out)?,
        }
        let scale = self.embedding.scale;
        if scale != 1.0 {
            out.iter_mut().for_each(|value| *value *= scale);
        }
        Ok(())
    }

    /// The rotary angles of a layer.
    pub(crate) fn rope(&self, layer: &LayerWeights) -> &RopeTable {
        self.window_rope.as_ref().filter(|_| layer.window.is_some()).unwrap_or(&self.rope)
    }

    /// What a step with one greedy token reads, embeddings aside: nearly all of the output matrix but its high halves is left out.
    pub(crate) fn num_greedy_bytes(&self) -> usize {
        let high = self.output_high_halves.as_ref().map_or(self.output.num_bytes(), HighHalves::num_bytes);
        self.num_bytes() - self.output.num_bytes() + high
    }

    /// What a step with one token reads, embeddings aside.
    pub(crate) fn num_bytes(&self) -> usize {
        let layers = self.layers.iter().map(|layer| {
            layer.qkv.num_bytes() + layer.attention_output.num_bytes() + layer.feed_forward.num_bytes()
        });
        self.output.num_bytes() + layers.sum::<usize>()
    }
}

impl LayerWeights {
    fn load(model: &ModelFile, layer: usize, pool: &Pool) -> Result<Self, LoadError> {
        let config: &ModelConfig = model.config();
        let role = |tensor| TensorRole::Layer(layer, tensor);
        let qkv = [LayerTensor::Query, LayerTensor::Key, LayerTensor::Value].map(role);
        let biases = [LayerTensor::QueryBias, LayerTensor::KeyBias, LayerTensor::ValueBias].map(role);
        let qkv_bias = if config.has_qkv_bias {
            let parts = biases.map(|bias| vector(model, bias));
            Some(parts.into_iter().collect::<Result<Vec<_>, _>>()?.concat())
        } else {
            None
        };
        let attention_output_bias = if config.has_attention_output_bias {
            Some(vector(model, role(LayerTensor::AttentionOutputBias))?)
        } else {
            None
        };
        let post_norm = |tensor| config.has_post_norms.then(|| norm(model, role(tensor))).transpose();
        Ok(Self {
            window: config
                .window
                .as_ref()
                .and_then(|window| window.has_layer(layer).then_some(window.num_tokens)),
            attention_norm: norm(model, role(LayerTensor::AttentionNorm))?,
            qkv: pack(model, &qkv, pool)?,
            qkv_bias,
            qk_norms: if config.has_qk_norm {
                Some([norm(model, role(LayerTensor::QueryNorm))?, norm(model, role(LayerTensor::KeyNorm))?])
            } else {
                None
            },
            attention_output: pack(model, &[role(LayerTensor::AttentionOutput)], pool)?,
            attention_output_bias,
            post_attention_norm: post_norm(LayerTensor::PostAttentionNorm)?,
            ffn_norm: norm(model, role(LayerTensor::FfnNorm))?,
            feed_forward: match &config.experts {
                None => {
                    FeedForwardWeights::Dense(FfnWeights::load(model, |m| role(LayerTensor::Ffn(m)), pool)?)
                }
                Some(experts) => {
                    FeedForwardWeights::Experts(ExpertWeights::load(model, experts, layer, pool)?)
                }
            },
            post_ffn_norm: post_norm(LayerTensor::PostFfnNorm)?,
        })
    }
}

impl FeedForwardWeights {
    /// What one token reads.
    fn num_bytes(&self) -> usize {
        match self {
            Self::Dense(ffn) => ffn.num_bytes(),
            Self::Experts(experts) => {
                let used = experts.gate_up.iter().chain(&experts.down).map(PackedMatrix::num_bytes);
                let shared = experts.shared.as_ref().map_or(0, |shared| shared.ffn.num_bytes());
                used.sum::<usize>() / experts.gate_up.len() * experts.num_used
                    + experts.router.num_bytes()
                    + shared
            }
        }
    }
}

impl FfnWeights {
    fn load(
        model: &ModelFile,
        role: impl Fn(FfnMatrix) -> TensorRole,
        pool: &Pool,
    ) -> Result<Self, LoadError> {
        Ok(Self {
            gate_up: pack(model, &[role(FfnMatrix::Gate), role(FfnMatrix::Up)], pool)?,
            down: pack(model, &[role(FfnMatrix::Down)], pool)?,
        })
    }

    fn num_bytes(&self) -> usize {
        self.gate_up.num_bytes() + self.down.num_bytes()
    }
}

impl ExpertWeights {
    fn load(model: &ModelFile, config: &ExpertConfig, layer: usize, pool: &Pool) -> Result<Self, LoadError> {
        let role = |tensor| TensorRole::Layer(layer, tensor);
        let (mut gate_up, mut down) = (Vec::new(), Vec::new());
        for expert in 0..config.num_experts {
            let ffn = FfnWeights::load(model, |matrix| role(LayerTensor::Expert(expert, matrix)), pool)?;
            gate_up.push(ffn.gate_up);
            down.push(ffn.down);
        }
        let shared = match config.shared_ffn_size {
            Some(_) => Some(SharedExpertWeights {
                gate: pack(model, &[role(LayerTensor::SharedExpertGate)], pool)?,
                ffn: FfnWeights::load(model, |matrix| role(LayerTensor::SharedExpert(matrix)), pool)?,
            }),
            None => None,
        };
        let router = pack(model, &[role(LayerTensor::Router)], pool)?;
        Ok(Self { router, gate_up, down, num_used: config.num_used, shared })
    }
}

impl Embedding {
    fn load(model: &ModelFile, output: &PackedMatrix, pool: &Pool) -> Result<Self, LoadError> {
        let config = model.config();
        let is_tied = config.tie_embeddings;
        let own = if is_tied && output.has_whole_elements() {
            None
        } else {
            let table = model.tensor(TensorRole::TokenEmbedding)?;
            // A tied table is packed as well, which checks its numbers.
            if !is_tied {
                let role = TensorRole::TokenEmbedding;
                check_finite(role, model, &matrix(role, &table)?, pool)?;
            }
            let (num_rows, num_cols) = (config.vocab_size, config.hidden_size);
            Some(Table { weight_type: table.ty, num_rows, num_cols, bytes: table.bytes.to_vec() })
        };
        Ok(Self { own, scale: config.embedding_scale })
    }
}

fn pack(model: &ModelFile, roles: &[TensorRole], pool: &Pool) -> Result<PackedMatrix, LoadError> {
    let mut sources = Vec::with_capacity(roles.len());
    for &role in roles {
        let source = matrix(role, &model.tensor(role)?)?;
        // Just before it is packed, so that the bytes are read from memory once.
        check_finite(role, model, &source, pool)?;
        sources.push(source);
    }
    Ok(PackedMatrix::pack(&sources, pool)?)
}

fn check_finite(
    role: TensorRole,
    model: &ModelFile,
    source: &MatrixSource<'_>,
    pool: &Pool,
) -> Result<(), LoadError> {
    match first_non_finite_row(source, pool) {
        Some(row) => Err(LoadError::NonFiniteWeight { tensor: model.tensor_name(role), row }),
        None => Ok(()),
    }
}

fn matrix<'a>(role: TensorRole, view: &TensorView<'a>) -> Result<MatrixSource<'a>, LoadError> {
    match view.shape[..] {
        [num_rows, num_cols] => {
            Ok(MatrixSource { weight_type: view.ty, num_rows, num_cols, bytes: view.bytes })
        }
        _ => Err(unusable(role, view, "a matrix")),
    }
}

fn vector(model: &ModelFile, role: TensorRole) -> Result<Vec<f32>, LoadError> {
    let view = model.tensor(role)?;
    let [len] = view.shape[..] else { return Err(unusable(role, &view, "a vector")) };
    let mut values = vec![0.0; len];
    dequantize(view.ty, view.bytes, &mut values)?;
    if values.iter().any(|value| !value.is_finite()) {
        return Err(LoadError::NonFiniteWeight { tensor: model.tensor_name(role), row: 0 });
    }
    Ok(values)
}

/// The weights of a norm, as it multiplies by them.
fn norm(model: &ModelFile, role: TensorRole) -> Result<Vec<f32>, LoadError> {
    let offset = model.config().norm_weight_offset;
    let mut weights = vector(model, role)?;
    if offset != 0.0 {
        weights.iter_mut().for_each(|weight| *weight += offset);
    }
    Ok(weights)
}

fn unusable(role: TensorRole, view: &TensorView<'_>, expected: &str) -> LoadError {
    LoadError::UnusableTensor {
        tensor: format!("{role:?}"),
        found: format!("{:?}", view.ty),
        num_elements: view.shape.iter().product(),
        expected: expected.to_owned(),
    }
}
