//! Writes golden examples that do not exist yet into `tests/golden`: `cargo run -p schemas --example freeze_golden`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use prost::Message;
use schemas::v1::envelope::Fact;
use schemas::v1::{self, control_envelope};
use schemas::{EventId, InferenceId, WrittenBy, failure};
use uuid::Uuid;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let summary = v1::RequestSummary {
        model: "smollm2-135m".into(),
        class: v1::WorkClass::Interactive.into(),
        ingress: "api-1".into(),
        priority: -3,
        content_sequence: 41,
        requested_at_unix_nanos: 1_790_000_000_000_000_000,
        redacted_sequence: 0,
    };
    let prompt = v1::Prompt {
        content: Some(v1::prompt::Content::Chat(v1::ChatPrompt {
            messages_json: r#"[{"role":"user","content":"Grüße"}]"#.into(),
            add_generation_prompt: true,
            ..Default::default()
        })),
    };
    let lost = failure(v1::FailureKind::Internal, "engine_error", "the engine stopped").at("model");
    let sampling = schemas::SamplingParams {
        seed: Some(7),
        stop: vec!["END".into()],
        logit_bias: BTreeMap::from([(11, -100.0)]),
        max_tokens: Some(16),
        ..Default::default()
    };
    let usage = v1::Usage {
        num_prompt_tokens: 12,
        num_completion_tokens: 3,
        num_cached_prompt_tokens: 8,
        ..Default::default()
    };
    let timings =
        v1::Timings { queued_nanos: 1, prefill_nanos: 2, decode_nanos: 3, time_to_first_token_nanos: 4 };
    let facts = [
        Fact::Requested(v1::Requested {
            model: "smollm2-135m".into(),
            class: v1::WorkClass::Interactive.into(),
            ingress: "api-1".into(),
            endpoint: "/v1/chat/completions".into(),
            prompt: Some(prompt.clone()),
            sampling: Some(sampling.into()),
            stream: true,
            priority: -3,
            cache_salt: "s".into(),
            request_group: "g".into(),
            caller: "c".into(),
            ..Default::default()
        }),
        Fact::Admitted(v1::Admitted {
            verdicts: vec![v1::CheckVerdict {
                check: "size".into(),
                allowed: true,
                reason: String::new(),
                took_nanos: 900,
            }],
            policy_version: 2,
            redacted_prompt: Some(prompt),
            summary: Some(summary.clone()),
        }),
        Fact::Assigned(v1::Assigned {
            attempt: 1,
            deployment: "worker-1".into(),
            pool: "smollm2-135m".into(),
            summary: Some(summary.clone()),
            reasons: vec![v1::RoutingReason {
                deployment: "worker-1".into(),
                chosen: true,
                reason: "serves it".into(),
            }],
            ..v1::Assigned::default()
        }),
        Fact::Started(v1::Started {
            attempt: 1,
            worker: "worker-1".into(),
            seed: u64::MAX,
            num_prompt_tokens: 12,
            engine_fingerprint: "jetmill-0.1.0-cpu".into(),
            model_digest: "b3:00".into(),
            ..v1::Started::default()
        }),
        Fact::AttemptFailed(v1::AttemptFailed {
            attempt: 1,
            worker: "worker-1".into(),
            failure: Some(lost.clone()),
            summary: Some(summary),
            ..v1::AttemptFailed::default()
        }),
        Fact::CancelRequested(v1::CancelRequested { reason: "client_disconnected".into() }),
        Fact::WebhookRequested(v1::WebhookRequested {
            url: "https://example.org/hook".into(),
            secret: "whsec_AA==".into(),
        }),
        Fact::Ended(v1::Ended {
            outcome: v1::Outcome::Completed.into(),
            attempt: 2,
            worker: "worker-2".into(),
            choices: vec![v1::Choice {
                index: 0,
                text: "Hallo".into(),
                token_ids: vec![1, 2, 300_000],
                finish_reason: v1::FinishReason::Stop.into(),
                stop_reason: "END".into(),
                ..Default::default()
            }],
            usage: Some(usage),
            timings: Some(timings),
            failure: None,
            engine_fingerprint: "jetmill-0.1.0-cpu".into(),
            verdicts: Vec::new(),
            policy_version: 0,
            ..Default::default()
        }),
    ];
    let by = WrittenBy {
        event_id: EventId::new(Uuid::from_u128(1)),
        at_unix_nanos: 1_790_000_000_123_456_789,
        writer: "api/api-1",
    };
    let tenant = "default".parse()?;
    for fact in facts {
        let kind = fact.kind().as_str();
        let envelope = v1::Envelope::new(&by, InferenceId::new(Uuid::from_u128(2)), &tenant, fact);
        freeze(&format!("{kind}_1"), &envelope)?;
    }
    let candidate = v1::TokenLogprob { token_id: 5, logprob: -0.25, rank: 0, token: vec![0xc3] };
    let logprobs = v1::TokenLogprobs { chosen: Some(candidate.clone()), top: vec![candidate] };
    let frame = v1::TokenFrame {
        worker: "worker-1".into(),
        step: 9,
        published_at_unix_nanos: 1_790_000_000_123_456_789,
        entries: vec![v1::FrameEntry {
            inference_id: Uuid::from_u128(2).simple().to_string(),
            attempt: 1,
            choice: 0,
            first_token_index: 2,
            token_ids: vec![300_000],
            text: "o".into(),
            logprobs: vec![logprobs],
            finish_reason: v1::FinishReason::Length.into(),
            stop_reason: String::new(),
            prompt: Some(v1::PromptReport { num_prompt_tokens: 12, seed: 7, ..Default::default() }),
            end: Some(v1::End {
                outcome: v1::Outcome::Failed.into(),
                usage: Some(usage),
                failure: Some(lost),
                timings: Some(timings),
            }),
            ..Default::default()
        }],
    };
    freeze("token_frame_1", &frame)?;
    let announced = v1::DeploymentAnnounced {
        deployment: "worker-1".into(),
        pool: "smollm2-135m".into(),
        model: "smollm2-135m".into(),
        aliases: vec!["default".into()],
        max_model_len_tokens: 2048,
        num_slots: 64,
        engine_fingerprint: "jetmill-0.1.0-cpu".into(),
        model_digest: "b3:00".into(),
        vocab_size: 49_152,
        has_chat_template: true,
        ..Default::default()
    };
    let withdrawn = v1::DeploymentWithdrawn { deployment: "worker-1".into() };
    freeze(
        "control_announced_1",
        &v1::ControlEnvelope::new(&by, control_envelope::Fact::DeploymentAnnounced(announced)),
    )?;
    freeze(
        "control_withdrawn_1",
        &v1::ControlEnvelope::new(&by, control_envelope::Fact::DeploymentWithdrawn(withdrawn)),
    )?;
    let configuration =
        v1::ConfigurationRecorded { version: "44136fa355b3678a1146ad16f7e8649e".into(), json: "{}".into() };
    freeze(
        "control_configuration_1",
        &v1::ControlEnvelope::new(&by, control_envelope::Fact::ConfigurationRecorded(configuration)),
    )
}

fn freeze<M: Message + serde::Serialize>(name: &str, message: &M) -> Result<(), Box<dyn std::error::Error>> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let path = dir.join(format!("{name}.pb"));
    if !path.exists() {
        fs::write(&path, message.encode_to_vec())?;
        fs::write(path.with_extension("json"), serde_json::to_string_pretty(message)?)?;
    }
    Ok(())
}
