//! The weights of an encoder in the form that the kernels read.

use kernels::{KernelError, LayerNorm, MatrixSource, PackedMatrix, Pool, WeightType, dequantize};

use crate::cpu_runner::error::LoadError;
use crate::model_file::encoder::EncoderFile;
use crate::model_file::encoder_config::EncoderConfig;
use crate::model_file::error::ModelFileError;
use crate::model_file::tensor::TensorView;

/// All weights, packed.
#[derive(Debug)]
pub(super) struct EncoderWeights {
    pub(super) words: Table,
    pub(super) positions: Table,
    pub(super) token_types: Table,
    pub(super) norm: Norm,
    pub(super) layers: Vec<EncoderLayer>,
}

/// One layer.
#[derive(Debug)]
pub(super) struct EncoderLayer {
    /// Query, key and value on top of each other.
    pub(super) qkv: Linear,
    pub(super) attention_output: Linear,
    pub(super) attention_norm: Norm,
    pub(super) up: Linear,
    pub(super) down: Linear,
    pub(super) output_norm: Norm,
}

/// A matrix and its bias.
#[derive(Debug)]
pub(super) struct Linear {
    pub(super) matrix: PackedMatrix,
    pub(super) bias: Vec<f32>,
}

/// Scales and offsets of a layer norm.
#[derive(Debug)]
pub(super) struct Norm {
    weight: Vec<f32>,
    bias: Vec<f32>,
}

impl Norm {
    pub(super) fn with_eps(&self, eps: f32) -> LayerNorm<'_> {
        LayerNorm { weight: &self.weight, bias: &self.bias, eps }
    }
}

/// A table whose rows are read one by one.
#[derive(Debug)]
pub(super) struct Table {
    weight_type: WeightType,
    num_rows: usize,
    num_cols: usize,
    bytes: Vec<u8>,
}

impl Table {
    /// Writes the rows of `ids` into `out`, `[ids.len(), hidden_size]`.
    pub(super) fn gather(&self, ids: &[u32], out: &mut [f32]) -> Result<(), KernelError> {
        let Self { weight_type, num_rows, num_cols, ref bytes } = *self;
        kernels::gather(&MatrixSource { weight_type, num_rows, num_cols, bytes }, ids, out)
    }
}

impl EncoderWeights {
    /// Packs everything.
    pub(super) fn load(file: &EncoderFile, pool: &Pool) -> Result<Self, LoadError> {
        let EncoderConfig { hidden_size, vocab_size, num_positions, num_token_types, num_layers, .. } =
            *file.config();
        let table = |name: &str, num_rows| table(file, name, [num_rows, hidden_size]);
        Ok(Self {
            words: table("embeddings.word_embeddings.weight", vocab_size)?,
            positions: table("embeddings.position_embeddings.weight", num_positions)?,
            token_types: table("embeddings.token_type_embeddings.weight", num_token_types)?,
            norm: norm(file, "embeddings.LayerNorm")?,
            layers: (0..num_layers)
                .map(|layer| EncoderLayer::load(file, layer, pool))
                .collect::<Result<_, _>>()?,
        })
    }

    /// Bytes of the packed matrices.
    pub(super) fn num_bytes(&self) -> usize {
        let of_layer = |layer: &EncoderLayer| {
            let linears = [&layer.qkv, &layer.attention_output, &layer.up, &layer.down];
            linears.map(|linear| linear.matrix.num_bytes()).iter().sum::<usize>()
        };
        self.layers.iter().map(of_layer).sum()
    }
}

/// What a model that scores pairs does with the first token: a tanh layer, and one output.
#[derive(Debug)]
pub(super) struct ScoreHead {
    pub(super) pooler: Linear,
    pub(super) classifier: Linear,
}

impl ScoreHead {
    pub(super) fn load(file: &EncoderFile, pool: &Pool) -> Result<Self, LoadError> {
        let hidden_size = file.config().hidden_size;
        let pooler =
            linear(&[file.encoder_tensor("pooler.dense.weight", &[hidden_size, hidden_size])?], pool)?;
        let classifier = linear(&[file.tensor("classifier.weight", &[1, hidden_size])?], pool)?;
        Ok(Self {
            pooler: pooler.with_bias(vector(&file.encoder_tensor("pooler.dense.bias", &[hidden_size])?)?),
            classifier: classifier.with_bias(vector(&file.tensor("classifier.bias", &[1])?)?),
        })
    }
}

impl EncoderLayer {
    fn load(file: &EncoderFile, layer: usize, pool: &Pool) -> Result<Self, LoadError> {
        let EncoderConfig { hidden_size, ffn_size, .. } = *file.config();
        let stacked = |names: &[&str], [num_rows, num_cols]: [usize; 2]| -> Result<Linear, LoadError> {
            let mut matrices = Vec::new();
            let mut bias = Vec::new();
            for name in names {
                let name = format!("encoder.layer.{layer}.{name}");
                matrices.push(file.encoder_tensor(&format!("{name}.weight"), &[num_rows, num_cols])?);
                bias.extend(vector(&file.encoder_tensor(&format!("{name}.bias"), &[num_rows])?)?);
            }
            Ok(linear(&matrices, pool)?.with_bias(bias))
        };
        let norm = |name: &str| norm(file, &format!("encoder.layer.{layer}.{name}"));
        let qkv = ["attention.self.query", "attention.self.key", "attention.self.value"];
        Ok(Self {
            qkv: stacked(&qkv, [hidden_size, hidden_size])?,
            attention_output: stacked(&["attention.output.dense"], [hidden_size, hidden_size])?,
            attention_norm: norm("attention.output.LayerNorm")?,
            up: stacked(&["intermediate.dense"], [ffn_size, hidden_size])?,
            down: stacked(&["output.dense"], [hidden_size, ffn_size])?,
            output_norm: norm("output.LayerNorm")?,
        })
    }
}

impl Linear {
    fn with_bias(self, bias: Vec<f32>) -> Self {
        Self { bias, ..self }
    }
}

/// The matrices on top of each other, without a bias yet.
fn linear(views: &[TensorView<'_>], pool: &Pool) -> Result<Linear, LoadError> {
    let sources: Vec<MatrixSource<'_>> = views
        .iter()
        .map(|view| {
            let (num_rows, num_cols) = (view.shape[0], view.shape[1]);
            MatrixSource { weight_type: view.ty, num_rows, num_cols, bytes: view.bytes }
        })
        .collect();
    Ok(Linear { matrix: PackedMatrix::pack(&sources, pool)?, bias: Vec::new() })
}

fn table(file: &EncoderFile, name: &str, [num_rows, num_cols]: [usize; 2]) -> Result<Table, ModelFileError> {
    let view = file.encoder_tensor(name, &[num_rows, num_cols])?;
    Ok(Table { weight_type: view.ty, num_rows, num_cols, bytes: view.bytes.to_vec() })
}

fn norm(file: &EncoderFile, name: &str) -> Result<Norm, LoadError> {
    let part =
        |part: &str| vector(&file.encoder_tensor(&format!("{name}.{part}"), &[file.config().hidden_size])?);
    Ok(Norm { weight: part("weight")?, bias: part("bias")? })
}

fn vector(view: &TensorView<'_>) -> Result<Vec<f32>, LoadError> {
    let mut values = vec![0.0; view.shape.iter().product()];
    dequantize(view.ty, view.bytes, &mut values)?;
    Ok(values)
}
