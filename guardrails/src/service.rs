//! requested → admitted, or the end.

use std::sync::Arc;
use std::time::Instant;

use bus::{BusError, Delivery, FactWriter, Handled, InferenceAddress, serve_deliveries, subjects, topology};
use schemas::v1::envelope::Fact;
use schemas::v1::{
    Admitted, CheckVerdict, Ended, Envelope, FailureKind, Outcome, Prompt, RequestSummary, Requested,
};
use schemas::{FactKind, InferenceId, IngressId, TenantId, content_erased, failure};
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::pooling_text::prompt_of;
use crate::{Decision, Policy};

const MAX_NUM_IN_FLIGHT: usize = 1024;

/// Decides every requested fact by the policy until `shutdown`. Stateless: any number of replicas share the work.
pub async fn serve(facts: FactWriter, policy: Policy, shutdown: CancellationToken) -> Result<(), BusError> {
    let consumer = facts.log().consumer(&topology::guardrail_consumer()).await?;
    let policy = Arc::new(policy);
    info!(policy_version = policy.version(), "guardrails are ready");
    serve_deliveries(consumer, MAX_NUM_IN_FLIGHT, shutdown, move |delivery| {
        let (facts, policy) = (facts.clone(), Arc::clone(&policy));
        async move { decide_one(&facts, &policy, &delivery).await }
    })
    .await;
    Ok(())
}

async fn decide_one(facts: &FactWriter, policy: &Policy, delivery: &Delivery) -> Result<Handled, BusError> {
    let Some(request) = PendingRequest::read(&delivery.record.payload) else {
        return Ok(Handled::Undeliverable("not a requested fact"));
    };
    let facts = &facts.following(delivery.record.hash());
    if request.is_erased {
        let failed =
            Ended { outcome: Outcome::Failed.into(), failure: Some(content_erased()), ..Ended::default() };
        facts.end(&request.address(), failed).await?;
        return Ok(Handled::Done);
    }
    let began = Instant::now();
    let clock = || u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX);
    let mut decision = policy.decide(&request.requested.model, &request.prompt, clock);
    if request.requested.pooling.is_some() && decision.redacted_prompt.take().is_some() {
        // The joined texts cannot be taken apart again, and what a check wants gone must not go on.
        let reason = "content that must be redacted cannot be embedded or scored";
        decision.refusal.get_or_insert(("redaction", reason.to_owned()));
    }
    match decision.refusal.take() {
        None => admit(facts, policy, &request, decision, delivery.record.sequence).await?,
        Some((check, reason)) => {
            let message = format!("{check}: {reason}");
            reject(facts, policy, &request, decision.verdicts, message).await?;
        }
    }
    Ok(Handled::Done)
}

struct PendingRequest {
    inference: InferenceId,
    tenant: TenantId,
    ingress: IngressId,
    requested_at_unix_nanos: u64,
    requested: Requested,
    prompt: Prompt,
    /// Its content cannot be read any more.
    is_erased: bool,
}

impl PendingRequest {
    fn read(payload: &[u8]) -> Option<Self> {
        let envelope = schemas::decode_envelope(payload).ok()?;
        let (inference, tenant) = (envelope.inference().ok()?, envelope.tenant().ok()?);
        let is_erased = envelope.is_sealed();
        let Envelope { recorded_at_unix_nanos, fact, .. } = envelope;
        let Some(Fact::Requested(mut requested)) = fact else { return None };
        let prompt = match &requested.pooling {
            _ if is_erased => Prompt::default(),
            Some(pooling) => prompt_of(pooling),
            None => requested.prompt.take()?,
        };
        let ingress = requested.ingress.parse().ok()?;
        Some(Self {
            inference,
            tenant,
            ingress,
            requested_at_unix_nanos: recorded_at_unix_nanos,
            requested,
            prompt,
            is_erased,
        })
    }

    fn address(&self) -> InferenceAddress {
        InferenceAddress {
            inference: self.inference,
            tenant: self.tenant.clone(),
            ingress: self.ingress.clone(),
        }
    }
}

async fn admit(
    facts: &FactWriter,
    policy: &Policy,
    request: &PendingRequest,
    decision: Decision,
    requested_sequence: u64,
) -> Result<(), BusError> {
    let admitted = Admitted {
        verdicts: decision.verdicts,
        policy_version: policy.version(),
        redacted_prompt: decision.redacted_prompt,
        summary: Some(RequestSummary {
            model: request.requested.model.clone(),
            class: request.requested.class,
            ingress: request.requested.ingress.clone(),
            priority: request.requested.priority,
            content_sequence: requested_sequence,
            requested_at_unix_nanos: request.requested_at_unix_nanos,
            redacted_sequence: 0,
        }),
    };
    let subject = subjects::fact(FactKind::Admitted, &request.tenant, request.inference);
    facts.append(request.inference, &request.tenant, subject, Fact::Admitted(admitted)).await?;
    Ok(())
}

async fn reject(
    facts: &FactWriter,
    policy: &Policy,
    request: &PendingRequest,
    verdicts: Vec<CheckVerdict>,
    message: String,
) -> Result<(), BusError> {
    let ended = Ended {
        outcome: Outcome::Rejected.into(),
        failure: Some(failure(FailureKind::Refused, "content_policy_violation", message)),
        verdicts,
        policy_version: policy.version(),
        ..Ended::default()
    };
    facts.end(&request.address(), ended).await
}
