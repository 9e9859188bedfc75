pub(super) const VOCAB: usize = 5;

/// Writes GGUF files, sound and unsound.
#[derive(Clone)]
pub(super) struct GgufWriter {
    pub(super) metadata: Vec<(&'static str, Vec<u8>)>,
    pub(super) tensors: Vec<(String, Vec<u64>, u32)>,
}

pub(super) fn text(value: &str) -> Vec<u8> {
    [&(value.len() as u64).to_le_bytes(), value.as_bytes()].concat()
}

pub(super) fn typed(code: u32, value: &[u8]) -> Vec<u8> {
    [&code.to_le_bytes(), value].concat()
}

fn texts(values: &[&str]) -> Vec<u8> {
    let mut bytes = typed(9, &[8u32.to_le_bytes().as_slice(), &(values.len() as u64).to_le_bytes()].concat());
    bytes.extend(values.iter().flat_map(|value| text(value)));
    bytes
}

pub(super) fn integer(value: u32) -> Vec<u8> {
    typed(4, &value.to_le_bytes())
}

impl GgufWriter {
    /// One llama layer: hidden 8, 2 query heads and 1 key head of 4, feed-forward 16, tied output.
    pub(super) fn tiny() -> Self {
        let metadata = vec![
            ("general.architecture", typed(8, &text("llama"))),
            ("llama.block_count", integer(1)),
            ("llama.context_length", integer(64)),
            ("llama.embedding_length", integer(8)),
            ("llama.feed_forward_length", integer(16)),
            ("llama.attention.head_count", integer(2)),
            ("llama.attention.head_count_kv", integer(1)),
            ("llama.attention.layer_norm_rms_epsilon", typed(6, &1e-5f32.to_le_bytes())),
            ("tokenizer.ggml.model", typed(8, &text("gpt2"))),
            ("tokenizer.ggml.pre", typed(8, &text("gpt-2"))),
            ("tokenizer.ggml.tokens", texts(&["a", "b", "ab", "<|im_end|>", "<|endoftext|>"])),
            ("tokenizer.ggml.merges", texts(&["a b"])),
            (
                "tokenizer.ggml.token_type",
                typed(
                    9,
                    &[
                        5u32.to_le_bytes().as_slice(),
                        &(VOCAB as u64).to_le_bytes(),
                        &[1i32, 1, 1, 3, 3].map(i32::to_le_bytes).concat(),
                    ]
                    .concat(),
                ),
            ),
            ("tokenizer.ggml.eos_token_id", integer(3)),
        ];
        let tensors = [
            ("token_embd.weight", vec![8, VOCAB as u64]),
            ("output_norm.weight", vec![8]),
            ("blk.0.attn_norm.weight", vec![8]),
            ("blk.0.attn_q.weight", vec![8, 8]),
            ("blk.0.attn_k.weight", vec![8, 4]),
            ("blk.0.attn_v.weight", vec![8, 4]),
            ("blk.0.attn_output.weight", vec![8, 8]),
            ("blk.0.ffn_norm.weight", vec![8]),
            ("blk.0.ffn_gate.weight", vec![8, 16]),
            ("blk.0.ffn_up.weight", vec![8, 16]),
            ("blk.0.ffn_down.weight", vec![16, 8]),
        ];
        Self { metadata, tensors: tensors.map(|(name, shape)| (name.to_owned(), shape, 0)).to_vec() }
    }

    pub(super) fn with(mut self, key: &'static str, value: Vec<u8>) -> Self {
        self.metadata.retain(|(existing, _)| *existing != key);
        self.metadata.push((key, value));
        self
    }

    /// Each tensor's floats count up from 1000 times its place.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut bytes = b"GGUF\x03\0\0\0".to_vec();
        bytes.extend((self.tensors.len() as u64).to_le_bytes());
        bytes.extend((self.metadata.len() as u64).to_le_bytes());
        for (key, value) in &self.metadata {
            bytes.extend(text(key));
            bytes.extend(value);
        }
        let mut data: Vec<u8> = Vec::new();
        for (place, (name, shape, ty)) in self.tensors.iter().enumerate() {
            bytes.extend(text(name));
            bytes.extend((shape.len() as u32).to_le_bytes());
            bytes.extend(shape.iter().flat_map(|dimension| dimension.to_le_bytes()));
            bytes.extend(ty.to_le_bytes());
            bytes.extend((data.len() as u64).to_le_bytes());
            let num_elements: u64 = shape.iter().product();
            data.extend((0..num_elements).flat_map(|i| ((place as u64 * 1000 + i) as f32).to_le_bytes()));
            data.resize(data.len().next_multiple_of(32), 0);
        }
        bytes.resize(bytes.len().next_multiple_of(32), 0);
        bytes.extend(data);
        bytes
    }
}
