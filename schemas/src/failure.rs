//! Failures in words for the client.

use crate::v1::{Failure, FailureKind};

/// A failure that is nobody's parameter.
pub fn failure(kind: FailureKind, code: &str, message: impl Into<String>) -> Failure {
    Failure { code: code.to_owned(), message: message.into(), param: String::new(), kind: kind.into() }
}

impl Failure {
    /// Names the request's field at fault.
    #[must_use]
    pub fn at(mut self, param: &str) -> Self {
        param.clone_into(&mut self.param);
        self
    }
}
