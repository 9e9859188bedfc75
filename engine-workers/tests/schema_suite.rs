//! The public JSON Schema tests: nothing invalid passes, and what is supported does not shrink.

#![expect(clippy::expect_used, reason = "a failure here is a failed test")]

#[path = "support/schema_suite.rs"]
mod schema_suite;

use schema_suite::{DRAFTS, cover, groups};

#[test]
fn no_grammar_lets_an_invalid_instance_pass() {
    for (name, json, draft) in DRAFTS {
        let coverage = cover(&groups(json, draft));
        eprintln!("{name}: {coverage:#?}");
        assert_eq!(coverage.wrongly_accepted, Vec::<String>::new(), "{name}");
    }
}
