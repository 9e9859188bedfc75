//! Feed-forward layers that are mixtures of experts.

/// The numbers of a mixture of experts, the same in every layer.
///
/// A router scores the experts for each token; the best `num_used` compute, and their outputs are added with the
/// softmax of the scores as weights. Source: Shazeer et al. 2017.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExpertConfig {
    /// Experts of a layer.
    pub num_experts: usize,
    /// How many of them compute a token.
    pub num_used: usize,
    /// Width of an expert's feed-forward layer.
    pub ffn_size: usize,
    /// Whether the weights of the used experts are divided by their sum.
    pub normalizes_weights: bool,
    /// Width of the expert that computes every token and is weighted by a gate of its own, if there is one.
    pub shared_ffn_size: Option<usize>,
}
