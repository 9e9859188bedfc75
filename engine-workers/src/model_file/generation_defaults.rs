//! Sampling parameters that a model's makers recommend.

/// What `generation_config.json`, or GGUF's `general.sampling.*`, recommends; `None` where it is silent.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct GenerationDefaults {
    /// Softmax temperature.
    pub temperature: Option<f32>,
    /// Nucleus mass.
    pub top_p: Option<f32>,
    /// Most candidates.
    pub top_k: Option<u32>,
    /// Least probability relative to the best.
    pub min_p: Option<f32>,
    /// Penalty on what occurred already.
    pub repetition_penalty: Option<f32>,
}
