//! A read-only file in memory.

use std::fs::File;
use std::path::{Path, PathBuf};

use memmap2::Mmap;

use super::error::ModelFileError;

/// A file mapped read-only. The file must not be cut short while it is mapped: reading past its new end would kill the
/// process (SIGBUS), as in every program that maps weights. Replace model files by rename, never in place.
#[derive(Debug)]
pub(crate) struct MappedFile {
    path: PathBuf,
    map: Option<Mmap>,
}

impl MappedFile {
    /// Maps a file. An empty file has no bytes to map and is no error here.
    pub(crate) fn open(path: &Path) -> Result<Self, ModelFileError> {
        let io = |source| ModelFileError::Io { path: path.to_owned(), source };
        let file = File::open(path).map_err(io)?;
        let metadata = file.metadata().map_err(io)?;
        if !metadata.is_file() {
            return Err(io(std::io::Error::other("not a regular file")));
        }
        let map = if metadata.len() == 0 { None } else { Some(map_read_only(&file).map_err(io)?) };
        Ok(Self { path: path.to_owned(), map })
    }

    /// The file's path.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// All bytes of the file.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.map.as_deref().unwrap_or_default()
    }
}

#[expect(unsafe_code, reason = "a memory map is the only way to share weights with the page cache")]
fn map_read_only(file: &File) -> std::io::Result<Mmap> {
    // SAFETY: the map is read-only and private to this process; that nobody cuts the file short is the documented
    // condition of `MappedFile`, and bytes that change under the map are plain data, whose every read is bounds-checked.
    unsafe { Mmap::map(file) }
}
