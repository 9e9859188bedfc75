//! Facts of invented inferences.

use proptest::collection::vec;
use proptest::prelude::*;
use schemas::v1::envelope::Fact;
use schemas::v1::{
    Admitted, Assigned, AttemptFailed, CancelRequested, Choice, Cost, Ended, Envelope, Failure, FinishReason,
    Outcome, RequestSummary, Requested, Started, Timings, Usage, WorkClass,
};
use schemas::{EventId, InferenceId, TenantId, WrittenBy};
use uuid::Uuid;

/// When the first inference was requested.
pub(crate) const EPOCH: u64 = 1_763_800_000_000_000_000;

/// What becomes of an inference.
#[derive(Debug, Clone)]
pub(crate) struct Life {
    /// Gives its id and its times.
    pub(crate) number: u32,
    pub(crate) tenant: &'static str,
    pub(crate) model: &'static str,
    /// Attempts that were lost before the one that counted.
    pub(crate) num_lost_attempts: u32,
    pub(crate) is_cancel_requested: bool,
    /// `None` while it still runs.
    pub(crate) outcome: Option<Outcome>,
}

impl Life {
    pub(crate) fn completed(number: u32) -> Self {
        Self {
            number,
            tenant: "acme",
            model: "smol",
            num_lost_attempts: 0,
            is_cancel_requested: false,
            outcome: Some(Outcome::Completed),
        }
    }

    pub(crate) fn id(&self) -> InferenceId {
        InferenceId::new(Uuid::from_u128(0x0198_c6f0_0000_7000_8000_0000_0000_0000 + u128::from(self.number)))
    }

    pub(crate) fn requested_at(&self) -> u64 {
        EPOCH + u64::from(self.number) * 1_000_000
    }

    /// Its facts in the order in which they happen.
    pub(crate) fn facts(&self) -> Vec<Envelope> {
        let is_rejected = self.outcome == Some(Outcome::Rejected);
        let mut facts = vec![Fact::Requested(self.requested())];
        if !is_rejected {
            facts.push(Fact::Admitted(Admitted { summary: Some(self.summary()), ..Admitted::default() }));
            for attempt in 1..=self.num_lost_attempts {
                facts.extend([self.assigned(attempt), self.started(attempt), self.attempt_failed(attempt)]);
            }
            let attempt = self.num_lost_attempts + 1;
            facts.extend([self.assigned(attempt), self.started(attempt)]);
        }
        if self.is_cancel_requested {
            facts.push(Fact::CancelRequested(CancelRequested { reason: "client_disconnected".to_owned() }));
        }
        facts.extend(self.outcome.map(|outcome| self.ended(outcome)));
        (1..).zip(facts).map(|(step, fact)| self.envelope(step, fact)).collect()
    }

    pub(crate) fn envelope(&self, step: u64, fact: Fact) -> Envelope {
        let by = WrittenBy {
            event_id: EventId::new(Uuid::from_u128(u128::from(self.number) << 32 | u128::from(step))),
            at_unix_nanos: self.requested_at() + (step - 1) * 1_000,
            writer: "test/1",
        };
        let tenant: TenantId = self.tenant.parse().expect("a tenant");
        Envelope::new(&by, self.id(), &tenant, fact)
    }

    fn requested(&self) -> Requested {
        Requested {
            model: self.model.to_owned(),
            class: WorkClass::Interactive.into(),
            ingress: "api-1".to_owned(),
            endpoint: "/v1/chat/completions".to_owned(),
            stream: true,
            priority: 3,
            caller: "fp".to_owned(),
            ..Requested::default()
        }
    }

    fn summary(&self) -> RequestSummary {
        RequestSummary {
            model: self.model.to_owned(),
            class: WorkClass::Interactive.into(),
            ingress: "api-1".to_owned(),
            priority: 3,
            content_sequence: 1,
            requested_at_unix_nanos: self.requested_at(),
            ..RequestSummary::default()
        }
    }

    fn assigned(&self, attempt: u32) -> Fact {
        Fact::Assigned(Assigned {
            attempt,
            deployment: format!("deployment-{attempt}"),
            pool: "smol".to_owned(),
            summary: Some(self.summary()),
            reasons: Vec::new(),
            ..Assigned::default()
        })
    }

    fn started(&self, attempt: u32) -> Fact {
        Fact::Started(Started {
            attempt,
            worker: format!("worker-{attempt}"),
            seed: u64::MAX - u64::from(self.number),
            num_prompt_tokens: 11,
            engine_fingerprint: format!("jetmill-0.1.0-avx512-{attempt}"),
            model_digest: "digest".to_owned(),
            ..Started::default()
        })
    }

    fn attempt_failed(&self, attempt: u32) -> Fact {
        Fact::AttemptFailed(AttemptFailed {
            attempt,
            worker: format!("worker-{attempt}"),
            failure: Some(Failure { code: "worker_lost".to_owned(), ..Failure::default() }),
            summary: Some(self.summary()),
            ..AttemptFailed::default()
        })
    }

    fn ended(&self, outcome: Outcome) -> Fact {
        let attempt = if outcome == Outcome::Rejected { 0 } else { self.num_lost_attempts + 1 };
        let is_completed = outcome == Outcome::Completed;
        let choice = |index, reason: FinishReason| Choice {
            index,
            text: "an answer that SQL never sees".to_owned(),
            finish_reason: reason.into(),
            ..Choice::default()
        };
        Fact::Ended(Ended {
            outcome: outcome.into(),
            attempt,
            worker: format!("worker-{attempt}"),
            choices: if is_completed {
                vec![choice(1, FinishReason::Length), choice(0, FinishReason::Stop)]
            } else {
                Vec::new()
            },
            usage: (attempt > 0).then_some(Usage {
                num_prompt_tokens: 11,
                num_completion_tokens: self.number % 100,
                num_cached_prompt_tokens: 4,
                ..Usage::default()
            }),
            timings: (attempt > 0).then_some(Timings {
                queued_nanos: 1_000,
                prefill_nanos: 2_000,
                decode_nanos: 3_000,
                time_to_first_token_nanos: 4_000,
            }),
            failure: (!is_completed).then(|| Failure {
                code: "refused".to_owned(),
                message: "no\0 way".to_owned(),
                ..Failure::default()
            }),
            engine_fingerprint: format!("jetmill-0.1.0-avx512-{attempt}"),
            cost: (is_completed && self.model == "smol")
                .then(|| Cost { currency: "USD".to_owned(), nanos: u64::from(self.number) * 1_000 }),
            ..Ended::default()
        })
    }
}

prop_compose! {
    /// A life with this number, or any other when there is none.
    pub(crate) fn any_life(number: u32)(
        tenant in prop::sample::select(vec!["acme", "globex"]),
        model in prop::sample::select(vec!["smol", "qwen"]),
        num_lost_attempts in 0_u32..3,
        is_cancel_requested in any::<bool>(),
        outcome in prop::sample::select(vec![
            None,
            Some(Outcome::Completed),
            Some(Outcome::Rejected),
            Some(Outcome::Failed),
            Some(Outcome::Cancelled),
        ]),
    ) -> Life {
        Life { number, tenant, model, num_lost_attempts, is_cancel_requested, outcome }
    }
}

/// Facts of several lives, each in its order, interleaved at random.
pub(crate) fn any_history(max_num_lives: u32) -> impl Strategy<Value = Vec<Envelope>> {
    (1..=max_num_lives)
        .prop_flat_map(|num_lives| (0..num_lives).map(any_life).collect::<Vec<_>>())
        .prop_flat_map(|lives| {
            let num_facts: usize = lives.iter().map(|life| life.facts().len()).sum();
            (Just(lives), vec(any::<prop::sample::Index>(), num_facts))
        })
        .prop_map(|(lives, picks)| {
            let mut lives: Vec<_> = lives.iter().map(|life| life.facts().into_iter().peekable()).collect();
            let mut history = Vec::new();
            for pick in picks {
                lives.retain_mut(|facts| facts.peek().is_some());
                if !lives.is_empty() {
                    let chosen = pick.index(lives.len());
                    history.extend(lives[chosen].next());
                }
            }
            history
        })
}
