//! Why a grammar cannot be used, or broke.

use thiserror::Error;

/// Why a grammar was refused, in words for the client.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum GrammarError {
    /// It exceeds a bound.
    #[error("{what} has {found} {unit}, at most {max} are allowed")]
    TooLarge {
        /// The part that is too large.
        what: &'static str,
        /// What was counted.
        unit: &'static str,
        /// How many there are.
        found: usize,
        /// The bound.
        max: usize,
    },
    /// The schema is no JSON, or says what cannot be.
    #[error("the JSON schema cannot be used: {0}")]
    Schema(String),
    /// The schema holds a keyword that would not be honoured.
    #[error("the JSON schema cannot be used: {keyword} at {place} is not supported{hint}")]
    Keyword {
        /// The keyword.
        keyword: &'static str,
        /// JSON pointer of the schema that holds it.
        place: String,
        /// Empty, or when it would be.
        hint: &'static str,
    },
    /// The regular expression, list or Lark grammar has an error or is too complex.
    #[error("the {kind} cannot be used: {reason}")]
    Invalid {
        /// What it is.
        kind: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// It compiles too long.
    #[error("the grammar is too complex: it takes longer than {} s to compile", patience.as_secs_f32())]
    TooSlow {
        /// The bound.
        patience: std::time::Duration,
    },
    /// The model's vocabulary cannot be constrained.
    #[error("this model cannot follow grammars: {0}")]
    Vocabulary(String),
    /// The compiler failed.
    #[error("the grammar could not be compiled")]
    Defect,
}

impl GrammarError {
    /// A stable name for the client and for logs.
    pub fn code(&self) -> &'static str {
        match self {
            GrammarError::TooLarge { .. } => "grammar_too_large",
            GrammarError::TooSlow { .. } => "grammar_too_complex",
            GrammarError::Schema(_) | GrammarError::Keyword { .. } => "invalid_json_schema",
            GrammarError::Invalid { .. } => "invalid_grammar",
            GrammarError::Vocabulary(_) => "grammar_unsupported",
            GrammarError::Defect => "grammar_defect",
        }
    }

    /// Never: the same grammar meets the same end.
    pub fn is_retryable(&self) -> bool {
        false
    }
}

/// Why a matcher cannot go on; it ends its sequence, and no other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum MatchError {
    /// The bounds of one step were reached.
    #[error("the grammar became too complex to go on with")]
    TooComplex,
    /// It was lent for the computation of its mask and never came back.
    #[error("the grammar's state was lost")]
    Lost,
    /// Nothing of the vocabulary can follow.
    #[error("the grammar allows no token of this model here")]
    DeadEnd,
    /// The token does not match.
    #[error("the grammar does not allow token {token_id} here")]
    Refused {
        /// The token.
        token_id: u32,
    },
}

impl MatchError {
    /// A stable name for logs and for the client.
    pub fn code(&self) -> &'static str {
        match self {
            MatchError::TooComplex => "grammar_too_complex",
            MatchError::Lost => "grammar_lost",
            MatchError::DeadEnd => "grammar_dead_end",
            MatchError::Refused { .. } => "grammar_mismatch",
        }
    }
}
