use std::f64::consts::PI;

use crate::KernelError;

/// Which two elements of a head make a pair that is rotated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RopeStyle {
    /// Elements `2i` and `2i + 1` (llama in GGUF files).
    Interleaved,
    /// Elements `i` and `i + dims/2` (Hugging Face files, qwen2, "neox").
    Halves,
}

/// How the frequencies are stretched to contexts longer than the trained one.
#[derive(Debug, Clone, PartialEq)]
pub enum RopeScaling {
    /// Not at all.
    None,
    /// All frequencies divided by `factor`.
    Linear {
        /// The divisor.
        factor: f32,
    },
    /// Low frequencies divided by `factor`, high ones kept, those between interpolated (Llama 3.1).
    Llama3 {
        /// The divisor of low frequencies.
        factor: f32,
        /// Wavelengths above `original_max_positions / low_freq_factor` are low.
        low_freq_factor: f32,
        /// Wavelengths below `original_max_positions / high_freq_factor` are high.
        high_freq_factor: f32,
        /// The context the model was trained with.
        original_max_positions: usize,
    },
    /// Each frequency divided by a factor of its own (the `rope_freqs` tensor of GGUF files).
    Factors(Vec<f32>),
    /// Interpolation by parts with a scaled amplitude. Source: Peng et al. 2023.
    Yarn {
        /// The divisor of low frequencies.
        factor: f32,
        /// Rotations over the original context above which a frequency is kept (usually 32).
        beta_fast: f32,
        /// Rotations below which a frequency is divided in full (usually 1).
        beta_slow: f32,
        /// The context the model was trained with.
        original_max_positions: usize,
        /// The amplitude of the rotation; `None` is `0.1·ln(factor) + 1`.
        attention_factor: Option<f32>,
    },
}

/// Cosines and sines of rotary position embedding for every position.
///
/// `angle[p,i] = p·f_i`, `f_i = theta^(−2i/dims)`, scaled by [`RopeScaling`]. Computed in f64, kept in f32 `[positions, dims/2]`.
/// Source: Su et al. 2021.
#[derive(Debug, Clone)]
pub struct RopeTable {
    cosines: Vec<f32>,
    sines: Vec<f32>,
    style: RopeStyle,
    num_pairs: usize,
    num_positions: usize,
}

impl RopeTable {
    /// The table for `num_dims` rotary dimensions and positions `0..max_positions`.
    ///
    /// # Errors
    /// `BadParameter` if `num_dims` is odd or zero, `theta` or a factor is not a positive number;
    /// `ShapeMismatch` if there are not `num_dims / 2` factors.
    pub fn new(
        num_dims: usize,
        theta: f32,
        scaling: &RopeScaling,
        style: RopeStyle,
        max_positions: usize,
    ) -> Result<Self, KernelError> {
        if num_dims == 0 || !num_dims.is_multiple_of(2) {
            return Err(bad_parameter("num_dims", &num_dims.to_string(), "an even number is needed"));
        }
        check_positive("theta", theta)?;
        let frequencies = frequencies(num_dims, f64::from(theta), scaling)?;
        let amplitude = amplitude(scaling);
        let num_pairs = num_dims / 2;
        let mut cosines = Vec::with_capacity(max_positions * num_pairs);
        let mut sines = Vec::with_capacity(max_positions * num_pairs);
        for position in 0..max_positions {
            for frequency in &frequencies {
                let (sine, cosine) = (position as f64 * frequency).sin_cos();
                cosines.push((cosine * amplitude) as f32);
                sines.push((sine * amplitude) as f32);
            }
        }
        Ok(Self { cosines, sines, style, num_pairs, num_positions: max_positions })
    }

    /// Dimensions of a head that are rotated, from its first.
    pub fn num_dims(&self) -> usize {
        2 * self.num_pairs
    }

    /// Positions that the table knows.
    pub fn num_positions(&self) -> usize {
        self.num_positions
    }

    /// How elements are paired.
    pub fn style(&self) -> RopeStyle {
        self.style
    }

    /// Cosines and sines of a position, or `None` past the end.
    pub fn row(&self, position: usize) -> Option<(&[f32], &[f32])> {
        if position >= self.num_positions {
            return None;
        }
        let range = position * self.num_pairs..(position + 1) * self.num_pairs;
        Some((&self.cosines[range.clone()], &self.sines[range]))
    }
}

fn frequencies(num_dims: usize, theta: f64, scaling: &RopeScaling) -> Result<Vec<f64>, KernelError> {
    let num_pairs = num_dims / 2;
    let mut frequencies: Vec<f64> =
        (0..num_pairs).map(|i| theta.powf(-2.0 * i as f64 / num_dims as f64)).collect();
    match scaling {
        RopeScaling::None => {}
        RopeScaling::Linear { factor } => {
            check_positive("factor", *factor)?;
            frequencies.iter_mut().for_each(|frequency| *frequency /= f64::from(*factor));
        }
        RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, original_max_positions } => {
            check_positive("factor", *factor)?;
            let (low, high) = (f64::from(*low_freq_factor), f64::from(*high_freq_factor));
            if high <= low {
                return Err(bad_parameter(
                    "high_freq_factor",
                    &high.to_string(),
                    "more than low_freq_factor is needed",
                ));
            }
            for frequency in &mut frequencies {
                let num_rotations = *original_max_positions as f64 * *frequency / (2.0 * PI);
                let kept = ((num_rotations - low) / (high - low)).clamp(0.0, 1.0);
                *frequency *= kept + (1.0 - kept) / f64::from(*factor);
            }
        }
        RopeScaling::Factors(factors) => {
            crate::error::check_shape("rope_table", "factors", factors.len(), [1, num_pairs])?;
            for (frequency, factor) in frequencies.iter_mut().zip(factors) {
                check_positive("factor", *factor)?;
                *frequency /= f64::from(*factor);
            }
        }
        RopeScaling::Yarn { factor, beta_fast, beta_slow, original_max_positions, .. } => {
            for (name, value) in [("factor", factor), ("beta_fast", beta_fast), ("beta_slow", beta_slow)] {
                check_positive(name, *value)?;
            }
            let dim_of = |num_rotations: f32| {
                let wavelength = *original_max_positions as f64 / (f64::from(num_rotations) * 2.0 * PI);
                num_dims as f64 * wavelength.ln() / (2.0 * theta.ln())
            };
            let low = dim_of(*beta_fast).floor().max(0.0);
            let high = dim_of(*beta_slow).ceil().min(num_dims as f64 - 1.0);
            for (i, frequency) in frequencies.iter_mut().enumerate() {
                let stretched = ((i as f64 - low) / (high - low).max(1e-3)).clamp(0.0, 1.0);
                *frequency *= stretched / f64::from(*factor) + (1.0 - stretched);
            }
        }
    }
    Ok(frequencies)
}

fn amplitude(scaling: &RopeScaling) -> f64 {
    match scaling {
        RopeScaling::Yarn { factor, attention_factor, .. } => {
            attention_factor.map_or(0.1 * f64::from(*factor).ln() + 1.0, f64::from)
        }
        _ => 1.0,
    }
}

fn check_positive(parameter: &'static str, value: f32) -> Result<(), KernelError> {
    if value.is_finite() && value > 0.0 {
        return Ok(());
    }
    Err(bad_parameter(parameter, &value.to_string(), "a positive number is needed"))
}

fn bad_parameter(parameter: &'static str, value: &str, rule: &'static str) -> KernelError {
    KernelError::BadParameter { op: "rope_table", parameter, value: value.to_owned(), rule }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn angles(scaling: &RopeScaling, num_dims: usize) -> Vec<f64> {
        frequencies(num_dims, 10_000.0, scaling).unwrap()
    }

    #[test]
    fn position_zero_does_not_rotate() {
        let table = RopeTable::new(8, 10_000.0, &RopeScaling::None, RopeStyle::Halves, 2).unwrap();
        assert_eq!(table.row(0), Some((&[1.0; 4][..], &[0.0; 4][..])));
        assert_eq!(table.row(2), None);
    }

    #[test]
    fn llama3_keeps_high_frequencies_and_divides_low_ones() {
        let scaling = RopeScaling::Llama3 {
            factor: 8.0,
            low_freq_factor: 1.0,
            high_freq_factor: 4.0,
            original_max_positions: 8192,
        };
        let (plain, scaled) = (angles(&RopeScaling::None, 128), angles(&scaling, 128));
        assert_eq!(plain[0], scaled[0]);
        assert!((plain[63] / scaled[63] - 8.0).abs() < 1e-9);
        assert!(
            plain.iter().zip(&scaled).all(|(plain, scaled)| (1.0..=8.0 + 1e-9).contains(&(plain / scaled)))
        );
    }

    #[test]
    fn yarn_keeps_high_frequencies_divides_low_ones_and_scales_the_amplitude() {
        let scaling = RopeScaling::Yarn {
            factor: 4.0,
            beta_fast: 32.0,
            beta_slow: 1.0,
            original_max_positions: 32_768,
            attention_factor: None,
        };
        let (plain, scaled) = (angles(&RopeScaling::None, 128), angles(&scaling, 128));
        assert_eq!(plain[0], scaled[0]);
        assert!((plain[63] / scaled[63] - 4.0).abs() < 1e-9);
        let table = RopeTable::new(128, 10_000.0, &scaling, RopeStyle::Halves, 1).unwrap();
        assert!((table.row(0).unwrap().0[0] - 1.138_629_4).abs() < 1e-6);
    }

    #[test]
    fn factors_divide_one_by_one() {
        let scaling = RopeScaling::Factors(vec![1.0, 2.0]);
        let (plain, scaled) = (angles(&RopeScaling::None, 4), angles(&scaling, 4));
        assert_eq!((plain[0], plain[1] / 2.0), (scaled[0], scaled[1]));
    }

    #[test]
    fn parameters_that_make_no_table_are_refused() {
        let new = |num_dims, theta, scaling: &RopeScaling| {
            RopeTable::new(num_dims, theta, scaling, RopeStyle::Halves, 4).map(|_| ())
        };
        assert!(matches!(new(7, 1e4, &RopeScaling::None), Err(KernelError::BadParameter { .. })));
        assert!(matches!(new(8, f32::NAN, &RopeScaling::None), Err(KernelError::BadParameter { .. })));
        let zero = RopeScaling::Linear { factor: 0.0 };
        assert!(matches!(new(8, 1e4, &zero), Err(KernelError::BadParameter { .. })));
        let short = RopeScaling::Factors(vec![1.0]);
        assert!(matches!(new(8, 1e4, &short), Err(KernelError::ShapeMismatch { .. })));
    }
}
