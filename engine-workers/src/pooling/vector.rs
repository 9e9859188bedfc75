//! From the rows of a text to its vector, and from two vectors to their likeness. All sums run in order.

use crate::model_file::encoder_config::TokenPooling;

/// Below this a vector has no direction; the bound of sentence-transformers.
const SMALLEST_NORM: f64 = 1e-12;

/// One vector out of the rows `[tokens, width]` of a text, which has at least one.
pub(super) fn pool(rows: &[f32], width: usize, pooling: TokenPooling) -> Vec<f32> {
    let num_rows = rows.len() / width;
    match pooling {
        TokenPooling::First => rows[..width].to_vec(),
        TokenPooling::Last => rows[rows.len() - width..].to_vec(),
        TokenPooling::Mean => {
            let mut sums = vec![0.0f32; width];
            for row in rows.chunks_exact(width) {
                for (sum, value) in sums.iter_mut().zip(row) {
                    *sum += value;
                }
            }
            sums.iter_mut().for_each(|sum| *sum /= num_rows as f32);
            sums
        }
    }
}

/// Gives a vector the length 1.
pub(super) fn normalize(vector: &mut [f32]) {
    let norm = dot(vector, vector).sqrt().max(SMALLEST_NORM);
    vector.iter_mut().for_each(|value| *value = (f64::from(*value) / norm) as f32);
}

/// The cosine of the angle between two vectors.
pub(super) fn cosine(a: &[f32], b: &[f32]) -> f32 {
    let norms = (dot(a, a) * dot(b, b)).sqrt().max(SMALLEST_NORM);
    (dot(a, b) / norms) as f32
}

/// The logistic function.
pub(super) fn sigmoid(x: f32) -> f32 {
    (1.0 / (1.0 + (-f64::from(x)).exp())) as f32
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_of_pooling_takes_its_rows() {
        let rows = [1.0, 2.0, 3.0, 4.0, 8.0, 0.0];
        let check = |pooling, expected: [f32; 2]| assert_eq!(pool(&rows, 2, pooling), expected);
        check(TokenPooling::First, [1.0, 2.0]);
        check(TokenPooling::Last, [8.0, 0.0]);
        check(TokenPooling::Mean, [4.0, 2.0]);
    }

    #[test]
    fn lengths_and_angles() {
        let mut vector = [3.0, -4.0];
        normalize(&mut vector);
        assert_eq!(vector, [0.6, -0.8]);
        let mut zero = [0.0; 3];
        normalize(&mut zero);
        assert_eq!(zero, [0.0; 3]);
        assert_eq!(cosine(&[1.0, 0.0], &[0.0, 5.0]), 0.0);
        assert_eq!(cosine(&[2.0, 0.0], &[5.0, 0.0]), 1.0);
        assert_eq!(cosine(&[0.0, 0.0], &[5.0, 0.0]), 0.0);
        assert_eq!(sigmoid(0.0), 0.5);
        assert!(sigmoid(-200.0) < 1e-30 && sigmoid(200.0) == 1.0);
    }
}
