//! Refuses prompts that hold a listed term.

use schemas::v1::{Prompt, prompt::Content};

use crate::{Check, Subject, Verdict};

/// Refuses a prompt in which one of the terms stands, whatever its case. Token ids are not looked into.
#[derive(Debug, Clone, Default)]
pub struct BlockedTerms {
    terms: Vec<String>,
}

impl BlockedTerms {
    /// Terms match anywhere in the text; empty ones are dropped.
    pub fn new(terms: impl IntoIterator<Item = String>) -> Self {
        let terms =
            terms.into_iter().map(|term| term.to_lowercase()).filter(|term| !term.is_empty()).collect();
        Self { terms }
    }
}

impl Check for BlockedTerms {
    fn name(&self) -> &'static str {
        "blocked_terms"
    }

    fn inspect(&self, subject: &Subject<'_>) -> Verdict {
        let text = content_text(subject.prompt).to_lowercase();
        if self.terms.iter().any(|term| text.contains(term)) {
            Verdict::Refuse("the prompt holds a term that this system does not accept".to_owned())
        } else {
            Verdict::Allow
        }
    }
}

/// The text of a prompt; a chat's JSON is read as such, so that an escaped term cannot hide.
fn content_text(prompt: &Prompt) -> String {
    match &prompt.content {
        Some(Content::Text(text)) => text.clone(),
        Some(Content::Chat(chat)) => {
            let mut text = String::new();
            for json in [&chat.messages_json, &chat.tools_json, &chat.template_kwargs_json] {
                match serde_json::from_str::<serde_json::Value>(json) {
                    Ok(value) => collect_strings(&value, &mut text),
                    Err(_) => text.push_str(json),
                }
            }
            text
        }
        Some(Content::TokenIds(_)) | None => String::new(),
    }
}

fn collect_strings(value: &serde_json::Value, text: &mut String) {
    match value {
        serde_json::Value::String(string) => {
            text.push_str(string);
            text.push('\n');
        }
        serde_json::Value::Array(items) => items.iter().for_each(|item| collect_strings(item, text)),
        serde_json::Value::Object(fields) => fields.values().for_each(|field| collect_strings(field, text)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use schemas::v1::ChatPrompt;

    fn check(content: Content, is_allowed: bool) {
        let prompt = Prompt { content: Some(content) };
        let blocked = BlockedTerms::new(["Project Zebra".to_owned(), String::new()]);
        let verdict = blocked.inspect(&Subject { model: "m", prompt: &prompt });
        assert_eq!(verdict == Verdict::Allow, is_allowed, "{prompt:?}");
    }

    #[test]
    fn a_term_is_found_in_any_case_and_behind_escapes() {
        check(Content::Text("what is project zebra?".into()), false);
        check(Content::Text("what is a zebra?".into()), true);
        let chat = |messages: &str| {
            Content::Chat(ChatPrompt { messages_json: messages.into(), ..ChatPrompt::default() })
        };
        check(chat(r#"[{"role":"user","content":"PROJECT \u007aebra"}]"#), false);
        check(chat(r#"[{"role":"user","content":[{"type":"text","text":"hello"}]}]"#), true);
    }
}
