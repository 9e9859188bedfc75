//! GGUF files with any weights.

use kernels::WeightType;

/// A tensor by GGUF's name.
#[derive(Debug, Clone)]
pub(crate) struct Tensor {
    pub(crate) name: String,
    /// Outermost dimension first.
    pub(crate) shape: Vec<usize>,
    pub(crate) weight_type: WeightType,
    pub(crate) bytes: Vec<u8>,
}

/// What is in the file; keys are without the architecture's name. Its tokens are `t0`, `t1`, …
#[derive(Debug)]
pub(crate) struct GgufFile<'a> {
    pub(crate) arch: &'a str,
    pub(crate) numbers: Vec<(&'a str, usize)>,
    pub(crate) floats: Vec<(&'a str, f32)>,
    pub(crate) num_tokens: usize,
    pub(crate) tensors: &'a [Tensor],
}

const ALIGNMENT: usize = 32;

impl GgufFile<'_> {
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.extend(b"GGUF");
        out.extend(3u32.to_le_bytes());
        out.extend((self.tensors.len() as u64).to_le_bytes());
        out.extend((self.numbers.len() as u64 + self.floats.len() as u64 + 5).to_le_bytes());
        put_text(&mut out, "general.architecture", self.arch);
        put_text(&mut out, "tokenizer.ggml.model", "gpt2");
        put_text(&mut out, "tokenizer.ggml.pre", "gpt-2");
        let tokens: Vec<String> = (0..self.num_tokens).map(|token| format!("t{token}")).collect();
        put_texts(&mut out, "tokenizer.ggml.tokens", &tokens);
        put_texts(&mut out, "tokenizer.ggml.merges", &[]);
        for (key, value) in &self.floats {
            put_string(&mut out, &format!("{}.{key}", self.arch));
            out.extend(6u32.to_le_bytes());
            out.extend(value.to_le_bytes());
        }
        for (key, value) in &self.numbers {
            put_string(&mut out, &format!("{}.{key}", self.arch));
            out.extend(4u32.to_le_bytes());
            out.extend((*value as u32).to_le_bytes());
        }
        let mut offset = 0;
        for tensor in self.tensors {
            put_string(&mut out, &tensor.name);
            out.extend((tensor.shape.len() as u32).to_le_bytes());
            for dimension in tensor.shape.iter().rev() {
                out.extend((*dimension as u64).to_le_bytes());
            }
            out.extend(type_code(tensor.weight_type).to_le_bytes());
            out.extend((offset as u64).to_le_bytes());
            offset += tensor.bytes.len().next_multiple_of(ALIGNMENT);
        }
        for tensor in self.tensors {
            out.resize(out.len().next_multiple_of(ALIGNMENT), 0);
            out.extend(&tensor.bytes);
        }
        out.resize(out.len().next_multiple_of(ALIGNMENT), 0);
        out
    }
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
