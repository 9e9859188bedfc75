//! From a step's logits to tokens, text and ends.

use std::time::Instant;

use schedulers::batching::sequence::SequenceId;
use schedulers::batching::state::FinishReason;
use schedulers::batching::step_plan::{ScheduledSequence, SequenceProgress, StepPlan, StepResult};

use crate::engine::answer::NewTokens;
use crate::engine::error::EngineError;
use crate::engine::output::{Finish, FinishCause, SequenceFailure, SequenceOutput, Usage};
use crate::engine::step_loop::{StepLoop, num_rows_of};
use crate::runner::{LogitRows, RunnerError};
use crate::sampler::SampleError;

/// What the step brought one sequence.
enum Computed {
    /// Nothing to say yet.
    Chunk,
    Tokens(NewTokens),
    Failure(SequenceFailure),
}

impl StepLoop {
    /// Samples and reads the tokens' text, tells the scheduler, and turns both into output.
    pub(super) fn postprocess(
        &mut self,
        plan: &StepPlan,
        outcome: Result<(), RunnerError>,
    ) -> Result<(), EngineError> {
        let now = Instant::now();
        let computed = match outcome {
            Ok(()) => self.sample(plan, now)?,
            Err(error) => {
                tracing::error!(%error, num_sequences = plan.sequences.len(), "a step failed");
                let failure = runner_failed(&error);
                plan.sequences.iter().map(|_| Computed::Failure(failure.clone())).collect()
            }
        };
        let results = computed.iter().map(step_result).collect();
        let progress = self.scheduler.complete(plan, results)?;
        let mut progress = progress.into_iter().peekable();
        for (share, computed) in plan.sequences.iter().zip(computed) {
            if let Some(progress) = progress.next_if(|progress| progress.id == share.id) {
                self.advance(&progress, computed, now)?;
            }
        }
        self.stats.sample_time_total += now.elapsed();
        Ok(())
    }

    fn sample(&mut self, plan: &StepPlan, now: Instant) -> Result<Vec<Computed>, EngineError> {
        let mut computed = Vec::with_capacity(plan.sequences.len());
        let mut logits = std::mem::take(&mut self.logits);
        let mut rest = logits.as_mut_slice();
        for share in &plan.sequences {
            let logit_rows = self.logit_rows(share);
            let num_logits = num_rows_of(logit_rows, share.num_tokens) * self.shape.vocab_size;
            let (rows, after) = rest.split_at_mut(num_logits);
            rest = after;
            computed.push(self.sample_one(share, logit_rows, rows, now)?);
        }
        self.logits = logits;
        Ok(computed)
    }

    fn sample_one(
        &mut self,
        share: &ScheduledSequence,
        logit_rows: LogitRows,
        rows: &mut [f32],
        now: Instant,
    ) -> Result<Computed, EngineError> {
        if logit_rows == LogitRows::All
            && let Err(error) = self.score_prompt(share, rows)?
        {
            return Ok(Computed::Failure(error.into()));
        }
        let Some(answer) = self.answers.get_mut(&share.id) else { return Ok(Computed::Chunk) };
        answer.marks.started_at.get_or_insert(now);
        if !share.is_sampled {
            return Ok(Computed::Chunk);
        }
        let num_cached_tokens = self.scheduler.sequence(share.id)?.num_cached_tokens();
        let inference = self.inferences.get_mut(&answer.inference);
        if let Some(inference) = inference.filter(|inference| inference.leader == Some(share.id)) {
            inference.set_num_cached_tokens(num_cached_tokens.unwrap_or(0));
        }
        // Earlier rows, if there are any, score the prompt.
        let first_row = rows.len() - (share.num_drafts + 1) * self.shape.vocab_size;
        let tokens = self.scheduler.sequence(share.id)?.tokens_and_drafts();
        let drafts = &tokens[tokens.len() - share.num_drafts..];
        Ok(match answer.extend(&mut self.sampler, &mut rows[first_row..], drafts) {
            Ok(new) => {
                self.stats.spec_decode_num_drafts_total += u64::from(share.num_drafts > 0);
                self.stats.spec_decode_num_draft_tokens_total += share.num_drafts as u64;
                self.stats.spec_decode_num_accepted_tokens_total += new.num_accepted;
                Computed::Tokens(new)
            }
            Err(error) => Computed::Failure(error.into()),
        })
    }

    /// Scores the prompt tokens after the rows' positions; those that a preempted sequence computes again are known.
    fn score_prompt(
        &mut self,
        share: &ScheduledSequence,
        rows: &[f32],
    ) -> Result<Result<(), SampleError>, EngineError> {
        let sequence = self.scheduler.sequence(share.id)?;
        let prompt = &sequence.tokens()[..sequence.num_prompt_tokens()];
        let inference = self.answers.get(&share.id).map(|answer| answer.inference);
        let inference = inference.and_then(|id| self.inferences.get_mut(&id));
        let Some(scores) = inference.and_then(|inference| inference.scores.as_mut()) else {
            return Ok(Ok(()));
        };
        for (position, row) in (share.first_position..).zip(rows.chunks_exact(self.shape.vocab_size)) {
            let is_next = position == scores.found.len();
            if let Some(token) = prompt.get(position + 1).filter(|_| is_next) {
                match self.sampler.score(row, *token, scores.num_top as usize) {
                    Ok(found) => scores.found.push(found),
                    Err(error) => return Ok(Err(error)),
                }
            }
        }
        Ok(Ok(()))
    }

    /// Turns one sequence's tokens into output.
    fn advance(
        &mut self,
        progress: &SequenceProgress,
        computed: Computed,
        now: Instant,
    ) -> Result<(), EngineError> {
        let new = match computed {
            Computed::Chunk => return Ok(()),
            Computed::Failure(failure) => return self.end(progress.id, FinishCause::Error(failure), now),
            Computed::Tokens(new) => new,
        };
        self.report_prompt(progress.id)?;
        let Some(answer) = self.answers.get_mut(&progress.id) else { return Ok(()) };
        answer.marks.first_token_at.get_or_insert(now);
        self.stats.generation_tokens_total += new.token_ids.len() as u64;
        let mut output = SequenceOutput {
            id: answer.inference,
            choice: answer.choice,
            first_token_index: new.first_index,
            token_ids: new.token_ids,
            text: new.text,
            text_ends: new.text_ends,
            logprobs: new.logprobs,
            prompt: None,
            finish: None,
        };
        if let Some(cause) = new.cause {
            if progress.finish.is_none() {
                let is_error = matches!(cause, FinishCause::Error(_));
                let reason = if is_error { FinishReason::Error } else { FinishReason::Stop };
                self.scheduler.finish(progress.id, reason)?;
            }
            output.finish = self.take_out(progress.id, cause, now);
        }
        self.emit(output);
        Ok(())
    }

    /// With the leader's first token the prompt is computed: the other choices find it in the prefix cache.
    fn report_prompt(&mut self, id: SequenceId) -> Result<(), EngineError> {
        let Some(answer) = self.answers.get(&id) else { return Ok(()) };
        let Some(inference) = self.inferences.get_mut(&answer.inference) else { return Ok(()) };
        if inference.leader != Some(id) {
            return Ok(());
        }
        self.stats.prompt_tokens_total += u64::from(inference.num_prompt_tokens);
        if let (Some(prompt), Some(scores)) = (&mut inference.prompt, inference.scores.take()) {
            prompt.logprobs = scores.found;
        }
        self.release_siblings(id)
    }

    /// Lets the choices run that wait for the leader's prompt.
    fn release_siblings(&mut self, leader: SequenceId) -> Result<(), EngineError> {
        let Some(answer) = self.answers.get(&leader) else { return Ok(()) };
        let Some(inference) = self.inferences.get_mut(&answer.inference) else { return Ok(()) };
        if inference.leader.take_if(|id| *id == leader).is_some() {
            for sibling in inference.live.iter().filter(|id| **id != leader) {
                if self.scheduler.sequence(*sibling).is_ok() {
                    self.scheduler.mark_ready(*sibling)?;
                }
            }
        }
        Ok(())
    }

    /// Ends a sequence that brought no token with its end; its text so far is flushed.
    pub(super) fn end(
        &mut self,
        id: SequenceId,
        cause: FinishCause,
        now: Instant,
    ) -> Result<(), EngineError> {
        self.release_siblings(id)?;
        let Some(answer) = self.answers.get_mut(&id) else { return Ok(()) };
        let mut text = String::new();
        if matches!(cause, FinishCause::Cancelled | FinishCause::Error(_)) {
            answer.flush(&mut text);
        }
        let mut output = SequenceOutput {
            id: answer.inference,
            choice: answer.choice,
            first_token_index: answer.num_tokens() as u32,
            token_ids: Vec::new(),
            text,
            text_ends: Vec::new(),
            logprobs: Vec::new(),
            prompt: None,
            finish: None,
        };
        output.finish = self.take_out(id, cause, now);
        self.emit(output);
        Ok(())
    }

    /// Forgets a sequence and says what it took; the prompt's report must go out with it.
    fn take_out(&mut self, id: SequenceId, cause: FinishCause, now: Instant) -> Option<Finish> {
        let answer = self.answers.remove(&id)?;
        if let Some(drafter) = &mut self.drafter {
            drafter.forget(id);
        }
        let inference = self.inferences.get_mut(&answer.inference)?;
        inference.live.retain(|other| *other != id);
        let stats = &mut self.stats;
        *match cause {
            FinishCause::EndOfSequence | FinishCause::StopToken(_) | FinishCause::StopString(_) => {
                &mut stats.finished_stop_total
            }
            FinishCause::Length => &mut stats.finished_length_total,
            FinishCause::Cancelled => &mut stats.finished_cancelled_total,
            FinishCause::Error(_) => &mut stats.finished_error_total,
        } += 1;
        Some(Finish {
            reason: cause,
            usage: Usage {
                num_prompt_tokens: inference.num_prompt_tokens,
                num_completion_tokens: answer.num_tokens() as u32,
                num_cached_prompt_tokens: inference.num_cached_tokens,
            },
            timings: answer.marks.timings(now),
            is_last_of_inference: inference.live.is_empty(),
        })
    }

    /// Adds to the step's output; the first of an inference carries its prompt's report, the last forgets it.
    fn emit(&mut self, mut output: SequenceOutput) {
        if let Some(inference) = self.inferences.get_mut(&output.id) {
            output.prompt = inference.prompt.take();
            if inference.live.is_empty() {
                self.inferences.remove(&output.id);
            }
        }
        self.new_outputs.push(output);
    }
}

fn step_result(computed: &Computed) -> StepResult {
    match computed {
        Computed::Chunk => StepResult::Computed,
        Computed::Tokens(new) => StepResult::Sampled(new.token_ids.clone()),
        Computed::Failure(_) => StepResult::Failed,
    }
}

fn runner_failed(error: &RunnerError) -> SequenceFailure {
    SequenceFailure { code: "runner_failed", message: error.to_string(), is_retryable: true }
}
