//! From a row of logits to the next token.
//!
//! A pure function of (logits, parameters, tokens so far, seed, index of the token): nothing is carried from one token to
//! the next, so that an answer can go on anywhere. The order of the rules is that of [`Sampler::sample`].

pub mod bad_words;
mod candidates;
mod logit_rules;
pub mod random;
pub mod sampling_rules;
mod softmax;
pub mod token_history;
pub mod token_logprobs;

use thiserror::Error;

use crate::grammar::error::MatchError;
use crate::grammar::token_mask::TokenMask;
use crate::sampler::candidates::Candidate;
use crate::sampler::sampling_rules::{GREEDY_TEMPERATURE, SamplingRules};
use crate::sampler::token_history::TokenHistory;
use crate::sampler::token_logprobs::TokenLogprobs;

/// Why no token could be chosen; it ends the sequence, and no other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SampleError {
    /// The model computed nonsense.
    #[error("the model computed a logit that is not a number or is infinite, at token {token_id}")]
    InvalidLogits {
        /// First token at fault.
        token_id: u32,
    },
    /// The request's rules exclude every token.
    #[error(
        "no token is allowed: allowed_token_ids, bad_words, min_tokens and the grammar exclude all of them"
    )]
    NothingAllowed,
    /// The request's grammar broke.
    #[error(transparent)]
    Grammar(#[from] MatchError),
}

impl SampleError {
    /// A stable name for logs and for the client.
    pub fn code(&self) -> &'static str {
        match self {
            SampleError::InvalidLogits { .. } => "invalid_logits",
            SampleError::NothingAllowed => "no_token_allowed",
            SampleError::Grammar(error) => error.code(),
        }
    }

    /// Never: the same request meets the same end.
    pub fn is_retryable(&self) -> bool {
        false
    }
}

/// The chosen token.
#[derive(Debug, Clone, PartialEq)]
pub struct SampledToken {
    /// Its id.
    pub token_id: u32,
    /// Its place in the raw distribution, if asked for.
    pub logprobs: Option<TokenLogprobs>,
}

/// Chooses tokens. It keeps nothing but buffers.
#[derive(Debug, Default)]
pub struct Sampler {
    candidates: Vec<Candidate>,
    raw_logits: Vec<f32>,
    chunk_sums: Vec<f64>,
}

impl Sampler {
    /// [`Sampler::sample_within`] without a grammar.
    pub fn sample(
        &mut self,
        logits: &mut [f32],
        rules: &SamplingRules,
        history: &TokenHistory,
        draw: f64,
    ) -> Result<SampledToken, SampleError> {
        self.sample_within(logits, (rules, None), history, draw)
    }

    /// Chooses the next token from `logits [vocab_size]`, which it overwrites, by a `draw` from `[0, 1)`.
    ///
    /// In this order: raw log-probabilities; the grammar's mask; allowed tokens; bad words; minimum length and bias;
    /// repetition, frequency and presence penalties; the best token if greedy; temperature; min-p; top-k; top-p; the
    /// draw. Among equal logits the lowest id is first.
    pub fn sample_within(
        &mut self,
        logits: &mut [f32],
        (rules, mask): (&SamplingRules, Option<&TokenMask>),
        history: &TokenHistory,
        draw: f64,
    ) -> Result<SampledToken, SampleError> {
        if let Some(token_id) = softmax::first_invalid(logits) {
            return Err(SampleError::InvalidLogits { token_id });
        }
        if rules.logprobs.is_some() {
            self.raw_logits.clear();
            self.raw_logits.extend_from_slice(logits);
        }
        logit_rules::apply(logits, (rules, mask), history);
        let token_id = self.choose(logits, rules, draw).ok_or(SampleError::NothingAllowed)?;
        let logprobs = rules.logprobs.map(|num_top| {
            let candidates = &mut self.candidates;
            TokenLogprobs::of(&self.raw_logits, token_id, num_top as usize, candidates)
        });
        Ok(SampledToken { token_id, logprobs })
    }

    /// Takes `token_id` whatever its row of logits says, and reports its place in it like a sampled one's.
    pub fn force(
        &mut self,
        logits: &[f32],
        rules: &SamplingRules,
        token_id: u32,
    ) -> Result<SampledToken, SampleError> {
        let logprobs = match rules.logprobs {
            Some(num_top) => Some(self.score(logits, token_id, num_top as usize)?),
            None => None,
        };
        Ok(SampledToken { token_id, logprobs })
    }

    /// Log-probabilities of a known token, as of a prompt's.
    pub fn score(
        &mut self,
        logits: &[f32],
        token_id: u32,
        num_top: usize,
    ) -> Result<TokenLogprobs, SampleError> {
        match softmax::first_invalid(logits) {
            Some(token_id) => Err(SampleError::InvalidLogits { token_id }),
            None => Ok(TokenLogprobs::of(logits, token_id, num_top, &mut self.candidates)),
        }
    }

    fn choose(&mut self, logits: &mut [f32], rules: &SamplingRules, draw: f64) -> Option<u32> {
        let best = softmax::first_maximum(logits)?;
        if rules.temperature < GREEDY_TEMPERATURE {
            return Some(best);
        }
        softmax::shift_and_scale(logits, logits[best as usize], rules.temperature.recip());
        if rules.min_p > 0.0 {
            softmax::mask_below(logits, rules.min_p.ln());
        }
        let top_k = match rules.top_k as usize {
            0 => logits.len(),
            k => k.min(logits.len()),
        };
        if top_k == logits.len() && rules.top_p >= 1.0 {
            return softmax::draw_from_all(logits, draw, &mut self.chunk_sums);
        }
        if top_k == logits.len() {
            candidates::select_nucleus(logits, rules.top_p, &mut self.candidates);
        } else {
            candidates::select_top(logits, top_k, &mut self.candidates);
            candidates::cut_to_nucleus(&mut self.candidates, rules.top_p, None);
        }
        candidates::draw_from(&self.candidates, draw)
    }
}

#[cfg(test)]
mod tests;
