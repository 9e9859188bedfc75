//! The doors between the rooms, read from `cargo metadata`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

/// What each crate may import of the workspace; `infra` may import all.
const MAY_IMPORT: [(&str, &[&str]); 9] = [
    ("schemas", &[]),
    ("read-model", &["schemas", "bus"]),
    ("bus", &["schemas"]),
    ("audit", &["schemas", "bus"]),
    ("guardrails", &["schemas", "bus"]),
    ("schedulers", &["schemas", "bus"]),
    ("kernels", &[]),
    ("engine-workers", &["schemas", "bus", "schedulers", "kernels"]),
    ("api", &["schemas", "bus", "read-model", "audit"]),
];

const INFRA: [&str; 3] = ["jetmill", "bench", "chaos"];

/// Libraries that live behind one door.
const ONLY_IN: [(&str, &str); 6] = [
    ("async-nats", "bus"),
    ("sea-orm", "read-model"),
    ("sea-orm-migration", "read-model"),
    ("axum", "api"),
    ("cudarc", "kernels"),
    ("tokenizers", "engine-workers"),
];

/// A pure room has no runtime, no I/O library and no clock or randomness of its own.
const NEVER_IN: [(&str, &[&str]); 2] =
    [("schemas", &["tokio", "rand", "reqwest"]), ("kernels", &["tokio", "schemas", "uuid", "tracing"])];

fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline", "--locked"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    packages
        .iter()
        .map(|package| {
            let dependencies = package["dependencies"].as_array().unwrap();
            let normal = dependencies
                .iter()
                .filter(|dependency| dependency["kind"].is_null())
                .map(|dependency| dependency["name"].as_str().unwrap().to_owned())
                .collect();
            (package["name"].as_str().unwrap().to_owned(), normal)
        })
        .collect()
}

#[test]
fn every_crate_imports_only_what_its_room_may() {
    let found = dependencies();
    for (name, allowed) in MAY_IMPORT {
        let rooms = found[name].iter().filter(|dependency| found.contains_key(*dependency));
        for room in rooms {
            assert!(allowed.contains(&room.as_str()), "{name} imports {room}; it may import {allowed:?}");
        }
    }
}

#[test]
fn every_crate_has_a_room() {
    let known: BTreeSet<&str> = MAY_IMPORT.iter().map(|(name, _)| *name).chain(INFRA).collect();
    for name in dependencies().keys() {
        assert!(known.contains(name.as_str()), "{name} has no entry in the table of rooms");
    }
}

#[test]
fn each_library_stays_behind_its_door() {
    for (name, imports) in dependencies() {
        for (library, owner) in ONLY_IN {
            assert!(
                !imports.contains(library) || name == owner,
                "{name} imports {library}, which belongs to {owner}"
            );
        }
    }
}

#[test]
fn pure_rooms_have_no_runtime() {
    let found = dependencies();
    for (name, banned) in NEVER_IN {
        for library in banned {
            assert!(!found[name].contains(*library), "{name} imports {library}");
        }
    }
}
