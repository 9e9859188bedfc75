//! The built-in checks.

mod blocked_terms;
mod content_size;

pub use blocked_terms::BlockedTerms;
pub use content_size::ContentSize;
