//! `generation_config.json` and `tokenizer_config.json` of a Hugging Face directory.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::error::ModelFileError;
use super::generation_defaults::GenerationDefaults;
use crate::chat_template::source::TemplateSources;

/// More than any configuration has; a larger file is not read into memory.
const MAX_JSON_BYTES: u64 = 256 << 20;

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
