//! One sequence's answer: how its tokens are chosen, and what text they have become.

use std::sync::Arc;
use std::time::Instant;

use schedulers::batching::state::FinishReason;
use schedulers::batching::stop_rules::StopRules;
use schemas::InferenceId;

use crate::detokenizer::{Detokenizer, TokenTable};
use crate::engine::output::{FinishCause, SequenceFailure, Timings};
use crate::engine::request::EngineRequest;
use crate::engine::thinking::ThinkingSpan;
use crate::grammar::error::MatchError;
use crate::grammar::matcher::GrammarMatcher;
use crate::lora::adapter::LoraAdapter;
use crate::sampler::sampling_rules::SamplingRules;
use crate::sampler::token_history::TokenHistory;
use crate::sampler::token_logprobs::TokenLogprobs;
use crate::sampler::{SampleError, SampledToken, Sampler, random};
use crate::stop_strings::StopStringMatcher;

/// What all choices of an inference share.
#[derive(Debug)]
pub(super) struct AnswerRules {
    pub(super) sampling: SamplingRules,
    pub(super) stop: StopRules,
    pub(super) stop_strings: Arc<[String]>,
    /// Stop tokens of the request, as opposed to those of the model.
    pub(super) requested_stop_token_ids: Vec<u32>,
    pub(super) includes_stop_in_text: bool,
    pub(super) skips_special_tokens: bool,
    pub(super) kept_special_token_ids: Arc<[u32]>,
    pub(super) has_grammar: bool,
    pub(super) seed: u64,
    /// Held until the last choice has ended.
    pub(super) adapter: Option<Arc<LoraAdapter>>,
}

impl AnswerRules {
    /// `max_len` is the longest that prompt and answer can be together.
    pub(super) fn new(request: &EngineRequest, tokens: &TokenTable, max_len: usize) -> Self {
        let params = &request.sampling;
        let max_num_tokens = max_len.saturating_sub(request.prompt_token_ids.len());
        let model_stops = if params.ignore_eos { &[] } else { tokens.eos_token_ids() };
        let stop_token_ids: Vec<u32> = params.stop_token_ids.iter().chain(model_stops).copied().collect();
        AnswerRules {
            sampling: SamplingRules::new(params, stop_token_ids.clone(), request.bad_words.clone()),
            stop: StopRules {
                stop_token_ids,
                max_tokens: params.max_tokens.map_or(usize::MAX, |max| max as usize).min(max_num_tokens),
                min_tokens: params.min_tokens as usize,
            },
            stop_strings: params.stop.iter().cloned().collect(),
            requested_stop_token_ids: params.stop_token_ids.clone(),
            includes_stop_in_text: params.include_stop_str_in_output,
            skips_special_tokens: params.skip_special_tokens,
            kept_special_token_ids: Arc::clone(&request.kept_special_token_ids),
            has_grammar: request.grammar.is_some(),
            seed: request.seed,
            adapter: request.adapter.clone(),
        }
    }

    fn cause(&self, reason: FinishReason, token_id: u32) -> FinishCause {
        match reason {
            FinishReason::Stop if self.requested_stop_token_ids.contains(&token_id) => {
                FinishCause::StopToken(token_id)
            }
            FinishReason::Stop => FinishCause::EndOfSequence,
            FinishReason::Length | FinishReason::Cancelled | FinishReason::Error => FinishCause::Length,
        }
    }
}

/// When a sequence passed the marks of its life.
#[derive(Debug, Clone, Copy)]
pub(super) struct Marks {
    pub(super) submitted_at: Instant,
    pub(super) started_at: Option<Instant>,
    pub(super) first_token_at: Option<Instant>,
}

impl Marks {
    pub(super) fn timings(&self, now: Instant) -> Timings {
        let started_at = self.started_at.unwrap_or(now);
        let first_token_at = self.first_token_at.unwrap_or(now);
        Timings {
            queued: started_at.saturating_duration_since(self.submitted_at),
            prefill: first_token_at.saturating_duration_since(started_at),
            decode: now.saturating_duration_since(first_token_at),
        }
    }
}

/// What a step adds to an answer.
#[derive(Debug, Default)]
pub(super) struct NewTokens {
    /// Index of the first token in the answer.
    pub(super) first_index: u32,
    pub(super) token_ids: Vec<u32>,
    pub(super) logprobs: Vec<TokenLogprobs>,
    /// What became certain.
    pub(super) text: String,
    /// How much of it with each token, and those before it.
    pub(super) text_ends: Vec<u32>,
    /// The end, if the last token brought it.
    pub(super) cause: Option<FinishCause>,
    /// Drafts that were right.
    pub(super) num_accepted: u64,
}

/// One sequence's answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) inference: InferenceId,
    pub(super) choice: u32,
    pub(super) marks: Marks,
    /// Absent without a grammar, and while it is lent for the computation of its mask.
    pub(super) grammar: Option<GrammarMatcher>,
    rules: Arc<AnswerRules>,
    history: TokenHistory,
    tokens: Arc<TokenTable>,
    thinking: Option<ThinkingSpan>,
    detokenizer: Detokenizer,
    stop_strings: StopStringMatcher,
}

impl Answer {
    pub(super) fn new(
        request: &EngineRequest,
        choice: u32,
        rules: Arc<AnswerRules>,
        tokens: Arc<TokenTable>,
        submitted_at: Instant,
    ) -> Self {
        let matcher =
            |grammar| GrammarMatcher::new(grammar, Arc::clone(&tokens), !request.sampling.ignore_eos);
        Answer {
            inference: request.id,
            choice,
            marks: Marks { submitted_at, started_at: None, first_token_at: None },
            grammar: request.grammar.clone().map(matcher),
            history: TokenHistory::new(&request.prompt_token_ids, &rules.sampling),
            thinking: request.thinking.clone().map(ThinkingSpan::new),
            tokens: Arc::clone(&tokens),
            detokenizer: Detokenizer::new(tokens, rules.skips_special_tokens)
                .keeping(Arc::clone(&rules.kept_special_token_ids)),
            stop_strings: StopStringMatcher::new(
                Arc::clone(&rules.stop_strings),
                rules.includes_stop_in_text,
            ),
            rules,
        }
    }

    /// What corrects the model's matrices for it.
    pub(super) fn adapter(&self) -> Option<&LoraAdapter> {
        self.rules.adapter.as_deref()
    }

    /// Tokens of the answer so far.
    pub(super) fn num_tokens(&self) -> usize {
        self.history.output_tokens().len()
    }

    /// Whether the next token belongs to the thinking span, which precedes what must match.
    fn is_thinking(&self) -> bool {
        self.thinking.as_ref().is_some_and(|thinking| !thinking.is_over())
    }

    /// Whether the next token is the one with the largest logit, whatever the others are.
    pub(super) fn takes_largest(&self) -> bool {
        !self.rules.has_grammar && self.rules.sampling.takes_largest(self.num_tokens())
    }

    /// Chooses the next token from its row of logits; the draw depends on the token's index alone.
    fn sample(&mut self, sampler: &mut Sampler, logits: &mut [f32]) -> Result<SampledToken, SampleError> {
        if let Some(token_id) = self.thinking.as_ref().and_then(ThinkingSpan::forced) {
            return sampler.force(logits, &self.rules.sampling, token_id);
        }
        let draw = random::uniform(self.rules.seed, self.choice, self.num_tokens() as u64);
        let is_thinking = self.is_thinking();
        let mask = match &mut self.grammar {
            Some(grammar) if is_thinking => Some(grammar.any_but_end()),
            Some(grammar) => Some(grammar.mask()?),
            None if self.rules.has_grammar => return Err(MatchError::Lost.into()),
            None => None,
        };
        sampler.sample_within(logits, (&self.rules.sampling, mask), &self.history, draw)
    }

    /// A token of a draft model's choice, for the place `offset` tokens on: chosen by this answer's rules and the draw of
    /// that place, so that it is the answer's own wherever both models agree on the likelihoods.
    pub(super) fn guess(&self, sampler: &mut Sampler, offset: usize, logits: &mut [f32]) -> Option<u32> {
        let draw = random::uniform(self.rules.seed, self.choice, (self.num_tokens() + offset) as u64);
        let token = sampler.sample(logits, &self.rules.sampling, &self.history, draw);
        token.ok().map(|token| token.token_id)
    }

    /// Takes the next token, with the end that it is by itself, and appends to `text` what became certain. The
    /// text of a stop token is left out, like a stop string, unless it is to be included. A grammar that
    /// nothing can follow ends the answer, even where its length would.
    fn push(
        &mut self,
        token_id: u32,
        finish: Option<FinishReason>,
        text: &mut String,
    ) -> Option<FinishCause> {
        self.history.push(token_id);
        let is_thinking = self.is_thinking();
        if let Some(thinking) = &mut self.thinking {
            thinking.push(self.tokens.token_bytes(token_id));
        }
        let is_whole =
            match self.grammar.as_mut().filter(|_| !is_thinking).map(|grammar| grammar.advance(token_id)) {
                None => false,
                Some(Ok(is_complete)) => is_complete && finish != Some(FinishReason::Stop),
                Some(Err(error)) => {
                    self.flush(text);
                    return Some(FinishCause::Error(SequenceFailure::from(SampleError::from(error))));
                }
            };
        let mut piece = String::new();
        if finish != Some(FinishReason::Stop) || self.rules.includes_stop_in_text {
            self.detokenizer.push(token_id, &mut piece);
        }
        // Text of the first `min_tokens` tokens is out of reach of stop strings.
        if self.num_tokens() <= self.rules.stop.min_tokens {
            text.push_str(&piece);
        } else if let Some(found) = self.stop_strings.push(&piece, text) {
            return Some(FinishCause::StopString(self.rules.stop_strings[found.stop_index].clone()));
        }
        let cause = if is_whole { FinishCause::EndOfSequence } else { self.rules.cause(finish?, token_id) };
        self.flush(text);
        Some(cause)
    }

    /// Chooses the next tokens from their rows of logits `[1 + drafts, vocab_size]`: each as if it were alone, as long as
    /// it is the draft that the next row was computed for. What is wrong with a later row shows when that row is the first.
    pub(super) fn extend(
        &mut self,
        sampler: &mut Sampler,
        rows: &mut [f32],
        drafts: &[u32],
    ) -> Result<NewTokens, SampleError> {
        let mut new = NewTokens { first_index: self.num_tokens() as u32, ..NewTokens::default() };
        let vocab_size = rows.len() / (drafts.len() + 1);
        for (index, row) in rows.chunks_exact_mut(vocab_size).enumerate() {
            let SampledToken { token_id, logprobs } = match self.sample(sampler, row) {
                Ok(token) => token,
                Err(error) if index == 0 => return Err(error),
                Err(_) => break,
            };
            let finish = self.rules.stop.finish_reason(token_id, self.num_tokens() + 1);
            new.token_ids.push(token_id);
            new.logprobs.extend(logprobs);
            new.cause = self.push(token_id, finish, &mut new.text);
            new.text_ends.push(new.text.len() as u32);
            let is_right = drafts.get(index) == Some(&token_id);
            new.num_accepted += u64::from(is_right);
            if new.cause.is_some() || !is_right {
                break;
            }
        }
        Ok(new)
    }

    /// Appends what was held back; no more tokens come.
    pub(super) fn flush(&mut self, text: &mut String) {
        let mut rest = String::new();
        self.detokenizer.finish(&mut rest);
        if self.stop_strings.push(&rest, text).is_none() {
            self.stop_strings.finish(text);
        }
    }

    /// Takes the tokens of an earlier attempt and appends to `published` the text that was published with them; the end, if
    /// they reach it.
    pub(super) fn replay(&mut self, tokens: &[u32], published: &mut String) -> Option<FinishCause> {
        for token in tokens {
            let finish = self.rules.stop.finish_reason(*token, self.num_tokens() + 1);
            if let Some(cause) = self.push(*token, finish, published) {
                return Some(cause);
            }
        }
        None
    }
}
