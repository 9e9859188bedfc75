//! The vocabulary of a GGUF file without its weights.

use std::path::Path;

use super::error::ModelFileError;
use super::gguf::Gguf;
use super::gguf_vocabulary;
use super::mapped_file::MappedFile;
use crate::tokenizer::spec::Vocabulary;

/// Reads only the vocabulary of a GGUF file of any architecture; the file need not hold weights.
///
/// # Errors
/// [`ModelFileError`] if the file is corrupt or holds no vocabulary.
pub fn read_vocabulary(path: &Path) -> Result<Vocabulary, ModelFileError> {
    let file = MappedFile::open(path)?;
    gguf_vocabulary::vocabulary(&Gguf::parse(path, file.bytes())?)
}
