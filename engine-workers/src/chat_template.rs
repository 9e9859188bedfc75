//! Conversations to prompts.

pub mod source;
