//! Refuses prompts above a size.

use schemas::v1::{Prompt, prompt::Content};

use crate::{Check, Subject, Verdict};

/// Allows prompts of up to a number of bytes; token ids count four each.
#[derive(Debug, Clone, Copy)]
pub struct ContentSize {
    /// Largest prompt in bytes.
    pub max_num_bytes: usize,
}

impl Check for ContentSize {
    fn name(&self) -> &'static str {
        "content_size"
    }

    fn inspect(&self, subject: &Subject<'_>) -> Verdict {
        let num_bytes = content_bytes(subject.prompt);
        if num_bytes <= self.max_num_bytes {
            Verdict::Allow
        } else {
            Verdict::Refuse(format!(
                "the prompt has {num_bytes} bytes, at most {} are allowed",
                self.max_num_bytes
            ))
        }
    }
}

fn content_bytes(prompt: &Prompt) -> usize {
    match &prompt.content {
        None => 0,
        Some(Content::Text(text)) => text.len(),
        Some(Content::TokenIds(tokens)) => tokens.ids.len() * 4,
        Some(Content::Chat(chat)) => {
            chat.messages_json.len() + chat.tools_json.len() + chat.template_kwargs_json.len()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(num_bytes: usize, is_allowed: bool) {
        let prompt = Prompt { content: Some(Content::Text("x".repeat(num_bytes))) };
        let verdict = ContentSize { max_num_bytes: 8 }.inspect(&Subject { model: "m", prompt: &prompt });
        assert_eq!(verdict == Verdict::Allow, is_allowed, "{num_bytes} bytes: {verdict:?}");
    }

    #[test]
    fn a_prompt_above_the_size_is_refused() {
        check(0, true);
        check(8, true);
        check(9, false);
    }
}
