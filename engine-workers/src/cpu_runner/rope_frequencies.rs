//! The rotary angles of a model.

use kernels::{KernelError, RopeScaling, RopeStyle, RopeTable};

use crate::model_file::config::{ModelConfig, RopeScaling as FileScaling, RopeStyle as FileStyle};

/// The table for positions `0..max_positions`; `factors` is the tensor that [`FileScaling::FactorsTensor`] names.
pub(crate) fn table(
    config: &ModelConfig,
    factors: Option<Vec<f32>>,
    max_positions: usize,
) -> Result<RopeTable, KernelError> {
    let scaling = scaling(&config.rope_scaling, factors);
    RopeTable::new(config.rotary_dim, config.rope_theta, &scaling, style(config), max_positions)
}

/// The table of the layers with a window, if they have a base of their own; it is not stretched.
pub(crate) fn window_table(
    config: &ModelConfig,
    max_positions: usize,
) -> Result<Option<RopeTable>, KernelError> {
    let theta = config.window.as_ref().and_then(|window| window.rope_theta);
    let table =
        |theta| RopeTable::new(config.rotary_dim, theta, &RopeScaling::None, style(config), max_positions);
    theta.map(table).transpose()
}

fn style(config: &ModelConfig) -> RopeStyle {
    match config.rope_style {
        FileStyle::Interleaved => RopeStyle::Interleaved,
        FileStyle::Halves => RopeStyle::Halves,
    }
}

fn scaling(scaling: &FileScaling, factors: Option<Vec<f32>>) -> RopeScaling {
    match *scaling {
        FileScaling::None => RopeScaling::None,
        FileScaling::Linear { factor } => RopeScaling::Linear { factor },
        FileScaling::Llama3 { factor, low_freq_factor, high_freq_factor, original_context_tokens } => {
            RopeScaling::Llama3 {
                factor,
                low_freq_factor,
                high_freq_factor,
                original_max_positions: original_context_tokens,
            }
        }
        FileScaling::Yarn { factor, original_context_tokens, attention_factor, beta_fast, beta_slow } => {
            RopeScaling::Yarn {
                factor,
                beta_fast,
                beta_slow,
                original_max_positions: original_context_tokens,
                attention_factor,
            }
        }
        FileScaling::FactorsTensor => RopeScaling::Factors(factors.unwrap_or_default()),
    }
}
