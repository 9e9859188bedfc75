//! The rules that change logits before the temperature.

use crate::grammar::token_mask::TokenMask;
use crate::sampler::sampling_rules::SamplingRules;
use crate::sampler::token_history::TokenHistory;

/// Applies the rules in their order; ids beyond the vocabulary were refused with the request.
pub(super) fn apply(
    logits: &mut [f32],
    (rules, mask): (&SamplingRules, Option<&TokenMask>),
    history: &TokenHistory,
) {
    if let Some(mask) = mask {
        mask.apply(logits);
    }
    keep_allowed(logits, &rules.allowed_token_ids);
    exclude_bad_words(logits, &rules.bad_words, history.output_tokens());
    // An answer that its grammar cannot lengthen ends before its minimum.
    let must_end = mask.is_some_and(TokenMask::is_end);
    if history.output_tokens().len() < rules.min_tokens && !must_end {
        for token in &rules.stop_token_ids {
            exclude(logits, *token);
        }
    }
    for (token, bias) in &rules.logit_bias {
        change(logits, *token, |logit| logit + bias);
    }
    apply_penalties(logits, rules, history);
}

fn change(logits: &mut [f32], token: u32, rule: impl FnOnce(f32) -> f32) {
    if let Some(logit) = logits.get_mut(token as usize) {
        *logit = rule(*logit);
    }
}

fn exclude(logits: &mut [f32], token: u32) {
    change(logits, token, |_| f32::NEG_INFINITY);
}

/// `allowed` rises; everything between its ids is excluded.
fn keep_allowed(logits: &mut [f32], allowed: &[u32]) {
    if allowed.is_empty() {
        return;
    }
    let vocab_size = logits.len();
    let mut next = 0;
    for token in allowed.iter().map(|token| (*token as usize).min(vocab_size)) {
        logits[next..token].fill(f32::NEG_INFINITY);
        next = (token + 1).min(vocab_size);
    }
    logits[next..].fill(f32::NEG_INFINITY);
}

fn exclude_bad_words(logits: &mut [f32], bad_words: &[Vec<u32>], output_tokens: &[u32]) {
    for word in bad_words {
        if let Some((last, beginning)) = word.split_last()
            && output_tokens.ends_with(beginning)
        {
            exclude(logits, *last);
        }
    }
}

fn apply_penalties(logits: &mut [f32], rules: &SamplingRules, history: &TokenHistory) {
    let repetition = rules.repetition_penalty;
    if repetition != 1.0 {
        for token in history.distinct_tokens() {
            change(logits, token, |logit| if logit > 0.0 { logit / repetition } else { logit * repetition });
        }
    }
    let (frequency, presence) = (rules.frequency_penalty, rules.presence_penalty);
    if frequency != 0.0 || presence != 0.0 {
        for (token, count) in history.output_counts() {
            change(logits, token, |logit| logit - frequency * count as f32 - presence);
        }
    }
}
