//! The forward pass of an encoder.

use kernels::{
    Activations, FullAttentionInput, KernelError, Pool, add, add_bias, full_attention, gelu, layer_norm,
    matmul,
};

use super::encoder::EncoderInput;
use super::weights::{EncoderLayer, EncoderWeights, Linear, ScoreHead};
use crate::model_file::encoder_config::EncoderConfig;

/// Rows that go through the feed-forward layer together, so that what lies between its products stays in the cache.
const MAX_ROWS_PER_TILE: usize = 256;

/// The numbers and the scratch memory of a forward pass; f32, row-major.
///
/// `x = norm(words[token] + positions[position] + token_types[type])`, then layer by layer `x ← norm(x + attention(x·Wq + bq, x·Wk + bk,
/// x·Wv + bv)·Wo + bo)` and `x ← norm(x + gelu(x·Wup + bup)·Wdown + bdown)`. Every operation works row by row in a fixed order, and
/// attention within a sequence, so the sequences of a batch do not influence each other. Source: Devlin et al. 2018.
#[derive(Debug)]
pub(super) struct Forward {
    hidden_size: usize,
    ffn_size: usize,
    num_heads: usize,
    eps: f32,
    starts: Vec<usize>,
    ids: Vec<u32>,
    /// `[rows, hidden_size]`, as are the next two.
    hidden: Vec<f32>,
    projected: Vec<f32>,
    attention: Vec<f32>,
    /// `[rows, 3·hidden_size]`.
    qkv: Vec<f32>,
    /// `[tile, ffn_size]`.
    activated: Vec<f32>,
    quantized: Activations,
}

impl Forward {
    /// Without memory yet; it grows to the largest batch.
    pub(super) fn new(config: &EncoderConfig) -> Self {
        Self {
            hidden_size: config.hidden_size,
            ffn_size: config.ffn_size,
            num_heads: config.num_heads,
            eps: config.layer_norm_eps,
            starts: Vec::new(),
            ids: Vec::new(),
            hidden: Vec::new(),
            projected: Vec::new(),
            attention: Vec::new(),
            qkv: Vec::new(),
            activated: Vec::new(),
            quantized: Activations::new(),
        }
    }

    /// Computes the last layer's rows of all inputs; [`Forward::rows`] has them.
    pub(super) fn run(
        &mut self,
        pool: &Pool,
        weights: &EncoderWeights,
        inputs: &[&EncoderInput],
    ) -> Result<(), KernelError> {
        self.starts.clear();
        self.starts.push(0);
        let mut num_rows = 0;
        for input in inputs {
            num_rows += input.token_ids.len();
            self.starts.push(num_rows);
        }
        let num_elements = num_rows * self.hidden_size;
        for buffer in [&mut self.hidden, &mut self.projected, &mut self.attention] {
            buffer.resize(num_elements, 0.0);
        }
        self.qkv.resize(3 * num_elements, 0.0);
        self.activated.resize(num_rows.min(MAX_ROWS_PER_TILE) * self.ffn_size, 0.0);
        self.embed(pool, weights, inputs)?;
        for layer in &weights.layers {
            self.attend(pool, layer)?;
            self.feed_forward(pool, layer)?;
        }
        Ok(())
    }

    /// The last layer's rows of the input at `index`, `[tokens, hidden_size]`.
    pub(super) fn rows(&self, index: usize) -> &[f32] {
        &self.hidden[self.starts[index] * self.hidden_size..self.starts[index + 1] * self.hidden_size]
    }

    /// The score of each input before its activation: `tanh(first·Wpooler + bpooler)·Wclassifier + bclassifier`.
    pub(super) fn scores(&mut self, pool: &Pool, head: &ScoreHead) -> Result<Vec<f32>, KernelError> {
        let num_inputs = self.starts.len() - 1;
        let mut firsts = Vec::with_capacity(num_inputs * self.hidden_size);
        for index in 0..num_inputs {
            firsts.extend_from_slice(&self.rows(index)[..self.hidden_size]);
        }
        let mut pooled = vec![0.0; firsts.len()];
        project(pool, &firsts, &head.pooler, &mut pooled, &mut self.quantized)?;
        pooled.iter_mut().for_each(|value| *value = f64::from(*value).tanh() as f32);
        let mut scores = vec![0.0; num_inputs];
        project(pool, &pooled, &head.classifier, &mut scores, &mut self.quantized)?;
        Ok(scores)
    }

    fn embed(
        &mut self,
        pool: &Pool,
        weights: &EncoderWeights,
        inputs: &[&EncoderInput],
    ) -> Result<(), KernelError> {
        self.ids.clear();
        self.ids.extend(inputs.iter().flat_map(|input| &input.token_ids));
        weights.words.gather(&self.ids, &mut self.hidden)?;
        self.ids.clear();
        // Positions are below the number of rows of their table, which is below 2^24.
        self.ids.extend(inputs.iter().flat_map(|input| 0..input.token_ids.len() as u32));
        weights.positions.gather(&self.ids, &mut self.projected)?;
        add(pool, &self.projected, &mut self.hidden)?;
        self.ids.clear();
        for input in inputs {
            self.ids.extend((0..input.token_ids.len()).map(|row| u32::from(row >= input.second_start)));
        }
        weights.token_types.gather(&self.ids, &mut self.projected)?;
        add(pool, &self.projected, &mut self.hidden)?;
        layer_norm(pool, weights.norm.with_eps(self.eps), &mut self.hidden)
    }

    fn attend(&mut self, pool: &Pool, layer: &EncoderLayer) -> Result<(), KernelError> {
        project(pool, &self.hidden, &layer.qkv, &mut self.qkv, &mut self.quantized)?;
        let (num_heads, head_dim) = (self.num_heads, self.hidden_size / self.num_heads);
        let input = FullAttentionInput { qkv: &self.qkv, num_heads, head_dim, starts: &self.starts };
        full_attention(pool, &input, &mut self.attention)?;
        project(pool, &self.attention, &layer.attention_output, &mut self.projected, &mut self.quantized)?;
        add(pool, &self.projected, &mut self.hidden)?;
        layer_norm(pool, layer.attention_norm.with_eps(self.eps), &mut self.hidden)
    }

    fn feed_forward(&mut self, pool: &Pool, layer: &EncoderLayer) -> Result<(), KernelError> {
        let tiles = self.hidden.chunks_mut(MAX_ROWS_PER_TILE * self.hidden_size);
        for (hidden, projected) in tiles.zip(self.projected.chunks_mut(MAX_ROWS_PER_TILE * self.hidden_size))
        {
            let activated = &mut self.activated[..hidden.len() / self.hidden_size * self.ffn_size];
            project(pool, hidden, &layer.up, activated, &mut self.quantized)?;
            gelu(pool, activated);
            project(pool, activated, &layer.down, projected, &mut self.quantized)?;
            add(pool, projected, hidden)?;
            layer_norm(pool, layer.output_norm.with_eps(self.eps), hidden)?;
        }
        Ok(())
    }
}

fn project(
    pool: &Pool,
    x: &[f32],
    linear: &Linear,
    out: &mut [f32],
    quantized: &mut Activations,
) -> Result<(), KernelError> {
    matmul(pool, x, &linear.matrix, out, quantized)?;
    add_bias(pool, &linear.bias, out)
}
