//! Events that were once written must decode forever, to the same JSON view.
//!
//! A new event gets a new example; an existing file is never rewritten.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};

use prost::Message as _;
use schemas::v1::{ControlEnvelope, TokenFrame};

fn golden_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn json_view(name: &str, bytes: &[u8]) -> serde_json::Value {
    if name.starts_with("control_") {
        schemas::decode_control(bytes).unwrap();
        serde_json::to_value(ControlEnvelope::decode(bytes).unwrap()).unwrap()
    } else if name.starts_with("token_frame") {
        serde_json::to_value(TokenFrame::decode(bytes).unwrap()).unwrap()
    } else {
        serde_json::to_value(schemas::decode_envelope(bytes).unwrap()).unwrap()
    }
}

#[test]
fn every_golden_event_decodes_to_its_json_view() {
    let mut num_examples = 0;
    for entry in fs::read_dir(golden_dir()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "pb") {
            continue;
        }
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let view = json_view(&name, &fs::read(&path).unwrap());
        let expected: serde_json::Value =
            serde_json::from_slice(&fs::read(path.with_extension("json")).unwrap()).unwrap();
        assert_eq!(view, expected, "{name}");
        num_examples += 1;
    }
    let num_kinds = schemas::FactKind::ALL.len() + 3;
    assert!(num_examples >= num_kinds, "{num_examples} examples for {num_kinds} kinds of messages");
}

#[test]
fn an_event_of_a_newer_build_is_refused_by_its_version() {
    let mut bytes = fs::read(golden_dir().join("requested_1.pb")).unwrap();
    assert_eq!(&bytes[..2], &[0x08, 0x01], "the version is the first field");
    bytes[1] = 0x63;
    assert_eq!(schemas::decode_envelope(&bytes), Err(schemas::DecodeError::TooNew { found: 0x63 }));
}

#[test]
fn bytes_that_are_no_event_are_refused() {
    assert!(matches!(schemas::decode_envelope(&[0xff; 16]), Err(schemas::DecodeError::Malformed(_))));
    assert!(matches!(schemas::decode_envelope(&[]), Err(schemas::DecodeError::NoFact(_))));
}
