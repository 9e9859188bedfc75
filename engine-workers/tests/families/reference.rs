//! The forward pass of every family, naive and in f64, from GGUF's tensors.

use std::collections::HashMap;

use half::f16;

use crate::gguf_file::Tensor;
use crate::tiny_model::{
    Family, NUM_USED_EXPERTS, QUERY_SIZE, ROPE_THETA, TinyModel, WINDOW_PERIOD, WINDOW_TOKENS,
};

type Row = Vec<f64>;

/// A model as numbers.
pub(crate) struct Reference {
    model: TinyModel,
    /// Whether rotated pairs are neighbours.
    is_interleaved: bool,
    tensors: HashMap<String, Vec<f64>>,
}

impl Reference {
    pub(crate) fn new(model: &TinyModel, tensors: &[Tensor], is_interleaved: bool) -> Self {
        let values = |tensor: &Tensor| {
            let values = kernels::reference::dequantize(tensor.weight_type, &tensor.bytes);
            (tensor.name.clone(), values.into_iter().map(f64::from).collect())
        };
        Self { model: model.clone(), is_interleaved, tensors: tensors.iter().map(values).collect() }
    }

    /// The logits after each token.
    pub(crate) fn logits(&self, tokens: &[u32]) -> Vec<Row> {
        let hidden_size = self.model.hidden_size;
        let scale = if self.model.family == Family::Gemma3 { (hidden_size as f64).sqrt() } else { 1.0 };
        let table = &self.tensors["token_embd.weight"];
        let mut rows: Vec<Row> = tokens
            .iter()
            .map(|token| {
                let row = &table[*token as usize * hidden_size..][..hidden_size];
                row.iter().map(|value| value * scale).collect()
            })
            .collect();
        for layer in 0..self.model.num_layers {
            let attention = self.attention(layer, &rows);
            for (row, attended) in rows.iter_mut().zip(attention) {
                self.add(row, attended, &format!("blk.{layer}.post_attention_norm.weight"));
                let normed = self.norm(row, &format!("blk.{layer}.ffn_norm.weight"));
                let computed = self.feed_forward(layer, &normed);
                self.add(row, computed, &format!("blk.{layer}.post_ffw_norm.weight"));
            }
        }
        let output = if self.model.is_tied { "token_embd.weight" } else { "output.weight" };
        rows.iter().map(|row| product(&self.tensors[output], &self.norm(row, "output_norm.weight"))).collect()
    }

    fn add(&self, row: &mut Row, addend: Row, post_norm: &str) {
        let has_post_norm = self.model.family == Family::Gemma3;
        let addend = if has_post_norm { self.norm(&addend, post_norm) } else { addend };
        row.iter_mut().zip(addend).for_each(|(value, addend)| *value += addend);
    }

    fn norm(&self, row: &[f64], name: &str) -> Row {
        let mean = row.iter().map(|value| value * value).sum::<f64>() / row.len() as f64;
        let weights = &self.tensors[name];
        row.iter()
            .zip(weights)
            .map(|(value, weight)| value / (mean + 1e-5f32 as f64).sqrt() * weight)
            .collect()
    }

    fn attention(&self, layer: usize, rows: &[Row]) -> Vec<Row> {
        let head_dim = self.model.head_dim;
        let (num_heads, num_kv_heads) = (QUERY_SIZE / head_dim, self.model.num_kv_heads);
        let has_window = match self.model.family {
            Family::Mistral => true,
            Family::Gemma3 => !(layer + 1).is_multiple_of(WINDOW_PERIOD),
            _ => false,
        };
        let theta = match self.model.family {
            Family::Gemma3 if has_window => 10_000.0,
            _ => f64::from(ROPE_THETA),
        };
        let heads = |kind: &str, position: usize, normed: &[f64]| -> Vec<Row> {
            let mut row = product(&self.tensors[&format!("blk.{layer}.attn_{kind}.weight")], normed);
            if self.model.family.has_qkv_bias() {
                let bias = &self.tensors[&format!("blk.{layer}.attn_{kind}.bias")];
                row.iter_mut().zip(bias).for_each(|(value, bias)| *value += bias);
            }
            row.chunks(head_dim)
                .map(|head| match kind {
                    "v" => head.to_vec(),
                    _ if self.model.family.has_qk_norm() => self.rotate(
                        &self.norm(head, &format!("blk.{layer}.attn_{kind}_norm.weight")),
                        position,
                        theta,
                    ),
                    _ => self.rotate(head, position, theta),
                })
                .collect()
        };
        // The cache holds keys and values as f16.
        let rounded = |heads: Vec<Row>| -> Vec<Row> {
            let round = |value: &f64| f16::from_f32(*value as f32).to_f64();
            heads.iter().map(|head| head.iter().map(round).collect()).collect()
        };
        let (mut keys, mut values) = (Vec::new(), Vec::new());
        let mut out = Vec::new();
        for (position, row) in rows.iter().enumerate() {
            let normed = self.norm(row, &format!("blk.{layer}.attn_norm.weight"));
            keys.push(rounded(heads("k", position, &normed)));
            values.push(rounded(heads("v", position, &normed)));
            let first = if has_window { (position + 1).saturating_sub(WINDOW_TOKENS) } else { 0 };
            let mut attended = Vec::new();
            for (head, query) in heads("q", position, &normed).iter().enumerate() {
                let kv_head = head / (num_heads / num_kv_heads);
                let scores: Row = (first..=position)
                    .map(|at| dot(query, &keys[at][kv_head]) / (head_dim as f64).sqrt())
                    .collect();
                let weights = softmax(&scores);
                for d in 0..head_dim {
                    let seen = values[first..].iter().zip(&weights);
                    attended.push(seen.map(|(value, weight)| value[kv_head][d] * weight).sum());
                }
            }
            out.push(product(&self.tensors[&format!("blk.{layer}.attn_output.weight")], &attended));
        }
        out
    }

    fn rotate(&self, head: &[f64], position: usize, theta: f64) -> Row {
        let num_pairs = head.len() / 2;
        let mut out = head.to_vec();
        for pair in 0..num_pairs {
            let angle = position as f64 * theta.powf(-(pair as f64) / num_pairs as f64);
            let (a, b) =
                if self.is_interleaved { (2 * pair, 2 * pair + 1) } else { (pair, pair + num_pairs) };
            out[a] = head[a] * angle.cos() - head[b] * angle.sin();
            out[b] = head[a] * angle.sin() + head[b] * angle.cos();
        }
        out
    }

    fn feed_forward(&self, layer: usize, normed: &[f64]) -> Row {
        let tensor = |suffix: &str| self.tensors[&format!("blk.{layer}.{suffix}.weight")].as_slice();
        let family = self.model.family;
        if !family.has_experts() {
            return self.ffn([tensor("ffn_gate"), tensor("ffn_up"), tensor("ffn_down")], normed);
        }
        let scores = product(tensor("ffn_gate_inp"), normed);
        let mut ranked: Vec<usize> = (0..scores.len()).collect();
        ranked.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]));
        let used = &ranked[..NUM_USED_EXPERTS];
        // Mixtral: softmax over the used ones. Qwen2: over all. Qwen3: over all, then divided by the sum of the used.
        let all = softmax(&scores);
        let mut weights: Row = used.iter().map(|expert| all[*expert]).collect();
        if family != Family::Qwen2Moe {
            let sum: f64 = weights.iter().sum();
            weights.iter_mut().for_each(|weight| *weight /= sum);
        }
        let size = self.model.hidden_size * self.model.ffn_size;
        let mut out = vec![0.0; normed.len()];
        for (expert, weight) in used.iter().zip(weights) {
            let matrices = ["ffn_gate_exps", "ffn_up_exps", "ffn_down_exps"]
                .map(|suffix| &tensor(suffix)[expert * size..][..size]);
            let computed = self.ffn(matrices, normed);
            out.iter_mut().zip(computed).for_each(|(value, computed)| *value += weight * computed);
        }
        if family == Family::Qwen2Moe {
            let gate = 1.0 / (1.0 + (-dot(tensor("ffn_gate_inp_shexp"), normed)).exp());
            let computed = self.ffn(["ffn_gate_shexp", "ffn_up_shexp", "ffn_down_shexp"].map(tensor), normed);
            out.iter_mut().zip(computed).for_each(|(value, computed)| *value += gate * computed);
        }
        out
    }

    fn ffn(&self, [gate, up, down]: [&[f64]; 3], normed: &[f64]) -> Row {
        let activate = |x: f64| match self.model.family {
            Family::Gemma3 => {
                let z = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x * x * x);
                0.5 * x * (1.0 + z.tanh())
            }
            _ => x / (1.0 + (-x).exp()),
        };
        let gated = product(gate, normed).into_iter().zip(product(up, normed));
        product(down, &gated.map(|(gate, up)| activate(gate) * up).collect::<Row>())
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn product(matrix: &[f64], row: &[f64]) -> Row {
    matrix.chunks_exact(row.len()).map(|weights| dot(weights, row)).collect()
}

fn softmax(scores: &[f64]) -> Row {
    let peak = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let powers: Row = scores.iter().map(|score| (score - peak).exp()).collect();
    let sum: f64 = powers.iter().sum();
    powers.into_iter().map(|power| power / sum).collect()
}
