//! On which terms a request is made: who asks, whether it may have been asked before, and how long it may take.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::Request;
use http::{HeaderMap, HeaderName};
use schemas::{InferenceId, TenantId, end_user_fingerprint};
use serde::Deserialize;
use serde_json::Value;

use crate::auth::Caller;
use crate::background_request;
use crate::config::ApiConfig;
use crate::error::ApiError;
use crate::idempotency::{IdempotencyKey, RequestDigest};
use crate::json_body;
use crate::position::ResumePoint;
use crate::state::ApiState;

/// Where a client that lost its connection stands.
pub(crate) const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

const MIN_TIMEOUT: Duration = Duration::from_millis(1);

/// Everything about a request but what is asked.
#[derive(Debug, Clone)]
pub(crate) struct Terms {
    pub(crate) caller: Caller,
    pub(crate) key: Option<(IdempotencyKey, RequestDigest)>,
    /// Where its stream is to go on.
    pub(crate) resume: Option<ResumePoint>,
    /// As the request sets it.
    pub(crate) grace: Option<Duration>,
    /// From its arrival to its end, as the request sets it.
    pub(crate) timeout: Option<Duration>,
    /// Nobody waits for it.
    pub(crate) background: bool,
    /// Fingerprint of whom the client asks for; empty: it does not say.
    pub(crate) end_user: String,
}

/// The fields that every body may have.
#[derive(Debug, Default, Deserialize)]
struct TermsFields {
    grace_period_seconds: Option<f64>,
    timeout: Option<f64>,
    /// OpenAI's newer name for `user`.
    safety_identifier: Option<String>,
    user: Option<String>,
    /// Anthropic's place for the same.
    metadata: Option<Value>,
}

impl TermsFields {
    fn end_user(&self) -> String {
        let in_metadata = || self.metadata.as_ref()?.get("user_id")?.as_str();
        let name = self.safety_identifier.as_deref().or(self.user.as_deref()).or_else(in_metadata);
        name.filter(|name| !name.is_empty()).map(end_user_fingerprint).unwrap_or_default()
    }
}

/// Fingerprint of whom a body asks for; empty: it does not say.
pub(crate) fn end_user_of(body: &str) -> Result<String, ApiError> {
    Ok(json_body::parse_object::<TermsFields>(body)?.end_user())
}

impl Terms {
    /// The terms of a request, and its body.
    pub(crate) async fn receive(
        state: &Arc<ApiState>,
        caller: Caller,
        request: Request,
    ) -> Result<(String, Self), ApiError> {
        let endpoint = request.uri().path().to_owned();
        let key = IdempotencyKey::of(request.headers())?;
        let resume = last_event_id(request.headers())?;
        let body = json_body::read(&state.config, request).await?;
        let mut terms = Self::of_body(&state.config, caller, &body)?;
        terms.key = key.map(|key| (key, RequestDigest::of(&endpoint, &body)));
        terms.resume = resume;
        Ok((body, terms))
    }

    /// What a body alone says.
    pub(crate) fn of_body(config: &ApiConfig, caller: Caller, body: &str) -> Result<Self, ApiError> {
        let fields: TermsFields = json_body::parse_object(body)?;
        let max_grace = config.limits.max_grace;
        let grace = seconds("grace_period_seconds", fields.grace_period_seconds, Duration::ZERO, max_grace)?;
        let timeout = seconds("timeout", fields.timeout, MIN_TIMEOUT, config.timeouts.request)?;
        let end_user = fields.end_user();
        Ok(Self { caller, key: None, resume: None, grace, timeout, background: false, end_user })
    }

    /// The same for a body that is answered in the background, which a longer time may be set for.
    pub(crate) fn in_background(self, body: &str) -> Result<Self, ApiError> {
        let fields: TermsFields = json_body::parse_object(body)?;
        let timeout = seconds("timeout", fields.timeout, MIN_TIMEOUT, background_request::MAX_TIMEOUT)?;
        let end_user = fields.end_user();
        Ok(Self { resume: None, timeout, background: true, end_user, ..self })
    }

    /// The id of one of the request's prompts; `fresh` is used when nothing says that it may have been asked before.
    pub(crate) fn inference_id(
        &self,
        tenant: &TenantId,
        prompt_index: usize,
        fresh: InferenceId,
    ) -> InferenceId {
        self.key.as_ref().map_or(fresh, |(key, _)| key.inference_id(tenant, prompt_index))
    }
}

/// The id of the last event that a client saw.
pub(crate) fn last_event_id(headers: &HeaderMap) -> Result<Option<ResumePoint>, ApiError> {
    let Some(value) = headers.get(LAST_EVENT_ID) else { return Ok(None) };
    let text = value.to_str().unwrap_or_default();
    ResumePoint::read("Last-Event-ID", text).map(Some)
}

fn seconds(
    param: &str,
    value: Option<f64>,
    min: Duration,
    max: Duration,
) -> Result<Option<Duration>, ApiError> {
    let Some(value) = value else { return Ok(None) };
    match Duration::try_from_secs_f64(value) {
        Ok(duration) if (min..=max).contains(&duration) => Ok(Some(duration)),
        _ => {
            let (min, max) = (min.as_secs_f64(), max.as_secs_f64());
            Err(ApiError::invalid(param, format!("{param} is {value}, it must be {min} to {max} seconds")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use schemas::IngressId;

    fn check(body: &str, expected: Result<(Option<f64>, Option<f64>), &str>) {
        let config = ApiConfig::new(IngressId::slug("api-1"));
        let terms = Terms::of_body(&config, Caller::default(), body);
        let found = terms
            .map(|terms| [terms.grace, terms.timeout].map(|time| time.map(|time| time.as_secs_f64())).into())
            .map_err(|error| error.body().error.param.unwrap_or_default());
        assert_eq!(found, expected.map_err(str::to_owned), "{body}");
    }

    #[test]
    fn an_end_user_is_named_in_one_of_three_places() {
        let ann = end_user_fingerprint("ann");
        for body in [
            r#"{"user": "ann"}"#,
            r#"{"user": "bob", "safety_identifier": "ann"}"#,
            r#"{"metadata": {"user_id": "ann", "a": 1}}"#,
        ] {
            assert_eq!(end_user_of(body), Ok(ann.clone()), "{body}");
        }
        for body in [r#"{"user": ""}"#, r#"{"metadata": {"user_id": 7}}"#, r#"{"metadata": "x"}"#, "{}"] {
            assert_eq!(end_user_of(body), Ok(String::new()), "{body}");
        }
        assert!(end_user_of(r#"{"user": 7}"#).is_err());
    }

    #[test]
    fn durations_are_bounded() {
        check("{}", Ok((None, None)));
        check(r#"{"grace_period_seconds": 0, "timeout": 1.5}"#, Ok((Some(0.0), Some(1.5))));
        check(r#"{"grace_period_seconds": 601}"#, Err("grace_period_seconds"));
        check(r#"{"grace_period_seconds": -1}"#, Err("grace_period_seconds"));
        check(r#"{"timeout": 0}"#, Err("timeout"));
        check(r#"{"timeout": 1e300}"#, Err("timeout"));
        check(r#"{"timeout": "soon"}"#, Err("timeout"));
    }
}
