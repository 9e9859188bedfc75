//! The values of GGUF's metadata.

use super::byte_reader::ByteReader;
use super::error::ModelFileError;

/// One metadata value, borrowed from the file.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum GgufValue<'a> {
    /// Any integer type.
    Integer(i128),
    /// Either float type.
    Float(f64),
    /// A truth value.
    Bool(bool),
    /// A string.
    Text(&'a str),
    /// An array of strings.
    Texts(Vec<&'a str>),
    /// An array of numbers, decoded when it is asked for, so that a large array costs no memory.
    Numbers(NumberArray<'a>),
}

/// An array of numbers of one type, still encoded.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct NumberArray<'a> {
    ty: NumberType,
    bytes: &'a [u8],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum NumberType {
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    F32,
    Bool,
    U64,
    I64,
    F64,
}

const TYPE_STRING: u32 = 8;
const TYPE_ARRAY: u32 = 9;

impl NumberType {
    fn from_code(code: u32) -> Option<Self> {
        Some(match code {
            0 => Self::U8,
            1 => Self::I8,
            2 => Self::U16,
            3 => Self::I16,
            4 => Self::U32,
            5 => Self::I32,
            6 => Self::F32,
            7 => Self::Bool,
            10 => Self::U64,
            11 => Self::I64,
            12 => Self::F64,
            _ => return None,
        })
    }

    fn num_bytes(self) -> u64 {
        match self {
            Self::U8 | Self::I8 | Self::Bool => 1,
            Self::U16 | Self::I16 => 2,
            Self::U32 | Self::I32 | Self::F32 => 4,
            Self::U64 | Self::I64 | Self::F64 => 8,
        }
    }

    fn read<'a>(self, reader: &mut ByteReader<'a>, what: &str) -> Result<GgufValue<'a>, ModelFileError> {
        Ok(match self {
            Self::U8 => GgufValue::Integer(reader.u8(what)?.into()),
            Self::I8 => GgufValue::Integer(reader.u8(what)?.cast_signed().into()),
            Self::U16 => GgufValue::Integer(reader.u16(what)?.into()),
            Self::I16 => GgufValue::Integer(reader.u16(what)?.cast_signed().into()),
            Self::U32 => GgufValue::Integer(reader.u32(what)?.into()),
            Self::I32 => GgufValue::Integer(reader.u32(what)?.cast_signed().into()),
            Self::U64 => GgufValue::Integer(reader.u64(what)?.into()),
            Self::I64 => GgufValue::Integer(reader.u64(what)?.cast_signed().into()),
            Self::F32 => GgufValue::Float(f32::from_bits(reader.u32(what)?).into()),
            Self::F64 => GgufValue::Float(f64::from_bits(reader.u64(what)?)),
            Self::Bool => GgufValue::Bool(reader.u8(what)? != 0),
        })
    }
}

impl<'a> GgufValue<'a> {
    /// Reads a type code and the value after it.
    pub(crate) fn read(reader: &mut ByteReader<'a>, key: &str) -> Result<Self, ModelFileError> {
        match reader.u32(key)? {
            TYPE_STRING => Ok(Self::Text(reader.string(key)?)),
            TYPE_ARRAY => Self::read_array(reader, key),
            code => match NumberType::from_code(code) {
                Some(ty) => ty.read(reader, key),
                None => Err(reader.corrupt(format!("`{key}` has the unknown value type {code}"))),
            },
        }
    }

    fn read_array(reader: &mut ByteReader<'a>, key: &str) -> Result<Self, ModelFileError> {
        let code = reader.u32(key)?;
        let len = reader.u64(key)?;
        if code == TYPE_STRING {
            let least_bytes = len.saturating_mul(8);
            if least_bytes > reader.remaining() as u64 {
                return Err(reader.corrupt(format!(
                    "`{key}` declares {len} strings, which need at least {least_bytes} bytes, {} are left",
                    reader.remaining()
                )));
            }
            return (0..len).map(|_| reader.string(key)).collect::<Result<_, _>>().map(Self::Texts);
        }
        let Some(ty) = NumberType::from_code(code) else {
            return Err(reader.corrupt(format!("`{key}` is an array of the unsupported value type {code}")));
        };
        let bytes = reader.take(len.saturating_mul(ty.num_bytes()), key)?;
        Ok(Self::Numbers(NumberArray { ty, bytes }))
    }

    /// What the value is, for messages; long ones are cut.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Integer(number) => number.to_string(),
            Self::Float(number) => number.to_string(),
            Self::Bool(value) => value.to_string(),
            Self::Text(text) => format!("{:?}", text.chars().take(60).collect::<String>()),
            Self::Texts(texts) => format!("an array of {} strings", texts.len()),
            Self::Numbers(numbers) => format!("an array of {} numbers", numbers.len()),
        }
    }
}

impl<'a> NumberArray<'a> {
    /// Elements.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len() / self.ty.num_bytes() as usize
    }

    /// The elements as floats.
    pub(crate) fn as_floats(&self) -> Vec<f32> {
        self.values()
            .map(|value| match value {
                GgufValue::Integer(number) => number as f32,
                GgufValue::Float(number) => number as f32,
                GgufValue::Bool(value) => f32::from(u8::from(value)),
                _ => f32::NAN,
            })
            .collect()
    }

    /// The elements as integers, or `None` if they are floats.
    pub(crate) fn as_integers(&self) -> Option<Vec<i64>> {
        self.values()
            .map(|value| match value {
                GgufValue::Integer(number) => i64::try_from(number).ok(),
                GgufValue::Bool(value) => Some(value.into()),
                _ => None,
            })
            .collect()
    }

    fn values(&self) -> impl Iterator<Item = GgufValue<'a>> {
        let (ty, mut reader) = (self.ty, ByteReader::new(std::path::Path::new(""), self.bytes));
        std::iter::from_fn(move || ty.read(&mut reader, "element").ok())
    }
}
