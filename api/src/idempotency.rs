//! `Idempotency-Key`: a client's retry is the same inference.
//!
//! The inference's id follows from tenant and key, so the log's rule of one `requested` per inference makes one winner among
//! all nodes, and the digest in that fact tells whether a second request is the same one.

use std::fmt;

use http::{HeaderMap, HeaderName};
use schemas::{InferenceId, TenantId};
use serde_json::Value;

use crate::error::ApiError;

/// The header.
pub(crate) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const MAX_KEY_BYTES: usize = 255;

/// A key as a client sent it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct IdempotencyKey(String);

/// What was asked, as a digest that is the same however the JSON was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RequestDigest([u8; 32]);

/// A key often holds an order's number or a person's name.
impl fmt::Debug for IdempotencyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IdempotencyKey(…)")
    }
}

impl IdempotencyKey {
    /// The key of a request, if it has one.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Option<Self>, ApiError> {
        let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
        let Some(value) = values.next() else { return Ok(None) };
        let invalid = |message: String| ApiError::invalid("Idempotency-Key", message);
        if values.next().is_some() {
            return Err(invalid("Idempotency-Key is there twice".to_owned()));
        }
        let key =
            value.to_str().map_err(|_| invalid("Idempotency-Key must be printable ASCII".to_owned()))?;
        if key.is_empty() || key.len() > MAX_KEY_BYTES {
            let message =
                format!("Idempotency-Key has {} characters, 1 to {MAX_KEY_BYTES} are allowed", key.len());
            return Err(invalid(message));
        }
        Ok(Some(Self(key.to_owned())))
    }

    /// The id of the inference for one of the request's prompts.
    pub(crate) fn inference_id(&self, tenant: &TenantId, prompt_index: usize) -> InferenceId {
        let mut hasher = blake3::Hasher::new_derive_key("jetmill idempotent inference v1");
        for part in [tenant.as_str().as_bytes(), self.0.as_bytes(), &(prompt_index as u64).to_le_bytes()] {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        let mut bytes = [0; 16];
        hasher.finalize_xof().fill(&mut bytes);
        InferenceId::from_digest(bytes)
    }
}

impl RequestDigest {
    /// Of a call of `endpoint`; what is no JSON counts as it stands, and is refused elsewhere.
    pub(crate) fn of(endpoint: &str, body: &str) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("jetmill request digest v1");
        feed(&mut hasher, b'p', endpoint.as_bytes());
        match serde_json::from_str(body) {
            Ok(value) => feed_value(&mut hasher, &value),
            Err(_) => feed(&mut hasher, b'x', body.as_bytes()),
        }
        Self(*hasher.finalize().as_bytes())
    }

    /// As it stands in the fact.
    pub(crate) fn to_bytes(self) -> Vec<u8> {
        self.0.to_vec()
    }
}

fn feed(hasher: &mut blake3::Hasher, tag: u8, bytes: &[u8]) {
    hasher.update(&[tag]);
    hasher.update(&(bytes.len() as u64).to_le_bytes());
    hasher.update(bytes);
}

/// The order of an object's fields means nothing. The depth is bounded by the parser.
fn feed_value(hasher: &mut blake3::Hasher, value: &Value) {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => feed(hasher, b'l', value.to_string().as_bytes()),
        Value::String(text) => feed(hasher, b's', text.as_bytes()),
        Value::Array(items) => {
            feed(hasher, b'a', &(items.len() as u64).to_le_bytes());
            items.iter().for_each(|item| feed_value(hasher, item));
        }
        Value::Object(fields) => {
            feed(hasher, b'o', &(fields.len() as u64).to_le_bytes());
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_by_key(|(name, _)| *name);
            for (name, value) in fields {
                feed(hasher, b'k', name.as_bytes());
                feed_value(hasher, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn key(text: &str) -> Result<Option<IdempotencyKey>, ApiError> {
        let mut headers = HeaderMap::new();
        headers.insert(IDEMPOTENCY_KEY, HeaderValue::from_bytes(text.as_bytes()).unwrap());
        IdempotencyKey::of(&headers)
    }

    #[test]
    fn keys_are_bounded_and_not_shown() {
        assert_eq!(IdempotencyKey::of(&HeaderMap::new()), Ok(None));
        assert!(key(&"k".repeat(255)).is_ok());
        for text in ["", "ö", &"k".repeat(256)] {
            assert!(matches!(key(text), Err(ApiError::Invalid { .. })), "{text}");
        }
        assert!(!format!("{:?}", key("order-77")).contains("77"));
    }

    #[test]
    fn an_id_belongs_to_one_tenant_key_and_prompt() {
        let id = |tenant: &str, text: &str, index: usize| {
            key(text).unwrap().unwrap().inference_id(&TenantId::slug(tenant), index)
        };
        let first = id("a", "k", 0);
        assert_eq!(first, id("a", "k", 0));
        for other in [id("b", "k", 0), id("a", "l", 0), id("a", "k", 1), id("ak", "x", 0)] {
            assert_ne!(first, other);
        }
    }

    #[test]
    fn a_digest_is_of_what_was_asked_and_not_of_how_it_was_written() {
        let digest = |body: &str| RequestDigest::of("/v1/completions", body);
        let first = digest(r#"{"a": [1, {"x": "é", "y": null}], "b": true}"#);
        assert_eq!(first, digest(r#"{"b":true,"a":[1,{"y":null,"x":"\u00e9"}]}"#));
        for other in
            [r#"{"a":[1,{"x":"é","y":null}],"b":false}"#, r#"{"a":[{"x":"é","y":null},1],"b":true}"#, "{"]
        {
            assert_ne!(first, digest(other), "{other}");
        }
        assert_ne!(RequestDigest::of("/v1/embeddings", "{}"), RequestDigest::of("/v1/completions", "{}"));
    }
}
