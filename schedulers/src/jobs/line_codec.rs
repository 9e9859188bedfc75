//! What the jobs must know of lines, and do not know themselves.

use schemas::batch::EndedInference;
use schemas::v1::Requested;

/// A line of a result file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Its text, without the end.
    pub text: String,
    /// Whether it holds an answer; otherwise its place is the error file.
    pub is_answered: bool,
}

/// Why a line asks for nothing now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unread {
    /// It never will: this is its row.
    Refused(Row),
    /// Nobody serves its model now; this is its row if that stays so.
    UnknownModel {
        /// The name it asks for; empty while no model is known at all.
        model: String,
        /// What to say of it in the end.
        row: Row,
    },
}

/// From a line to inferences, and from their ends to a row. Lines are numbered from 1.
pub trait LineCodec: Send + Sync + 'static {
    /// The `custom_id` of a line, if it has one that can be read.
    fn custom_id(&self, line: &[u8]) -> Option<String>;

    /// What a line asks for: an inference for each of its prompts. `endpoint` is the route that all lines must name.
    fn read(&self, number: u64, line: &[u8], endpoint: &str) -> Result<Vec<Requested>, Unread>;

    /// The row of a line whose inferences have ended, in the order of its prompts.
    fn answer(&self, number: u64, line: &[u8], inferences: Vec<EndedInference>) -> Row;

    /// The row of a line that is not asked, or of one that could not be read.
    fn refuse(&self, number: u64, line: Option<&[u8]>, code: &'static str, message: &str) -> Row;
}
