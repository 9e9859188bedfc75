//! The GGUF container, versions 2 and 3: header, metadata, tensor directory.
//!
//! Layout, little-endian: `GGUF`, version `u32`, tensor count `u64`, metadata count `u64`; the metadata, each a string
//! key, a type code and a value; the tensor directory, each a name, `u32` dimension count, `u64` dimensions (innermost
//! first), `u32` type, `u64` offset into the data; padding to `general.alignment`; the data.
//! Source: the GGUF specification in ggml's documentation.

use std::collections::HashMap;
use std::path::Path;

use kernels::WeightType;

use super::byte_reader::ByteReader;
use super::error::ModelFileError;
use super::gguf_value::GgufValue;
use super::tensor::TensorEntry;

/// A parsed container that borrows from the mapped file.
#[derive(Debug)]
pub(crate) struct Gguf<'a> {
    path: &'a Path,
    metadata: HashMap<&'a str, GgufValue<'a>>,
    tensors: HashMap<&'a str, TensorEntry>,
}

const MAGIC: &[u8] = b"GGUF";
const DEFAULT_ALIGNMENT: u64 = 32;
const MAX_ALIGNMENT: u64 = 1 << 20;
const MAX_DIMENSIONS: u32 = 4;
/// Key length, type code and one byte of value.
const LEAST_METADATA_BYTES: u64 = 13;
/// Name length, dimension count, one dimension, type and offset.
const LEAST_TENSOR_BYTES: u64 = 32;

impl<'a> Gguf<'a> {
    /// Whether the bytes begin as a GGUF file does.
    pub(crate) fn is_gguf(bytes: &[u8]) -> bool {
        bytes.starts_with(MAGIC)
    }

    /// Parses a whole container.
    ///
    /// # Errors
    /// [`ModelFileError::Corrupt`] with the offset, or [`ModelFileError::UnsupportedTensorType`].
    pub(crate) fn parse(path: &'a Path, bytes: &'a [u8]) -> Result<Self, ModelFileError> {
        let mut reader = ByteReader::new(path, bytes);
        if reader.take(4, "magic")? != MAGIC {
            return Err(ByteReader::new(path, bytes).corrupt("not a GGUF file: the magic is missing"));
        }
        let at_version = reader.clone();
        match reader.u32("version")? {
            2 | 3 => {}
            0x0200_0000 | 0x0300_0000 => {
                return Err(at_version.corrupt("a big-endian file; little-endian is supported"));
            }
            version => {
                return Err(
                    at_version.corrupt(format!("GGUF version {version}; versions 2 and 3 are supported"))
                );
            }
        }
        let num_tensors = reader.u64("tensor count")?;
        let num_entries = reader.u64("metadata count")?;
        let metadata = read_metadata(&mut reader, num_entries)?;
        let alignment = match metadata.get("general.alignment") {
            None => DEFAULT_ALIGNMENT,
            Some(GgufValue::Integer(alignment)) => u64::try_from(*alignment).unwrap_or(0),
            Some(_) => 0,
        };
        if !alignment.is_power_of_two() || alignment > MAX_ALIGNMENT {
            return Err(reader.corrupt("`general.alignment` is not a power of two up to 1048576"));
        }
        let tensors = read_directory(&mut reader, num_tensors, alignment)?;
        Ok(Self { path, metadata, tensors })
    }

    /// The file.
    pub(crate) fn path(&self) -> &'a Path {
        self.path
    }

    /// A metadata value.
    pub(crate) fn get(&self, key: &str) -> Option<&GgufValue<'a>> {
        self.metadata.get(key)
    }

    /// A tensor by the name that the file gives it.
    pub(crate) fn tensor(&self, name: &str) -> Option<&TensorEntry> {
        self.tensors.get(name)
    }
}

fn read_metadata<'a>(
    reader: &mut ByteReader<'a>,
    num_entries: u64,
) -> Result<HashMap<&'a str, GgufValue<'a>>, ModelFileError> {
    check_count(reader, "metadata entries", num_entries, LEAST_METADATA_BYTES)?;
    let mut metadata = HashMap::new();
    for _ in 0..num_entries {
        let key = reader.string("metadata key")?;
        let value = GgufValue::read(reader, key)?;
        if metadata.insert(key, value).is_some() {
            return Err(reader.corrupt(format!("metadata key `{key}` occurs twice")));
        }
    }
    Ok(metadata)
}

fn read_directory<'a>(
    reader: &mut ByteReader<'a>,
    num_tensors: u64,
    alignment: u64,
) -> Result<HashMap<&'a str, TensorEntry>, ModelFileError> {
    check_count(reader, "tensors", num_tensors, LEAST_TENSOR_BYTES)?;
    let mut unplaced = Vec::new();
    for _ in 0..num_tensors {
        unplaced.push((reader.string("tensor name")?, reader.clone(), read_tensor_info(reader)?));
    }
    let data_start = (reader.offset() as u64).next_multiple_of(alignment);
    let file_bytes = (reader.offset() + reader.remaining()) as u64;

    let mut tensors = HashMap::new();
    for (name, at, info) in unplaced {
        let ty = weight_type(info.type_code).ok_or_else(|| ModelFileError::UnsupportedTensorType {
            path: reader.path().to_owned(),
            tensor: name.to_owned(),
            found: type_name(info.type_code),
            supported: SUPPORTED_TYPES.to_owned(),
        })?;
        let entry = place(&info, ty, data_start, file_bytes)
            .map_err(|reason| at.corrupt(format!("tensor `{name}`: {reason}")))?;
        if tensors.insert(name, entry).is_some() {
            return Err(at.corrupt(format!("tensor `{name}` occurs twice")));
        }
    }
    Ok(tensors)
}

struct TensorInfo {
    dimensions: Vec<u64>,
    type_code: u32,
    offset: u64,
}

fn read_tensor_info(reader: &mut ByteReader<'_>) -> Result<TensorInfo, ModelFileError> {
    let num_dimensions = reader.u32("dimension count")?;
    if num_dimensions == 0 || num_dimensions > MAX_DIMENSIONS {
        return Err(reader.corrupt(format!("a tensor has {num_dimensions} dimensions, expected 1 to 4")));
    }
    let dimensions = (0..num_dimensions).map(|_| reader.u64("dimension")).collect::<Result<_, _>>()?;
    Ok(TensorInfo { dimensions, type_code: reader.u32("tensor type")?, offset: reader.u64("tensor offset")? })
}

fn place(info: &TensorInfo, ty: WeightType, data_start: u64, file_bytes: u64) -> Result<TensorEntry, String> {
    let dimensions = info
        .dimensions
        .iter()
        .map(|dimension| usize::try_from(*dimension).ok().filter(|dimension| *dimension > 0))
        .collect::<Option<Vec<usize>>>()
        .ok_or_else(|| format!("dimensions {:?} are out of range", info.dimensions))?;
    let (columns, outer) = dimensions.split_first().ok_or("no dimensions")?;
    if !columns.is_multiple_of(ty.block_size()) {
        return Err(format!("rows of {columns} elements do not divide into blocks of {}", ty.block_size()));
    }
    let num_bytes = ty
        .row_bytes(*columns)
        .and_then(|row_bytes| {
            outer.iter().try_fold(row_bytes, |bytes, dimension| bytes.checked_mul(*dimension))
        })
        .ok_or_else(|| format!("dimensions {:?} are out of range", info.dimensions))?;
    let start = data_start.checked_add(info.offset);
    let end = start.and_then(|start| start.checked_add(num_bytes as u64));
    match (start, end) {
        (Some(start), Some(end)) if end <= file_bytes => Ok(TensorEntry {
            ty,
            shape: dimensions.iter().rev().copied().collect(),
            file: 0,
            offset: start as usize,
            num_bytes,
        }),
        _ => Err(format!(
            "its {num_bytes} bytes at data offset {} end past the file's {file_bytes} bytes",
            info.offset
        )),
    }
}

fn check_count(reader: &ByteReader<'_>, what: &str, count: u64, least: u64) -> Result<(), ModelFileError> {
    if count.saturating_mul(least) > reader.remaining() as u64 {
        return Err(reader.corrupt(format!(
            "the header declares {count} {what}, which cannot fit into the {} bytes left",
            reader.remaining()
        )));
    }
    Ok(())
}

/// The tensor types that kernels read, for messages.
pub(crate) const SUPPORTED_TYPES: &str = "F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q4_K, Q5_K, Q6_K";

fn weight_type(code: u32) -> Option<WeightType> {
    Some(match code {
        0 => WeightType::F32,
        1 => WeightType::F16,
        2 => WeightType::Q4_0,
        3 => WeightType::Q4_1,
        6 => WeightType::Q5_0,
        7 => WeightType::Q5_1,
        8 => WeightType::Q8_0,
        12 => WeightType::Q4K,
        13 => WeightType::Q5K,
        14 => WeightType::Q6K,
        30 => WeightType::BF16,
        _ => return None,
    })
}

fn type_name(code: u32) -> String {
    let name = match code {
        9 => "Q8_1",
        10 => "Q2_K",
        11 => "Q3_K",
        15 => "Q8_K",
        16 => "IQ2_XXS",
        17 => "IQ2_XS",
        18 => "IQ3_XXS",
        19 => "IQ1_S",
        20 => "IQ4_NL",
        21 => "IQ3_S",
        22 => "IQ2_S",
        23 => "IQ4_XS",
        24 => "I8",
        25 => "I16",
        26 => "I32",
        27 => "I64",
        28 => "F64",
        29 => "IQ1_M",
        34 => "TQ1_0",
        35 => "TQ2_0",
        39 => "MXFP4",
        _ => return format!("number {code}"),
    };
    name.to_owned()
}
