//! An encoder in a Hugging Face directory: `config.json`, `tokenizer.json`, `*.safetensors` and what says how to pool.

use std::path::{Path, PathBuf};

use kernels::WeightType;
use safetensors::SafeTensors;
use safetensors::tensor::Metadata;

use super::digest::{self, ModelDigest};
use super::encoder_config::{self, ENCODER_TYPES, EncoderConfig, ModelTypeJson};
use super::error::ModelFileError;
use super::hugging_face::{weight_paths, weight_type};
use super::hugging_face_config::{read_json, read_optional};
use super::mapped_file::MappedFile;
use super::tensor::TensorView;
use crate::tokenizer::spec::{SpecialTokenIds, TokenizerSpec};

/// Checkpoints with a head put this before the names of the encoder's tensors.
const PREFIX: &str = "bert.";
const NEIGHBOURS: [&str; 5] =
    ["config.json", "tokenizer.json", "modules.json", "sentence_bert_config.json", "1_Pooling/config.json"];

/// An opened encoder: its numbers, its tokenizer, and its weights in a read-only memory map.
#[derive(Debug)]
pub struct EncoderFile {
    directory: PathBuf,
    config: EncoderConfig,
    tokenizer: TokenizerSpec,
    files: Vec<MappedFile>,
    /// For each file, the length of its header and what is in it.
    metadata: Vec<(usize, Metadata)>,
    digested_files: Vec<PathBuf>,
    has_prefix: bool,
}

/// Whether a path is a directory whose model is an encoder.
///
/// # Errors
/// [`ModelFileError`] if its `config.json` cannot be read.
pub fn is_encoder(path: &Path) -> Result<bool, ModelFileError> {
    if !path.is_dir() {
        return Ok(false);
    }
    let json: Option<ModelTypeJson> = read_json(&path.join("config.json"))?;
    let model_type = json.and_then(|json| json.model_type);
    Ok(model_type.is_some_and(|model_type| ENCODER_TYPES.contains(&model_type.as_str())))
}

impl EncoderFile {
    /// Opens a directory. Reads the headers only; the weights are read when they are used.
    ///
    /// # Errors
    /// [`ModelFileError`] for whatever is missing, corrupt or not supported, with the file's name.
    pub fn open(directory: &Path) -> Result<Self, ModelFileError> {
        let config = encoder_config::read(directory)?;
        let json = read_optional(&directory.join("tokenizer.json"))?.ok_or_else(|| {
            ModelFileError::MissingKey { path: directory.to_owned(), key: "tokenizer.json".to_owned() }
        })?;
        let mut digested_files = weight_paths(directory)?;
        let files =
            digested_files.iter().map(|path| MappedFile::open(path)).collect::<Result<Vec<_>, _>>()?;
        let metadata = files
            .iter()
            .map(|file| {
                SafeTensors::read_metadata(file.bytes()).map_err(|error| ModelFileError::Corrupt {
                    path: file.path().to_owned(),
                    offset: 0,
                    reason: format!("its safetensors header is invalid: {error}"),
                })
            })
            .collect::<Result<Vec<_>, _>>()?;
        digested_files
            .extend(NEIGHBOURS.map(|name| directory.join(name)).into_iter().filter(|path| path.is_file()));
        let first = format!("{PREFIX}embeddings.word_embeddings.weight");
        let has_prefix = metadata.iter().any(|(_, metadata)| metadata.info(&first).is_some());
        Ok(Self {
            directory: directory.to_owned(),
            config,
            tokenizer: TokenizerSpec::TokenizerJson { json, special_ids: SpecialTokenIds::default() },
            files,
            metadata,
            digested_files,
            has_prefix,
        })
    }

    /// The numbers that define the encoder.
    pub fn config(&self) -> &EncoderConfig {
        &self.config
    }

    /// What [`crate::tokenizer::Tokenizer::new`] needs.
    pub fn tokenizer(&self) -> &TokenizerSpec {
        &self.tokenizer
    }

    /// The digest that names this model in the log; see [`super::ModelFile::digest`].
    ///
    /// # Errors
    /// [`ModelFileError::Io`] if a file cannot be read.
    pub fn digest(&self, cache_dir: Option<&Path>) -> Result<ModelDigest, ModelFileError> {
        digest::digest(&self.digested_files, cache_dir)
    }

    /// The type of each tensor of floats and its bytes.
    pub(crate) fn weight_types(&self) -> impl Iterator<Item = (WeightType, usize)> {
        let tensors = self.metadata.iter().flat_map(|(_, metadata)| metadata.tensors().into_values());
        tensors.filter_map(|info| Some((weight_type(info.dtype)?, info.data_offsets.1 - info.data_offsets.0)))
    }

    /// A tensor of the encoder, by its name without the prefix of checkpoints with a head.
    pub(crate) fn encoder_tensor(
        &self,
        name: &str,
        shape: &[usize],
    ) -> Result<TensorView<'_>, ModelFileError> {
        if self.has_prefix {
            self.tensor(&format!("{PREFIX}{name}"), shape)
        } else {
            self.tensor(name, shape)
        }
    }

    /// A tensor by its whole name, in the shape that the configuration asks for.
    pub(crate) fn tensor(&self, name: &str, shape: &[usize]) -> Result<TensorView<'_>, ModelFileError> {
        let found = self.files.iter().zip(&self.metadata).find_map(|(file, (header_bytes, metadata))| {
            metadata.info(name).map(|info| (file, *header_bytes, info))
        });
        let Some((file, header_bytes, info)) = found else {
            let (path, tensor) = (self.directory.clone(), name.to_owned());
            return Err(ModelFileError::MissingTensor { path, tensor });
        };
        let (path, tensor) = (file.path().to_owned(), name.to_owned());
        let Some(ty) = weight_type(info.dtype) else {
            let (found, supported) = (format!("{:?}", info.dtype), "F32, F16, BF16".to_owned());
            return Err(ModelFileError::UnsupportedTensorType { path, tensor, found, supported });
        };
        if info.shape != shape {
            let (found, expected) = (info.shape.clone(), shape.to_vec());
            return Err(ModelFileError::WrongShape { path, tensor, found, expected });
        }
        // The header's length is a u64 before it, and offsets count from its end.
        let start = 8 + header_bytes;
        let range = start + info.data_offsets.0..start + info.data_offsets.1;
        let offset = range.start as u64;
        let bytes = file.bytes().get(range).ok_or_else(|| ModelFileError::Corrupt {
            path,
            offset,
            reason: format!("{name} ends past the end of the file"),
        })?;
        Ok(TensorView { ty, shape: shape.to_vec(), bytes })
    }
}
