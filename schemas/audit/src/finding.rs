//! What is wrong with an archive.

use std::fmt;

/// What was done to a record or to the archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FindingKind {
    /// The file cannot be read as an archive.
    Damaged,
    /// A checkpoint was not signed by the key.
    NotSigned,
    /// A fact is not what was logged.
    Changed,
    /// A fact is missing.
    Removed,
    /// A fact was not logged there.
    Added,
    /// A fact stands where another one was logged.
    Reordered,
    /// The facts between two checkpoints are not those that were signed, and none of them shows it by itself.
    Inconsistent,
}

impl FindingKind {
    /// The word for listings.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Damaged => "damaged",
            Self::NotSigned => "not_signed",
            Self::Changed => "changed",
            Self::Removed => "removed",
            Self::Added => "added",
            Self::Reordered => "reordered",
            Self::Inconsistent => "inconsistent",
        }
    }
}

/// The first thing that is wrong, in the order of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What.
    pub kind: FindingKind,
    /// Position in the log; 0 if it is about no record.
    pub sequence: u64,
    /// The inference and the kind of the fact, as far as they can be told.
    pub fact: Option<String>,
    /// In words.
    pub reason: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.as_str())?;
        if self.sequence > 0 {
            write!(f, " at sequence {}", self.sequence)?;
        }
        if let Some(fact) = &self.fact {
            write!(f, " ({fact})")?;
        }
        write!(f, ": {}", self.reason)
    }
}
