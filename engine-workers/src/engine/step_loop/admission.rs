//! From a request to queued sequences, and back out.

use std::sync::Arc;
use std::time::Instant;

use schedulers::batching::admission::Rejection;
use schedulers::batching::block_hash::CacheKey;
use schedulers::batching::sequence::{AwaitedInput, NewSequence, SequenceId};
use schedulers::batching::state::FinishReason;
use schemas::InferenceId;

use crate::engine::answer::{Answer, AnswerRules};
use crate::engine::error::{EngineError, SubmitError};
use crate::engine::inference::{Inference, PromptScores};
use crate::engine::output::{FinishCause, PromptReport, Replayed, SequenceFailure};
use crate::engine::request::EngineRequest;
use crate::engine::step_loop::StepLoop;

/// Prompt tokens per step of a sequence that wants a row of logits for each: it bounds the memory of the rows.
const MAX_NUM_SCORED_STEP_TOKENS: usize = 64;

impl StepLoop {
    /// Queues the request's sequences, all or none of them.
    pub(super) fn admit(
        &mut self,
        request: EngineRequest,
        submitted_at: Instant,
    ) -> Result<Result<InferenceId, SubmitError>, EngineError> {
        if let Err(error) = self.check_admission(&request) {
            return Ok(Err(error));
        }
        if !request.is_batch {
            self.last_interactive_at = Some(submitted_at);
        }
        let max_len = self.scheduler.config().max_sequence_tokens();
        let rules = Arc::new(AnswerRules::new(&request, &self.tokens, max_len));
        let num_prompt_tokens = request.prompt_token_ids.len();
        self.inferences.insert(request.id, new_inference(&request));
        let mut ended = Vec::new();
        for choice in 0..request.sampling.n {
            let generated = request.generated.get(choice as usize).map_or(&[][..], Vec::as_slice);
            let tokens = Arc::clone(&self.tokens);
            let mut answer = Answer::new(&request, choice, Arc::clone(&rules), tokens, submitted_at);
            let mut text = String::new();
            let end = answer.replay(generated, &mut text);
            if !generated.is_empty() {
                let token_ids = generated.to_vec();
                self.new_replayed.push(Replayed { id: request.id, choice, token_ids, text });
            }
            let id = SequenceId(self.next_sequence);
            self.next_sequence += 1;
            self.answers.insert(id, answer);
            let Some(inference) = self.inferences.get_mut(&request.id) else { continue };
            inference.live.push(id);
            match end {
                Some(cause) => ended.push((id, cause)),
                None => {
                    let awaits = inference.leader.map(|_| AwaitedInput::RemoteKv);
                    inference.leader.get_or_insert(id);
                    let has_scores = inference.scores.is_some() && awaits.is_none();
                    let new = NewSequence {
                        id,
                        tokens: [request.prompt_token_ids.as_slice(), generated].concat(),
                        num_prompt_tokens,
                        priority: request.priority,
                        is_batch: request.is_batch,
                        cache_key: cache_key(&request),
                        stop_rules: rules.stop.clone(),
                        max_num_step_tokens: has_scores.then_some(MAX_NUM_SCORED_STEP_TOKENS),
                        can_read_prefix_cache: !has_scores,
                        awaits,
                    };
                    if let Err(rejection) = self.scheduler.add(new) {
                        ended.push((id, FinishCause::Error(rejected(&rejection))));
                    }
                }
            }
        }
        for (id, cause) in ended {
            self.end(id, cause, Instant::now())?;
        }
        Ok(Ok(request.id))
    }

    fn check_admission(&self, request: &EngineRequest) -> Result<(), SubmitError> {
        if self.is_draining {
            return Err(SubmitError::Draining);
        }
        if self.is_asleep() {
            return Err(SubmitError::Asleep);
        }
        if self.inferences.contains_key(&request.id) {
            return Err(SubmitError::DuplicateInference(request.id));
        }
        let num_sequences = request.sampling.n as usize;
        // Tokens of an earlier attempt are not what makes a prompt too long: they were possible once, and an answer that
        // reached the end of the context ends at once.
        self.scheduler.check_admission(num_sequences, request.prompt_token_ids.len())?;
        let num_held = self.answers.len() + self.outputs.num_unread_ends();
        if num_held + num_sequences > self.max_num_held {
            return Err(SubmitError::OutputBacklog { num_held, max_num_held: self.max_num_held });
        }
        Ok(())
    }

    /// Gives an inference up; without effect if it is unknown.
    pub(super) fn cancel(&mut self, id: InferenceId) -> Result<(), EngineError> {
        let live = self.inferences.get(&id).map(|inference| inference.live.clone());
        for sequence in live.unwrap_or_default() {
            self.scheduler.finish(sequence, FinishReason::Cancelled)?;
            self.end(sequence, FinishCause::Cancelled, Instant::now())?;
        }
        Ok(())
    }

    /// Ends every sequence, as failed if there is a `failure`, and publishes that. The scheduler and the runner may be
    /// broken: neither is asked.
    pub(in crate::engine) fn end_all(&mut self, failure: Option<String>) {
        let cause = failure.map_or(FinishCause::Cancelled, |message| {
            FinishCause::Error(SequenceFailure { code: "engine_stopped", message, is_retryable: true })
        });
        let mut all: Vec<SequenceId> = self.answers.keys().copied().collect();
        all.sort_unstable();
        self.inferences.values_mut().for_each(|inference| inference.leader = None);
        for id in all {
            if let Err(error) = self.end(id, cause.clone(), Instant::now()) {
                tracing::error!(%error, "a sequence could not be ended");
            }
        }
        if let Err(error) = self.publish() {
            tracing::debug!(%error, "nobody hears of the end of the engine");
        }
    }
}

fn new_inference(request: &EngineRequest) -> Inference {
    let params = &request.sampling;
    let num_prompt_tokens = request.prompt_token_ids.len();
    let wants_token_ids = params.echo || params.return_token_ids;
    // A resumed inference has published its prompt's scores before.
    let is_resumed = request.generated.iter().any(|tokens| !tokens.is_empty());
    Inference {
        live: Vec::new(),
        leader: None,
        prompt: Some(PromptReport {
            num_prompt_tokens: num_prompt_tokens as u32,
            num_cached_tokens: 0,
            token_ids: if wants_token_ids { request.prompt_token_ids.clone() } else { Vec::new() },
            logprobs: Vec::new(),
            seed: request.seed,
        }),
        scores: params.prompt_logprobs.filter(|_| !is_resumed).map(|num_top| PromptScores {
            num_top,
            num_prompt_tokens,
            found: Vec::new(),
        }),
        num_prompt_tokens: num_prompt_tokens as u32,
        num_cached_tokens: 0,
    }
}

/// Keys and values are shared by what they were computed with: an adapter's digest, whatever it is called.
fn cache_key(request: &EngineRequest) -> CacheKey {
    CacheKey {
        salt: request.cache_salt.clone(),
        adapter: request.adapter.as_ref().map(|adapter| adapter.digest().to_owned()),
    }
}

fn rejected(rejection: &Rejection) -> SequenceFailure {
    SequenceFailure {
        code: rejection.code(),
        message: rejection.to_string(),
        is_retryable: rejection.is_retryable(),
    }
}
