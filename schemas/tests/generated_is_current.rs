//! The committed message types are what the protocol files generate.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

include!("../proto/generate.rs");

#[test]
fn generated_code_is_what_the_protocol_files_say() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let out = tempfile::tempdir().unwrap();
    generate(root, out.path()).unwrap();
    for name in ["jetmill.v1.rs", "jetmill.v1.serde.rs"] {
        let fresh = std::fs::read_to_string(out.path().join(name)).unwrap();
        let committed = std::fs::read_to_string(root.join("src/generated").join(name)).unwrap();
        assert!(fresh == committed, "{name} is stale: run `cargo run -p schemas --example generate`");
    }
}
