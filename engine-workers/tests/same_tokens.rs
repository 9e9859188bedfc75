//! A sequence's tokens do not depend on its batch, on chunking, on preemption, on prefix hits or on a resume.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failure here is a failed test"
)]

#[path = "support/engine_client.rs"]
mod engine_client;
#[path = "support/fake_runner.rs"]
#[expect(dead_code, reason = "mishaps are for the tests of the engine's ends")]
mod fake_runner;

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, mpsc};

use engine_client::{collect, request, run_all, start, start_with_draft_model};
use engine_workers::cpu_runner::CpuRunner;
use engine_workers::cpu_runner::options::{CpuRunnerOptions, KvCapacity};
use engine_workers::detokenizer::{Detokenizer, TokenTable};
use engine_workers::engine::Engine;
use engine_workers::engine::config::EngineConfig;
use engine_workers::engine::request::EngineRequest;
use engine_workers::engine::thinking::ThinkingRules;
use engine_workers::model_file::ModelFile;
use engine_workers::output_parser::reasoning::SpanStart;
use engine_workers::sampler::sampling_rules::SamplingRules;
use engine_workers::sampler::token_history::TokenHistory;
use engine_workers::sampler::{Sampler, random};
use engine_workers::speculation::config::SpeculativeConfig;
use engine_workers::stop_strings::StopStringMatcher;
use fake_runner::{EOS, FakeRunner, logits_after};
use futures_util::future::join_all;
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use schedulers::batching::config::Policy;
use schemas::SamplingParams;

/// The answer by its definition: no batch, no cache, no scheduler.
fn definition(request: &EngineRequest, choice: u32) -> Vec<u32> {
    let params = &request.sampling;
    let rules = SamplingRules::new(params, vec![EOS], Vec::new());
    let mut history = TokenHistory::new(&request.prompt_token_ids, &rules);
    while history.output_tokens().len() < params.max_tokens.unwrap() as usize {
        let output = history.output_tokens();
        let mut logits = logits_after(request.prompt_token_ids.iter().chain(output).copied());
        let draw = random::uniform(request.seed, choice, output.len() as u64);
        let token = Sampler::default().sample(&mut logits, &rules, &history, draw).unwrap().token_id;
        history.push(token);
        if token == EOS {
            break;
        }
    }
    history.output_tokens().to_vec()
}

/// The same for a request that ignores the end of sequence.
fn definition_without_eos(request: &EngineRequest) -> Vec<u32> {
    let rules = SamplingRules::new(&request.sampling, Vec::new(), Vec::new());
    let mut history = TokenHistory::new(&request.prompt_token_ids, &rules);
    for index in 0..u64::from(request.sampling.max_tokens.unwrap()) {
        let prefix = request.prompt_token_ids.iter().chain(history.output_tokens()).copied();
        let mut logits = logits_after(prefix);
        let draw = random::uniform(request.seed, 0, index);
        history.push(Sampler::default().sample(&mut logits, &rules, &history, draw).unwrap().token_id);
    }
    history.output_tokens().to_vec()
}

/// Text that is out with the last of `tokens`, when more are to come.
fn num_published_bytes(tokens: &[u32], stops: &[String]) -> usize {
    let mut detokenizer = Detokenizer::new(engine_client::token_table(), true);
    let mut matcher = StopStringMatcher::new(stops.iter().cloned().collect(), false);
    let mut text = String::new();
    for token in tokens {
        let mut piece = String::new();
        detokenizer.push(*token, &mut piece);
        assert_eq!(matcher.push(&piece, &mut text), None);
    }
    text.len()
}

#[derive(Debug, Clone)]
struct Schedule {
    num_blocks: usize,
    block_size_tokens: usize,
    config: EngineConfig,
    /// Blocks of a draft model and how little it agrees.
    draft_model: Option<(usize, u8)>,
    /// Requests submitted before each wait for an end.
    burst: usize,
}

fn speculations() -> impl Strategy<Value = SpeculativeConfig> {
    (1_usize..9, 1_usize..4, 0_usize..6, 2_usize..20).prop_map(|(num_tokens, min, more, batch_size)| {
        SpeculativeConfig {
            num_speculative_tokens: num_tokens,
            prompt_lookup_min: min,
            prompt_lookup_max: min + more,
            disable_by_batch_size: batch_size,
            ..SpeculativeConfig::default()
        }
    })
}

/// The tokens whose texts are "cB" and "dB".
const CLOSING: [u32; 2] = [28, 29];

/// An answer that begins inside its thinking span.
fn thinking_within(budget_tokens: usize) -> ThinkingRules {
    ThinkingRules {
        start: SpanStart::Inside,
        opening: "aB",
        closing: "cBdB",
        forced_opening: Vec::new(),
        closing_token_ids: CLOSING.to_vec(),
        budget_tokens: Some(budget_tokens),
    }
}

fn schedules() -> impl Strategy<Value = Schedule> {
    let draft_model = prop::option::of((4_usize..60, 0_u8..9));
    let cache = (24_usize..80, 1_usize..9, prop::option::weighted(0.8, speculations()), draft_model);
    let threshold = prop::option::of(1_usize..20);
    (cache, 1_usize..40, 1_usize..20, threshold, any::<(bool, bool)>(), 1_usize..17).prop_map(
        |(
            (num_cache_tokens, block_size_tokens, speculative, draft_model),
            budget,
            max_num_seqs,
            threshold,
            flags,
            burst,
        )| Schedule {
            // From just enough for the longest sequence, so that preemption is common.
            num_blocks: (num_cache_tokens + 46).div_ceil(block_size_tokens),
            block_size_tokens,
            config: EngineConfig {
                max_num_seqs,
                max_num_batched_tokens: Some(budget),
                long_prefill_token_threshold: threshold,
                enable_prefix_caching: flags.0,
                policy: if flags.1 { Policy::Fcfs } else { Policy::Priority },
                speculative: speculative.clone(),
                ..EngineConfig::default()
            },
            draft_model: draft_model.filter(|_| speculative.is_some()),
            burst,
        },
    )
}

/// Prompts with common prefixes, and parameters that make tokens depend on prompt, answer and seed.
fn requests() -> impl Strategy<Value = Vec<EngineRequest>> {
    let one = (0_usize..3, 0_usize..24, 1_usize..9, 1_u32..24, 0_u8..4, 1_u32..4, -2_i32..3);
    prop::collection::vec(one, 1..17).prop_map(|all| {
        let build = |(number, (family, shared, own, max_tokens, kind, n, priority))| {
            let prefix = (0..shared).map(|i| 11 + (family * 7 + i) as u32 % 50);
            let prompt: Vec<u32> =
                prefix.chain((0..own).map(|i| 11 + (number as usize * 5 + i) as u32 % 50)).collect();
            let mut new = request(number, &prompt, |params| {
                params.max_tokens = Some(max_tokens);
                params.n = n;
                params.temperature = if kind == 0 { 0.0 } else { 1.0 };
                params.top_p = if kind == 2 { 0.9 } else { 1.0 };
                params.top_k = if kind == 3 { 8 } else { 0 };
                params.repetition_penalty = if kind == 1 { 1.3 } else { 1.0 };
                params.frequency_penalty = if kind == 2 { 0.5 } else { 0.0 };
            });
            new.priority = priority;
            new
        };
        (1_u64..).zip(all).map(build).collect()
    })
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

/// What every choice answers when the requests come in bursts.
async fn run_in_bursts(
    schedule: &Schedule,
    requests: &[EngineRequest],
) -> (HashMap<(u64, u32), Vec<u32>>, u64) {
    // The first step waits until the whole first burst is queued.
    let (permit, permits) = mpsc::channel();
    let mut permit = Some(permit);
    let runner = FakeRunner::new(schedule.num_blocks, schedule.block_size_tokens, 64).with_permits(permits);
    let (engine, mut outputs) = match schedule.draft_model {
        None => start(runner, schedule.config.clone()),
        Some((num_blocks, opinion)) => {
            let draft = FakeRunner::new(num_blocks, 5, 24).with_opinion(f32::from(opinion));
            start_with_draft_model(runner, draft, schedule.config.clone())
        }
    };
    let mut found = HashMap::new();
    for burst in requests.chunks(schedule.burst) {
        let submissions = join_all(burst.iter().map(|request| engine.submit(request.clone())));
        let (accepted, ()) = tokio::join!(submissions, async { drop(permit.take()) });
        accepted.into_iter().for_each(|outcome| outcome.unwrap());
        let num_ends = burst.iter().map(|request| request.sampling.n as usize).sum();
        let answers = collect(&mut outputs, num_ends).await;
        found.extend(answers.into_iter().map(|(key, answer)| (key, answer.tokens)));
    }
    let stats = engine.stats().scheduler;
    assert_eq!(stats.num_free_blocks, stats.num_blocks, "all blocks are free at the end");
    engine.shutdown().await;
    (found, stats.num_preemptions_total)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]

    #[test]
    fn any_schedule_gives_the_same_tokens(schedule in schedules(), requests in requests()) {
        let (found, _) = block_on(run_in_bursts(&schedule, &requests));
        for (number, request) in (1_u64..).zip(&requests) {
            for choice in 0..request.sampling.n {
                prop_assert_eq!(&found[&(number, choice)], &definition(request, choice));
            }
        }
    }

    #[test]
    fn a_resumed_answer_goes_on_with_the_same_tokens_and_text(
        requests in requests(),
        num_kept in 0_usize..24,
        stop in prop::option::of("[a-z][A-Z]{1,2}"),
        speculative in prop::option::of(speculations()),
        budget in prop::option::of(0_usize..12),
    ) {
        let mut whole = requests[0].clone();
        whole.sampling.n = 1;
        whole.thinking = budget.map(|budget| Arc::new(thinking_within(budget)));
        let stops: Vec<String> = stop.into_iter().collect();
        whole.sampling.stop = stops.clone();
        let config = EngineConfig { speculative, ..EngineConfig::default() };
        let run = |request| block_on(run_all(FakeRunner::new(64, 4, 8), config.clone(), &[request]));
        let undisturbed = run(whole.clone()).remove(&(1, 0)).unwrap();
        if let Some(budget) = budget.filter(|budget| undisturbed.tokens.len() >= budget + CLOSING.len()) {
            let (thought, rest) = undisturbed.tokens.split_at(budget);
            let has_closed = thought.windows(CLOSING.len()).any(|window| window == CLOSING);
            prop_assert!(has_closed || rest.starts_with(&CLOSING));
        }
        let num_kept = num_kept.min(undisturbed.tokens.len());
        let mut resumed = whole;
        resumed.generated = vec![undisturbed.tokens[..num_kept].to_vec()];
        let rest = run(resumed).remove(&(1, 0)).unwrap();
        let num_kept_bytes = match num_kept == undisturbed.tokens.len() {
            true => undisturbed.text.len(),
            false => num_published_bytes(&undisturbed.tokens[..num_kept], &stops),
        };
        prop_assert_eq!(&rest.tokens, &undisturbed.tokens[num_kept..]);
        prop_assert_eq!(&rest.text, &undisturbed.text[num_kept_bytes..]);
        prop_assert_eq!(&rest.replayed_text, &undisturbed.text[..num_kept_bytes]);
        let reasons = [rest.finish, undisturbed.finish].map(|finish| finish.map(|finish| finish.reason));
        prop_assert_eq!(&reasons[0], &reasons[1]);
    }
}

/// Parameters whose rules read the answer so far, or end it in the middle of accepted drafts.
#[derive(Debug, Clone)]
struct Demands {
    num_prompt_tokens: usize,
    max_tokens: u32,
    n: u32,
    min_tokens: u32,
    stop: String,
    logprobs: Option<u32>,
    flags: [bool; 8],
}

impl Demands {
    fn request(&self, number: u64) -> EngineRequest {
        let prompt: Vec<u32> =
            (0..self.num_prompt_tokens).map(|i| 11 + (number as usize * 3 + i) as u32 % 9).collect();
        let [is_greedy, has_stop, has_stop_id, has_bias, penalises, is_scored, keeps_stop, has_bad_words] =
            self.flags;
        let mut new = request(number, &prompt, |params| {
            params.max_tokens = Some(self.max_tokens);
            params.n = self.n;
            params.temperature = if is_greedy { 0.0 } else { 1.0 };
            params.min_tokens = self.min_tokens.min(self.max_tokens);
            params.logprobs = self.logprobs;
            params.prompt_logprobs = is_scored.then_some(1);
            params.include_stop_str_in_output = keeps_stop;
            params.stop.extend(has_stop.then(|| self.stop.clone()));
            params.stop_token_ids.extend(has_stop_id.then_some(14));
            params.logit_bias.extend(has_bias.then_some((EOS, 4.0)));
            params.presence_penalty = if penalises { 0.7 } else { 0.0 };
            params.repetition_penalty = if penalises { 1.2 } else { 1.0 };
        });
        new.bad_words.extend(has_bad_words.then_some(vec![12, 13]));
        new
    }
}

fn demanding_requests() -> impl Strategy<Value = Vec<EngineRequest>> {
    let rules = (0_u32..12, "[a-z][A-Z]{1,2}", prop::option::of(0_u32..3), any::<[bool; 8]>());
    let one = (1_usize..30, 1_u32..40, 1_u32..3, rules).prop_map(
        |(num_prompt_tokens, max_tokens, n, (min_tokens, stop, logprobs, flags))| Demands {
            num_prompt_tokens,
            max_tokens,
            n,
            min_tokens,
            stop,
            logprobs,
            flags,
        },
    );
    prop::collection::vec(one, 1..6)
        .prop_map(|all| (1_u64..).zip(all).map(|(number, demands)| demands.request(number)).collect())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]

    #[test]
    fn drafts_change_nothing_that_is_said(requests in demanding_requests(), speculative in speculations()) {
        let run = |speculative| {
            let config = EngineConfig { speculative, ..EngineConfig::default() };
            let mut answers = block_on(run_all(FakeRunner::new(200, 4, 48), config, &requests));
            for answer in answers.values_mut() {
                let finish = answer.finish.as_mut().unwrap();
                // Times differ, and with them who ends last and who finds whose blocks.
                (finish.timings, finish.is_last_of_inference) = Default::default();
                finish.usage.num_cached_prompt_tokens = 0;
                answer.prompt.iter_mut().for_each(|prompt| prompt.num_cached_tokens = 0);
            }
            answers
        };
        let (plain, drafted) = (run(None), run(Some(speculative)));
        prop_assert_eq!(plain.len(), drafted.len());
        for (key, answer) in plain {
            let mut found = drafted[&key].clone();
            // The prompt is reported with the first output of any choice.
            found.prompt = if key.1 == 0 { found.prompt } else { answer.prompt.clone() };
            prop_assert_eq!(&found, &answer);
        }
    }
}

#[test]
fn greedy_answers_obey_rules_that_need_more_than_the_largest_logit() {
    type Change = fn(&mut SamplingParams);
    let rules: [(&str, Change); 6] = [
        ("none", |_| {}),
        ("logit_bias", |params| params.logit_bias.extend([(17, 9.0)])),
        ("allowed_token_ids", |params| params.allowed_token_ids = vec![12, 19, 33]),
        ("repetition_penalty", |params| params.repetition_penalty = 2.0),
        ("presence_penalty", |params| params.presence_penalty = 2.0),
        ("frequency_penalty", |params| params.frequency_penalty = 2.0),
    ];
    let greedy = |change: Change| {
        request(1, &[11, 12, 13, 14], |params| {
            params.max_tokens = Some(40);
            params.temperature = 0.0;
            change(params);
        })
    };
    let mut answers = Vec::new();
    for (name, change) in rules {
        let greedy = greedy(change);
        let (engine, mut outputs) = start(FakeRunner::new(64, 4, 64), EngineConfig::default());
        let found = block_on(async {
            engine.submit(greedy.clone()).await.unwrap();
            collect(&mut outputs, 1).await
        });
        assert_eq!(found[&(1, 0)].tokens, definition(&greedy, 0), "{name}");
        answers.push((name, found[&(1, 0)].tokens.clone()));
    }
    for (name, answer) in &answers[1..] {
        assert!(*answer != answers[0].1, "{name} changes nothing here: {answer:?}");
    }
}

#[test]
fn a_repetitive_answer_takes_fewer_steps_with_drafts() {
    let repetitive = request(1, &[11, 12, 13, 14, 15, 16, 17], |params| {
        params.max_tokens = Some(60);
        params.temperature = 0.0;
        params.ignore_eos = true;
    });
    let run = |speculative| {
        let config = EngineConfig { speculative, ..EngineConfig::default() };
        let (engine, mut outputs) = start(FakeRunner::new(64, 4, 64), config);
        let answers = block_on(async {
            engine.submit(repetitive.clone()).await.unwrap();
            collect(&mut outputs, 1).await
        });
        block_on(engine.drain()).unwrap();
        (answers[&(1, 0)].tokens.clone(), engine.stats())
    };
    let ((plain, plain_stats), (drafted, stats)) = (run(None), run(Some(SpeculativeConfig::default())));
    assert_eq!(drafted, plain);
    assert_eq!(plain_stats.scheduler.num_steps_total, 60);
    assert_eq!(
        stats.scheduler.num_steps_total + stats.spec_decode_num_accepted_tokens_total,
        60,
        "an accepted draft saves a step"
    );
    assert!(stats.spec_decode_num_accepted_tokens_total > 5, "{stats:?}");
    assert!(stats.spec_decode_num_draft_tokens_total > stats.spec_decode_num_accepted_tokens_total);
    assert!(stats.spec_decode_num_drafts_total < 40);
}

/// A draft model that agrees saves nearly every step, also of answers that are drawn; one that disagrees is left out soon.
#[test]
fn drafts_of_a_model_are_as_good_as_it_agrees() {
    let run = |opinion: f32| {
        let sampled = request(1, &[11, 40, 13], |params| {
            params.max_tokens = Some(100);
            params.ignore_eos = true;
        });
        let config = EngineConfig {
            speculative: Some(SpeculativeConfig {
                num_speculative_tokens: 4,
                ..SpeculativeConfig::default()
            }),
            ..EngineConfig::default()
        };
        let draft = FakeRunner::new(64, 4, 64).with_opinion(opinion);
        let (engine, mut outputs) = start_with_draft_model(FakeRunner::new(64, 4, 64), draft, config);
        let answers = block_on(async {
            engine.submit(sampled.clone()).await.unwrap();
            collect(&mut outputs, 1).await
        });
        block_on(engine.drain()).unwrap();
        assert_eq!(answers[&(1, 0)].tokens, definition_without_eos(&sampled));
        engine.stats()
    };
    let agreeing = run(0.0);
    assert!(agreeing.spec_decode_num_accepted_tokens_total > 20, "{agreeing:?}");
    assert_eq!(agreeing.spec_decode_num_accepted_tokens_total, agreeing.spec_decode_num_draft_tokens_total);
    let disagreeing = run(30.0);
    assert!(disagreeing.spec_decode_num_draft_tokens_total < 40, "{disagreeing:?}");
}

/// The five situations by name, so that none is left to chance.
#[test]
fn alone_in_a_batch_cached_preempted_and_chunked_give_the_same_tokens() -> Result<(), TestCaseError> {
    let prompt: Vec<u32> = (11..41).collect();
    let subject = request(1, &prompt, |params| params.max_tokens = Some(24));
    let others = (2..17).map(|number| {
        request(number, &vec![10 + number as u32; 5 + number as usize], |params| params.max_tokens = Some(24))
    });
    let batch: Vec<EngineRequest> = std::iter::once(subject.clone()).chain(others).collect();
    let expected = definition(&subject, 0);
    let schedule = |num_blocks, budget, burst| Schedule {
        num_blocks,
        block_size_tokens: 4,
        config: EngineConfig { max_num_batched_tokens: Some(budget), ..EngineConfig::default() },
        draft_model: None,
        burst,
    };
    let alone = block_on(run_in_bursts(&schedule(64, 64, 1), &batch[..1]));
    let in_batch = block_on(run_in_bursts(&schedule(512, 64, 16), &batch));
    let chunked = block_on(run_in_bursts(&schedule(64, 7, 1), &batch[..1]));
    let mut last = batch.clone();
    last.rotate_left(1);
    let preempted = block_on(run_in_bursts(&schedule(24, 64, 16), &last));
    for (found, _) in [&alone, &in_batch, &chunked, &preempted] {
        prop_assert_eq!(&found[&(1, 0)], &expected);
    }
    prop_assert_eq!(in_batch.1, 0);
    prop_assert!(preempted.1 > 0, "the cache was large enough for all");

    let (engine, mut outputs) = start(FakeRunner::new(64, 4, 64), EngineConfig::default());
    let tokens = block_on(async {
        for number in [2, 1] {
            engine.submit(EngineRequest { id: engine_client::id(number), ..subject.clone() }).await.unwrap();
            let answer = collect(&mut outputs, 1).await.remove(&(number, 0)).unwrap();
            let num_cached = answer.finish.unwrap().usage.num_cached_prompt_tokens;
            assert_eq!(num_cached > 0, number == 1);
            if number == 1 {
                return answer.tokens;
            }
        }
        Vec::new()
    });
    prop_assert_eq!(&tokens, &expected);
    Ok(())
}

/// The same five situations with a real model: greedy and seeded.
#[test]
fn smollm2_gives_the_same_tokens_in_every_situation() {
    const VOCAB_SIZE: usize = 49_152;
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../.jetmill/models/smollm2-135m-instruct-q4_1.gguf");
    let model = ModelFile::open(&path).expect("the model is there once infra/test has run");
    let run = |num_blocks, budget, bursts: &[&[EngineRequest]]| {
        let options = CpuRunnerOptions {
            num_threads: 2,
            kv_capacity: KvCapacity::Blocks(num_blocks),
            max_num_batched_tokens: budget,
            ..CpuRunnerOptions::default()
        };
        let runner = CpuRunner::load(&model, &options).unwrap();
        let table = TokenTable::new((0..VOCAB_SIZE).map(|_| ("x", false)), Vec::new());
        let (engine, mut outputs) =
            Engine::start(Box::new(runner), Arc::new(table), EngineConfig::default()).unwrap();
        block_on(async {
            let mut found = HashMap::new();
            for burst in bursts {
                let accepted = join_all(burst.iter().map(|request| engine.submit(request.clone()))).await;
                accepted.into_iter().for_each(|outcome| outcome.unwrap());
                found.extend(collect(&mut outputs, burst.len()).await);
            }
            (found, engine.stats().scheduler)
        })
    };
    let of_length = |number: u64, num_tokens: u32, temperature: f32| {
        let prompt: Vec<u32> =
            (0..num_tokens).map(|i| 500 + (i * 37 + number as u32 * 101) % 20_000).collect();
        request(number, &prompt, |params| {
            params.max_tokens = Some(16);
            params.temperature = temperature;
            params.seed = Some(number);
        })
    };
    for temperature in [0.0, 1.0] {
        let subject = of_length(1, 50, temperature);
        let others = (2..17).map(|number| of_length(number, 8 + number as u32, 1.0));
        let batch: Vec<EngineRequest> = others.chain([subject.clone()]).collect();
        let alone = std::slice::from_ref(&subject);
        let (expected, _) = run(64, 512, &[alone]);
        let (cached, cached_stats) = run(64, 512, &[alone, alone]);
        let mut fork = EngineRequest { id: engine_client::id(2), ..subject.clone() };
        fork.prompt_token_ids[41..].fill(777);
        let (forked, forked_stats) = run(64, 512, &[&[fork], alone]);
        let (chunked, _) = run(64, 7, &[alone]);
        let (in_batch, _) = run(128, 512, &[&batch]);
        let (preempted, preempted_stats) = run(26, 512, &[&batch]);
        for found in [&cached, &forked, &chunked, &in_batch, &preempted] {
            assert_eq!(found[&(1, 0)].tokens, expected[&(1, 0)].tokens);
        }
        assert!(cached_stats.prefix_cache_hits_total >= 48);
        assert_eq!(forked_stats.prefix_cache_hits_total, 41, "two blocks, and nine tokens of the third");
        assert!(preempted_stats.num_preemptions_total > 0, "the cache was large enough for all");
    }
}
