//! Whether a client's JSON schema is one.

use jsonschema::error::ValidationErrorKind;
use serde_json::Value;

use crate::error::ApiError;

const MAX_SCHEMA_BYTES: usize = 256 << 10;

/// Checks a schema against the meta-schema of the draft that it names, or else of 2020-12; nothing is fetched. `Err` says
/// where in the schema the fault is, and is about `param`.
pub(crate) fn check(schema: &Value, param: &str) -> Result<(), ApiError> {
    let num_bytes = schema.to_string().len();
    if num_bytes > MAX_SCHEMA_BYTES {
        let message =
            format!("the JSON schema has {num_bytes} bytes, at most {MAX_SCHEMA_BYTES} are allowed");
        return Err(ApiError::invalid_schema(param, message));
    }
    jsonschema::meta::validate(schema).map_err(|error| {
        if matches!(error.kind(), ValidationErrorKind::Referencing(_)) {
            let message =
                "the JSON schema's $schema is not known; it may name draft 4, 6, 7, 2019-09 or 2020-12";
            return ApiError::invalid_schema(param, message);
        }
        let place = match error.instance_path().as_str() {
            "" => "its root",
            place => place,
        };
        let message = format!("the JSON schema is not valid at {place}: {}", error.masked());
        ApiError::invalid_schema(param, message)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_refused(schema: &str, place: &str) {
        let schema = serde_json::from_str(schema).unwrap();
        let error = check(&schema, "tools.0").unwrap_err().body().error;
        assert_eq!(
            (error.param.as_deref(), error.code.as_deref()),
            (Some("tools.0"), Some("invalid_json_schema"))
        );
        assert!(error.message.contains(place) && !error.message.contains("secret"), "{}", error.message);
    }

    #[test]
    fn a_fault_is_told_by_its_place() {
        check_refused(r#"{"properties":{"a":{"type":"secret"}}}"#, "/properties/a/type");
        check_refused(r#"{"minLength":-1}"#, "/minLength");
        check_refused(r#"{"$schema":"http://secret.example/schema"}"#, "$schema is not known");
        check_refused(r#""secret""#, "its root");
        check_refused(&format!("{{\"enum\":[\"{}\"]}}", "x".repeat(MAX_SCHEMA_BYTES)), "bytes");
    }

    #[test]
    fn every_draft_is_known() {
        for draft in ["draft-04", "draft-06", "draft-07"] {
            let schema = serde_json::json!({"$schema": format!("http://json-schema.org/{draft}/schema#"), "type": "object"});
            assert_eq!(check(&schema, "x"), Ok(()));
        }
        assert_eq!(check(&Value::Bool(true), "x"), Ok(()));
    }
}
