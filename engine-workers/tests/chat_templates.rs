//! Rendered conversations against Jinja2's, and what the templates of real models do.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use engine_workers::chat_template::error::TemplateError;
use engine_workers::chat_template::{ChatTemplate, RenderOptions, SpecialTokenTexts};
use engine_workers::model_file::ModelFile;
use engine_workers::output_parser::reasoning::{ReasoningFormat, SpanStart};
use engine_workers::output_parser::tool_call_format::ToolCallFormat;
use engine_workers::worker::OutputFormats;
use serde_json::{Value, json};

/// A file that `infra/test` fetches.
fn fetched(folder: &str, name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.jetmill").join(folder).join(name);
    assert!(path.is_file(), "{} is missing: run infra/test, which fetches it", path.display());
    path
}

fn fixture(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/templates").join(name);
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn tokens() -> SpecialTokenTexts {
    SpecialTokenTexts { bos: "<s>".into(), eos: "</s>".into(), unk: "<unk>".into(), pad: String::new() }
}

const OPTIONS: RenderOptions<'static> = RenderOptions {
    add_generation_prompt: true,
    continue_final_message: false,
    tools: None,
    documents: None,
    kwargs: None,
    now: SystemTime::UNIX_EPOCH,
};

fn render_case(template: &ChatTemplate, case: &Value, now: SystemTime) -> Result<String, TemplateError> {
    let options = RenderOptions {
        add_generation_prompt: case["add_generation_prompt"].as_bool().unwrap(),
        tools: case.get("tools").map(|tools| tools.as_array().unwrap().as_slice()),
        kwargs: case.get("kwargs").map(|kwargs| kwargs.as_object().unwrap()),
        now,
        ..OPTIONS
    };
    template.render(case["messages"].as_array().unwrap(), &options)
}

/// Where ours departs from Python's outcome. A failure's text may differ, a refusal's must not. Looping over none is an error
/// in Python and an empty loop here.
fn difference(ours: &Result<String, TemplateError>, python: &Value) -> Option<String> {
    let (ours, expected) = match (ours, &python["fails"]) {
        (Ok(_), Value::String(error)) if error == "TypeError: 'NoneType' object is not iterable" => {
            return None;
        }
        (Ok(text), _) => (text.clone(), python["text"].as_str()),
        (Err(TemplateError::Refused { message }), _) => (message.clone(), python["refused"].as_str()),
        (Err(_), Value::String(_)) => return None,
        (Err(error), _) => (error.to_string(), None),
    };
    let Some(expected) = expected else { return Some(format!("ours: {ours:.200}; python: {python:.200}")) };
    let at = ours.chars().zip(expected.chars()).take_while(|(a, b)| a == b).count();
    let from = |text: &str| text.chars().skip(at.saturating_sub(20)).take(60).collect::<String>();
    (ours != expected).then(|| format!("at {at}, ours: {:?}; python: {:?}", from(&ours), from(expected)))
}

/// Renders every template with every case of a fixture; `differing` are the pairs known to differ, with the reason.
fn check(file: &str, differing: &[(&str, &str)]) {
    let fixture = fixture(file);
    let now = UNIX_EPOCH + Duration::from_secs(fixture["now"].as_u64().unwrap());
    let (mut num_compared, mut unexpected) = (0, Vec::new());
    for (name, expected) in fixture["expected"].as_object().unwrap() {
        let source = std::fs::read_to_string(fetched("templates", name)).unwrap();
        let template = ChatTemplate::new(&source, tokens());
        for (case_name, python) in expected.as_object().unwrap() {
            let ours = match &template {
                Ok(template) => render_case(template, &fixture["cases"][case_name], now),
                Err(error) => Err(TemplateError::Syntax { reason: error.to_string() }),
            };
            num_compared += 1;
            let is_known = differing.contains(&(name.as_str(), case_name.as_str()));
            let found = difference(&ours, python);
            if found.is_some() != is_known {
                unexpected.push(format!("{name}, {case_name}: {found:?}"));
            }
        }
    }
    assert!(num_compared >= 200, "{num_compared} renderings were compared");
    assert!(
        unexpected.is_empty(),
        "{} of {num_compared} are not as expected:\n{}",
        unexpected.len(),
        unexpected.join("\n")
    );
}

#[test]
fn conversations_without_tools_are_rendered_as_by_jinja2() {
    check("turns.json", &[]);
}

#[test]
fn conversations_with_tools_are_rendered_as_by_jinja2() {
    let cases = ["tools", "tool result", "tool answer"];
    // Python escapes HTML in what is added to a string marked `safe`; there is no such marking here.
    let marked_safe = cases.map(|case| ("meetkai-functionary-medium-v3.1.jinja", case));
    // It turns a generator into JSON, which Python refuses.
    let generator = cases.map(|case| ("llama-cpp-deepseek-r1.jinja", case));
    check("tools.json", &[marked_safe, generator].concat());
}

fn model_template(name: &str) -> ChatTemplate {
    let model = ModelFile::open(&fetched("models", name)).unwrap();
    ChatTemplate::new(model.templates().select(false).unwrap(), tokens()).unwrap()
}

fn user(text: &str) -> Value {
    json!({"role": "user", "content": text})
}

#[test]
fn templates_of_the_test_models_write_chatml() {
    let check = |name: &str, system: &str| {
        assert_eq!(
            model_template(name).render(&[user("Hi")], &OPTIONS).unwrap(),
            format!(
                "<|im_start|>system\n{system}<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
            )
        );
    };
    check(
        "smollm2-135m-instruct-q4_1.gguf",
        "You are a helpful AI assistant named SmolLM, trained by Hugging Face",
    );
    check(
        "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
        "You are Qwen, created by Alibaba Cloud. You are a helpful assistant.",
    );
}

#[test]
fn templates_tell_how_their_models_write_calls_and_thoughts() {
    let check = |name: &str, tool_calls: Option<ToolCallFormat>, reasoning: Option<ReasoningFormat>| {
        let source = std::fs::read_to_string(fetched("templates", name)).unwrap();
        let expected = OutputFormats {
            tool_calls: tool_calls.unwrap_or(ToolCallFormat::Json),
            has_tool_template: tool_calls.is_some(),
            reasoning,
        };
        assert_eq!(OutputFormats::of_template(&source), expected, "{name}");
    };
    use ReasoningFormat::Think;
    use ToolCallFormat::{Hermes, Llama3Json, Mistral};
    check("Qwen-Qwen2.5-7B-Instruct.jinja", Some(Hermes), None);
    check("Qwen-Qwen3-0.6B.jinja", Some(Hermes), Some(Think));
    check("Qwen-QwQ-32B.jinja", Some(Hermes), Some(Think));
    check("NousResearch-Hermes-3-Llama-3.1-8B-tool_use.jinja", Some(Hermes), None);
    check("meta-llama-Llama-3.1-8B-Instruct.jinja", Some(Llama3Json), None);
    check("meta-llama-Llama-3.2-3B-Instruct.jinja", Some(Llama3Json), None);
    check("mistralai-Mistral-Nemo-Instruct-2407.jinja", Some(Mistral), None);
    check("mistralai-Ministral-3-14B-Reasoning-2512.jinja", Some(Mistral), Some(ReasoningFormat::Mistral));
    check("deepseek-ai-DeepSeek-R1-Distill-Qwen-32B.jinja", None, Some(Think));
    check("google-gemma-2-2b-it.jinja", None, None);
}

#[test]
fn the_prompt_of_a_thinking_model_says_where_its_answer_begins() {
    let start = |name: &str, kwargs: Value| {
        let source = std::fs::read_to_string(fetched("templates", name)).unwrap();
        let options = RenderOptions { kwargs: kwargs.as_object(), ..OPTIONS };
        let prompt = ChatTemplate::new(&source, tokens()).unwrap().render(&[user("Hi")], &options).unwrap();
        ReasoningFormat::Think.start_after(&prompt, None)
    };
    assert_eq!(start("Qwen-Qwen3-0.6B.jinja", json!({})), SpanStart::Unopened);
    assert_eq!(start("Qwen-Qwen3-0.6B.jinja", json!({"enable_thinking": false})), SpanStart::Over);
    assert_eq!(start("Qwen-QwQ-32B.jinja", json!({"enable_thinking": true})), SpanStart::Inside);
    assert_eq!(start("Qwen-QwQ-32B.jinja", json!({"enable_thinking": false})), SpanStart::Over);
    assert_eq!(start("HuggingFaceTB-SmolLM3-3B.jinja", json!({"enable_thinking": false})), SpanStart::Over);
}

fn chatml() -> ChatTemplate {
    let source = "{% for m in messages %}[{{ m.role }}]{{ m.content | trim }}[end]{% endfor %}\
                  {% if add_generation_prompt %}[assistant]{% endif %}";
    ChatTemplate::new(source, tokens()).unwrap()
}

#[test]
fn final_message_is_continued_where_its_text_ends() {
    let options = RenderOptions { add_generation_prompt: false, continue_final_message: true, ..OPTIONS };
    let check = |last: &str, expected: &str| {
        let messages = [user("Count"), json!({"role": "assistant", "content": last})];
        assert_eq!(chatml().render(&messages, &options).unwrap(), expected);
    };
    check("One, two", "[user]Count[end][assistant]One, two");
    check("  One, two \n", "[user]Count[end][assistant]One, two");

    let both = RenderOptions { continue_final_message: true, ..OPTIONS };
    let error = chatml().render(&[user("Count")], &both).unwrap_err();
    assert_eq!(error.code(), "chat_template_invalid_request");
    let no_text = [json!({"role": "assistant", "content": null})];
    assert!(chatml().render(&no_text, &options).unwrap_err().is_client_error());
}

#[test]
fn text_parts_are_joined_for_templates_that_know_only_text() {
    let parts = |last: Value| [json!({"role": "user", "content": [{"type": "text", "text": "a"}, last]})];
    let text = chatml().render(&parts(json!({"type": "text", "text": "b"})), &OPTIONS).unwrap();
    assert_eq!(text, "[user]a\nb[end][assistant]");
    let image = parts(json!({"type": "image_url", "image_url": {"url": "x"}}));
    let error = chatml().render(&image, &OPTIONS).unwrap_err().to_string();
    assert_eq!(error, "a content part of type `image_url` is given, but this model takes text only");
}

#[test]
fn tool_arguments_in_a_string_reach_the_template_as_an_object() {
    let source = "{% for c in messages[-1].tool_calls %}{{ c.function.arguments | tojson }};{% endfor %}";
    let template = ChatTemplate::new(source, tokens()).unwrap();
    let call = |arguments: &str| json!({"function": {"name": "f", "arguments": arguments}});
    let calls = [call("{\"b\":1,\"a\":[0.5,null]}"), call(""), call("not json")];
    let message = json!({"role": "assistant", "content": null, "tool_calls": calls});
    let text = template.render(&[message], &OPTIONS).unwrap();
    assert_eq!(text, "{\"b\": 1, \"a\": [0.5, null]};{};\"not json\";");
}

#[test]
fn refusal_carries_the_words_of_the_template() {
    let source = "{% macro m() %}{{ raise_exception('Only user and ' ~ messages[0].role ~ '!') }}{% endmacro %}{{ m() }}";
    let error = ChatTemplate::new(source, tokens()).unwrap().render(&[user("x")], &OPTIONS).unwrap_err();
    assert!(
        matches!(&error, TemplateError::Refused { message } if message == "Only user and user!"),
        "{error:?}"
    );
    assert!(error.is_client_error());
}

#[test]
fn endless_work_and_endless_recursion_end_in_an_error() {
    let check = |source: &str, is_expected: fn(&TemplateError) -> bool| {
        let template = ChatTemplate::new(source, tokens()).unwrap();
        let error = template.render(&[user("x")], &OPTIONS).unwrap_err();
        assert!(is_expected(&error), "{source}: {error}");
    };
    check("{% for a in range(9999) %}{% for b in range(9999) %}{{ a }}{% endfor %}{% endfor %}", |error| {
        matches!(error, TemplateError::OutOfFuel { .. })
    });
    check("{{ 'x' * 10000000000 }}", |error| error.is_client_error());
    check("{% macro m(x) %}{{ m(x) }}{% endmacro %}{{ m(1) }}", |error| {
        matches!(error, TemplateError::Render { .. })
    });
}

#[test]
fn invalid_template_is_a_fault_of_the_model() {
    let error = ChatTemplate::new("{% if %}", tokens()).unwrap_err();
    assert_eq!(error.code(), "chat_template_syntax");
    assert!(!error.is_client_error());
}

#[test]
fn kwargs_reach_the_template_but_cannot_replace_the_conversation() {
    let source = "{{ enable_thinking }} {{ messages | length }} {{ tools }}";
    let kwargs = json!({"enable_thinking": false, "messages": [], "tools": [1]});
    let options = RenderOptions { kwargs: kwargs.as_object(), ..OPTIONS };
    let template = ChatTemplate::new(source, tokens()).unwrap();
    assert_eq!(template.render(&[user("x")], &options).unwrap(), "False 1 None");
}
