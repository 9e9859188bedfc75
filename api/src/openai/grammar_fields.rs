//! What the answer must match: OpenAI's `response_format` and vLLM's `structured_outputs`.

use schemas::v1::TextChoices;
use schemas::v1::grammar::Kind;
use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::error::ApiError;
use crate::json_object::JsonObject;
use crate::openai::json_schema;

const RESPONSE_FORMAT: &str = "response_format";
const STRUCTURED_OUTPUTS: &str = "structured_outputs";

/// The form of the answer's text.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct ResponseFormatField {
    /// `text`, `json_object` or `json_schema`.
    #[serde(rename = "type")]
    kind: String,
    /// With the type `json_schema`.
    #[schema(value_type = Option<JsonSchemaField>)]
    json_schema: Option<JsonObject<JsonSchemaField>>,
}

/// A named JSON schema.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct JsonSchemaField {
    /// Letters, digits, `_` and `-`; at most 64.
    name: String,
    #[serde(rename = "description")]
    _description: Option<String>,
    #[schema(value_type = Option<Object>)]
    schema: Option<Value>,
    /// The answer matches the schema whatever stands here.
    #[serde(rename = "strict")]
    _strict: Option<bool>,
}

/// One of several forms of grammar.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default)]
pub(crate) struct StructuredOutputsField {
    /// A JSON schema, as an object or as text.
    #[schema(value_type = Option<Object>)]
    json: Option<Value>,
    /// Any JSON object.
    json_object: Option<bool>,
    /// A regular expression that the whole answer matches.
    regex: Option<String>,
    /// Texts of which the answer is one.
    choice: Option<Vec<String>>,
    /// A grammar in llguidance's dialect of Lark.
    grammar: Option<String>,
    #[schema(value_type = Option<Object>)]
    structural_tag: Option<Value>,
    disable_any_whitespace: Option<bool>,
    disable_additional_properties: Option<bool>,
    whitespace_pattern: Option<String>,
}

/// What the answer must match, and which field says so.
pub(crate) type Constraint = (Kind, &'static str);

/// The one grammar that a request names, if any. That a model can follow it is seen when it is compiled.
pub(crate) fn resolve(
    format: Option<ResponseFormatField>,
    outputs: Option<StructuredOutputsField>,
) -> Result<Option<Constraint>, ApiError> {
    let of_format = format.map(ResponseFormatField::into_grammar).transpose()?.flatten();
    let of_outputs = outputs.map(StructuredOutputsField::into_grammar).transpose()?;
    match (of_format, of_outputs) {
        (Some(_), Some(_)) => {
            let message = "response_format and structured_outputs exclude each other; give one of them";
            Err(ApiError::invalid(STRUCTURED_OUTPUTS, message))
        }
        (Some(kind), None) => Ok(Some((kind, RESPONSE_FORMAT))),
        (None, Some(kind)) => Ok(Some((kind, STRUCTURED_OUTPUTS))),
        (None, None) => Ok(None),
    }
}

impl ResponseFormatField {
    fn into_grammar(self) -> Result<Option<Kind>, ApiError> {
        match (self.kind.as_str(), self.json_schema) {
            ("text", None) => Ok(None),
            ("json_object", None) => Ok(Some(Kind::JsonObject(true))),
            ("json_schema", Some(JsonObject(named))) => named.into_grammar().map(Some),
            ("json_schema", None) => {
                let message = "response_format.json_schema is required with the type json_schema";
                Err(ApiError::invalid("response_format.json_schema", message))
            }
            ("text" | "json_object", Some(_)) => {
                let message = "response_format.json_schema may be given only with the type json_schema";
                Err(ApiError::invalid("response_format.json_schema", message))
            }
            _ => {
                let message = "response_format.type must be text, json_object or json_schema";
                Err(ApiError::invalid("response_format.type", message))
            }
        }
    }
}

impl JsonSchemaField {
    fn into_grammar(self) -> Result<Kind, ApiError> {
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        if !(1..=64).contains(&self.name.len()) || !self.name.bytes().all(is_name) {
            let message = "response_format.json_schema.name must be 1 to 64 letters, digits, '_' and '-'";
            return Err(ApiError::invalid("response_format.json_schema.name", message));
        }
        let Some(schema) = self.schema else {
            let message = "response_format.json_schema.schema is required";
            return Err(ApiError::invalid("response_format.json_schema.schema", message));
        };
        json_schema::check(&schema, RESPONSE_FORMAT)?;
        Ok(Kind::JsonSchema(schema.to_string()))
    }
}

impl StructuredOutputsField {
    fn into_grammar(self) -> Result<Kind, ApiError> {
        let unsupported = [
            ("structural_tag", self.structural_tag.is_some()),
            ("disable_any_whitespace", self.disable_any_whitespace == Some(true)),
            ("disable_additional_properties", self.disable_additional_properties == Some(true)),
            ("whitespace_pattern", self.whitespace_pattern.is_some()),
        ];
        if let Some((name, _)) = unsupported.iter().find(|(_, is_given)| *is_given) {
            let param = format!("{STRUCTURED_OUTPUTS}.{name}");
            let message = format!("{param} is not supported; leave it out");
            return Err(ApiError::unsupported(param, message));
        }
        let json = self.json.map(schema_of).transpose()?;
        let given = [
            json.map(Kind::JsonSchema),
            self.json_object.filter(|is_wanted| *is_wanted).map(Kind::JsonObject),
            self.regex.map(Kind::Regex),
            self.choice.map(|choices| Kind::Choices(TextChoices { choices })),
            self.grammar.map(Kind::Lark),
        ];
        let mut given = given.into_iter().flatten();
        match (given.next(), given.next()) {
            (Some(kind), None) => Ok(kind),
            _ => {
                let message =
                    "structured_outputs must hold exactly one of json, json_object, regex, choice, grammar";
                Err(ApiError::invalid(STRUCTURED_OUTPUTS, message))
            }
        }
    }
}

/// vLLM takes a schema as JSON text too.
fn schema_of(value: Value) -> Result<String, ApiError> {
    let schema = match value {
        Value::String(text) => serde_json::from_str(&text).map_err(|_| {
            ApiError::invalid(
                "structured_outputs.json",
                "structured_outputs.json is a text that is not valid JSON",
            )
        })?,
        schema => schema,
    };
    json_schema::check(&schema, STRUCTURED_OUTPUTS)?;
    Ok(schema.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Fields {
        response_format: Option<ResponseFormatField>,
        structured_outputs: Option<StructuredOutputsField>,
    }

    fn read(json: &str) -> Result<Option<Constraint>, ApiError> {
        let fields: Fields = crate::json_body::parse(json).unwrap();
        resolve(fields.response_format, fields.structured_outputs)
    }

    fn check(json: &str, expected: Option<Kind>) {
        assert_eq!(read(json).unwrap().map(|(kind, _)| kind), expected, "{json}");
    }

    fn check_refused(json: &str, expected_param: &str) {
        let error = read(json).unwrap_err().body().error;
        assert_eq!(error.param.as_deref(), Some(expected_param), "{json}: {}", error.message);
    }

    #[test]
    fn each_form_becomes_its_grammar() {
        check("{}", None);
        check(r#"{"response_format":{"type":"text"}}"#, None);
        check(r#"{"response_format":{"type":"json_object"}}"#, Some(Kind::JsonObject(true)));
        check(
            r#"{"response_format":{"type":"json_schema","json_schema":{"name":"x","strict":true,"schema":
                {"type":"object","properties":{"b":{},"a":{}}}}}}"#,
            Some(Kind::JsonSchema(r#"{"type":"object","properties":{"b":{},"a":{}}}"#.to_owned())),
        );
        check(r#"{"structured_outputs":{"json":"{}"}}"#, Some(Kind::JsonSchema("{}".to_owned())));
        check(r#"{"structured_outputs":{"json":{}}}"#, Some(Kind::JsonSchema("{}".to_owned())));
        check(r#"{"structured_outputs":{"regex":"a+","json":null}}"#, Some(Kind::Regex("a+".to_owned())));
        check(r#"{"structured_outputs":{"grammar":"g"}}"#, Some(Kind::Lark("g".to_owned())));
        let choices = TextChoices { choices: vec!["a".to_owned(), "b".to_owned()] };
        check(r#"{"structured_outputs":{"choice":["a","b"]}}"#, Some(Kind::Choices(choices)));
    }

    #[test]
    fn what_is_at_fault_is_named() {
        check_refused(r#"{"response_format":{"type":"xml"}}"#, "response_format.type");
        check_refused(r#"{"response_format":{"type":"json_schema"}}"#, "response_format.json_schema");
        let named = |name: &str, rest: &str| {
            format!(
                r#"{{"response_format":{{"type":"json_schema","json_schema":{{"name":"{name}"{rest}}}}}}}"#
            )
        };
        check_refused(&named("a b", r#","schema":{}"#), "response_format.json_schema.name");
        check_refused(&named("", r#","schema":{}"#), "response_format.json_schema.name");
        check_refused(&named("a", ""), "response_format.json_schema.schema");
        check_refused(&named("a", r#","schema":{"type":"strange"}"#), "response_format");
        check_refused(&named("a", r#","schema":[]"#), "response_format");
        check_refused(r#"{"structured_outputs":{}}"#, "structured_outputs");
        check_refused(r#"{"structured_outputs":{"regex":"a","choice":["a"]}}"#, "structured_outputs");
        check_refused(r#"{"structured_outputs":{"json":"{"}}"#, "structured_outputs.json");
        check_refused(r#"{"structured_outputs":{"json":7}}"#, "structured_outputs");
        check_refused(
            r#"{"structured_outputs":{"regex":"a","whitespace_pattern":" "}}"#,
            "structured_outputs.whitespace_pattern",
        );
        check_refused(
            r#"{"response_format":{"type":"json_object"},"structured_outputs":{"regex":"a"}}"#,
            "structured_outputs",
        );
    }
}
