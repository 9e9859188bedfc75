//! The whole life of an inference, for whoever holds the auditor's key.

use std::sync::Arc;

use audit::{
    AuditError, CheckpointLog, InclusionProof, Life, LifeFact, find_configuration, prove_inclusion,
    record_access,
};
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use bus::EventLog;
use schemas::InferenceId;
use schemas::v1::envelope::Fact;
use schemas::v1::{CheckpointSigned, RecordAccessed};
use serde_json::{Map, Value, json};
use tracing::warn;

use crate::auth::Caller;
use crate::error::{ApiError, ErrorBody};
use crate::state::ApiState;

const OPERATION: &str = "GET /v1/audit/inferences";

/// Shows everything that was recorded of an inference: who asked what and when, what each check said, why it went where it
/// went, every attempt, and the answer with its tokens; and whether the facts hang together and are signed.
///
/// Needs the auditor's key, and is itself recorded before it is answered.
#[utoipa::path(get, path = "/v1/audit/inferences/{id}", tag = "audit",
    params(("id" = String, Path, description = "From the header x-jetmill-inference-id")),
    responses(
        (status = 200, description = "Its life, in the order of the log", body = Object),
        (status = 403, description = "The key is not an auditor's", body = ErrorBody),
        (status = 404, description = "The log holds nothing of it", body = ErrorBody)))]
pub(crate) async fn inference(
    State(state): State<Arc<ApiState>>,
    Extension(caller): Extension<Caller>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Response, ApiError> {
    let shown = id.map(|Path(id)| id).unwrap_or_default();
    let id: InferenceId = shown.parse().map_err(|_| ApiError::invalid("id", "this is no inference's id"))?;
    let access = RecordAccessed {
        caller: caller.0.to_string(),
        operation: OPERATION.to_owned(),
        inference_id: id.to_string(),
        scope: String::new(),
    };
    let writer = format!("api/{}", state.config.ingress);
    record_access(state.log.as_ref(), state.facts.stamp(), &writer, access).await?;
    let life = Life::read(state.log.as_ref(), id).await?;
    let life = life.ok_or_else(|| ApiError::UnknownInference { id: id.to_string() })?;
    let unreadable = |error: AuditError| {
        warn!(code = error.code(), %error, "the checkpoints cannot be read");
        ApiError::Internal
    };
    let last_sequence = life.facts.last().map_or(0, |fact| fact.sequence);
    let checkpoint = CheckpointLog::new(Arc::clone(&state.log)).first_covering(last_sequence).await;
    let checkpoint = checkpoint.map_err(unreadable)?;
    let sequences: Vec<u64> = life.facts.iter().map(|fact| fact.sequence).collect();
    let proofs = prove_inclusion(&state.log, &sequences).await.map_err(unreadable)?;
    let mut body = life_body(id, &life, checkpoint)?;
    body["configurations"] = configurations(state.log.as_ref(), &life).await?;
    if let Some(facts) = body["facts"].as_array_mut() {
        for (shown, fact) in facts.iter_mut().zip(&life.facts) {
            shown["proof"] = proofs.get(&fact.sequence).map(proof_body).transpose()?.unwrap_or(Value::Null);
        }
    }
    Ok(Json(body).into_response())
}

/// The configurations that its facts name, by their versions.
async fn configurations(log: &dyn EventLog, life: &Life) -> Result<Value, ApiError> {
    let mut found = Map::new();
    for fact in &life.facts {
        let version = &fact.envelope.configuration;
        if !version.is_empty() && !found.contains_key(version) {
            let json = find_configuration(log, version).await?;
            let shown = json.and_then(|json| serde_json::from_str(&json).ok()).unwrap_or(Value::Null);
            found.insert(version.clone(), shown);
        }
    }
    Ok(Value::Object(found))
}

/// What `schemas/audit/src/leaf.rs` and RFC 9162 need to lead a fact's hash to a signed root.
fn proof_body(proof: &InclusionProof) -> Result<Value, ApiError> {
    let hex = |hash: &[u8; 32]| hash.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    Ok(json!({
        "leaf_hash": hex(&proof.leaf.hash()),
        "leaf_index": proof.leaf_index,
        "path": proof.path.iter().map(hex).collect::<Vec<_>>(),
        "checkpoint": as_json(&proof.checkpoint)?,
    }))
}

fn life_body(id: InferenceId, life: &Life, checkpoint: Option<CheckpointSigned>) -> Result<Value, ApiError> {
    let facts: Vec<Value> = life
        .facts
        .iter()
        .enumerate()
        .map(|(index, fact)| fact_body(fact, index.checked_sub(1).and_then(|before| life.facts.get(before))))
        .collect::<Result<_, _>>()?;
    Ok(json!({
        "object": "audit.inference",
        "id": id.to_string(),
        "tenant": life.facts.first().map(|fact| fact.envelope.tenant.clone()),
        "summary": summary(life),
        "is_chained": life.is_chained(),
        "checkpoint": checkpoint.map(|checkpoint| as_json(&checkpoint)).transpose()?,
        "facts": facts,
    }))
}

fn fact_body(fact: &LifeFact, before: Option<&LifeFact>) -> Result<Value, ApiError> {
    let at = fact.envelope.recorded_at_unix_nanos;
    let since = before.map(|before| at.saturating_sub(before.envelope.recorded_at_unix_nanos));
    let kind = fact.envelope.fact.as_ref().map(|fact| fact.kind().as_str());
    Ok(json!({
        "sequence": fact.sequence,
        "kind": kind,
        "recorded_by": fact.envelope.recorded_by,
        "recorded_at_unix_nanos": at,
        "nanos_since_previous": since,
        "hash": fact.hash.to_string(),
        "follows_sequence": fact.follows,
        "envelope": as_json(&fact.envelope)?,
    }))
}

fn as_json(message: &impl serde::Serialize) -> Result<Value, ApiError> {
    serde_json::to_value(message).map_err(|error| {
        warn!(%error, "a fact cannot be shown");
        ApiError::Internal
    })
}

/// What a reader looks for first.
fn summary(life: &Life) -> Value {
    let mut summary = Map::new();
    let mut say = |key: &str, value: Value| drop(summary.insert(key.to_owned(), value));
    for fact in &life.facts {
        match &fact.envelope.fact {
            Some(Fact::Requested(requested)) => {
                say("requested_at_unix_nanos", json!(fact.envelope.recorded_at_unix_nanos));
                say("endpoint", json!(requested.endpoint));
                say("model", json!(requested.model));
                say("caller", json!(requested.caller));
            }
            Some(Fact::Admitted(admitted)) => say("policy_version", json!(admitted.policy_version)),
            Some(Fact::Assigned(assigned)) => {
                say("attempts", json!(assigned.attempt));
                say("deployment", json!(assigned.deployment));
            }
            Some(Fact::Started(started)) => {
                say("worker", json!(started.worker));
                say("seed", json!(started.seed.to_string()));
                say("engine_fingerprint", json!(started.engine_fingerprint));
                say("model_digest", json!(started.model_digest));
            }
            Some(Fact::Ended(ended)) => {
                let outcome = ended.outcome().as_str_name().trim_start_matches("OUTCOME_").to_lowercase();
                say("ended_at_unix_nanos", json!(fact.envelope.recorded_at_unix_nanos));
                say("outcome", json!(outcome));
                if ended.policy_version > 0 {
                    say("policy_version", json!(ended.policy_version));
                }
                if let Some(usage) = &ended.usage {
                    say("prompt_tokens", json!(usage.num_prompt_tokens));
                    say("cached_prompt_tokens", json!(usage.num_cached_prompt_tokens));
                    say("completion_tokens", json!(usage.num_completion_tokens));
                    say("reasoning_tokens", json!(usage.num_reasoning_tokens));
                }
                if let Some(cost) = &ended.cost {
                    say("cost", json!({ "amount": cost.amount().to_string(), "currency": cost.currency }));
                }
            }
            _ => {}
        }
    }
    Value::Object(summary)
}
