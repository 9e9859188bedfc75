//! The forward pass.

use std::ops::Range;

use kernels::{
    Activations, AttentionInput, HeadRows, KernelError, KvCache, KvRows, LargestScratch, Pool, add, add_bias,
    matmul, matmul_largest, paged_attention, rms_norm, rms_norm_heads, rope,
};

use super::adapter_rows::Product;
use super::feed_forward::{Corrections, FeedForward, FfnRows};
use super::operation_times::{Operation, OperationTimes, Stopwatch};
use super::step::StepRows;
use super::weights::Weights;
use crate::lora::adapter::LoraTarget;
use crate::model_file::config::ModelConfig;
use crate::runner::{Interrupt, RunnerError};

/// Rows that go through the feed-forward layer together, so that what lies between its products stays in the cache.
const MAX_ROWS_PER_TILE: usize = 256;

/// The numbers and the scratch memory of a forward pass; f32, row-major.
///
/// With `n = norm(x)`: `x ← x + attention(rope(n·Wq + bq), rope(n·Wk + bk), n·Wv + bv)·Wo`, then `x ← x + ffn(norm(x))`, layer by
/// layer; `logits = norm(x)·Woutputᵀ`. As the weights of a layer say, query and key heads are normed before they are
/// rotated, attention reaches back a window only, and what is added to `x` is normed before. Every operation works row by
/// row in a fixed order, so the rows of a step do not influence each other except through the cache.
/// Sources: Touvron et al. 2023 (llama), Yang et al. 2024 (qwen2), Yang et al. 2025 (qwen3), Gemma Team 2025 (gemma3).
#[derive(Debug)]
pub(crate) struct Forward {
    hidden_size: usize,
    num_heads: usize,
    num_kv_heads: usize,
    head_dim: usize,
    rms_eps: f32,
    attention_scale: f32,
    vocab_size: usize,
    /// The residual stream `[rows, hidden_size]`.
    hidden: Vec<f32>,
    /// `[rows, hidden_size]`.
    normed: Vec<f32>,
    /// Query, key and value heads of each row `[rows, (num_heads + 2·num_kv_heads)·head_dim]`.
    qkv: Vec<f32>,
    /// `[rows, num_heads·head_dim]`.
    attention: Vec<f32>,
    /// What is added to the residual stream `[tile, hidden_size]`.
    projected: Vec<f32>,
    feed_forward: FeedForward,
    quantized: Activations,
    largest: LargestScratch,
    /// What an adapter's first factor leaves `[rows, rank]`.
    low_rank: Vec<f32>,
    times: OperationTimes,
}

/// What a forward pass works on.
#[derive(Debug)]
pub(crate) struct Pass<'a> {
    pub(crate) pool: &'a Pool,
    pub(crate) weights: &'a Weights,
    pub(crate) cache: &'a mut KvCache,
    pub(crate) step: StepRows<'a>,
    pub(crate) interrupt: &'a Interrupt,
}

/// Bytes of the scratch memory.
pub(crate) fn scratch_bytes(config: &ModelConfig, max_num_rows: usize) -> usize {
    let per_row = 2 * config.hidden_size + 2 * config.query_size() + 2 * config.kv_size();
    let tile = max_num_rows.min(MAX_ROWS_PER_TILE);
    // Rows quantised both ways: twice a byte an element, and records of 20 bytes for each 32 elements and of 84 for each 256.
    let quantized = 3 * max_num_rows * config.hidden_size.max(config.query_size());
    4 * (max_num_rows * per_row + tile * config.hidden_size)
        + FeedForward::scratch_bytes(config, tile)
        + quantized
}

impl Forward {
    /// Scratch memory for steps of up to `max_num_rows` rows. The system backs it when it is first used.
    pub(crate) fn new(config: &ModelConfig, max_num_rows: usize) -> Self {
        let tile = max_num_rows.min(MAX_ROWS_PER_TILE);
        let (hidden_size, query_size) = (config.hidden_size, config.query_size());
        Self {
            hidden_size,
            num_heads: config.num_heads,
            num_kv_heads: config.num_kv_heads,
            head_dim: config.head_dim,
            rms_eps: config.rms_eps,
            attention_scale: config.attention_scale,
            vocab_size: config.vocab_size,
            hidden: vec![0.0; max_num_rows * hidden_size],
            normed: vec![0.0; max_num_rows * hidden_size],
            qkv: vec![0.0; max_num_rows * (query_size + 2 * config.kv_size())],
            attention: vec![0.0; max_num_rows * query_size],
            projected: vec![0.0; tile * hidden_size],
            feed_forward: FeedForward::new(config, tile),
            quantized: Activations::new(),
            largest: LargestScratch::default(),
            low_rank: Vec::new(),
            times: OperationTimes::default(),
        }
    }

    pub(crate) fn times(&self) -> &OperationTimes {
        &self.times
    }

    /// Writes the keys and values of all rows into the cache and replaces `logits` by `[logit_rows, vocab_size]`.
    pub(crate) fn run(&mut self, mut pass: Pass<'_>, logits: &mut Vec<f32>) -> Result<(), RunnerError> {
        let mut watch = Stopwatch::start(std::mem::take(&mut self.times));
        let layers = self.layers(&mut pass, &mut watch);
        let outcome = layers.and_then(|()| Ok(self.head(&pass, &mut watch, logits)?));
        self.times = watch.stop();
        outcome
    }

    /// Runs all layers. Afterwards the first rows of `hidden` are those of `logit_rows`; for the other rows nothing comes of
    /// the last layer but keys and values.
    fn layers(&mut self, pass: &mut Pass<'_>, watch: &mut Stopwatch) -> Result<(), RunnerError> {
        let num_rows = pass.step.tokens.len();
        let hidden = &mut self.hidden[..num_rows * self.hidden_size];
        pass.weights.embed(pass.step.tokens, hidden)?;
        watch.ended(Operation::Embedding);
        for index in 0..pass.weights.layers.len() {
            if pass.interrupt.is_raised() {
                return Err(RunnerError::Interrupted);
            }
            let is_last = index + 1 == pass.weights.layers.len();
            self.store_keys_and_values(pass, index, watch)?;
            if is_last && pass.step.logit_rows.is_empty() {
                break;
            }
            if is_last {
                self.keep_rows(pass.step.logit_rows);
                pass.step.attention = pass.step.attention_of_logit_rows;
                pass.step.adapters = pass.step.adapters.of_logit_rows();
            }
            self.attend(pass, index, watch)?;
            let num_rows = pass.step.attention.rows.len();
            for start in (0..num_rows).step_by(MAX_ROWS_PER_TILE) {
                let rows = start..num_rows.min(start + MAX_ROWS_PER_TILE);
                self.finish_rows(pass, index, rows, watch)?;
            }
        }
        Ok(())
    }

    /// From `hidden` to queries in `qkv`, and keys and values in the cache.
    fn store_keys_and_values(
        &mut self,
        pass: &mut Pass<'_>,
        index: usize,
        watch: &mut Stopwatch,
    ) -> Result<(), KernelError> {
        let (pool, layer, step) = (pass.pool, &pass.weights.layers[index], pass.step);
        let num_rows = step.tokens.len();
        let (query_size, kv_size) = (self.num_heads * self.head_dim, self.num_kv_heads * self.head_dim);
        let row_stride = query_size + 2 * kv_size;
        let normed = &mut self.normed[..num_rows * self.hidden_size];
        let qkv = &mut self.qkv[..num_rows * row_stride];
        rms_norm(pool, &self.hidden[..normed.len()], &layer.attention_norm, self.rms_eps, normed)?;
        watch.ended(Operation::Norm);
        matmul(pool, normed, &layer.qkv, qkv, &mut self.quantized)?;
        let targets = &[
            (LoraTarget::Query, 0),
            (LoraTarget::Key, query_size),
            (LoraTarget::Value, query_size + kv_size),
        ];
        let product = Product { x: normed, rows: 0..num_rows, out: qkv, row_stride, targets };
        step.adapters.correct(pool, index, product, &mut self.low_rank)?;
        if let Some(bias) = &layer.qkv_bias {
            add_bias(pool, bias, qkv)?;
        }
        watch.ended(Operation::Qkv);
        if let Some([query_norm, key_norm]) = &layer.qk_norms {
            let queries =
                HeadRows { row_stride, first: 0, num_heads: self.num_heads, head_dim: self.head_dim };
            let keys = HeadRows { first: query_size, num_heads: self.num_kv_heads, ..queries };
            rms_norm_heads(pool, qkv, queries, query_norm, self.rms_eps)?;
            rms_norm_heads(pool, qkv, keys, key_norm, self.rms_eps)?;
            watch.ended(Operation::Norm);
        }
        // Queries and keys lie side by side and turn alike.
        let num_heads = self.num_heads + self.num_kv_heads;
        let heads = HeadRows { row_stride, first: 0, num_heads, head_dim: self.head_dim };
        rope(pool, qkv, heads, step.positions, pass.weights.rope(layer))?;
        let kv = KvRows { x: qkv, row_stride, first_key: query_size, first_value: query_size + kv_size };
        pass.cache.store(pool, index, step.attention, kv)?;
        watch.ended(Operation::RopeAndStore);
        Ok(())
    }

    /// From queries in `qkv` to `attention`.
    fn attend(&mut self, pass: &Pass<'_>, layer: usize, watch: &mut Stopwatch) -> Result<(), KernelError> {
        let num_rows = pass.step.attention.rows.len();
        let row_stride = (self.num_heads + 2 * self.num_kv_heads) * self.head_dim;
        let heads = HeadRows { row_stride, first: 0, num_heads: self.num_heads, head_dim: self.head_dim };
        let input = AttentionInput {
            q: &self.qkv[..num_rows * row_stride],
            heads,
            rows: pass.step.attention,
            layer,
            scale: self.attention_scale,
            window: pass.weights.layers[layer].window,
        };
        let out = &mut self.attention[..num_rows * self.num_heads * self.head_dim];
        paged_attention(pass.pool, &input, pass.cache, out)?;
        watch.ended(Operation::Attention);
        Ok(())
    }

    /// From `attention` to the `hidden` of the next layer.
    fn finish_rows(
        &mut self,
        pass: &Pass<'_>,
        index: usize,
        rows: Range<usize>,
        watch: &mut Stopwatch,
    ) -> Result<(), KernelError> {
        let (pool, layer, adapters) = (pass.pool, &pass.weights.layers[index], pass.step.adapters);
        let query_size = self.num_heads * self.head_dim;
        let hidden = &mut self.hidden[rows.start * self.hidden_size..rows.end * self.hidden_size];
        let attention = &self.attention[rows.start * query_size..rows.end * query_size];
        let projected = &mut self.projected[..hidden.len()];
        let normed = &mut self.normed[..hidden.len()];

        matmul(pool, attention, &layer.attention_output, projected, &mut self.quantized)?;
        let targets = &[(LoraTarget::AttentionOutput, 0)];
        let (out, row_stride) = (&mut *projected, self.hidden_size);
        let product = Product { x: attention, rows: rows.clone(), out, row_stride, targets };
        adapters.correct(pool, index, product, &mut self.low_rank)?;
        if let Some(bias) = &layer.attention_output_bias {
            add_bias(pool, bias, projected)?;
        }
        watch.ended(Operation::AttentionOutput);
        let addend = match &layer.post_attention_norm {
            Some(weight) => {
                rms_norm(pool, projected, weight, self.rms_eps, normed)?;
                watch.ended(Operation::Norm);
                &*normed
            }
            None => &*projected,
        };
        add(pool, addend, hidden)?;
        watch.ended(Operation::Residual);

        rms_norm(pool, hidden, &layer.ffn_norm, self.rms_eps, normed)?;
        watch.ended(Operation::Norm);
        let corrections = Some(Corrections { adapters, layer: index, rows });
        let rows = FfnRows { normed, out: projected, corrections };
        self.feed_forward.run(pool, &layer.feed_forward, rows, watch)?;
        let addend = match &layer.post_ffn_norm {
            Some(weight) => {
                rms_norm(pool, projected, weight, self.rms_eps, normed)?;
                watch.ended(Operation::Norm);
                &*normed
            }
            None => &*projected,
        };
        add(pool, addend, hidden)?;
        watch.ended(Operation::Residual);
        Ok(())
    }

    /// Moves the rows to the front of `hidden` and `qkv`. They are ascending, so none is overwritten before it is moved.
    fn keep_rows(&mut self, rows: &[usize]) {
        let row_stride = (self.num_heads + 2 * self.num_kv_heads) * self.head_dim;
        for (buffer, width) in [(&mut self.hidden, self.hidden_size), (&mut self.qkv, row_stride)] {
            for (to, from) in rows.iter().enumerate().filter(|(to, from)| to != *from) {
                buffer.copy_within(from * width..(from + 1) * width, to * width);
            }
        }
    }

    fn head(
        &mut self,
        pass: &Pass<'_>,
        watch: &mut Stopwatch,
        logits: &mut Vec<f32>,
    ) -> Result<(), KernelError> {
        let num_rows = pass.step.logit_rows.len();
        // Every element is overwritten, so only what grows is filled.
        logits.resize(num_rows * self.vocab_size, 0.0);
        let normed = &mut self.normed[..num_rows * self.hidden_size];
        rms_norm(pass.pool, &self.hidden[..normed.len()], &pass.weights.output_norm, self.rms_eps, normed)?;
        watch.ended(Operation::Norm);
        let weights = pass.weights;
        let high =
            weights.output_high_halves.as_ref().filter(|_| pass.step.needs_largest_only && num_rows == 1);
        let is_done = match high {
            Some(high) => {
                matmul_largest(pass.pool, normed, (&weights.output, high), logits, &mut self.largest)?
            }
            None => false,
        };
        if !is_done {
            matmul(pass.pool, normed, &weights.output, logits, &mut self.quantized)?;
            logits.chunks_exact_mut(self.vocab_size).for_each(spread_non_finite);
        }
        watch.ended(Operation::Head);
        Ok(())
    }
}

/// Makes a row NaN throughout if any of its numbers is not finite.
fn spread_non_finite(row: &mut [f32]) {
    const EXPONENT: u32 = 0x7f80_0000;
    // No early exit, so that the loop becomes vector code.
    let is_finite = row.iter().fold(true, |all, logit| all & (logit.to_bits() & EXPONENT != EXPONENT));
    if !is_finite {
        row.fill(f32::NAN);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_bad_number_marks_its_row() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut row = [1.0, f32::MAX, bad, -3.0];
            spread_non_finite(&mut row);
            assert!(row.iter().all(|logit| logit.is_nan()));
        }
        let mut row = [0.0, f32::MIN_POSITIVE, f32::MIN, -0.0];
        spread_non_finite(&mut row);
        assert_eq!(row, [0.0, f32::MIN_POSITIVE, f32::MIN, -0.0]);
    }
}
