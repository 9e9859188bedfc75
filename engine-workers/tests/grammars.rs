//! Answers that must match a grammar: the same tokens in every schedule and after every resume, and an end that fits.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failure here is a failed test"
)]

#[path = "support/engine_client.rs"]
#[expect(dead_code, reason = "draft models are for the tests of speculation")]
mod engine_client;
#[path = "support/fake_runner.rs"]
#[expect(dead_code, reason = "mishaps are for the tests of the engine's ends")]
mod fake_runner;

use std::sync::{OnceLock, mpsc};

use engine_client::{Answered, collect, request, run_all, start, token_table};
use engine_workers::engine::config::EngineConfig;
use engine_workers::engine::error::SubmitError;
use engine_workers::engine::output::FinishCause;
use engine_workers::engine::request::EngineRequest;
use engine_workers::grammar::compiled::CompiledGrammar;
use engine_workers::grammar::compiler::GrammarCompiler;
use engine_workers::grammar::matcher::GrammarMatcher;
use engine_workers::sampler::sampling_rules::SamplingRules;
use engine_workers::sampler::token_history::TokenHistory;
use engine_workers::sampler::{Sampler, random};
use engine_workers::speculation::config::SpeculativeConfig;
use fake_runner::{EOS, FakeRunner, logits_after};
use futures_util::future::join_all;
use proptest::prelude::*;
use schemas::SamplingParams;
use schemas::v1::grammar::Kind;

/// The vocabulary writes two letters with a token, or half of an "é".
const REGEXES: [&str; 4] =
    ["([a-m][A-C]){2,9}", "(é|[n-z][A-C]){1,12}", "aAbBcC|aA(dA)*", "([a-z][A-C])*(é([a-z][A-C]){3})*"];

fn compile(kind: &Kind) -> CompiledGrammar {
    static COMPILER: OnceLock<GrammarCompiler> = OnceLock::new();
    let compiler = COMPILER.get_or_init(|| GrammarCompiler::new(token_table(), None));
    compiler.compile(kind).expect("the grammar is valid")
}

fn constrained(mut request: EngineRequest, regex: &str) -> EngineRequest {
    let kind = Kind::Regex(regex.to_owned());
    request.grammar = Some(compile(&kind));
    request.sampling.grammar = Some(kind);
    request
}

/// The answer by its definition: no batch, no cache, no scheduler, no thread for masks.
fn definition(request: &EngineRequest, choice: u32) -> Vec<u32> {
    let params = &request.sampling;
    let stops = if params.ignore_eos { Vec::new() } else { vec![EOS] };
    let rules = SamplingRules::new(params, stops, Vec::new());
    let mut history = TokenHistory::new(&request.prompt_token_ids, &rules);
    let mut matcher = request
        .grammar
        .clone()
        .map(|grammar| GrammarMatcher::new(grammar, token_table(), !params.ignore_eos));
    while history.output_tokens().len() < params.max_tokens.unwrap() as usize {
        let output = history.output_tokens();
        let mut logits = logits_after(request.prompt_token_ids.iter().chain(output).copied());
        let draw = random::uniform(request.seed, choice, output.len() as u64);
        let mask = matcher.as_mut().map(|matcher| matcher.mask().unwrap().clone());
        let sampled = Sampler::default().sample_within(&mut logits, (&rules, mask.as_ref()), &history, draw);
        let token = sampled.unwrap().token_id;
        history.push(token);
        let is_whole = matcher.as_mut().is_some_and(|matcher| matcher.advance(token).unwrap());
        if is_whole || (token == EOS && !params.ignore_eos) {
            break;
        }
    }
    history.output_tokens().to_vec()
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

/// Drafts whatever followed the latest token before, which is often what the grammar repeats.
fn drafting() -> SpeculativeConfig {
    SpeculativeConfig {
        num_speculative_tokens: 4,
        prompt_lookup_min: 1,
        prompt_lookup_max: 3,
        ..SpeculativeConfig::default()
    }
}

fn run_one(request: EngineRequest) -> Answered {
    run_with(EngineConfig::default(), request)
}

fn run_with(config: EngineConfig, request: EngineRequest) -> Answered {
    block_on(run_all(FakeRunner::new(64, 4, 8), config, &[request])).remove(&(1, 0)).unwrap()
}

/// Requests with and without grammars, and parameters that a grammar must get along with.
fn requests() -> impl Strategy<Value = Vec<EngineRequest>> {
    let one = (0_usize..6, 1_u32..24, 0_u8..4, 1_u32..4, 1_usize..20, 0_u32..6);
    prop::collection::vec(one, 1..9).prop_map(|all| {
        let build = |(number, one): (u64, (usize, u32, u8, u32, usize, u32))| {
            let (regex, max_tokens, kind, n, num_prompt_tokens, min_tokens) = one;
            let prompt: Vec<u32> =
                (0..num_prompt_tokens).map(|i| 11 + (number as usize * 5 + i) as u32 % 50).collect();
            let new = request(number, &prompt, |params| {
                params.max_tokens = Some(max_tokens);
                params.min_tokens = min_tokens.min(max_tokens);
                params.n = n;
                params.temperature = if kind == 0 { 0.0 } else { 1.0 };
                params.top_k = if kind == 1 { 5 } else { 0 };
                params.repetition_penalty = if kind == 2 { 1.3 } else { 1.0 };
                params.logprobs = (kind == 3).then_some(2);
                params.ignore_eos = kind == 3;
            });
            match REGEXES.get(regex) {
                Some(regex) => constrained(new, regex),
                None => new,
            }
        };
        (1_u64..).zip(all).map(build).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn any_schedule_gives_the_same_tokens(
        requests in requests(),
        num_cache_blocks in 14_usize..60,
        budget in 1_usize..40,
        max_num_seqs in 1_usize..12,
        drafts in any::<bool>(),
    ) {
        let config = EngineConfig {
            max_num_seqs,
            max_num_batched_tokens: Some(budget),
            speculative: drafts.then(drafting),
            ..EngineConfig::default()
        };
        // The first step waits until all are queued, and the cache is small, so that preemption is common.
        let (permit, permits) = mpsc::channel();
        let runner = FakeRunner::new(num_cache_blocks, 4, 64).with_permits(permits);
        let answers = block_on(async {
            let (engine, mut outputs) = start(runner, config);
            let submissions = join_all(requests.iter().map(|request| engine.submit(request.clone())));
            let (accepted, ()) = tokio::join!(submissions, async { drop(permit) });
            accepted.into_iter().for_each(|outcome| outcome.unwrap());
            let num_ends = requests.iter().map(|request| request.sampling.n as usize).sum();
            let answers = collect(&mut outputs, num_ends).await;
            engine.shutdown().await;
            answers
        });
        for (number, request) in (1_u64..).zip(&requests) {
            for choice in 0..request.sampling.n {
                let answer = &answers[&(number, choice)];
                prop_assert_eq!(&answer.tokens, &definition(request, choice));
                if request.sampling.logprobs.is_some() {
                    prop_assert_eq!(answer.logprobs.len(), answer.tokens.len());
                }
            }
        }
    }

    #[test]
    fn an_answer_that_is_cut_anywhere_goes_on_with_the_same_tokens_and_end(
        requests in requests(),
        drafts in any::<bool>(),
    ) {
        let config = EngineConfig { speculative: drafts.then(drafting), ..EngineConfig::default() };
        let mut whole = requests[0].clone();
        whole.sampling.n = 1;
        let undisturbed = run_with(config.clone(), whole.clone());
        for num_kept in 0..=undisturbed.tokens.len() {
            let generated = vec![undisturbed.tokens[..num_kept].to_vec()];
            let rest = run_with(config.clone(), EngineRequest { generated, ..whole.clone() });
            prop_assert_eq!(&rest.tokens, &undisturbed.tokens[num_kept..]);
            let reasons = [&rest, &undisturbed].map(|answer| answer.finish.clone().map(|finish| finish.reason));
            prop_assert_eq!(&reasons[0], &reasons[1]);
        }
    }
}

fn check(regex: &str, change: impl FnOnce(&mut SamplingParams), expected: (&str, FinishCause)) {
    let answer = run_one(constrained(request(1, &[11, 12, 13], change), regex));
    let finish = answer.finish.unwrap().reason;
    assert_eq!((answer.text.as_str(), finish), expected, "{regex}");
}

#[test]
fn an_answer_ends_with_its_grammar_or_its_length() {
    let whole = |text| (text, FinishCause::EndOfSequence);
    check("aAbBcC", |_| {}, whole("aAbBcC"));
    check("aAbBcC", |params| params.ignore_eos = true, whole("aAbBcC"));
    check("aAbBcC", |params| params.max_tokens = Some(3), whole("aAbBcC"));
    check("aAbBcC", |params| params.max_tokens = Some(2), ("aAbB", FinishCause::Length));
    check("aAbBcC", |params| params.min_tokens = 7, whole("aAbBcC"));
    check(
        "aA(bB)*",
        |params| (params.min_tokens, params.max_tokens) = (3, Some(3)),
        ("aAbBbB", FinishCause::Length),
    );
    check("éaA", |_| {}, whole("éaA"));
    check(
        "aAbBcC",
        |params| params.stop = vec!["Ab".to_owned()],
        ("a", FinishCause::StopString("Ab".to_owned())),
    );
}

#[test]
fn rules_that_exclude_all_that_the_grammar_allows_end_the_answer_with_a_reason() {
    let excluded = constrained(request(1, &[11, 12], |params| params.allowed_token_ids = vec![40]), "aA");
    match run_one(excluded).finish.unwrap().reason {
        FinishCause::Error(failure) => assert_eq!(failure.code, "no_token_allowed"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn tokens_of_an_earlier_attempt_that_do_not_match_end_the_answer_with_a_reason() {
    let mut resumed = constrained(request(1, &[11, 12], |_| {}), "aA");
    resumed.generated = vec![vec![40]];
    match run_one(resumed).finish.unwrap().reason {
        FinishCause::Error(failure) => assert_eq!(failure.code, "grammar_mismatch"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_grammar_that_was_not_compiled_is_refused() {
    let (engine, _outputs) = start(FakeRunner::new(64, 4, 8), EngineConfig::default());
    let mut request = request(1, &[11], |_| {});
    request.sampling.grammar = Some(Kind::JsonObject(true));
    match engine.submit(request).await {
        Err(SubmitError::Invalid(invalid)) => assert_eq!(invalid.param, "grammar"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn compiled_grammars_are_equal_by_their_source_and_hide_it() {
    let [a, b] = ["aA", "bB"].map(|regex| compile(&Kind::Regex(regex.to_owned())));
    assert_eq!(a, compile(&Kind::Regex("aA".to_owned())));
    assert_ne!(a, b);
    assert!(!format!("{:?}", constrained(request(1, &[1], |_| {}), "aA").grammar).contains("aA"));
}
