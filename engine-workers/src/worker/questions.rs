//! tokenize and detokenize: questions that the api asks any worker of the pool.

use std::sync::Arc;

use bus::{BusError, EventLog, QueryMessages, subjects};
use futures_util::StreamExt as _;
use schemas::v1::{ChatPrompt, Failure, FailureKind, Prompt, prompt::Content};
use schemas::{PoolName, SamplingParams, failure};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tracing::warn;

use super::PAUSE_AFTER_FAILURE;
use super::model_text::ModelText;

const MAX_NUM_IN_FLIGHT: usize = 4;

#[derive(Debug, Deserialize)]
struct TokenizeQuestion {
    prompt: Option<String>,
    messages: Option<Vec<Value>>,
    add_special_tokens: Option<bool>,
    #[serde(default = "is_true")]
    add_generation_prompt: bool,
    #[serde(default)]
    continue_final_message: bool,
    #[serde(default)]
    return_token_strs: bool,
    chat_template_kwargs: Option<Value>,
}

const fn is_true() -> bool {
    true
}

#[derive(Debug, Serialize)]
struct TokenizeAnswer {
    count: usize,
    max_model_len: usize,
    tokens: Vec<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_strs: Option<Vec<String>>,
}

#[derive(Debug, Deserialize)]
struct DetokenizeQuestion {
    tokens: Vec<u32>,
}

/// Answers questions about the model's text.
pub(crate) struct Questions {
    pub(crate) text: Arc<ModelText>,
    pub(crate) max_model_len_tokens: usize,
}

impl Questions {
    /// Answers until it is aborted.
    pub(crate) async fn serve_forever(self: Arc<Self>, log: Arc<dyn EventLog>, pool: PoolName) {
        loop {
            if let Err(error) = Arc::clone(&self).serve(Arc::clone(&log), pool.clone()).await {
                warn!(%error, "cannot hear questions, trying again");
            }
            tokio::time::sleep(PAUSE_AFTER_FAILURE).await;
        }
    }

    /// Answers until the log closes. Each answer is computed off the async threads, a few at a time.
    async fn serve(self: Arc<Self>, log: Arc<dyn EventLog>, pool: PoolName) -> Result<(), BusError> {
        let group = pool.to_string();
        let tokenize = log.answer(subjects::query(&pool, "tokenize"), group.clone()).await?;
        let detokenize = log.answer(subjects::query(&pool, "detokenize"), group).await?;
        tokio::join!(
            Arc::clone(&self).answer_all(tokenize, Self::tokenize),
            self.answer_all(detokenize, Self::detokenize),
        );
        Ok(())
    }

    async fn answer_all(
        self: Arc<Self>,
        mut questions: QueryMessages,
        answer: fn(&Self, &[u8]) -> Result<Value, Failure>,
    ) {
        let slots = Arc::new(Semaphore::new(MAX_NUM_IN_FLIGHT));
        while let Some(question) = questions.next().await {
            let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
            let this = Arc::clone(&self);
            tokio::task::spawn_blocking(move || {
                let answer = answer(&this, &question.payload).unwrap_or_else(|failure| error_body(&failure));
                match serde_json::to_vec(&answer) {
                    Ok(bytes) => (question.reply)(bytes.into()),
                    Err(error) => warn!(%error, "an answer could not be written"),
                }
                drop(slot);
            });
        }
    }

    fn tokenize(&self, question: &[u8]) -> Result<Value, Failure> {
        let question: TokenizeQuestion = read(question)?;
        let sampling =
            SamplingParams { add_special_tokens: question.add_special_tokens, ..SamplingParams::default() };
        let content = match (question.prompt, question.messages) {
            (Some(text), None) => Content::Text(text),
            (None, Some(messages)) => Content::Chat(ChatPrompt {
                messages_json: Value::Array(messages).to_string(),
                template_kwargs_json: question
                    .chat_template_kwargs
                    .map_or_else(String::new, |kwargs| kwargs.to_string()),
                add_generation_prompt: question.add_generation_prompt,
                continue_final_message: question.continue_final_message,
                ..ChatPrompt::default()
            }),
            _ => {
                let message = "give either prompt or messages";
                return Err(failure(FailureKind::InvalidRequest, "invalid_request", message).at("prompt"));
            }
        };
        let tokens = match self.text.tokens_of(&Prompt { content: Some(content) }, &sampling) {
            Err(failure) if failure.code == "empty_prompt" => Vec::new(),
            tokens => tokens?,
        };
        let text_of = |id: &u32| String::from_utf8_lossy(self.text.tokenizer.token_bytes(*id)).into_owned();
        let token_strs = question.return_token_strs.then(|| tokens.iter().map(text_of).collect());
        let count = tokens.len();
        Ok(json!(TokenizeAnswer { count, max_model_len: self.max_model_len_tokens, tokens, token_strs }))
    }

    fn detokenize(&self, question: &[u8]) -> Result<Value, Failure> {
        let question: DetokenizeQuestion = read(question)?;
        let vocab_size = self.text.tokenizer.vocab_size();
        if let Some(id) = question.tokens.iter().find(|id| **id as usize >= vocab_size) {
            let message = format!("tokens holds {id}, the vocabulary has {vocab_size} tokens");
            return Err(failure(FailureKind::InvalidRequest, "invalid_token", message).at("tokens"));
        }
        Ok(json!({ "prompt": self.text.tokenizer.decode(&question.tokens, false) }))
    }
}

pub(super) fn read<'a, T: Deserialize<'a>>(question: &'a [u8]) -> Result<T, Failure> {
    serde_json::from_slice(question)
        .map_err(|error| failure(FailureKind::InvalidRequest, "invalid_request", error.to_string()))
}

pub(super) fn error_body(failure: &Failure) -> Value {
    let kind = failure.kind().as_str_name().trim_start_matches("FAILURE_KIND_").to_lowercase();
    json!({ "error": {
        "code": failure.code, "message": failure.message, "param": failure.param, "kind": kind,
    }})
}
