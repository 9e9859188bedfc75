use std::fmt::Write as _;

use schemas::v1::TextChoices;

use super::*;
use crate::grammar::error::MatchError;
use crate::grammar::matcher::GrammarMatcher;

const EOS: u32 = 256;

/// A compiler over one token per byte and an end.
fn compiler() -> GrammarCompiler {
    let bytes = (0..=255_u8).map(|byte| (vec![byte], false));
    let tokens = bytes.chain([(b"<end>".to_vec(), true)]);
    GrammarCompiler::new(Arc::new(TokenTable::new(tokens, vec![EOS])), None)
}

fn matcher(compiler: &GrammarCompiler, kind: &Kind) -> GrammarMatcher {
    let compiled = compiler.compile(kind).unwrap_or_else(|error| panic!("{error}"));
    GrammarMatcher::new(compiled, Arc::clone(&compiler.bench.tokens), true)
}

/// Whether a text is a whole answer.
fn accepts(compiler: &GrammarCompiler, kind: &Kind, text: &str) -> bool {
    let mut matcher = matcher(compiler, kind);
    for (index, byte) in text.bytes().enumerate() {
        match matcher.advance(u32::from(byte)) {
            Err(_) => return false,
            Ok(true) => return index + 1 == text.len(),
            Ok(false) => {}
        }
    }
    matcher.mask().is_ok_and(|mask| mask.allows(EOS))
}

fn check(kind: &Kind, accepted: &[&str], refused: &[&str]) {
    let compiler = compiler();
    for (texts, expected) in [(accepted, true), (refused, false)] {
        for text in texts {
            assert_eq!(accepts(&compiler, kind, text), expected, "{kind:?}: {text:?}");
        }
    }
}

fn check_refused(kind: &Kind, code: &str) {
    let found = compiler().compile(kind);
    assert_eq!(found.as_ref().err().map(GrammarError::code), Some(code), "{kind:?}: {found:?}");
}

fn schema(text: &str) -> Kind {
    Kind::JsonSchema(text.to_owned())
}

fn choices(texts: &[&str]) -> Kind {
    Kind::Choices(TextChoices { choices: texts.iter().map(|text| (*text).to_owned()).collect() })
}

#[test]
fn each_kind_accepts_what_it_describes() {
    check(&choices(&["a", "ab", "\"q\"\n", "é"]), &["a", "ab", "\"q\"\n", "é"], &["", "b", "abc", "\"q\""]);
    check(&Kind::Regex(r"[a-c]+/\d{2}".to_owned()), &["a/12", "cab/99"], &["/12", "a/1", "a/123", " a/12"]);
    check(&Kind::Regex("^a|b$".to_owned()), &["a", "b"], &["ab", "c"]);
    check(&Kind::JsonObject(true), &["{}", r#"{"a": [1, null]}"#], &["[]", "1", " {}", "{} "]);
    check(&Kind::Lark("start: \"x\" start | \"y\"".to_owned()), &["y", "xxy"], &["x", "yy"]);
    let point = schema(
        r#"{"type":"object","properties":{"x":{"type":"integer"},"y":{"type":"integer"}},
        "required":["x","y"],"additionalProperties":false}"#,
    );
    check(
        &point,
        &[r#"{"x":1,"y":-2}"#, "{\n  \"x\": 1,\n  \"y\": 2\n}"],
        &[r#"{"x":1}"#, r#"{"x":1,"y":2,"z":3}"#],
    );
    check(&schema("true"), &["1", "{\"a\":[]}"], &["x"]);
}

#[test]
fn whitespace_is_bounded() {
    let any = schema("{}");
    check(&any, &["[1, 2]", "[\n    1,\n    2\n]"], &["[1,  2]", "[\n\n1]", "[\t1]"]);
    check(&any, &[&format!("[\n{}1]", " ".repeat(24))], &[&format!("[\n{}1]", " ".repeat(25))]);
}

#[test]
fn a_key_cannot_be_spelt_in_a_second_way() {
    let typed = schema(r#"{"type":"object","properties":{"a":{"type":"string"}}}"#);
    check(&typed, &[r#"{"a":"x","b":1}"#], &[r#"{"a":1}"#, "{\"\\u0061\":1}", r#"{"a":"x","a":1}"#]);
}

#[test]
fn what_cannot_be_honoured_is_refused() {
    check_refused(&schema("{"), "invalid_json_schema");
    check_refused(&schema("false"), "invalid_json_schema");
    check_refused(&schema(r#"{"type":"array","uniqueItems":true}"#), "invalid_json_schema");
    check_refused(&schema(r#"{"not":{"type":"string"}}"#), "invalid_json_schema");
    check_refused(&schema(r#"{"$ref":"http://localhost/x"}"#), "invalid_json_schema");
    check_refused(&schema(r##"{"$ref":"#/$defs/none"}"##), "invalid_json_schema");
    check_refused(&schema(r#"{"type":"integer","minimum":3,"maximum":2}"#), "invalid_json_schema");
    check_refused(&Kind::Regex("(".to_owned()), "invalid_grammar");
    check_refused(&Kind::Regex(r"(a)\1".to_owned()), "invalid_grammar");
    check_refused(&Kind::Lark("nonsense".to_owned()), "invalid_grammar");
    check_refused(&Kind::Lark("root ::= \"a\"".to_owned()), "invalid_grammar");
    check_refused(&Kind::Lark(String::new()), "invalid_grammar");
    check_refused(&choices(&[]), "invalid_grammar");
    check_refused(&choices(&["a", ""]), "invalid_grammar");
}

#[test]
fn what_nothing_can_match_is_told_in_words() {
    for (kind, message) in [
        (schema(r##"{"$ref":"#"}"##), "the JSON schema cannot be used: no answer could match it"),
        (Kind::Lark("start: start".to_owned()), "the grammar cannot be used: no answer could match it"),
    ] {
        assert_eq!(compiler().compile(&kind).unwrap_err().to_string(), message);
    }
}

/// A grammar that looks costly is refused with `code`, or else it compiles unless that takes too long, and then its answer
/// goes on or fails by itself.
fn check_bomb(kind: &Kind, code: Option<&str>) {
    let compiler = compiler();
    let found = compiler.compile(kind);
    let name = format!("{kind:?}").chars().take(80).collect::<String>();
    let found_code = found.as_ref().err().map(GrammarError::code);
    assert!(
        found_code == code || (code.is_none() && found_code == Some("grammar_too_complex")),
        "{name}: {found:?}"
    );
    let Ok(grammar) = found else { return };
    let mut matcher = GrammarMatcher::new(grammar, Arc::clone(&compiler.bench.tokens), true);
    for index in 0..200_u32 {
        let mask = match matcher.mask() {
            Ok(mask) => mask,
            Err(error) => return assert_eq!(error, MatchError::TooComplex, "{name}"),
        };
        let allowed: Vec<u32> = (0..EOS).filter(|token| mask.allows(*token)).collect();
        let Some(token) = allowed.get((index * 7) as usize % allowed.len().max(1)) else { return };
        match matcher.advance(*token) {
            Ok(false) => {}
            Ok(true) => return,
            Err(error) => return assert_eq!(error, MatchError::TooComplex, "{name}"),
        }
    }
}

#[test]
fn bombs_are_refused_or_cost_little() {
    let regex = |text: &str| Kind::Regex(text.to_owned());
    check_bomb(
        &schema(&format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000))),
        Some("invalid_json_schema"),
    );
    check_bomb(&regex("((((a{1,200}){1,200}){1,200}){1,200})"), None);
    check_bomb(&regex("(a|b)*a(a|b){100000}"), None);
    check_bomb(&regex("(.*a.{1,500}b.*){1,500}c"), None);
    check_bomb(&regex("(x+x+)+y"), None);
    check_bomb(&regex(r"(\p{L}{1,1000}\w*){1,1000}"), None);
    check_bomb(
        &regex(&format!("({})*", (0..700).map(|n| format!("w{n}")).collect::<Vec<_>>().join("|"))),
        None,
    );
    check_bomb(&regex(&("(".repeat(2000) + &")".repeat(2000))), Some("invalid_grammar"));
    check_bomb(&regex(&"a?".repeat(2000)), None);
    check_bomb(&regex(&"a?".repeat(8000)), Some("grammar_too_large"));
    check_bomb(&regex(&("a{0,100}".repeat(500) + "b")), None);
    check_bomb(
        &Kind::Lark(format!("start: {}\"a\"{}", "(".repeat(9000), ")".repeat(9000))),
        Some("grammar_too_large"),
    );
    check_bomb(&Kind::Lark("start: a a a a\na: b b b b\nb: c c c c\nc: \"x\" | \"x\" c".to_owned()), None);
    check_bomb(&Kind::Lark("start: start start | \"a\" | start start start".to_owned()), None);
    check_bomb(&Kind::Lark("start: (\"a\"){1,1000000}".to_owned()), None);
    check_bomb(&Kind::Lark("start: x{100000,200000}\nx: \"a\" | \"b\" x".to_owned()), None);
    let mut product = String::from("{\"allOf\":[");
    for index in 0..40 {
        let comma = if index > 0 { "," } else { "" };
        write!(product, r#"{comma}{{"anyOf":[{{"required":["a{index}"]}},{{"required":["b{index}"]}}]}}"#)
            .unwrap();
    }
    check_bomb(&schema(&(product + "]}")), Some("invalid_json_schema"));
    check_bomb(&schema(r#"{"type":"array","minItems":1000000,"items":{"type":"integer"}}"#), None);
    check_bomb(
        &schema(r#"{"type":"array","maxItems":100000000,"items":{"type":"array","maxItems":1000000}}"#),
        None,
    );
    check_bomb(&schema(r#"{"type":"string","minLength":100000000}"#), None);
    check_bomb(&schema(r#"{"type":"string","maxLength":3000000000,"pattern":"^(a|b)*c.{1,1000}$"}"#), None);
    check_bomb(&schema(r#"{"type":"integer","multipleOf":999999937}"#), Some("invalid_json_schema"));
    let keys: Vec<String> = (0..1500).map(|n| format!("\"k{n}\":{{\"type\":\"string\"}}")).collect();
    check_bomb(&schema(&format!("{{\"properties\":{{{}}}}}", keys.join(","))), None);
    let keys: Vec<String> = (0..300).map(|n| format!("\"^k{n}[a-z]*$\":{{\"type\":\"string\"}}")).collect();
    check_bomb(&schema(&format!("{{\"patternProperties\":{{{}}}}}", keys.join(","))), None);
    let values: Vec<String> = (0..10_000).map(|n| format!("\"value {}\"", n * 7919)).collect();
    check_bomb(&schema(&format!("{{\"enum\":[{}]}}", values.join(","))), None);
    let values: Vec<String> = (0..60_000).map(|index| index.to_string()).collect();
    check_bomb(&schema(&format!("{{\"enum\":[{}]}}", values.join(","))), Some("grammar_too_large"));
    let texts: Vec<String> = (0..4000).map(|index| (index * 7919).to_string()).collect();
    check_bomb(&choices(&texts.iter().map(String::as_str).collect::<Vec<_>>()), None);
    let texts: Vec<String> = (0..5000).map(|index| index.to_string()).collect();
    check_bomb(&choices(&texts.iter().map(String::as_str).collect::<Vec<_>>()), Some("grammar_too_large"));
}

#[test]
fn deep_but_bounded_grammars_do_not_overflow_the_stack() {
    let chain = |num: usize| {
        let mut defs = String::new();
        for index in 0..num {
            write!(defs, r##""d{index}":{{"items":{{"$ref":"#/$defs/d{}"}}}},"##, index + 1).unwrap();
        }
        schema(&format!(r##"{{"$ref":"#/$defs/d0","$defs":{{{defs}"d{num}":{{"type":"array"}}}}}}"##))
    };
    check(&chain(990), &["[[[]]]"], &["[[x]]"]);
    let mut rules = String::from("start: r0\n");
    for index in 0..4000 {
        writeln!(rules, "r{index}: r{}", index + 1).unwrap();
    }
    rules.push_str("r4000: \"a\"\n");
    match compiler().compile(&Kind::Lark(rules)) {
        Ok(_) => {}
        Err(error) => assert_eq!(error.code(), "invalid_grammar"),
    }
}

#[test]
fn a_grammar_is_compiled_once_and_old_ones_are_forgotten() {
    let compiler = compiler();
    let first = Kind::Regex("first".to_owned());
    compiler.compile(&first).unwrap();
    for index in 0..MAX_NUM_CACHED {
        compiler.compile(&Kind::Regex(format!("other{index}"))).unwrap();
        compiler.compile(&first).unwrap();
        assert!(compiler.locked_cache().len() <= MAX_NUM_CACHED);
    }
    let digest = compiler.compile(&first).unwrap().digest();
    assert!(compiler.locked_cache().iter().any(|known| known.digest() == digest));
}

#[test]
fn masks_do_not_depend_on_how_far_an_answer_had_come_when_it_was_resumed() {
    let compiler = compiler();
    let kind = schema(
        r#"{"type":"object","properties":{"name":{"type":"string","maxLength":9},
        "tags":{"type":"array","items":{"enum":["red","green"]},"maxItems":3}},"required":["name","tags"]}"#,
    );
    let text = "{\"name\": \"Zoë\",\n  \"tags\": [\"red\", \"green\"], \"x\": {}}";
    let mut straight = matcher(&compiler, &kind);
    let masks: Vec<_> = text
        .bytes()
        .map(|byte| {
            let mask = straight.mask().unwrap().clone();
            straight.advance(u32::from(byte)).unwrap();
            mask
        })
        .collect();
    for cut in 0..text.len() {
        let mut resumed = matcher(&compiler, &kind);
        text.bytes().take(cut).for_each(|byte| assert_eq!(resumed.advance(u32::from(byte)), Ok(false)));
        let rest: Vec<u32> = text.bytes().skip(cut).map(u32::from).collect();
        assert_eq!(resumed.num_valid(&rest), rest.len(), "cut at {cut}");
        assert_eq!(resumed.num_valid(&[rest[0], 1]), 1);
        for (mask, token) in masks[cut..].iter().zip(rest) {
            assert_eq!(resumed.mask().unwrap(), mask, "cut at {cut}");
            resumed.advance(token).unwrap();
        }
    }
}

#[test]
fn demanded_calls_are_what_their_parser_reads() {
    use crate::output_parser::tool_call_format::ToolCallFormat;
    use crate::output_parser::tool_grammar::{CallableFunction, lark};

    let point = serde_json::json!({"properties": {"x": {"$ref": "#/$defs/n"}}, "required": ["x"], "$defs": {"n": {"type": "integer"}},
        "additionalProperties": false});
    let functions = [
        CallableFunction { name: "now".to_owned(), parameters: None },
        CallableFunction { name: "go".to_owned(), parameters: Some(point) },
    ];
    let kind = |format, is_single| {
        let prepare = |schema: &serde_json::Value| crate::grammar::json_schema::prepare(&schema.to_string());
        Kind::Lark(lark(format, &functions, is_single, |_| None, prepare).unwrap())
    };
    let go = r#"<tool_call>
{"name": "go", "arguments": {"x": 3}}
</tool_call>"#;
    let now = "<tool_call>\n{\"name\": \"now\", \"arguments\": {}}\n</tool_call>";
    let both = format!("{go}\n{now}");
    check(
        &kind(ToolCallFormat::Hermes, false),
        &[go, now, &both],
        &["", "{}", &go.replace('3', "\"3\""), &go.replace("go", "gone"), &format!("{go} {now}")],
    );
    check(&kind(ToolCallFormat::Hermes, true), &[go], &[&both]);
    let bare = r#"{"name": "go", "arguments": {"x": 3}}"#;
    check(&kind(ToolCallFormat::Json, true), &[bare], &[&bare.replace('x', "y"), "{\"name\": \"go\"}"]);
    check(&kind(ToolCallFormat::Llama3Json, true), &[&bare.replace("arguments", "parameters")], &[bare]);
    check(&kind(ToolCallFormat::Mistral, false), &[&format!("[TOOL_CALLS][{bare}, {bare}]")], &[bare]);
}
