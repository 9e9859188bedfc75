//! Jinja as Hugging Face's templates expect it.

use std::fmt;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Serde, Value, ValueKind};
use minijinja::{AutoEscape, Environment, Error, ErrorKind, UndefinedBehavior};

use super::python_json;

/// The name of the one template in the environment.
pub(crate) const TEMPLATE: &str = "chat";

/// The text that a template gave to `raise_exception`, as the source of the error that it caused.
#[derive(Debug)]
pub(crate) struct Raised(pub(crate) String);

impl fmt::Display for Raised {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for Raised {}

/// An environment with the template compiled: Jinja2 with `trim_blocks`, `lstrip_blocks` and loop controls, Python's
/// methods on strings, lists and maps, Python's JSON, and a bound on the work of one rendering.
pub(crate) fn compile(source: &str, fuel: u64) -> Result<Environment<'static>, Error> {
    let mut environment = Environment::new();
    environment.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_undefined_behavior(UndefinedBehavior::Lenient);
    environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
    environment.set_fuel(Some(fuel));
    environment.add_filter("tojson", python_json::tojson);
    environment.add_filter("from_json", from_json);
    environment.add_function("raise_exception", raise_exception);
    environment.add_test("iterable", is_iterable);
    environment.add_test("sequence", is_sequence);
    environment.add_template_owned(TEMPLATE, portable_source(source))?;
    Ok(environment)
}

/// Line ends as Jinja2 reads them, and `{% generation %}`, which marks the assistant's text for training, as a block
/// that is always rendered.
fn portable_source(source: &str) -> String {
    let source = source.replace("\r\n", "\n").replace('\r', "\n");
    let mut portable = String::with_capacity(source.len());
    let mut rest = source.as_str();
    while let Some(start) = rest.find("{%") {
        let Some(len) = rest[start..].find("%}") else { break };
        let (before, tag, after) = (&rest[..start], &rest[start..start + len + 2], &rest[start + len + 2..]);
        portable.push_str(before);
        let word = tag[2..tag.len() - 2].trim_matches(|c: char| c.is_whitespace() || c == '-' || c == '+');
        match word {
            "generation" => portable.push_str(&tag.replacen("generation", "if true", 1)),
            "endgeneration" => portable.push_str(&tag.replacen("endgeneration", "endif", 1)),
            _ => portable.push_str(tag),
        }
        rest = after;
    }
    portable.push_str(rest);
    portable
}

fn raise_exception(message: String) -> Result<Value, Error> {
    Err(Error::new(ErrorKind::InvalidOperation, message.clone()).with_source(Raised(message)))
}

fn from_json(text: &str) -> Result<Value, Error> {
    let parsed: serde_json::Value = serde_json::from_str(text).map_err(|error| {
        Error::new(ErrorKind::InvalidOperation, "from_json: not valid JSON").with_source(error)
    })?;
    Ok(Value::from(Serde(parsed)))
}

fn is_iterable(value: &Value) -> bool {
    !value.is_none() && value.try_iter().is_ok()
}

/// What has a length and elements, which in Python strings and maps are too.
fn is_sequence(value: &Value) -> bool {
    matches!(value.kind(), ValueKind::Seq | ValueKind::String | ValueKind::Map | ValueKind::Bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generation_blocks_and_line_ends_become_what_every_jinja_reads() {
        let check = |source: &str, expected: &str| assert_eq!(portable_source(source), expected);
        check("a\r\nb\rc", "a\nb\nc");
        check("{%- generation -%}x{%- endgeneration %}", "{%- if true -%}x{%- endif %}");
        check("{{ generation }}{% set generation = 1 %}", "{{ generation }}{% set generation = 1 %}");
        check("{% if open", "{% if open");
    }
}
