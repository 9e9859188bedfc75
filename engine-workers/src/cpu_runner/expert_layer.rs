//! A feed-forward layer that is a mixture of experts.

use kernels::{
    Activation, Activations, ExpertPicks, KernelError, Pool, WeightedRows, add_weighted_rows, gate_mul,
    gather_rows, matmul, matmul_groups, route_experts, sigmoid,
};

use super::feed_forward::{Ffn, FfnRows};
use super::operation_times::{Operation, Stopwatch};
use super::weights::ExpertWeights;
use crate::model_file::config::ModelConfig;
use crate::model_file::experts::ExpertConfig;

/// The scratch memory of mixtures of experts.
///
/// `out[t] = Σ_j w[t,j]·expert_{e(t,j)}(x[t])`, the best expert first, then `sigmoid(x[t]·Wgate)·shared(x[t])` if there is a shared
/// expert. The rows are brought into the order of their experts, so that each expert's weights are read once for all
/// of its rows; a row's sum has the order of its own experts, whatever else is in the step.
#[derive(Debug)]
pub(crate) struct ExpertLayer {
    config: ExpertConfig,
    activation: Activation,
    hidden_size: usize,
    /// `[rows, num_experts]`.
    scores: Vec<f32>,
    /// `[rows, num_used]`.
    experts: Vec<u32>,
    /// `[rows, num_used]`.
    expert_weights: Vec<f32>,
    /// `[rows]`.
    shared_weights: Vec<f32>,
    /// After the last slot of each expert.
    ends: Vec<usize>,
    /// The row that each slot is for.
    slot_rows: Vec<u32>,
    /// The slots of each row and the weights of what is in them, `[rows, num_terms]`.
    terms: Vec<u32>,
    term_weights: Vec<f32>,
    /// The slots: rows in the order of their experts `[rows·num_used, …]`.
    gathered: Vec<f32>,
    gate_up: Vec<f32>,
    activated: Vec<f32>,
    /// Outputs by slot, then those of the shared expert by row.
    down: Vec<f32>,
    shared: Option<Ffn>,
    quantized: Activations,
}

impl ExpertLayer {
    pub(crate) fn new(config: &ModelConfig, experts: ExpertConfig, max_num_rows: usize) -> Self {
        let num_slots = max_num_rows * experts.num_used;
        let num_shared_rows = if experts.shared_ffn_size.is_some() { max_num_rows } else { 0 };
        let num_terms = num_slots + num_shared_rows;
        Self {
            config: experts,
            activation: config.activation,
            hidden_size: config.hidden_size,
            scores: vec![0.0; max_num_rows * experts.num_experts],
            experts: vec![0; num_slots],
            expert_weights: vec![0.0; num_slots],
            shared_weights: vec![0.0; num_shared_rows],
            ends: vec![0; experts.num_experts],
            slot_rows: vec![0; num_slots],
            terms: vec![0; num_terms],
            term_weights: vec![0.0; num_terms],
            gathered: vec![0.0; num_slots * config.hidden_size],
            gate_up: vec![0.0; num_slots * 2 * experts.ffn_size],
            activated: vec![0.0; num_slots * experts.ffn_size],
            down: vec![0.0; num_terms * config.hidden_size],
            shared: experts
                .shared_ffn_size
                .map(|ffn_size| Ffn::new(config.activation, ffn_size, max_num_rows)),
            quantized: Activations::new(),
        }
    }

    pub(crate) fn num_experts(&self) -> usize {
        self.config.num_experts
    }

    /// Computes `rows.out`.
    pub(crate) fn run(
        &mut self,
        pool: &Pool,
        weights: &ExpertWeights,
        rows: FfnRows<'_>,
        watch: &mut Stopwatch,
    ) -> Result<(), KernelError> {
        let FfnRows { normed, out, .. } = rows;
        let num_rows = out.len() / self.hidden_size;
        self.route(pool, weights, normed)?;
        let num_slots = num_rows * self.config.num_used;
        let gathered = &mut self.gathered[..num_slots * self.hidden_size];
        let gate_up = &mut self.gate_up[..num_slots * 2 * self.config.ffn_size];
        let activated = &mut self.activated[..num_slots * self.config.ffn_size];
        let (down, shared_out) = self.down.split_at_mut(gathered.len());
        gather_rows(pool, normed, &self.slot_rows[..num_slots], self.hidden_size, gathered)?;
        watch.ended(Operation::Experts);
        matmul_groups(pool, gathered, (&weights.gate_up, &self.ends), gate_up, &mut self.quantized)?;
        watch.ended(Operation::GateUp);
        gate_mul(pool, self.activation, gate_up, self.config.ffn_size, activated)?;
        watch.ended(Operation::Activation);
        matmul_groups(pool, activated, (&weights.down, &self.ends), down, &mut self.quantized)?;
        watch.ended(Operation::Down);

        let mut num_outputs = num_slots;
        if let (Some(shared), Some(weights)) = (&mut self.shared, &weights.shared) {
            num_outputs += num_rows;
            let gates = &mut self.shared_weights[..num_rows];
            matmul(pool, normed, &weights.gate, gates, &mut self.quantized)?;
            sigmoid(pool, gates);
            watch.ended(Operation::Experts);
            let out = &mut shared_out[..num_rows * self.hidden_size];
            let rows = FfnRows { normed, out, corrections: None };
            shared.run(pool, &weights.ffn, rows, watch)?;
        }
        self.add_up(pool, num_outputs, out)?;
        watch.ended(Operation::Experts);
        Ok(())
    }

    /// Chooses the experts of each row and gives each row a slot with each of them.
    fn route(&mut self, pool: &Pool, weights: &ExpertWeights, normed: &[f32]) -> Result<(), KernelError> {
        let ExpertConfig { num_experts, num_used, normalizes_weights, .. } = self.config;
        let num_rows = normed.len() / self.hidden_size;
        let scores = &mut self.scores[..num_rows * num_experts];
        matmul(pool, normed, &weights.router, scores, &mut self.quantized)?;
        let experts = &mut self.experts[..num_rows * num_used];
        let expert_weights = &mut self.expert_weights[..num_rows * num_used];
        let picks =
            ExpertPicks { num_used, normalizes: normalizes_weights, experts, weights: expert_weights };
        route_experts(pool, scores, num_experts, picks)?;

        // First the start of each expert's slots; placing the rows then moves it to the end.
        self.ends.fill(0);
        for expert in &self.experts[..num_rows * num_used] {
            self.ends[*expert as usize] += 1;
        }
        let mut start = 0;
        for end in &mut self.ends {
            (*end, start) = (start, start + *end);
        }
        let num_terms = self.num_terms();
        for (row, experts) in self.experts[..num_rows * num_used].chunks_exact(num_used).enumerate() {
            for (rank, expert) in experts.iter().enumerate() {
                let slot = &mut self.ends[*expert as usize];
                self.slot_rows[*slot] = row as u32;
                self.terms[row * num_terms + rank] = *slot as u32;
                *slot += 1;
            }
        }
        Ok(())
    }

    /// Adds up the outputs of each row.
    fn add_up(&mut self, pool: &Pool, num_outputs: usize, out: &mut [f32]) -> Result<(), KernelError> {
        let num_used = self.config.num_used;
        let num_terms = self.num_terms();
        let num_rows = out.len() / self.hidden_size;
        let weights = self.term_weights[..num_rows * num_terms].chunks_exact_mut(num_terms);
        let terms = self.terms.chunks_exact_mut(num_terms);
        for (row, (weights, terms)) in weights.zip(terms).enumerate() {
            weights[..num_used].copy_from_slice(&self.expert_weights[row * num_used..][..num_used]);
            if num_terms > num_used {
                weights[num_used] = self.shared_weights[row];
                terms[num_used] = (num_rows * num_used + row) as u32;
            }
        }
        let terms = WeightedRows {
            rows: &self.terms[..num_rows * num_terms],
            weights: &self.term_weights[..num_rows * num_terms],
            num_terms,
        };
        add_weighted_rows(pool, &self.down[..num_outputs * self.hidden_size], terms, self.hidden_size, out)
    }

    fn num_terms(&self) -> usize {
        self.config.num_used + usize::from(self.config.shared_ffn_size.is_some())
    }
}
