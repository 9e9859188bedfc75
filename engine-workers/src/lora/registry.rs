//! The adapters that a worker has loaded, by name.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use thiserror::Error;
use tokio_util::sync::CancellationToken;

use super::adapter::LoraAdapter;
use super::error::LoraError;
use crate::model_file::config::ModelConfig;

const MAX_NAME_CHARS: usize = 128;

/// What the operator decides about adapters.
#[derive(Debug, Clone)]
pub struct AdapterOptions {
    /// Where adapters that are loaded at run time must lie; absent: none can be.
    pub dir: Option<PathBuf>,
    /// Most adapters at once.
    pub max_num_adapters: usize,
    /// Largest rank.
    pub max_rank: usize,
}

impl Default for AdapterOptions {
    fn default() -> Self {
        Self { dir: None, max_num_adapters: 8, max_rank: 64 }
    }
}

/// Why an adapter was not loaded or unloaded.
#[derive(Debug, Error)]
pub enum RegistryError {
    /// The operator has not named a directory for it.
    #[error("loading adapters at run time is not enabled: set worker.lora_dir")]
    NotEnabled,
    /// The name cannot stand for an adapter.
    #[error("lora_name must have 1 to {MAX_NAME_CHARS} characters, none of them a control character")]
    InvalidName,
    /// The name is the base model's.
    #[error("'{0}' is a name of the base model")]
    NameOfBaseModel(String),
    /// There is an adapter of this name.
    #[error(
        "the lora adapter '{0}' has already been loaded; to load it anew in its place, set load_inplace to true"
    )]
    AlreadyLoaded(String),
    /// There is none of this name.
    #[error("the lora adapter '{0}' cannot be found")]
    NotFound(String),
    /// Every place is taken.
    #[error("{max_num_adapters} adapters are loaded, which is the limit of this worker: unload one first")]
    TooMany {
        /// The bound.
        max_num_adapters: usize,
    },
    /// Not a directory below the one that is allowed. What lies outside is not told.
    #[error("lora_path names no directory below worker.lora_dir")]
    PathNotAllowed,
    /// The adapter itself.
    #[error(transparent)]
    Adapter(#[from] LoraError),
}

impl RegistryError {
    /// A stable name for the client.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotEnabled => "lora_not_enabled",
            Self::InvalidName | Self::NameOfBaseModel(_) => "lora_name",
            Self::AlreadyLoaded(_) => "lora_already_loaded",
            Self::NotFound(_) => "lora_not_found",
            Self::TooMany { .. } => "too_many_loras",
            Self::PathNotAllowed => "lora_path",
            Self::Adapter(error) => error.code(),
        }
    }

    /// The request's field at fault.
    pub fn param(&self) -> &'static str {
        match self {
            Self::NotEnabled | Self::TooMany { .. } => "",
            Self::InvalidName | Self::NameOfBaseModel(_) | Self::AlreadyLoaded(_) | Self::NotFound(_) => {
                "lora_name"
            }
            Self::PathNotAllowed | Self::Adapter(_) => "lora_path",
        }
    }

    /// Whether the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Adapter(error) if error.is_retryable())
    }
}

/// The adapters over one base model.
#[derive(Debug)]
pub struct AdapterRegistry {
    base: ModelConfig,
    base_names: Vec<String>,
    options: AdapterOptions,
    loaded: Mutex<BTreeMap<String, Arc<LoraAdapter>>>,
}

impl AdapterRegistry {
    /// No adapters yet; `base_names` are those of the base model.
    pub fn new(base: ModelConfig, base_names: Vec<String>, options: AdapterOptions) -> Self {
        Self { base, base_names, options, loaded: Mutex::new(BTreeMap::new()) }
    }

    /// Loads an adapter that the operator names, from anywhere. Blocks while it reads.
    ///
    /// # Errors
    /// [`RegistryError`] for its name, its number or the adapter itself.
    pub fn load(&self, name: &str, path: &Path, is_in_place: bool) -> Result<(), RegistryError> {
        self.check_place(name, is_in_place)?;
        let adapter = Arc::new(LoraAdapter::load(path, &self.base, self.options.max_rank)?);
        // Loading takes its time, and another call may have taken the place meanwhile.
        let mut loaded = self.loaded();
        self.check_place_in(&loaded, name, is_in_place)?;
        tracing::info!(name, rank = adapter.rank(), num_bytes = adapter.num_bytes(), "an adapter is loaded");
        loaded.insert(name.to_owned(), adapter);
        Ok(())
    }

    /// Loads an adapter that a client names: only from below the directory that the operator allowed, links resolved.
    ///
    /// # Errors
    /// As [`AdapterRegistry::load`], and for paths that are not allowed.
    pub fn load_allowed(&self, name: &str, path: &str, is_in_place: bool) -> Result<(), RegistryError> {
        let allowed = self.options.dir.as_deref().ok_or(RegistryError::NotEnabled)?;
        self.check_place(name, is_in_place)?;
        let path = below(allowed, Path::new(path)).ok_or(RegistryError::PathNotAllowed)?;
        self.load(name, &path, is_in_place)
    }

    /// Forgets an adapter: new sequences cannot use it, those that do go on. The token is cancelled when its memory is
    /// free.
    ///
    /// # Errors
    /// [`RegistryError::NotFound`], or [`RegistryError::NotEnabled`] if nothing may change at run time.
    pub fn unload(&self, name: &str) -> Result<CancellationToken, RegistryError> {
        if self.options.dir.is_none() {
            return Err(RegistryError::NotEnabled);
        }
        let removed = self.loaded().remove(name).ok_or_else(|| RegistryError::NotFound(shown(name)))?;
        tracing::info!(name, "an adapter is unloaded");
        Ok(removed.freed())
    }

    /// The adapter of a name.
    pub fn find(&self, name: &str) -> Option<Arc<LoraAdapter>> {
        self.loaded().get(name).map(Arc::clone)
    }

    /// Every adapter, by name.
    pub fn all(&self) -> Vec<(String, Arc<LoraAdapter>)> {
        self.loaded().iter().map(|(name, adapter)| (name.clone(), Arc::clone(adapter))).collect()
    }

    fn check_place(&self, name: &str, is_in_place: bool) -> Result<(), RegistryError> {
        self.check_place_in(&self.loaded(), name, is_in_place)
    }

    fn check_place_in(
        &self,
        loaded: &BTreeMap<String, Arc<LoraAdapter>>,
        name: &str,
        is_in_place: bool,
    ) -> Result<(), RegistryError> {
        let is_valid =
            !name.is_empty() && name.chars().count() <= MAX_NAME_CHARS && !name.chars().any(char::is_control);
        let max_num_adapters = self.options.max_num_adapters;
        match loaded.contains_key(name) {
            _ if !is_valid => Err(RegistryError::InvalidName),
            _ if self.base_names.iter().any(|base| base == name) => {
                Err(RegistryError::NameOfBaseModel(name.to_owned()))
            }
            true if is_in_place => Ok(()),
            true => Err(RegistryError::AlreadyLoaded(name.to_owned())),
            false if loaded.len() >= max_num_adapters => Err(RegistryError::TooMany { max_num_adapters }),
            false => Ok(()),
        }
    }

    fn loaded(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Arc<LoraAdapter>>> {
        self.loaded.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn shown(name: &str) -> String {
    name.chars().filter(|character| !character.is_control()).take(MAX_NAME_CHARS).collect()
}

/// The real path of `path` (taken from `dir` if it is relative) if it is a directory below `dir` and what it holds is too.
fn below(dir: &Path, path: &Path) -> Option<PathBuf> {
    let dir = dir.canonicalize().ok()?;
    let found = dir.join(path).canonicalize().ok()?;
    let is_inside = |path: &Path| path.starts_with(&dir);
    let files = ["adapter_config.json", "adapter_model.safetensors"].map(|name| found.join(name));
    let leads_outside = files.iter().any(|file| file.canonicalize().is_ok_and(|real| !is_inside(&real)));
    (found.is_dir() && is_inside(&found) && !leads_outside).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_path_cannot_lead_out_of_its_directory() {
        let root = tempfile::tempdir().unwrap();
        let (inside, outside) = (root.path().join("loras"), root.path().join("secret"));
        for dir in [&inside.join("a"), &inside.join("linked"), &outside] {
            fs::create_dir_all(dir).unwrap();
        }
        fs::write(outside.join("adapter_config.json"), "{}").unwrap();
        symlink(&outside, inside.join("link")).unwrap();
        symlink(outside.join("adapter_config.json"), inside.join("linked/adapter_config.json")).unwrap();
        let check = |path: &str, expected: bool| {
            assert_eq!(below(&inside, Path::new(path)).is_some(), expected, "{path}");
        };
        check("a", true);
        check("./a/../a", true);
        check(inside.join("a").to_str().unwrap(), true);
        check("../secret", false);
        check(outside.to_str().unwrap(), false);
        check("link", false);
        check("linked", false);
        check("missing", false);
        check("/etc", false);
    }
}
