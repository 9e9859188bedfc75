use std::collections::BTreeMap;

use schemas::SamplingParams;

use super::*;

const EOS: u32 = 3;

fn rules(params: &SamplingParams) -> SamplingRules {
    let stop_token_ids = params.stop_token_ids.iter().copied().chain([EOS]).collect();
    SamplingRules::new(params, stop_token_ids, Vec::new())
}

fn greedy() -> SamplingParams {
    SamplingParams { temperature: 0.0, ..SamplingParams::default() }
}

fn history(rules: &SamplingRules, prompt: &[u32], output: &[u32]) -> TokenHistory {
    let mut history = TokenHistory::new(prompt, rules);
    output.iter().for_each(|token| history.push(*token));
    history
}

/// Asserts the greedy choice from `logits` after `prompt` and `output`.
fn check(rules: &SamplingRules, logits: &[f32], (prompt, output): (&[u32], &[u32]), expected: u32) {
    let history = history(rules, prompt, output);
    let found = Sampler::default().sample(&mut logits.to_vec(), rules, &history, 0.5).unwrap();
    assert_eq!(found.token_id, expected, "{rules:?} after {output:?}");
}

const NONE: (&[u32], &[u32]) = (&[], &[]);

#[test]
fn greedy_takes_the_lowest_id_of_the_best() {
    check(&rules(&greedy()), &[0.0, 5.0, 5.0, 1.0], NONE, 1);
}

#[test]
fn only_allowed_tokens_are_chosen() {
    let params = SamplingParams { allowed_token_ids: vec![4, 2, 2], ..greedy() };
    check(&rules(&params), &[9.0, 8.0, 1.0, 7.0, 2.0, 9.0], NONE, 4);
}

#[test]
fn a_bad_word_is_excluded_only_after_its_beginning() {
    let rules = SamplingRules { bad_words: vec![vec![5, 6, 0]], ..rules(&greedy()) };
    check(&rules, &[9.0, 1.0], (&[], &[5, 6]), 1);
    check(&rules, &[9.0, 1.0], (&[], &[6, 5]), 0);
    check(&rules, &[9.0, 1.0], (&[5, 6], &[]), 0);
}

#[test]
fn stop_tokens_are_excluded_until_min_tokens() {
    let params = SamplingParams { min_tokens: 2, stop_token_ids: vec![1], ..greedy() };
    let logits = [0.0, 8.0, 1.0, 9.0];
    check(&rules(&params), &logits, (&[], &[0]), 2);
    check(&rules(&params), &logits, (&[], &[0, 0]), 3);
}

#[test]
fn bias_is_added_and_cannot_bring_an_excluded_token_back() {
    let bias = BTreeMap::from([(0, 100.0), (2, 5.0)]);
    let params = SamplingParams { logit_bias: bias, allowed_token_ids: vec![1, 2], ..greedy() };
    check(&rules(&params), &[0.0, 4.0, 0.0, 0.0], NONE, 2);
}

#[test]
fn repetition_penalty_reads_prompt_and_answer() {
    let params = SamplingParams { repetition_penalty: 2.0, ..greedy() };
    check(&rules(&params), &[4.0, 3.0, 1.0], (&[0], &[]), 1);
    check(&rules(&params), &[4.0, 3.0, 2.5], (&[0], &[1]), 2);
    check(&rules(&params), &[-1.0, -1.5, -9.0], (&[0], &[0]), 1);
}

#[test]
fn frequency_counts_and_presence_does_not() {
    let frequency = SamplingParams { frequency_penalty: 1.0, ..greedy() };
    check(&rules(&frequency), &[4.0, 2.5], (&[0, 0, 0], &[0]), 0);
    check(&rules(&frequency), &[4.0, 2.5], (&[], &[0, 0]), 1);
    let presence = SamplingParams { presence_penalty: 1.0, ..greedy() };
    check(&rules(&presence), &[4.0, 2.5], (&[], &[0, 0]), 0);
    check(&rules(&presence), &[3.2, 2.5], (&[], &[0, 0]), 1);
}

#[test]
fn nothing_allowed_and_invalid_logits_are_outcomes() {
    let params = SamplingParams { allowed_token_ids: vec![EOS], min_tokens: 1, ..greedy() };
    let rules = rules(&params);
    let mut sampler = Sampler::default();
    let mut sample = |logits: &mut [f32]| sampler.sample(logits, &rules, &history(&rules, &[], &[]), 0.5);
    assert_eq!(sample(&mut [0.0; 5]), Err(SampleError::NothingAllowed));
    assert_eq!(sample(&mut [0.0, f32::NAN]), Err(SampleError::InvalidLogits { token_id: 1 }));
    assert_eq!(sample(&mut [f32::INFINITY, 0.0]), Err(SampleError::InvalidLogits { token_id: 0 }));
}

#[test]
fn logprobs_are_of_the_distribution_before_the_rules() {
    let params = SamplingParams { logprobs: Some(2), allowed_token_ids: vec![2], ..greedy() };
    let rules = rules(&params);
    let mut logits = [1.0, 3.0, 2.0];
    let found = Sampler::default().sample(&mut logits, &rules, &history(&rules, &[], &[]), 0.5).unwrap();
    let logprobs = found.logprobs.unwrap();
    assert_eq!((found.token_id, logprobs.chosen.rank), (2, 1));
    let expected = 2.0 - (1_f32.exp() + 3_f32.exp() + 2_f32.exp()).ln();
    assert!((logprobs.chosen.logprob - expected).abs() < 1e-6, "{}", logprobs.chosen.logprob);
    assert_eq!(logprobs.top.iter().map(|t| t.token_id).collect::<Vec<_>>(), [1, 2]);
}

/// Draws 20,000 tokens from `ln(weights)` and asserts that they follow `expected` probabilities.
fn check_distribution(params: SamplingParams, weights: &[f64], expected: &[f64]) {
    const NUM_DRAWS: u64 = 20_000;
    let rules = rules(&params);
    let history = history(&rules, &[], &[]);
    let logits: Vec<f32> = weights.iter().map(|weight| weight.ln() as f32).collect();
    let mut counts = vec![0_u32; weights.len()];
    let mut sampler = Sampler::default();
    for index in 0..NUM_DRAWS {
        let draw = random::uniform(1234, 0, index);
        let found = sampler.sample(&mut logits.clone(), &rules, &history, draw).unwrap();
        counts[found.token_id as usize] += 1;
    }
    let mut chi_squared = 0.0;
    for (count, probability) in counts.iter().zip(expected) {
        let mean = probability * NUM_DRAWS as f64;
        if mean == 0.0 {
            assert_eq!(*count, 0, "{params:?}: {counts:?}");
        } else {
            chi_squared += (f64::from(*count) - mean).powi(2) / mean;
        }
    }
    // At most 3 degrees of freedom; 16.3 is exceeded once in a thousand seeds, and this seed is fixed.
    assert!(chi_squared < 16.3, "{params:?}: {chi_squared}, {counts:?}");
}

#[test]
fn draws_follow_the_processed_distribution() {
    let weights = [0.1, 0.2, 0.3, 0.4];
    let default = SamplingParams::default;
    check_distribution(default(), &weights, &weights);
    check_distribution(
        SamplingParams { temperature: 0.5, ..default() },
        &weights,
        &[0.01 / 0.3, 0.04 / 0.3, 0.09 / 0.3, 0.16 / 0.3],
    );
    check_distribution(SamplingParams { top_k: 2, ..default() }, &weights, &[0.0, 0.0, 3.0 / 7.0, 4.0 / 7.0]);
    check_distribution(
        SamplingParams { top_p: 0.6, ..default() },
        &weights,
        &[0.0, 0.0, 3.0 / 7.0, 4.0 / 7.0],
    );
    check_distribution(
        SamplingParams { min_p: 0.45, ..default() },
        &weights,
        &[0.0, 2.0 / 9.0, 3.0 / 9.0, 4.0 / 9.0],
    );
    // Top-p is a share of what top-k left: 0.4 of 0.7 is 57 %.
    check_distribution(
        SamplingParams { top_k: 2, top_p: 0.55, ..default() },
        &weights,
        &[0.0, 0.0, 0.0, 1.0],
    );
    check_distribution(SamplingParams { top_k: 99, ..default() }, &weights, &weights);
}

#[test]
fn a_tiny_temperature_does_not_overflow() {
    let rules = rules(&SamplingParams { temperature: 2e-5, ..SamplingParams::default() });
    check(&rules, &[-3e30, 1e30, 3e30, f32::NEG_INFINITY], NONE, 2);
}
