//! The weights of a model in the form that the kernels read.

use kernels::{KernelError, MatrixSource, PackedMatrix, Pool, RopeTable, WeightType, dequantize};

use super::error::LoadError;
use super::rope_frequencies;
use crate::model_file::ModelFile;
use crate::model_file::config::ModelConfig;
use crate::model_file::tensor::{LayerTensor, TensorRole, TensorView};

/// All weights, packed.
#[derive(Debug)]
pub(crate) struct Weights {
    pub(crate) embedding: Embedding,
    pub(crate) layers: Vec<LayerWeights>,
    pub(crate) output_norm: Vec<f32>,
    pub(crate) output: PackedMatrix,
    pub(crate) rope: RopeTable,
}

/// One layer. Matrices that read the same input are one.
#[derive(Debug)]
pub(crate) struct LayerWeights {
    pub(crate) attention_norm: Vec<f32>,
    /// Query, key and value on top of each other.
    pub(crate) qkv: PackedMatrix,
    /// Their biases, one after the other.
    pub(crate) qkv_bias: Option<Vec<f32>>,
    pub(crate) attention_output: PackedMatrix,
    pub(crate) attention_output_bias: Option<Vec<f32>>,
    pub(crate) ffn_norm: Vec<f32>,
    /// Gate and up on top of each other.
    pub(crate) gate_up: PackedMatrix,
    pub(crate) down: PackedMatrix,
}

/// The embedding table as the file has it: a step reads single rows, which packing would scatter.
#[derive(Debug)]
pub(crate) struct Embedding {
    weight_type: WeightType,
    num_rows: usize,
    num_cols: usize,
    bytes: Vec<u8>,
}

impl Embedding {
    /// Writes the rows of `tokens` into `out`, `[tokens.len(), hidden_size]`.
    pub(crate) fn gather(&self, tokens: &[u32], out: &mut [f32]) -> Result<(), KernelError> {
        let Self { weight_type, num_rows, num_cols, ref bytes } = *self;
        kernels::gather(&MatrixSource { weight_type, num_rows, num_cols, bytes }, tokens, out)
    }
}

/// Bytes that the weights will take. Packing keeps the size of every type.
pub(crate) fn estimated_bytes(model: &ModelFile) -> Result<usize, LoadError> {
    let mut sum = model.tensor(TensorRole::Output)?.bytes.len();
    for role in TensorRole::required(model.config()) {
        if role != TensorRole::Output {
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
            crate::model_file::config::RopeScaling::FactorsTensor => {
                Some(vector(model, TensorRole::RopeFactors)?)
            }
            _ => None,
        };
        let table = model.tensor(TensorRole::TokenEmbedding)?;
        Ok(Self {
            embedding: Embedding {
                weight_type: table.ty,
                num_rows: config.vocab_size,
                num_cols: config.hidden_size,
                bytes: table.bytes.to_vec(),
            },
            layers: (0..config.num_layers)
                .map(|layer| LayerWeights::load(model, layer, pool))
                .collect::<Result<_, _>>()?,
            output_norm: vector(model, TensorRole::OutputNorm)?,
            output: pack(model, &[TensorRole::Output], pool)?,
            rope: rope_frequencies::table(config, factors, max_positions)?,
        })
    }

    /// What a step with one token reads, embeddings aside.
    pub(crate) fn num_bytes(&self) -> usize {
        let layers = self.layers.iter().map(|layer| {
            layer.qkv.num_bytes()
                + layer.attention_output.num_bytes()
                + layer.gate_up.num_bytes()
                + layer.down.num_bytes()
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
        Ok(Self {
            attention_norm: vector(model, role(LayerTensor::AttentionNorm))?,
            qkv: pack(model, &qkv, pool)?,
            qkv_bias,
            attention_output: pack(model, &[role(LayerTensor::AttentionOutput)], pool)?,
            attention_output_bias,
            ffn_norm: vector(model, role(LayerTensor::FfnNorm))?,
            gate_up: pack(model, &[LayerTensor::Gate, LayerTensor::Up].map(role), pool)?,
            down: pack(model, &[role(LayerTensor::Down)], pool)?,
        })
    }
}

fn pack(model: &ModelFile, roles: &[TensorRole], pool: &Pool) -> Result<PackedMatrix, LoadError> {
    let views = roles.iter().map(|&role| Ok(model.tensor(role)?)).collect::<Result<Vec<_>, LoadError>>()?;
    let sources = roles.iter().zip(&views).map(|(role, view)| matrix(*role, view));
    Ok(PackedMatrix::pack(&sources.collect::<Result<Vec<_>, _>>()?, pool)?)
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
    Ok(values)
}

fn unusable(role: TensorRole, view: &TensorView<'_>, expected: &str) -> LoadError {
    LoadError::UnusableTensor {
        tensor: format!("{role:?}"),
        found: format!("{:?}", view.ty),
        num_elements: view.shape.iter().product(),
        expected: expected.to_owned(),
    }
}
