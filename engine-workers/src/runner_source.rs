//! Where runners come from, so that they can be made again after they were dropped.

use std::path::{Path, PathBuf};

use tracing::info;

use crate::cpu_runner::CpuRunner;
use crate::cpu_runner::options::{CpuRunnerOptions, KvCapacity};
use crate::loaded_model::ModelLoadError;
use crate::model_file::ModelFile;
use crate::runner::ModelRunner;

/// A model's files and how to load them.
#[derive(Debug, Clone)]
pub struct RunnerSource {
    /// A GGUF file or a Hugging Face directory.
    pub path: PathBuf,
    /// Threads and memory.
    pub options: CpuRunnerOptions,
    /// Digest of the files when they were first loaded.
    pub digest: String,
    /// Where digests of unchanged files are remembered.
    pub digest_cache_dir: Option<PathBuf>,
    /// The model that drafts for it, if one does. No answer depends on it, so its digest is not kept.
    pub draft: Option<PathBuf>,
}

/// What an engine computes with.
pub struct Runners {
    /// The model that answers.
    pub target: Box<dyn ModelRunner>,
    /// The one that drafts for it, if there is one.
    pub draft: Option<Box<dyn ModelRunner>>,
}

impl RunnerSource {
    /// Loads the runners anew; blocks for as long as the weights take to read.
    ///
    /// # Errors
    /// [`ModelLoadError::Changed`] if the files are not those that were loaded first: answers would differ.
    pub fn load(&self) -> Result<Runners, ModelLoadError> {
        let file = ModelFile::open(&self.path)?;
        let digest = file.digest(self.digest_cache_dir.as_deref())?.to_string();
        if digest != self.digest {
            return Err(ModelLoadError::Changed { path: self.path.clone() });
        }
        let target = CpuRunner::load(&file, &self.options)
            .map_err(|error| ModelLoadError::Runner { path: self.path.clone(), error: Box::new(error) })?;
        let draft = match &self.draft {
            Some(path) => Some(load_draft(&target, path, &ModelFile::open(path)?, &self.options)?),
            None => None,
        };
        Ok(Runners { target: Box::new(target), draft })
    }
}

/// Loads a model that drafts for the target, on the target's threads.
pub(crate) fn load_draft(
    target: &CpuRunner,
    path: &Path,
    file: &ModelFile,
    options: &CpuRunnerOptions,
) -> Result<Box<dyn ModelRunner>, ModelLoadError> {
    let options = CpuRunnerOptions {
        kv_capacity: draft_kv_capacity(options.kv_capacity),
        max_model_len_tokens: None,
        requires_full_context: false,
        ..*options
    };
    let runner = target
        .load_beside(file, &options)
        .map_err(|error| ModelLoadError::Runner { path: path.to_owned(), error: Box::new(error) })?;
    info!(path = %path.display(), "the draft model is packed");
    Ok(Box::new(runner))
}

/// A draft model is smaller, and only the running sequences are drafted for.
fn draft_kv_capacity(capacity: KvCapacity) -> KvCapacity {
    match capacity {
        KvCapacity::Blocks(num_blocks) => KvCapacity::Blocks(num_blocks),
        KvCapacity::Bytes(num_bytes) => KvCapacity::Bytes(num_bytes / 4),
    }
}
