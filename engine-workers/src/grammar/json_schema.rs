//! JSON schemas before they are compiled: bounds, what must be refused because it would be ignored, and whitespace.
//!
//! The compiler refuses keywords that it does not know. Beyond that, an answer that it lets pass would not validate in
//! these cases, so they are refused here: a control character that has no short escape in `const` or `enum`; `minProperties` above what `required` names, since a repeated key counts twice
//! in the text and once in the object; and `$id` below the root, which changes what `$ref` refers to.

use serde_json::{Map, Value, json};

use crate::grammar::error::GrammarError;
use crate::grammar::one_of;

const MAX_SCHEMA_BYTES: usize = 256 << 10;
const MAX_DEPTH: usize = 64;
const MAX_NUM_VALUES: usize = 50_000;
const MAX_NUM_REFS: usize = 1000;
const MAX_PATTERN_BYTES: usize = 1 << 10;
const MAX_PATTERNS_BYTES: usize = 16 << 10;

/// Between two parts of a document: nothing, a space, or a new line with its indentation. Small models would go on with
/// whitespace for ever if they were let.
const WHITESPACE: &str = r" |\n {0,24}";
/// Every short escape, and not `\u`: a key could be written in two ways with it, and then stand there twice.
const ESCAPES: &str = "nrbtf\\\"";

const SCHEMA_KEYWORDS: [&str; 4] = ["additionalProperties", "items", "additionalItems", "$ref"];
const LIST_KEYWORDS: [&str; 5] = ["allOf", "anyOf", "oneOf", "prefixItems", "items"];
const MAP_KEYWORDS: [&str; 4] = ["properties", "patternProperties", "$defs", "definitions"];

/// A change that leaves the meaning as it is.
enum Edit {
    /// `uniqueItems: false` says nothing.
    RemoveUniqueItems,
    /// At most one option can match, so that at least one is exactly one.
    OneOfToAnyOf,
}

/// What was seen of a schema.
struct Survey<'a> {
    root: &'a Value,
    edits: Vec<(String, Edit)>,
    num_refs: usize,
    longest_pattern_bytes: usize,
    patterns_bytes: usize,
    inner_id: Option<String>,
}

/// The schema as the compiler takes it; `Err` says to the client what it cannot have.
pub(crate) fn prepare(text: &str) -> Result<Value, GrammarError> {
    let too_large = |unit, found, max| GrammarError::TooLarge { what: "the JSON schema", unit, found, max };
    if text.len() > MAX_SCHEMA_BYTES {
        return Err(too_large("bytes", text.len(), MAX_SCHEMA_BYTES));
    }
    let mut schema: Value = serde_json::from_str(text)
        .map_err(|error| GrammarError::Schema(format!("it is no JSON: {error}")))?;
    let depth = depth(&schema);
    if depth > MAX_DEPTH {
        return Err(too_large("levels", depth, MAX_DEPTH));
    }
    let num_values = num_values(&schema);
    if num_values > MAX_NUM_VALUES {
        return Err(too_large("values", num_values, MAX_NUM_VALUES));
    }
    if schema == Value::Bool(true) {
        schema = json!({});
    }
    let edits = {
        let mut survey = Survey {
            root: &schema,
            edits: Vec::new(),
            num_refs: 0,
            longest_pattern_bytes: 0,
            patterns_bytes: 0,
            inner_id: None,
        };
        survey.visit(&schema, &mut String::new())?;
        for (found, max) in
            [(survey.longest_pattern_bytes, MAX_PATTERN_BYTES), (survey.patterns_bytes, MAX_PATTERNS_BYTES)]
        {
            if found > max {
                return Err(too_large("bytes of patterns", found, max));
            }
        }
        if survey.num_refs > MAX_NUM_REFS {
            return Err(too_large("references", survey.num_refs, MAX_NUM_REFS));
        }
        if let (Some(place), true) = (survey.inner_id, survey.num_refs > 0) {
            let hint = " beside $ref";
            return Err(GrammarError::Keyword { keyword: "$id", place, hint });
        }
        survey.edits
    };
    for (place, edit) in edits {
        if let Some(Value::Object(object)) = schema.pointer_mut(&place) {
            edit.apply(object);
        }
    }
    let Value::Object(object) = &mut schema else {
        return Err(GrammarError::Schema("it must be an object".to_owned()));
    };
    let options = json!({ "whitespace_pattern": WHITESPACE, "json_allowed_escapes": ESCAPES });
    object.insert("x-guidance".to_owned(), options);
    Ok(schema)
}

impl Edit {
    fn apply(self, object: &mut Map<String, Value>) {
        match self {
            Edit::RemoveUniqueItems => {
                object.shift_remove("uniqueItems");
            }
            Edit::OneOfToAnyOf => {
                if let Some(options) = object.shift_remove("oneOf") {
                    object.insert("anyOf".to_owned(), options);
                }
            }
        }
    }
}

impl Survey<'_> {
    fn visit(&mut self, schema: &Value, place: &mut String) -> Result<(), GrammarError> {
        let Value::Object(object) = schema else { return Ok(()) };
        let names = object.get("patternProperties").and_then(Value::as_object);
        let patterns = names.into_iter().flat_map(Map::keys).map(String::as_str);
        for pattern in patterns.chain(object.get("pattern").and_then(Value::as_str)) {
            self.longest_pattern_bytes = self.longest_pattern_bytes.max(pattern.len());
            self.patterns_bytes += pattern.len();
        }
        self.num_refs += usize::from(object.contains_key("$ref"));
        let is_inner = !place.is_empty();
        if is_inner && ["$id", "id"].iter().any(|id| object.get(*id).is_some_and(Value::is_string)) {
            self.inner_id.get_or_insert_with(|| place.clone());
        }
        if object.get("uniqueItems") == Some(&Value::Bool(false)) {
            self.edits.push((place.clone(), Edit::RemoveUniqueItems));
        }
        let num_required = object.get("required").and_then(Value::as_array).map_or(0, Vec::len) as u64;
        if object.get("minProperties").and_then(Value::as_u64).is_some_and(|min| min > num_required + 1) {
            let hint = " where it exceeds the number of required properties by more than one";
            return Err(GrammarError::Keyword { keyword: "minProperties", place: place.clone(), hint });
        }
        if let Some(Value::Array(options)) = object.get("oneOf")
            && !object.contains_key("anyOf")
            && one_of::are_exclusive(options, self.root)
        {
            self.edits.push((place.clone(), Edit::OneOfToAnyOf));
        }
        for keyword in ["const", "enum"] {
            if object.get(keyword).is_some_and(needs_unicode_escape) {
                let hint = " with a control character in it";
                return Err(GrammarError::Keyword { keyword, place: place.clone(), hint });
            }
        }
        for (keyword, value) in object {
            let keyword = keyword.as_str();
            match value {
                Value::Object(_) if SCHEMA_KEYWORDS.contains(&keyword) => {
                    self.visit_at(value, keyword, place)?;
                }
                Value::Array(options) if LIST_KEYWORDS.contains(&keyword) => {
                    for (index, option) in options.iter().enumerate() {
                        self.visit_at(option, &format!("{keyword}/{index}"), place)?;
                    }
                }
                Value::Object(map) if MAP_KEYWORDS.contains(&keyword) => {
                    for (name, property) in map {
                        let name = name.replace('~', "~0").replace('/', "~1");
                        self.visit_at(property, &format!("{keyword}/{name}"), place)?;
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn visit_at(&mut self, schema: &Value, step: &str, place: &mut String) -> Result<(), GrammarError> {
        let len = place.len();
        place.push('/');
        place.push_str(step);
        let visited = self.visit(schema, place);
        place.truncate(len);
        visited
    }
}

/// Whether a string of the value can be written only with `\u`.
fn needs_unicode_escape(value: &Value) -> bool {
    let is_long = |c: char| c.is_ascii_control() && !matches!(c, '\n' | '\r' | '\t' | '\u{8}' | '\u{c}');
    match value {
        Value::String(text) => text.contains(is_long),
        Value::Array(items) => items.iter().any(needs_unicode_escape),
        Value::Object(fields) => {
            fields.values().any(needs_unicode_escape) || fields.keys().any(|key| key.contains(is_long))
        }
        _ => false,
    }
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(fields) => 1 + fields.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

fn num_values(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(num_values).sum::<usize>(),
        Value::Object(fields) => 1 + fields.values().map(num_values).sum::<usize>(),
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_refused(schema: &str, expected: &str) {
        let message = prepare(schema).unwrap_err().to_string();
        assert!(message.contains(expected), "{schema}: {message}");
    }

    #[test]
    fn what_would_be_ignored_is_refused_by_name_and_place() {
        check_refused(
            r#"{"properties":{"a":{"minProperties":3,"required":["x"]}}}"#,
            "minProperties at /properties/a",
        );
        check_refused(
            r##"{"items":{"$id":"http://x/","$ref":"#/$defs/a"},"$defs":{"a":{}}}"##,
            "$id at /items is not supported beside $ref",
        );
        check_refused(
            r#"{"items":{"enum":["a",["\u0000"]]}}"#,
            "enum at /items is not supported with a control",
        );
        check_refused("[]", "must be an object");
        check_refused("{", "no JSON");
        check_refused(&format!("{{\"enum\":[{}1]}}", "1,".repeat(60_000)), "values");
        check_refused(&format!("{}{{}}{}", "{\"items\":".repeat(70), "}".repeat(70)), "levels");
        let refs: Vec<String> = (0..1001).map(|_| r##"{"$ref":"#/$defs/a"}"##.to_owned()).collect();
        check_refused(&format!("{{\"anyOf\":[{}]}}", refs.join(",")), "references");
    }

    #[test]
    fn a_client_cannot_choose_the_compilers_options() {
        let schema = prepare(r#"{"type":"object","x-guidance":{"lenient":true}}"#).unwrap();
        assert_eq!(schema["x-guidance"].get("lenient"), None);
    }

    #[test]
    fn exclusive_options_become_any_of_and_others_stay() {
        let check = |options: &str, expected: &str| {
            let schema = prepare(&format!(r#"{{"oneOf":{options}}}"#)).unwrap();
            assert!(schema.get(expected).is_some(), "{schema}");
        };
        check(r#"[{"type":"string"},{"type":"null"}]"#, "anyOf");
        check(r#"[{"type":"string"},{"maxLength":3}]"#, "oneOf");
        check(r#"[{"const":1},{"enum":["a",2]}]"#, "anyOf");
    }
}
