//! Whether the options of a `oneOf` exclude each other, so that it says the same as `anyOf`. Tagged unions, which is what
//! `oneOf` is mostly for, do; the compiler sees it only where no option is behind a `$ref`.

use serde_json::{Map, Value};

const MAX_NUM_OPTIONS: usize = 200;
const MAX_DEPTH: usize = 8;

const NULL: u8 = 1;
const BOOLEAN: u8 = 2;
const NUMBER: u8 = 4;
const STRING: u8 = 8;
const ARRAY: u8 = 16;
const OBJECT: u8 = 32;
const ALL: u8 = 63;

/// Whether no document can match two of the options, as far as types, constants and tags tell.
pub(super) fn are_exclusive(options: &[Value], root: &Value) -> bool {
    options.len() <= MAX_NUM_OPTIONS
        && options.iter().enumerate().all(|(index, option)| {
            options[index + 1..].iter().all(|other| are_disjoint(option, other, root, MAX_DEPTH))
        })
}

fn are_disjoint(a: &Value, b: &Value, root: &Value, depth: usize) -> bool {
    let (Some(a), Some(b)) = (resolve(a, root), resolve(b, root)) else { return false };
    let common_types = types(a) & types(b);
    if common_types == 0 {
        return true;
    }
    if let (Some(a), Some(b)) = (constants(a), constants(b)) {
        return !a.iter().any(|value| b.contains(value));
    }
    depth > 0 && common_types == OBJECT && have_disjoint_tags(a, b, root, depth - 1)
}

/// Whether a key that one of them requires has values that the other does not allow.
fn have_disjoint_tags(a: &Map<String, Value>, b: &Map<String, Value>, root: &Value, depth: usize) -> bool {
    let required = |schema: &Map<String, Value>| {
        let keys = schema.get("required").and_then(Value::as_array).cloned().unwrap_or_default();
        keys.into_iter().filter_map(|key| key.as_str().map(str::to_owned)).collect::<Vec<_>>()
    };
    let property = |schema: &Map<String, Value>, key: &str| schema.get("properties")?.get(key).cloned();
    required(a).iter().chain(&required(b)).any(|key| match (property(a, key), property(b, key)) {
        (Some(a), Some(b)) => are_disjoint(&a, &b, root, depth),
        _ => false,
    })
}

/// The object behind any references; `None` if that is not clear.
fn resolve<'a>(mut schema: &'a Value, root: &'a Value) -> Option<&'a Map<String, Value>> {
    for _ in 0..MAX_DEPTH {
        let object = schema.as_object()?;
        match object.get("$ref") {
            None => return Some(object),
            Some(reference) => schema = root.pointer(reference.as_str()?.strip_prefix('#')?)?,
        }
    }
    None
}

fn types(schema: &Map<String, Value>) -> u8 {
    let named = match schema.get("type") {
        None => ALL,
        Some(Value::String(name)) => type_named(name),
        Some(Value::Array(names)) => {
            names.iter().filter_map(Value::as_str).fold(0, |all, name| all | type_named(name))
        }
        Some(_) => ALL,
    };
    let of_constants =
        constants(schema).map_or(ALL, |values| values.iter().fold(0, |all, value| all | type_of(value)));
    named & of_constants
}

fn type_named(name: &str) -> u8 {
    match name {
        "null" => NULL,
        "boolean" => BOOLEAN,
        "number" | "integer" => NUMBER,
        "string" => STRING,
        "array" => ARRAY,
        "object" => OBJECT,
        _ => ALL,
    }
}

fn type_of(value: &Value) -> u8 {
    match value {
        Value::Null => NULL,
        Value::Bool(_) => BOOLEAN,
        Value::Number(_) => NUMBER,
        Value::String(_) => STRING,
        Value::Array(_) => ARRAY,
        Value::Object(_) => OBJECT,
    }
}

/// The only values that a schema allows. Numbers are left out of it: 1 and 1.0 are equal as JSON and not as values here.
fn constants(schema: &Map<String, Value>) -> Option<Vec<Value>> {
    let values = match (schema.get("const"), schema.get("enum")) {
        (Some(value), _) => vec![value.clone()],
        (None, Some(Value::Array(values))) => values.clone(),
        _ => return None,
    };
    let is_plain = |value: &Value| matches!(value, Value::String(_) | Value::Bool(_) | Value::Null);
    let is_whole = |value: &Value| value.is_u64() || value.is_i64();
    values.iter().all(|value| is_plain(value) || is_whole(value)).then_some(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(options: &str, expected: bool) {
        let root: Value = serde_json::from_str(
            r##"{"$defs":{
                "Cat":{"type":"object","properties":{"kind":{"const":"cat"}},"required":["kind"]},
                "Dog":{"type":"object","properties":{"kind":{"enum":["dog","wolf"]}}},
                "Any":{"type":"object"},
                "Loop":{"$ref":"#/$defs/Loop"}}}"##,
        )
        .unwrap();
        let options: Vec<Value> = serde_json::from_str(options).unwrap();
        assert_eq!(are_exclusive(&options, &root), expected, "{options:?}");
    }

    #[test]
    fn tagged_unions_are_exclusive() {
        check(r##"[{"$ref":"#/$defs/Cat"},{"$ref":"#/$defs/Dog"},{"type":"null"}]"##, true);
        check(r##"[{"$ref":"#/$defs/Cat"},{"$ref":"#/$defs/Any"}]"##, false);
        check(r##"[{"$ref":"#/$defs/Cat"},{"$ref":"#/$defs/Cat"}]"##, false);
        check(r##"[{"$ref":"#/$defs/Dog"},{"$ref":"#/$defs/Dog"}]"##, false);
        check(r##"[{"$ref":"#/$defs/Loop"},{"$ref":"#/$defs/Cat"}]"##, false);
        check(r##"[{"$ref":"#/$defs/Missing"},{"$ref":"#/$defs/Cat"}]"##, false);
    }

    #[test]
    fn types_and_constants_exclude_each_other() {
        check(r#"[{"type":"integer"},{"type":"number"}]"#, false);
        check(r#"[{"type":["integer","null"]},{"type":"string"}]"#, true);
        check(r#"[{"const":1},{"const":2}]"#, true);
        check(r#"[{"const":1},{"const":1.0}]"#, false);
        check(r#"[{"const":"a"},{"enum":["b","c"]}]"#, true);
        check(r#"[{"const":"a"},{"enum":["b","a"]}]"#, false);
        check(r#"[{"maxLength":2},{"minLength":3}]"#, false);
        check("[true,false]", false);
    }
}
