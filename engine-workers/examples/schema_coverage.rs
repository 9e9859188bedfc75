//! How much of JSON Schema answers can be held to, what masks cost, and whether a model's answers validate.
//!
//! `cargo run --release -p engine-workers --example schema_coverage -- MODEL [NUM_ANSWERS_PER_SCHEMA]`
//!
//! First the required tests of the JSON Schema Test Suite, without a model. Then the model answers every schema that
//! compiles, and each answer that ended by itself is validated by the crate `jsonschema`. Then the masks of those answers
//! are computed once more, one by one, for their times. Last, eight streams without a grammar run alone, beside eight
//! others, and beside eight with a grammar.

#![expect(
    clippy::print_stdout,
    clippy::expect_used,
    reason = "a report is what this program is for, and it shares a file with the tests, which may unwrap"
)]

#[path = "../tests/support/schema_suite.rs"]
mod schema_suite;

use std::collections::{BTreeMap, HashMap};
use std::error::Error;
use std::sync::Arc;
use std::time::Instant;

use engine_workers::cpu_runner::options::{CpuRunnerOptions, KvCapacity};
use engine_workers::detokenizer::TokenTable;
use engine_workers::engine::config::EngineConfig;
use engine_workers::engine::output::FinishCause;
use engine_workers::engine::request::EngineRequest;
use engine_workers::grammar::matcher::GrammarMatcher;
use engine_workers::loaded_model::{FormatOptions, LoadedModel, ModelLoadOptions};
use futures_util::future::join_all;
use schema_suite::{DRAFTS, Group, cover, groups};
use schemas::v1::grammar::Kind;
use schemas::v1::{ChatPrompt, Prompt, prompt::Content};
use schemas::{InferenceId, SamplingParams};
use serde::Deserialize;
use serde_json::{Value, json};

const MAX_TOKENS: u32 = 300;
const MAX_NUM_SEQS: usize = 16;
const NUM_STREAMS: u64 = 8;
const NUM_STREAM_TOKENS: u32 = 96;
const EXAMPLES: &str = include_str!("../tests/fixtures/json_schema/examples.json");

#[derive(Debug, Clone, Deserialize)]
struct Task {
    name: String,
    ask: String,
    schema: Value,
}

/// One answer of the model.
#[derive(Debug, Default)]
struct Answer {
    task: usize,
    text: String,
    token_ids: Vec<u32>,
    finish: Option<FinishCause>,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().ok_or("usage: schema_coverage MODEL [NUM_ANSWERS_PER_SCHEMA]")?;
    let num_answers: u64 = arguments.next().map_or(Ok(1), |text| text.parse())?;
    let mut tasks: Vec<Task> = serde_json::from_str(EXAMPLES)?;
    for (name, json, draft) in DRAFTS {
        let groups = groups(json, draft);
        report(name, &groups);
        tasks.extend(groups.into_iter().map(|group| Task {
            name: format!("{}: {}", group.file, group.description),
            ask: "Give an example.".to_owned(),
            schema: group.schema,
        }));
    }
    let mut model = load(&path)?;
    let answers = answer_all(&mut model, &tasks, num_answers).await?;
    validate(&tasks, &answers);
    time_masks(&model, &tasks, &answers)?;
    compare_neighbours(&mut model).await
}

fn report(name: &str, groups: &[Group]) {
    let coverage = cover(groups);
    let num_compiled = coverage.num_schemas - coverage.refused.len();
    println!(
        "{name}: {num_compiled} of {} schemas compile; valid instances accepted: {} of {}; invalid ones: {} of {}",
        coverage.num_schemas,
        coverage.num_valid_accepted,
        coverage.num_valid,
        coverage.wrongly_accepted.len(),
        coverage.num_invalid,
    );
    let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
    for (_, reason) in coverage.refused {
        let reason = reason.trim_start_matches("the JSON schema cannot be used: ").chars().take(90).collect();
        *reasons.entry(reason).or_default() += 1;
    }
    let mut reasons: Vec<_> = reasons.into_iter().collect();
    reasons.sort_by_key(|(_, num)| std::cmp::Reverse(*num));
    for (reason, num) in reasons {
        println!("    refused {num:3} × {reason}");
    }
}

fn load(path: &str) -> Result<LoadedModel, Box<dyn Error>> {
    Ok(LoadedModel::load(ModelLoadOptions {
        path: path.into(),
        name: None,
        aliases: Vec::new(),
        runner: CpuRunnerOptions { kv_capacity: KvCapacity::Blocks(2048), ..CpuRunnerOptions::default() },
        engine: EngineConfig { max_num_seqs: MAX_NUM_SEQS, ..EngineConfig::default() },
        digest_cache_dir: None,
        formats: FormatOptions::default(),
    })?)
}

async fn answer_all(
    model: &mut LoadedModel,
    tasks: &[Task],
    num_answers: u64,
) -> Result<Vec<Answer>, Box<dyn Error>> {
    let mut answers: HashMap<InferenceId, Answer> = HashMap::new();
    for (index, task) in tasks.iter().enumerate() {
        let kind = Kind::JsonSchema(task.schema.to_string());
        let Ok(grammar) = model.text.grammars.compile(&kind) else { continue };
        for number in 0..num_answers {
            let schema = task.schema.to_string().chars().take(600).collect::<String>();
            let ask = format!("{} Answer with JSON that matches this schema: {schema}", task.ask);
            let chat = ChatPrompt {
                messages_json: json!([{"role": "user", "content": ask}]).to_string(),
                add_generation_prompt: true,
                ..ChatPrompt::default()
            };
            let sampling = SamplingParams {
                max_tokens: Some(MAX_TOKENS),
                seed: Some(number),
                temperature: if number == 0 { 0.0 } else { 1.0 },
                grammar: Some(kind.clone()),
                ..SamplingParams::default()
            };
            let prompt = Prompt { content: Some(Content::Chat(chat)) };
            let tokens = model.text.tokens_of(&prompt, &sampling).map_err(|failure| failure.message)?;
            let id: InferenceId = format!("{:032x}", (index as u64) << 16 | number).parse()?;
            let mut request = EngineRequest::new(id, tokens, sampling);
            request.grammar = Some(grammar.clone());
            answers.insert(id, Answer { task: index, ..Answer::default() });
            while let Err(error) = model.engine.submit(request.clone()).await {
                if !error.is_retryable() {
                    return Err(error.into());
                }
                read_step(model, &mut answers).await;
            }
        }
    }
    while answers.values().any(|answer| answer.finish.is_none()) {
        read_step(model, &mut answers).await;
    }
    let mut answers: Vec<Answer> = answers.into_values().collect();
    answers.sort_by_key(|answer| answer.task);
    Ok(answers)
}

async fn read_step(model: &mut LoadedModel, answers: &mut HashMap<InferenceId, Answer>) {
    let Some(step) = model.outputs.recv().await else { return };
    for output in step.sequences {
        if let Some(answer) = answers.get_mut(&output.id) {
            answer.text.push_str(&output.text);
            answer.token_ids.extend(output.token_ids);
            answer.finish = output.finish.map(|finish| finish.reason);
        }
    }
}

/// Tokens per second of eight streams without a grammar, whatever their neighbours are.
async fn compare_neighbours(model: &mut LoadedModel) -> Result<(), Box<dyn Error>> {
    let item = json!({"type": "object", "properties": {"name": {"type": "string"}, "n": {"type": "integer"}},
        "required": ["name", "n"], "additionalProperties": false});
    let endless = json!({"type": "array", "minItems": 1000, "items": item});
    let kind = Kind::JsonSchema(endless.to_string());
    let grammar = model.text.grammars.compile(&kind)?;
    for round in 0..3 {
        for (index, (name, num_neighbours, are_constrained)) in
            [("alone", 0, false), ("beside 8 without a grammar", 8, false), ("beside 8 with one", 8, true)]
                .into_iter()
                .enumerate()
        {
            let mut answers = HashMap::new();
            let mut requests = Vec::new();
            for number in 0..NUM_STREAMS + num_neighbours {
                let is_constrained = are_constrained && number >= NUM_STREAMS;
                let sampling = SamplingParams {
                    max_tokens: Some(NUM_STREAM_TOKENS),
                    ignore_eos: true,
                    seed: Some(number),
                    grammar: is_constrained.then(|| kind.clone()),
                    ..SamplingParams::default()
                };
                let id: InferenceId =
                    format!("{:032x}", 1 << 40 | round << 16 | (index as u64) << 8 | number).parse()?;
                let prompt =
                    (0..32).map(|position| 500 + (position * 37 + number as u32 * 101) % 20_000).collect();
                let mut request = EngineRequest::new(id, prompt, sampling);
                request.grammar = is_constrained.then(|| grammar.clone());
                answers.insert(id, Answer::default());
                requests.push((number, request));
            }
            let started = Instant::now();
            let streams: Vec<InferenceId> = requests
                .iter()
                .filter(|(number, _)| *number < NUM_STREAMS)
                .map(|(_, request)| request.id)
                .collect();
            let accepted =
                join_all(requests.into_iter().map(|(_, request)| model.engine.submit(request))).await;
            accepted.into_iter().collect::<Result<Vec<()>, _>>()?;
            let mut took = None;
            while answers.values().any(|answer| answer.finish.is_none()) {
                read_step(model, &mut answers).await;
                if streams.iter().all(|id| answers[id].finish.is_some()) {
                    took.get_or_insert_with(|| started.elapsed());
                }
            }
            let num_tokens = (NUM_STREAMS * u64::from(NUM_STREAM_TOKENS)) as f64;
            let rate = num_tokens / took.unwrap_or(started.elapsed()).as_secs_f64();
            println!("round {round}: 8 streams {name}: {rate:.0} tok/s");
        }
    }
    Ok(())
}

fn validate(tasks: &[Task], answers: &[Answer]) {
    let (mut num_finished, mut num_valid, mut num_cut, mut num_failed) = (0, 0, 0, 0);
    for answer in answers {
        let task = &tasks[answer.task];
        match &answer.finish {
            Some(FinishCause::EndOfSequence) => {
                num_finished += 1;
                let document = serde_json::from_str::<Value>(&answer.text);
                let validator = jsonschema::validator_for(&task.schema);
                let fault = match (document, validator) {
                    (Ok(document), Ok(validator)) => {
                        validator.validate(&document).err().map(|e| e.to_string())
                    }
                    (Err(error), _) => Some(error.to_string()),
                    (_, Err(error)) => Some(format!("the validator refuses the schema: {error}")),
                };
                match fault {
                    None => num_valid += 1,
                    Some(fault) => println!("    INVALID {}: {} {fault}", task.name, answer.text),
                }
            }
            Some(FinishCause::Length) => num_cut += 1,
            other => {
                num_failed += 1;
                println!("    FAILED {}: {other:?} after {}", task.name, answer.text);
            }
        }
    }
    println!(
        "{} answers: {num_finished} ended by themselves, {num_valid} of them valid; {num_cut} cut at {MAX_TOKENS} \
         tokens; {num_failed} failed",
        answers.len()
    );
}

fn time_masks(model: &LoadedModel, tasks: &[Task], answers: &[Answer]) -> Result<(), Box<dyn Error>> {
    let tokenizer = &model.text.tokenizer;
    let num_tokens = u32::try_from(tokenizer.vocab_size())?;
    let tokens = (0..num_tokens).map(|id| (tokenizer.token_bytes(id), tokenizer.is_special(id)));
    let table = Arc::new(TokenTable::new(tokens, tokenizer.special_ids().eos.clone()));
    let mut micros = Vec::new();
    let mut firsts = Vec::new();
    for answer in answers {
        let grammar =
            model.text.grammars.compile(&Kind::JsonSchema(tasks[answer.task].schema.to_string()))?;
        let mut matcher = GrammarMatcher::new(grammar, Arc::clone(&table), true);
        for (index, token) in answer.token_ids.iter().enumerate() {
            let started = Instant::now();
            matcher.mask()?;
            let took = started.elapsed().as_secs_f64() * 1e6;
            if index == 0 {
                firsts.push(took)
            } else {
                micros.push(took)
            }
            matcher.advance(*token)?;
        }
    }
    for (name, mut times) in [("first masks, copy of the automaton included", firsts), ("masks", micros)] {
        times.sort_by(f64::total_cmp);
        let at = |share: f64| times.get((times.len() as f64 * share) as usize).or(times.last()).copied();
        println!(
            "{} {name}: p50 {:.0} µs, p99 {:.0} µs, longest {:.0} µs",
            times.len(),
            at(0.5).unwrap_or(0.0),
            at(0.99).unwrap_or(0.0),
            at(1.0).unwrap_or(0.0)
        );
    }
    Ok(())
}
