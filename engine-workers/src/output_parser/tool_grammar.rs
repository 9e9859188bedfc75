//! The grammar of calls that must be made.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use super::tool_call_format::ToolCallFormat;

/// How one family writes calls.
struct Notation {
    /// Before the first call and after the last.
    frame: (Vec<Piece>, Vec<Piece>),
    /// Before the name, between the name and the arguments, and after them.
    call: [Vec<Piece>; 3],
    /// Between two calls.
    separator: Vec<Piece>,
}

enum Piece {
    Text(&'static str),
    /// A special token, which no text can spell.
    Token(u32),
}

/// A function that may be called.
#[derive(Debug, Clone, PartialEq)]
pub struct CallableFunction {
    /// Its name.
    pub name: String,
    /// The schema of its arguments; absent if it has none.
    pub parameters: Option<Value>,
}

/// Lark, in llguidance's dialect, for an answer that is nothing but calls of these functions: one if `is_single`, else one
/// or more. `special_token` is the id of a mark that is a special token of the vocabulary, `prepare` makes a schema
/// ready for the compiler.
pub fn lark<E>(
    format: ToolCallFormat,
    functions: &[CallableFunction],
    is_single: bool,
    special_token: impl Fn(&str) -> Option<u32>,
    prepare: impl Fn(&Value) -> Result<Value, E>,
) -> Result<String, E> {
    let Notation { frame: (begin, end), call, separator } = Notation::of(format, special_token);
    let more = if is_single { String::new() } else { format!("({} call)*", lark_of(&separator)) };
    let mut grammar = format!("start: {} call {more} {}\n", lark_of(&begin), lark_of(&end));
    let rules: Vec<String> = (0..functions.len()).map(|index| format!("call_{index}")).collect();
    // Writing into a string cannot fail.
    let mut line = |text: String| writeln!(grammar, "{text}").unwrap_or_default();
    line(format!("call: {}", rules.join(" | ")));
    let [before, between, after] = call.map(|pieces| lark_of(&pieces));
    for (index, function) in functions.iter().enumerate() {
        let schema = prepare(&schema_of(function))?;
        line(format!(
            "call_{index}: {before} {} {between} arguments_{index} {after}",
            quoted(&function.name)
        ));
        line(format!("arguments_{index}: %json {schema}"));
    }
    Ok(grammar)
}

impl Notation {
    fn of(format: ToolCallFormat, special_token: impl Fn(&str) -> Option<u32>) -> Self {
        use Piece::Text;
        let mark = |text: &'static str| special_token(text).map_or(Text(text), Piece::Token);
        let object = |key: &'static str| [vec![Text("{\"name\": \"")], vec![Text(key)], vec![Text("}")]];
        match format {
            ToolCallFormat::Hermes => Self {
                frame: (Vec::new(), Vec::new()),
                call: [
                    vec![mark("<tool_call>"), Text("\n{\"name\": \"")],
                    vec![Text("\", \"arguments\": ")],
                    vec![Text("}\n"), mark("</tool_call>")],
                ],
                separator: vec![Text("\n")],
            },
            ToolCallFormat::Llama3Json => Self {
                frame: (Vec::new(), Vec::new()),
                call: object("\", \"parameters\": "),
                separator: vec![Text("; ")],
            },
            ToolCallFormat::Mistral => match special_token("[ARGS]") {
                Some(arguments) => Self {
                    frame: (Vec::new(), Vec::new()),
                    call: [vec![mark("[TOOL_CALLS]")], vec![Piece::Token(arguments)], Vec::new()],
                    separator: Vec::new(),
                },
                None => Self {
                    frame: (vec![mark("[TOOL_CALLS]"), Text("[")], vec![Text("]")]),
                    call: object("\", \"arguments\": "),
                    separator: vec![Text(", ")],
                },
            },
            ToolCallFormat::Json => Self {
                frame: (Vec::new(), Vec::new()),
                call: object("\", \"arguments\": "),
                separator: vec![Text("\n")],
            },
        }
    }
}

fn lark_of(pieces: &[Piece]) -> String {
    let words: Vec<String> = pieces
        .iter()
        .map(|piece| match piece {
            Piece::Text(text) => quoted(text),
            Piece::Token(id) => format!("<[{id}]>"),
        })
        .collect();
    words.join(" ")
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// Arguments are an object whatever the schema leaves open.
fn schema_of(function: &CallableFunction) -> Value {
    let Some(Value::Object(schema)) = &function.parameters else {
        return json!({"type": "object", "properties": {}, "additionalProperties": false});
    };
    if schema.contains_key("type") {
        return Value::Object(schema.clone());
    }
    let typed = std::iter::once(("type".to_owned(), Value::from("object")));
    Value::Object(typed.chain(schema.clone()).collect::<Map<String, Value>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(format: ToolCallFormat, is_single: bool, tokens: &[(&str, u32)], expected: &str) {
        let functions = [
            CallableFunction { name: "now".to_owned(), parameters: None },
            CallableFunction { name: "add".to_owned(), parameters: Some(json!({"properties": {"a": {}}})) },
        ];
        let token = |text: &str| tokens.iter().find(|(mark, _)| *mark == text).map(|(_, id)| *id);
        let found = lark(format, &functions, is_single, token, |schema| Ok::<_, ()>(schema.clone())).unwrap();
        let (head, rest) = found.split_once("\ncall: call_0 | call_1\n").unwrap();
        let calls: Vec<&str> = rest.lines().filter(|line| line.starts_with("call_")).collect();
        assert_eq!(format!("{head}\n{}", calls.join("\n")), expected);
        assert!(rest.contains(
            "arguments_0: %json {\"type\":\"object\",\"properties\":{},\"additionalProperties\":false}\n"
        ));
        assert!(rest.contains("arguments_1: %json {\"type\":\"object\",\"properties\":{\"a\":{}}}\n"));
    }

    #[test]
    fn each_family_has_its_notation() {
        check(
            ToolCallFormat::Hermes,
            false,
            &[],
            r#"start:  call ("\n" call)* 
call_0: "<tool_call>" "\n{\"name\": \"" "now" "\", \"arguments\": " arguments_0 "}\n" "</tool_call>"
call_1: "<tool_call>" "\n{\"name\": \"" "add" "\", \"arguments\": " arguments_1 "}\n" "</tool_call>""#,
        );
        check(
            ToolCallFormat::Mistral,
            true,
            &[("[TOOL_CALLS]", 5)],
            r#"start: <[5]> "[" call  "]"
call_0: "{\"name\": \"" "now" "\", \"arguments\": " arguments_0 "}"
call_1: "{\"name\": \"" "add" "\", \"arguments\": " arguments_1 "}""#,
        );
        check(
            ToolCallFormat::Mistral,
            false,
            &[("[TOOL_CALLS]", 5), ("[ARGS]", 6)],
            r#"start:  call ( call)* 
call_0: <[5]> "now" <[6]> arguments_0 
call_1: <[5]> "add" <[6]> arguments_1 "#,
        );
    }
}
