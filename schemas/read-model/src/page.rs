//! Long listings, a page at a time.

use std::fmt;
use std::str::FromStr;

use schemas::InferenceId;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::InferenceRow;

/// A text that no page ended with.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("'{0}' is no cursor: the next_cursor of a page is needed")]
pub struct CursorError(String);

/// Where a page ended; the next one begins behind it. Rows that come or change meanwhile shift nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Cursor {
    pub(crate) requested_at_unix_nanos: i64,
    pub(crate) id: String,
}

impl Cursor {
    /// Behind this row.
    pub(crate) fn behind(row: &InferenceRow) -> Self {
        Self { requested_at_unix_nanos: row.requested_at_unix_nanos, id: row.id.clone() }
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.requested_at_unix_nanos, self.id)
    }
}

impl FromStr for Cursor {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Self, CursorError> {
        let parse = || {
            let (nanos, id) = text.split_once('-')?;
            let id: InferenceId = id.parse().ok()?;
            Some(Self { requested_at_unix_nanos: nanos.parse().ok()?, id: id.to_string() })
        };
        parse().ok_or_else(|| CursorError(text.chars().take(80).collect()))
    }
}

impl TryFrom<String> for Cursor {
    type Error = CursorError;

    fn try_from(text: String) -> Result<Self, CursorError> {
        text.parse()
    }
}

impl From<Cursor> for String {
    fn from(cursor: Cursor) -> Self {
        cursor.to_string()
    }
}

/// Some inferences, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InferencePage {
    /// The rows.
    pub inferences: Vec<InferenceRow>,
    /// Where the next page begins; `None` when this was the last.
    pub next_cursor: Option<Cursor>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, is_valid: bool) {
        match text.parse::<Cursor>() {
            Ok(cursor) => {
                assert!(is_valid, "{text:?} was taken");
                assert_eq!(cursor.to_string(), text);
            }
            Err(error) => assert!(!is_valid, "{text:?}: {error}"),
        }
    }

    #[test]
    fn a_cursor_survives_being_written_down() {
        check("1763800000000000000-0198c6f0a1b27c3d8e4f5061728394a5", true);
        check("0198c6f0a1b27c3d8e4f5061728394a5", false);
        check("x-0198c6f0a1b27c3d8e4f5061728394a5", false);
        check("17638-' OR 1=1", false);
        check("", false);
    }
}
