//! Where a runner comes from, so that it can be made again after it was dropped.

use std::path::PathBuf;

use crate::cpu_runner::CpuRunner;
use crate::cpu_runner::options::CpuRunnerOptions;
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
}

impl RunnerSource {
    /// Loads the runner anew; blocks for as long as the weights take to read.
    ///
    /// # Errors
    /// [`ModelLoadError::Changed`] if the files are not those that were loaded first: answers would differ.
    pub fn load(&self) -> Result<Box<dyn ModelRunner>, ModelLoadError> {
        let file = ModelFile::open(&self.path)?;
        let digest = file.digest(self.digest_cache_dir.as_deref())?.to_string();
        if digest != self.digest {
            return Err(ModelLoadError::Changed { path: self.path.clone() });
        }
        let runner = CpuRunner::load(&file, &self.options)
            .map_err(|error| ModelLoadError::Runner { path: self.path.clone(), error: Box::new(error) })?;
        Ok(Box::new(runner))
    }
}
