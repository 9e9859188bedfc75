//! `config.json`, `generation_config.json` and `tokenizer_config.json` of a Hugging Face directory.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::config::{Architecture, ModelConfig, RopeScaling, RopeStyle};
use super::error::ModelFileError;
use super::generation_defaults::GenerationDefaults;
use crate::chat_template::source::TemplateSources;

/// More than any configuration has; a larger file is not read into memory.
const MAX_JSON_BYTES: u64 = 256 << 20;

/// The fields of `config.json` that matter.
#[derive(Debug, Deserialize)]
pub(crate) struct ConfigJson {
    model_type: String,
    hidden_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    num_key_value_heads: Option<usize>,
    head_dim: Option<usize>,
    intermediate_size: usize,
    vocab_size: usize,
    max_position_embeddings: usize,
    #[serde(default = "default_rms_eps")]
    rms_norm_eps: f32,
    rope_theta: Option<f32>,
    rope_scaling: Option<RopeJson>,
    rope_parameters: Option<RopeJson>,
    partial_rotary_factor: Option<f32>,
    #[serde(default)]
    tie_word_embeddings: bool,
    #[serde(default)]
    attention_bias: bool,
    #[serde(default)]
    mlp_bias: bool,
    #[serde(default = "default_hidden_act")]
    hidden_act: String,
    sliding_window: Option<usize>,
    use_sliding_window: Option<bool>,
    quantization_config: Option<serde_json::Value>,
    pub(crate) bos_token_id: Option<TokenIds>,
    pub(crate) eos_token_id: Option<TokenIds>,
    pub(crate) pad_token_id: Option<TokenIds>,
}

#[derive(Debug, Deserialize)]
struct RopeJson {
    #[serde(alias = "type")]
    rope_type: Option<String>,
    rope_theta: Option<f32>,
    factor: Option<f32>,
    low_freq_factor: Option<f32>,
    high_freq_factor: Option<f32>,
    original_max_position_embeddings: Option<usize>,
    attention_factor: Option<f32>,
    beta_fast: Option<f32>,
    beta_slow: Option<f32>,
}

/// One token id or several.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub(crate) enum TokenIds {
    /// One.
    One(u32),
    /// Several.
    Many(Vec<u32>),
}

impl TokenIds {
    /// All of them.
    pub(crate) fn to_vec(&self) -> Vec<u32> {
        match self {
            Self::One(id) => vec![*id],
            Self::Many(ids) => ids.clone(),
        }
    }
}

/// The fields of `generation_config.json` that matter.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct GenerationConfigJson {
    pub(crate) eos_token_id: Option<TokenIds>,
    do_sample: Option<bool>,
    temperature: Option<f32>,
    top_p: Option<f32>,
    top_k: Option<u32>,
    min_p: Option<f32>,
    repetition_penalty: Option<f32>,
}

/// The fields of `tokenizer_config.json` that matter.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct TokenizerConfigJson {
    pub(crate) bos_token: Option<TokenText>,
    pub(crate) eos_token: Option<TokenText>,
    pub(crate) unk_token: Option<TokenText>,
    pub(crate) pad_token: Option<TokenText>,
    chat_template: Option<TemplateJson>,
}

/// A token by its text, bare or with its properties.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum TokenText {
    /// The text.
    Bare(String),
    /// The text, beside other fields.
    Full {
        /// The text.
        content: String,
    },
}

impl TokenText {
    /// The text.
    pub(crate) fn text(&self) -> &str {
        match self {
            Self::Bare(text) | Self::Full { content: text } => text,
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum TemplateJson {
    One(String),
    Named(Vec<NamedTemplate>),
}

#[derive(Debug, Deserialize)]
struct NamedTemplate {
    name: String,
    template: String,
}

fn default_rms_eps() -> f32 {
    1e-6
}

fn default_hidden_act() -> String {
    "silu".to_owned()
}

/// Reads a whole file that is known to be small; `None` if it does not exist.
pub(crate) fn read_optional(path: &Path) -> Result<Option<Vec<u8>>, ModelFileError> {
    let io = |source| ModelFileError::Io { path: path.to_owned(), source };
    match std::fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(io(error)),
        Ok(metadata) if metadata.len() > MAX_JSON_BYTES => Err(io(std::io::Error::other(format!(
            "{} bytes are more than the {MAX_JSON_BYTES} expected at most",
            metadata.len()
        )))),
        Ok(_) => std::fs::read(path).map(Some).map_err(io),
    }
}

/// Reads a JSON file; `None` if it does not exist.
pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, ModelFileError> {
    let Some(bytes) = read_optional(path)? else { return Ok(None) };
    serde_json::from_slice(&bytes).map(Some).map_err(|error| ModelFileError::Corrupt {
        path: path.to_owned(),
        offset: offset_of(&bytes, error.line(), error.column()),
        reason: error.to_string(),
    })
}

fn offset_of(bytes: &[u8], line: usize, column: usize) -> u64 {
    let lines_before = bytes.split_inclusive(|byte| *byte == b'\n').take(line.saturating_sub(1));
    (lines_before.map(<[u8]>::len).sum::<usize>() + column.saturating_sub(1)) as u64
}

impl ConfigJson {
    /// The configuration in the common form; `path` is that of `config.json`.
    pub(crate) fn to_config(&self, path: &Path) -> Result<ModelConfig, ModelFileError> {
        let architecture = self.architecture(path)?;
        self.refuse_unsupported(path, architecture)?;
        let head_dim = match self.head_dim {
            Some(head_dim) => head_dim,
            None => self.hidden_size.checked_div(self.num_attention_heads).unwrap_or(0),
        };
        let rope = self.rope_parameters.as_ref().or(self.rope_scaling.as_ref());
        let rope_scaling = rope_scaling(path, rope, self.max_position_embeddings)?;
        let max_context_tokens = match (&rope_scaling, rope.and_then(|r| r.original_max_position_embeddings))
        {
            (RopeScaling::Yarn { factor, .. }, Some(original)) => {
                self.max_position_embeddings.max((original as f32 * factor) as usize)
            }
            _ => self.max_position_embeddings,
        };
        ModelConfig {
            architecture,
            hidden_size: self.hidden_size,
            num_layers: self.num_hidden_layers,
            num_heads: self.num_attention_heads,
            num_kv_heads: self.num_key_value_heads.unwrap_or(self.num_attention_heads),
            head_dim,
            rotary_dim: head_dim,
            ffn_size: self.intermediate_size,
            vocab_size: self.vocab_size,
            rms_eps: self.rms_norm_eps,
            rope_theta: self.rope_theta.or(rope.and_then(|rope| rope.rope_theta)).unwrap_or(10_000.0),
            rope_scaling,
            rope_style: RopeStyle::Halves,
            max_context_tokens,
            tie_embeddings: self.tie_word_embeddings,
            has_qkv_bias: architecture == Architecture::Qwen2 || self.attention_bias,
            has_attention_output_bias: architecture == Architecture::Llama && self.attention_bias,
        }
        .validated(path)
    }

    fn architecture(&self, path: &Path) -> Result<Architecture, ModelFileError> {
        match self.model_type.as_str() {
            "llama" | "mistral" => Ok(Architecture::Llama),
            "qwen2" => Ok(Architecture::Qwen2),
            found => Err(ModelFileError::UnsupportedArchitecture {
                path: path.to_owned(),
                found: found.to_owned(),
                supported: "llama, mistral, qwen2".to_owned(),
            }),
        }
    }

    fn refuse_unsupported(&self, path: &Path, architecture: Architecture) -> Result<(), ModelFileError> {
        let has_window = match architecture {
            Architecture::Llama => self.sliding_window.is_some(),
            Architecture::Qwen2 => self.use_sliding_window.unwrap_or(false),
        };
        let rotary_factor = self.partial_rotary_factor.unwrap_or(1.0);
        let refused = [
            (has_window, "sliding_window", format!("{:?}", self.sliding_window), "none"),
            (self.mlp_bias, "mlp_bias", "true".to_owned(), "false"),
            (self.hidden_act != "silu", "hidden_act", self.hidden_act.clone(), "silu"),
            (rotary_factor != 1.0, "partial_rotary_factor", rotary_factor.to_string(), "1"),
            (
                self.quantization_config.is_some(),
                "quantization_config",
                "set".to_owned(),
                "none: only F32, F16 and BF16 weights are read from safetensors",
            ),
        ];
        match refused.into_iter().find(|(is_refused, ..)| *is_refused) {
            Some((_, key, value, expected)) => Err(invalid(path, key, value, expected)),
            None => Ok(()),
        }
    }
}

fn rope_scaling(
    path: &Path,
    rope: Option<&RopeJson>,
    max_position_embeddings: usize,
) -> Result<RopeScaling, ModelFileError> {
    let Some(rope) = rope else { return Ok(RopeScaling::None) };
    let required = |value: Option<f32>, key: &str| {
        value.ok_or_else(|| ModelFileError::MissingKey {
            path: path.to_owned(),
            key: format!("rope_scaling.{key}"),
        })
    };
    let original_context_tokens = rope.original_max_position_embeddings.unwrap_or(max_position_embeddings);
    Ok(match rope.rope_type.as_deref() {
        None | Some("default") => RopeScaling::None,
        Some("linear") => RopeScaling::Linear { factor: required(rope.factor, "factor")? },
        Some("llama3") => RopeScaling::Llama3 {
            factor: required(rope.factor, "factor")?,
            low_freq_factor: required(rope.low_freq_factor, "low_freq_factor")?,
            high_freq_factor: required(rope.high_freq_factor, "high_freq_factor")?,
            original_context_tokens,
        },
        Some("yarn") => RopeScaling::Yarn {
            factor: required(rope.factor, "factor")?,
            original_context_tokens,
            attention_factor: rope.attention_factor,
            beta_fast: rope.beta_fast.unwrap_or(32.0),
            beta_slow: rope.beta_slow.unwrap_or(1.0),
        },
        Some(kind) => {
            return Err(invalid(
                path,
                "rope_scaling.rope_type",
                kind.to_owned(),
                "default, linear, llama3 or yarn",
            ));
        }
    })
}

fn invalid(path: &Path, key: &str, value: String, expected: &str) -> ModelFileError {
    ModelFileError::InvalidKey {
        path: path.to_owned(),
        key: key.to_owned(),
        value,
        expected: expected.to_owned(),
    }
}

impl GenerationConfigJson {
    /// The recommended sampling parameters; greedy decoding is a temperature of 0.
    pub(crate) fn defaults(&self) -> GenerationDefaults {
        let is_greedy = self.do_sample == Some(false);
        GenerationDefaults {
            temperature: if is_greedy { Some(0.0) } else { self.temperature },
            top_p: self.top_p,
            top_k: self.top_k,
            min_p: self.min_p,
            repetition_penalty: self.repetition_penalty,
        }
    }
}

impl TokenizerConfigJson {
    /// The chat templates of `chat_template.jinja`, `additional_chat_templates/` and `tokenizer_config.json`; a file of
    /// its own wins.
    pub(crate) fn templates(&self, directory: &Path) -> Result<TemplateSources, ModelFileError> {
        let mut sources = TemplateSources::default();
        match &self.chat_template {
            None => {}
            Some(TemplateJson::One(template)) => sources.default = Some(template.clone()),
            Some(TemplateJson::Named(templates)) => {
                for NamedTemplate { name, template } in templates {
                    if name == "default" {
                        sources.default = Some(template.clone());
                    } else {
                        sources.named.push((name.clone(), template.clone()));
                    }
                }
            }
        }
        if let Some(template) = read_text(&directory.join("chat_template.jinja"))? {
            sources.default = Some(template);
        }
        let mut additional: HashMap<String, String> = sources.named.drain(..).collect();
        for path in list(&directory.join("additional_chat_templates"), "jinja")? {
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            additional.extend(read_text(&path)?.map(|template| (name, template)));
        }
        sources.named = additional.into_iter().collect();
        sources.named.sort();
        Ok(sources)
    }
}

fn read_text(path: &Path) -> Result<Option<String>, ModelFileError> {
    let Some(bytes) = read_optional(path)? else { return Ok(None) };
    String::from_utf8(bytes).map(Some).map_err(|error| ModelFileError::Corrupt {
        path: path.to_owned(),
        offset: error.utf8_error().valid_up_to() as u64,
        reason: "not UTF-8".to_owned(),
    })
}

/// The files of a directory with an extension, sorted; none if there is no such directory.
pub(crate) fn list(directory: &Path, extension: &str) -> Result<Vec<PathBuf>, ModelFileError> {
    let io = |source| ModelFileError::Io { path: directory.to_owned(), source };
    let entries = match std::fs::read_dir(directory) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(io)?,
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.map_err(io)?.path();
        if path.extension().is_some_and(|found| found == extension) {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}
