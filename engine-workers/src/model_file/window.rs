//! Layers that see the last tokens only.

/// Attention that reaches back a fixed number of tokens, in some layers.
#[derive(Debug, Clone, PartialEq)]
pub struct SlidingWindow {
    /// How many tokens a token sees, itself included.
    pub num_tokens: usize,
    /// The layers that have the window; the others see everything.
    pub layers: WindowLayers,
    /// Base of the rotary frequencies in these layers, which are not stretched; absent: as in the other layers.
    pub rope_theta: Option<f32>,
}

/// Which layers have a window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WindowLayers {
    /// All (Mistral 7B v0.1).
    All,
    /// All but the last of every `period` layers (gemma3: 6).
    AllButEvery {
        /// Layers from one that sees everything to the next, at least 1.
        period: usize,
    },
    /// Those from this one on (qwen2's `max_window_layers`).
    From(usize),
    /// Those that are `true`; one entry for each layer.
    Listed(Vec<bool>),
}

impl SlidingWindow {
    /// Whether a layer, counted from 0, has the window.
    pub fn has_layer(&self, layer: usize) -> bool {
        match &self.layers {
            WindowLayers::All => true,
            WindowLayers::AllButEvery { period } => !(layer + 1).is_multiple_of(*period),
            WindowLayers::From(first) => layer >= *first,
            WindowLayers::Listed(layers) => layers.get(layer).copied().unwrap_or(false),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(layers: WindowLayers, expected: [bool; 7]) {
        let window = SlidingWindow { num_tokens: 4, layers, rope_theta: None };
        assert_eq!(std::array::from_fn(|layer| window.has_layer(layer)), expected);
    }

    #[test]
    fn layers_have_the_window_as_listed() {
        let (yes, no) = (true, false);
        check(WindowLayers::All, [yes; 7]);
        check(WindowLayers::AllButEvery { period: 3 }, [yes, yes, no, yes, yes, no, yes]);
        check(WindowLayers::From(5), [no, no, no, no, no, yes, yes]);
        check(WindowLayers::Listed(vec![no, yes, no]), [no, yes, no, no, no, no, no]);
    }
}
