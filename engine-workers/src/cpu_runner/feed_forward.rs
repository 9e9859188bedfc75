//! The feed-forward layer.

use std::ops::Range;

use kernels::{Activation, Activations, KernelError, Pool, gate_mul, matmul};

use super::adapter_rows::{AdapterRows, Product};
use super::expert_layer::ExpertLayer;
use super::operation_times::{Operation, Stopwatch};
use super::weights::{FeedForwardWeights, FfnWeights};
use crate::lora::adapter::LoraTarget;
use crate::model_file::config::ModelConfig;

/// The rows that go through a feed-forward layer.
#[derive(Debug)]
pub(crate) struct FfnRows<'a> {
    /// The input `[rows, hidden_size]`.
    pub(crate) normed: &'a [f32],
    /// The output `[rows, hidden_size]`.
    pub(crate) out: &'a mut [f32],
    /// What adapters add; experts are never corrected.
    pub(crate) corrections: Option<Corrections<'a>>,
}

/// The adapters of the rows.
#[derive(Debug)]
pub(crate) struct Corrections<'a> {
    pub(crate) adapters: AdapterRows<'a>,
    pub(crate) layer: usize,
    /// The numbers of the rows in the step.
    pub(crate) rows: Range<usize>,
}

impl Corrections<'_> {
    fn add(
        &self,
        pool: &Pool,
        targets: &[(LoraTarget, usize)],
        (x, out, row_stride): (&[f32], &mut [f32], usize),
        scratch: &mut Vec<f32>,
    ) -> Result<(), KernelError> {
        let product = Product { x, rows: self.rows.clone(), out, row_stride, targets };
        self.adapters.correct(pool, self.layer, product, scratch)
    }
}

/// The scratch memory of feed-forward layers: `out = (f(x·Wgate) ∘ x·Wup)·Wdown`, or a mixture of experts that each compute this.
#[derive(Debug)]
pub(crate) enum FeedForward {
    /// The same for every token.
    Dense(Ffn),
    /// A mixture of experts.
    Experts(Box<ExpertLayer>),
}

impl FeedForward {
    /// For up to `max_num_rows` rows.
    pub(crate) fn new(config: &ModelConfig, max_num_rows: usize) -> Self {
        match config.experts {
            None => Self::Dense(Ffn::new(config.activation, config.ffn_size, max_num_rows)),
            Some(experts) => Self::Experts(Box::new(ExpertLayer::new(config, experts, max_num_rows))),
        }
    }

    /// Bytes of it, the quantised rows included.
    pub(crate) fn scratch_bytes(config: &ModelConfig, max_num_rows: usize) -> usize {
        let (dense_size, per_expert_row) = match &config.experts {
            None => (config.ffn_size, 0),
            Some(experts) => (
                experts.shared_ffn_size.unwrap_or(0),
                experts.num_used * (3 * experts.ffn_size + 2 * config.hidden_size) + config.hidden_size,
            ),
        };
        4 * max_num_rows * (3 * dense_size + per_expert_row)
            + 2 * max_num_rows * (dense_size.max(config.hidden_size) + per_expert_row / 2)
    }

    /// Computes `rows.out`.
    ///
    /// # Errors
    /// `ShapeMismatch` also if weights and scratch are of different kinds; both come from one configuration.
    pub(crate) fn run(
        &mut self,
        pool: &Pool,
        weights: &FeedForwardWeights,
        rows: FfnRows<'_>,
        watch: &mut Stopwatch,
    ) -> Result<(), KernelError> {
        match (self, weights) {
            (Self::Dense(ffn), FeedForwardWeights::Dense(weights)) => ffn.run(pool, weights, rows, watch),
            (Self::Experts(layer), FeedForwardWeights::Experts(weights)) => {
                layer.run(pool, weights, rows, watch)
            }
            (Self::Dense(_), FeedForwardWeights::Experts(weights)) => {
                Err(wrong_kind(1, weights.gate_up.len()))
            }
            (Self::Experts(layer), FeedForwardWeights::Dense(_)) => Err(wrong_kind(layer.num_experts(), 1)),
        }
    }
}

fn wrong_kind(expected: usize, actual: usize) -> KernelError {
    let op = "feed_forward";
    KernelError::ShapeMismatch { op, operand: "experts", expected: [1, expected], actual: [1, actual] }
}

/// The scratch memory of one feed-forward layer that is the same for every token.
#[derive(Debug)]
pub(crate) struct Ffn {
    activation: Activation,
    ffn_size: usize,
    /// `[rows, 2·ffn_size]`.
    gate_up: Vec<f32>,
    /// `[rows, ffn_size]`.
    activated: Vec<f32>,
    quantized: Activations,
    /// What an adapter's first factor leaves `[rows, rank]`.
    low_rank: Vec<f32>,
}

impl Ffn {
    pub(crate) fn new(activation: Activation, ffn_size: usize, max_num_rows: usize) -> Self {
        Self {
            activation,
            ffn_size,
            gate_up: vec![0.0; max_num_rows * 2 * ffn_size],
            activated: vec![0.0; max_num_rows * ffn_size],
            quantized: Activations::new(),
            low_rank: Vec::new(),
        }
    }

    /// Computes `rows.out`.
    pub(crate) fn run(
        &mut self,
        pool: &Pool,
        weights: &FfnWeights,
        rows: FfnRows<'_>,
        watch: &mut Stopwatch,
    ) -> Result<(), KernelError> {
        let hidden_size = weights.down.num_rows();
        let num_rows = rows.out.len() / hidden_size;
        let gate_up = &mut self.gate_up[..num_rows * 2 * self.ffn_size];
        let activated = &mut self.activated[..num_rows * self.ffn_size];
        matmul(pool, rows.normed, &weights.gate_up, gate_up, &mut self.quantized)?;
        if let Some(corrections) = &rows.corrections {
            let targets = &[(LoraTarget::Gate, 0), (LoraTarget::Up, self.ffn_size)];
            let product = (rows.normed, &mut *gate_up, 2 * self.ffn_size);
            corrections.add(pool, targets, product, &mut self.low_rank)?;
        }
        watch.ended(Operation::GateUp);
        gate_mul(pool, self.activation, gate_up, self.ffn_size, activated)?;
        watch.ended(Operation::Activation);
        matmul(pool, activated, &weights.down, rows.out, &mut self.quantized)?;
        if let Some(corrections) = &rows.corrections {
            let product = (&*activated, rows.out, hidden_size);
            corrections.add(pool, &[(LoraTarget::Down, 0)], product, &mut self.low_rank)?;
        }
        watch.ended(Operation::Down);
        Ok(())
    }
}
