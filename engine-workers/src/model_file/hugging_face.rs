//! A Hugging Face directory: `config.json`, `tokenizer.json`, `*.safetensors` and their neighbours.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use kernels::WeightType;
use safetensors::{Dtype, SafeTensors};
use serde::Deserialize;

use super::ModelFile;
use super::config::ModelConfig;
use super::error::ModelFileError;
use super::hugging_face_config::{GenerationConfigJson, TokenizerConfigJson, list, read_json, read_optional};
use super::hugging_face_model::ConfigJson;
use super::hugging_face_tensors::tensor_name;
use super::mapped_file::MappedFile;
use super::tensor::{TensorEntry, TensorRole};
use crate::tokenizer::spec::{SpecialTokenIds, TokenizerSpec};

const INDEX: &str = "model.safetensors.index.json";

/// Opens the directory.
pub(crate) fn open(directory: &Path) -> Result<ModelFile, ModelFileError> {
    let config_path = directory.join("config.json");
    let Some(config_json) = read_json::<ConfigJson>(&config_path)? else {
        return Err(ModelFileError::NotAModel { path: directory.to_owned() });
    };
    let config = config_json.to_config(&config_path)?;
    let generation: GenerationConfigJson =
        read_json(&directory.join("generation_config.json"))?.unwrap_or_default();
    let tokenizer_config: TokenizerConfigJson =
        read_json(&directory.join("tokenizer_config.json"))?.unwrap_or_default();
    let templates = tokenizer_config.templates(directory)?;
    let tokenizer_path = directory.join("tokenizer.json");
    let json = read_optional(&tokenizer_path)?.ok_or_else(|| ModelFileError::MissingKey {
        path: directory.to_owned(),
        key: "tokenizer.json".to_owned(),
    })?;
    let special_ids = special_ids(
        &tokenizer_path,
        &json,
        &Declarations { config_json, tokenizer_config, generation: &generation },
    )?;

    let weight_paths = weight_paths(directory)?;
    let files = weight_paths.iter().map(|path| MappedFile::open(path)).collect::<Result<Vec<_>, _>>()?;
    let tensors = tensors(directory, &files, &config)?;
    let mut digested_files = weight_paths;
    let neighbours = ["config.json", "tokenizer.json", "tokenizer_config.json", "generation_config.json"];
    for name in neighbours.into_iter().chain(["chat_template.jinja"]) {
        digested_files.extend(Some(directory.join(name)).filter(|path| path.is_file()));
    }
    Ok(ModelFile {
        path: directory.to_owned(),
        config,
        tokenizer: TokenizerSpec::TokenizerJson { json, special_ids },
        templates,
        generation_defaults: generation.defaults(),
        files,
        digested_files,
        tensors,
    })
}

#[derive(Deserialize)]
struct IndexJson {
    weight_map: BTreeMap<String, String>,
}

pub(crate) fn weight_paths(directory: &Path) -> Result<Vec<PathBuf>, ModelFileError> {
    let index_path = directory.join(INDEX);
    let Some(index) = read_json::<IndexJson>(&index_path)? else {
        let paths = list(directory, "safetensors")?;
        if paths.is_empty() {
            return Err(ModelFileError::MissingKey {
                path: directory.to_owned(),
                key: "*.safetensors".to_owned(),
            });
        }
        return Ok(paths);
    };
    let mut names: Vec<&String> = index.weight_map.values().collect();
    names.sort();
    names.dedup();
    for name in &names {
        // A name with a path in it could make this process read files outside the model.
        if Path::new(name).file_name() != Some(name.as_ref()) {
            return Err(ModelFileError::InvalidKey {
                path: index_path,
                key: "weight_map".to_owned(),
                value: format!("{name:?}"),
                expected: "names of files beside it".to_owned(),
            });
        }
    }
    Ok(names.into_iter().map(|name| directory.join(name)).collect())
}

fn tensors(
    directory: &Path,
    files: &[MappedFile],
    config: &ModelConfig,
) -> Result<HashMap<TensorRole, TensorEntry>, ModelFileError> {
    let mut metadata = Vec::new();
    for file in files {
        let parsed = SafeTensors::read_metadata(file.bytes()).map_err(|error| ModelFileError::Corrupt {
            path: file.path().to_owned(),
            offset: 0,
            reason: format!("its safetensors header is invalid: {error}"),
        })?;
        metadata.push(parsed);
    }
    let mut tensors = HashMap::new();
    for role in TensorRole::required(config) {
        let name = tensor_name(role, config);
        let found = metadata.iter().enumerate().find_map(|(file, (header_bytes, metadata))| {
            metadata.info(&name).map(|info| (file, *header_bytes, info))
        });
        let Some((file, header_bytes, info)) = found else {
            return Err(ModelFileError::MissingTensor { path: directory.to_owned(), tensor: name });
        };
        let path = || files.get(file).map_or_else(|| directory.to_owned(), |file| file.path().to_owned());
        let Some(ty) = weight_type(info.dtype) else {
            return Err(ModelFileError::UnsupportedTensorType {
                path: path(),
                tensor: name,
                found: format!("{:?}", info.dtype),
                supported: "F32, F16, BF16".to_owned(),
            });
        };
        let expected = role.shape(config);
        if info.shape != expected {
            return Err(ModelFileError::WrongShape {
                path: path(),
                tensor: name,
                found: info.shape.clone(),
                expected,
            });
        }
        // The header's length is a u64 before it, and offsets count from its end.
        let offset = 8 + header_bytes + info.data_offsets.0;
        let num_bytes = info.data_offsets.1 - info.data_offsets.0;
        tensors.insert(role, TensorEntry { ty, shape: expected, file, offset, num_bytes });
    }
    Ok(tensors)
}

/// The type of a checkpoint's elements, if kernels read it.
pub(crate) fn weight_type(dtype: Dtype) -> Option<WeightType> {
    match dtype {
        Dtype::F32 => Some(WeightType::F32),
        Dtype::F16 => Some(WeightType::F16),
        Dtype::BF16 => Some(WeightType::BF16),
        _ => None,
    }
}

struct Declarations<'a> {
    config_json: ConfigJson,
    tokenizer_config: TokenizerConfigJson,
    generation: &'a GenerationConfigJson,
}

#[derive(Deserialize)]
struct AddedTokens {
    #[serde(default)]
    added_tokens: Vec<AddedToken>,
}

#[derive(Deserialize)]
struct AddedToken {
    id: u32,
    content: String,
}

/// Ids by the numbers in `config.json` and `generation_config.json` and by the texts in `tokenizer_config.json`.
fn special_ids(
    path: &Path,
    json: &[u8],
    declared: &Declarations<'_>,
) -> Result<SpecialTokenIds, ModelFileError> {
    let added: AddedTokens = serde_json::from_slice(json).map_err(|error| ModelFileError::Corrupt {
        path: path.to_owned(),
        offset: 0,
        reason: error.to_string(),
    })?;
    let id_of =
        |text: &str| added.added_tokens.iter().find(|token| token.content == text).map(|token| token.id);
    let (config, tokenizer) = (&declared.config_json, &declared.tokenizer_config);
    let first = |ids: &Option<super::hugging_face_config::TokenIds>| {
        ids.as_ref().and_then(|ids| ids.to_vec().first().copied())
    };
    let by_text = |token: &Option<super::hugging_face_config::TokenText>| {
        token.as_ref().and_then(|token| id_of(token.text()))
    };
    let mut eos: Vec<u32> = by_text(&tokenizer.eos_token).into_iter().collect();
    for ids in [&declared.generation.eos_token_id, &config.eos_token_id].into_iter().flatten() {
        eos.extend(ids.to_vec());
    }
    let mut seen = std::collections::HashSet::new();
    eos.retain(|id| seen.insert(*id));
    Ok(SpecialTokenIds {
        // A tokenizer that says `bos_token: null` has none, whatever config.json repeats from the base model.
        bos: by_text(&tokenizer.bos_token).or_else(|| first(&config.bos_token_id)),
        eos,
        unk: by_text(&tokenizer.unk_token),
        pad: by_text(&tokenizer.pad_token).or_else(|| first(&config.pad_token_id)),
    })
}
