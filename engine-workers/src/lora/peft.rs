//! An adapter's directory as Hugging Face's PEFT writes it.

use std::collections::HashMap;
use std::path::Path;

use kernels::{LowRank, MatrixSource, WeightType};
use safetensors::SafeTensors;
use safetensors::tensor::TensorInfo;
use tokio_util::sync::CancellationToken;

use super::adapter::{LoraAdapter, LoraLayer, LoraTarget};
use super::error::LoraError;
use super::peft_config::PeftConfig;
use crate::model_file::config::{ModelConfig, RopeStyle};
use crate::model_file::error::ModelFileError;
use crate::model_file::hugging_face::weight_type;
use crate::model_file::hugging_face_config::read_optional;
use crate::model_file::mapped_file::MappedFile;
use crate::model_file::tensor::TensorRole;

const CONFIG: &str = "adapter_config.json";
const WEIGHTS: &str = "adapter_model.safetensors";
const PREFIX: &str = "base_model.model.model.layers.";

pub(super) fn load(directory: &Path, base: &ModelConfig, max_rank: usize) -> Result<LoraAdapter, LoraError> {
    let missing = |key: &str| ModelFileError::MissingKey { path: directory.to_owned(), key: key.to_owned() };
    let config_json = read_optional(&directory.join(CONFIG))?.ok_or_else(|| missing(CONFIG))?;
    let config: PeftConfig =
        serde_json::from_slice(&config_json).map_err(|error| corrupt(directory, CONFIG, error))?;
    config.check()?;
    let (rank, scale) = (config.rank(max_rank)?, config.scale()?);

    let weights_path = directory.join(WEIGHTS);
    if !weights_path.is_file() {
        return Err(missing(WEIGHTS).into());
    }
    let file = MappedFile::open(&weights_path)?;
    let (header_bytes, metadata) =
        SafeTensors::read_metadata(file.bytes()).map_err(|error| corrupt(directory, WEIGHTS, error))?;
    // The header's length is a u64 before it, and offsets count from its end.
    let data = file.bytes().get(8 + header_bytes..).unwrap_or_default();
    let tensors = Tensors { infos: metadata.tensors(), data, base, rank, scale };
    Ok(LoraAdapter {
        digest: digest(&config_json, file.bytes()),
        rank,
        layers: tensors.layers()?,
        freed: CancellationToken::new().drop_guard(),
    })
}

fn corrupt(directory: &Path, file: &str, error: impl std::fmt::Display) -> ModelFileError {
    ModelFileError::Corrupt { path: directory.join(file), offset: 0, reason: error.to_string() }
}

/// The digest of a directory with these two files; see [`crate::model_file::digest::ModelDigest`].
fn digest(config_json: &[u8], weights: &[u8]) -> String {
    let line = |name: &str, bytes: &[u8]| format!("{name}\t{}\n", blake3::hash(bytes).to_hex());
    let lines = line(CONFIG, config_json) + &line(WEIGHTS, weights);
    blake3::hash(lines.as_bytes()).to_hex().to_string()
}

/// Which half of a pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Half {
    /// LoRA's A `[rank, in]`.
    Down,
    /// LoRA's B `[out, rank]`.
    Up,
}

struct Tensors<'a> {
    infos: HashMap<String, &'a TensorInfo>,
    data: &'a [u8],
    base: &'a ModelConfig,
    rank: usize,
    scale: f32,
}

impl Tensors<'_> {
    fn layers(&self) -> Result<Vec<LoraLayer>, LoraError> {
        if self.infos.is_empty() {
            return Err(LoraError::Empty);
        }
        // Sorted, so that the same file always names the same tensor.
        let mut names: Vec<&String> = self.infos.keys().collect();
        names.sort();
        let mut layers: Vec<LoraLayer> = (0..self.base.num_layers).map(|_| LoraLayer::default()).collect();
        let places = names.iter().map(|name| self.place_of(name)).collect::<Result<Vec<_>, _>>()?;
        for (name, (layer, target, half)) in names.into_iter().zip(places) {
            let partner = match half {
                Half::Down => name.replace(".lora_A.weight", ".lora_B.weight"),
                Half::Up => name.replace(".lora_B.weight", ".lora_A.weight"),
            };
            if !self.infos.contains_key(&partner) {
                return Err(refused(name, format!("has no partner `{partner}`")));
            }
            if half == Half::Down {
                layers[layer][target as usize] = Some(self.pair(name, &partner, (layer, target))?);
            }
        }
        Ok(layers)
    }

    /// Which matrix a name stands for.
    fn place_of(&self, name: &str) -> Result<(usize, LoraTarget, Half), LoraError> {
        let parsed = name.strip_prefix(PREFIX).and_then(|rest| {
            let (layer, rest) = rest.split_once('.')?;
            let (module, half) = rest
                .strip_suffix(".lora_A.weight")
                .map(|module| (module, Half::Down))
                .or_else(|| rest.strip_suffix(".lora_B.weight").map(|module| (module, Half::Up)))?;
            let target = LoraTarget::ALL.into_iter().find(|target| target.module() == module)?;
            Some((layer.parse::<usize>().ok()?, target, half))
        });
        let Some((layer, target, half)) = parsed else {
            let modules = LoraTarget::ALL.map(LoraTarget::module).join(", ");
            return Err(refused(
                name,
                format!("is not supported; supported are lora_A and lora_B of {modules} in {PREFIX}N"),
            ));
        };
        if layer >= self.base.num_layers {
            return Err(refused(name, format!("names a layer of {}", self.base.num_layers)));
        }
        if !TensorRole::required(self.base).contains(&TensorRole::Layer(layer, target.tensor())) {
            return Err(refused(name, "corrects a matrix that the base model does not have".to_owned()));
        }
        Ok((layer, target, half))
    }

    fn pair(&self, down: &str, up: &str, (layer, target): (usize, LoraTarget)) -> Result<LowRank, LoraError> {
        let shape = TensorRole::Layer(layer, target.tensor()).shape(self.base);
        let [num_outputs, num_inputs] = shape[..] else {
            return Err(refused(down, "corrects what is no single matrix in the base model".to_owned()));
        };
        let down = self.matrix(down, [self.rank, num_inputs])?;
        let mut up = self.matrix(up, [num_outputs, self.rank])?;
        let is_rotated = matches!(target, LoraTarget::Query | LoraTarget::Key);
        let permuted;
        if is_rotated && self.base.rope_style == RopeStyle::Interleaved {
            permuted = interleave_rows(&up, self.base.head_dim);
            up.bytes = &permuted;
        }
        Ok(LowRank::new(&down, &up, self.scale)?)
    }

    /// A tensor of this shape whose numbers are all finite.
    fn matrix(&self, name: &str, [num_rows, num_cols]: [usize; 2]) -> Result<MatrixSource<'_>, LoraError> {
        let missing = || refused(name, "is not there".to_owned());
        let info = self.infos.get(name).ok_or_else(missing)?;
        if info.shape != [num_rows, num_cols] {
            return Err(LoraError::WrongShape {
                tensor: name.to_owned(),
                found: info.shape.clone(),
                expected: vec![num_rows, num_cols],
            });
        }
        let Some(weight_type) = weight_type(info.dtype) else {
            return Err(refused(name, format!("has type {:?}, supported are F32, F16, BF16", info.dtype)));
        };
        let bytes = self.data.get(info.data_offsets.0..info.data_offsets.1).ok_or_else(missing)?;
        if !bytes.chunks_exact(weight_type.block_bytes()).all(|element| is_finite(weight_type, element)) {
            return Err(refused(name, "holds a number that is not finite".to_owned()));
        }
        Ok(MatrixSource { weight_type, num_rows, num_cols, bytes })
    }
}

fn refused(tensor: &str, reason: String) -> LoraError {
    LoraError::Tensor { tensor: tensor.chars().take(200).collect(), reason }
}

/// Whether a little-endian float is a number: its exponent is not all ones.
fn is_finite(weight_type: WeightType, element: &[u8]) -> bool {
    let exponent = match weight_type {
        WeightType::F16 => 0x7c00,
        _ => 0x7f80,
    };
    // The upper sixteen bits of every type hold the whole exponent.
    let [.., low, high] = element else { return false };
    u16::from_le_bytes([*low, *high]) & exponent != exponent
}

/// The rows of each head in the order of GGUF's llama files: row `2i + s` was row `s·head_dim/2 + i`.
fn interleave_rows(matrix: &MatrixSource<'_>, head_dim: usize) -> Vec<u8> {
    let row_bytes = matrix.num_cols * matrix.weight_type.block_bytes();
    let mut out = Vec::with_capacity(matrix.bytes.len());
    for head in matrix.bytes.chunks_exact(head_dim * row_bytes) {
        for index in 0..head_dim {
            let from = index % 2 * (head_dim / 2) + index / 2;
            out.extend_from_slice(&head[from * row_bytes..(from + 1) * row_bytes]);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_halves_of_a_head_are_interleaved() {
        let bytes: Vec<u8> = (0..12u32).flat_map(|row| (row as f32).to_le_bytes()).collect();
        let matrix = MatrixSource { weight_type: WeightType::F32, num_rows: 12, num_cols: 1, bytes: &bytes };
        let rows: Vec<f32> = interleave_rows(&matrix, 6)
            .chunks_exact(4)
            .map(|row| f32::from_le_bytes(row.try_into().unwrap()))
            .collect();
        assert_eq!(rows, [0.0, 3.0, 1.0, 4.0, 2.0, 5.0, 6.0, 9.0, 7.0, 10.0, 8.0, 11.0]);
    }

    #[test]
    fn what_is_not_finite_is_seen_in_every_type() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            assert!(!is_finite(WeightType::F32, &bad.to_le_bytes()));
            assert!(!is_finite(WeightType::F16, &half::f16::from_f32(bad).to_le_bytes()));
            assert!(!is_finite(WeightType::BF16, &half::bf16::from_f32(bad).to_le_bytes()));
        }
        for good in [0.0, -65_504.0, 1e-7] {
            assert!(is_finite(WeightType::F32, &f32::to_le_bytes(good)));
            assert!(is_finite(WeightType::F16, &half::f16::from_f32(good).to_le_bytes()));
            assert!(is_finite(WeightType::BF16, &half::bf16::from_f32(good).to_le_bytes()));
        }
    }
}
