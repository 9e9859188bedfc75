//! The JSON Schema Test Suite against grammars: which schemas compile, and which instances they let pass.

use engine_workers::detokenizer::TokenTable;
use engine_workers::grammar::compiler::GrammarCompiler;
use engine_workers::grammar::matcher::GrammarMatcher;
use schemas::v1::grammar::Kind;
use serde::Deserialize;
use serde_json::Value;
use std::sync::Arc;

/// Schemas that the suite has in a draft, and the draft's name in `$schema`.
pub(crate) const DRAFTS: [(&str, &str, &str); 2] = [
    (
        "draft 7",
        include_str!("../fixtures/json_schema/draft7.json"),
        "http://json-schema.org/draft-07/schema#",
    ),
    (
        "draft 2020-12",
        include_str!("../fixtures/json_schema/draft2020-12.json"),
        "https://json-schema.org/draft/2020-12/schema",
    ),
];

/// One schema and its instances.
#[derive(Debug, Deserialize)]
pub(crate) struct Group {
    pub(crate) file: String,
    pub(crate) description: String,
    pub(crate) schema: Value,
    pub(crate) tests: Vec<Instance>,
}

/// One instance.
#[derive(Debug, Deserialize)]
pub(crate) struct Instance {
    pub(crate) description: String,
    pub(crate) data: Value,
    pub(crate) valid: bool,
}

/// What became of a draft's tests.
#[derive(Debug, Default)]
pub(crate) struct Coverage {
    pub(crate) num_schemas: usize,
    /// Why each refused schema was.
    pub(crate) refused: Vec<(String, String)>,
    pub(crate) num_valid: usize,
    pub(crate) num_valid_accepted: usize,
    pub(crate) num_invalid: usize,
    /// Invalid instances that the grammar lets pass.
    pub(crate) wrongly_accepted: Vec<String>,
}

/// The groups of a draft; a schema that does not name its draft gets the name, as the suite means it.
pub(crate) fn groups(json: &str, draft: &str) -> Vec<Group> {
    let mut groups: Vec<Group> = serde_json::from_str(json).expect("the fixture is JSON");
    for group in &mut groups {
        if let Value::Object(schema) = &mut group.schema {
            schema.entry("$schema").or_insert_with(|| draft.into());
        }
    }
    groups
}

/// A compiler over one token per byte, and an end.
pub(crate) fn byte_compiler() -> (GrammarCompiler, Arc<TokenTable>) {
    let tokens = (0..=255_u8).map(|byte| (vec![byte], false)).chain([(b"<end>".to_vec(), true)]);
    let table = Arc::new(TokenTable::new(tokens, vec![256]));
    (GrammarCompiler::new(Arc::clone(&table), None), table)
}

/// Runs all of a draft's tests.
pub(crate) fn cover(groups: &[Group]) -> Coverage {
    let (compiler, table) = byte_compiler();
    let mut coverage = Coverage { num_schemas: groups.len(), ..Coverage::default() };
    for group in groups {
        let name = format!("{}: {}", group.file, group.description);
        match compiler.compile(&Kind::JsonSchema(group.schema.to_string())) {
            Err(error) => coverage.refused.push((name, error.to_string())),
            Ok(grammar) => {
                for instance in &group.tests {
                    let accepts = |text: &str| {
                        accepts(GrammarMatcher::new(grammar.clone(), Arc::clone(&table), true), text)
                    };
                    let is_accepted = spellings(&instance.data).iter().any(|text| accepts(text));
                    if instance.valid {
                        coverage.num_valid += 1;
                        coverage.num_valid_accepted += usize::from(is_accepted);
                    } else {
                        coverage.num_invalid += 1;
                        if is_accepted {
                            coverage.wrongly_accepted.push(format!("{name}: {}", instance.description));
                        }
                    }
                }
            }
        }
    }
    coverage
}

/// An instance as text: as it stands, and with its keys in the opposite order, since grammars fix an order.
fn spellings(instance: &Value) -> [String; 2] {
    [instance.to_string(), reversed(instance).to_string()]
}

fn reversed(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            Value::Object(fields.iter().rev().map(|(key, value)| (key.clone(), reversed(value))).collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(reversed).collect()),
        other => other.clone(),
    }
}

fn accepts(mut matcher: GrammarMatcher, text: &str) -> bool {
    for (index, byte) in text.bytes().enumerate() {
        match matcher.advance(u32::from(byte)) {
            Err(_) => return false,
            Ok(true) => return index + 1 == text.len(),
            Ok(false) => {}
        }
    }
    matcher.mask().is_ok_and(|mask| mask.allows(256))
}
