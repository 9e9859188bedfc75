//! Models of random weights in GGUF files.

use std::io::Write;

use engine_workers::model_file::ModelFile;
use kernels::WeightType;

use crate::gguf_file::{GgufFile, Tensor};

/// A generator that gives the same numbers everywhere: splitmix64.
#[derive(Debug, Clone)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    /// A number in −1..1.
    fn signed(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }
}

/// The families whose layers differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    Llama,
    /// Llama with a window in every layer.
    Mistral,
    Mixtral,
    Qwen2,
    Qwen2Moe,
    Qwen3,
    Qwen3Moe,
    /// Windows in every layer but each second one.
    Gemma3,
}

impl Family {
    pub(crate) const ALL: [Self; 8] = [
        Self::Llama,
        Self::Mistral,
        Self::Mixtral,
        Self::Qwen2,
        Self::Qwen2Moe,
        Self::Qwen3,
        Self::Qwen3Moe,
        Self::Gemma3,
    ];

    /// GGUF's name of the architecture.
    pub(crate) fn arch(self) -> &'static str {
        match self {
            Self::Llama | Self::Mistral | Self::Mixtral => "llama",
            Self::Qwen2 => "qwen2",
            Self::Qwen2Moe => "qwen2moe",
            Self::Qwen3 => "qwen3",
            Self::Qwen3Moe => "qwen3moe",
            Self::Gemma3 => "gemma3",
        }
    }

    pub(crate) fn has_qkv_bias(self) -> bool {
        matches!(self, Self::Qwen2 | Self::Qwen2Moe)
    }

    pub(crate) fn has_qk_norm(self) -> bool {
        matches!(self, Self::Qwen3 | Self::Qwen3Moe | Self::Gemma3)
    }

    pub(crate) fn has_experts(self) -> bool {
        matches!(self, Self::Mixtral | Self::Qwen2Moe | Self::Qwen3Moe)
    }

    pub(crate) fn has_window(self) -> bool {
        matches!(self, Self::Mistral | Self::Gemma3)
    }
}

/// What the model looks like. All query heads together are 256 wide, so that every weight type fits.
#[derive(Debug, Clone)]
pub(crate) struct TinyModel {
    pub(crate) family: Family,
    pub(crate) num_layers: usize,
    pub(crate) hidden_size: usize,
    /// Of an expert too.
    pub(crate) ffn_size: usize,
    pub(crate) num_kv_heads: usize,
    pub(crate) head_dim: usize,
    pub(crate) vocab_size: usize,
    pub(crate) is_tied: bool,
    /// The types of the matrices, taken in turns.
    pub(crate) weight_types: Vec<WeightType>,
    /// Whether the embedding of the last token is so large that its scaling overflows; of `Gemma3` only.
    pub(crate) has_poisoned_token: bool,
    pub(crate) seed: u64,
}

pub(crate) const QUERY_SIZE: usize = 256;
pub(crate) const NUM_EXPERTS: usize = 5;
pub(crate) const NUM_USED_EXPERTS: usize = 2;
pub(crate) const SHARED_FFN_SIZE: usize = 512;
pub(crate) const WINDOW_TOKENS: usize = 20;
pub(crate) const WINDOW_PERIOD: usize = 2;
/// Not the base of layers with a window in `Gemma3`, which is 10000.
pub(crate) const ROPE_THETA: f32 = 50_000.0;

impl TinyModel {
    /// Writes the file and opens it.
    pub(crate) fn open(&self) -> ModelFile {
        self.open_changed(|_, _| {})
    }

    /// Writes the file with the bytes of each tensor changed and opens it.
    pub(crate) fn open_changed(&self, change: impl Fn(&str, &mut [u8])) -> ModelFile {
        let mut tensors = self.tensors();
        tensors.iter_mut().for_each(|tensor| change(&tensor.name, &mut tensor.bytes));
        let mut file = tempfile::Builder::new().suffix(".gguf").tempfile().unwrap();
        file.write_all(&self.gguf(&tensors)).unwrap();
        ModelFile::open(file.path()).unwrap()
    }

    /// The file's bytes with these tensors.
    pub(crate) fn gguf(&self, tensors: &[Tensor]) -> Vec<u8> {
        let mut numbers = vec![
            ("block_count", self.num_layers),
            ("context_length", 512),
            ("embedding_length", self.hidden_size),
            ("feed_forward_length", self.ffn_size),
            ("attention.head_count", QUERY_SIZE / self.head_dim),
            ("attention.head_count_kv", self.num_kv_heads),
            ("attention.key_length", self.head_dim),
            ("attention.value_length", self.head_dim),
            ("rope.dimension_count", self.head_dim),
        ];
        if self.family.has_experts() {
            numbers.extend([("expert_count", NUM_EXPERTS), ("expert_used_count", NUM_USED_EXPERTS)]);
        }
        if self.family == Family::Qwen2Moe {
            numbers.push(("expert_shared_feed_forward_length", SHARED_FFN_SIZE));
        }
        if self.family.has_window() {
            numbers.push(("attention.sliding_window", WINDOW_TOKENS));
        }
        if self.family == Family::Gemma3 {
            numbers.push(("attention.sliding_window_pattern", WINDOW_PERIOD));
        }
        GgufFile {
            arch: self.family.arch(),
            numbers,
            floats: vec![("attention.layer_norm_rms_epsilon", 1e-5), ("rope.freq_base", ROPE_THETA)],
            num_tokens: self.vocab_size,
            tensors,
        }
        .bytes()
    }

    /// The tensors, by the names that GGUF has for them.
    pub(crate) fn tensors(&self) -> Vec<Tensor> {
        let mut random = Random(self.seed);
        let mut tensors = Vec::new();
        let kv_size = self.num_kv_heads * self.head_dim;
        let (hidden, ffn) = (self.hidden_size, self.ffn_size);
        let mut turns = 0;
        let mut matrix = |name: String, shape: &[usize], random: &mut Random| {
            let weight_type = self.weight_types[turns % self.weight_types.len()];
            turns += 1;
            let num_elements = shape.iter().product();
            Tensor {
                name,
                shape: shape.to_vec(),
                weight_type,
                bytes: random_rows(weight_type, num_elements, random),
            }
        };
        let vector = |name: String, len: usize, center: f32, random: &mut Random| {
            let values = (0..len).flat_map(|_| (center + 0.2 * random.signed()).to_le_bytes());
            Tensor { name, shape: vec![len], weight_type: WeightType::F32, bytes: values.collect() }
        };
        let mut embedding = Tensor {
            name: "token_embd.weight".to_owned(),
            shape: vec![self.vocab_size, hidden],
            weight_type: WeightType::F32,
            bytes: random_rows(WeightType::F32, self.vocab_size * hidden, &mut random),
        };
        if self.has_poisoned_token {
            let last_row = (self.vocab_size - 1) * hidden * 4;
            embedding.bytes[last_row..last_row + 4].copy_from_slice(&f32::MAX.to_le_bytes());
        }
        tensors.push(embedding);
        tensors.push(vector("output_norm.weight".to_owned(), hidden, 1.0, &mut random));
        if !self.is_tied {
            tensors.push(matrix("output.weight".to_owned(), &[self.vocab_size, hidden], &mut random));
        }
        for layer in 0..self.num_layers {
            let name = |suffix: &str| format!("blk.{layer}.{suffix}");
            let mut matrices = vec![
                ("attn_q.weight", vec![QUERY_SIZE, hidden]),
                ("attn_k.weight", vec![kv_size, hidden]),
                ("attn_v.weight", vec![kv_size, hidden]),
                ("attn_output.weight", vec![hidden, QUERY_SIZE]),
            ];
            let mut vectors = vec![("attn_norm.weight", hidden, 1.0), ("ffn_norm.weight", hidden, 1.0)];
            if self.family.has_experts() {
                matrices.extend([
                    ("ffn_gate_exps.weight", vec![NUM_EXPERTS, ffn, hidden]),
                    ("ffn_up_exps.weight", vec![NUM_EXPERTS, ffn, hidden]),
                    ("ffn_down_exps.weight", vec![NUM_EXPERTS, hidden, ffn]),
                ]);
                tensors.push(Tensor {
                    name: name("ffn_gate_inp.weight"),
                    shape: vec![NUM_EXPERTS, hidden],
                    weight_type: WeightType::F32,
                    bytes: random_rows(WeightType::F32, NUM_EXPERTS * hidden, &mut random),
                });
            } else {
                matrices.extend([
                    ("ffn_gate.weight", vec![ffn, hidden]),
                    ("ffn_up.weight", vec![ffn, hidden]),
                    ("ffn_down.weight", vec![hidden, ffn]),
                ]);
            }
            if self.family == Family::Qwen2Moe {
                matrices.extend([
                    ("ffn_gate_shexp.weight", vec![SHARED_FFN_SIZE, hidden]),
                    ("ffn_up_shexp.weight", vec![SHARED_FFN_SIZE, hidden]),
                    ("ffn_down_shexp.weight", vec![hidden, SHARED_FFN_SIZE]),
                ]);
                vectors.push(("ffn_gate_inp_shexp.weight", hidden, 0.0));
            }
            if self.family.has_qkv_bias() {
                let biases =
                    [("attn_q.bias", QUERY_SIZE), ("attn_k.bias", kv_size), ("attn_v.bias", kv_size)];
                vectors.extend(biases.map(|(name, len)| (name, len, 0.0)));
            }
            if self.family.has_qk_norm() {
                let norms = ["attn_q_norm.weight", "attn_k_norm.weight"];
                vectors.extend(norms.map(|name| (name, self.head_dim, 1.0)));
            }
            if self.family == Family::Gemma3 {
                let norms = ["post_attention_norm.weight", "post_ffw_norm.weight"];
                vectors.extend(norms.map(|name| (name, hidden, 1.0)));
            }
            for (suffix, shape) in matrices {
                tensors.push(matrix(name(suffix), &shape, &mut random));
            }
            for (suffix, len, center) in vectors {
                tensors.push(vector(name(suffix), len, center, &mut random));
            }
        }
        tensors
    }
}

/// Random blocks whose values are about 0.1 in size.
pub(crate) fn random_rows(weight_type: WeightType, num_elements: usize, random: &mut Random) -> Vec<u8> {
    let half = |value: f32| half::f16::from_f32(value).to_le_bytes();
    let mut bytes = Vec::new();
    for _ in 0..num_elements / weight_type.block_size() {
        let mut block: Vec<u8> = (0..weight_type.block_bytes()).map(|_| random.next() as u8).collect();
        let amount = 1.0 + 0.5 * random.signed();
        let scales: &[(usize, f32)] = match weight_type {
            WeightType::F32 => {
                block.copy_from_slice(&(0.1 * random.signed()).to_le_bytes());
                &[]
            }
            WeightType::BF16 => {
                block.copy_from_slice(&half::bf16::from_f32(0.1 * random.signed()).to_le_bytes());
                &[]
            }
            WeightType::F16 => &[(0, 0.1)],
            WeightType::Q8_0 => &[(0, 0.001)],
            WeightType::Q4_0 => &[(0, 0.012)],
            WeightType::Q4_1 => &[(0, 0.012), (2, -0.09)],
            WeightType::Q5_0 => &[(0, 0.006)],
            WeightType::Q5_1 => &[(0, 0.006), (2, -0.09)],
            WeightType::Q4K => &[(0, 0.0004), (2, 0.003)],
            WeightType::Q5K => &[(0, 0.0002), (2, 0.003)],
            WeightType::Q6K => &[(208, 0.00005)],
        };
        for (offset, scale) in scales {
            block[*offset..offset + 2].copy_from_slice(&half(scale * amount));
        }
        bytes.extend(block);
    }
    bytes
}
