//! The engine over a fake runner: lives, ends, failures, and what is reported of them.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failure here is a failed test"
)]

#[path = "support/engine_client.rs"]
mod engine_client;
#[path = "support/fake_runner.rs"]
mod fake_runner;

use std::sync::mpsc;
use std::time::Duration;

use engine_client::{collect, id, request, run_all, start, start_with_draft_model, take};
use engine_workers::engine::config::EngineConfig;
use engine_workers::engine::error::SubmitError;
use engine_workers::engine::output::{FinishCause, Usage};
use engine_workers::engine::request::EngineRequest;
use engine_workers::engine::{Engine, EngineStatus};
use engine_workers::runner::ModelRunner;
use engine_workers::runner_source::Runners;
use engine_workers::speculation::config::{SpeculativeConfig, SpeculativeMethod};
use fake_runner::{EOS, FakeRunner, Mishap, POISON, VOCAB_SIZE, logits_after};
use schemas::SamplingParams;

const PROMPT: [u32; 10] = [11, 12, 13, 14, 15, 16, 17, 18, 19, 20];

fn runner() -> FakeRunner {
    FakeRunner::new(64, 4, 64)
}

fn runners(target: FakeRunner, draft: Option<FakeRunner>) -> Runners {
    let draft = draft.map(|draft| Box::new(draft) as Box<dyn ModelRunner>);
    Runners { target: Box::new(target), draft }
}

fn greedy(params: &mut SamplingParams) {
    params.temperature = 0.0;
}

/// Greedy tokens after `prompt`, by the definition.
fn greedy_answer(prompt: &[u32], num_tokens: usize) -> Vec<u32> {
    let mut tokens = prompt.to_vec();
    for _ in 0..num_tokens {
        let logits = logits_after(tokens.iter().copied());
        let best = (0..VOCAB_SIZE).rev().max_by(|a, b| logits[*a].total_cmp(&logits[*b])).unwrap();
        tokens.push(best as u32);
    }
    tokens.split_off(prompt.len())
}

#[tokio::test]
async fn an_answer_has_contiguous_tokens_usage_and_an_end() {
    let answers = run_all(runner(), EngineConfig::default(), &[request(1, &PROMPT, greedy)]).await;
    let answer = &answers[&(1, 0)];
    assert_eq!(answer.tokens, greedy_answer(&PROMPT, 8));
    let finish = answer.finish.as_ref().unwrap();
    assert_eq!(finish.reason, FinishCause::Length);
    let usage = Usage { num_prompt_tokens: 10, num_completion_tokens: 8, num_cached_prompt_tokens: 0 };
    assert_eq!(finish.usage, usage);
    assert!(finish.is_last_of_inference);
}

#[tokio::test]
async fn stop_tokens_end_the_answer_and_their_text_is_left_out() {
    let tokens = greedy_answer(&PROMPT, 8);
    let stop_at = |stop: u32, keeps: bool| {
        request(1, &PROMPT, |params| {
            greedy(params);
            params.stop_token_ids = vec![stop];
            params.include_stop_str_in_output = keeps;
        })
    };
    let [without, with] = [false, true].map(|keeps| stop_at(tokens[3], keeps));
    let without = run_all(runner(), EngineConfig::default(), &[without]).await.remove(&(1, 0)).unwrap();
    let with = run_all(runner(), EngineConfig::default(), &[with]).await.remove(&(1, 0)).unwrap();
    assert_eq!(without.tokens, tokens[..4]);
    assert_eq!(without.finish.unwrap().reason, FinishCause::StopToken(tokens[3]));
    assert_eq!(with.tokens, tokens[..4]);
    assert!(with.text.starts_with(&without.text) && with.text.len() > without.text.len());
}

#[tokio::test]
async fn a_stop_string_across_tokens_ends_the_answer_and_is_cut_off() {
    let whole = run_all(runner(), EngineConfig::default(), &[request(1, &PROMPT, greedy)]).await;
    let text = &whole[&(1, 0)].text;
    // The second half of one token and the first of the next.
    let first =
        text.char_indices().map(|(at, _)| at).find(|at| text[*at..].starts_with(char::is_uppercase)).unwrap();
    let stop: String = text[first..].chars().take(2).collect();
    let stopped = request(1, &PROMPT, |params| {
        greedy(params);
        params.stop = vec!["never".to_owned(), stop.clone()];
    });
    let answers = run_all(runner(), EngineConfig::default(), &[stopped]).await;
    let answer = &answers[&(1, 0)];
    assert_eq!(answer.text, text[..text.find(&stop).unwrap()]);
    assert_eq!(answer.finish.as_ref().unwrap().reason, FinishCause::StopString(stop));
    assert!(answer.tokens.len() < 8);
}

#[tokio::test]
async fn choices_share_the_prompt_and_draw_their_own_tokens() {
    let several = request(1, &PROMPT, |params| {
        params.n = 4;
        params.max_tokens = Some(20);
    });
    let answers = run_all(runner(), EngineConfig::default(), std::slice::from_ref(&several)).await;
    let again = run_all(runner(), EngineConfig::default(), &[several]).await;
    assert_eq!(answers.len(), 4);
    for choice in 0..4 {
        assert_eq!(answers[&(1, choice)].tokens, again[&(1, choice)].tokens);
        for other in choice + 1..4 {
            assert_ne!(answers[&(1, choice)].tokens, answers[&(1, other)].tokens);
        }
    }
    let num_last = answers.values().filter(|a| a.finish.as_ref().unwrap().is_last_of_inference).count();
    assert_eq!(num_last, 1);
}

#[tokio::test]
async fn choices_find_the_prompt_in_the_prefix_cache() {
    let (engine, mut outputs) = start(runner(), EngineConfig::default());
    engine.submit(request(1, &PROMPT, |params| params.n = 3)).await.unwrap();
    collect(&mut outputs, 3).await;
    // Two full blocks of 4 for each of the two choices that waited.
    assert_eq!(engine.stats().scheduler.prefix_cache_hits_total, 16);
}

#[tokio::test]
async fn a_cached_prefix_is_reported_and_a_salt_hides_it() {
    let (engine, mut outputs) = start(runner(), EngineConfig::default());
    let mut salted = request(3, &PROMPT, greedy);
    salted.cache_salt = Some("tenant".to_owned());
    let mut cached = Vec::new();
    for next in [request(1, &PROMPT, greedy), request(2, &PROMPT, greedy), salted] {
        engine.submit(next).await.unwrap();
        let answers = collect(&mut outputs, 1).await;
        let answer = answers.values().next().unwrap();
        let usage = answer.finish.as_ref().unwrap().usage;
        assert_eq!(answer.prompt.as_ref().unwrap().num_cached_tokens, usage.num_cached_prompt_tokens);
        cached.push(usage.num_cached_prompt_tokens);
    }
    // Two blocks of 4, and the beginning of the third; the last token is always computed.
    assert_eq!(cached, [0, 9, 0]);
}

#[tokio::test]
async fn prompt_logprobs_cover_every_token_after_the_first() {
    let config = EngineConfig { max_num_batched_tokens: Some(3), ..EngineConfig::default() };
    let scored = request(1, &PROMPT, |params| {
        greedy(params);
        params.prompt_logprobs = Some(2);
        params.logprobs = Some(0);
        params.echo = true;
    });
    let answers = run_all(runner(), config, &[scored]).await;
    let answer = &answers[&(1, 0)];
    let prompt = answer.prompt.as_ref().unwrap();
    assert_eq!(prompt.token_ids, PROMPT);
    assert_eq!(prompt.logprobs.len(), PROMPT.len() - 1);
    for (index, found) in prompt.logprobs.iter().enumerate() {
        let logits = logits_after(PROMPT[..=index].iter().copied());
        let sum: f32 = logits.iter().map(|x| x.exp()).sum();
        let expected = logits[PROMPT[index + 1] as usize] - sum.ln();
        assert_eq!(found.chosen.token_id, PROMPT[index + 1]);
        assert!((found.chosen.logprob - expected).abs() < 1e-4);
        assert_eq!(found.top.len(), 2);
    }
    assert_eq!(answer.logprobs.len(), answer.tokens.len());
    assert!(answer.logprobs.iter().all(|found| found.chosen.rank == 0 && found.top.is_empty()));
}

#[tokio::test]
async fn a_draft_model_that_fails_is_left_out() {
    let config = EngineConfig { speculative: Some(SpeculativeConfig::default()), ..EngineConfig::default() };
    let draft = runner().with_opinion(1.0).with_mishap(2, Mishap::Fail);
    let (engine, mut outputs) = start_with_draft_model(runner(), draft, config);
    engine.submit(request(1, &PROMPT, greedy)).await.unwrap();
    let answers = collect(&mut outputs, 1).await;
    assert_eq!(answers[&(1, 0)].tokens, greedy_answer(&PROMPT, 8));
    assert_eq!(answers[&(1, 0)].finish.as_ref().unwrap().reason, FinishCause::Length);
}

#[tokio::test]
async fn drafts_that_cannot_be_made_are_refused_at_the_start() {
    let check = |speculative, message: &str| {
        let config = EngineConfig { speculative: Some(speculative), ..EngineConfig::default() };
        let started = Engine::start(Box::new(runner()), engine_client::token_table(), config);
        assert_eq!(started.err().unwrap().to_string(), message);
    };
    let defaults = SpeculativeConfig::default();
    let method = SpeculativeMethod::Draft { model: "small.gguf".into() };
    check(
        SpeculativeConfig { method, ..defaults.clone() },
        "speculative method is draft, and no draft model is loaded",
    );
    check(
        SpeculativeConfig { num_speculative_tokens: 0, ..defaults },
        "speculative num_speculative_tokens is 0, it must be 1 to 32",
    );
}

#[tokio::test]
async fn the_prompt_is_truncated_from_its_beginning() {
    let truncated = request(1, &PROMPT, |params| {
        greedy(params);
        params.truncate_prompt_tokens = Some(3);
    });
    let answers = run_all(runner(), EngineConfig::default(), &[truncated]).await;
    assert_eq!(answers[&(1, 0)].tokens, greedy_answer(&PROMPT[7..], 8));
    assert_eq!(answers[&(1, 0)].prompt.as_ref().unwrap().num_prompt_tokens, 3);
}

#[tokio::test]
async fn an_abort_frees_the_blocks_before_the_next_step() {
    let (permit, permits) = mpsc::channel();
    let (engine, mut outputs) = start(runner().with_permits(permits), EngineConfig::default());
    let mut answers = engine_client::Answers::new();
    permit.send(()).unwrap();
    for number in [1, 2] {
        let new = request(number, &[number as u32 + 10; 9], |params| params.max_tokens = Some(100));
        let mut submit = std::pin::pin!(engine.submit(new));
        // A request is answered between two steps, so each step that ends while it waits is followed by another.
        loop {
            tokio::select! {
                submitted = &mut submit => break submitted.unwrap(),
                output = outputs.recv() => {
                    output.unwrap().sequences.into_iter().for_each(|output| take(&mut answers, output));
                    permit.send(()).unwrap();
                }
            }
        }
    }
    while answers.len() < 2 {
        outputs.recv().await.unwrap().sequences.into_iter().for_each(|output| take(&mut answers, output));
        permit.send(()).unwrap();
    }
    engine.abort(id(1)).unwrap();
    permit.send(()).unwrap();
    permit.send(()).unwrap();
    while answers[&(1, 0)].finish.is_none() {
        outputs.recv().await.unwrap().sequences.into_iter().for_each(|output| take(&mut answers, output));
        permit.send(()).unwrap();
    }
    assert_eq!(answers[&(1, 0)].finish.as_ref().unwrap().reason, FinishCause::Cancelled);
    let stats = engine.stats().scheduler;
    assert_eq!(stats.num_running, 1);
    engine.abort(id(2)).unwrap();
    engine.abort(id(99)).unwrap();
    drop(permit);
    engine.drain().await.unwrap();
    let stats = engine.stats().scheduler;
    assert_eq!((stats.num_running, stats.num_free_blocks), (0, stats.num_blocks));
}

#[tokio::test]
async fn logits_that_are_not_numbers_fail_their_sequence_alone() {
    let poisoned = request(1, &[POISON, 11, 12], greedy);
    let answers = run_all(runner(), EngineConfig::default(), &[poisoned, request(2, &PROMPT, greedy)]).await;
    let FinishCause::Error(failure) = &answers[&(1, 0)].finish.as_ref().unwrap().reason else {
        panic!("the poisoned sequence ended otherwise: {answers:?}");
    };
    assert_eq!((failure.code, failure.is_retryable), ("invalid_logits", false));
    assert_eq!(answers[&(2, 0)].tokens, greedy_answer(&PROMPT, 8));
}

#[tokio::test]
async fn a_failed_step_fails_its_sequences_and_the_engine_goes_on() {
    let (engine, mut outputs) = start(runner().with_mishap(3, Mishap::Fail), EngineConfig::default());
    engine.submit(request(1, &PROMPT, greedy)).await.unwrap();
    let answers = collect(&mut outputs, 1).await;
    let FinishCause::Error(failure) = &answers[&(1, 0)].finish.as_ref().unwrap().reason else {
        panic!("the sequence ended otherwise: {answers:?}");
    };
    assert_eq!((failure.code, failure.is_retryable), ("runner_failed", true));
    assert_eq!(answers[&(1, 0)].tokens, greedy_answer(&PROMPT, 2));
    engine.submit(request(2, &PROMPT, greedy)).await.unwrap();
    assert_eq!(collect(&mut outputs, 1).await[&(2, 0)].tokens, greedy_answer(&PROMPT, 8));
}

fn of_batch(number: u64, num_tokens: u32) -> EngineRequest {
    let request = request(number, &PROMPT, |params| {
        greedy(params);
        params.max_tokens = Some(num_tokens);
    });
    EngineRequest { is_batch: true, ..request }
}

#[tokio::test]
async fn a_step_of_batches_is_given_up_for_who_comes_and_leaves_no_trace() {
    let speculative = Some(SpeculativeConfig::default());
    for (step, speculative) in [(1, None), (3, None), (5, speculative)] {
        let (waits, waiting) = mpsc::channel();
        let config = EngineConfig { speculative, ..EngineConfig::default() };
        let (engine, mut outputs) = start(runner().with_patience(step..step + 1, waits), config);
        engine.submit(of_batch(1, 30)).await.unwrap();
        waiting.recv().unwrap();
        engine.submit(request(2, &PROMPT[3..], greedy)).await.unwrap();
        let answers = collect(&mut outputs, 2).await;
        assert_eq!(answers[&(1, 0)].tokens, greedy_answer(&PROMPT, 30), "given up in step {step}");
        assert_eq!(answers[&(2, 0)].tokens, greedy_answer(&PROMPT[3..], 8));
    }
}

#[tokio::test]
async fn a_batch_advances_although_every_step_of_it_finds_somebody_coming() {
    let (waits, waiting) = mpsc::channel();
    let (engine, mut outputs) = start(runner().with_patience(1..u64::MAX, waits), EngineConfig::default());
    engine.submit(of_batch(1, 3)).await.unwrap();
    let mut answers = engine_client::Answers::new();
    let mut number = 1;
    while answers.get(&(1, 0)).is_none_or(|answer| answer.finish.is_none()) {
        if waiting.try_recv().is_ok() {
            number += 1;
            engine.submit(request(number, &PROMPT, |params| params.max_tokens = Some(1))).await.unwrap();
        }
        if let Ok(output) = tokio::time::timeout(Duration::from_millis(1), outputs.recv()).await {
            output.unwrap().sequences.into_iter().for_each(|output| take(&mut answers, output));
        }
    }
    assert_eq!(answers[&(1, 0)].tokens, greedy_answer(&PROMPT, 3));
    assert!(number > 3, "its steps were given up");
}

#[tokio::test]
async fn a_step_that_is_not_of_batches_alone_is_computed_to_its_end() {
    let (waits, waiting) = mpsc::channel();
    let (engine, mut outputs) = start(runner().with_patience(2..3, waits), EngineConfig::default());
    for number in [1, 2] {
        engine.submit(request(number, &PROMPT, greedy)).await.unwrap();
    }
    let answers = collect(&mut outputs, 2).await;
    assert_eq!(answers[&(1, 0)].tokens, greedy_answer(&PROMPT, 8));
    assert!(waiting.try_recv().is_err(), "no step could be interrupted");
}

#[tokio::test]
async fn a_panic_in_the_runner_ends_the_engine_with_a_report() {
    let (engine, mut outputs) = start(runner().with_mishap(3, Mishap::Panic), EngineConfig::default());
    engine.submit(request(1, &PROMPT, |params| params.n = 2)).await.unwrap();
    let answers = collect(&mut outputs, 3).await;
    assert_eq!(answers.len(), 2, "both choices end, then the output does");
    for answer in answers.values() {
        let Some(FinishCause::Error(failure)) = answer.finish.as_ref().map(|finish| &finish.reason) else {
            panic!("a sequence ended otherwise: {answers:?}");
        };
        assert_eq!(failure.code, "engine_stopped");
        assert!(failure.message.contains("panics in step 3"), "{}", failure.message);
    }
    assert!(matches!(engine.stopped().await, EngineStatus::Crashed(reason) if reason.contains("step 3")));
    assert_eq!(engine.submit(request(2, &PROMPT, greedy)).await, Err(SubmitError::Stopped));
    assert_eq!(engine.abort(id(1)), Err(SubmitError::Stopped));
    assert_eq!(engine.drain().await, Err(SubmitError::Stopped));
}

#[tokio::test]
async fn a_request_that_cannot_be_served_is_refused_with_the_reason() {
    let (engine, _outputs) = start(runner(), EngineConfig::default());
    let check = async |change: fn(&mut SamplingParams), prompt: &[u32], code: &str, message: &str| {
        let error = engine.submit(request(1, prompt, change)).await.unwrap_err();
        assert_eq!((error.code(), error.to_string().as_str()), (code, message));
        assert!(!error.is_retryable());
    };
    let too_long = "the prompt has 160 tokens, the model takes at most 159 and one answer token";
    check(|_| {}, &[5; 160], "context_length_exceeded", too_long).await;
    check(|_| {}, &[], "empty_prompt", "the prompt is empty").await;
    check(|_| {}, &[64], "invalid_parameter", "prompt holds the token 64, the vocabulary has 64").await;
    let bias: fn(&mut SamplingParams) = |params| params.logit_bias.extend([(99, 1.0)]);
    check(bias, &PROMPT, "invalid_parameter", "logit_bias holds the token 99, the vocabulary has 64").await;
    let n: fn(&mut SamplingParams) = |params| params.n = 0;
    check(n, &PROMPT, "invalid_parameter", "n is 0, it must be between 1 and 128").await;
}

#[tokio::test]
async fn a_full_queue_refuses_for_now() {
    let (permit, permits) = mpsc::channel();
    let config = EngineConfig { max_num_seqs: 1, max_num_queued_requests: 2, ..EngineConfig::default() };
    let (engine, mut outputs) = start(runner().with_permits(permits), config);
    engine.submit(request(1, &PROMPT, greedy)).await.unwrap();
    permit.send(()).unwrap();
    outputs.recv().await.unwrap();
    let waiting = [2, 3, 4].map(|number| engine.submit(request(number, &PROMPT, greedy)));
    let [two, three, four] = waiting;
    let feeding = async {
        permit.send(()).unwrap();
        permit.send(()).unwrap();
    };
    let (two, three, four, ()) = tokio::join!(two, three, four, feeding);
    assert_eq!((two, three), (Ok(()), Ok(())));
    let error = four.unwrap_err();
    assert_eq!(error.to_string(), "the queue holds 2 of at most 2 sequences");
    assert!(error.is_retryable());
    drop(permit);
    let (engine_again, mut answers) = (engine.clone(), 0);
    while answers < 3 {
        let output = outputs.recv().await.unwrap();
        answers += output.sequences.iter().filter(|sequence| sequence.finish.is_some()).count();
    }
    assert_eq!(engine_again.submit(request(4, &PROMPT, greedy)).await, Ok(()));
}

#[tokio::test]
async fn unread_output_is_bounded_by_refusing_new_requests() {
    let config = EngineConfig { max_num_seqs: 2, max_num_queued_requests: 2, ..EngineConfig::default() };
    let (engine, mut outputs) = start(runner(), config);
    let mut num_taken = 0;
    let refused = loop {
        match engine.submit(request(num_taken, &PROMPT, greedy)).await {
            Ok(()) => num_taken += 1,
            Err(error @ SubmitError::OutputBacklog { .. }) => break error,
            // The queue may be full for a moment.
            Err(_) => tokio::task::yield_now().await,
        }
    };
    assert_eq!(num_taken, 4);
    assert_eq!(
        refused.to_string(),
        "the engine holds 4 of at most 4 sequences, those with unread output included"
    );
    assert_eq!(collect(&mut outputs, 4).await.len(), 4);
    assert_eq!(engine.submit(request(9, &PROMPT, greedy)).await, Ok(()));
}

#[tokio::test]
async fn a_drained_engine_finishes_what_it_has_and_takes_nothing_new() {
    let (engine, mut outputs) = start(runner(), EngineConfig::default());
    engine.submit(request(1, &PROMPT, greedy)).await.unwrap();
    engine.drain().await.unwrap();
    assert_eq!(engine.submit(request(2, &PROMPT, greedy)).await, Err(SubmitError::Draining));
    assert_eq!(collect(&mut outputs, 1).await[&(1, 0)].tokens, greedy_answer(&PROMPT, 8));
    assert_eq!(engine.shutdown().await, EngineStatus::ShutDown);
    assert_eq!(outputs.recv().await, None);
}

#[tokio::test]
async fn a_shutdown_cancels_what_runs() {
    let (permit, permits) = mpsc::channel();
    let (engine, mut outputs) = start(runner().with_permits(permits), EngineConfig::default());
    engine.submit(request(1, &PROMPT, greedy)).await.unwrap();
    permit.send(()).unwrap();
    outputs.recv().await.unwrap();
    let (status, ()) = tokio::join!(engine.shutdown(), async { drop(permit) });
    assert_eq!(status, EngineStatus::ShutDown);
    let mut last = None;
    while let Some(output) = outputs.recv().await {
        last = output.sequences.into_iter().next_back();
    }
    assert_eq!(last.unwrap().finish.unwrap().reason, FinishCause::Cancelled);
}

#[tokio::test]
async fn the_engine_ends_with_its_last_handle() {
    let (engine, mut outputs) = start(runner(), EngineConfig::default());
    drop(engine);
    assert_eq!(outputs.recv().await, None);
}

#[tokio::test]
async fn the_same_id_cannot_run_twice_at_once() {
    let (permit, permits) = mpsc::channel();
    let (engine, mut outputs) = start(runner().with_permits(permits), EngineConfig::default());
    engine.submit(request(1, &PROMPT, greedy)).await.unwrap();
    let (second, _) = tokio::join!(engine.submit(request(1, &PROMPT, greedy)), async { drop(permit) });
    assert_eq!(second, Err(SubmitError::DuplicateInference(id(1))));
    collect(&mut outputs, 1).await;
}

#[tokio::test]
async fn an_answer_that_was_complete_before_its_worker_died_ends_at_once() {
    let whole = run_all(runner(), EngineConfig::default(), &[request(1, &PROMPT, greedy)]).await;
    let mut resumed = request(1, &PROMPT, greedy);
    resumed.generated = vec![whole[&(1, 0)].tokens.clone()];
    let answers = run_all(runner(), EngineConfig::default(), &[resumed]).await;
    let answer = &answers[&(1, 0)];
    assert_eq!((answer.tokens.as_slice(), answer.text.as_str()), (&[][..], ""));
    let finish = answer.finish.as_ref().unwrap();
    assert_eq!((&finish.reason, finish.usage.num_completion_tokens), (&FinishCause::Length, 8));
}

#[tokio::test]
async fn eos_ends_the_answer_unless_it_is_ignored() {
    let biased = |ignore_eos| {
        request(1, &PROMPT, move |params| {
            greedy(params);
            params.logit_bias.insert(EOS, 100.0);
            params.min_tokens = 2;
            params.ignore_eos = ignore_eos;
        })
    };
    let ended = run_all(runner(), EngineConfig::default(), &[biased(false)]).await.remove(&(1, 0)).unwrap();
    assert_eq!((ended.tokens.len(), ended.tokens.last()), (3, Some(&EOS)));
    assert_eq!(ended.finish.unwrap().reason, FinishCause::EndOfSequence);
    let ignored = run_all(runner(), EngineConfig::default(), &[biased(true)]).await.remove(&(1, 0)).unwrap();
    assert_eq!(ignored.tokens, [EOS; 8]);
    assert_eq!(ignored.finish.unwrap().reason, FinishCause::Length);
}

#[tokio::test]
async fn an_engine_asleep_refuses_requests_and_after_waking_answers_alike() {
    let (permit, permits) = mpsc::channel();
    let runner = || FakeRunner::new(64, 4, 64);
    let (engine, mut outputs) = start(runner().with_permits(permits), EngineConfig::default());
    let new = |number| request(number, &[11, 12, 13, 14, 15], |params| params.temperature = 0.0);
    engine.submit(new(1)).await.unwrap();
    let (is_asleep, ()) = tokio::join!(engine.sleep(), async { drop(permit) });
    assert!(!is_asleep.unwrap(), "a sequence runs");
    let expected = collect(&mut outputs, 1).await.remove(&(1, 0)).unwrap();
    assert!(engine.sleep().await.unwrap());
    assert_eq!(engine.submit(new(2)).await, Err(SubmitError::Asleep));

    let error = engine.wake(runners(FakeRunner::new(63, 4, 64), None)).await.unwrap_err();
    assert_eq!(error.code(), "another_runner");
    assert_eq!(engine.submit(new(3)).await, Err(SubmitError::Asleep));
    engine.wake(runners(runner(), None)).await.unwrap();
    engine.submit(new(4)).await.unwrap();
    let answer = collect(&mut outputs, 1).await.remove(&(4, 0)).unwrap();
    assert_eq!(answer.tokens, expected.tokens);
    assert_eq!(answer.finish.unwrap().usage.num_cached_prompt_tokens, 0, "the prefix cache is gone");
}

#[tokio::test]
async fn a_draft_model_is_released_with_the_rest_and_drafts_again_after_waking() {
    // A runner that is dropped drops what hears the permits.
    let (permit, permits) = mpsc::channel();
    let num_permits = 1_000;
    (0..num_permits).for_each(|_| permit.send(()).unwrap());
    let config = EngineConfig { speculative: Some(SpeculativeConfig::default()), ..EngineConfig::default() };
    let (engine, mut outputs) = start_with_draft_model(runner(), runner().with_permits(permits), config);
    let mut ask = async |number| {
        engine.submit(request(number, &PROMPT, greedy)).await.unwrap();
        let answers = collect(&mut outputs, 1).await;
        assert_eq!(answers[&(number, 0)].tokens, greedy_answer(&PROMPT, 8));
        engine.stats().spec_decode_num_draft_tokens_total
    };
    let num_before = ask(1).await;
    assert!(num_before > 0);
    permit.send(()).unwrap();
    assert!(engine.sleep().await.unwrap());
    assert!(permit.send(()).is_err(), "the draft model is dropped");

    let error = engine.wake(runners(runner(), None)).await.unwrap_err();
    assert_eq!(error.code(), "no_draft_model");
    assert_eq!(engine.submit(request(2, &PROMPT, greedy)).await, Err(SubmitError::Asleep));
    engine.wake(runners(runner(), Some(runner()))).await.unwrap();
    assert!(ask(3).await > num_before);
}
