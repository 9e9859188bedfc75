//! An encoder as the paper writes it: naive, sequential, in f64.

use engine_workers::pooling::encoder::EncoderInput;

use crate::tiny_encoder::{HIDDEN_SIZE, NUM_HEADS, NUM_LAYERS, TinyEncoder};

type Rows = Vec<Vec<f64>>;

/// The mean of the last layer's rows, of length 1.
pub(crate) fn embedding(model: &TinyEncoder, input: &EncoderInput) -> Vec<f64> {
    let rows = last_layer(model, "", input);
    let sum: Vec<f64> = (0..HIDDEN_SIZE).map(|c| rows.iter().map(|row| row[c]).sum()).collect();
    let norm = sum.iter().map(|x| x * x).sum::<f64>().sqrt();
    sum.into_iter().map(|x| x / norm).collect()
}

/// The logistic function of the classifier's output.
pub(crate) fn score(model: &TinyEncoder, input: &EncoderInput) -> f64 {
    let rows = last_layer(model, "bert.", input);
    let mut pooled = linear(model, "bert.pooler.dense", &rows[..1]);
    pooled[0].iter_mut().for_each(|x| *x = x.tanh());
    1.0 / (1.0 + (-linear(model, "classifier", &pooled)[0][0]).exp())
}

fn last_layer(model: &TinyEncoder, prefix: &str, input: &EncoderInput) -> Rows {
    let table = |name: &str, row: usize| {
        let (_, values) = &model.tensors[&format!("{prefix}embeddings.{name}.weight")];
        values[row * HIDDEN_SIZE..(row + 1) * HIDDEN_SIZE].to_vec()
    };
    let embed = |(position, token): (usize, &u32)| -> Vec<f64> {
        let parts = [
            table("word_embeddings", *token as usize),
            table("position_embeddings", position),
            table("token_type_embeddings", usize::from(position >= input.second_start)),
        ];
        (0..HIDDEN_SIZE).map(|c| parts.iter().map(|part| f64::from(part[c])).sum()).collect()
    };
    let rows: Rows = input.token_ids.iter().enumerate().map(embed).collect();
    let mut x = norm(model, &format!("{prefix}embeddings.LayerNorm"), rows);
    for layer in 0..NUM_LAYERS {
        let name = |part: &str| format!("{prefix}encoder.layer.{layer}.{part}");
        let project = |part: &str, x: &Rows| linear(model, &name(part), x);
        let [q, k, v] = ["query", "key", "value"].map(|part| project(&format!("attention.self.{part}"), &x));
        let attended = project("attention.output.dense", &attention(&q, &k, &v));
        x = norm(model, &name("attention.output.LayerNorm"), sum(&x, &attended));
        let mut up = project("intermediate.dense", &x);
        up.iter_mut().flatten().for_each(|x| *x = gelu(*x));
        let down = project("output.dense", &up);
        x = norm(model, &name("output.LayerNorm"), sum(&x, &down));
    }
    x
}

fn sum(a: &Rows, b: &Rows) -> Rows {
    a.iter().zip(b).map(|(a, b)| a.iter().zip(b).map(|(a, b)| a + b).collect()).collect()
}

fn linear(model: &TinyEncoder, name: &str, x: &[Vec<f64>]) -> Rows {
    let (shape, weight) = &model.tensors[&format!("{name}.weight")];
    let (_, bias) = &model.tensors[&format!("{name}.bias")];
    let output = |x: &[f64], row: usize| -> f64 {
        let weights = &weight[row * shape[1]..(row + 1) * shape[1]];
        weights.iter().zip(x).map(|(w, x)| f64::from(*w) * x).sum::<f64>() + f64::from(bias[row])
    };
    x.iter().map(|x| (0..shape[0]).map(|row| output(x, row)).collect()).collect()
}

fn norm(model: &TinyEncoder, name: &str, rows: Rows) -> Rows {
    let (weight, bias) =
        (&model.tensors[&format!("{name}.weight")].1, &model.tensors[&format!("{name}.bias")].1);
    let normalize = |row: Vec<f64>| {
        let mean = row.iter().sum::<f64>() / row.len() as f64;
        let variance = row.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / row.len() as f64;
        let scaled =
            row.iter().zip(weight).map(|(x, w)| (x - mean) / (variance + 1e-12).sqrt() * f64::from(*w));
        scaled.zip(bias).map(|(x, b)| x + f64::from(*b)).collect()
    };
    rows.into_iter().map(normalize).collect()
}

fn attention(q: &Rows, k: &Rows, v: &Rows) -> Rows {
    let head_dim = HIDDEN_SIZE / NUM_HEADS;
    let row = |q: &Vec<f64>| {
        (0..HIDDEN_SIZE)
            .map(|c| {
                let head = c / head_dim * head_dim..(c / head_dim + 1) * head_dim;
                let scores = k.iter().map(|k| {
                    let dot: f64 = head.clone().map(|d| q[d] * k[d]).sum();
                    (dot / (head_dim as f64).sqrt()).exp()
                });
                let scores: Vec<f64> = scores.collect();
                scores.iter().zip(v).map(|(score, v)| score * v[c]).sum::<f64>() / scores.iter().sum::<f64>()
            })
            .collect()
    };
    q.iter().map(row).collect()
}

fn gelu(x: f64) -> f64 {
    let [reference] = kernels::reference::gelu(&[x as f32])[..] else { return f64::NAN };
    f64::from(reference)
}
