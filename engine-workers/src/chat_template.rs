//! Conversations to prompts, by the template in the model file.

pub mod error;
pub mod source;

mod conversation;
mod environment;
mod python_json;
mod strftime;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::error::Error as _;
use std::time::SystemTime;

use error::TemplateError;
use minijinja::value::Serde;
use minijinja::{Environment, ErrorKind, Value};
use serde_json::{Map, Value as Json};

/// Steps that one rendering may take: about two seconds, and far above what a conversation that fits any context needs.
const FUEL: u64 = 20_000_000;

/// The texts of special tokens, as templates write them. What a model lacks is empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SpecialTokenTexts {
    /// Begins a text.
    pub bos: String,
    /// Ends a text.
    pub eos: String,
    /// Stands for what the vocabulary lacks.
    pub unk: String,
    /// Fills up batches.
    pub pad: String,
}

/// What a client may say about how its conversation is rendered.
#[derive(Debug, Clone)]
pub struct RenderOptions<'a> {
    /// End with the opening of the assistant's turn.
    pub add_generation_prompt: bool,
    /// End within the last message, so that the model goes on with it. Excludes `add_generation_prompt`.
    pub continue_final_message: bool,
    /// Tool definitions in the shape of OpenAI's `tools`.
    pub tools: Option<&'a [Json]>,
    /// Documents to answer from, for templates that know them.
    pub documents: Option<&'a [Json]>,
    /// `chat_template_kwargs`: further variables of the template. `messages` and `tools` cannot be replaced by them.
    pub kwargs: Option<&'a Map<String, Json>>,
    /// The moment that `strftime_now` writes, in UTC.
    pub now: SystemTime,
}

/// A compiled chat template. Shared between threads.
#[derive(Debug)]
pub struct ChatTemplate {
    environment: Environment<'static>,
    tokens: SpecialTokenTexts,
    accepts_parts: bool,
}

impl ChatTemplate {
    /// Compiles a template and finds out whether it takes content in parts.
    ///
    /// # Errors
    /// [`TemplateError::Syntax`].
    pub fn new(source: &str, tokens: SpecialTokenTexts) -> Result<Self, TemplateError> {
        let environment = environment::compile(source, FUEL)
            .map_err(|error| TemplateError::Syntax { reason: error.to_string() })?;
        let mut template = Self { environment, tokens, accepts_parts: true };
        template.accepts_parts = template.renders_parts();
        Ok(template)
    }

    /// Templates that know only text print the structure of a part, or nothing, or fail.
    fn renders_parts(&self) -> bool {
        const PROBE: &str = "a text to be found";
        let message = serde_json::json!({"role": "user", "content": [{"type": "text", "text": PROBE}]});
        let options = RenderOptions {
            add_generation_prompt: true,
            continue_final_message: false,
            tools: None,
            documents: None,
            kwargs: None,
            now: SystemTime::UNIX_EPOCH,
        };
        self.render(&[message], &options)
            .is_ok_and(|text| text.contains(PROBE) && !text.contains("'type'") && !text.contains("\"type\""))
    }

    /// Writes a conversation as the model was trained to read it. The messages have OpenAI's shape.
    ///
    /// Markup and content are joined into one text, as in every server that uses these templates: content that spells a
    /// special token is read as that token when the text is encoded with
    /// [`crate::tokenizer::EncodeOptions::parses_special`].
    ///
    /// # Errors
    /// [`TemplateError`]; all but [`TemplateError::Syntax`] are the client's to cure.
    pub fn render(&self, messages: &[Json], options: &RenderOptions<'_>) -> Result<String, TemplateError> {
        if options.continue_final_message && options.add_generation_prompt {
            return Err(TemplateError::InvalidRequest {
                reason: "continue_final_message and add_generation_prompt exclude each other".to_owned(),
            });
        }
        let messages = messages
            .iter()
            .map(|message| conversation::prepare(message, self.accepts_parts))
            .collect::<Result<Vec<Cow<'_, Json>>, _>>()?;
        let rendered = self.render_prepared(&messages, options)?;
        if options.continue_final_message {
            return conversation::cut_after_final_message(&rendered, &messages);
        }
        Ok(rendered)
    }

    fn render_prepared(
        &self,
        messages: &[Cow<'_, Json>],
        options: &RenderOptions<'_>,
    ) -> Result<String, TemplateError> {
        let mut environment = self.environment.clone();
        let now = options.now;
        environment.add_function("strftime_now", move |format: &str| strftime::strftime(now, format));
        let context = self.context(messages, options);
        let rendered =
            environment.get_template(environment::TEMPLATE).and_then(|template| template.render(context));
        rendered.map_err(|error| match (error.kind(), raised(&error)) {
            (_, Some(message)) => TemplateError::Refused { message },
            (ErrorKind::OutOfFuel, None) => TemplateError::OutOfFuel { fuel: FUEL },
            (_, None) => TemplateError::Render { reason: error.to_string() },
        })
    }

    fn context(&self, messages: &[Cow<'_, Json>], options: &RenderOptions<'_>) -> Value {
        let mut variables: BTreeMap<&str, Value> = BTreeMap::from([
            ("bos_token", Value::from(self.tokens.bos.as_str())),
            ("eos_token", Value::from(self.tokens.eos.as_str())),
            ("unk_token", Value::from(self.tokens.unk.as_str())),
            ("pad_token", Value::from(self.tokens.pad.as_str())),
            ("add_generation_prompt", Value::from(options.add_generation_prompt)),
            ("documents", Value::from(Serde(options.documents))),
        ]);
        for (name, value) in options.kwargs.into_iter().flatten() {
            variables.insert(name, Value::from(Serde(value)));
        }
        variables.insert("messages", Value::from(Serde(messages)));
        variables.insert("tools", Value::from(Serde(options.tools)));
        Value::from_pairs(variables)
    }
}

fn raised(error: &minijinja::Error) -> Option<String> {
    let mut source = error.source();
    while let Some(cause) = source {
        if let Some(raised) = cause.downcast_ref::<environment::Raised>() {
            return Some(raised.0.clone());
        }
        source = cause.source();
    }
    None
}
