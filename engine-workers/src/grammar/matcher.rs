//! Where one answer stands in its grammar.

use std::sync::Arc;

use llguidance::Matcher;

use crate::detokenizer::TokenTable;
use crate::grammar::compiled::CompiledGrammar;
use crate::grammar::error::MatchError;
use crate::grammar::token_mask::TokenMask;

/// One answer's automaton. Its masks are a function of the grammar and of the tokens that it was advanced by.
pub struct GrammarMatcher {
    grammar: CompiledGrammar,
    /// Absent at first: copying an automaton takes time, which its first user has to spare.
    matcher: Option<Box<Matcher>>,
    tokens: Arc<TokenTable>,
    allows_eos: bool,
    /// Of the next token; absent until it is asked for.
    mask: Option<Result<TokenMask, MatchError>>,
    /// Before the text that must match.
    preface_mask: Option<TokenMask>,
}

impl GrammarMatcher {
    /// At the beginning of an answer. Without `allows_eos` the model may end it only where nothing else can follow.
    pub fn new(grammar: CompiledGrammar, tokens: Arc<TokenTable>, allows_eos: bool) -> Self {
        GrammarMatcher { grammar, matcher: None, tokens, allows_eos, mask: None, preface_mask: None }
    }

    fn matcher(&mut self) -> &mut Matcher {
        self.matcher.get_or_insert_with(|| Box::new(self.grammar.begin()))
    }

    /// The tokens that may come next; computed once per token, here or before by [`GrammarMatcher::prepare`].
    pub fn mask(&mut self) -> Result<&TokenMask, MatchError> {
        self.prepare();
        match &self.mask {
            Some(Ok(mask)) => Ok(mask),
            Some(Err(error)) => Err(*error),
            None => Err(MatchError::DeadEnd),
        }
    }

    /// Every token but those that end the answer: for what comes before the text that must match.
    pub fn any_but_end(&mut self) -> &TokenMask {
        let tokens = &self.tokens;
        self.preface_mask.get_or_insert_with(|| TokenMask::any_but(tokens.len(), tokens.eos_token_ids()))
    }

    /// Computes the next mask if that was not done yet.
    pub fn prepare(&mut self) {
        if self.mask.is_some() {
            return;
        }
        let computed = self.matcher().compute_mask_or_eos();
        let mask = match computed {
            Ok(bits) => Ok(TokenMask::new(bits, self.tokens.eos_token_ids(), self.allows_eos)),
            Err(error) => Err(failure(&error.to_string(), MatchError::TooComplex)),
        };
        self.mask = Some(mask);
    }

    /// Takes the next token; true if the text is whole and nothing can follow it.
    pub fn advance(&mut self, token_id: u32) -> Result<bool, MatchError> {
        self.mask = None;
        match self.matcher().consume_token(token_id) {
            Ok(()) => Ok(self.is_complete()),
            Err(error) => Err(failure(&error.to_string(), MatchError::Refused { token_id })),
        }
    }

    /// Whether the text is whole and nothing can follow it.
    pub fn is_complete(&mut self) -> bool {
        let matcher = self.matcher();
        matcher.is_stopped() && !matcher.is_error()
    }

    /// Leading tokens of `tokens` that may come next, one after another; nothing is advanced.
    pub fn num_valid(&mut self, tokens: &[u32]) -> usize {
        self.matcher().validate_tokens(tokens).unwrap_or(0)
    }
}

/// The library keeps the reason in its message alone.
fn failure(message: &str, otherwise: MatchError) -> MatchError {
    if message.contains("NoExtension") {
        MatchError::DeadEnd
    } else if ["max is", "fuel", "limit", "too many"].iter().any(|words| message.contains(words)) {
        MatchError::TooComplex
    } else {
        otherwise
    }
}

impl std::fmt::Debug for GrammarMatcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GrammarMatcher").field("grammar", &self.grammar).finish_non_exhaustive()
    }
}
