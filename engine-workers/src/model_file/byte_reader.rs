//! Little-endian reading that cannot leave its bytes.

use std::path::Path;

use super::error::ModelFileError;

/// A cursor over the bytes of one file. Every read checks what is left first, so lengths from the file are never
/// trusted and never allocated for.
#[derive(Debug, Clone)]
pub(crate) struct ByteReader<'a> {
    path: &'a Path,
    bytes: &'a [u8],
    offset: usize,
}

impl<'a> ByteReader<'a> {
    /// Starts at the first byte; `path` is for messages.
    pub(crate) fn new(path: &'a Path, bytes: &'a [u8]) -> Self {
        Self { path, bytes, offset: 0 }
    }

    /// The file.
    pub(crate) fn path(&self) -> &'a Path {
        self.path
    }

    /// Position of the next read.
    pub(crate) fn offset(&self) -> usize {
        self.offset
    }

    /// Bytes from the next read to the end.
    pub(crate) fn remaining(&self) -> usize {
        self.bytes.len() - self.offset
    }

    /// The error of this place.
    pub(crate) fn corrupt(&self, reason: impl Into<String>) -> ModelFileError {
        ModelFileError::Corrupt {
            path: self.path.to_owned(),
            offset: self.offset as u64,
            reason: reason.into(),
        }
    }

    /// The next `len` bytes; `what` is for the message.
    pub(crate) fn take(&mut self, len: u64, what: &str) -> Result<&'a [u8], ModelFileError> {
        let available = self.remaining();
        let slice = usize::try_from(len)
            .ok()
            .and_then(|len| self.offset.checked_add(len))
            .and_then(|end| self.bytes.get(self.offset..end));
        let Some(slice) = slice else {
            return Err(self.corrupt(format!("{what} needs {len} bytes, {available} are left")));
        };
        self.offset += slice.len();
        Ok(slice)
    }

    fn array<const N: usize>(&mut self, what: &str) -> Result<[u8; N], ModelFileError> {
        let mut bytes = [0; N];
        bytes.copy_from_slice(self.take(N as u64, what)?);
        Ok(bytes)
    }

    /// A `u8`.
    pub(crate) fn u8(&mut self, what: &str) -> Result<u8, ModelFileError> {
        Ok(self.array::<1>(what)?[0])
    }

    /// A `u16`.
    pub(crate) fn u16(&mut self, what: &str) -> Result<u16, ModelFileError> {
        Ok(u16::from_le_bytes(self.array(what)?))
    }

    /// A `u32`.
    pub(crate) fn u32(&mut self, what: &str) -> Result<u32, ModelFileError> {
        Ok(u32::from_le_bytes(self.array(what)?))
    }

    /// A `u64`.
    pub(crate) fn u64(&mut self, what: &str) -> Result<u64, ModelFileError> {
        Ok(u64::from_le_bytes(self.array(what)?))
    }

    /// A string: its length as a `u64`, then UTF-8.
    pub(crate) fn string(&mut self, what: &str) -> Result<&'a str, ModelFileError> {
        let len = self.u64(what)?;
        let at = self.clone();
        std::str::from_utf8(self.take(len, what)?).map_err(|_| at.corrupt(format!("{what} is not UTF-8")))
    }
}
