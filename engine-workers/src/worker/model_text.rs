//! The textual side of a model: prompts to tokens and back. Pure but for the time that templates may print.

use std::time::SystemTime;

use schemas::v1::{ChatPrompt, Failure, FailureKind, Prompt, prompt::Content};
use schemas::{SamplingParams, failure};
use serde_json::{Map, Value};

use crate::chat_template::{ChatTemplate, RenderOptions};
use crate::tokenizer::{EncodeOptions, Tokenizer};

/// Tokenizer and chat templates of one model.
#[derive(Debug)]
pub struct ModelText {
    /// The tokenizer.
    pub tokenizer: Tokenizer,
    /// The template for conversations, if the model has one.
    pub template: Option<ChatTemplate>,
    /// The template for conversations with tools, if it is another.
    pub tool_template: Option<ChatTemplate>,
}

fn invalid(code: &str, param: &str, message: impl Into<String>) -> Failure {
    failure(FailureKind::InvalidRequest, code, message).at(param)
}

impl ModelText {
    /// The tokens of a prompt; never empty. `Err` says to the client what to change.
    pub fn tokens_of(&self, prompt: &Prompt, sampling: &SamplingParams) -> Result<Vec<u32>, Failure> {
        let (tokens, param) = match &prompt.content {
            Some(Content::Chat(chat)) => (self.chat_tokens(chat, sampling)?, "messages"),
            Some(Content::Text(text)) => {
                let adds_special = sampling.add_special_tokens.unwrap_or(true);
                (self.encode(text, EncodeOptions { adds_special, parses_special: true }, "prompt")?, "prompt")
            }
            Some(Content::TokenIds(tokens)) => (tokens.ids.clone(), "prompt"),
            None => (Vec::new(), "prompt"),
        };
        if tokens.is_empty() {
            return Err(invalid(
                "empty_prompt",
                param,
                "the prompt has no tokens; write at least one character",
            ));
        }
        Ok(tokens)
    }

    fn chat_tokens(&self, chat: &ChatPrompt, sampling: &SamplingParams) -> Result<Vec<u32>, Failure> {
        let text = self.render(chat)?;
        // A template writes its special tokens itself.
        let adds_special = sampling.add_special_tokens.unwrap_or(false);
        self.encode(&text, EncodeOptions { adds_special, parses_special: true }, "messages")
    }

    fn render(&self, chat: &ChatPrompt) -> Result<String, Failure> {
        let messages: Vec<Value> = parse(&chat.messages_json, "messages")?.unwrap_or_default();
        let tools: Option<Vec<Value>> = parse(&chat.tools_json, "tools")?;
        let kwargs: Option<Map<String, Value>> = parse(&chat.template_kwargs_json, "chat_template_kwargs")?;
        let for_tools = tools.as_ref().and(self.tool_template.as_ref());
        let Some(template) = for_tools.or(self.template.as_ref()) else {
            let message = "this model has no chat template; use /v1/completions with a prompt";
            return Err(invalid("no_chat_template", "messages", message));
        };
        let options = RenderOptions {
            add_generation_prompt: chat.add_generation_prompt,
            continue_final_message: chat.continue_final_message,
            tools: tools.as_deref(),
            documents: None,
            kwargs: kwargs.as_ref(),
            now: SystemTime::now(),
        };
        template.render(&messages, &options).map_err(|error| {
            if error.is_client_error() {
                invalid(error.code(), "messages", error.to_string())
            } else {
                failure(FailureKind::Internal, error.code(), error.to_string())
            }
        })
    }

    fn encode(&self, text: &str, options: EncodeOptions, param: &str) -> Result<Vec<u32>, Failure> {
        self.tokenizer.encode(text, options).map_err(|error| invalid(error.code(), param, error.to_string()))
    }
}

/// Empty text is absence.
fn parse<T: serde::de::DeserializeOwned>(json: &str, param: &str) -> Result<Option<T>, Failure> {
    if json.is_empty() {
        return Ok(None);
    }
    serde_json::from_str(json)
        .map(Some)
        .map_err(|_| invalid("invalid_json", param, format!("{param} has not the shape of a chat request")))
}
