//! An encoder of random weights in a Hugging Face directory.

use std::collections::BTreeMap;
use std::path::Path;

use engine_workers::cpu_runner::options::CpuRunnerOptions;
use engine_workers::model_file::encoder::EncoderFile;
use engine_workers::pooling::encoder::{Encoder, EncoderInput};
use kernels::Isa;
use safetensors::tensor::{Dtype, TensorView};
use serde_json::{Value, json};
use tempfile::TempDir;

pub(crate) const HIDDEN_SIZE: usize = 64;
pub(crate) const NUM_HEADS: usize = 2;
pub(crate) const FFN_SIZE: usize = 96;
pub(crate) const NUM_LAYERS: usize = 2;
pub(crate) const NUM_POSITIONS: usize = 48;
pub(crate) const WORDS: [&str; 14] = [
    "[PAD]", "[UNK]", "[CLS]", "[SEP]", "the", "sea", "is", "calm", "today", "a", "storm", "##y", "night",
    "came",
];

/// A generator that gives the same numbers everywhere: splitmix64.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    fn signed(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }
}

/// The directory and what stands in it.
pub(crate) struct TinyEncoder {
    directory: TempDir,
    pub(crate) tensors: BTreeMap<String, (Vec<usize>, Vec<f32>)>,
}

impl TinyEncoder {
    /// One that embeds by the mean of the tokens, or one that scores pairs.
    pub(crate) fn new(scores: bool, config: Value) -> Self {
        let mut random = Random(11);
        let prefix = if scores { "bert." } else { "" };
        let (h, f) = (HIDDEN_SIZE, FFN_SIZE);
        let mut shapes = vec![
            ("embeddings.word_embeddings.weight".to_owned(), vec![WORDS.len(), h]),
            ("embeddings.position_embeddings.weight".to_owned(), vec![NUM_POSITIONS, h]),
            ("embeddings.token_type_embeddings.weight".to_owned(), vec![2, h]),
        ];
        let mut norms = vec!["embeddings.LayerNorm".to_owned()];
        let mut linears = Vec::new();
        for layer in 0..NUM_LAYERS {
            for (name, shape) in [
                ("attention.self.query", [h, h]),
                ("attention.self.key", [h, h]),
                ("attention.self.value", [h, h]),
                ("attention.output.dense", [h, h]),
                ("intermediate.dense", [f, h]),
                ("output.dense", [h, f]),
            ] {
                linears.push((format!("encoder.layer.{layer}.{name}"), shape));
            }
            norms.extend(
                ["attention.output", "output"].map(|n| format!("encoder.layer.{layer}.{n}.LayerNorm")),
            );
        }
        linears.push(("pooler.dense".to_owned(), [h, h]));
        for (name, shape) in linears {
            shapes.push((format!("{name}.bias"), vec![shape[0]]));
            shapes.push((format!("{name}.weight"), shape.to_vec()));
        }
        shapes.extend(
            norms.iter().flat_map(|n| ["weight", "bias"].map(|part| (format!("{n}.{part}"), vec![h]))),
        );
        let mut tensors: BTreeMap<String, (Vec<usize>, Vec<f32>)> = shapes
            .into_iter()
            .map(|(name, shape)| {
                let (shape, mut values) = random_tensor(&mut random, shape);
                // Near the identity, or all texts would look alike.
                if name.ends_with("LayerNorm.weight") {
                    values.iter_mut().for_each(|value| *value += 1.0);
                } else if name.ends_with("bias") {
                    values.iter_mut().for_each(|value| *value *= 0.1);
                }
                (format!("{prefix}{name}"), (shape, values))
            })
            .collect();
        if scores {
            tensors.insert("classifier.weight".to_owned(), random_tensor(&mut random, vec![1, h]));
            tensors.insert("classifier.bias".to_owned(), random_tensor(&mut random, vec![1]));
        }
        let encoder = Self { directory: tempfile::tempdir().unwrap(), tensors };
        encoder.write(scores, config);
        encoder
    }

    fn write(&self, scores: bool, changes: Value) {
        let architecture = if scores { "BertForSequenceClassification" } else { "BertModel" };
        let mut config = json!({
            "model_type": "bert", "architectures": [architecture], "hidden_size": HIDDEN_SIZE,
            "num_hidden_layers": NUM_LAYERS, "num_attention_heads": NUM_HEADS, "intermediate_size": FFN_SIZE,
            "vocab_size": WORDS.len(), "max_position_embeddings": NUM_POSITIONS, "type_vocab_size": 2,
            "layer_norm_eps": 1e-12, "hidden_act": "gelu",
        });
        config.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        std::fs::write(self.path().join("config.json"), config.to_string()).unwrap();
        std::fs::write(self.path().join("tokenizer.json"), tokenizer().to_string()).unwrap();
        self.write_tensors();
    }

    /// Writes the tensors as they are now.
    pub(crate) fn write_tensors(&self) {
        let bytes: Vec<_> = self
            .tensors
            .iter()
            .map(|(name, (shape, values))| {
                (name, shape, values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>())
            })
            .collect();
        let views = bytes.iter().map(|(name, shape, bytes)| {
            (*name, TensorView::new(Dtype::F32, (*shape).clone(), bytes).unwrap())
        });
        let file = safetensors::serialize(views, None).unwrap();
        std::fs::write(self.path().join("model.safetensors"), file).unwrap();
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn load(&self, num_threads: usize, isa: Isa) -> Encoder {
        let options = CpuRunnerOptions { num_threads, isa: Some(isa), ..CpuRunnerOptions::default() };
        Encoder::load(&EncoderFile::open(self.path()).unwrap(), &options).unwrap()
    }
}

fn random_tensor(random: &mut Random, shape: Vec<usize>) -> (Vec<usize>, Vec<f32>) {
    let values = (0..shape.iter().product()).map(|_| random.signed() * 0.5).collect();
    (shape, values)
}

/// A text of random words, or a pair of texts.
pub(crate) fn random_input(random: &mut Random) -> EncoderInput {
    let len = 1 + random.below(NUM_POSITIONS);
    let token_ids = (0..len).map(|_| random.below(WORDS.len()) as u32).collect();
    EncoderInput { token_ids, second_start: random.below(len + 1) }
}

fn tokenizer() -> Value {
    let vocab: serde_json::Map<String, Value> =
        WORDS.iter().enumerate().map(|(id, word)| ((*word).to_owned(), json!(id))).collect();
    let special = |id: u32, content: &str| {
        json!({"id": id, "content": content, "special": true, "single_word": false, "lstrip": false, "rstrip": false,
               "normalized": false})
    };
    let token = |id: &str, kind: u32| json!({"SpecialToken": {"id": id, "type_id": kind}});
    let sequence = |id: &str, kind: u32| json!({"Sequence": {"id": id, "type_id": kind}});
    json!({
        "version": "1.0", "truncation": null, "padding": null,
        "added_tokens": [special(2, "[CLS]"), special(3, "[SEP]")],
        "normalizer": {"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true,
                       "strip_accents": null, "lowercase": true},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [token("[CLS]", 0), sequence("A", 0), token("[SEP]", 0)],
            "pair": [token("[CLS]", 0), sequence("A", 0), token("[SEP]", 0), sequence("B", 1), token("[SEP]", 1)],
            "special_tokens": {"[CLS]": {"id": "[CLS]", "ids": [2], "tokens": ["[CLS]"]},
                               "[SEP]": {"id": "[SEP]", "ids": [3], "tokens": ["[SEP]"]}},
        },
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": true},
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                  "max_input_chars_per_word": 100, "vocab": vocab},
    })
}
