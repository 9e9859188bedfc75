//! A back end that answers by a script.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use bus::{EventLog, FactWriter, InferenceAddress, LocalFrames, MemoryLog, Stamp, StampSource, subjects};
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use schemas::v1::envelope::Fact;
use schemas::v1::{
    Choice, Ended, Failure, FailureKind, FinishReason, FrameEntry, Outcome, Pooled, PromptReport, Requested,
    TokenLogprob, TokenLogprobs, Usage,
};
use schemas::{EventId, FactKind, WorkerId, failure};

pub(crate) type Script = Arc<dyn Fn(Asked) -> BoxFuture<'static, ()> + Send + Sync>;

/// One inference that the api asked for.
#[derive(Clone)]
pub(crate) struct Asked {
    pub(crate) log: MemoryLog,
    pub(crate) requested: Requested,
    pub(crate) address: InferenceAddress,
    facts: FactWriter,
    step: Arc<AtomicU64>,
}

pub(crate) fn stamps() -> StampSource {
    Arc::new(|| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        Stamp { event_id: EventId::new(uuid::Uuid::now_v7()), unix_nanos: now.as_nanos() as u64 }
    })
}

pub(crate) fn script<F>(script: impl Fn(Asked) -> F + Send + Sync + 'static) -> Script
where
    F: Future<Output = ()> + Send + 'static,
{
    Arc::new(move |asked| Box::pin(script(asked)))
}

/// Runs the script for every requested fact from now on.
pub(crate) async fn start(log: MemoryLog, script: Script) {
    let mut requests = log.listen(subjects::all_of(FactKind::Requested)).await.unwrap();
    let worker = WorkerId::slug("worker-1");
    let facts = FactWriter::new(Arc::new(log.clone()), stamps(), "worker", worker);
    tokio::spawn(async move {
        while let Some(message) = requests.next().await {
            let envelope = schemas::decode_envelope(&message.payload).unwrap();
            let inference = envelope.inference().unwrap();
            let tenant = envelope.tenant().unwrap();
            let Some(Fact::Requested(requested)) = envelope.fact else { continue };
            let ingress = requested.ingress.parse().unwrap();
            let asked = Asked {
                log: log.clone(),
                address: InferenceAddress { inference, tenant, ingress },
                facts: facts.clone(),
                step: Arc::default(),
                requested,
            };
            tokio::spawn(script(asked));
        }
    });
}

/// Tokens 100, 101, 102 that spell "Hello, wörld!" in every choice, then the end.
pub(crate) fn hello() -> Script {
    script(|asked| async move { asked.say_hello().await })
}

/// Ends every inference with a failure.
pub(crate) fn refuse(kind: FailureKind, code: &'static str, param: &'static str) -> Script {
    script(move |asked| async move {
        asked.end_with(Outcome::Failed, Some(failure(kind, code, "refused by the script").at(param))).await;
    })
}

/// Takes requests and never answers.
pub(crate) fn silence() -> Script {
    script(|_| std::future::ready(()))
}

pub(crate) const HELLO: [(u32, &str); 3] = [(100, "Hello"), (101, ", wör"), (102, "ld!")];

impl Asked {
    pub(crate) fn num_choices(&self) -> u32 {
        self.requested.sampling.as_ref().map_or(0, |sampling| sampling.n)
    }

    /// One token of a choice; the first comes with the report on the prompt.
    pub(crate) fn token(&self, choice: u32, index: usize) -> FrameEntry {
        let (token_id, text) = HELLO[index];
        let has_prompt = choice == 0 && index == 0;
        let has_logprobs = self.requested.sampling.as_ref().unwrap().logprobs.is_some();
        FrameEntry {
            choice,
            first_token_index: index as u32,
            token_ids: vec![token_id],
            text: text.to_owned(),
            logprobs: if has_logprobs { vec![logprob(token_id, text)] } else { Vec::new() },
            prompt: has_prompt.then(|| self.prompt_report()),
            ..self.entry(choice)
        }
    }

    pub(crate) fn finish(&self, choice: u32) -> FrameEntry {
        FrameEntry {
            first_token_index: HELLO.len() as u32,
            finish_reason: FinishReason::Stop.into(),
            ..self.entry(choice)
        }
    }

    fn entry(&self, choice: u32) -> FrameEntry {
        FrameEntry {
            inference_id: self.address.inference.to_string(),
            attempt: 1,
            choice,
            ..FrameEntry::default()
        }
    }

    fn prompt_report(&self) -> PromptReport {
        PromptReport {
            num_prompt_tokens: 7,
            num_cached_prompt_tokens: 4,
            engine_fingerprint: "fp_script".to_owned(),
            token_ids: vec![1, 2, 3],
            text: "Say: ".to_owned(),
            logprobs: vec![logprob(1, "Say"), logprob(2, ": ")],
            seed: 1,
        }
    }

    /// One engine step.
    pub(crate) async fn publish(&self, entries: Vec<FrameEntry>) {
        let step = self.step.fetch_add(1, Ordering::Relaxed) + 1;
        self.facts.publish_frame(&self.address.ingress, step, entries).await.unwrap();
    }

    /// One engine step that a worker of the node's process made: the node hears it, and what the log gets later is returned.
    pub(crate) fn say_here(&self, frames: &LocalFrames, entries: Vec<FrameEntry>) -> Vec<FrameEntry> {
        let step = self.step.fetch_add(1, Ordering::Relaxed) + 1;
        assert!(frames.deliver(&self.address.ingress, step, &entries), "the node does not listen");
        entries.into_iter().map(|entry| FrameEntry { step, ..entry }).collect()
    }

    /// One engine step that no live listener hears.
    pub(crate) async fn publish_unheard(&self, entries: Vec<FrameEntry>) {
        self.log.set_faults(|faults| faults.num_dropped_live = 1);
        self.publish(entries).await;
    }

    pub(crate) async fn say_hello(&self) {
        for index in 0..HELLO.len() {
            self.publish((0..self.num_choices()).map(|choice| self.token(choice, index)).collect()).await;
        }
        self.publish((0..self.num_choices()).map(|choice| self.finish(choice)).collect()).await;
        self.end_with(Outcome::Completed, None).await;
    }

    /// Ends with these vectors or scores.
    pub(crate) async fn end_pooled(&self, values: Vec<Vec<f32>>) {
        let num_prompt_tokens = 3 * values.len() as u32;
        let ended = Ended {
            outcome: Outcome::Completed.into(),
            attempt: 1,
            usage: Some(Usage { num_prompt_tokens, ..Usage::default() }),
            pooled: values.into_iter().map(|values| Pooled { values, num_tokens: 3 }).collect(),
            ..Ended::default()
        };
        self.facts.end(&self.address, ended).await.unwrap();
    }

    /// The terminal fact, then the entry that tells of it.
    pub(crate) async fn end_with(&self, outcome: Outcome, failure: Option<Failure>) {
        let is_completed = outcome == Outcome::Completed;
        let choices = (0..self.num_choices()).filter(|_| is_completed).map(|index| Choice {
            index,
            text: HELLO.iter().map(|(_, text)| *text).collect(),
            token_ids: HELLO.iter().map(|(token_id, _)| *token_id).collect(),
            finish_reason: FinishReason::Stop.into(),
            ..Choice::default()
        });
        let usage = Usage {
            num_prompt_tokens: 7,
            num_completion_tokens: self.num_choices() * HELLO.len() as u32,
            num_cached_prompt_tokens: 4,
            ..Usage::default()
        };
        let ended = Ended {
            outcome: outcome.into(),
            attempt: 1,
            choices: choices.collect(),
            usage: is_completed.then_some(usage),
            failure,
            engine_fingerprint: "fp_script".to_owned(),
            ..Ended::default()
        };
        self.facts.end(&self.address, ended).await.unwrap();
    }

    /// The same with these choices, which thought for two tokens each.
    pub(crate) async fn end_as(&self, outcome: Outcome, choices: Vec<Choice>) {
        let usage = Usage {
            num_prompt_tokens: 7,
            num_completion_tokens: choices.iter().map(|choice| choice.token_ids.len() as u32).sum(),
            num_reasoning_tokens: 2 * choices.len() as u32,
            ..Usage::default()
        };
        let ended =
            Ended { outcome: outcome.into(), attempt: 1, choices, usage: Some(usage), ..Ended::default() };
        self.facts.end(&self.address, ended).await.unwrap();
    }

    /// Waits for the fact that asks for the cancellation.
    pub(crate) async fn cancel_reason(&self) -> String {
        let subject = subjects::fact(FactKind::CancelRequested, &self.address.tenant, self.address.inference);
        cancel_reason(&self.log, subject).await
    }
}

/// Waits for a fact that asks for a cancellation, by its subject or pattern.
pub(crate) async fn cancel_reason(log: &MemoryLog, pattern: String) -> String {
    let from = bus::ReadFrom::Start;
    let mut records = log.read(bus::StreamName::Inference, vec![pattern], from, true).await.unwrap();
    let record = records.next().await.unwrap().unwrap();
    let Some(Fact::CancelRequested(cancel)) = schemas::decode_envelope(&record.payload).unwrap().fact else {
        panic!("no cancellation on its subject");
    };
    cancel.reason
}

fn logprob(token_id: u32, text: &str) -> TokenLogprobs {
    let token = TokenLogprob { token_id, logprob: -0.25, rank: 0, token: text.as_bytes().to_vec() };
    let other = TokenLogprob { token_id: 9, logprob: -2.0, rank: 1, token: b"other".to_vec() };
    TokenLogprobs { chosen: Some(token.clone()), top: vec![token, other] }
}
