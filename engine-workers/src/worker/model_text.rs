//! The textual side of a model: prompts to tokens and back. Pure but for the time that templates may print.

use std::sync::Arc;
use std::time::SystemTime;

use schemas::v1::grammar::Kind;
use schemas::v1::{ChatPrompt, Failure, FailureKind, Prompt, prompt::Content};
use schemas::{SamplingParams, failure};
use serde_json::{Map, Value};

use super::spoken_tools;
use super::tool_request::ToolRequest;
use crate::chat_template::{ChatTemplate, RenderOptions};
use crate::engine::thinking::ThinkingRules;
use crate::grammar::compiler::GrammarCompiler;
use crate::grammar::json_schema;
use crate::output_parser::reasoning::{ReasoningFormat, SpanStart};
use crate::output_parser::tool_call_format::ToolCallFormat;
use crate::output_parser::{OutputRules, ToolRules, tool_grammar};
use crate::tokenizer::{EncodeOptions, Tokenizer};

/// Tokenizer and chat templates of one model.
#[derive(Debug)]
pub struct ModelText {
    /// The tokenizer.
    pub tokenizer: Arc<Tokenizer>,
    /// The template for conversations, if the model has one.
    pub template: Option<ChatTemplate>,
    /// The template for conversations with tools, if it is another.
    pub tool_template: Option<ChatTemplate>,
    /// How the model writes and marks what is more than text.
    pub formats: OutputFormats,
    /// Compiles what answers must match.
    pub grammars: GrammarCompiler,
}

/// How a model writes calls of tools and marks its thinking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutputFormats {
    /// How it writes calls.
    pub tool_calls: ToolCallFormat,
    /// Whether its template shows it the tools; otherwise it is told of them in words.
    pub has_tool_template: bool,
    /// How it marks its thinking, if it thinks.
    pub reasoning: Option<ReasoningFormat>,
}

impl OutputFormats {
    /// What the source of a chat template for conversations with tools tells.
    pub fn of_template(source: &str) -> Self {
        let tool_calls = ToolCallFormat::of_template(source);
        Self {
            tool_calls: tool_calls.unwrap_or(ToolCallFormat::Json),
            has_tool_template: tool_calls.is_some(),
            reasoning: ReasoningFormat::of_template(source),
        }
    }
}

/// What a prompt is prepared by, beside its content.
#[derive(Debug, Clone, Copy)]
pub(super) struct PromptTerms {
    pub(super) asked_at: SystemTime,
    /// A prompt of so many tokens is refused; absent: it may be cut, or is only looked at.
    pub(super) max_num_tokens: Option<usize>,
}

/// A prompt as the engine takes it, and how the answer is to be read.
#[derive(Debug, Clone)]
pub(super) struct PreparedPrompt {
    /// Never empty.
    pub(super) tokens: Vec<u32>,
    pub(super) output: OutputRules,
    /// What the answer must match because calls are demanded.
    pub(super) grammar: Option<Kind>,
    /// How its thinking is bounded.
    pub(super) thinking: Option<Arc<ThinkingRules>>,
    /// Special tokens that the reader of the answer needs.
    pub(super) kept_special_token_ids: Arc<[u32]>,
}

pub(super) fn invalid(code: &str, param: &str, message: impl Into<String>) -> Failure {
    failure(FailureKind::InvalidRequest, code, message).at(param)
}

impl ModelText {
    /// The tokens of a prompt; never empty. `Err` says to the client what to change.
    pub fn tokens_of(&self, prompt: &Prompt, sampling: &SamplingParams) -> Result<Vec<u32>, Failure> {
        let terms = PromptTerms { asked_at: SystemTime::now(), max_num_tokens: None };
        self.prepare(prompt, sampling, terms).map(|prepared| prepared.tokens)
    }

    /// The tokens of a prompt, and how to read what answers it. A template that tells the time tells that of the request, so
    /// that every attempt and every replay reads the same.
    pub(super) fn prepare(
        &self,
        prompt: &Prompt,
        sampling: &SamplingParams,
        terms: PromptTerms,
    ) -> Result<PreparedPrompt, Failure> {
        let mut grammar = None;
        let (tokens, output, param) = match &prompt.content {
            Some(Content::Chat(chat)) => {
                let tools = ToolRequest::read(chat)?;
                grammar = tools.as_ref().map(|tools| self.demanded_calls(tools)).transpose()?.flatten();
                let (tokens, output) = self.prepare_chat((chat, terms), tools.as_ref(), sampling)?;
                (tokens, output, "messages")
            }
            Some(Content::Text(text)) => {
                let adds_special = sampling.add_special_tokens.unwrap_or(true);
                let options = EncodeOptions { adds_special, parses_special: true };
                self.check_length(text, terms.max_num_tokens, "prompt")?;
                (self.encode(text, options, "prompt")?, OutputRules::default(), "prompt")
            }
            Some(Content::TokenIds(tokens)) => (tokens.ids.clone(), OutputRules::default(), "prompt"),
            None => (Vec::new(), OutputRules::default(), "prompt"),
        };
        if tokens.is_empty() {
            return Err(invalid(
                "empty_prompt",
                param,
                "the prompt has no tokens; write at least one character",
            ));
        }
        let kept_special_token_ids = self.kept_special_token_ids(&output);
        let has_grammar = grammar.is_some() || sampling.grammar.is_some();
        let thinking = self.thinking_rules(&output, sampling, has_grammar)?;
        Ok(PreparedPrompt { tokens, output, grammar, thinking, kept_special_token_ids })
    }

    fn prepare_chat(
        &self,
        (chat, terms): (&ChatPrompt, PromptTerms),
        tools: Option<&ToolRequest>,
        sampling: &SamplingParams,
    ) -> Result<(Vec<u32>, OutputRules), Failure> {
        let messages: Vec<Value> = parse(&chat.messages_json, "messages")?.unwrap_or_default();
        let text = self.render((chat, terms.asked_at), &messages, tools)?;
        self.check_length(&text, terms.max_num_tokens, "messages")?;
        // A template writes its special tokens itself.
        let adds_special = sampling.add_special_tokens.unwrap_or(false);
        let tokens = self.encode(&text, EncodeOptions { adds_special, parses_special: true }, "messages")?;
        let continued = messages.last().filter(|_| chat.continue_final_message);
        let continued = continued.map(|message| message["content"].as_str().unwrap_or_default());
        let reasoning = self.formats.reasoning.map(|format| (format, format.start_after(&text, continued)));
        Ok((tokens, OutputRules { reasoning, tools: tools.map(|tools| self.tool_rules(tools)) }))
    }

    fn tool_rules(&self, tools: &ToolRequest) -> ToolRules {
        ToolRules {
            format: self.formats.tool_calls,
            names: tools.names().map(str::to_owned).collect(),
            is_single: tools.is_single(),
            source: None,
        }
    }

    /// A grammar of the calls that the request demands, if it does.
    fn demanded_calls(&self, tools: &ToolRequest) -> Result<Option<Kind>, Failure> {
        let functions = tools.demanded();
        if functions.is_empty() {
            return Ok(None);
        }
        let special_token =
            |mark: &str| self.tokenizer.token_id(mark).filter(|id| self.tokenizer.is_special(*id));
        let prepare = |schema: &Value| json_schema::prepare(&schema.to_string());
        tool_grammar::lark(self.formats.tool_calls, &functions, tools.is_single(), special_token, prepare)
            .map(|lark| Some(Kind::Lark(lark)))
            .map_err(|error| invalid(error.code(), "tools", error.to_string()))
    }

    /// Rules for a span that has a bound, or that precedes a grammar: a model that thinks does so before the text that
    /// must match.
    fn thinking_rules(
        &self,
        output: &OutputRules,
        sampling: &SamplingParams,
        has_grammar: bool,
    ) -> Result<Option<Arc<ThinkingRules>>, Failure> {
        let budget_tokens = sampling.thinking_budget_tokens.map(|budget| budget as usize);
        let Some((format, start)) = output.reasoning.filter(|_| budget_tokens.is_some() || has_grammar)
        else {
            return Ok(None);
        };
        let plain = EncodeOptions { adds_special: false, parses_special: true };
        let must_open = has_grammar && start == SpanStart::Unopened && budget_tokens != Some(0);
        let opening = if must_open { format.opening() } else { "" };
        // What must match is not searched for a span that was not forced open.
        let is_over = has_grammar && start == SpanStart::Unopened && !must_open;
        Ok(Some(Arc::new(ThinkingRules {
            start: if is_over { SpanStart::Over } else { start },
            opening: format.opening(),
            closing: format.closing(),
            forced_opening: self.encode(opening, plain, "messages")?,
            closing_token_ids: self.encode(format.closing(), plain, "messages")?,
            budget_tokens,
        })))
    }

    fn kept_special_token_ids(&self, output: &OutputRules) -> Arc<[u32]> {
        let calls = output.tools.iter().flat_map(|tools| tools.format.mark_texts()).copied();
        let thoughts = output.reasoning.iter().flat_map(|(format, _)| [format.opening(), format.closing()]);
        calls.chain(thoughts).filter_map(|mark| self.tokenizer.token_id(mark)).collect()
    }

    fn render(
        &self,
        (chat, asked_at): (&ChatPrompt, SystemTime),
        messages: &[Value],
        tools: Option<&ToolRequest>,
    ) -> Result<String, Failure> {
        let kwargs: Option<Map<String, Value>> = parse(&chat.template_kwargs_json, "chat_template_kwargs")?;
        let for_tools = tools.and(self.tool_template.as_ref());
        let Some(template) = for_tools.or(self.template.as_ref()) else {
            let message = "this model has no chat template; use /v1/completions with a prompt";
            return Err(invalid("no_chat_template", "messages", message));
        };
        let tools = tools.map(ToolRequest::for_template);
        let is_spoken = !self.formats.has_tool_template;
        let is_spelled_out = is_spoken && (tools.is_some() || spoken_tools::is_needed(messages));
        let spelled_out =
            is_spelled_out.then(|| spoken_tools::spell_out(messages, tools.as_deref().unwrap_or_default()));
        let options = RenderOptions {
            add_generation_prompt: chat.add_generation_prompt,
            continue_final_message: chat.continue_final_message,
            tools: tools.as_deref().filter(|_| !is_spoken),
            documents: None,
            kwargs: kwargs.as_ref(),
            now: asked_at,
        };
        template.render(spelled_out.as_deref().unwrap_or(messages), &options).map_err(|error| {
            if error.is_client_error() {
                invalid(error.code(), "messages", error.to_string())
            } else {
                failure(FailureKind::Internal, error.code(), error.to_string())
            }
        })
    }

    /// Refuses a text that is too long whatever its tokens are, before they are looked for.
    fn check_length(&self, text: &str, max_num_tokens: Option<usize>, param: &str) -> Result<(), Failure> {
        let num_tokens = self.tokenizer.min_num_tokens(text);
        match max_num_tokens {
            Some(max_num_tokens) if num_tokens >= max_num_tokens => {
                let message = format!(
                    "this model's context is {max_num_tokens} tokens; the prompt has at least {num_tokens}: shorten it"
                );
                Err(invalid("context_length_exceeded", param, message))
            }
            _ => Ok(()),
        }
    }

    fn encode(&self, text: &str, options: EncodeOptions, param: &str) -> Result<Vec<u32>, Failure> {
        self.tokenizer.encode(text, options).map_err(|error| invalid(error.code(), param, error.to_string()))
    }
}

/// Empty text is absence.
pub(super) fn parse<T: serde::de::DeserializeOwned>(json: &str, param: &str) -> Result<Option<T>, Failure> {
    if json.is_empty() {
        return Ok(None);
    }
    serde_json::from_str(json)
        .map(Some)
        .map_err(|_| invalid("invalid_json", param, format!("{param} has not the shape of a chat request")))
}
