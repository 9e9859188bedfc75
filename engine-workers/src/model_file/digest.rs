//! The digest that names a model in the log.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use super::error::ModelFileError;
use super::mapped_file::MappedFile;

/// BLAKE3 over everything that determines a model's answers. Of a single file it is what `b3sum` prints; of a directory
/// it is the hash of its files' lines `name<TAB>hash<LF>` sorted by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ModelDigest([u8; 32]);

impl ModelDigest {
    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for ModelDigest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(blake3::Hash::from_bytes(self.0).to_hex().as_str())
    }
}

/// Hashes `files`, or finds their digest in `cache_dir` where an earlier run left it.
///
/// The cache entry is named by the paths, sizes and modification times, so a changed file is hashed again. An unreadable
/// entry counts as absent, and one that cannot be written costs the next start a second: neither is an error.
pub(crate) fn digest(files: &[PathBuf], cache_dir: Option<&Path>) -> Result<ModelDigest, ModelFileError> {
    let Some(cache_dir) = cache_dir else { return hash(files) };
    let entry = cache_dir.join(format!("model-{}.blake3", fingerprint(files)?));
    let cached = std::fs::read_to_string(&entry).ok();
    if let Some(hash) = cached.and_then(|text| blake3::Hash::from_hex(text.trim()).ok()) {
        return Ok(ModelDigest(*hash.as_bytes()));
    }
    let digest = hash(files)?;
    if let Err(error) = store(&entry, &digest) {
        tracing::warn!(entry = %entry.display(), %error, "the model's digest could not be cached");
    }
    Ok(digest)
}

/// Writes through a rename, so that a reader never sees half an entry.
fn store(entry: &Path, digest: &ModelDigest) -> std::io::Result<()> {
    if let Some(parent) = entry.parent() {
        std::fs::create_dir_all(parent)?;
    }
    let partial = entry.with_extension(format!("{}.part", std::process::id()));
    std::fs::write(&partial, digest.to_string())?;
    std::fs::rename(&partial, entry)
}

fn hash(files: &[PathBuf]) -> Result<ModelDigest, ModelFileError> {
    if let [file] = files {
        return Ok(ModelDigest(*hash_file(file)?.as_bytes()));
    }
    let mut lines = files
        .iter()
        .map(|file| {
            let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
            Ok(format!("{name}\t{}\n", hash_file(file)?.to_hex()))
        })
        .collect::<Result<Vec<_>, ModelFileError>>()?;
    lines.sort();
    Ok(ModelDigest(*blake3::hash(lines.concat().as_bytes()).as_bytes()))
}

fn hash_file(path: &Path) -> Result<blake3::Hash, ModelFileError> {
    Ok(blake3::hash(MappedFile::open(path)?.bytes()))
}

fn fingerprint(files: &[PathBuf]) -> Result<blake3::Hash, ModelFileError> {
    let mut hasher = blake3::Hasher::new();
    for path in files {
        let io = |source| ModelFileError::Io { path: path.clone(), source };
        let canonical = path.canonicalize().map_err(io)?;
        let metadata = canonical.metadata().map_err(io)?;
        let modified = metadata.modified().map_err(io)?;
        let since_epoch = modified.duration_since(UNIX_EPOCH).unwrap_or_default();
        hasher.update(canonical.as_os_str().as_encoded_bytes());
        hasher.update(&[0]);
        hasher.update(&metadata.len().to_le_bytes());
        hasher.update(&since_epoch.as_nanos().to_le_bytes());
    }
    Ok(hasher.finalize())
}
