//! A model of random weights in a GGUF file.

use std::io::Write;

use engine_workers::model_file::ModelFile;
use kernels::WeightType;

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

/// What the model looks like. All query heads together are 256 wide, so that every weight type fits.
#[derive(Debug, Clone)]
pub(crate) struct TinyModel {
    pub(crate) is_qwen2: bool,
    pub(crate) num_layers: usize,
    pub(crate) hidden_size: usize,
    pub(crate) ffn_size: usize,
    pub(crate) num_kv_heads: usize,
    pub(crate) head_dim: usize,
    pub(crate) vocab_size: usize,
    pub(crate) is_tied: bool,
    /// The types of the matrices, taken in turns.
    pub(crate) weight_types: Vec<WeightType>,
    /// Whether the embedding of the last token is NaN.
    pub(crate) has_poisoned_token: bool,
    pub(crate) seed: u64,
}

struct Tensor {
    name: String,
    shape: Vec<usize>,
    weight_type: WeightType,
    bytes: Vec<u8>,
}

const QUERY_SIZE: usize = 256;
const ALIGNMENT: usize = 32;

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

    fn gguf(&self, tensors: &[Tensor]) -> Vec<u8> {
        let arch = if self.is_qwen2 { "qwen2" } else { "llama" };
        let numbers = [
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
        let mut out = Vec::new();
        out.extend(b"GGUF");
        out.extend(3u32.to_le_bytes());
        out.extend((tensors.len() as u64).to_le_bytes());
        out.extend((numbers.len() as u64 + 6).to_le_bytes());
        put_text(&mut out, "general.architecture", arch);
        put_text(&mut out, "tokenizer.ggml.model", "gpt2");
        put_text(&mut out, "tokenizer.ggml.pre", "gpt-2");
        put_texts(&mut out, "tokenizer.ggml.tokens", &self.vocabulary());
        put_texts(&mut out, "tokenizer.ggml.merges", &[]);
        put_string(&mut out, &format!("{arch}.attention.layer_norm_rms_epsilon"));
        out.extend(6u32.to_le_bytes());
        out.extend(1e-5f32.to_le_bytes());
        for (key, value) in numbers {
            put_string(&mut out, &format!("{arch}.{key}"));
            out.extend(4u32.to_le_bytes());
            out.extend((value as u32).to_le_bytes());
        }
        let mut offset = 0;
        for tensor in tensors {
            put_string(&mut out, &tensor.name);
            out.extend((tensor.shape.len() as u32).to_le_bytes());
            for dimension in tensor.shape.iter().rev() {
                out.extend((*dimension as u64).to_le_bytes());
            }
            out.extend(type_code(tensor.weight_type).to_le_bytes());
            out.extend((offset as u64).to_le_bytes());
            offset += tensor.bytes.len().next_multiple_of(ALIGNMENT);
        }
        for tensor in tensors {
            out.resize(out.len().next_multiple_of(ALIGNMENT), 0);
            out.extend(&tensor.bytes);
        }
        out.resize(out.len().next_multiple_of(ALIGNMENT), 0);
        out
    }

    fn vocabulary(&self) -> Vec<String> {
        (0..self.vocab_size).map(|token| format!("t{token}")).collect()
    }

    fn tensors(&self) -> Vec<Tensor> {
        let mut random = Random(self.seed);
        let mut tensors = Vec::new();
        let kv_size = self.num_kv_heads * self.head_dim;
        let (hidden, ffn) = (self.hidden_size, self.ffn_size);
        let mut turns = 0;
        let mut matrix = |name: String, rows: usize, cols: usize, random: &mut Random| {
            let weight_type = self.weight_types[turns % self.weight_types.len()];
            turns += 1;
            Tensor {
                name,
                shape: vec![rows, cols],
                weight_type,
                bytes: random_rows(weight_type, rows * cols, random),
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
            embedding.bytes[last_row..last_row + 4].copy_from_slice(&f32::NAN.to_le_bytes());
        }
        tensors.push(embedding);
        tensors.push(vector("output_norm.weight".to_owned(), hidden, 1.0, &mut random));
        if !self.is_tied {
            tensors.push(matrix("output.weight".to_owned(), self.vocab_size, hidden, &mut random));
        }
        for layer in 0..self.num_layers {
            let name = |suffix: &str| format!("blk.{layer}.{suffix}");
            let matrices = [
                ("attn_q.weight", QUERY_SIZE, hidden),
                ("attn_k.weight", kv_size, hidden),
                ("attn_v.weight", kv_size, hidden),
                ("attn_output.weight", hidden, QUERY_SIZE),
                ("ffn_gate.weight", ffn, hidden),
                ("ffn_up.weight", ffn, hidden),
                ("ffn_down.weight", hidden, ffn),
            ];
            for (suffix, rows, cols) in matrices {
                tensors.push(matrix(name(suffix), rows, cols, &mut random));
            }
            for suffix in ["attn_norm.weight", "ffn_norm.weight"] {
                tensors.push(vector(name(suffix), hidden, 1.0, &mut random));
            }
            if self.is_qwen2 {
                for (suffix, len) in
                    [("attn_q.bias", QUERY_SIZE), ("attn_k.bias", kv_size), ("attn_v.bias", kv_size)]
                {
                    tensors.push(vector(name(suffix), len, 0.0, &mut random));
                }
            }
        }
        tensors
    }
}

/// Random blocks whose values are about 0.1 in size.
fn random_rows(weight_type: WeightType, num_elements: usize, random: &mut Random) -> Vec<u8> {
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

fn type_code(weight_type: WeightType) -> u32 {
    match weight_type {
        WeightType::F32 => 0,
        WeightType::F16 => 1,
        WeightType::Q4_0 => 2,
        WeightType::Q4_1 => 3,
        WeightType::Q5_0 => 6,
        WeightType::Q5_1 => 7,
        WeightType::Q8_0 => 8,
        WeightType::Q4K => 12,
        WeightType::Q5K => 13,
        WeightType::Q6K => 14,
        WeightType::BF16 => 30,
    }
}

fn put_string(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text.as_bytes());
}

fn put_text(out: &mut Vec<u8>, key: &str, value: &str) {
    put_string(out, key);
    out.extend(8u32.to_le_bytes());
    put_string(out, value);
}

fn put_texts(out: &mut Vec<u8>, key: &str, values: &[String]) {
    put_string(out, key);
    out.extend(9u32.to_le_bytes());
    out.extend(8u32.to_le_bytes());
    out.extend((values.len() as u64).to_le_bytes());
    for value in values {
        put_string(out, value);
    }
}
