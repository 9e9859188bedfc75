//! The seam of a check.

use schemas::v1::Prompt;

/// What a check looks at.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The model that was asked for.
    pub model: &'a str,
    /// What the client wrote.
    pub prompt: &'a Prompt,
}

/// What a check found.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// Nothing against it.
    Allow,
    /// Allowed with this content instead.
    Redact(Box<Prompt>),
    /// Refused, with a reason for the client that repeats none of the content.
    Refuse(String),
}

/// Looks at a prompt and decides. Pure: the same subject gets the same verdict.
pub trait Check: Send + Sync {
    /// The name in policies, verdicts and audits.
    fn name(&self) -> &'static str;

    /// The verdict.
    fn inspect(&self, subject: &Subject<'_>) -> Verdict;
}
