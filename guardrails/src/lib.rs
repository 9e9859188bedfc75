//! Text in, verdict out: the checks, the policy that names them, and the service that runs them on requested facts.
//!
//! It must not know models, deployments or HTTP. Start reading at [`Policy::decide`], then [`serve`].

mod check;
mod checks;
mod policy;
mod pooling_text;
mod service;

pub use check::{Check, Subject, Verdict};
pub use checks::{BlockedTerms, ContentSize};
pub use policy::{Decision, Policy, PolicyError, PolicySpec};
pub use pooling_text::checked_prompt;
pub use service::serve;
