//! From assignments to the engine, for the slots that are free.

use std::sync::Arc;
use std::time::Duration;

use bus::{BusError, Consumer, Delivery, topology};
use schemas::v1::{
    AttemptFailed, Ended, Failure, FailureKind, Outcome, Prompt, Started, WorkClass, prompt::Content,
};
use schemas::{FactHash, SamplingParams, content_erased, failure};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::active::Computation;
use super::answer::Answer;
use super::assignment::Assignment;
use super::model_text::{PreparedPrompt, PromptTerms};
use super::token_scan::Published;
use super::{PAUSE_AFTER_FAILURE, Worker, locked, record};
use crate::engine::error::SubmitError;
use crate::engine::request::EngineRequest;
use crate::grammar::error::GrammarError;
use crate::lora::adapter::LoraAdapter;
use crate::output_parser::OutputRules;
use crate::sampler::bad_words;

const FETCH_WAIT: Duration = Duration::from_secs(30);

impl Worker {
    /// Takes assignments until `shutdown`, each class for slots of its own: batch work never keeps interactive work from
    /// the engine, which lets it rest while interactive work is there.
    pub(super) async fn intake(self: Arc<Self>, shutdown: CancellationToken) -> Result<(), BusError> {
        let pool = &self.options.pool;
        let interactive =
            self.facts.log().consumer(&topology::pool_consumer(pool, WorkClass::Interactive)).await?;
        let batch = self.facts.log().consumer(&topology::pool_consumer(pool, WorkClass::Batch)).await?;
        let take_all = async {
            tokio::join!(self.take(&interactive, &self.slots), self.take(&batch, &self.batch_slots))
        };
        tokio::select! {
            () = shutdown.cancelled() => Ok(()),
            _ = take_all => Ok(()),
        }
    }

    async fn take(self: &Arc<Self>, consumer: &Consumer, slots: &Arc<Semaphore>) {
        loop {
            let num_free = num_free(slots).await;
            self.wakefulness.may_fetch().await;
            match consumer.fetch(num_free, FETCH_WAIT).await {
                Ok(deliveries) => {
                    for delivery in deliveries {
                        self.begin(delivery, slots).await;
                    }
                }
                Err(error) => {
                    warn!(%error, "cannot fetch assignments, trying again");
                    tokio::time::sleep(PAUSE_AFTER_FAILURE).await;
                }
            }
        }
    }

    async fn begin(self: &Arc<Self>, delivery: Delivery, slots: &Arc<Semaphore>) {
        if !self.is_ready_for_work().await {
            // Asked for before the worker fell asleep: it waits in the log, or another worker takes it.
            if let Err(error) = delivery.retry_after(Duration::ZERO).await {
                warn!(%error, "an assignment could not be handed back and comes again by itself");
            }
            return;
        }
        let Ok(slot) = Arc::clone(slots).acquire_owned().await else { return };
        let worker = Arc::clone(self);
        tokio::spawn(async move {
            let sequence = delivery.record.sequence;
            if let Err(error) = worker.accept(Arc::new(delivery), slot).await {
                warn!(sequence, %error, "an assignment could not be begun and comes again");
            }
        });
    }

    async fn accept(
        self: &Arc<Self>,
        delivery: Arc<Delivery>,
        slot: OwnedSemaphorePermit,
    ) -> Result<(), BusError> {
        let assignment = match Assignment::read(self.facts.log().as_ref(), &delivery).await? {
            Ok(assignment) => assignment,
            Err(reason) => return delivery.dead_letter(reason).await,
        };
        if !self.hold(&assignment, &delivery, slot).await? {
            return Ok(());
        }
        let (inference, attempt) = (assignment.address.inference, assignment.attempt);
        let submitted = self.begin_held(assignment, &delivery).await;
        if !matches!(submitted, Ok(true)) {
            self.forget(inference, attempt);
        }
        submitted.map(drop)
    }

    /// True once the engine has it.
    async fn begin_held(
        self: &Arc<Self>,
        assignment: Assignment,
        delivery: &Delivery,
    ) -> Result<bool, BusError> {
        if assignment.is_repeated
            && record::is_over(&self.facts, &assignment.address, assignment.attempt).await?
        {
            delivery.ack().await?;
            return Ok(false);
        }
        if self.give_up_if_begun(&assignment).await? {
            delivery.ack().await?;
            return Ok(false);
        }
        if !self.wait_for_turn(&assignment).await {
            return Ok(false);
        }
        let adapter = self.adapter_of(&assignment.summary.model).unwrap_or_default();
        let fingerprint = self.fingerprint(adapter.as_deref());
        let published = if assignment.is_told_whole() {
            Ok(Published::default())
        } else {
            self.published_before(&assignment, &fingerprint).await?
        };
        let published = match published {
            Ok(published) => published,
            Err(failure) => {
                self.give_up(&assignment, failure).await?;
                delivery.ack().await?;
                return Ok(false);
            }
        };
        let worker = Arc::clone(self);
        let prepared = tokio::task::spawn_blocking(move || {
            let request = worker.engine_request(&assignment);
            (assignment, request)
        });
        let (assignment, request) = prepared.await.map_err(|error| BusError::Refused(error.to_string()))?;
        match request {
            Ok((request, output)) => {
                let request = EngineRequest { generated: published.token_ids.clone(), ..request };
                let mut answer = Answer::new(output, assignment.is_told_whole());
                if let Some(first_at) = published.first_published_at_unix_nanos {
                    let requested_at = assignment.summary.requested_at_unix_nanos;
                    answer
                        .set_time_to_first_token(Duration::from_nanos(first_at.saturating_sub(requested_at)));
                }
                self.submit(assignment, request, answer, delivery).await
            }
            Err(failure) => self.refuse(&assignment, failure, delivery).await.map(|()| false),
        }
    }

    fn engine_request(&self, assignment: &Assignment) -> Result<(EngineRequest, OutputRules), Failure> {
        if assignment.is_erased {
            return Err(content_erased());
        }
        if assignment.requested.pooling.is_some() {
            let message = format!("model {} supports neither embeddings nor scores", self.card.name);
            return Err(failure(FailureKind::InvalidRequest, "unsupported_task", message).at("model"));
        }
        let adapter = self.adapter_of(&assignment.summary.model)?;
        let mut sampling: SamplingParams =
            assignment.requested.sampling.clone().map(SamplingParams::from).unwrap_or_default();
        let max_num_tokens = self.card.max_model_len_tokens;
        let terms = PromptTerms {
            asked_at: assignment.asked_at(),
            max_num_tokens: sampling.truncate_prompt_tokens.is_none().then_some(max_num_tokens),
        };
        let PreparedPrompt { tokens, output, grammar, thinking, kept_special_token_ids } =
            self.text.prepare(&assignment.prompt, &sampling, terms)?;
        let grammar_param = if grammar.is_some() { "tools" } else { "grammar" };
        sampling.grammar = grammar.or(sampling.grammar);
        let num_kept =
            sampling.truncate_prompt_tokens.map_or(tokens.len(), |kept| tokens.len().min(kept as usize));
        sampling.max_tokens = Some(
            self.max_answer_tokens(num_kept, &sampling)
                .map_err(|failure| failure.at(param_of(&assignment.prompt)))?,
        );
        let mut request = EngineRequest::new(assignment.address.inference, tokens, sampling);
        request.bad_words = bad_words::tokenize(&request.sampling.bad_words, |word| {
            let plain = crate::tokenizer::EncodeOptions { adds_special: false, parses_special: false };
            self.text.tokenizer.encode(word, plain).unwrap_or_default()
        });
        request.thinking = thinking;
        request.kept_special_token_ids = kept_special_token_ids;
        request.adapter = adapter;
        if let Some(grammar) = &request.sampling.grammar {
            let compiled = self.text.grammars.compile(grammar);
            let compiled = compiled.map_err(|error| grammar_failure(&error).at(grammar_param))?;
            request.grammar = Some(compiled);
        }
        request.priority = assignment.summary.priority;
        request.is_batch = assignment.is_batch();
        let salt = &assignment.requested.cache_salt;
        request.cache_salt = (!salt.is_empty()).then(|| salt.clone());
        Ok((request, output))
    }

    /// The adapter that a model's name stands for; none if it is the base model's. A name that is neither was one when it
    /// was routed here.
    fn adapter_of(&self, model: &str) -> Result<Option<Arc<LoraAdapter>>, Failure> {
        if let Some(adapter) = self.adapters.as_ref().and_then(|adapters| adapters.find(model)) {
            return Ok(Some(adapter));
        }
        if model == self.card.name || self.card.aliases.iter().any(|alias| alias == model) {
            return Ok(None);
        }
        let message = format!("the model '{model}' is not loaded any more");
        Err(failure(FailureKind::NotFound, "model_not_found", message).at("model"))
    }

    /// Prompt and answer must fit into the context; an answer without a bound may fill what is left.
    fn max_answer_tokens(&self, num_prompt_tokens: usize, sampling: &SamplingParams) -> Result<u32, Failure> {
        let max_model_len = self.card.max_model_len_tokens;
        let num_left = max_model_len.saturating_sub(num_prompt_tokens);
        let num_wanted = sampling.max_tokens.map_or(1, |max_tokens| max_tokens as usize);
        if num_left < num_wanted {
            let message = format!(
                "this model's context is {max_model_len} tokens; the prompt has {num_prompt_tokens} and the answer may \
                 have {num_wanted}: shorten the prompt, or lower max_tokens",
            );
            return Err(failure(FailureKind::InvalidRequest, "context_length_exceeded", message));
        }
        Ok(sampling.max_tokens.unwrap_or_else(|| u32::try_from(num_left).unwrap_or(u32::MAX)))
    }

    /// Its computation is known before it is submitted, so that no output and no cancellation can miss it.
    async fn submit(
        &self,
        assignment: Assignment,
        request: EngineRequest,
        answer: Answer,
        delivery: &Delivery,
    ) -> Result<bool, BusError> {
        let (inference, attempt) = (assignment.address.inference, assignment.attempt);
        let (accepted, is_accepted) = oneshot::channel();
        let has_begun = async move { is_accepted.await.is_ok() };
        let computation = Computation {
            assigned: assignment.assigned,
            started: self.append_started(&assignment, &request, has_begun),
            summary: assignment.summary.clone(),
            history: assignment.history,
            price: assignment.requested.price.clone(),
            echo: request.sampling.echo,
            engine_fingerprint: self.fingerprint(request.adapter.as_deref()),
            answer,
        };
        {
            let mut inferences = locked(&self.active);
            let held = inferences.get_mut(&inference);
            let Some(held) = held.filter(|held| held.attempt == attempt && !held.is_given_up) else {
                return Ok(false);
            };
            held.computation = Some(computation);
            self.wakefulness.count_taken();
        }
        let submitted = self.engine.submit(request).await;
        let Err(error) = submitted else {
            if accepted.send(()).is_err() {
                warn!(%inference, "nobody writes the start any more");
            }
            let is_given_up = locked(&self.active).get(&inference).is_some_and(|held| held.is_given_up);
            if is_given_up || locked(&self.cancellations).contains(inference) {
                self.abort(inference);
            }
            return Ok(true);
        };
        match error {
            error if error.is_retryable() => delivery.retry_after(PAUSE_AFTER_FAILURE).await?,
            error => self.refuse(&assignment, submit_failure(&error), delivery).await?,
        }
        Ok(false)
    }

    /// Leaves an inference to another attempt.
    async fn give_up(&self, assignment: &Assignment, failure: Failure) -> Result<(), BusError> {
        let failed = AttemptFailed {
            attempt: assignment.attempt,
            worker: self.options.id.to_string(),
            failure: Some(failure),
            summary: Some(assignment.summary.clone()),
            history: Some(record::history_after_failure(assignment.history)),
        };
        let facts = self.facts.following(assignment.assigned);
        record::append_attempt_failed(&facts, &assignment.address, failed).await
    }

    fn append_started(
        &self,
        assignment: &Assignment,
        request: &EngineRequest,
        has_begun: impl Future<Output = bool> + Send + 'static,
    ) -> JoinHandle<FactHash> {
        let started = Started {
            attempt: assignment.attempt,
            worker: self.options.id.to_string(),
            seed: request.seed,
            num_prompt_tokens: u32::try_from(request.prompt_token_ids.len()).unwrap_or(u32::MAX),
            engine_fingerprint: self.fingerprint(request.adapter.as_deref()),
            model_digest: self.card.model_digest.clone(),
            num_resumed_tokens: request.generated.iter().map(Vec::len).sum::<usize>() as u32,
        };
        record::append_started(&self.facts, assignment, started, has_begun)
    }

    async fn refuse(
        &self,
        assignment: &Assignment,
        failure: Failure,
        delivery: &Delivery,
    ) -> Result<(), BusError> {
        let ended = Ended {
            outcome: Outcome::Failed.into(),
            attempt: assignment.attempt,
            worker: self.options.id.to_string(),
            failure: Some(failure),
            engine_fingerprint: self.card.engine_fingerprint.clone(),
            ..Ended::default()
        };
        self.end(&assignment.address, assignment.assigned, ended).await?;
        delivery.ack().await
    }
}

/// Waits until a slot is free, and says how many are.
async fn num_free(slots: &Semaphore) -> usize {
    let Ok(permit) = slots.acquire().await else { return 0 };
    let num_free = slots.available_permits() + 1;
    drop(permit);
    num_free
}

fn param_of(prompt: &Prompt) -> &'static str {
    if matches!(prompt.content, Some(Content::Chat(_))) { "messages" } else { "prompt" }
}

/// The api knows which of the request's fields the grammar came from.
fn grammar_failure(error: &GrammarError) -> Failure {
    failure(FailureKind::InvalidRequest, error.code(), error.to_string()).at("grammar")
}

fn submit_failure(error: &SubmitError) -> Failure {
    let kind = match error {
        SubmitError::Invalid(_) | SubmitError::Rejected(_) => FailureKind::InvalidRequest,
        _ => FailureKind::Internal,
    };
    let failure = failure(kind, error.code(), error.to_string());
    match error {
        SubmitError::Invalid(invalid) => failure.at(invalid.param),
        _ => failure,
    }
}
