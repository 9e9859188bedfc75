//! Typed access to GGUF's metadata.

use super::error::ModelFileError;
use super::gguf::Gguf;
use super::gguf_value::GgufValue;

impl<'a> Gguf<'a> {
    /// A count that must be there.
    pub(crate) fn required_usize(&self, key: &str) -> Result<usize, ModelFileError> {
        self.usize(key)?.ok_or_else(|| self.missing(key))
    }

    /// A count.
    pub(crate) fn usize(&self, key: &str) -> Result<Option<usize>, ModelFileError> {
        self.typed(key, "an integer from 0 to 4294967295", |value| match value {
            GgufValue::Integer(number) => u32::try_from(*number).ok().map(|number| number as usize),
            _ => None,
        })
    }

    /// A token id.
    pub(crate) fn token_id(&self, key: &str) -> Result<Option<u32>, ModelFileError> {
        self.typed(key, "a token id", |value| match value {
            GgufValue::Integer(number) => u32::try_from(*number).ok(),
            _ => None,
        })
    }

    /// A number that must be there.
    pub(crate) fn required_f32(&self, key: &str) -> Result<f32, ModelFileError> {
        self.f32(key)?.ok_or_else(|| self.missing(key))
    }

    /// A number.
    pub(crate) fn f32(&self, key: &str) -> Result<Option<f32>, ModelFileError> {
        self.typed(key, "a number", |value| match value {
            GgufValue::Integer(number) => Some(*number as f32),
            GgufValue::Float(number) => Some(*number as f32),
            _ => None,
        })
    }

    /// A truth value.
    pub(crate) fn bool(&self, key: &str) -> Result<Option<bool>, ModelFileError> {
        self.typed(key, "true or false", |value| match value {
            GgufValue::Bool(value) => Some(*value),
            _ => None,
        })
    }

    /// A string.
    pub(crate) fn text(&self, key: &str) -> Result<Option<&'a str>, ModelFileError> {
        self.typed(key, "a string", |value| match value {
            GgufValue::Text(text) => Some(*text),
            _ => None,
        })
    }

    /// A string that must be there.
    pub(crate) fn required_text(&self, key: &str) -> Result<&'a str, ModelFileError> {
        self.text(key)?.ok_or_else(|| self.missing(key))
    }

    /// An array of strings that must be there.
    pub(crate) fn required_texts(&self, key: &str) -> Result<&[&'a str], ModelFileError> {
        match self.get(key) {
            Some(GgufValue::Texts(texts)) => Ok(texts),
            Some(other) => Err(self.invalid(key, other.describe(), "an array of strings")),
            None => Err(self.missing(key)),
        }
    }

    /// An array of floats.
    pub(crate) fn floats(&self, key: &str) -> Result<Option<Vec<f32>>, ModelFileError> {
        self.typed(key, "an array of numbers", |value| match value {
            GgufValue::Numbers(numbers) => Some(numbers.as_floats()),
            _ => None,
        })
    }

    /// An array of integers.
    pub(crate) fn integers(&self, key: &str) -> Result<Option<Vec<i64>>, ModelFileError> {
        self.typed(key, "an array of integers", |value| match value {
            GgufValue::Numbers(numbers) => numbers.as_integers(),
            _ => None,
        })
    }

    /// The error of a missing key.
    pub(crate) fn missing(&self, key: &str) -> ModelFileError {
        ModelFileError::MissingKey { path: self.path().to_owned(), key: key.to_owned() }
    }

    /// The error of a value that cannot be used.
    pub(crate) fn invalid(&self, key: &str, value: String, expected: &str) -> ModelFileError {
        ModelFileError::InvalidKey {
            path: self.path().to_owned(),
            key: key.to_owned(),
            value,
            expected: expected.to_owned(),
        }
    }

    fn typed<'g, T>(
        &'g self,
        key: &str,
        expected: &str,
        convert: impl FnOnce(&'g GgufValue<'a>) -> Option<T>,
    ) -> Result<Option<T>, ModelFileError> {
        match self.get(key) {
            None => Ok(None),
            Some(value) => match convert(value) {
                Some(converted) => Ok(Some(converted)),
                None => Err(self.invalid(key, value.describe(), expected)),
            },
        }
    }
}
