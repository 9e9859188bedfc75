//! Names this build of the engine by the digest of everything that decides which tokens it answers with.

use std::path::{Path, PathBuf};

const SOURCES: [&str; 4] = ["../kernels/src", "../schedulers/src/batching", "src", "../Cargo.lock"];

fn main() -> std::io::Result<()> {
    let mut hasher = blake3::Hasher::new();
    for source in SOURCES {
        println!("cargo::rerun-if-changed={source}");
        for file in files(Path::new(source))? {
            hasher.update(file.to_string_lossy().as_bytes());
            hasher.update(&[0]);
            hasher.update(&std::fs::read(&file)?);
        }
    }
    println!("cargo::rustc-env=JETMILL_ENGINE_BUILD={}", &hasher.finalize().to_hex()[..8]);
    Ok(())
}

/// The file, or all files below the directory, in the order of their names.
fn files(path: &Path) -> std::io::Result<Vec<PathBuf>> {
    if path.is_file() {
        return Ok(vec![path.to_owned()]);
    }
    let mut entries =
        std::fs::read_dir(path)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>()?;
    entries.sort();
    let mut found = Vec::new();
    for entry in entries {
        found.extend(files(&entry)?);
    }
    Ok(found)
}
