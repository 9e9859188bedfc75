//! Grammars: what an answer's text must match from its first character to its end.
//!
//! A request's grammar (a JSON schema, a regular expression, a list of texts, or Lark) is compiled once by
//! [`compiler::GrammarCompiler`], off the engine's thread and within bounds of time and size. Each answer then has a
//! [`matcher::GrammarMatcher`] of its own: its mask says which tokens may come next, and each token advances it. A
//! matcher is a function of the grammar and the answer's tokens alone, so that an answer can go on anywhere. Masks are
//! computed by `mask_thread` while the model computes the logits that they apply to.
//!
//! The automaton is llguidance's; what it would ignore in a schema is refused by `json_schema`.

pub mod compiled;
pub mod compiler;
pub mod error;
pub(crate) mod json_schema;
pub(crate) mod mask_thread;
pub mod matcher;
mod one_of;
pub mod token_mask;
mod vocabulary;
