//! A LoRA adapter of random numbers in PEFT's format.

use std::path::Path;

/// The base model's sizes and the adapter's.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LoraFixture {
    pub(crate) num_layers: usize,
    pub(crate) hidden_size: usize,
    pub(crate) query_size: usize,
    pub(crate) kv_size: usize,
    pub(crate) ffn_size: usize,
    pub(crate) rank: usize,
    pub(crate) alpha: f32,
    pub(crate) seed: u64,
}

/// One tensor of the file.
#[derive(Debug, Clone)]
pub(crate) struct LoraTensor {
    pub(crate) name: String,
    pub(crate) dtype: &'static str,
    pub(crate) shape: Vec<usize>,
    pub(crate) bytes: Vec<u8>,
}

/// Sizes of SmolLM2-135M.
pub(crate) const SMOLLM2: LoraFixture = LoraFixture {
    num_layers: 30,
    hidden_size: 576,
    query_size: 576,
    kv_size: 192,
    ffn_size: 1536,
    rank: 8,
    alpha: 16.0,
    seed: 1,
};

impl LoraFixture {
    /// Every module with its outputs and inputs.
    pub(crate) fn modules(&self) -> [(&'static str, usize, usize); 7] {
        let Self { hidden_size, query_size, kv_size, ffn_size, .. } = *self;
        [
            ("self_attn.q_proj", query_size, hidden_size),
            ("self_attn.k_proj", kv_size, hidden_size),
            ("self_attn.v_proj", kv_size, hidden_size),
            ("self_attn.o_proj", hidden_size, query_size),
            ("mlp.gate_proj", ffn_size, hidden_size),
            ("mlp.up_proj", ffn_size, hidden_size),
            ("mlp.down_proj", hidden_size, ffn_size),
        ]
    }

    /// The numbers of one tensor, of about 1 over the root of the inputs in size.
    pub(crate) fn values(&self, layer: usize, module: &str, half: char, len: usize) -> Vec<f32> {
        let mut state = self.seed;
        for byte in format!("{layer}.{module}.{half}").bytes() {
            state = (state ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        let size = if half == 'A' { 1.0 / (self.hidden_size as f32).sqrt() } else { 0.1 };
        let next = || {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            // Sixteen bits of mantissa are more than bf16 has; eight are exact in every type.
            let step = ((z ^ (z >> 31)) >> 56) as f32 / 128.0 - 1.0;
            half_exact(step * size)
        };
        std::iter::repeat_with(next).take(len).collect()
    }

    /// All tensors; the types take turns.
    pub(crate) fn tensors(&self) -> Vec<LoraTensor> {
        let mut tensors = Vec::new();
        for layer in 0..self.num_layers {
            for (index, (module, num_outputs, num_inputs)) in self.modules().into_iter().enumerate() {
                let dtype = ["F32", "BF16"][(layer + index) % 2];
                for (half, shape) in [('A', [self.rank, num_inputs]), ('B', [num_outputs, self.rank])] {
                    let values = self.values(layer, module, half, shape[0] * shape[1]);
                    tensors.push(LoraTensor {
                        name: format!("base_model.model.model.layers.{layer}.{module}.lora_{half}.weight"),
                        dtype,
                        shape: shape.to_vec(),
                        bytes: values.iter().flat_map(|value| encode(dtype, *value)).collect(),
                    });
                }
            }
        }
        tensors
    }

    /// `adapter_config.json`.
    pub(crate) fn config_json(&self) -> String {
        let modules = self.modules().map(|(name, _, _)| name.rsplit('.').next().unwrap_or(name));
        format!(
            r#"{{"peft_type": "LORA", "r": {}, "lora_alpha": {}, "use_rslora": false, "bias": "none",
                "use_dora": false, "fan_in_fan_out": false, "modules_to_save": null, "target_modules": {modules:?}}}"#,
            self.rank, self.alpha
        )
    }

    /// Writes the directory.
    pub(crate) fn write(&self, directory: &Path) {
        write_files(directory, &self.config_json(), &self.tensors());
    }
}

/// Writes a directory of these tensors.
pub(crate) fn write_files(directory: &Path, config_json: &str, tensors: &[LoraTensor]) {
    std::fs::create_dir_all(directory).unwrap();
    std::fs::write(directory.join("adapter_config.json"), config_json).unwrap();
    let mut offset = 0;
    let entries = tensors.iter().map(|tensor| {
        let start = offset;
        offset += tensor.bytes.len();
        let LoraTensor { name, dtype, shape, .. } = tensor;
        format!(r#""{name}":{{"dtype":"{dtype}","shape":{shape:?},"data_offsets":[{start},{offset}]}}"#)
    });
    let mut header = format!("{{{}}}", entries.collect::<Vec<_>>().join(","));
    header.push_str(&" ".repeat(header.len().next_multiple_of(8) - header.len()));
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header.bytes());
    tensors.iter().for_each(|tensor| file.extend(&tensor.bytes));
    std::fs::write(directory.join("adapter_model.safetensors"), file).unwrap();
}

/// The upper half of the bits, so that every type holds it exactly.
fn half_exact(value: f32) -> f32 {
    f32::from_bits(value.to_bits() & 0xffff_0000)
}

fn encode(dtype: &str, value: f32) -> Vec<u8> {
    let bytes = value.to_le_bytes();
    if dtype == "BF16" { bytes[2..].to_vec() } else { bytes.to_vec() }
}
