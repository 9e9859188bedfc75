//! Model files: GGUF and Hugging Face directories, brought to one form.

pub mod config;
pub mod digest;
pub mod encoder;
pub mod encoder_config;
pub mod error;
pub mod experts;
pub mod generation_defaults;
pub mod tensor;
pub mod vocabulary;
pub mod window;

mod byte_reader;
mod gguf;
mod gguf_metadata;
mod gguf_model;
mod gguf_tensors;
mod gguf_value;
mod gguf_vocabulary;
pub(crate) mod hugging_face;
pub(crate) mod hugging_face_config;
mod hugging_face_model;
mod hugging_face_tensors;
pub(crate) mod mapped_file;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use config::ModelConfig;
use digest::ModelDigest;
use error::ModelFileError;
use generation_defaults::GenerationDefaults;
use gguf::Gguf;
use kernels::WeightType;
use mapped_file::MappedFile;
use tensor::{TensorEntry, TensorRole, TensorView};

use crate::chat_template::source::TemplateSources;
use crate::tokenizer::spec::{SpecialTokenIds, TokenizerSpec};

/// An opened model: its numbers, its tokenizer and templates, and its weights in a read-only memory map. Dropping it
/// releases the map.
///
/// Every tensor that the configuration asks for is there, in the right shape and a supported type, or opening fails.
#[derive(Debug)]
pub struct ModelFile {
    path: PathBuf,
    config: ModelConfig,
    tokenizer: TokenizerSpec,
    templates: TemplateSources,
    generation_defaults: GenerationDefaults,
    files: Vec<MappedFile>,
    digested_files: Vec<PathBuf>,
    tensors: HashMap<TensorRole, TensorEntry>,
}

impl ModelFile {
    /// Opens a GGUF file, or a directory with `config.json`, `tokenizer.json` and `*.safetensors`.
    ///
    /// Reads the headers only; the weights are read when they are used.
    ///
    /// # Errors
    /// [`ModelFileError`] for whatever is missing, corrupt or not supported, with the file's name.
    pub fn open(path: &Path) -> Result<Self, ModelFileError> {
        if path.is_dir() { hugging_face::open(path) } else { Self::open_gguf(path) }
    }

    fn open_gguf(path: &Path) -> Result<Self, ModelFileError> {
        let file = MappedFile::open(path)?;
        if !Gguf::is_gguf(file.bytes()) {
            return Err(ModelFileError::NotAModel { path: path.to_owned() });
        }
        let gguf = Gguf::parse(path, file.bytes())?;
        let config = gguf_model::config(&gguf)?;
        let tensors = gguf_tensors::entries(&gguf, &config)?;
        let tokenizer = TokenizerSpec::Vocabulary(gguf_vocabulary::vocabulary(&gguf)?);
        let templates = gguf_model::templates(&gguf)?;
        let generation_defaults = gguf_model::generation_defaults(&gguf)?;
        drop(gguf);
        Ok(Self {
            path: path.to_owned(),
            config,
            tokenizer,
            templates,
            generation_defaults,
            files: vec![file],
            digested_files: vec![path.to_owned()],
            tensors,
        })
    }

    /// Where the model was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The numbers that define the transformer.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// What [`crate::tokenizer::Tokenizer::new`] needs.
    pub fn tokenizer(&self) -> &TokenizerSpec {
        &self.tokenizer
    }

    /// The chat templates.
    pub fn templates(&self) -> &TemplateSources {
        &self.templates
    }

    /// The sampling parameters that the model's makers recommend.
    pub fn generation_defaults(&self) -> &GenerationDefaults {
        &self.generation_defaults
    }

    /// The ids that have a meaning of their own: which token begins a text, which end an answer.
    pub fn special_token_ids(&self) -> &SpecialTokenIds {
        match &self.tokenizer {
            TokenizerSpec::Vocabulary(vocabulary) => &vocabulary.special_ids,
            TokenizerSpec::TokenizerJson { special_ids, .. } => special_ids,
        }
    }

    /// The weights of one role; [`TensorRole::Output`] of a tied model is its embedding table.
    ///
    /// # Errors
    /// [`ModelFileError::MissingTensor`] for roles that this model has no use for, such as the biases of a model
    /// without them; those that [`TensorRole::required`] lists are always there.
    pub fn tensor(&self, role: TensorRole) -> Result<TensorView<'_>, ModelFileError> {
        let is_tied_output = role == TensorRole::Output && self.config.tie_embeddings;
        let role = if is_tied_output { TensorRole::TokenEmbedding } else { role };
        let missing =
            || ModelFileError::MissingTensor { path: self.path.clone(), tensor: format!("{role:?}") };
        let entry = self.tensors.get(&role).ok_or_else(missing)?;
        let file = self.files.get(entry.file).ok_or_else(missing)?;
        let end = entry.offset.saturating_add(entry.num_bytes);
        let bytes = file.bytes().get(entry.offset..end).ok_or_else(|| ModelFileError::Corrupt {
            path: file.path().to_owned(),
            offset: entry.offset as u64,
            reason: format!("{role:?} ends at byte {end}, past the end of the file"),
        })?;
        Ok(TensorView { ty: entry.ty, shape: entry.shape.clone(), bytes })
    }

    /// Type and size in bytes of every tensor, in no order.
    pub fn weight_types(&self) -> impl Iterator<Item = (WeightType, usize)> {
        self.tensors.values().map(|entry| (entry.ty, entry.num_bytes))
    }

    /// What the file calls the weights of a role, for messages.
    pub fn tensor_name(&self, role: TensorRole) -> String {
        let is_tied_output = role == TensorRole::Output && self.config.tie_embeddings;
        let role = if is_tied_output { TensorRole::TokenEmbedding } else { role };
        match &self.tokenizer {
            TokenizerSpec::Vocabulary(_) => gguf_tensors::name(role),
            TokenizerSpec::TokenizerJson { .. } => hugging_face_tensors::tensor_name(role, &self.config),
        }
    }

    /// The digest that names this model in the log. It reads every byte of the model, about a second per gigabyte, so
    /// call it off the latency path; with `cache_dir` an unchanged model is hashed once.
    ///
    /// # Errors
    /// [`ModelFileError::Io`] if a file cannot be read.
    pub fn digest(&self, cache_dir: Option<&Path>) -> Result<ModelDigest, ModelFileError> {
        digest::digest(&self.digested_files, cache_dir)
    }
}

#[cfg(test)]
mod tests;
