//! The public JSON Schema tests: nothing invalid passes, and what is supported does not shrink.

#![expect(clippy::expect_used, reason = "a failure here is a failed test")]

#[path = "support/schema_suite.rs"]
mod schema_suite;

use schema_suite::{DRAFTS, cover, groups};

#[test]
fn no_grammar_lets_an_invalid_instance_pass() {
    for (name, json, draft) in DRAFTS {
        let coverage = cover(&groups(json, draft));
        assert_eq!(coverage.wrongly_accepted, Vec::<String>::new(), "{name}");
        let num_compiled = coverage.num_schemas - coverage.refused.len();
        assert!(num_compiled * 10 >= coverage.num_schemas * 4, "{name}: only {num_compiled} schemas compile");
        let (num_accepted, num_valid) = (coverage.num_valid_accepted, coverage.num_valid);
        assert!(
            num_accepted * 100 >= num_valid * 94,
            "{name}: only {num_accepted} of {num_valid} are accepted"
        );
        assert!(coverage.num_invalid > 200, "{name}: {coverage:?}");
    }
}
