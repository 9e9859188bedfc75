use proptest::prelude::*;
use schemas::InferenceId;
use uuid::Uuid;

use super::*;

const WEATHER: &str =
    r#"{"name": "get_weather", "arguments": {"city": "Köln \"C\"", "days": [1, {"a": null}]}}"#;
const ARGUMENTS: &str = r#"{"city": "Köln \"C\"", "days": [1, {"a": null}]}"#;

fn rules(format: ToolCallFormat) -> ToolRules {
    let names = ["get_weather".to_owned(), "add".to_owned()];
    ToolRules {
        format,
        names: names.into(),
        is_single: false,
        source: Some((InferenceId::new(Uuid::nil()), 0)),
    }
}

/// Everything that a text becomes, piece by piece, with the parts of each call joined.
#[derive(Debug, PartialEq, Default)]
struct Whole {
    content: String,
    reasoning: String,
    calls: Vec<(String, String)>,
}

fn run<'a>(mut parser: OutputParser, pieces: impl IntoIterator<Item = &'a str>) -> Whole {
    let mut whole = Whole::default();
    let mut take = |parsed: Parsed| {
        whole.content.push_str(&parsed.content);
        whole.reasoning.push_str(&parsed.reasoning);
        for delta in parsed.tool_calls {
            let is_first = delta.index as usize == whole.calls.len();
            assert_eq!(is_first, !delta.name.is_empty(), "the first part alone is named");
            assert_eq!(is_first, !delta.id.is_empty(), "the first part alone has an id");
            if is_first {
                whole.calls.push((delta.name, String::new()));
            }
            let (_, arguments) = &mut whole.calls[delta.index as usize];
            arguments.push_str(&delta.arguments);
        }
    };
    for piece in pieces {
        take(parser.push(piece));
    }
    take(parser.finish());
    whole
}

/// The outcome for the whole text, which must be that of every cut into two and of single characters.
fn parse(parser: &OutputParser, text: &str) -> Whole {
    let whole = run(parser.clone(), [text]);
    for (cut, _) in text.char_indices() {
        assert_eq!(run(parser.clone(), [&text[..cut], &text[cut..]]), whole, "{text:?} cut at {cut}");
    }
    let singles = text.char_indices().map(|(at, c)| &text[at..at + c.len_utf8()]);
    assert_eq!(run(parser.clone(), singles), whole, "{text:?} character by character");
    whole
}

fn check(format: ToolCallFormat, text: &str, content: &str, calls: &[(&str, &str)]) {
    let parser = OutputParser::new(None, Some(rules(format)));
    let whole = parse(&parser, text);
    let calls = calls.iter().map(|(name, arguments)| ((*name).to_owned(), (*arguments).to_owned())).collect();
    let expected = Whole { content: content.to_owned(), reasoning: String::new(), calls };
    assert_eq!(whole, expected, "{format:?}: {text}");
}

#[test]
fn hermes_calls_stand_between_tags() {
    let check = |text: &str, content: &str, calls: &[(&str, &str)]| {
        check(ToolCallFormat::Hermes, text, content, calls)
    };
    let call = [("get_weather", ARGUMENTS)];
    let tagged = format!("<tool_call>\n{WEATHER}\n</tool_call>");
    check(&tagged, "", &call);
    check(&format!("I will look.\n{tagged}\n"), "I will look.", &call);
    let two =
        format!("{tagged}\n<tool_call>{{\"arguments\":{{\"a\":1}},\"name\":\"add\"}}</tool_call> Done.");
    check(&two, " Done.", &[call[0], ("add", "{\"a\":1}")]);
    // The closing tag is a special token in some vocabularies, or the answer's end stands for it.
    check(&format!("<tool_call>\n{WEATHER}"), "", &call);
    check(&format!("<tool_call>\n{WEATHER}\n</tool"), "", &call);
    check("<tool_call>{\"name\":\"add\"}</tool_call>", "", &[("add", "{}")]);
    check("<tool_call>{\"name\":\"add\",\"arguments\":null}</tool_call>", "", &[("add", "{}")]);
    check(r#"<tool_call>{"name":"add","arguments":"{\"a\": 1}"}</tool_call>"#, "", &[("add", "{\"a\": 1}")]);
    check(
        r#"<tool_call>[{"name":"add","arguments":{}},{"name":"add","arguments":{"b":2}}]</tool_call>"#,
        "",
        &[("add", "{}"), ("add", "{\"b\":2}")],
    );
}

#[test]
fn what_is_no_call_stays_content() {
    for text in [
        "",
        " \n ",
        "A < b, <tool_cal, {braces} and [lists].",
        "<tool_call>\n{\"name\": \"unknown\", \"arguments\": {}}\n</tool_call>",
        "<tool_call>{'name': 'add'}</tool_call>",
        "<tool_call>add(1)</tool_call>",
        "<tool_call>{\"name\": \"add\", \"arguments\": [1]}",
        "<tool_call>\n{\"name\": \"ad",
        "{\"name\": \"Ada\", \"age\": 3}",
        "{\"city\": \"Rome\"}",
        "{\"name\": \"add\"}",
        "```python\nadd(1)\n```\n",
        "```json\n{\"name\": \"unknown\", \"arguments\": {}}\n```",
        "[1] and\n[2]\n",
        "Call {\"name\": \"add\", \"arguments\": {}} in the middle of a line",
        "``` ```",
        "[TOOL_CALLS]nobody[ARGS]{}",
        "[TOOL_CALLS] see above",
        "<|python_tag|>print(1)",
    ] {
        for format in [
            ToolCallFormat::Hermes,
            ToolCallFormat::Llama3Json,
            ToolCallFormat::Mistral,
            ToolCallFormat::Json,
        ] {
            check(format, text, text, &[]);
        }
    }
}

#[test]
fn a_call_that_breaks_off_keeps_its_parts_and_gives_the_rest_back() {
    let broken = "<tool_call>{\"name\": \"add\", \"arguments\": {\"a\": 1, oops}}</tool_call>";
    check(ToolCallFormat::Hermes, broken, "oops}}</tool_call>", &[("add", "{\"a\": 1, ")]);
    let cut_off = "<tool_call>{\"name\": \"add\", \"arguments\": {\"a\": [1";
    check(ToolCallFormat::Hermes, cut_off, "", &[("add", "{\"a\": [1")]);
}

#[test]
fn objects_without_marks_are_calls_of_known_tools() {
    let call = [("get_weather", ARGUMENTS)];
    for format in
        [ToolCallFormat::Hermes, ToolCallFormat::Llama3Json, ToolCallFormat::Mistral, ToolCallFormat::Json]
    {
        check(format, WEATHER, "", &call);
        check(format, &format!("\n{WEATHER}\n"), "", &call);
        check(format, &format!("```json\n{WEATHER}\n```"), "", &call);
        check(format, &format!("Here:\n```\n{WEATHER}\n```\nDone"), "Here:\nDone", &call);
        check(format, &format!("{WEATHER}\n{WEATHER}"), "", &[call[0], call[0]]);
    }
    check(ToolCallFormat::Json, &format!("[{WEATHER}, {WEATHER}]"), "", &[call[0], call[0]]);
    check(ToolCallFormat::Json, &format!("```json\n[{WEATHER}]\n```"), "", &call);
}

#[test]
fn llama_calls_have_parameters_and_may_follow_the_python_tag() {
    let check = |text: &str, calls: &[(&str, &str)]| check(ToolCallFormat::Llama3Json, text, "", calls);
    check(r#"{"name": "add", "parameters": {"a": "1"}}"#, &[("add", r#"{"a": "1"}"#)]);
    check(r#"{"type": "function", "name": "add", "parameters": {}}"#, &[("add", "{}")]);
    check(
        r#"<|python_tag|>{"name": "add", "parameters": {}}; {"name": "get_weather", "parameters": {"x":0}}"#,
        &[("add", "{}"), ("get_weather", "{\"x\":0}")],
    );
}

#[test]
fn mistral_calls_follow_their_word() {
    let check = |text: &str, calls: &[(&str, &str)]| check(ToolCallFormat::Mistral, text, "", calls);
    check(&format!("[TOOL_CALLS] [{WEATHER}]"), &[("get_weather", ARGUMENTS)]);
    check(&format!("[TOOL_CALLS][{WEATHER},{WEATHER}]"), &[("get_weather", ARGUMENTS); 2]);
    check("[TOOL_CALLS]add[ARGS]{\"a\": {\"b\": 1}}", &[("add", "{\"a\": {\"b\": 1}}")]);
    check("[TOOL_CALLS]add[CALL_ID]x1Y[ARGS]{}[TOOL_CALLS]add{}", &[("add", "{}"), ("add", "{}")]);
}

#[test]
fn calls_after_the_first_are_left_out_when_one_is_wanted() {
    let rules = ToolRules { is_single: true, ..rules(ToolCallFormat::Hermes) };
    let text = format!("<tool_call>{WEATHER}</tool_call><tool_call>{WEATHER}</tool_call>");
    let whole = parse(&OutputParser::new(None, Some(rules)), &text);
    assert_eq!((whole.content.as_str(), whole.calls.len()), ("", 1));
}

#[test]
fn arguments_come_as_they_become_certain() {
    let mut parser = OutputParser::new(None, Some(rules(ToolCallFormat::Hermes)));
    let mut parts = Vec::new();
    for piece in ["<tool_call>{\"name\":", " \"add\", \"arguments\": {\"a", "\": 1", "}}"] {
        let parsed = parser.push(piece);
        parts.push(
            parsed.tool_calls.into_iter().map(|delta| (delta.name, delta.arguments)).collect::<Vec<_>>(),
        );
    }
    let part = |name: &str, arguments: &str| vec![(name.to_owned(), arguments.to_owned())];
    assert_eq!(parts, [vec![], part("add", "{\"a"), part("", "\": 1"), part("", "}")]);
}

#[test]
fn ids_differ_by_inference_choice_and_index_and_by_nothing_else() {
    let id = |number: u128, choice: u32, index: u32| {
        ToolRules {
            source: Some((InferenceId::new(Uuid::from_u128(number)), choice)),
            ..rules(ToolCallFormat::Hermes)
        }
        .call_id(index)
    };
    assert_eq!(id(1, 0, 0), id(1, 0, 0));
    let all = [id(1, 0, 0), id(2, 0, 0), id(1, 1, 0), id(1, 0, 1)];
    assert_eq!(all.iter().collect::<std::collections::HashSet<_>>().len(), 4);
    assert!(all.iter().all(|id| id.starts_with("call_") && id.len() == 29));
    assert_eq!(rules(ToolCallFormat::Mistral).call_id(0).len(), 9);
}

fn check_reasoning(start: SpanStart, text: &str, reasoning: &str, content: &str) {
    let parser = OutputParser::new(Some((ReasoningFormat::Think, start)), None);
    let expected = Whole { content: content.to_owned(), reasoning: reasoning.to_owned(), calls: Vec::new() };
    assert_eq!(parse(&parser, text), expected, "{start:?}: {text:?}");
}

#[test]
fn the_thinking_span_is_split_off_the_beginning() {
    check_reasoning(SpanStart::Unopened, "<think>\nA\n\nB.\n</think>\n\nC\n", "A\n\nB.", "C\n");
    check_reasoning(SpanStart::Unopened, " \n<think></think>C", "", "C");
    check_reasoning(SpanStart::Unopened, "C <think>no</think>", "", "C <think>no</think>");
    check_reasoning(SpanStart::Unopened, " <thin", "", " <thin");
    check_reasoning(SpanStart::Unopened, "<think>cut off </thi", "cut off </thi", "");
    check_reasoning(SpanStart::Inside, "\nA < b </think>\nC </think> D", "A < b", "C </think> D");
    check_reasoning(SpanStart::Inside, "never closed\n", "never closed", "");
    check_reasoning(SpanStart::Over, " <think>x</think>", "", " <think>x</think>");
}

#[test]
fn calls_may_follow_the_thinking_span() {
    let rules = rules(ToolCallFormat::Hermes);
    let parser = OutputParser::new(Some((ReasoningFormat::Think, SpanStart::Inside)), Some(rules));
    let whole = parse(
        &parser,
        &format!("<tool_call>{WEATHER}</tool_call>\n</think>\n\n<tool_call>{WEATHER}</tool_call>"),
    );
    assert_eq!(whole.reasoning, format!("<tool_call>{WEATHER}</tool_call>"), "what is thought is not called");
    assert_eq!((whole.content.as_str(), whole.calls.len()), ("", 1));
}

#[test]
fn the_prompt_s_end_says_where_the_answer_begins() {
    let check = |prompt: &str, continued: Option<&str>, expected: SpanStart| {
        assert_eq!(ReasoningFormat::Think.start_after(prompt, continued), expected, "{prompt:?}");
    };
    check("user: <think>\nassistant:\n", None, SpanStart::Unopened);
    check("assistant:\n<think>\n", None, SpanStart::Inside);
    check("assistant:\n<think>\n\n</think>\n\n", None, SpanStart::Over);
    check("assistant: <think>half a", Some("<think>half a"), SpanStart::Inside);
    check("assistant: <think>a</think>b", Some("<think>a</think>b"), SpanStart::Over);
    check("assistant: b", Some("b"), SpanStart::Over);
}

#[test]
fn the_span_s_bytes_are_those_between_the_marks() {
    let check = |text: &str, start: SpanStart, expected: std::ops::Range<usize>| {
        assert_eq!(ReasoningFormat::Think.span_of(text.as_bytes(), start), expected, "{text:?}");
    };
    check("<think>ab</think>c", SpanStart::Unopened, 7..9);
    check("\n<think>ab", SpanStart::Unopened, 8..10);
    check("ab</think>c", SpanStart::Inside, 0..2);
    check("c<think>", SpanStart::Unopened, 0..0);
    check("<think>", SpanStart::Over, 0..0);
}

#[test]
fn tokens_inside_the_span_are_counted() {
    let texts: [&[u8]; 5] = [b"<think>", b"ab", b"c\n", b"</think>", b"d"];
    let num = |start: SpanStart, tokens: &[u32]| {
        let rules = OutputRules { reasoning: Some((ReasoningFormat::Think, start)), tools: None };
        rules.num_reasoning_tokens(tokens, |id| texts[id as usize])
    };
    assert_eq!(num(SpanStart::Unopened, &[0, 1, 2, 3, 4]), 2);
    assert_eq!(num(SpanStart::Unopened, &[0, 1, 2]), 2);
    assert_eq!(num(SpanStart::Inside, &[1, 3, 4, 4]), 1);
    assert_eq!(num(SpanStart::Unopened, &[4, 0, 1]), 0);
    assert_eq!(OutputRules::default().num_reasoning_tokens(&[0, 1, 3], |id| texts[id as usize]), 0);
}

const FRAGMENTS: [&str; 20] = [
    "<tool_call>",
    "</tool_call>",
    "[TOOL_CALLS]",
    "<|python_tag|>",
    "[ARGS]",
    "add",
    "```",
    "json\n",
    "\n",
    " ",
    "{",
    "}",
    "\"name\": \"add\"",
    "\"arguments\": {",
    ", ",
    "[",
    "]",
    "\"a\": 1",
    "<think>",
    "</think>",
];

proptest! {
    /// Whatever a model writes: how it is cut makes no difference, and every visible character comes out somewhere unless
    /// it spells a call or a mark.
    #[test]
    fn any_text_is_parsed_alike_however_it_is_cut(
        fragments in prop::collection::vec(prop::sample::select(&FRAGMENTS[..]), 0..24),
        cuts in prop::collection::vec(1_usize..9, 1..8),
        format in prop::sample::select(vec![
            ToolCallFormat::Hermes, ToolCallFormat::Llama3Json, ToolCallFormat::Mistral, ToolCallFormat::Json,
        ]),
        start in prop::sample::select(vec![None, Some(SpanStart::Unopened), Some(SpanStart::Inside)]),
    ) {
        let text = fragments.concat();
        let parser = OutputParser::new(start.map(|start| (ReasoningFormat::Think, start)), Some(rules(format)));
        let whole = run(parser.clone(), [text.as_str()]);
        let mut pieces = Vec::new();
        let (mut rest, mut sizes) = (text.as_str(), cuts.iter().cycle());
        while !rest.is_empty() {
            let (piece, after) = rest.split_at((*sizes.next().unwrap()).min(rest.len()));
            pieces.push(piece);
            rest = after;
        }
        prop_assert_eq!(&run(parser, pieces), &whole);
        if whole.calls.is_empty() && start.is_none() {
            prop_assert_eq!(whole.content, text);
        }
    }
}
