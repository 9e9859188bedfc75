//! A request for vectors or scores after validation: nothing in this node checks it again.

use schemas::v1::{AnswerOptions, Pooling, Requested, WorkClass};

use crate::config::Limits;
use crate::deployments::Deployment;
use crate::error::ApiError;

/// One request of a client, for all its inputs.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct PoolingRequest {
    /// As the client named it; a deployment answers for it by name or alias.
    pub(crate) model: String,
    /// The route that was called.
    pub(crate) endpoint: &'static str,
    /// At least one input.
    pub(crate) pooling: Pooling,
    /// How vectors are written; empty for scores.
    pub(crate) encoding_format: &'static str,
    /// Smaller runs earlier.
    pub(crate) priority: i32,
}

impl PoolingRequest {
    /// The fact, but for what the node knows.
    pub(crate) fn requested(self) -> Requested {
        Requested {
            model: self.model,
            class: WorkClass::Interactive.into(),
            endpoint: self.endpoint.to_owned(),
            priority: self.priority,
            pooling: Some(self.pooling),
            answer_options: Some(AnswerOptions {
                encoding_format: self.encoding_format.to_owned(),
                ..AnswerOptions::default()
            }),
            ..Requested::default()
        }
    }
}

/// Refuses none and too many.
pub(crate) fn check_count(param: &str, count: usize, limits: &Limits) -> Result<(), ApiError> {
    let max_num = limits.max_num_pooling_inputs;
    if (1..=max_num).contains(&count) {
        return Ok(());
    }
    let message = format!("{param} has {count} entries, 1 to {max_num} are allowed in one request");
    Err(ApiError::invalid(param, message))
}

/// Refuses the first empty text; `is_list` says whether the client sent a list.
pub(crate) fn check_not_empty<'a>(
    param: &str,
    is_list: bool,
    texts: impl IntoIterator<Item = &'a String>,
) -> Result<(), ApiError> {
    match texts.into_iter().position(String::is_empty) {
        None => Ok(()),
        Some(index) => {
            let param = if is_list { format!("{param}.{index}") } else { param.to_owned() };
            Err(ApiError::invalid(param.clone(), format!("{param} is empty; write at least one character")))
        }
    }
}

/// Refuses a text that is repeated in so many pairs that they outgrow what a body may hold.
pub(crate) fn check_repeated(
    param: &str,
    text: &str,
    num_pairs: usize,
    limits: &Limits,
) -> Result<(), ApiError> {
    let (num_bytes, max_num_bytes) = (text.len().saturating_mul(num_pairs), limits.max_body_bytes);
    if num_bytes <= max_num_bytes {
        return Ok(());
    }
    let message = format!(
        "{param} has {} bytes and stands in {num_pairs} pairs: {num_bytes} bytes, at most {max_num_bytes} are allowed",
        text.len()
    );
    Err(ApiError::invalid(param, message))
}

/// The tokens to keep of each input: −1 stands for as many as the model takes.
pub(crate) fn truncation(wanted: Option<i64>, deployment: &Deployment) -> Result<Option<u32>, ApiError> {
    let max = deployment.max_model_len_tokens;
    match wanted {
        None => Ok(None),
        Some(-1) => Ok(Some(max)),
        Some(wanted) => match u32::try_from(wanted) {
            Ok(wanted) if (1..=max).contains(&wanted) => Ok(Some(wanted)),
            _ => {
                let message = format!("truncate_prompt_tokens is {wanted}, it must be -1 or 1 to {max}");
                Err(ApiError::invalid("truncate_prompt_tokens", message))
            }
        },
    }
}
