//! Who may call: one key for all and one for auditors, compared in constant time.

use std::fmt;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, Method, header};
use subtle::ConstantTimeEq;

use crate::error::ApiError;
use crate::state::ApiState;

const AUDIT_ROUTES: &str = "/v1/audit/";

/// A key that opens routes, kept as a digest only.
#[derive(Clone)]
pub struct MasterKey {
    digest: blake3::Hash,
}

impl MasterKey {
    /// A key from the configuration.
    pub fn new(key: &str) -> Self {
        Self { digest: blake3::hash(key.as_bytes()) }
    }

    fn is(&self, presented: &str) -> bool {
        let presented = blake3::hash(presented.as_bytes());
        self.digest.as_bytes().ct_eq(presented.as_bytes()).into()
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey(…)")
    }
}

/// Fingerprint of the key a request came with; empty when it came with none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Caller(pub(crate) Arc<str>);

impl Caller {
    fn of(key: &str) -> Self {
        let digest = blake3::derive_key("jetmill caller fingerprint v1", key.as_bytes());
        Self(blake3::Hash::from_bytes(digest).to_hex().as_str()[..16].into())
    }
}

/// Lets a request through when its key is right, or its route is open, and tells the handlers who calls.
pub(crate) async fn require_key(
    State(state): State<Arc<ApiState>>,
    mut request: Request,
    next: Next,
) -> Response {
    let presented = presented_key(request.headers());
    if request.uri().path().starts_with(AUDIT_ROUTES) && request.method() != Method::OPTIONS {
        if let Err(error) = check_auditor(&state, presented) {
            return error.into_response();
        }
    } else if let Some(key) = &state.config.master_key {
        let is_open = is_open_route(&request, state.config.protects_metrics);
        match presented {
            Some(presented) if key.is(presented) => {}
            _ if is_open => {}
            Some(_) => return ApiError::WrongKey.into_response(),
            None => return ApiError::MissingKey.into_response(),
        }
    }
    let caller = presented.map(Caller::of).unwrap_or_default();
    request.extensions_mut().insert(caller);
    next.run(request).await
}

/// What was asked and answered is shown to auditors alone: not even the master key opens it.
fn check_auditor(state: &ApiState, presented: Option<&str>) -> Result<(), ApiError> {
    let Some(auditor_key) = &state.config.auditor_key else { return Err(ApiError::NotAnAuditor) };
    let is_master = |presented| state.config.master_key.as_ref().is_some_and(|key| key.is(presented));
    match presented {
        Some(presented) if auditor_key.is(presented) => Ok(()),
        Some(presented) if is_master(presented) => Err(ApiError::NotAnAuditor),
        Some(_) => Err(ApiError::WrongKey),
        None => Err(ApiError::MissingKey),
    }
}

fn presented_key(headers: &HeaderMap) -> Option<&str> {
    let bearer = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(|value| {
        let (scheme, key) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
    });
    let own = || headers.get("x-api-key").and_then(|value| value.to_str().ok()).map(str::trim);
    bearer.or_else(own).filter(|key| !key.is_empty())
}

fn is_open_route(request: &Request, protects_metrics: bool) -> bool {
    // A browser's preflight carries no key by design.
    if request.method() == Method::OPTIONS {
        return true;
    }
    match request.uri().path() {
        "/health" | "/health/liveliness" | "/health/readiness" | "/openapi.json" | "/version" => true,
        "/metrics" => !protects_metrics,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &'static str, value: &'static str, expected: Option<&str>) {
        let mut headers = HeaderMap::new();
        headers.insert(name, http::HeaderValue::from_static(value));
        assert_eq!(presented_key(&headers), expected, "{name}: {value}");
    }

    #[test]
    fn a_key_comes_as_bearer_or_in_its_own_header() {
        check("authorization", "Bearer sk-1", Some("sk-1"));
        check("authorization", "bearer  sk-1 ", Some("sk-1"));
        check("authorization", "Basic sk-1", None);
        check("authorization", "Bearer ", None);
        check("authorization", "sk-1", None);
        check("x-api-key", "sk-1", Some("sk-1"));
    }

    #[test]
    fn a_key_is_itself_only_and_is_never_shown() {
        let key = MasterKey::new("sk-right");
        assert!(key.is("sk-right"));
        assert!(!key.is("sk-righ"));
        assert!(!key.is(""));
        assert!(!format!("{key:?}").contains("right"));
    }

    #[test]
    fn a_caller_is_known_by_a_fingerprint_that_hides_the_key() {
        let caller = Caller::of("sk-right");
        assert_eq!(caller, Caller::of("sk-right"));
        assert_ne!(caller, Caller::of("sk-other"));
        assert_eq!(caller.0.len(), 16);
    }
}
