//! Why a conversation cannot be rendered.

use thiserror::Error;

/// Why a template cannot be used, or refuses a conversation.
#[derive(Debug, Error)]
pub enum TemplateError {
    /// The template does not compile: a fault of the model file.
    #[error("the model's chat template is invalid: {reason}")]
    Syntax {
        /// What the compiler said.
        reason: String,
    },
    /// The template itself refuses the conversation, for example an unknown role. The text is the template's own.
    #[error("the model's chat template refuses this conversation: {message}")]
    Refused {
        /// What the template said.
        message: String,
    },
    /// The conversation has no shape that the template can render.
    #[error("the model's chat template cannot render this conversation: {reason}")]
    Render {
        /// What went wrong.
        reason: String,
    },
    /// Rendering took more work than is allowed.
    #[error("the model's chat template needs more than {fuel} steps for this conversation; shorten it")]
    OutOfFuel {
        /// The allowance.
        fuel: u64,
    },
    /// The options or messages contradict each other.
    #[error("{reason}")]
    InvalidRequest {
        /// What to change.
        reason: String,
    },
}

impl TemplateError {
    /// A stable name for logs, metrics and clients.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Syntax { .. } => "chat_template_syntax",
            Self::Refused { .. } => "chat_template_refused",
            Self::Render { .. } => "chat_template_render",
            Self::OutOfFuel { .. } => "chat_template_out_of_fuel",
            Self::InvalidRequest { .. } => "chat_template_invalid_request",
        }
    }

    /// Whether the same call may succeed later: never.
    pub fn is_retryable(&self) -> bool {
        false
    }

    /// Whether the client can cure it by another request.
    pub fn is_client_error(&self) -> bool {
        !matches!(self, Self::Syntax { .. })
    }
}
