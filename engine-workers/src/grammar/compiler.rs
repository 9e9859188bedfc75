//! From a request's grammar to an automaton over a model's vocabulary.

use std::collections::VecDeque;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use llguidance::api::{GrammarInit, ParserLimits, TopLevelGrammar};
use llguidance::earley::SlicedBiasComputer;
use llguidance::toktrie::InferenceCapabilities;
use llguidance::{Logger, Matcher, ParserFactory};
use prost::Message as _;
use schemas::v1;
use schemas::v1::grammar::Kind;

use crate::detokenizer::TokenTable;
use crate::grammar::compiled::CompiledGrammar;
use crate::grammar::error::GrammarError;
use crate::grammar::{json_schema, vocabulary};
use crate::tokenizer::Tokenizer;

const MAX_NUM_CACHED: usize = 64;
/// Longest regular expression, and all choices together.
const MAX_REGEX_BYTES: usize = 4 << 10;
const MAX_CHOICES_BYTES: usize = 64 << 10;
const MAX_NUM_CHOICES: usize = 4096;
const MAX_LARK_BYTES: usize = 64 << 10;
const MAX_LARK_DEPTH: usize = 64;
/// The compiler recurses over the grammar; its bounds keep it within this.
const STACK_BYTES: usize = 64 << 20;
/// Most that a grammar may take to compile. The bounds of size keep nearly all far below it.
const PATIENCE: Duration = Duration::from_secs(1);
const MAX_REASON_CHARS: usize = 400;
/// What the library says in words of its own options, and what that means to a client.
const TOLD: [(&str, &str); 3] = [
    ("NoExtensionBias", "no answer could match it"),
    (
        "oneOf constraints are not supported",
        "oneOf is supported only where no document can match two of its options",
    ),
    (
        "without 'referencing' feature",
        "$ref is supported only to a place in the schema itself, as in #/$defs/name",
    ),
];

/// Compiles grammars, one at a time, and remembers the latest.
pub struct GrammarCompiler {
    bench: Arc<Bench>,
    cache: Mutex<VecDeque<CompiledGrammar>>,
}

/// What compiling needs.
struct Bench {
    tokens: Arc<TokenTable>,
    tokenizer: Option<Arc<Tokenizer>>,
    /// Made with the first grammar: most models never meet one.
    factory: OnceLock<Result<ParserFactory, GrammarError>>,
    /// Held while compiling, so that many costly grammars take one thread and not all.
    turn: Mutex<()>,
}

impl GrammarCompiler {
    /// A compiler for a vocabulary. The tokenizer lets forced text have the tokens that the model knows it by.
    pub fn new(tokens: Arc<TokenTable>, tokenizer: Option<Arc<Tokenizer>>) -> Self {
        let bench = Bench { tokens, tokenizer, factory: OnceLock::new(), turn: Mutex::default() };
        GrammarCompiler { bench: Arc::new(bench), cache: Mutex::default() }
    }

    /// The compiled grammar; blocks for as long as that takes, which is bounded.
    pub fn compile(&self, kind: &Kind) -> Result<CompiledGrammar, GrammarError> {
        let digest = blake3::hash(&v1::Grammar { kind: Some(kind.clone()) }.encode_to_vec());
        if let Some(known) = self.cached(digest) {
            return Ok(known);
        }
        let compiled = CompiledGrammar::new(digest, self.compile_on_own_stack(kind)?);
        let mut cache = self.locked_cache();
        cache.truncate(MAX_NUM_CACHED - 1);
        cache.push_front(compiled.clone());
        Ok(compiled)
    }

    fn locked_cache(&self) -> MutexGuard<'_, VecDeque<CompiledGrammar>> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn cached(&self, digest: blake3::Hash) -> Option<CompiledGrammar> {
        let mut cache = self.locked_cache();
        let index = cache.iter().position(|grammar| grammar.digest() == digest)?;
        let known = cache.remove(index)?;
        cache.push_front(known.clone());
        Some(known)
    }

    /// A compilation cannot be stopped: one that takes too long is left alone, and keeps its turn until it is done.
    fn compile_on_own_stack(&self, kind: &Kind) -> Result<Matcher, GrammarError> {
        let source = source_of(kind)?;
        let (began, has_begun) = channel();
        let (done, compiled) = channel();
        let (bench, kind) = (Arc::clone(&self.bench), kind.clone());
        let compile = move || {
            let _turn = bench.turn.lock().unwrap_or_else(PoisonError::into_inner);
            let factory = bench.factory.get_or_init(|| bench.factory());
            let is_awaited = began.send(()).is_ok();
            let outcome =
                factory.as_ref().map_err(Clone::clone).and_then(|factory| compile(factory, source, &kind));
            if is_awaited && done.send(outcome).is_err() {
                tracing::warn!("a grammar took too long to compile");
            }
        };
        std::thread::Builder::new()
            .name("grammar-compiler".to_owned())
            .stack_size(STACK_BYTES)
            .spawn(compile)
            .map_err(|_| GrammarError::Defect)?;
        has_begun.recv().map_err(|_| GrammarError::Defect)?;
        match compiled.recv_timeout(PATIENCE) {
            Ok(outcome) => outcome,
            Err(RecvTimeoutError::Timeout) => Err(GrammarError::TooSlow { patience: PATIENCE }),
            Err(RecvTimeoutError::Disconnected) => Err(GrammarError::Defect),
        }
    }
}

fn compile(factory: &ParserFactory, source: TopLevelGrammar, kind: &Kind) -> Result<Matcher, GrammarError> {
    let init = GrammarInit::Serialized(source);
    let logger = Logger::new(0, 0);
    let limits = limits(kind);
    let parser = factory
        .create_parser_from_init_ext(init, logger, InferenceCapabilities::default(), limits)
        .map_err(|error| refusal(kind, &error.to_string()))?;
    let mut matcher = Matcher::new(Ok(parser));
    // The first mask finds what the vocabulary cannot write, and grammars that no step can afford.
    match matcher.compute_mask_or_eos() {
        Ok(_) => Ok(matcher),
        Err(error) => Err(refusal(kind, &error.to_string())),
    }
}

/// Bounds of compiling and of a step.
fn limits(kind: &Kind) -> ParserLimits {
    // Only Lark can be ambiguous; items then multiply with the length of the answer.
    let max_items_in_row = if matches!(kind, Kind::Lark(_)) { 250 } else { 2000 };
    ParserLimits {
        max_items_in_row,
        step_max_items: 20_000,
        step_lexer_fuel: 100_000,
        max_lexer_states: 50_000,
        max_grammar_size: 200_000,
        verbose_errors: false,
        ..ParserLimits::default()
    }
}

impl Bench {
    fn factory(&self) -> Result<ParserFactory, GrammarError> {
        let env = vocabulary::token_env(Arc::clone(&self.tokens), self.tokenizer.clone())?;
        let slices = SlicedBiasComputer::general_slices();
        ParserFactory::new(&env, InferenceCapabilities::default(), &slices)
            .map_err(|error| GrammarError::Vocabulary(reason(&error.to_string())))
    }
}

impl std::fmt::Debug for GrammarCompiler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GrammarCompiler")
            .field("num_cached", &self.locked_cache().len())
            .finish_non_exhaustive()
    }
}

fn bounded(what: &'static str, unit: &'static str, found: usize, max: usize) -> Result<(), GrammarError> {
    if found <= max { Ok(()) } else { Err(GrammarError::TooLarge { what, unit, found, max }) }
}

fn source_of(kind: &Kind) -> Result<TopLevelGrammar, GrammarError> {
    Ok(match kind {
        Kind::JsonSchema(text) => TopLevelGrammar::from_json_schema(json_schema::prepare(text)?),
        Kind::JsonObject(_) => {
            TopLevelGrammar::from_json_schema(json_schema::prepare("{\"type\":\"object\"}")?)
        }
        Kind::Regex(regex) => {
            bounded("the regular expression", "bytes", regex.len(), MAX_REGEX_BYTES)?;
            TopLevelGrammar::from_regex(regex)
        }
        Kind::Choices(list) => {
            bounded("the list of choices", "entries", list.choices.len(), MAX_NUM_CHOICES)?;
            let num_bytes = list.choices.iter().map(String::len).sum();
            bounded("the list of choices", "bytes", num_bytes, MAX_CHOICES_BYTES)?;
            if list.choices.is_empty() || list.choices.iter().any(String::is_empty) {
                let reason = "it must hold at least one text, and no empty one".to_owned();
                return Err(GrammarError::Invalid { kind: "list of choices", reason });
            }
            let texts: Vec<String> =
                list.choices.iter().map(|text| serde_json::Value::from(text.as_str()).to_string()).collect();
            // One terminal, since a choice may begin with another.
            TopLevelGrammar::from_lark(format!("start: CHOICE\nCHOICE: {}\n", texts.join(" | ")))
        }
        Kind::Lark(text) => {
            bounded("the grammar", "bytes", text.len(), MAX_LARK_BYTES)?;
            bounded("the grammar", "levels of nesting", nesting(text), MAX_LARK_DEPTH)?;
            TopLevelGrammar::from_lark(text.clone())
        }
    })
}

/// Deepest nesting of brackets, those in strings counted too.
fn nesting(text: &str) -> usize {
    let mut depth = 0_usize;
    let mut deepest = 0;
    for byte in text.bytes() {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

fn refusal(kind: &Kind, message: &str) -> GrammarError {
    let reason = reason(message);
    let kind = match kind {
        Kind::JsonSchema(_) | Kind::JsonObject(_) => return GrammarError::Schema(reason),
        Kind::Regex(_) => "regular expression",
        Kind::Choices(_) => "list of choices",
        Kind::Lark(_) => "grammar",
    };
    GrammarError::Invalid { kind, reason }
}

/// The part of the library's message that is for the client.
fn reason(message: &str) -> String {
    if message.starts_with("panic") {
        return "it is not supported".to_owned();
    }
    let told = TOLD.iter().find(|(found, _)| message.contains(found));
    if let Some((_, words)) = told {
        return (*words).to_owned();
    }
    let message = message.replace("Unimplemented keys:", "these keywords are not supported:");
    let lines = message.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('<'));
    lines.take(4).collect::<Vec<_>>().join("; ").chars().take(MAX_REASON_CHARS).collect()
}

#[cfg(test)]
mod tests;
