//! What every operation means: naive and sequential, with sums in f64. The parity tests compare the kernels with it.
//!
//! Shares nothing with the kernels, not even the decoding of block layouts. Operands must fit; nothing is checked.

use half::{bf16, f16};

use crate::{Activation, AttentionInput, FullAttentionInput, RopeStyle, WeightType};

/// One row of weights as numbers, block by block as the structures of ggml say.
pub fn dequantize(weight_type: WeightType, bytes: &[u8]) -> Vec<f32> {
    bytes.chunks_exact(weight_type.block_bytes()).flat_map(|block| block_values(weight_type, block)).collect()
}

fn block_values(weight_type: WeightType, block: &[u8]) -> Vec<f32> {
    let half_at = |at: usize| f16::from_le_bytes([block[at], block[at + 1]]).to_f32();
    let mut out = vec![0.0; weight_type.block_size()];
    match weight_type {
        WeightType::F32 => out[0] = f32::from_le_bytes([block[0], block[1], block[2], block[3]]),
        WeightType::F16 => out[0] = half_at(0),
        WeightType::BF16 => out[0] = bf16::from_le_bytes([block[0], block[1]]).to_f32(),
        WeightType::Q8_0 => {
            for i in 0..32 {
                out[i] = half_at(0) * f32::from(block[2 + i] as i8);
            }
        }
        WeightType::Q4_0 => {
            for i in 0..16 {
                out[i] = half_at(0) * (f32::from(block[2 + i] & 0x0f) - 8.0);
                out[i + 16] = half_at(0) * (f32::from(block[2 + i] >> 4) - 8.0);
            }
        }
        WeightType::Q4_1 => {
            for i in 0..16 {
                out[i] = half_at(0) * f32::from(block[4 + i] & 0x0f) + half_at(2);
                out[i + 16] = half_at(0) * f32::from(block[4 + i] >> 4) + half_at(2);
            }
        }
        WeightType::Q5_0 | WeightType::Q5_1 => {
            let (bits_at, nibbles_at) = if weight_type == WeightType::Q5_0 { (2, 6) } else { (4, 8) };
            for i in 0..32 {
                let nibble = block[nibbles_at + i % 16] >> (i / 16 * 4) & 0x0f;
                let quant = f32::from(nibble | (block[bits_at + i / 8] >> (i % 8) & 1) << 4);
                out[i] = match weight_type {
                    WeightType::Q5_0 => half_at(0) * (quant - 16.0),
                    _ => half_at(0) * quant + half_at(2),
                };
            }
        }
        WeightType::Q4K | WeightType::Q5K => {
            let quants_at = if weight_type == WeightType::Q4K { 16 } else { 48 };
            for (i, out) in out.iter_mut().enumerate() {
                let group = i / 32;
                // Six-bit factors: scales and minima of groups 0–3 are whole, those of 4–7 are split.
                let (scale, minimum) = if group < 4 {
                    (block[4 + group] & 63, block[8 + group] & 63)
                } else {
                    (
                        block[8 + group] & 0x0f | (block[group] >> 6) << 4,
                        block[8 + group] >> 4 | (block[4 + group] >> 6) << 4,
                    )
                };
                let mut quant = block[quants_at + i / 64 * 32 + i % 32] >> (group % 2 * 4) & 0x0f;
                if weight_type == WeightType::Q5K {
                    quant |= (block[16 + i % 32] >> group & 1) << 4;
                }
                let offset = half_at(2) * f32::from(minimum);
                *out = half_at(0) * f32::from(scale) * f32::from(quant) - offset;
            }
        }
        WeightType::Q6K => {
            for (i, out) in out.iter_mut().enumerate() {
                let (half, within) = (i / 128, i % 128);
                let low = block[half * 64 + within % 64] >> (within / 64 * 4) & 0x0f;
                let high = block[128 + half * 32 + within % 32] >> (within / 32 * 2) & 3;
                let factor = f32::from(block[192 + i / 16] as i8);
                *out = half_at(208) * factor * (f32::from(low | high << 4) - 32.0);
            }
        }
    }
    out
}

/// `out[t,n] = Σ_k x[t,k]·w[n,k]` — `x [tokens, in]`, `w [out, in]`, both of `num_cols` columns.
pub fn matmul(x: &[f32], w: &[f32], num_cols: usize) -> Vec<f32> {
    x.chunks_exact(num_cols).flat_map(|x| w.chunks_exact(num_cols).map(move |w| dot(x, w) as f32)).collect()
}

/// `out[t,n] = scale · Σ_r (Σ_k x[t,k]·down[r,k])·up[n,r]` — `x [tokens, in]`, `down [rank, in]`, `up [out, rank]`.
pub fn low_rank(x: &[f32], down: &[f32], up: &[f32], [num_inputs, rank]: [usize; 2], scale: f32) -> Vec<f32> {
    let mut out = Vec::new();
    for x in x.chunks_exact(num_inputs) {
        let inner: Vec<f64> = down.chunks_exact(num_inputs).map(|row| dot(x, row)).collect();
        for up in up.chunks_exact(rank) {
            let sum: f64 = inner.iter().zip(up).map(|(inner, up)| inner * f64::from(*up)).sum();
            out.push((sum * f64::from(scale)) as f32);
        }
    }
    out
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
}

/// `out[t,c] = x[t,c] / sqrt(mean_c(x[t,c]²) + eps) · weight[c]`.
pub fn rms_norm(x: &[f32], weight: &[f32], eps: f32) -> Vec<f32> {
    let row = |x: &[f32]| -> Vec<f32> {
        let root = (dot(x, x) / x.len() as f64 + f64::from(eps)).sqrt();
        x.iter().zip(weight).map(|(x, weight)| (f64::from(*x) / root * f64::from(*weight)) as f32).collect()
    };
    x.chunks_exact(weight.len()).flat_map(row).collect()
}

/// `out[t,c] = (x[t,c] − mean) / sqrt(var + eps) · weight[c] + bias[c]`.
pub fn layer_norm(x: &[f32], weight: &[f32], bias: &[f32], eps: f32) -> Vec<f32> {
    let row = |x: &[f32]| -> Vec<f32> {
        let mean = x.iter().map(|x| f64::from(*x)).sum::<f64>() / x.len() as f64;
        let squares = x.iter().map(|x| (f64::from(*x) - mean).powi(2)).sum::<f64>();
        let root = (squares / x.len() as f64 + f64::from(eps)).sqrt();
        let scaled =
            x.iter().zip(weight).map(|(x, weight)| (f64::from(*x) - mean) / root * f64::from(*weight));
        scaled.zip(bias).map(|(x, bias)| (x + f64::from(*bias)) as f32).collect()
    };
    x.chunks_exact(weight.len()).flat_map(row).collect()
}

/// `out[i] = x[i]·Φ(x[i])`, with the normal distribution summed up as its Taylor series.
pub fn gelu(x: &[f32]) -> Vec<f32> {
    let value = |x: &f32| {
        let x = f64::from(*x);
        if x.abs() > 7.0 {
            return x.max(0.0) as f32;
        }
        let (mut term, mut sum) = (x, x);
        for n in 1..200 {
            term *= x * x / f64::from(2 * n + 1);
            sum += term;
        }
        let density = (-x * x / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt();
        (x * (0.5 + density * sum)) as f32
    };
    x.iter().map(value).collect()
}

/// Attention of every token to every token of its sequence; the operands of [`crate::full_attention`].
pub fn full_attention(input: &FullAttentionInput<'_>) -> Vec<f32> {
    let FullAttentionInput { qkv, num_heads, head_dim, starts } = *input;
    let part = |row: usize, kind: usize, head: usize| {
        &qkv[((row * 3 + kind) * num_heads + head) * head_dim..][..head_dim]
    };
    let mut out = Vec::new();
    for sequence in starts.windows(2) {
        for row in sequence[0]..sequence[1] {
            for head in 0..num_heads {
                let scores: Vec<f64> = (sequence[0]..sequence[1])
                    .map(|other| dot(part(row, 0, head), part(other, 1, head)) / (head_dim as f64).sqrt())
                    .collect();
                let max = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let sum: f64 = scores.iter().map(|score| (score - max).exp()).sum();
                for d in 0..head_dim {
                    let values = (sequence[0]..sequence[1]).map(|other| f64::from(part(other, 2, head)[d]));
                    let mean: f64 = scores
                        .iter()
                        .zip(values)
                        .map(|(score, value)| (score - max).exp() / sum * value)
                        .sum();
                    out.push(mean as f32);
                }
            }
        }
    }
    out
}

/// `out[t,f] = activation(g) · u` — gates and ups side by side in rows of twice `num_features`.
pub fn gate_mul(activation: Activation, gate_up: &[f32], num_features: usize) -> Vec<f32> {
    let mut out = Vec::new();
    for row in gate_up.chunks_exact(2 * num_features) {
        for (gate, up) in row[..num_features].iter().zip(&row[num_features..]) {
            let gate = f64::from(*gate);
            let activated = match activation {
                Activation::Silu => gate / (1.0 + (-gate).exp()),
                Activation::GeluTanh => {
                    let z = (2.0 / std::f64::consts::PI).sqrt() * (gate + 0.044715 * gate.powi(3));
                    0.5 * gate * (1.0 + z.tanh())
                }
            };
            out.push((activated * f64::from(*up)) as f32);
        }
    }
    out
}

/// The best `num_used` experts of one token by its scores, and their weights.
pub fn route_experts(scores: &[f32], num_used: usize, normalizes: bool) -> Vec<(u32, f32)> {
    // Added to 0, −0 becomes 0, which it is equal to.
    let mut ranked: Vec<(u32, f64)> = (0..).zip(scores.iter().map(|score| f64::from(*score) + 0.0)).collect();
    ranked.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    let power = |(_, score): &(u32, f64)| (score - ranked[0].1).exp();
    let counted = if normalizes { &ranked[..num_used] } else { &ranked[..] };
    let sum: f64 = counted.iter().map(power).sum();
    ranked[..num_used].iter().map(|pair| (pair.0, (power(pair) / sum) as f32)).collect()
}

/// A head whose pairs are rotated by `position·theta^(−2i/dims)`, without scaling.
pub fn rope(head: &[f32], num_dims: usize, theta: f64, style: RopeStyle, position: u32) -> Vec<f32> {
    let mut out = head.to_vec();
    for i in 0..num_dims / 2 {
        let angle = f64::from(position) * theta.powf(-2.0 * i as f64 / num_dims as f64);
        let (first, second) = match style {
            RopeStyle::Interleaved => (2 * i, 2 * i + 1),
            RopeStyle::Halves => (i, i + num_dims / 2),
        };
        let (a, b) = (f64::from(head[first]), f64::from(head[second]));
        out[first] = (a * angle.cos() - b * angle.sin()) as f32;
        out[second] = (a * angle.sin() + b * angle.cos()) as f32;
    }
    out
}

/// Causal attention, within the window if there is one, with softmax in one pass. `keys` and `values` hold each sequence's tokens, `[position, kv_heads·head_dim]`;
/// block tables are not looked at.
pub fn attention(
    input: &AttentionInput<'_>,
    keys: &[Vec<f32>],
    values: &[Vec<f32>],
    num_kv_heads: usize,
) -> Vec<f32> {
    let heads = input.heads;
    let row_size = num_kv_heads * heads.head_dim;
    let mut out = Vec::new();
    for (t, row) in input.rows.rows.iter().enumerate() {
        for head in 0..heads.num_heads {
            let q = &input.q[t * heads.row_stride + heads.first + head * heads.head_dim..][..heads.head_dim];
            let kv_head = head / (heads.num_heads / num_kv_heads);
            let part = |tokens: &[Vec<f32>], position: usize| {
                tokens[row.sequence][position * row_size + kv_head * heads.head_dim..][..heads.head_dim]
                    .to_vec()
            };
            let end = row.position as usize + 1;
            let start = input.window.map_or(0, |window| end.saturating_sub(window));
            let scores: Vec<f64> =
                (start..end).map(|j| dot(q, &part(keys, j)) * f64::from(input.scale)).collect();
            let max = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let sum: f64 = scores.iter().map(|score| (score - max).exp()).sum();
            let mut mean = vec![0.0f64; heads.head_dim];
            for (j, score) in scores.iter().enumerate() {
                for (mean, value) in mean.iter_mut().zip(part(values, start + j)) {
                    *mean += (score - max).exp() / sum * f64::from(value);
                }
            }
            out.extend(mean.into_iter().map(|mean| mean as f32));
        }
    }
    out
}
