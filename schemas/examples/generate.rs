//! Writes `src/generated` from `proto`: `cargo run -p schemas --example generate [OUT_DIR]`.

use std::path::{Path, PathBuf};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let out = std::env::args().nth(1).map_or_else(|| root.join("src/generated"), PathBuf::from);
    generate(root, &out)
}

include!("../proto/generate.rs");
