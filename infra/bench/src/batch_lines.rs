//! The file of a batch whose lines have exact lengths.

use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::Path;

use serde_json::json;

use crate::prompt::PromptShape;

/// Lines of completions, all different from their first token on.
#[derive(Debug, Clone, Copy)]
pub struct BatchLines {
    /// How many.
    pub num_lines: usize,
    /// Their prompts.
    pub prompts: PromptShape,
    /// Tokens to generate for each; end-of-text is ignored.
    pub num_output_tokens: u32,
}

impl BatchLines {
    /// Writes the file for a model of this name.
    pub fn write(&self, path: &Path, model: &str) -> io::Result<()> {
        let mut file = BufWriter::new(File::create(path)?);
        for number in 0..self.num_lines {
            let line = json!({
                "custom_id": format!("line-{number}"),
                "method": "POST",
                "url": "/v1/completions",
                "body": {
                    "model": model,
                    "prompt": self.prompts.tokens(number),
                    "max_tokens": self.num_output_tokens,
                    "temperature": 0,
                    "ignore_eos": true,
                },
            });
            writeln!(file, "{line}")?;
        }
        file.flush()
    }
}
