//! Failures in words for the client.

use crate::v1::{Failure, FailureKind};

/// A failure that is nobody's parameter.
pub fn failure(kind: FailureKind, code: &str, message: impl Into<String>) -> Failure {
    Failure { code: code.to_owned(), message: message.into(), param: String::new(), kind: kind.into() }
}

/// Nobody can read any more what was asked.
pub fn content_erased() -> Failure {
    let message = "the content of this request was erased, or its key was lost, before it was answered";
    failure(FailureKind::InvalidRequest, "content_erased", message)
}

impl Failure {
    /// Names the request's field at fault.
    #[must_use]
    pub fn at(mut self, param: &str) -> Self {
        param.clone_into(&mut self.param);
        self
    }
}
